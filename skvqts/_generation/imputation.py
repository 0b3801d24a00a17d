"""Missing values of series, filled with draws of what may stand there given all that was observed.

A generator proposes series. For each series with gaps, those that agree with what was observed are
chosen more often, moved so that they agree with it altogether, and put into the gaps. The tokens of
what results are decoded by the sampled decoder, which sees the observed values as well.
"""

from dataclasses import dataclass

import joblib
import numpy as np
import torch
from sklearn.utils import gen_batches

from .._fitting.memory import MEMORY
from .._fitting.reading import read_rows
from .._fitting.runtime import computing
from ..functional.conditioning import agreement, ensemble_update, tempered_shares
from .flow.decoder import decoded_series, drawing_decoder, drawn_scaled, exact_in_gaps
from .gaps import interpolated
from .sampling import TokenReader, checked_tokenizer, decode_scaled, row_stream

_N_PROPOSALS = 1000
_LEAST_OF_CLASS = 20  # proposals
_PROPOSALS_SEED = 0
_RIVALS = 4  # the temperature is a share of the difference of the fourth nearest proposal
_TEMPERATURE = 0.5
_LEAST_DIFFERENCE = 1e-12
_LEAST_NOISE = 1e-4  # variance, of scaled series
_CHOICE_STREAM = 101  # of the random numbers of a row; those of what is drawn come before
_ERROR_STREAM = 102
_MOST_ALIKE = 0.999  # correlation of errors of neighbouring time points
_OF_TRAINING = 16  # errors of a series that count as those of the training set
_AT_ONCE = 256  # series


@dataclass(frozen=True)
class Proposals:
    """Series that a generator has drawn, as what may stand in the gaps of others.

    Parameters
    ----------
    series : float64 Tensor of shape (N, c * t)
        Scaled as for the tokenizer.
    classes : int64 ndarray of shape (N,)
        As many of each class.
    log_shares : float64 Tensor of shape (N,)
        Logarithm of the share of the class in the training set.
    noise : float64 Tensor of shape (c * t,)
        Variance of series around the mean of their tokens, by which observed values may miss a
        proposal that is right.
    """

    series: torch.Tensor
    classes: np.ndarray
    log_shares: torch.Tensor
    noise: torch.Tensor

    def fill(self, series, known, label, heights):
        """Hidden values ``(M, number of them)`` of a series, and the proposals that they come from.

        Parameters
        ----------
        series : float64 Tensor of shape (c * t,)
        known : bool Tensor of shape (c * t,)
        label : int or None
            The class that proposals are to have.
        heights : float64 ndarray of shape (M,)
            Numbers in [0, 1) that choose, by inversion.
        """
        ends = self.posterior(series, known, label).cumsum(0).numpy()
        chosen = np.searchsorted(ends, heights * ends[-1], side="right").clip(max=len(ends) - 1)
        members = torch.from_numpy(chosen)
        return ensemble_update(self.series, members, series, known, self.noise).numpy(), chosen

    def posterior(self, series, known, label):
        """Probabilities ``(N,)`` of proposals given what was observed of a series ``(c * t,)``.

        Differences of all observed values are not independent, so their likelihood is tempered: a
        handful of proposals share most of the probability.
        """
        logarithms = self.log_shares
        if label is not None:
            of_class = torch.from_numpy(self.classes == label)
            logarithms = torch.where(of_class, 0.0, -torch.inf)
        differences = agreement(self.series, series, known)
        possible = differences[logarithms.isfinite()]
        rivals = possible.kthvalue(min(_RIVALS, len(possible))).values
        temperature = max(float(rivals) * _TEMPERATURE, _LEAST_DIFFERENCE)
        return tempered_shares(differences - temperature * logarithms, temperature)


