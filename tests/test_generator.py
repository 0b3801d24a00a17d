"""Samples of generators: seeds, copies, shapes, units, classes and guidance."""

import copy
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import chisquare
from sklearn.base import clone
from sklearn.neighbors import NearestCentroid

from skvqts._generation.sampling import TokenReader
from skvqts._nn.prior import Prior
from skvqts.metrics import get_scorer, make_generation_scorer

from .conftest import results_in_a_new_process, two_shapes
from .estimators import GENERATORS, autoregressive_prior, fcn, fitted_generator, masked_prior
from .test_global_state import global_state
from .trained_generators import KINDS, bumps, fitted_to_bumps

X, Y = two_shapes(24)
each_generator = pytest.mark.parametrize("name", GENERATORS)
both_priors = pytest.mark.parametrize("make", [masked_prior, autoregressive_prior])


def changed(generator, **parameters):
    """A copy with other sampling parameters."""
    return copy.deepcopy(generator).set_params(**parameters)


# ---- randomness


@each_generator
@pytest.mark.parametrize("parameters", [{}, {"order": "confidence"}, {"order": "random"}], ids=str)
def test_the_first_samples_do_not_depend_on_how_many_follow(name, parameters):
    if parameters and not name.startswith("Masked"):
        parameters = {"temperature": 0.7}
    generator = changed(fitted_generator(name), **parameters)
    ten = generator.sample(10, random_state=0)
    assert np.array_equal(generator.sample(5, random_state=0), ten[:5])
    assert len(np.unique(ten, axis=0)) > 1
    assert not np.array_equal(generator.sample(10, random_state=1), ten)


@each_generator
def test_random_state_of_the_estimator_is_the_default_seed(name):
    generator = fitted_generator(name)
    assert np.array_equal(generator.sample(4), generator.sample(4, random_state=0))
    other = changed(generator, random_state=1)
    assert np.array_equal(other.sample(4), generator.sample(4, random_state=1))
    free = changed(generator, random_state=None)
    assert not np.array_equal(free.sample(4), free.sample(4))
    if hasattr(generator, "impute"):
        hidden = np.where(X > 0.5, np.nan, X)
        assert np.array_equal(generator.impute(hidden), generator.impute(hidden, random_state=0))


@each_generator
def test_seeds_may_be_integers_or_random_states(name):
    generator = fitted_generator(name)
    first = generator.sample(4, random_state=np.random.RandomState(5))
    assert np.array_equal(first, generator.sample(4, random_state=np.random.RandomState(5)))
    assert np.array_equal(
        generator.sample(4, random_state=np.int64(7)), generator.sample(4, random_state=7)
    )
    state = np.random.RandomState(5)
    assert not np.array_equal(
        generator.sample(4, random_state=state), generator.sample(4, random_state=state)
    )


@each_generator
def test_results_do_not_depend_on_how_many_rows_are_read_at_a_time(name, monkeypatch):
    generator = fitted_generator(name)
    series, labels = generator.sample(6, random_state=0, return_y=True)
    scores = generator.score_samples(X[:6])
    for rows in (1, 4):
        monkeypatch.setattr("skvqts._generation.sampling._MAX_ROWS", rows)
        assert TokenReader(generator).rows == rows
        found, same = generator.sample(6, random_state=0, return_y=True)
        assert np.array_equal(labels, same)
        np.testing.assert_allclose(found, series, atol=1e-5)  # decoded from equal tokens
        np.testing.assert_allclose(generator.score_samples(X[:6]), scores, rtol=1e-5)


@each_generator
def test_generators_leave_global_state_unchanged(name):
    fitted_generator(name).sample(2, random_state=0)
    before = global_state()
    generator = GENERATORS[name]().fit(X, Y)
    generator.sample(3, random_state=0)
    generator.score_samples(X)
    if hasattr(generator, "impute"):
        generator.impute(X[:2], random_state=0)
        generator.anomaly_score(X[:2])
    assert global_state() == before


@each_generator
def test_equal_seeds_give_equal_fits(name):
    again = GENERATORS[name](random_state=0).fit(X, Y)
    generator = fitted_generator(name)
    assert np.array_equal(again.sample(9, random_state=0), generator.sample(9, random_state=0))
    assert np.array_equal(again.score_samples(X), generator.score_samples(X))
    other = GENERATORS[name](random_state=1).fit(X, Y)
    assert not np.array_equal(other.score_samples(X), generator.score_samples(X))


