"""Conditional flow matching: the straight path from noise to data, its loss, and how it is walked.

A network learns the velocity with which a point moves from noise, at time 0, to data, at time 1
(Lipman et al. 2023, "Flow matching for generative modeling"; Liu et al. 2023, "Flow straight and
fast"). What predicts the velocity is passed as a callable.
"""

import torch


def straight_path(noise, data, times):
    """Points ``(B, ...)`` between noise and data at times ``(B,)``, and the velocity there.

    Lipman et al. 2023, equations 22 and 23 with sigma_min = 0.
    """
    times = times.view(-1, *[1] * (data.dim() - 1))
    return (1 - times) * noise + times * data, data - noise


def logistic_normal(normals):
    """Times in (0, 1) of standard normal numbers, most of them in the middle of the path.

    Esser et al. 2024, "Scaling rectified flow transformers", equation 19, with location 0.5 and
    scale 1.
    """
    return torch.sigmoid(normals + 0.5)


def flow_matching_loss(predicted, velocity, counted):
    """Mean squared error of a velocity ``(B, ..., T)`` over what counts, ``(B, 1, T)`` of 0 and 1.

    Lipman et al. 2023, equation 23.
    """
    counted = counted.expand_as(velocity)
    return (counted * (predicted - velocity).square()).sum() / counted.sum()


def walk(predict, noise, n_steps):
    """Data that the flow leads to from noise ``(B, ...)``, by the midpoint method in equal steps.

    Four steps, eight predictions, lead as far as some thirty of Euler's method.

    Parameters
    ----------
    predict : callable
        ``predict(points, time)`` gives the velocity of points ``(B, ...)`` at one time.
    noise : Tensor of shape (B, ...)
    n_steps : int
    """
    points = noise
    for step in range(n_steps):
        middle = points + predict(points, step / n_steps) / (2 * n_steps)
        points = points + predict(middle, (step + 0.5) / n_steps) / n_steps
    return points


def energy_score(draws, truth, window):
    """How well draws predict windows of series: lower is better, and draws of the truth are best.

    The mean over windows of ``E |X - y| - E |X - X'| / 2`` (Gneiting and Raftery 2007, equation
    22), with the Euclidean norm over the square root of the length.

    Parameters
    ----------
    draws : Tensor of shape (M, B, C, T)
        At least one; of a single one the second term is 0, that of a prediction without spread.
    truth : Tensor of shape (B, C, T)
    window : int
        Length of the windows, which do not overlap; what is left over at the end is not counted.
    """

    def distance(a, b):
        cut = (a - b)[..., : a.shape[-1] // window * window]
        return cut.unflatten(-1, (-1, window)).square().mean(-1).sqrt().mean()

    error = torch.stack([distance(draw, truth) for draw in draws]).mean()
    pairs = [distance(a, b) for i, a in enumerate(draws) for b in draws[i + 1 :]]
    return error - (torch.stack(pairs).mean() / 2 if pairs else 0.0)


def energy_distance(first, second):
    """Distance of two samples ``(n, d)`` and ``(m, d)``: 0 for equal distributions, else above.

    ``2 E |X - Y| - E |X - X'| - E |Y - Y'|`` (Székely and Rizzo 2013, equation 5), the last two
    means over pairs of different rows, so that it does not grow where samples are small.
    """

    def within(sample):
        return torch.cdist(sample, sample).sum() / (len(sample) * (len(sample) - 1))

    return 2 * torch.cdist(first, second).mean() - within(first) - within(second)
