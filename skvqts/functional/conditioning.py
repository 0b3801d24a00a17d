"""Samples of a distribution, moved to agree with what was observed of one of its series."""

import torch


def agreement(members, series, known):
    """Mean squared difference ``(N,)`` of members from a series, over what was observed of it.

    Parameters
    ----------
    members : Tensor of shape (N, d)
    series : Tensor of shape (d,)
    known : bool Tensor of shape (d,)
        Where `series` was observed; without any, the differences are 0.
    """
    differences = (members - series)[:, known]
    return differences.square().sum(1) / max(1, differences.shape[1])


def tempered_shares(differences, temperature):
    """Probabilities ``(N,)`` proportional to ``exp(-difference / temperature)``."""
    return torch.softmax((differences.min() - differences) / temperature, dim=0)


def ensemble_update(members, chosen, series, known, noise):
    """What is hidden of a series, by members moved to agree with what was observed of it.

    The update of the ensemble Kalman filter (Evensen 2003, "The ensemble Kalman filter", equation
    20): a member moves by the covariance of hidden and observed values over all members, times the
    inverse of that of observed ones, times what it missed. The inverse is taken in the space of
    members (the Woodbury identity), so that its cost does not grow with the length of series. For
    normal distributions moved members are draws given the observed values.

    Parameters
    ----------
    members : float64 Tensor of shape (N, d)
    chosen : int64 Tensor of shape (M,)
        The members to move.
    series : float64 Tensor of shape (d,)
    known : bool Tensor of shape (d,)
    noise : float64 Tensor of shape (d,)
        Variance of what is observed around any member that is right, above 0.

    Returns
    -------
    hidden : float64 Tensor of shape (M, number of hidden values)
    """
    deviations = members - members.mean(0)
    observed = deviations[:, known] / noise[known].sqrt()
    missed = (series - members[chosen])[:, known] / noise[known].sqrt()
    among_members = observed @ observed.T
    among_members.diagonal().add_(len(members) - 1)
    weights = torch.linalg.solve(among_members, observed @ missed.T)
    return members[chosen][:, ~known] + weights.T @ deviations[:, ~known]
