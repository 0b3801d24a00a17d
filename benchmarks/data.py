"""Series for the benchmarks: ``<Name>.npz`` files of a folder, or aeon's bundled sets."""

from pathlib import Path

import numpy as np

PUBLISHED = (
    "ElectricDevices",
    "FordA",
    "ShapesAll",
    "SonyAIBORobotSurface1",
    "SonyAIBORobotSurface2",
    "Symbols",
    "TwoPatterns",
    "Wafer",
)
BUNDLED = ("GunPoint", "ItalyPowerDemand", "ArrowHead", "BasicMotions")


def default_folder():
    """Find the folder of UCR sets beside the repository; None if there is none."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data" / "ucr"
    return folder if folder.is_dir() else None


def sets_of(options, usual=PUBLISHED, bundled=BUNDLED):
    """Choose the sets asked for, or the usual ones, or without a folder some that aeon bundles."""
    return options.sets or (usual if options.folder else bundled)


def load(name, folder):
    """Load the training and test series ``(n, c, t)`` and labels of a set in its default split."""
    if folder:
        with np.load(Path(folder) / f"{name}.npz", allow_pickle=False) as arrays:
            return tuple(arrays[k] for k in ("X_train", "y_train", "X_test", "y_test"))
    from aeon.datasets import load_classification

    train, test = (load_classification(name, split=split) for split in ("train", "test"))
    return train[0], train[1], test[0], test[1]
