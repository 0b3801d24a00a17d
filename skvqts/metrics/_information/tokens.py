"""What tokens tell: of the classes of series, and how many nats a prior saves in writing them."""

from typing import NamedTuple

import numpy as np
from sklearn.metrics.cluster import contingency_matrix
from sklearn.utils import check_array

from ..._fitting.unequal import as_series_list
from ..._fitting.validation import as_array_like, checked_labels
from .._validation import validate_choice
from .discrete import entropy, mutual_information


def token_label_information(tokens, y, *, correction="miller_madow"):
    """Mutual information of the token at each place and the label of the series, from data.

    Parameters
    ----------
    tokens : array-like of shape (n, n_tokens)
        Ids of codes, as `VQTokenizer.encode` gives them.
    y : array-like of shape (n,)
        A label for each series.
    correction : {"miller_madow", None}, default="miller_madow"
        None: that of the observed frequencies, which is too large by about ``(r - 1) (c - 1) / 2n``
        for r ids and c labels. "miller_madow": less that bias by the number of ids, of labels and
        of pairs of both that occur [1]_.

    Returns
    -------
    information : ndarray of shape (n_tokens,)
        In nats: 0 where tokens tell nothing, the entropy of the labels where they tell all; the
        correction can take it a little beyond either.

    Raises
    ------
    ValueError
        If `tokens` are no whole numbers, or `y` is not a label for each series.

    References
    ----------
    .. [1] Miller. "Note on the bias of information estimates", 1955.
    """
    validate_choice("correction", correction, ("miller_madow", None))
    tokens = check_array(
        as_array_like(tokens, "skvqts.metrics", "tokens"), dtype=None, input_name="tokens"
    )
    if tokens.dtype.kind not in "iuf" or np.any(tokens != np.floor(tokens)):
        raise ValueError("tokens must hold whole numbers.")
    y = checked_labels(y, len(tokens), "y")
    information = []
    for column in tokens.T:
        counts = contingency_matrix(column, y)
        value = mutual_information(counts / len(y))
        if correction is not None:
            n_pairs, (n_ids, n_labels) = np.count_nonzero(counts), counts.shape
            value -= (n_pairs - n_ids - n_labels + 1) / (2 * len(y))
        information.append(value)
    return np.array(information)


class CodeLength(NamedTuple):
    """What `code_length` gives, in nats per series.

    Attributes
    ----------
    uniform : float
        Under a uniform prior: the sum over tokens of log K, K codes being equally likely. It is the
        Kullback-Leibler divergence of that prior from the posterior of a VQ-VAE, which is certain
        of one code, and constant in training (van den Oord et al. 2017, section 3.2).
    usage : float
        Under a prior that knows how frequent each code is in the training set of the tokenizer.
    learned : float
        Under the prior of the generator: its negative log-likelihood, or an upper bound of it.
    """

    uniform: float
    usage: float
    learned: float


def code_length(generator, X):
    """How many nats the tokens of series take, by a uniform prior and by one that was learned.

    What the learned prior saves is ``uniform - learned``.

    Parameters
    ----------
    generator : generator
        Fitted, with ``tokenizer_`` and ``score_samples``.
    X : array-like of shape (n, t) or (n, c, t), or list of n arrays
        Series that it was not trained on.

    Returns
    -------
    uniform, usage, learned : float
        A `CodeLength`: means over the series, in nats per series. `usage` is infinite if a code
        occurs that does not in the training set of the tokenizer.

    Raises
    ------
    TypeError
        If `generator` has no tokenizer.
    """
    if not (hasattr(generator, "tokenizer_") and hasattr(generator, "score_samples")):
        raise TypeError(
            "code_length takes a fitted generator over tokens, with tokenizer_ and score_samples, "
            f"got {type(generator).__name__}."
        )
    tokenizer = generator.tokenizer_
    if getattr(generator, "lengths_", None) is not None:  # a series has the tokens of its length
        tokens = tokenizer.encode(as_series_list(X))
    else:
        tokens = list(tokenizer.encode(X))
    n_series, tokens = len(tokens), np.concatenate(tokens)
    # A codebook for each band and, before these, for each token of the whole series.
    n_codes = tokenizer.module_.n_codes
    uniform = tokens.size / n_series * entropy(np.full(n_codes, 1 / n_codes))
    usage = 0.0
    of_codes = np.bincount(tokens, minlength=len(tokenizer.codebook_)) / n_series
    for first in range(0, len(tokenizer.codebook_), n_codes):
        codes = slice(first, first + n_codes)
        shares = tokenizer.codebook_usage_[codes] / tokenizer.codebook_usage_[codes].sum()
        counts = of_codes[codes]
        with np.errstate(divide="ignore", invalid="ignore"):
            usage -= np.where(counts > 0, counts * np.log(shares), 0.0).sum()
    learned = -float(generator.score_samples(X).mean())
    return CodeLength(uniform=float(uniform), usage=float(usage), learned=learned)
