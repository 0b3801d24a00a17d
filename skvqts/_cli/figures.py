"""Pictures of fitted estimators and of series.

Only drawing needs matplotlib (``pip install 'skvqts[plot]'``); importing this module does not.
"""

import numpy as np

_BLUE = "#1f77b4"
_ORANGE = "#d95f02"
_GREY = "#999999"
_MOST_CHANNELS = 4  # of a recording, that are drawn


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


def draw_gaps(data, draws, gaps):
    """Draw gaps of a recording, the median of what fills them, and a band of nine draws of ten.

    Parameters
    ----------
    data : Recorded
    draws : ndarray of shape (m, c, t)
    gaps : int ndarray of shape (n, 2)
        Start and end of those that are drawn. Of each it is the channel that lacks most.

    Returns
    -------
    figure : matplotlib.figure.Figure
    """
    values = data.recording.values
    figure = _new_figure(11, 1.9 * len(gaps) + 0.4)
    axes = figure.subplots(len(gaps), 1, squeeze=False)[:, 0]
    for axis, (start, end) in zip(axes, gaps, strict=True):
        channel = int(np.isnan(values[:, start:end]).sum(axis=1).argmax())
        beside = max(20, 2 * (end - start))
        shown = np.arange(max(0, start - beside), min(values.shape[1], end + beside))
        missing = np.isnan(values[channel, shown])
        low, middle, high = np.quantile(draws[:, channel, shown], [0.05, 0.5, 0.95], axis=0)
        times = data.times(shown)
        axis.plot(times, values[channel, shown], color=_GREY, linewidth=1.5, label="observed")
        filled = np.where(missing, middle, np.nan)
        axis.plot(times, filled, color=_ORANGE, linewidth=1.5, label="filled")
        axis.fill_between(times, low, high, where=missing, color=_ORANGE, alpha=0.25, linewidth=0)
        _finish(axis, _channel_name(data, channel))
    axes[0].legend(frameon=False, fontsize=8, loc="upper right")
    return figure


def draw_reconstructed(data, filled, rebuilt, tokens, start):
    """Draw the end of a recording with what its tokens say, and the tokens as a strip of colours.

    Parameters
    ----------
    data : Recorded
    filled, rebuilt : ndarray of shape (c, t)
    tokens : RecordingTokens
        With time points as times.
    start : int
        Where the drawn part begins.

    Returns
    -------
    figure : matplotlib.figure.Figure
    """
    n_channels = min(len(filled), _MOST_CHANNELS)
    figure = _new_figure(11, 1.7 * n_channels + 0.9)
    ratios = [4] * n_channels + [1]
    axes = figure.subplots(n_channels + 1, 1, squeeze=False, height_ratios=ratios)[:, 0]
    shown = np.arange(start, filled.shape[1])
    for channel in range(n_channels):
        axes[channel].plot(
            data.times(shown), filled[channel, shown], color=_GREY, linewidth=2, label="recording"
        )
        axes[channel].plot(
            data.times(shown),
            rebuilt[channel, shown],
            color=_ORANGE,
            linewidth=1.2,
            label="from its tokens",
        )
        _finish(axes[channel], _channel_name(data, channel))
    axes[0].legend(frameon=False, fontsize=8, loc="upper right")
    is_shown = tokens.times >= start
    axes[-1].scatter(
        data.times(tokens.times[is_shown]),
        np.zeros(is_shown.sum()),
        c=tokens.ids[is_shown],
        cmap="turbo",
        marker="s",
        s=30,
    )
    axes[-1].set_yticks([])
    axes[-1].set_xlim(axes[0].get_xlim())
    _finish(axes[-1], "tokens, one colour for each code")
    return figure


def draw_anomalies(data, filled, scores, stretches):
    """Draw a recording and its anomaly scores, the strangest stretches shaded.

    Parameters
    ----------
    data : Recorded
    filled : ndarray of shape (c, t)
    scores : ndarray of shape (t,)
    stretches : list of Stretch
        With time points as start and stop.

    Returns
    -------
    figure : matplotlib.figure.Figure
    """
    n_channels = min(len(filled), _MOST_CHANNELS)
    figure = _new_figure(11, 1.5 * (n_channels + 1))
    axes = figure.subplots(n_channels + 1, 1, squeeze=False)[:, 0]
    every = np.arange(filled.shape[1])
    for channel in range(n_channels):
        axes[channel].plot(data.times(every), filled[channel], color=_GREY, linewidth=0.8)
        _finish(axes[channel], _channel_name(data, channel))
    axes[-1].plot(data.times(every), scores, color=_BLUE, linewidth=0.8)
    _finish(axes[-1], "anomaly score")
    for axis in axes:
        for stretch in stretches:
            first, last = data.times(np.array([stretch.start, stretch.stop - 1]))
            axis.axvspan(first, last, color=_ORANGE, alpha=0.35, linewidth=0)
    return figure


def draw_recordings(data, real, synthetic):
    """Draw a real recording above one that a model has made, channel by channel.

    Parameters
    ----------
    data : Recorded
    real, synthetic : ndarray of shape (c, t)

    Returns
    -------
    figure : matplotlib.figure.Figure
    """
    n_channels = min(len(real), _MOST_CHANNELS)
    figure = _new_figure(11, 2.6 * n_channels)
    axes = figure.subplots(2 * n_channels, 1, sharex=True, squeeze=False)[:, 0]
    for channel in range(n_channels):
        pair = axes[2 * channel : 2 * channel + 2]
        for axis, series, color, kind in zip(
            pair, (real, synthetic), (_GREY, _ORANGE), ("real", "synthetic"), strict=True
        ):
            axis.plot(series[channel], color=color, linewidth=1)
            _finish(axis, f"{_channel_name(data, channel)}, {kind}")
        pair[1].sharey(pair[0])
    axes[-1].set_xlabel("time point")
    return figure


def _channel_name(data, channel):
    return f"channel {channel}" if data.recording.names is None else data.recording.names[channel]


def _finish(axis, title):
    axis.set_title(title, fontsize=9, loc="left", parse_math=False)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)
