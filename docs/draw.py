"""Draw the pictures of the docs, on aeon's bundled sets: ``python docs/draw.py``."""

from pathlib import Path

from aeon.datasets import load_gunpoint

from skvqts._cli.figures import draw_augmentations
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

FOLDER = Path(__file__).parent

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


def main():
    """Write the pictures beside this file."""
    X, _ = load_gunpoint(split="train")
    series = (X[0, 0] - X[0, 0].mean()) / X[0, 0].std()
    figure = draw_augmentations(series, AUGMENTATIONS, random_state=1)
    figure.savefig(FOLDER / "augmentations.png", dpi=80)


if __name__ == "__main__":
    main()
