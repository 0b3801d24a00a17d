"""What a fitted generator draws and how likely it finds series: the same for every prior."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import logsumexp

from .._fitting.reading import in_chunks, in_form_of_fit, read_rows
from .._fitting.runtime import computing
from .._fitting.validation import (
    random_seed,
    validate_n_samples,
    validate_request,
)
from .._nn.sequence.causal_convolutions import OneByOne
from ..functional import readout
from ..functional.decoding import fill, replay
from ..functional.masking import likelihood_bound
from .stages import read_residuals, token_alphabet

_CHUNK_TOKENS = 2**11  # tokens of one inference chunk
_MAX_ROWS = 32  # token sequences of one


def sample_series(
    estimator, decodings, decode, n_samples, y, random_state, return_y, draw_lengths=None
):
    """Series, and their classes if wanted, as `sample` of a generator returns them.

    Parameters
    ----------
    estimator : fitted generator
    decodings : list of Decoding
        How the tokens of each band are revealed.
    decode : callable
        ``decode(ids, classes, seed)`` makes series ``(n, c, t)`` of tokens.
    n_samples, y, random_state, return_y
        The arguments of `sample`.
    draw_lengths : callable or None
        ``draw_lengths(classes, seed)`` gives the lengths of the series and which tokens ``(n, N)``
        each has; series are then a list. None: all are of the fitted length.
    """
    n_tokens = sum(estimator.module_.n_tokens)
    n_samples, classes = validate_request(
        estimator, n_samples, y, return_y, values_of_a_series(estimator)
    )
    seed = seed_of(estimator, random_state)
    if classes is None:
        classes = draw_classes(estimator, np.arange(n_samples), seed)
    masks = np.ones((n_samples, n_tokens), dtype=bool)
    if draw_lengths is not None:
        lengths, masks = draw_lengths(classes, seed)
    # Steps draw equally many tokens of every series only where all series have equally many.
    ids = TokenReader(estimator).fill(
        np.where(masks, 0, -1), masks, classes, seed, decodings, from_scratch=draw_lengths is None
    )
    X = in_form_of_fit(estimator, decode(ids, classes, seed))
    if draw_lengths is not None:
        X = [series[..., :length] for series, length in zip(X, lengths, strict=True)]
    return (X, estimator.classes_[classes]) if return_y else X


def sample_in_parts(estimator, decodings, decode, n_samples, part_size, y, random_state, return_y):
    """The series of `sample_series`, as an iterator of their parts; arguments are judged at once.

    Parameters
    ----------
    estimator, decodings, decode, n_samples, y, random_state, return_y
        As for `sample_series`.
    part_size : int
        Number of series of a part.
    """
    n_tokens = sum(estimator.module_.n_tokens)
    validate_n_samples(part_size, None, values_of_a_series(estimator), type(estimator).__name__)
    n_samples, given = validate_request(estimator, n_samples, y, return_y, 0)
    seed = seed_of(estimator, random_state)

    def part(first):
        rows = np.arange(first, min(first + part_size, n_samples))
        classes = draw_classes(estimator, rows, seed) if given is None else given[rows]
        masks = np.ones((len(rows), n_tokens), dtype=bool)
        ids = TokenReader(estimator).fill(
            np.zeros(masks.shape, np.int64),
            masks,
            classes,
            seed,
            decodings,
            from_scratch=True,
            first_row=first,
        )
        X = in_form_of_fit(estimator, decode(ids, classes, seed, first))
        return (X, estimator.classes_[classes]) if return_y else X

    return map(part, range(0, n_samples, part_size))


def values_of_a_series(estimator):
    """Number of float32 values that a series takes while it is sampled."""
    # The last part is what ids, masks and a table of both take.
    n_tokens = sum(estimator.module_.n_tokens)
    return estimator.n_channels_in_ * estimator.n_timepoints_in_ + 10 * n_tokens


def checked_tokenizer(estimator):
    """The tokenizer of a generator, as long as it is the one whose tokens the prior has learned."""
    # A frozen tokenizer is the user's own object, which can be fitted again at any time.
    tokenizer = estimator.tokenizer_
    alphabet = token_alphabet(tokenizer)
    same = all(estimator.architecture_[name] == value for name, value in alphabet.items())
    if not (same and np.array_equal(tokenizer.codebook_, estimator._codebook)):
        raise ValueError(
            f"The tokenizer of this {type(estimator).__name__} has been fitted anew since, to "
            "other tokens: fit the generator again."
        )
    return tokenizer


def decode_scaled(estimator, ids):
    """Series ``(n, c, t)`` of token ids, as scaled as what the tokenizer's network sees."""
    tokenizer = checked_tokenizer(estimator)
    network = tokenizer.module_
    return read_rows(tokenizer, lambda rows: [network.decode(network.embed(rows))], ids)[0]


