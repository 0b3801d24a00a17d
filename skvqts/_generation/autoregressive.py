"""AutoregressivePriorGenerator: tokens one after the other, as in the original VQ-VAE."""

import torch

from ..functional.decoding import Decoding
from .generator import SeriesGenerator


class AutoregressivePriorGenerator(SeriesGenerator):
    """Generator of time series: autoregressive prior over the tokens of a VQ-VAE.

    The prior that VQ-VAEs started with [1]_, as a baseline: the transformer of
    `MaskedPriorGenerator` with causal attention, which predicts each token from those before it.
    Tokens are drawn one after the other, and the likelihood of tokens is exact.

    Parameters
    ----------
    tokenizer : VQTokenizer, FrozenEstimator or None, default=None
        Stage 1. As everywhere in scikit-learn it is cloned and fitted on the training series;
        ``FrozenEstimator(tokenizer)`` uses a fitted one as it is. None: a `VQTokenizer` with 16
        tokens, which a prior learns soon, 32 codes or, for 200 series and more, 128, the `device`,
        `n_threads`, `precision` and `verbose` of the generator, and two steps of training for each
        series, but 600 at least and 2,000 at most, and 8 passes at least.

    width : int, default=128
        Dimension of the transformer.

    n_layers : int, default=4
    n_heads : int, default=4

    head_dim : int or "auto", default="auto"
        Dimension of an attention head; "auto" shares the width among the heads.

    feedforward : int or "auto", default="auto"
        Inner dimension of the feed-forward networks; "auto" is twice the width.

    dropout : float or "auto", default="auto"
        Of embeddings and of what each layer adds. "auto": 0.4 for fewer than 32 series and 0.3 for
        fewer than 400, which are soon learned by heart, and 0.1 for more.

    p_unconditional : float, default=0.2
        Probability that a training step does not see the class of a series, so that the prior
        learns series of any class as well; what guidance needs.

    code_temperature : float, default=0.0
        Above 0, each training step draws the tokens of a series anew, with probabilities
        ``exp(-d^2 / code_temperature)`` of the codes at distance d. Needs memory for n x N x K
        distances.

    ema_decay : float, default=0.99
        Decay of the running mean of the weights, which is what is kept.

    temperature : float, default=1.0
        Of the tokens drawn; 0 takes the most probable one.

    guidance_scale : float, default=1.0
        Above 1, samples are pushed towards what tells their class from others (classifier-free
        guidance, Ho and Salimans 2022); each step then takes two passes instead of one.

    guidance_schedule : {"constant", "linear"}, default="constant"
        "linear" starts without guidance, which grows with the share of steps taken.

    batch_size : int, default=64
        Series per training step.

    max_epochs : int or "auto", default="auto"
        Passes over the training set, which is repeated to 1,024 series if it has fewer. "auto": as
        many as make two steps for each series, but 800 steps at least and 2,000 at most, and 8
        passes at least; few series are soon learned by heart.

    learning_rate : float, default=0.001
        Peak learning rate of AdamW: warmed up over 5 % of the steps, then a cosine.

    weight_decay : float, default=0.01
        AdamW's, on the weights of linear layers.

    early_stopping : bool, default=False
        Hold `validation_fraction` of the series of each class out of stage 2, stop when their
        likelihood has not improved by `tol` for `n_iter_no_change` epochs, keep the
        best epoch.

    validation_fraction : float, default=0.1
    n_iter_no_change : int, default=10
    tol : float, default=1e-4

    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of the network's matrix products in training; inference is always float32. "auto" is
        float32.

    device : str or torch.device, default="auto"
        "auto" (a CUDA device where there is one), "cpu", "cuda", "cuda:1", "mps".

    n_threads : int or None, default=None
        CPU threads of `fit` and of what follows it. None: one, or up to four for long trainings.
        The same number gives the same bits; 1 is faster where others use the cores, as with
        `n_jobs`.

    verbose : int, default=0
        1 prints about ten lines a fit, higher numbers print more.

    random_state : int, RandomState instance or None, default=None
        Seed of initial weights, sample order and masks, and of the tokenizer if it has none.

    Attributes
    ----------
    tokenizer_ : VQTokenizer
        The fitted tokenizer.
    residual_scale_ : ndarray of shape (n_channels_in_,)
        Standard deviation of its reconstruction error on the training set, scaled.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted; only of a fit with labels.
    class_counts_ : ndarray of shape (n_classes,)
        Training series of each class; only of a fit with labels.
    X_fit_, y_fit_ : ndarray
        The training series, not copied without need, and their labels if there are any: what
        scorers compare samples with, so do not write into them. Pickles hold them too.
    loss_curve_ : dict of str to ndarray of shape (n_iter_,)
        Mean cross-entropy of the tokens per epoch, in nats; with early stopping "validation",
        the negative log-likelihood per token of held-out series.
    n_iter_ : int
        Number of epochs of stage 2.
    interrupted_ : bool
        Whether Ctrl-C ended stage 2; the weights are those of the last finished epoch,
        or of the best one with early stopping.
    n_channels_in_, n_timepoints_in_ : int
        Shape of a series seen in `fit`.
    n_features_in_ : int
        Number of time points for 2-D `X`, of channels for 3-D `X`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, if `X` had them.
    device_ : str
        Where the network is.
    n_threads_ : int
        CPU threads used.
    module_ : torch.nn.Module
        The prior, in evaluation mode.

    See Also
    --------
    MaskedPriorGenerator : The bidirectional prior, which fills gaps as well.

    References
    ----------
    .. [1] van den Oord, Vinyals, Kavukcuoglu. "Neural discrete representation learning", 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from skvqts import AutoregressivePriorGenerator, VQTokenizer
    >>> X = np.sin(np.linspace(0, 6, 40) + np.arange(20)[:, None])
    >>> tokenizer = VQTokenizer(codebook_size=8, max_epochs=20)
    >>> generator = AutoregressivePriorGenerator(tokenizer, width=32, max_epochs=2, random_state=0)
    >>> generator.fit(X).sample(5, random_state=0).shape
    (5, 40)
    """

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
        dropout="auto",
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
        early_stopping=False,
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
        masks = [torch.ones(1, n, dtype=torch.bool, device="cpu") for n in self._n_tokens]
        weights = [torch.ones(1, dtype=torch.float64, device="cpu")] * len(masks)
        return self._prior_reader().bound(ids, classes, masks, weights)

    def _decodings(self):
        """Every token by itself, in the order of the rows of the grid."""
        return [
            Decoding(n, self.temperature, torch.arange(n, device="cpu"), 0.0, "linear")
            for n in self._n_tokens
        ]
