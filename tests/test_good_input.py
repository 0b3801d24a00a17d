"""Valid series, parameters and uses of any form give the right result.

The right result is that of a plain float64 array, bit for bit.
"""

import copy
import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.utils.estimator_checks import _NotAnArray

from skvqts import VersionWarning, __version__

from .conftest import results_in_a_new_process, two_shapes
from .estimators import TRANSFORMERS, UNSEEDED, fitted

NAMES = list(TRANSFORMERS)


class _ArrayLike:
    def __init__(self, X):
        self.X = X

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.X, dtype=dtype)


def _read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


FRAME = [f"t{i}" for i in range(32)]

# Containers of small whole numbers (24, 32), which are exact in every dtype.
CONTAINERS = {
    "panel": lambda X: X[:, None],
    "nested lists": lambda X: X.tolist(),
    "nested lists of a panel": lambda X: X[:, None].tolist(),
    "tuples": lambda X: tuple(map(tuple, X.tolist())),
    "object with __array__": _ArrayLike,
    "scikit-learn's array-like": _NotAnArray,
    "list of arrays": list,
    "array of a pandas data frame": lambda X: pd.DataFrame(X).to_numpy(),
    "polars data frame": lambda X: pl.DataFrame(X, schema=FRAME),
    "polars column of lists": lambda X: pl.Series(X.tolist()),
    "polars column of arrays": lambda X: pl.Series(
        X.tolist(), dtype=pl.Array(pl.Float64, len(X[0]))
    ),
    "data frame of nullable integers": lambda X: pd.DataFrame(X).astype("Int64"),
    "data frame of objects": lambda X: pd.DataFrame(X).astype(object),
    "pandas column of lists": lambda X: pd.Series(X.tolist()),
    "tensor": torch.tensor,
    "tensor with gradient": lambda X: torch.tensor(X, requires_grad=True),
    "list of tensors": lambda X: list(torch.tensor(X)),
    "bfloat16 tensor": lambda X: torch.tensor(X, dtype=torch.bfloat16),
    "masked array without masked values": lambda X: np.ma.array(X, mask=False),
    "int8": lambda X: X.astype(np.int8),
    "int64": lambda X: X.astype(np.int64),
    "object array of integers": lambda X: X.astype(int).astype(object),
    "float16": lambda X: X.astype(np.float16),
    "float32": lambda X: X.astype(np.float32),
    "longdouble": lambda X: X.astype(np.longdouble),
    "big-endian floats": lambda X: X.astype(">f4"),
    "big-endian integers": lambda X: X.astype(">i8"),
    "object array of floats": lambda X: X.astype(object),
    "numbers as text": lambda X: X.astype(str),
    "Fortran order": np.asfortranarray,
    "strided": lambda X: np.repeat(np.repeat(X, 2, 0), 3, 1)[::2, ::3],
    "negative strides": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": _read_only,
}


def whole_numbers():
    return np.round(10 * two_shapes(24)[0])


