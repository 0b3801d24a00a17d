"""Properties of every transformer on series of any shape, scale and container (hypothesis)."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError

from skvqts import Quantizer, VQTokenizer

from . import reference
from .conftest import two_shapes
from .estimators import COUNT_PARAMETER, TRANSFORMERS, fitted

NAMES = list(TRANSFORMERS)
# The tokenizer, the other autoencoder and the other transformers without a network are the quick
# form of these.
SLOWEST = ("SSLFeatureExtractor", "SeriesAutoencoder", "STFTTransformer")
each_transformer = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in SLOWEST else name for name in NAMES],
)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def any_series(draw):
    """Series (n, c, t) of any length, scale and offset; some constant, some tied."""
    shape = draw(st.integers(2, 12)), draw(st.integers(1, 3)), draw(st.integers(1, 64))
    rng = np.random.default_rng(draw(seeds))
    X = rng.normal(size=shape).cumsum(2)
    if draw(st.booleans()):
        X = np.round(X)
    X[rng.random(shape[:2]) < draw(st.sampled_from([0, 0, 0.5, 1]))] = 1.0
    offset = draw(st.sampled_from([0, 0, 1, -1e6]))
    return (X + offset) * 10 ** draw(st.floats(-25, 25))


@st.composite
def fitted_series(draw):
    """Series (n, 32), as the fitted transformers expect."""
    n, seed, noise = draw(st.integers(1, 80)), draw(seeds), draw(st.floats(0, 3))
    return two_shapes(n, seed=seed, noise=noise)[0]


def fit(name, X, **parameters):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The training set has only")
        return TRANSFORMERS[name](max_epochs=1, **parameters).fit(X)


@each_transformer
@settings(max_examples=25)
@given(X=any_series())
def test_results_are_finite_and_have_the_right_shape_for_any_series(name, X):
    transformer = fit(name, X)
    out = transformer.transform(X)
    assert out.shape == (len(X), len(transformer.get_feature_names_out()))
    assert np.isfinite(out).all()
    if hasattr(transformer, "encode"):
        ids = transformer.encode(X)
        assert ids.dtype == np.int64
        assert 0 <= ids.min() <= ids.max() < len(transformer.codebook_)
        again = transformer.decode(ids)
        assert again.shape == X.shape
        assert np.isfinite(again).all()


@each_transformer
@settings(max_examples=20)
@given(X=any_series())
def test_2d_and_3d_input_give_equal_results(name, X):
    flat = X[:, 0]
    first, second = fit(name, flat), fit(name, flat[:, None])
    assert np.array_equal(first.transform(flat), second.transform(flat))
    assert np.array_equal(first.transform(flat[:, None]), second.transform(flat))


@each_transformer
@given(X=fitted_series(), seed=seeds)
def test_results_do_not_depend_on_other_series(name, X, seed):
    """Nor on their order or how many are transformed at a time."""
    whole = fitted(name).transform(X)
    order = np.random.default_rng(seed).permutation(len(X))
    assert np.array_equal(fitted(name).transform(X[order]), whole[order])
    cut = seed % len(X)
    parts = [fitted(name).transform(part) for part in (X[:cut], X[cut:]) if len(part)]
    assert np.array_equal(np.concatenate(parts), whole)
    assert np.array_equal(fitted(name).transform(X[cut : cut + 1]), whole[cut : cut + 1])


@given(
    codes=arrays(np.int64, st.tuples(st.integers(1, 40), st.just(35)), elements=st.integers(0, 5))
)
def test_decoding_does_not_depend_on_other_series(codes):
    tokenizer = fitted("VQTokenizer tokens")
    ids = codes + tokenizer.encode(np.zeros((1, 32))) // 6 * 6  # each token has six codes
    whole = tokenizer.inverse_transform(ids)
    assert whole.shape == (*ids.shape[:1], 32)
    assert np.array_equal(np.concatenate([tokenizer.decode(row[None]) for row in ids]), whole)


CONTAINERS = [
    np.asfortranarray,
    np.ndarray.tolist,
    pd.DataFrame,
    torch.tensor,
    lambda X: X.astype(">f8"),
    lambda X: X.astype(object),
    lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    lambda X: X[:, None],
    lambda X: X[::-1].copy()[::-1],
]


@each_transformer
@pytest.mark.filterwarnings("ignore:X has feature names")
@given(X=fitted_series(), container=st.sampled_from(CONTAINERS))
def test_results_do_not_depend_on_the_container(name, X, container):
    assert np.array_equal(fitted(name).transform(container(X)), fitted(name).transform(X))


@each_transformer
@settings(max_examples=20)
@given(X=fitted_series().filter(lambda X: len(X) > 1), power=st.integers(-80, 80))
def test_results_do_not_depend_on_scaling_by_powers_of_two(name, X, power):
    scaled = fit(name, X * 2.0**power)
    assert np.array_equal(scaled.transform(X * 2.0**power), fit(name, X).transform(X))


@settings(max_examples=20)
@given(seed=seeds, scale=st.floats(0.01, 100), offset=st.floats(-100, 100))
def test_decoded_series_have_the_scale_and_offset_of_the_training_series(seed, scale, offset):
    X = two_shapes(24, seed=seed)[0]
    plain, moved = fit("VQTokenizer", X), fit("VQTokenizer", scale * X + offset)
    ids = plain.encode(X)
    assert (moved.encode(scale * X + offset) == ids).mean() > 0.98
    np.testing.assert_allclose(
        moved.decode(ids), scale * plain.decode(ids) + offset, atol=0.02 * scale
    )


@given(X=fitted_series())
def test_single_and_double_precision_give_the_same_tokens(X):
    tokenizer = fitted("VQTokenizer tokens")
    single, double = tokenizer.encode(X.astype(np.float32)), tokenizer.encode(X)
    assert (single != double).mean() <= 0.001 + 1 / single.size


@settings(max_examples=20)
@given(X=fitted_series().filter(lambda X: len(X) > 1), seed=seeds)
def test_permuting_the_codebook_permutes_the_tokens(X, seed):
    tokenizer = fitted("VQTokenizer")
    order = np.random.default_rng(seed).permutation(6)
    state = pickle.loads(pickle.dumps(tokenizer)).__getstate__()
    (key,) = [k for k in state["_module_arrays"] if k.endswith("codebook")]
    state["_module_arrays"][key] = state["_module_arrays"][key][order]
    permuted = VQTokenizer()
    permuted.__setstate__(state)
    ids = permuted.encode(X)
    assert np.array_equal(order[ids], tokenizer.encode(X))
    assert np.array_equal(permuted.decode(ids), tokenizer.decode(order[ids]))


# ---- parameters

GOOD_QUANTIZER = {
    "update": st.sampled_from(["ema", "gradient"]),
    "init": st.sampled_from(["kmeans", "normal"]),
    "code_dim": st.none() | st.integers(1, 5),
    "normalize_codes": st.booleans(),
    "ema_decay": st.floats(0, 1),
    "revival_threshold": st.floats(0, 0.99),
    "commitment_weight": st.floats(0, 5),
}
GOOD = {
    "codebook_size": st.integers(1, 40),
    "output": st.sampled_from(["features", "tokens", "one_hot", "quantized", "continuous_pooled"]),
    "width": st.integers(1, 9),
    "latent_dim": st.integers(1, 9),
    "n_blocks": st.integers(0, 3),
    "downsampled_width": st.integers(1, 40),
    "quantizer": st.none()
    | st.fixed_dictionaries({}, optional=GOOD_QUANTIZER).map(lambda given: Quantizer(**given)),
    "scaling": st.sampled_from(["train", "series"]),
    "batch_size": st.integers(1, 30),
    "learning_rate": st.floats(1e-6, 1e-2),
    "weight_decay": st.floats(0, 0.1),
    "early_stopping": st.booleans(),
    "warm_start": st.booleans(),
}
JUNK = (
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats()
    | st.text(max_size=3)
    | st.lists(st.integers(), max_size=2)
    | st.just(np.array([1.0, np.nan]))
    | st.just(object())
    | st.dictionaries(st.text(max_size=2), st.integers(), max_size=1)
)


def plain_parameters(estimator):
    """All parameters, also nested ones, with the type in place of a nested object."""
    return {
        name: type(value) if isinstance(value, BaseEstimator) else value
        for name, value in estimator.get_params().items()
    }


@settings(max_examples=40)
@given(parameters=st.fixed_dictionaries({}, optional=GOOD), length=st.integers(1, 40))
def test_any_valid_parameters_can_be_fitted_cloned_and_pickled(parameters, length):
    X = two_shapes(10, length)[0]
    tokenizer = fit("VQTokenizer", X, **parameters)
    out = tokenizer.transform(X)
    assert np.isfinite(out).all()
    assert np.array_equal(pickle.loads(pickle.dumps(tokenizer)).transform(X), out)
    again = clone(tokenizer)
    assert plain_parameters(again) == plain_parameters(tokenizer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.array_equal(again.fit(X).transform(X), out)


@each_transformer
@settings(max_examples=100)
@given(data=st.data())
def test_junk_raises_value_error_type_error_or_not_fitted_error(name, data):
    """Whatever is accepted, as a parameter or as series, has finite results."""
    X = two_shapes(6)[0]
    transformer = TRANSFORMERS[name](max_epochs=1)
    if hasattr(transformer, "quantizer"):
        transformer.set_params(quantizer=Quantizer())  # its parameters may be junk, too
    where = data.draw(st.sampled_from(["parameter", "fit", "transform"]))
    junk = data.draw(JUNK)
    try:
        if where == "parameter":
            parameters = [p for p in transformer.get_params() if p not in ("max_epochs", "width")]
            parameter = data.draw(st.sampled_from(parameters))
            if isinstance(junk, (int, float)) and not isinstance(junk, bool):
                junk = junk if parameter in COUNT_PARAMETER.values() and junk < 100 else -3
            out = transformer.set_params(**{parameter: junk}).fit(X).transform(X)
        elif where == "fit":
            out = transformer.fit(junk).transform(X)
        else:
            out = fitted(name).transform(junk)
    except (ValueError, TypeError, NotFittedError) as error:
        assert str(error)  # noqa: PT017
    else:
        assert np.isfinite(out).all()


@settings(max_examples=20)
@given(steps=st.lists(st.sampled_from(["fit", "shorter", "bad", "pickle", "params"]), max_size=5))
def test_any_sequence_of_calls_ends_like_a_fresh_fit(steps):
    """After the last successful fit a tokenizer equals a new one of the same parameters."""
    X = two_shapes(12)[0]
    tokenizer, series, seed, size = TRANSFORMERS["VQTokenizer"](max_epochs=1), None, 0, 0
    for step in steps:
        if step == "params":
            size += 1
            tokenizer.set_params(random_state=size)
        elif step == "pickle":
            tokenizer = pickle.loads(pickle.dumps(tokenizer))
        elif step == "bad":
            with pytest.raises(ValueError, match="NaN"):
                tokenizer.fit(np.full((3, 4), np.nan))
        else:
            series, seed = (X if step == "fit" else X[:, :20]), size
            tokenizer.fit(series)
    if series is None:
        with pytest.raises(NotFittedError):
            tokenizer.transform(X)
    else:
        fresh = TRANSFORMERS["VQTokenizer"](max_epochs=1, random_state=seed).fit(series)
        assert np.array_equal(tokenizer.transform(series), fresh.transform(series))


def test_tokens_are_the_nearest_codes_of_the_naive_reference():
    X = two_shapes(24)[0]
    tokenizer = pickle.loads(pickle.dumps(fitted("VQTokenizer"))).set_params(output="continuous")
    z = tokenizer.transform(X).reshape(-1, tokenizer.codebook_.shape[1])
    _, distances = reference.nearest_code(z, tokenizer.codebook_)
    chosen = distances[np.arange(len(z)), tokenizer.encode(X).ravel()]
    assert (chosen <= distances.min(1) * (1 + 1e-5)).all()