@both_priors
def test_an_unseeded_tokenizer_is_seeded_by_the_generator(make):
    first, second, other = (make({"random_state": None}, random_state=s).fit(X) for s in (0, 0, 1))
    assert np.array_equal(first.tokenizer_.codebook_, second.tokenizer_.codebook_)
    assert not np.array_equal(first.tokenizer_.codebook_, other.tokenizer_.codebook_)
    assert first.tokenizer.random_state is None


# ---- copies


@each_generator
def test_copies_and_pickles_generate_the_same_samples(name, tmp_path):
    generator = fitted_generator(name)
    expected, scores = generator.sample(6, random_state=0), generator.score_samples(X)
    joblib.dump(generator, tmp_path / "generator")
    copies = [pickle.loads(pickle.dumps(generator, protocol)) for protocol in (2, 5)]
    copies += [copy.deepcopy(generator), joblib.load(tmp_path / "generator")]
    for other in copies:
        assert np.array_equal(other.sample(6, random_state=0), expected)
        assert np.array_equal(other.score_samples(X), scores)
        assert other.classes_.tolist() == [0, 1]


@pytest.mark.slow  # files and pickles of transformers that open in new processes are its quick form
def test_pickles_open_in_a_new_process(tmp_path):
    generators = [fitted_generator(name) for name in GENERATORS]
    out = results_in_a_new_process(tmp_path, generators, "estimator.sample(6, random_state=0)", [])
    for found, generator, name in zip(out, generators, GENERATORS, strict=True):
        assert np.array_equal(found, generator.sample(6, random_state=0)), name


@each_generator
def test_clones_are_unfitted_and_have_equal_parameters(name):
    generator = fitted_generator(name)
    new = clone(generator)
    assert not [attribute for attribute in vars(new) if attribute.endswith("_")]
    assert new.tokenizer is not generator.tokenizer
    deep, expected = new.get_params(), generator.get_params()
    assert not hasattr(new.decoder, "module_")
    of_decoder = ["decoder__tokenizer"] if generator.decoder is not None else []
    for nested in [*of_decoder, "tokenizer"]:
        assert deep.pop(nested).get_params() == expected.pop(nested).get_params()
    assert type(deep.pop("decoder")) is type(expected.pop("decoder"))
    assert deep == expected
    assert deep["tokenizer__codebook_size"] == 6


# ---- training series, which stay in this process

COPIES = {
    "pickle 2": lambda generator, _: pickle.loads(pickle.dumps(generator, 2)),
    "pickle 5": lambda generator, _: pickle.loads(pickle.dumps(generator, 5)),
    "joblib": lambda generator, path: joblib.load(joblib.dump(generator, path)[0]),
    "copy": lambda generator, _: copy.copy(generator),
    "deepcopy": lambda generator, _: copy.deepcopy(generator),
}
CONTAINERS = {
    "float64": lambda series: series.copy(),
    "float32": lambda series: series.astype(np.float32),
    "panel": lambda series: series[:, None].copy(),
    "data frame": lambda series: pd.DataFrame(series.copy()).add_prefix("t"),
    "tensor": torch.tensor,
}


@both_priors
@pytest.mark.parametrize("container", CONTAINERS)
def test_later_changes_of_the_users_series_and_labels_do_not_matter(make, container):
    series, labels = CONTAINERS[container](X), Y.copy()
    expected = np.asarray(series).copy()
    generator = make().fit(series, labels)
    scorers = get_scorer("memorization"), make_generation_scorer("inception_score", referee=fcn())
    held_out = two_shapes(24, seed=1)[0].reshape(expected.shape)
    before = [scorer(generator, held_out) for scorer in scorers]
    if isinstance(series, pd.DataFrame):
        series.iloc[:] = 0.0
    else:
        series[:] = 0.0
    labels[:] = 1 - labels
    assert np.array_equal(generator.X_fit_, expected)
    assert np.array_equal(generator.y_fit_, Y)
    assert [scorer(generator, held_out) for scorer in scorers] == before


@each_generator
def test_kept_training_series_and_labels_are_read_only(name):
    generator = fitted_generator(name)
    for kept in (generator.X_fit_, generator.y_fit_):
        assert not kept.flags.writeable
        assert kept.base is None or not kept.base.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            kept[0] = 0
    assert np.array_equal(generator.X_fit_, X)
    assert np.array_equal(generator.y_fit_, Y)


