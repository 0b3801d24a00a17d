"""Results that are written cell by cell, so that a run can be stopped and continued."""

import json
import time
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results"


class Cells:
    """A JSON-lines file of measured cells, none of which is measured twice.

    Parameters
    ----------
    path : path-like
        Made where it is missing. A cut-off last line, of a run that was killed, is dropped.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = self.path.read_text().splitlines(keepends=True) if self.path.exists() else []
        whole = [line for line in lines if line.endswith("\n")]
        if len(whole) < len(lines):
            self.path.write_text("".join(whole))
        self.rows = [json.loads(line) for line in whole]

    def measure(self, key, function):
        """Return the row of `key`, a dict; if it is missing, measure it by ``function()``."""
        for row in self.rows:
            if key.items() <= row.items():
                return row
        row = key | {name: _plain(value) for name, value in function().items()}
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        self.rows.append(row)
        return row


def seconds_of(estimator, *data):
    """Fit an estimator and return the seconds it took."""
    start = time.perf_counter()
    estimator.fit(*data)
    return time.perf_counter() - start


def _plain(value):
    return value.item() if isinstance(value, np.generic) else value


def table(rows, columns, digits=3):
    """Format dicts as lines of a table, with rounded numbers and empty missing cells."""
    cells = [[_text(row.get(column, ""), digits) for column in columns] for row in rows]
    lines = [columns, *cells]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


def _text(value, digits):
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def mean_and_spread(values, digits=3):
    """Format mean and standard deviation, as "0.861 ± 0.006"; a single value has no deviation."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"
