"""Errors and warnings of skvqts that scikit-learn has no name for."""


class DivergedError(RuntimeError):
    """Training produced a loss that is not finite or grew without bound."""


class NotInvertibleError(ValueError, AttributeError):
    """The chosen output cannot be turned back into series.

    An AttributeError too, so that ``hasattr(tokenizer, "inverse_transform")`` tells.
    """


class VersionWarning(UserWarning):
    """A pickled estimator was made by another version of skvqts than the one that opens it."""


class CollapseWarning(UserWarning):
    """A self-supervised representation in which all series are alike."""