def draw_proposals(estimator, decodings, seed):
    """Draw a thousand series of a generator, or twenty of each class if those are more.

    Parameters
    ----------
    estimator : fitted generator
    decodings : list of Decoding
        How the tokens of each band are revealed.
    seed : int
    """
    n_classes = estimator.architecture_["n_classes"]
    n_proposals = max(_N_PROPOSALS, _LEAST_OF_CLASS * n_classes)
    classes = np.arange(n_proposals) % max(1, n_classes)
    shares = np.ones(1)
    if n_classes:
        shares = estimator.class_counts_ / estimator.class_counts_.sum()
    masks = np.ones((n_proposals, sum(estimator.module_.n_tokens)), dtype=bool)
    ids = TokenReader(estimator).fill(
        np.zeros(masks.shape, np.int64), masks, classes, seed, decodings, from_scratch=True
    )
    series = decoded_series(estimator, ids, classes, seed)
    decoder = drawing_decoder(estimator)
    if decoder is None:
        noise = np.square(estimator.residual_scale_)
    else:
        noise = np.square(decoder.residual_scale_[:, 0])
    scaled = checked_tokenizer(estimator).scaler_.transform(series)
    noise = np.maximum(noise, _LEAST_NOISE).astype(np.float64)
    return Proposals(
        series=torch.from_numpy(scaled.reshape(n_proposals, -1).astype(np.float64)),
        classes=classes,
        log_shares=torch.from_numpy(np.log(shares)[classes]),
        noise=torch.from_numpy(np.repeat(noise, estimator.n_timepoints_in_)),
    )


def impute_series(estimator, decodings, X, known, labels, seed, n_draws):
    """Draws ``(n_draws, n, c, t)``, float64, of series whose gaps are filled.

    Parameters
    ----------
    estimator : fitted generator
    decodings : list of Decoding
        How the tokens of each band are revealed.
    X : float64 ndarray of shape (n, c, t)
        Whatever stands where it is not known has no part in the result.
    known : bool ndarray of shape (n, c, t)
        Where `X` was observed.
    labels : int64 ndarray of shape (n,) or None
    seed : int
        Draw m has the random numbers of seed + m, but for the proposals, which have their own.
    n_draws : int
    """
    tokenizer = checked_tokenizer(estimator)
    bridged = interpolated(X, known)
    scaled = tokenizer.scaler_.transform(bridged)
    if known.all():
        return np.repeat(X[None], n_draws, axis=0)
    proposals = proposals_of(estimator, decodings)
    draws = np.empty((n_draws, *X.shape))
    chosen = fill_in(proposals, estimator, scaled, known, labels, seed, draws)
    classes = proposals.classes[chosen] if labels is None else np.tile(labels, (n_draws, 1))
    drawn = drawn_given_tokens(estimator, draws, known, classes, seed)
    for m, scaled in enumerate(drawn):
        in_units = tokenizer.scaler_.inverse_like(scaled.astype(np.float64), bridged, known)
        draws[m] = exact_in_gaps(estimator, np.where(known, X, in_units), known)
    return draws


def proposals_of(estimator, decodings):
    """The proposals of a generator: the same in every call, drawn once and kept in memory."""
    key = joblib.hash(("proposals", estimator))
    return MEMORY.get(
        key,
        lambda: draw_proposals(estimator, decodings, _PROPOSALS_SEED),
        lambda proposals: proposals.series.nbytes,
    )


def fill_in(proposals, estimator, scaled, known, labels, seed, draws):
    """Put moved proposals into the gaps of scaled series; returns which ones, ``(n_draws, n)``.

    Parameters
    ----------
    proposals : Proposals
    estimator : fitted generator
    scaled : float32 ndarray of shape (n, c, t)
    known : bool ndarray of shape (n, c, t)
    labels : int64 ndarray of shape (n,) or None
    seed : int
    draws : float64 ndarray of shape (n_draws, n, c, t)
        Where the results are written.
    """
    chosen = np.empty(draws.shape[:2], dtype=np.int64)
    flat, seen = (torch.from_numpy(part.reshape(len(scaled), -1)) for part in (scaled, known))
    with computing(torch.device("cpu"), estimator.n_threads_):
        for row in range(len(scaled)):
            streams = [row_stream(seed + m, row, _CHOICE_STREAM) for m in range(len(draws))]
            heights = np.array([stream.random() for stream in streams])
            label = None if labels is None else labels[row]
            hidden, chosen[:, row] = proposals.fill(flat[row].double(), seen[row], label, heights)
            draws[:, row] = scaled[row]
            draws[:, row][:, ~known[row]] = hidden
    return chosen


