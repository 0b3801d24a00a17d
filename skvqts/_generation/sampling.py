"""Inference with a trained prior, chunk by chunk: tokens drawn, and how likely tokens are."""

import numpy as np
import torch
import torch.nn.functional as F

from .._fitting.runtime import computing, in_chunks
from ..functional.decoding import fill, replay
from ..functional.masking import likelihood_bound

_CHUNK_TOKENS = 2**10
_MAX_ROWS = 32


def row_stream(seed, row, stream):
    """The random numbers of one row of a sample: they depend on nothing but these three."""
    return np.random.Generator(np.random.Philox(key=seed + (row << 40) + (stream << 100)))


class PriorReader:
    """Draws and judges tokens ``(n, N)``, in the joint ids of all bands.

    Parameters
    ----------
    prior : Prior
        In evaluation mode.
    device : str
    n_threads : int
    """

    def __init__(self, prior, device, n_threads):
        self.prior, self.n_threads = prior, n_threads
        self.device = torch.device(device)
        self.own = torch.device("cpu") if device == "mps" else self.device  # that has float64
        n_tokens = sum(prior.n_tokens)
        self.rows = min(_MAX_ROWS, 2 ** (max(1, _CHUNK_TOKENS // n_tokens).bit_length() - 1))

    def fill(self, ids, masks, classes, seed, decodings, guidance):
        """Draw masked tokens, band by band.

        Parameters
        ----------
        ids : int64 ndarray of shape (n, N)
        masks : bool ndarray of shape (n, N)
            What is drawn; the other tokens are as they were.
        classes : int64 ndarray of shape (n,)
        seed : int
        decodings : list of Decoding
            One per band.
        guidance : callable or None
            Scale of the guidance at a share of steps taken, or None for 1.

        Returns
        -------
        ids : int64 ndarray of shape (n, N)
        """

        def fill_chunk(chunk):
            rows, chunk = chunk[:, 0].tolist(), torch.from_numpy(chunk).to(self.own)
            masks, ids = chunk[:, 2:].tensor_split(2, dim=1)
            bands = zip(masks.bool().split(self.prior.n_tokens, dim=1), decodings, strict=True)
            for band, (mask, decoding) in enumerate(bands):
                mine, predict = self._predictor(band, ids, chunk[:, 1], guidance)
                shape = (decoding.n_steps, 2, mask.shape[1])
                noise = np.stack([row_stream(seed, row, 1 + band).random(shape) for row in rows], 2)
                drawn = fill(predict, mine, mask, decoding, torch.from_numpy(noise).to(ids.device))
                ids = self._with_band(ids, band, drawn)
            return [ids.cpu().numpy()]

        return self._chunked(fill_chunk, np.arange(len(ids)), classes, masks, ids)[0]

    def exact(self, ids, classes, decodings, guidance):
        """Log-likelihood ``(n,)`` with which :meth:`fill` draws all of `ids` in fixed orders."""

        def replay_chunk(chunk):
            chunk, total = torch.from_numpy(chunk).to(self.own), 0.0
            for band, decoding in enumerate(decodings):
                mine, predict = self._predictor(band, chunk[:, 1:], chunk[:, 0], guidance)
                total = total + replay(predict, mine, decoding)
            return [total.cpu().numpy()]

        return self._chunked(replay_chunk, classes, ids)[0]

    def bound(self, ids, classes, masks, weights):
        """Lower bound ``(n,)`` of the log-likelihood by masks ``(M, N_b)`` and weights of bands."""

        def bound_chunk(chunk):
            chunk, total = torch.from_numpy(chunk).to(self.own), 0.0
            for band, (hidden, weight) in enumerate(zip(masks, weights, strict=True)):
                hidden, weight = hidden.to(self.own), weight.to(self.own)
                log_p = self._log_probabilities(band, chunk[:, 1:], chunk[:, 0], hidden)
                total = total + likelihood_bound(log_p, hidden, weight)
            return [total.cpu().numpy()]

        return self._chunked(bound_chunk, classes, ids)[0]

    def hidden_losses(self, ids, classes, masks):
        """Negative log-probability of each token, the hidden ones given the others only.

        Parameters
        ----------
        masks : list of bool Tensor of shape (M, N_b), one per band
            Tokens of earlier bands are always seen.

        Returns
        -------
        losses : list of float32 ndarray of shape (n, M, N_b)
            0 for tokens that are not hidden.
        """

        def judge_chunk(chunk):
            chunk = torch.from_numpy(chunk).to(self.own)
            losses = []
            for band, hidden in enumerate(hidden.to(self.own) for hidden in masks):
                log_p = self._log_probabilities(band, chunk[:, 1:], chunk[:, 0], hidden)
                losses.append((-log_p * hidden[:, None]).transpose(0, 1).cpu().numpy())
            return losses

        return self._chunked(judge_chunk, classes, ids)

    def _log_probabilities(self, band, ids, classes, masks):
        """``(M, B, N_b)``: of the tokens of a band, given those that each mask leaves visible."""
        mine, predict = self._predictor(band, ids, classes)
        logits = (predict(mine, mask.expand(mine.shape)) for mask in masks)
        log_p = [F.log_softmax(of_mask, dim=-1) for of_mask in logits]
        return torch.stack([p.gather(-1, mine[..., None])[..., 0] for p in log_p])

    def _predictor(self, band, ids, classes, guidance=None):
        """Own ids of a band's tokens, and the function that predicts them given earlier bands."""
        prior, (start, stop) = self.prior.bands[band], self.prior.span(band)
        nobody = torch.full_like(classes, self.prior.nobody)

        def logits(mine, mask, classes):
            joint = torch.cat([ids[:, :start], mine + prior.first_code], dim=1)
            given = (part.to(self.device) for part in (joint, mask, classes))
            return self.prior.logits(band, *given).float().to(self.own)

        def predict(mine, mask, progress=0.0):
            scale = 1.0 if guidance is None else guidance(progress)
            if scale == 1:
                return logits(mine, mask, classes)
            free = logits(mine, mask, nobody)
            return free + scale * (logits(mine, mask, classes) - free)

        return (ids[:, start:stop] - prior.first_code).clamp(min=0), predict

    def _with_band(self, ids, band, mine):
        parts = list(ids.split(self.prior.n_tokens, dim=1))
        parts[band] = mine + self.prior.bands[band].first_code
        return torch.cat(parts, dim=1)

    def _chunked(self, function, *columns):
        """Apply to chunks of one integer table; a list of arrays."""
        table = np.column_stack(columns).astype(np.int64, copy=False)
        with computing(self.device, self.n_threads):
            return in_chunks(function, table, self.rows)