@pytest.mark.parametrize(
    ("name", "case"),
    [
        pytest.param(
            name,
            case,
            marks=[] if name == NAMES[0] or i % 8 == j % 8 else pytest.mark.slow,
        )
        for j, name in enumerate(NAMES)
        for i, case in enumerate(CONTAINERS)
    ],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.filterwarnings("ignore:X has feature names")
@pytest.mark.filterwarnings("error")
def test_results_do_not_depend_on_the_container(name, case):
    X = whole_numbers()
    container, before = CONTAINERS[case](X), copy.deepcopy(CONTAINERS[case](X))
    out = fitted(name).transform(container)
    assert np.array_equal(out, fitted(name).transform(X))
    refitted = TRANSFORMERS[name](max_epochs=1).fit(container)
    assert np.array_equal(refitted.transform(X), TRANSFORMERS[name](max_epochs=1).fit_transform(X))
    assert type(container) is type(before)
    if isinstance(container, np.ndarray):
        assert np.array_equal(container, before)


@pytest.mark.filterwarnings("ignore:X has feature names")
def test_tables_of_arrow_are_series():
    arrow = pytest.importorskip("pyarrow")
    X = whole_numbers()
    table = arrow.Table.from_pandas(pd.DataFrame(X, columns=FRAME))
    model = fitted(NAMES[0])
    np.testing.assert_array_equal(model.transform(table), model.transform(X))


@pytest.mark.parametrize("name", NAMES)
def test_unsigned_and_boolean_series(name):
    X = whole_numbers()
    for dtype in (bool, np.uint16):
        Z = np.abs(X).astype(dtype)
        expected = fitted(name).transform(Z.astype(float))
        assert np.array_equal(fitted(name).transform(Z), expected), dtype


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("error")
def test_memory_maps_and_broadcast_arrays(name, tmp_path):
    X = whole_numbers()
    np.save(tmp_path / "X.npy", X.astype(np.float32))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    expected = fitted(name).transform(X)
    assert np.array_equal(fitted(name).transform(mapped), expected)
    row = np.broadcast_to(X[0], X.shape)
    again = fitted(name).transform(row)
    assert np.array_equal(again, np.repeat(expected[:1], 24, axis=0))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 7, 9, 101])
def test_series_of_any_length(name, length):
    X = two_shapes(6, length)[0]
    transformer = TRANSFORMERS[name](max_epochs=1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The training set has only")
        out = transformer.fit_transform(X)
    assert np.isfinite(out).all()
    assert len(out) == 6
    if hasattr(transformer, "inverse_transform"):
        assert transformer.inverse_transform(out).shape == X.shape


@pytest.mark.parametrize("name", NAMES)
def test_a_single_series_and_equal_series(name):
    X = two_shapes(24)[0]
    one = fitted(name).transform(X[:1])
    assert np.array_equal(one, fitted(name).transform(X)[:1])
    same = np.repeat(X[:1], 10, axis=0)
    out = TRANSFORMERS[name]().fit_transform(same)
    assert np.isfinite(out).all()
    assert np.ptp(out, axis=0).max() == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0.0, 1e6, -1e30])
def test_constant_series_have_equal_finite_results(name, value):
    out = TRANSFORMERS[name]().fit_transform(np.full((10, 20), value))
    assert np.isfinite(out).all()
    assert np.ptp(out, axis=0).max() == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("factor", [2.0**80, 2.0**-100])
def test_results_do_not_depend_on_the_scale(name, factor):
    """Powers of two scale without rounding errors."""
    X = two_shapes(24)[0]
    out = TRANSFORMERS[name]().fit_transform(factor * X)
    assert np.array_equal(out, fitted(name).transform(X))


@pytest.mark.parametrize("name", NAMES)
def test_results_do_not_depend_on_the_offset(name):
    """Sums of 1,024 numbers with ten binary digits after the point are exact, also near 2**20."""
    X = np.round(two_shapes(32)[0] * 1024) / 1024
    plain, moved = (TRANSFORMERS[name]().fit_transform(Z) for Z in (X, X + 2.0**20))
    assert np.array_equal(moved, plain)


@pytest.mark.parametrize("name", NAMES)
def test_dtype_of_the_result(name):
    wanted = np.int64 if name.endswith("tokens") else np.float32
    for dtype in (np.float32, np.float64, np.int32):
        out = fitted(name).transform(whole_numbers().astype(dtype))
        assert out.dtype == wanted


# ---- life cycle


@pytest.mark.parametrize("name", NAMES)
def test_refit_with_another_shape_leaves_no_trace(name):
    X = two_shapes(24)[0]
    transformer = TRANSFORMERS[name]().fit(
        pd.DataFrame(np.stack([X[:, :9]] * 2, 1).reshape(24, 18))
    )
    transformer.fit(np.stack([X[:, :9]] * 2, 1)).fit(X)
    assert np.array_equal(transformer.transform(X[:, None]), fitted(name).transform(X))
    assert transformer.n_features_in_ == 32
    assert not hasattr(transformer, "feature_names_in_")