def drawn_given_tokens(estimator, filled, known, classes, seed):
    """Scaled series drawn given the tokens of filled ones and what was observed.

    Parameters
    ----------
    estimator : fitted generator
    filled : ndarray of shape (n_draws, n, c, t)
        Scaled series whose gaps are filled.
    known : bool ndarray of shape (n, c, t)
    classes : int64 ndarray of shape (n_draws, n)
    seed : int

    Returns
    -------
    drawn : float32 ndarray of shape (n_draws, n, c, t)
    """
    tokenizer = checked_tokenizer(estimator)
    network = tokenizer.module_

    def tokens(x):
        return [network.distances(network.encode(x)).argmin(-1)]

    # All draws in one row of series: chunks of a few series would mostly hold padding.
    shape = filled.shape
    filled = filled.reshape(-1, *shape[2:]).astype(np.float32)
    known = np.tile(known, (shape[0], 1, 1))
    ids = read_rows(tokenizer, tokens, filled)[0]
    decoder = drawing_decoder(estimator)
    keys = [(seed + m, row) for m in range(shape[0]) for row in range(shape[1])]
    if decoder is None:
        decoded = decode_scaled(estimator, ids)
        errors = filled - decoded
        # A mean does not join on to what was observed: its error is interpolated across the gap.
        decoded += interpolated(errors, known)
        for rows in gen_batches(len(keys), _AT_ONCE):
            decoded[rows] += drawn_errors(
                errors[rows], known[rows], estimator.residual_scale_, keys[rows]
            )
        return decoded.reshape(shape)
    return drawn_scaled(decoder, ids, classes.ravel(), keys, filled, known)[0].reshape(shape)


def drawn_errors(errors, known, scale, keys):
    """What decoded means miss in gaps, beside their error that is interpolated across these.

    They are as large as the errors beside them, of which some count as those of the training set:
    other series have larger ones. Errors of neighbouring time points are alike, as those of an
    autoregressive process of order 1 are, of which a path is drawn. What interpolation misses of a
    path is what it may miss of the errors (conditional simulation: Journel and Huijbregts 1978,
    "Mining geostatistics", ch. VII).

    Parameters
    ----------
    errors : float ndarray of shape (n, c, t)
        Of the means; only where values are known they are errors.
    known : bool ndarray of shape (n, c, t)
    scale : ndarray of shape (c,)
        Standard deviation of the errors on the training set.
    keys : list of n pairs of int
        Seed and row of the random numbers of each series.

    Returns
    -------
    missed : float64 ndarray of shape (n, c, t)
        0 where values are known.
    """
    size, alike = size_and_correlation(errors / scale[:, None], known)
    streams = (row_stream(*key, _ERROR_STREAM) for key in keys)
    path = np.stack([stream.standard_normal(errors.shape[1:]) for stream in streams])
    alike = alike[:, None]
    for time in range(1, path.shape[2]):
        path[..., time] *= np.sqrt(1 - alike**2)
        path[..., time] += alike * path[..., time - 1]
    path *= size[:, None, None] * scale[:, None]
    return np.where(known, 0.0, path - interpolated(path, known))


def size_and_correlation(errors, known):
    """Size ``(n,)`` of the known errors of each series, and correlation ``(n,)`` of neighbours.

    Errors ``(n, c, t)`` are in units of those of the training set, which some count as.
    """
    errors = np.where(known, errors, 0.0)
    pairs = known[..., 1:] & known[..., :-1]
    first, second = errors[..., :-1] * pairs, errors[..., 1:] * pairs
    squares = (first**2 + second**2).sum(axis=(1, 2)) / 2
    alike = (first * second).sum(axis=(1, 2)) / np.where(squares > 0, squares, 1.0)
    total = (errors**2).sum(axis=(1, 2)) + _OF_TRAINING
    size = np.sqrt(total / (known.sum(axis=(1, 2)) + _OF_TRAINING))
    return size, np.clip(alike, 0.0, _MOST_ALIKE)
