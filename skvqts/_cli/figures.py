"""Pictures of fitted estimators and of series.

Only drawing needs matplotlib (``pip install 'skvqts[plot]'``); importing this module does not.
"""

import numpy as np

_BLUE = "#1f77b4"
_ORANGE = "#d95f02"
_GREY = "#999999"


def draw_tokenizer(tokenizer, X, title="", n_series=3):
    """Draw series with their reconstructions and tokens, the usage of the codes and the losses.

    Parameters
    ----------
    tokenizer : fitted VQTokenizer
    X : array-like of shape (n, t) or (n, c, t)
        Series that the tokenizer was not trained on. The first channel of some is drawn.
    title : str
    n_series : int
        How many series are drawn.

    Returns
    -------
    figure : matplotlib.figure.Figure
    """
    figure = _new_figure(11, 7)
    figure.suptitle(f"VQTokenizer on {title}" if title else "VQTokenizer", parse_math=False)
    left, right = figure.subfigures(1, 2, width_ratios=(3, 2))
    picks = np.linspace(0, len(X) - 1, min(n_series, len(X))).astype(int)
    _draw_reconstructions(left, tokenizer, np.asarray(X)[picks])
    usage, losses = right.subplots(2, 1)
    _draw_usage(usage, tokenizer)
    _draw_losses(losses, tokenizer)
    return figure


def _new_figure(width, height):
    from matplotlib.figure import Figure  # optional

    return Figure(figsize=(width, height), layout="constrained")


def _draw_reconstructions(figure, tokenizer, X, n_shown=24):
    tokens = tokenizer.encode(X)
    original = _first_channel(X)
    decoded = _first_channel(tokenizer.decode(tokens))
    axes = figure.subplots(len(X), 1, sharex=True, squeeze=False)[:, 0]
    for axis, series, reconstruction, ids in zip(axes, original, decoded, tokens, strict=True):
        axis.plot(series, color=_GREY, linewidth=2, label="series")
        axis.plot(reconstruction, color=_ORANGE, linewidth=1.2, label="from its tokens")
        listed = " ".join(map(str, ids[:n_shown])) + (" ..." if len(ids) > n_shown else "")
        axis.set_title(f"tokens {listed}", fontsize=7, loc="left", family="monospace")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, fontsize=8, loc="upper right")
    axes[-1].set_xlabel("time point")


def _first_channel(series):
    return series[:, 0] if series.ndim == 3 else series


def _draw_usage(axis, tokenizer):
    usage = np.sort(tokenizer.codebook_usage_)[::-1]
    axis.bar(np.arange(len(usage)), usage, color=_BLUE)
    axis.set_title(f"usage of the codes, perplexity {tokenizer.perplexity_:.1f}", fontsize=10)
    axis.set_xlabel("codes, most used first")
    axis.set_ylabel("share of tokens")
    axis.spines[["top", "right"]].set_visible(False)


def _draw_losses(axis, tokenizer):
    for name, values in tokenizer.loss_curve_.items():
        if name != "loss":
            axis.plot(np.arange(1, len(values) + 1), values, label=name)
    axis.set_yscale("log")
    axis.set_title("loss terms", fontsize=10)
    axis.set_xlabel("epoch")
    axis.legend(frameon=False, fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def draw_generated(real, generated, means, title="", n_series=5):
    """Draw real series beside generated ones and beside the means of these, on the same axes.

    Parameters
    ----------
    real, generated, means : array-like of shape (n, t) or (n, c, t)
        The first channel of some series of each is drawn; `means` are of the tokens of `generated`.
    title : str
    n_series : int
        How many series of each are drawn.

    Returns
    -------
    figure : matplotlib.figure.Figure
    """
    figure = _new_figure(12, 1.3 * n_series + 0.8)
    heading = f"Real and generated: {title}" if title else "Real and generated"
    figure.suptitle(heading, parse_math=False)
    panels = figure.subplots(n_series, 3, sharex=True, sharey=True, squeeze=False)
    columns = {
        "real": (real, _GREY),
        "generated": (generated, _ORANGE),
        "the same tokens, decoded to their mean": (means, _BLUE),
    }
    for axes, (name, (X, color)) in zip(panels.T, columns.items(), strict=True):
        picks = np.linspace(0, len(X) - 1, n_series).astype(int)
        for axis, series in zip(axes, _first_channel(np.asarray(X)[picks]), strict=True):
            axis.plot(series, color=color, linewidth=1.2)
            axis.spines[["top", "right"]].set_visible(False)
        axes[0].set_title(name, fontsize=10)
        axes[-1].set_xlabel("time point")
    return figure