def seed_of(estimator, random_state):
    """The seed of a call; a generator's own `random_state` stands in for None."""
    return random_seed(estimator.random_state if random_state is None else random_state)


def draw_classes(estimator, rows, seed):
    """Class indices by their training frequency, each from its row's own stream; 0 without labels.

    So a row has the same class in samples of any size.
    """
    if estimator.architecture_["n_classes"] == 0:
        return np.zeros(len(rows), dtype=np.int64)
    heights = np.array([row_stream(seed, row, 0).random() for row in rows.tolist()])
    ends = np.cumsum(estimator.class_counts_) / estimator.class_counts_.sum()
    # Inversion: a height falls into the interval of its class; the last end may round to below 1.
    return np.searchsorted(ends, heights, side="right").clip(max=len(ends) - 1)


def unconditional_classes(estimator, n_series):
    """The class index that stands for no class in particular, for every series."""
    n_classes = estimator.architecture_["n_classes"]
    if n_classes and not estimator._learned_unconditional:
        raise ValueError(
            f"A {type(estimator).__name__} fitted with labels and p_unconditional=0 has not "
            "learned series of unknown class: fit with p_unconditional above 0."
        )
    return np.full(n_series, n_classes)


def marginal_log_likelihood(estimator, ids, log_likelihood):
    """Log-likelihood ``(n,)`` of tokens whatever their class.

    ``log_likelihood(ids, classes)`` is that of tokens given their classes. A prior that has learned
    series of unknown class says it at once, another one as the mixture of its classes.
    """
    if estimator._learned_unconditional:
        n_classes = estimator.architecture_["n_classes"]
        return log_likelihood(ids, np.full(len(ids), n_classes))
    return mixture_log_likelihood(estimator, ids, log_likelihood)


def mixture_log_likelihood(estimator, ids, log_likelihood):
    """Log-likelihood ``(n,)`` of tokens with classes as frequent as in the training set."""
    if estimator.architecture_["n_classes"] == 0:
        return log_likelihood(ids, np.zeros(len(ids), np.int64))
    shares = estimator.class_counts_ / estimator.class_counts_.sum()
    given_class = class_log_likelihoods(estimator, ids, log_likelihood)
    return logsumexp(given_class + np.log(shares), axis=1)


def class_log_likelihoods(estimator, ids, log_likelihood):
    """Log-likelihood ``(n, n_classes)`` of tokens given each class."""
    n_classes = estimator.architecture_["n_classes"]
    columns = [log_likelihood(ids, np.full(len(ids), index)) for index in range(n_classes)]
    return np.stack(columns, axis=1)


def reconstruction_log_density(estimator, X):
    """Log-density ``(n,)`` of scaled series around their reconstructions, normal and independent.

    The second term of the evidence lower bound (Kingma and Welling 2014, eq. 3), in which the
    posterior of tokens given series is one-hot.
    """
    scale = estimator.residual_scale_[:, None]
    densities = np.empty(len(X))

    def take(start, results):
        residuals = results[0].astype(np.float64)
        log_density = -(np.square(residuals / scale) / 2 + np.log(scale * np.sqrt(2 * np.pi)))
        # NaN beyond the end of a series: there is nothing to be dense.
        known = np.where(np.isnan(residuals), 0.0, log_density)
        densities[start : start + len(residuals)] = known.sum((1, 2))

    read_residuals(checked_tokenizer(estimator), X, take)
    return densities


def row_stream(seed, row, stream):
    """The random numbers of one row of a sample: they depend on nothing but these three."""
    # Parts of one key: the seed below bit 40, the row from there on, the stream from bit 100 on.
    return np.random.Generator(np.random.Philox(key=seed + (row << 40) + (stream << 100)))


