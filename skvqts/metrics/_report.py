"""What a report of scores holds and how it prints."""

from dataclasses import asdict, dataclass, field, fields


@dataclass
class Score:
    """One value of a report; what does not apply is None.

    Attributes
    ----------
    name, referee : str
        Which score, and through which extractor or classifier.
    value, standard_error : float
        By half-samples for distances and neighbours, by the bootstrap for the rest; that of the
        accuracies given the generated series and the trained classifier.
    n_real, n_gen, n_train, d : int
        Numbers of test, generated and training series compared, and of features.
    at_half, real_at_half : float
        Mean score of generated and of other real series against real ones, at half the
        size: both of one size, so that their bias is one too.
    of_train : float
        Of training series against test series; the memorization score compares each of them with
        the others, so that 1 less this is what a shift between training and test series costs.
    of_reconstructions : float
        Of reconstructed test series against test series: the tokenizer's share.
    of_real : float
        Of real series in the place of generated ones: the ceiling.
    """

    name: str
    referee: str
    value: float
    standard_error: float
    n_real: int
    n_gen: int
    n_train: int | None = None
    d: int | None = None
    at_half: float | None = None
    real_at_half: float | None = None
    of_train: float | None = None
    of_reconstructions: float | None = None
    of_real: float | None = None


_COLUMNS = {
    "score": "name",
    "value": "value",
    "s.e.": "standard_error",
    "at half": "at_half",
    "real at half": "real_at_half",
    "train": "of_train",
    "recon.": "of_reconstructions",
    "real": "of_real",
    "n real": "n_real",
    "n gen.": "n_gen",
    "n train": "n_train",
    "d": "d",
}


@dataclass
class GenerationReport:
    """Scores of generated series, as `generation_report` gives them; prints as a table.

    Attributes
    ----------
    scores : list of Score
    referees : dict of str to str
        What stands behind the short name of each referee: the estimator, and a hash of its fitted
        state. Values can be compared only where it is the same.
    warnings : list of str
        What makes the values less than they seem.
    """

    scores: list = field(default_factory=list)
    referees: dict = field(default_factory=dict)
    warnings: list = field(default_factory=list)

    def __getitem__(self, key):
        """The `Score` of a name, or of a pair of name and referee."""
        name, referee = key if isinstance(key, tuple) else (key, None)
        for score in self.scores:
            if score.name == name and referee in (None, score.referee):
                return score
        raise KeyError(f"{key!r} is not among {[(s.name, s.referee) for s in self.scores]}")

    def to_dict(self):
        """Everything in plain dicts, lists, numbers and strings."""
        return {
            "scores": [asdict(score) for score in self.scores],
            "referees": dict(self.referees),
            "warnings": list(self.warnings),
        }

    def to_frame(self):
        """Scores as a pandas DataFrame, a row each; needs pandas."""
        import pandas as pd

        return pd.DataFrame([asdict(score) for score in self.scores], columns=_names(Score))

    def __str__(self):
        lines = []
        for referee, identity in self.referees.items():
            rows = [score for score in self.scores if score.referee == referee]
            cells = [[_text(getattr(row, name)) for name in _COLUMNS.values()] for row in rows]
            widths = [max(map(len, column)) for column in zip(_COLUMNS, *cells, strict=True)]
            lines += [f"through {referee}: {identity}" if identity else referee]
            lines += [_line(row, widths) for row in [list(_COLUMNS), *cells]] + [""]
        lines += [
            "at half, real at half: of generated and of other real series, at half the size.",
            "train, recon., real: of training series, of reconstructed and of real test series.",
        ]
        return "\n".join(lines + [f"Warning: {warning}" for warning in self.warnings])


def _line(cells, widths):
    first, *others = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
    return "  ".join([first.strip().ljust(widths[0]), *others]).rstrip()


def _names(cls):
    return [f.name for f in fields(cls)]


def _text(value):
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
