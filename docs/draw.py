"""Draw the picture of the augmentations on a series of GunPoint: ``python docs/draw.py``."""

from pathlib import Path

import numpy as np
from aeon.datasets import load_gunpoint
from matplotlib.figure import Figure

from skvqts.augmentation import (
    PRESETS,
    AmplitudeResize,
    BandDropout,
    Crop,
    Flip,
    GaussianNoise,
    MagnitudeWarp,
    PhaseShift,
    SliceAndShuffle,
    Slope,
    TimeMask,
    WindowWarp,
)

PATH = Path(__file__).with_name("augmentations.png")
AUGMENTATIONS = {
    "GaussianNoise(), “gauss”": GaussianNoise(),
    "SliceAndShuffle(), “slice”": SliceAndShuffle(),
    "WindowWarp then AmplitudeResize, “warp”": PRESETS["warp"],
    "WindowWarp()": WindowWarp(),
    "AmplitudeResize()": AmplitudeResize(),
    "MagnitudeWarp()": MagnitudeWarp(),
    "Crop()": Crop(),
    "Slope()": Slope(),
    "Flip()": Flip(),
    "TimeMask()": TimeMask(),
    "PhaseShift()": PhaseShift(),
    "BandDropout()": BandDropout(),
}


def draw(series):
    """Draw two random views of a series by each augmentation, over the series itself."""
    figure = Figure(figsize=(11, 1.7 * 4), layout="constrained")
    panels = figure.subplots(4, 3, sharex=True, sharey=True).ravel()
    for axis, (name, augmentation) in zip(panels, AUGMENTATIONS.items(), strict=True):
        axis.plot(series, color="#999999", linewidth=2.5)
        first, second = augmentation.view(np.stack([series, series]), random_state=1)
        axis.plot(first, color="#1f77b4", linewidth=1)
        axis.plot(second, color="#d95f02", linewidth=1)
        axis.set_title(name, fontsize=9, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    X, _ = load_gunpoint(split="train")
    draw((X[0, 0] - X[0, 0].mean()) / X[0, 0].std()).savefig(PATH, dpi=80)
