"""AutoregressivePriorGenerator: tokens one after the other, as in the original VQ-VAE."""

import torch

from ._decoding import Decoding
from ._generation import SeriesGenerator


class AutoregressivePriorGenerator(SeriesGenerator):
    """Generator of time series: autoregressive prior over the tokens of a VQ-VAE."""

    _causal, _schedule = True, None

    def __init__(
        self,
        tokenizer=None,
        *,
        width=128,
        n_layers=4,
        n_heads=4,
        head_dim="auto",
        feedforward="auto",
        dropout=0.1,
        p_unconditional=0.2,
        code_temperature=0.0,
        ema_decay=0.99,
        temperature=1.0,
        guidance_scale=1.0,
        guidance_schedule="constant",
        batch_size=64,
        max_epochs="auto",
        learning_rate=1e-3,
        weight_decay=1e-2,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        precision="auto",
        device="auto",
        n_threads=None,
        verbose=0,
        random_state=None,
    ):
        self.tokenizer = tokenizer
        self.width = width
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.head_dim = head_dim
        self.feedforward = feedforward
        self.dropout = dropout
        self.p_unconditional = p_unconditional
        self.code_temperature = code_temperature
        self.ema_decay = ema_decay
        self.temperature = temperature
        self.guidance_scale = guidance_scale
        self.guidance_schedule = guidance_schedule
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.precision = precision
        self.device = device
        self.n_threads = n_threads
        self.verbose = verbose
        self.random_state = random_state

    def _log_likelihoods(self, ids, classes):
        """Exact: one pass predicts every token from those before it."""
        masks = [torch.ones(1, n, dtype=torch.bool) for n in self._architecture["n_tokens"]]
        weights = [torch.ones(1, dtype=torch.float64)] * len(masks)
        return self._prior_reader().bound(ids, classes, masks, weights)

    def _decodings(self):
        """Every token by itself, in the order of the rows of the grid."""
        return [
            Decoding(n, self.temperature, torch.arange(n), 0.0, "linear")
            for n in self._architecture["n_tokens"]
        ]