@each_generator
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[] if kind in ("pickle 5", "copy") else pytest.mark.slow)
        for kind in COPIES
    ],
)
def test_copies_hold_no_training_series_and_equal_the_generator_otherwise(name, kind, tmp_path):
    generator = fitted_generator(name)
    other = COPIES[kind](generator, tmp_path / "generator")
    assert not hasattr(other, "X_fit_")
    assert not hasattr(other, "y_fit_")
    assert vars(other).keys() == vars(generator).keys() - {"X_fit_", "y_fit_"}
    assert np.array_equal(generator.X_fit_, X)
    calls = [
        lambda g: g.sample(6, random_state=0),
        lambda g: g.sample(y=[1, 0], random_state=3),
        lambda g: g.score_samples(X),
        lambda g: g.score_samples(X, include_reconstruction=True),
        lambda g: g.class_log_likelihoods(X),
    ]
    for call in calls:
        assert np.array_equal(call(other), call(generator))
    assert np.array_equal(other.classes_, generator.classes_)
    assert np.array_equal(other.class_counts_, generator.class_counts_)
    assert np.array_equal(other.fit(X, Y).X_fit_, X)
    assert np.array_equal(other.sample(6, random_state=0), generator.sample(6, random_state=0))


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[] if kind == "pickle 5" else pytest.mark.slow) for kind in COPIES],
)
def test_copies_fill_gaps_and_score_anomalies_alike(kind, tmp_path):
    generator = fitted_generator("MaskedPriorGenerator")
    other = COPIES[kind](generator, tmp_path / "generator")
    hidden = np.where(X > 0.5, np.nan, X)
    for call in (
        lambda g: g.score_samples(X, method="exact"),
        lambda g: g.impute(hidden, random_state=0),
        lambda g: g.impute(hidden, y=Y, n_draws=2, random_state=0),
        lambda g: g.anomaly_score(X),
    ):
        assert np.array_equal(call(other), call(generator))


@each_generator
def test_pickles_hold_no_values_of_training_series(name, tmp_path):
    generator = fitted_generator(name)
    joblib.dump(generator, tmp_path / "generator")
    pickles = [pickle.dumps(generator, protocol) for protocol in range(2, 6)]
    pickles.append((tmp_path / "generator").read_bytes())
    scaled = generator.tokenizer_.scaler_.transform(X[:, None])[:, 0]
    for values in (X, X.astype(np.float32), scaled):
        quadruples = [
            row[start : start + 4].tobytes() for row in values for start in range(0, 32, 4)
        ]
        assert all(four in pickle.dumps(values) for four in quadruples)
        for pickled in pickles:
            assert not [four for four in quadruples if four in pickled]


@both_priors
@pytest.mark.parametrize("labelled", [True, False])
def test_pickles_do_not_grow_with_the_number_of_training_series(make, labelled):
    sizes = []
    for n in (24, 240):
        series, labels = two_shapes(n)
        generator = make().fit(series, labels if labelled else None)
        assert len(generator.X_fit_) == n
        sizes.append(len(pickle.dumps(generator)))
    assert abs(sizes[1] - sizes[0]) < 100


# ---- shapes and units


@both_priors
@pytest.mark.parametrize("length", [1, 7, 33])
@pytest.mark.parametrize("frontend", ["conv", pytest.param("stft", marks=pytest.mark.slow)])
def test_samples_have_the_length_and_channels_of_the_training_series(make, frontend, length):
    flat = two_shapes(6, length)[0]
    series = [flat, np.stack([flat, -flat, flat], axis=1)]
    for part in series:
        nested = {"frontend": frontend, "max_epochs": 1, "downsampled_width": 4}
        generator = make(nested, n_layers=0, batch_size=1024).fit(part)
        found = generator.sample(3, random_state=0)
        assert found.shape == (3, *part.shape[1:])
        assert found.dtype == np.float32
        assert np.isfinite(found).all()


@each_generator
def test_samples_have_the_units_of_the_training_series(name):
    """Samples of scaled series are scaled too, unless rounding changes a drawn token."""
    moved = GENERATORS[name]().fit(1000 * X + 5e4, Y).sample(40, random_state=0)
    expected = 1000 * fitted_generator(name).sample(40, random_state=0) + 5e4
    same = np.abs(moved - expected).max(axis=1) < 10
    assert same.mean() > 0.8
    assert np.abs(moved.mean() - (1000 * X + 5e4).mean()) < 300


