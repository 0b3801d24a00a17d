"""The report of one long recording: a page."""

import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from .._recordings.anomalies import top_stretches
from .._recordings.gaps import bridged, near_long_gaps, runs
from .._recordings.windows import SlidingWindows
from ..metrics import generation_report
from ..metrics._report import MIN_SERIES
from .figures import draw_anomalies, draw_gaps, draw_reconstructed, draw_recordings
from .models import fit, new_scorer, new_windowed
from .page import Page

_FITTED = 0.8  # of a recording; the rest judges what is generated
_WINDOWS = 256  # to train on, which take a minute
_DRAWS = 10  # of what may stand in a gap
_SHOWN_GAPS = 4
_STRETCHES = 5
_SHOWN_WINDOWS = 8  # of a recording, in pictures of details


def report_on_recording(data, options):
    """Fit to the first four fifths of a recording, and write a page of what was found out.

    Parameters
    ----------
    data : Recorded
    options : argparse.Namespace
    """
    values = data.recording.values
    n_fitted = round(_FITTED * values.shape[1])
    fitted = values[:, :n_fitted]
    model = new_windowed(options, fitted.shape, data.length, _WINDOWS, quick=True)
    fit(model, fitted[None])
    page = Page(f"skvqts: {data.name}")
    page.text(f"{data.name}: {data.words}.")
    page.text(
        f"The model was fitted to {model.n_windows_} windows of the first {n_fitted:,} points; the "
        "rest of the recording was not seen."
    )
    filled = values
    if np.isnan(values).any() and hasattr(model, "impute"):
        filled = _gaps(page, model, data, options)
    _strangest(page, data, bridged(filled), options)
    if np.isfinite(filled).all():
        _tokens(page, model, data, filled, n_fitted)
    else:
        page.text(
            "The recording lacks values, which only a generator fills: its tokens are left out."
        )
    if hasattr(model, "sample"):
        _synthetic(page, model, data, filled, options)
        _scores(page, model, filled, n_fitted, options)
    path = Path(options.out) / f"skvqts_{data.name}.html"
    page.save(path)
    print(f"page: {path}", flush=True)


def _gaps(page, model, data, options):
    """Gaps filled with the median of draws; returns the filled recording ``(c, t)``."""
    values = data.recording.values
    start = time.perf_counter()
    draws = model.impute(values[None], n_draws=_DRAWS, random_state=options.seed)
    filled = np.median(draws, axis=0)
    gaps = runs(np.isnan(values).any(axis=0))
    counted = f"{len(gaps)} gap{'s' if len(gaps) > 1 else ''}"
    print(f"{counted} filled in {time.perf_counter() - start:.1f} s", flush=True)
    page.heading("Gaps")
    lengths = np.diff(gaps, axis=1)[:, 0]
    page.text(
        f"{counted} of {lengths.min()} to {lengths.max()} points, filled by {_DRAWS} draws "
        "each, given what was observed of all channels. The line is their median, the band holds "
        "nine of ten. The longest ones:"
    )
    longest = gaps[np.argsort(-lengths, kind="stable")[:_SHOWN_GAPS]]
    _picture(page, draw_gaps, "gaps and what fills them", data, draws, longest)
    return filled


def _tokens(page, model, data, filled, n_fitted):
    """Tokens and the recording that they stand for."""
    tokens = model.encode(filled[None])
    rebuilt = model.reconstruct(filled[None])[0]
    errors = np.square((rebuilt - filled) / model.scale_)
    n_codes = len(np.unique(tokens.ids))
    page.heading("Tokens")
    page.text(
        f"{len(tokens.ids):,} tokens of {n_codes} codes stand for {filled.shape[1]:,} points of "
        f"{len(filled)} channels. What they say differs from the recording by a mean squared error "
        f"of {errors[:, :n_fitted].mean():.3f} where the model was fitted and "
        f"{errors[:, n_fitted:].mean():.3f} on the rest (1: no better than the mean)."
    )
    start = max(0, filled.shape[1] - _SHOWN_WINDOWS * model.windows_.length_)
    _picture(
        page,
        draw_reconstructed,
        "the end of the recording, what its tokens say, and the tokens",
        data,
        filled,
        rebuilt,
        tokens,
        start,
    )


def _strangest(page, data, filled, options):
    """The stretches with the highest anomaly scores."""
    start = time.perf_counter()
    scorer = new_scorer(data.length, options).fit(filled[None])
    scores = np.ravel(scorer.anomaly_score(filled[None]))
    # What was filled is not judged, nor what touches it.
    scores[near_long_gaps(data.recording.values, data.length)] = np.nan
    stretches = top_stretches(scores, _STRETCHES, data.length)
    print(f"anomalies scored in {time.perf_counter() - start:.1f} s", flush=True)
    page.heading("Strangest stretches")
    rows = [
        [data.in_words(s.start), data.in_words(s.stop - 1), f"{s.score:.2f}"] for s in stretches
    ]
    page.table(["from", "to", "score"], rows)
    page.text(
        "A score says how far the windows around a point are from all others, in the features of "
        "random convolutions: 0 is usual, and 1 a median absolute deviation above that. Some are "
        "highest in any recording. What lies near long gaps has no score."
    )
    _picture(page, draw_anomalies, "anomaly scores", data, filled, scores, stretches)


def _synthetic(page, model, data, filled, options):
    """A recording that the model has made, beside the real one."""
    n_timepoints = min(filled.shape[1], _SHOWN_WINDOWS * model.windows_.length_)
    start = time.perf_counter()
    new = model.sample(n_timepoints, random_state=options.seed).reshape(len(filled), -1)
    print(f"recording generated in {time.perf_counter() - start:.1f} s", flush=True)
    page.heading("A synthetic recording")
    page.text(
        f"{n_timepoints:,} points that the model has made, below as many real ones. It remembers "
        f"half a window, {model.windows_.length_ // 2} points: slower changes do not come back."
    )
    _picture(page, draw_recordings, "real and synthetic", data, filled[:, -n_timepoints:], new)


def _scores(page, model, filled, n_fitted, options):
    """Scores of generated windows, with floors."""
    length = model.windows_.length_
    page.heading("Scores of generated windows")
    if filled.shape[1] - n_fitted < length:
        page.text("The part that was not seen is shorter than a window: nothing to judge by.")
        return
    windows = [
        SlidingWindows(length, stride=stride).fit_transform(part[None])
        for part, stride in (
            (filled[:, :n_fitted], max(1, length // 2)),
            (filled[:, n_fitted:], max(1, length // 4)),
        )
    ]
    if min(map(len, windows)) < MIN_SERIES:
        page.text(f"There are fewer than {MIN_SERIES} windows to judge by.")
        return
    start = time.perf_counter()
    report = generation_report(
        model.estimator_,
        windows[0],
        None,
        windows[1],
        None,
        n_samples=min(options.samples, len(windows[1])),
        n_threads=options.threads,
        random_state=options.seed,
    )
    print(f"judged in {time.perf_counter() - start:.1f} s", report, sep="\n\n")
    page.text(
        "Windows that the model draws are compared with those of the part that it has not seen, "
        "which overlap; the floor is what real windows of the first part get."
    )
    page.printed(str(report))


def _picture(page, draw, description, *arguments):
    """Add a picture to the page, if matplotlib is installed."""
    if not find_spec("matplotlib"):
        page.text(f"(No picture of {description}: matplotlib is not installed.)")
        return
    page.picture(draw(*arguments), description)