@pytest.mark.parametrize("name", NAMES)
def test_copies_and_pickles_transform_the_same(name, tmp_path):
    X = two_shapes(24)[0]
    expected = fitted(name).transform(X)
    joblib.dump(fitted(name), tmp_path / "transformer")
    copies = [pickle.loads(pickle.dumps(fitted(name), protocol)) for protocol in (2, 3, 4, 5)]
    copies += [copy.deepcopy(fitted(name)), joblib.load(tmp_path / "transformer")]
    assert all(np.array_equal(c.transform(X), expected) for c in copies)
    for new in (clone(fitted(name)), pickle.loads(pickle.dumps(TRANSFORMERS[name]()))):
        assert new.get_params() == fitted(name).get_params()
        assert not [a for a in vars(new) if a.endswith("_")]
        assert np.array_equal(new.fit_transform(X), expected)


def test_pickles_open_in_a_new_process(tmp_path):
    X, transformers = two_shapes(24)[0], [fitted(name) for name in NAMES]
    out = results_in_a_new_process(tmp_path, transformers, "estimator.transform(X)", X)
    for found, transformer, name in zip(out, transformers, NAMES, strict=True):
        assert np.array_equal(found, transformer.transform(X)), name


@pytest.mark.parametrize("name", NAMES)
def test_a_pickle_of_another_version_warns_and_names_both_versions(name):
    other = copy.deepcopy(fitted(name))
    with pytest.warns(VersionWarning, match=rf"skvqts 0\.0\.9 .* opened by {__version__}"):
        other.__setstate__(fitted(name).__getstate__() | {"_skvqts_version": "0.0.9"})
    X = two_shapes(24)[0]
    assert np.array_equal(other.transform(X), fitted(name).transform(X))


@pytest.mark.parametrize("name", NAMES)
def test_parameters_set_after_fit_take_effect_in_the_next_fit(name):
    X = two_shapes(24)[0]
    seed = {} if name in UNSEEDED else {"random_state": 5}
    transformer = copy.deepcopy(fitted(name)).set_params(**seed, scaling="series")
    assert np.array_equal(transformer.transform(X), fitted(name).transform(X))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in UNSEEDED])
def test_seeds_of_any_kind_and_settings_without_effect(name, capsys):
    X = two_shapes(24)[0]
    expected = fitted(name).transform(X)
    settings = [{"random_state": np.int64(0)}, {"device": "cpu"}]
    settings += [{"verbose": 2}] if "verbose" in fitted(name).get_params() else []
    for parameters in settings:
        out = TRANSFORMERS[name](**parameters).fit_transform(X)
        assert np.array_equal(out, expected), parameters
    seeded = [
        TRANSFORMERS[name](random_state=np.random.RandomState(3)).fit_transform(X) for _ in range(2)
    ]
    assert np.array_equal(*seeded)
    assert np.isfinite(TRANSFORMERS[name](random_state=None).fit_transform(X)).all()


@pytest.mark.parametrize("name", NAMES)
def test_unions_column_transformers_and_pipelines(name):
    X = two_shapes(24)[0]
    frame = pd.DataFrame(X, columns=FRAME)
    expected = fitted(name).transform(X)
    union = FeatureUnion([("a", TRANSFORMERS[name]()), ("b", TRANSFORMERS[name]())])
    assert np.array_equal(union.fit_transform(X), np.hstack([expected, expected]))
    columns = ColumnTransformer([("a", TRANSFORMERS[name](), FRAME)])
    assert np.array_equal(columns.fit_transform(frame), expected)
    for container, kind in (("pandas", pd.DataFrame), ("polars", pl.DataFrame)):
        pipeline = make_pipeline(TRANSFORMERS[name]()).set_output(transform=container)
        out = pipeline.fit_transform(frame)
        assert isinstance(out, kind)
        assert np.array_equal(out.to_numpy(), expected)
        assert list(out.columns) == list(pipeline.get_feature_names_out())