# ---- classes


@each_generator
def test_classes_are_sampled_by_their_frequency_in_the_training_set(name):
    y = np.repeat(["rare", "often", "some"], [2, 16, 6])
    generator = GENERATORS[name]().fit(X, y)
    if hasattr(generator, "n_steps"):
        generator.set_params(n_steps=1)
    series, drawn = generator.sample(300, random_state=0, return_y=True)
    assert np.array_equal(generator.sample(300, random_state=0), series)
    counts = [np.count_nonzero(drawn == label) for label in generator.classes_]
    assert chisquare(counts, 300 * generator.class_counts_ / 24).pvalue > 0.01
    assert np.array_equal(generator.sample(y=drawn, random_state=0), series)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_belong_to_the_requested_class(kind):
    referee, generator = NearestCentroid().fit(*bumps(80)), fitted_to_bumps(kind)
    requested = np.repeat(["early", "late"], 30)
    assert referee.score(generator.sample(y=requested, random_state=0), requested) >= 0.9
    late = generator.sample(30, y="late", random_state=0)
    assert (referee.predict(late) == "late").mean() >= 0.9
    series, drawn = generator.sample(60, random_state=0, return_y=True)
    assert referee.score(series, drawn) >= 0.9


# ---- guidance


@pytest.fixture
def calls(monkeypatch):
    """A list that gets the class ids of every forward pass of a prior."""
    class_ids, logits = [], Prior.logits

    def counted(self, band, ids, masks, classes, *more, **named):
        class_ids.append(classes.tolist())
        return logits(self, band, ids, masks, classes, *more, **named)

    monkeypatch.setattr(Prior, "logits", counted)
    return class_ids


@each_generator
def test_guidance_takes_two_forward_passes_per_step_instead_of_one(name, calls):
    generator = changed(fitted_generator(name))
    if hasattr(generator, "n_steps"):
        generator.set_params(n_steps=2)
        n_steps = 2 * len(generator.tokenizer_.token_shape_)
    else:
        n_steps = generator.tokenizer_.encode(X).shape[1]
    calls.clear()
    plain = generator.sample(8, y=1, random_state=0)
    assert len(calls) == n_steps
    assert all(set(classes[:8]) == {1} for classes in calls)
    calls.clear()
    guided = generator.set_params(guidance_scale=5.0).sample(8, y=1, random_state=0)
    assert len(calls) == 2 * n_steps
    assert [classes[0] for classes in calls].count(2) == n_steps
    assert guided.shape == plain.shape


@pytest.mark.parametrize("kind", KINDS)
def test_stronger_guidance_makes_samples_more_typical_of_their_class(kind):
    """The margin between the likelihoods of both classes grows, from about 0 at scale 0.

    At scale 1 all samples are of their class, so that there is little left to gain.
    """
    generator, requested = copy.deepcopy(fitted_to_bumps(kind)), np.repeat(["early", "late"], 40)
    margins, samples = [], []
    for scale in (0.0, 0.5, 1.0, 1.5):
        samples.append(
            generator.set_params(guidance_scale=scale).sample(y=requested, random_state=0)
        )
        early, late = generator.class_log_likelihoods(samples[-1]).T
        margins.append(np.where(requested == "late", late - early, early - late).mean())
    assert sorted(margins[:3]) == margins[:3]
    assert margins[3] > 0.98 * margins[2]
    assert abs(margins[0]) < 0.3 * margins[2]
    assert not np.array_equal(samples[2], samples[3])


@both_priors
def test_guidance_requires_labels_and_an_unconditional_prior(make):
    for parameters, y in (({}, None), ({"p_unconditional": 0}, Y)):
        generator = make(guidance_scale=2.0, **parameters).fit(X, y)
        with pytest.raises(ValueError, match="fitted with labels and p_unconditional above 0"):
            generator.sample(2)
        assert generator.set_params(guidance_scale=1).sample(2).shape == (2, 32)


def test_fit_and_sample_work_inside_inference_mode_and_no_grad():
    expected = fitted_generator("MaskedPriorGenerator").sample(3, random_state=0)
    for mode in (torch.inference_mode, torch.no_grad):
        with mode():
            generator = masked_prior().fit(X, Y)
            assert np.array_equal(generator.sample(3, random_state=0), expected)
        assert np.array_equal(generator.sample(3, random_state=0), expected)