class TokenReader:
    """Draws tokens ``(n, N)`` by a trained prior, chunk by chunk, and says how likely they are.

    Ids are joint ids of all bands, and -1 beyond the end of a series; classes are indices ``(n,)``.

    Parameters
    ----------
    estimator : fitted generator
    """

    def __init__(self, estimator):
        self.estimator = estimator
        self.prior = estimator.module_
        self.device = torch.device(estimator.device_)
        # Probabilities are float64, which an "mps" device does not have.
        self.exact_device = torch.device("cpu") if self.device.type == "mps" else self.device
        # The largest power of two of rows whose tokens fit a chunk.
        fitting = max(1, _CHUNK_TOKENS // sum(self.prior.n_tokens))
        self.rows = min(_MAX_ROWS, 2 ** (fitting.bit_length() - 1))

    def fill(self, ids, masks, classes, seed, decodings, *, from_scratch=False, first_row=0):
        """Draw masked tokens, band by band, and leave the others as they are.

        Parameters
        ----------
        ids : int64 ndarray of shape (n, N)
        masks : bool ndarray of shape (n, N)
        classes : int64 ndarray of shape (n,)
        seed : int
        decodings : list of Decoding
            One per band.
        from_scratch : bool
            All tokens are masked, and each step predicts only those that it draws. It is said and
            not found out, so that the bits of a row do not depend on the masks of others.
        first_row : int
            Number of the first row in the sample, of which its random numbers depend.

        Returns
        -------
        ids : int64 ndarray of shape (n, N)
        """
        scale = self._guidance_scale()

        def fill_chunk(table):
            rows = table[:, 0].tolist()
            classes = table[:, 1]
            masks, ids = table[:, 2:].tensor_split(2, dim=1)
            masks_of_bands = masks.bool().split(self.prior.n_tokens, dim=1)
            for band, (mask, decoding) in enumerate(zip(masks_of_bands, decodings, strict=True)):
                if from_scratch:
                    mask = torch.ones_like(mask)  # also of the rows that fill up the last chunk
                shape = (decoding.n_steps, 2, mask.shape[1])
                streams = [row_stream(seed, row, 1 + band).random(shape) for row in rows]
                # Shape (n_steps, 2, B, N_b), as `fill` takes it.
                uniforms = torch.from_numpy(np.stack(streams, 2)).to(ids.device)
                of_band, predict = self._predictor(band, ids, classes, scale)
                if from_scratch and self.prior.bands[band].convolutional:
                    predict = self._one_by_one(band, ids, classes, scale)
                drawn = fill(predict, of_band, mask, decoding, uniforms, from_scratch=from_scratch)
                start, stop = self.prior.span(band)
                drawn = drawn + self.prior.bands[band].first_codes(drawn.device)
                drawn = torch.where(ids[:, start:stop] < 0, -1, drawn)
                ids = torch.cat([ids[:, :start], drawn, ids[:, stop:]], dim=1)
            return [ids]

        rows = np.arange(first_row, first_row + len(ids))
        return self._in_chunks(fill_chunk, rows, classes, masks, ids)[0]

    def replay(self, ids, classes, decodings):
        """Log-likelihood ``(n,)`` with which :meth:`fill` draws all of `ids` in fixed orders."""
        scale = self._guidance_scale()

        def replay_chunk(table):
            total = 0.0
            for band, decoding in enumerate(decodings):
                of_band, predict = self._predictor(band, table[:, 1:], table[:, 0], scale)
                total = total + replay(predict, of_band, decoding)
            return [total]

        return self._in_chunks(replay_chunk, classes, ids)[0]

    def bound(self, ids, classes, masks, weights):
        """Lower bound ``(n,)`` of the log-likelihood by masks ``(M, N_b)`` and weights of bands."""

        def bound_chunk(table):
            total = 0.0
            for band, (hidden, weight) in enumerate(zip(masks, weights, strict=True)):
                hidden = hidden.to(self.exact_device)
                log_p = self._log_probabilities(band, table[:, 1:], table[:, 0], hidden)
                total = total + likelihood_bound(log_p, hidden, weight.to(self.exact_device))
            return [total]

        return self._in_chunks(bound_chunk, classes, ids)[0]

    def hidden_losses(self, ids, classes, masks):
        """Negative log-probability of each token, the hidden ones given the others only.

        Parameters
        ----------
        ids : int64 ndarray of shape (n, N)
        classes : int64 ndarray of shape (n,)
        masks : list of bool Tensor of shape (M, N_b), one per band
            Tokens of earlier bands are always seen.

        Returns
        -------
        losses : list of float32 ndarray of shape (n, M, N_b)
            0 for tokens that are not hidden.
        """

        def judge_chunk(table):
            losses = []
            for band, hidden in enumerate(masks):
                hidden = hidden.to(self.exact_device)
                log_p = self._log_probabilities(band, table[:, 1:], table[:, 0], hidden)
                losses.append((-log_p * hidden[:, None]).transpose(0, 1))
            return losses

        return self._in_chunks(judge_chunk, classes, ids)

    def features(self, ids, classes):
        """Means over all tokens and quarters of them ``(n, 5 B L width)`` of what L blocks see.

        No token is hidden. Beyond the end of a series nothing counts.
        """

        def read_chunk(table):
            table = table.to(self.device)
            ids, classes = table[:, 1:], table[:, 0]
            pooled = []
            for band, prior in enumerate(self.prior.bands):
                start, stop = self.prior.span(band)
                inside = ids[:, start:stop] >= 0
                for states in prior.states(ids[:, :stop], classes):
                    pooled.append(readout.pool(states, ("mean",), (1, 4), inside))
            return [torch.cat(pooled, dim=1)]

        return self._in_chunks(read_chunk, classes, ids)[0]

    def _log_probabilities(self, band, ids, classes, masks):
        """Log-probabilities ``(M, B, N_b)`` of a band's tokens, given those each mask shows.

        They are 0 beyond the end of a series, which is given.
        """
        of_band, predict = self._predictor(band, ids, classes)
        logits = (predict(of_band, mask.expand(of_band.shape)) for mask in masks)
        log_p = [F.log_softmax(of_mask, dim=-1) for of_mask in logits]
        log_p = torch.stack([p.gather(-1, of_band[..., None])[..., 0] for p in log_p])
        start, stop = self.prior.span(band)
        return log_p.masked_fill(ids[:, start:stop] < 0, 0.0)

    def _predictor(self, band, ids, classes, guidance_scale=1.0):
        """Ids of a band's tokens within it, and the function that predicts them given others.

        With a guidance scale other than 1, logits are pushed away from those of no class in
        particular (Ho and Salimans 2022).
        """
        prior = self.prior.bands[band]
        start, stop = self.prior.span(band)
        unconditional = torch.full_like(classes, self.prior.unconditional)
        beyond = ids[:, start:stop] < 0

        def logits(of_band, mask, classes, positions):
            # A band sees the tokens of the bands before it, and none of those after it.
            of_band = (of_band + prior.first_codes(of_band.device)).masked_fill(beyond, -1)
            joint = torch.cat([ids[:, :start], of_band], dim=1)
            given = (part.to(self.device) for part in (joint, mask, classes))
            if positions is not None:
                positions = positions.to(self.device)
            logits = self.prior.logits(band, *given, positions=positions)
            return logits.float().to(self.exact_device)

        def predict(of_band, mask, progress=0.0, positions=None):
            if guidance_scale == 1:
                return logits(of_band, mask, classes, positions)
            free = logits(of_band, mask, unconditional, positions)
            return free + guidance_scale * (logits(of_band, mask, classes, positions) - free)

        # Rows that pad a chunk are all 0, which is an id of the first band.
        first = prior.first_codes(ids.device)
        return (ids[:, start:stop] - first).clamp(min=0), predict

    def _one_by_one(self, band, ids, classes, guidance_scale):
        """The function that predicts the tokens of a convolutional band in their order, for `fill`.

        It keeps what it has computed of the tokens before.
        """
        prior = self.prior.bands[band]
        start, _ = self.prior.span(band)
        readers = [OneByOne(prior, classes.to(self.device))]
        if guidance_scale != 1:
            unconditional = torch.full_like(classes, self.prior.unconditional)
            readers.append(OneByOne(prior, unconditional.to(self.device)))
        for reader in readers:
            for column in ids[:, :start].unbind(1):
                reader.feed(column.to(self.device))

        def predict(of_band, mask, progress, positions):
            position = int(positions[0, 0])
            logits = []
            for reader in readers:
                if position:
                    before = (
                        of_band[:, position - 1] + prior.first_codes(of_band.device)[position - 1]
                    )
                    reader.feed(before.to(self.device))
                logits.append(reader.logits().float().to(self.exact_device)[:, None])
            if guidance_scale == 1:
                return logits[0]
            given, free = logits
            return free + guidance_scale * (given - free)

        return predict

    def _guidance_scale(self):
        scale = self.estimator.guidance_scale
        conditional = self.estimator.architecture_["n_classes"] > 0
        if scale != 1 and not (conditional and self.estimator._learned_unconditional):
            raise ValueError(
                f"guidance_scale={scale} needs a {type(self.estimator).__name__} fitted with "
                "labels and p_unconditional above 0."
            )
        return scale

    def _in_chunks(self, function, *columns):
        """Apply a function of Tensors to chunks of one integer table; a list of arrays."""
        # `in_chunks` cuts one array, so whatever belongs to a row lies side by side in a table.
        table = np.column_stack(columns).astype(np.int64, copy=False)

        def on_device(chunk):
            results = function(torch.from_numpy(chunk).to(self.exact_device))
            return [result.cpu().numpy() for result in results]

        with computing(self.device, self.estimator.n_threads_):
            return in_chunks(on_device, table, self.rows, type(self.estimator).__name__)
