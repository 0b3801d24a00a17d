"""Fitting generators: their tokenizer, training, interruption and searches."""

import copy
import signal

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

from skvqts import (
    AutoregressivePriorGenerator,
    DivergedError,
    FCNClassifier,
    FidelityWarning,
    MaskedPriorGenerator,
    RandomConvolutionExtractor,
    VQTokenizer,
)
from skvqts._fitting.progress import Progress
from skvqts._fitting.training import training_plan
from skvqts._generation.stages import PriorStep, default_tokenizer, n_epoch_rows, prior_plan
from skvqts._nn.prior import Dropout, Prior
from skvqts.metrics import frechet_distance, generation_report, get_scorer

from .conftest import two_shapes
from .estimators import (
    GENERATORS,
    autoregressive_prior,
    extractor,
    fitted_generator,
    masked_prior,
    tokenizer,
)
from .trained_generators import bumps, fitted_to_bumps

X, Y = two_shapes(24)
each_generator = pytest.mark.parametrize("name", GENERATORS)
both_priors = pytest.mark.parametrize("make", [masked_prior, autoregressive_prior])


@pytest.mark.parametrize(("n", "codes"), [(199, 32), (200, 128)])
@both_priors
def test_the_default_tokenizer_has_sixteen_tokens_and_more_codes_for_more_series(
    make, n, codes, monkeypatch
):
    fit = VQTokenizer.fit
    quick = {"width": 4, "n_blocks": 1, "max_epochs": 1}
    monkeypatch.setattr(VQTokenizer, "fit", lambda self, X: fit(self.set_params(**quick), X))
    generator = make(tokenizer=None, n_threads=1, precision="float32").fit(two_shapes(n)[0])
    assert generator.tokenizer_.token_shape_ == ((1, 16),)
    assert generator.tokenizer_.codebook_.shape[0] == codes
    assert (generator.tokenizer_.n_threads, generator.tokenizer_.precision) == (1, "float32")


@pytest.mark.parametrize(
    ("n", "n_channels", "stage_1", "stage_2"),
    [
        (10, 1, 600, 500),
        (300, 1, 600, 600),
        (640, 1, 1280, 1200),
        (1000, 1, 2000, 1200),
        (64_000, 1, 8000, 8000),
        (64_000, 3, 8000, 8000),
        (10, 24, 600, 500),
        (100, 4, 800, 800),
        (180, 24, 2000, 1200),
    ],
)
def test_automatic_budgets_grow_with_series_and_channels_within_limits(
    n, n_channels, stage_1, stage_2
):
    tokenizer = default_tokenizer(n, n_channels, 10)
    tokenizer.n_timepoints_in_ = 10
    plan = training_plan(tokenizer, n, least_steps=1, most_points=10**9)
    assert stage_1 <= plan.n_epochs * plan.n_batches(n) < 1.05 * stage_1
    for generator in (MaskedPriorGenerator(), AutoregressivePriorGenerator()):
        plan = prior_plan(generator, np.zeros((n, 16)), n_channels)
        assert stage_2 <= plan.n_epochs * plan.n_batches(n_epoch_rows(n)) < 1.05 * stage_2


@pytest.mark.parametrize(
    ("n", "n_channels", "codes"), [(199, 1, 32), (200, 1, 128), (8, 24, 32), (50, 4, 128)]
)
def test_more_channels_need_more_codes(n, n_channels, codes):
    assert default_tokenizer(n, n_channels, 10).codebook_size == codes


@pytest.fixture(scope="module")
def fitted_tokenizer():
    return tokenizer(downsampled_width=8, max_epochs=15, learning_rate=0.01).fit(X)


def weights(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


# ---- the nested tokenizer


@both_priors
def test_a_frozen_tokenizer_is_used_as_it_is(make, fitted_tokenizer, monkeypatch):
    before, state = weights(fitted_tokenizer.module_), vars(fitted_tokenizer).copy()
    expected = make().fit(X, Y).sample(5, random_state=0)
    monkeypatch.setattr(VQTokenizer, "fit", lambda *_: pytest.fail("fitted again"))
    generator = make(tokenizer=FrozenEstimator(fitted_tokenizer)).fit(X, Y)
    assert generator.tokenizer_ is fitted_tokenizer
    assert vars(fitted_tokenizer) == state
    assert equal(weights(fitted_tokenizer.module_), before)
    tokens = generator.tokenizer_.encode(X)
    assert np.array_equal(generator.tokenizer_.decode(tokens), fitted_tokenizer.decode(tokens))
    found = generator.sample(5, random_state=0)
    assert np.array_equal(found, expected)


@both_priors
def test_a_tokenizer_that_is_not_frozen_is_cloned(make):
    nested = tokenizer(downsampled_width=8, max_epochs=1).fit(two_shapes(24, seed=9)[0])
    before = weights(nested.module_)
    generator = make(tokenizer=nested).fit(X, Y)
    assert generator.tokenizer_ is not nested
    assert equal(weights(nested.module_), before)
    assert not equal(weights(generator.tokenizer_.module_), before)


@both_priors
def test_unsuitable_frozen_estimators_are_refused(make, fitted_tokenizer):
    cases = [
        (tokenizer(), X, NotFittedError, "VQTokenizer instance is not fitted"),
        (SVC(), X, TypeError, "must hold a fitted VQTokenizer, got SVC"),
        (extractor(), X, TypeError, "must hold a fitted VQTokenizer, got SSLFeatureExtractor"),
        (
            fitted_tokenizer,
            X[:, :20],
            ValueError,
            "X has 20 time points, but the VQTokenizer in `tokenizer`",
        ),
        (
            fitted_tokenizer,
            np.stack([X, X], 1),
            ValueError,
            "X has 2 channels, but the VQTokenizer in",
        ),
    ]
    for estimator, series, error, message in cases:
        new = make(tokenizer=FrozenEstimator(estimator))
        with pytest.raises(error, match=message):
            new.fit(series, Y)
        assert not [attribute for attribute in vars(new) if attribute.endswith("_")]


def test_column_names_of_the_frozen_tokenizer_are_checked():
    frame = pd.DataFrame(X).rename(columns=str)
    nested = FrozenEstimator(tokenizer(downsampled_width=8, max_epochs=1).fit(frame))
    masked_prior(tokenizer=nested).fit(frame)
    with pytest.raises(ValueError, match="feature names should match"):
        masked_prior(tokenizer=nested).fit(frame[frame.columns[::-1]])


@both_priors
def test_the_default_tokenizer_inherits_device_threads_and_verbosity(
    make, monkeypatch, allow_threads
):
    allow_threads(2)
    tokenizers, fit = [], VQTokenizer.fit

    def small(self, X):
        tokenizers.append(copy.copy(self))
        return fit(self.set_params(width=4, latent_dim=4, max_epochs=1), X)

    monkeypatch.setattr(VQTokenizer, "fit", small)
    generator = make(tokenizer=None, device="cpu", n_threads=2, verbose=0).fit(X, Y)
    assert generator.tokenizer is None
    assert generator.tokenizer_.token_shape_ == ((1, 16),)
    assert (tokenizers[0].device, tokenizers[0].n_threads, tokenizers[0].verbose) == ("cpu", 2, 0)
    assert generator.tokenizer_.n_threads_ == generator.n_threads_ == 2
    assert tokenizers[0].random_state is not None
    assert generator.sample(2, random_state=0).shape == (2, 32)


@pytest.mark.parametrize(
    ("n", "dropout", "share"),
    [
        (31, "auto", 0.1),
        (32, "auto", 0.05),
        pytest.param(400, "auto", 0.05, marks=pytest.mark.slow),
        (9, 0.4, 0.4),
    ],
)
@both_priors
def test_automatic_dropout_is_larger_for_few_series(make, n, dropout, share):
    generator = make(dropout=dropout).fit(two_shapes(n)[0])
    thresholds = {m.threshold for m in generator.module_.modules() if isinstance(m, Dropout)}
    assert thresholds == {round(256 * share)}


# ---- searches


@pytest.mark.parametrize("scoring", [None, "neg_fid"])
@pytest.mark.slow  # searches over tokenizers are its quick form
def test_grid_search_does_not_depend_on_n_jobs(scoring):
    scorer = get_scorer(scoring) if scoring else None
    grid = {"tokenizer__codebook_size": [4, 6], "temperature": [0.8, 1.0]}
    nested = masked_prior().tokenizer.set_params(max_epochs=3)
    generator = masked_prior(tokenizer=nested, n_layers=0, batch_size=1024)
    found = []
    for n_jobs in (1, 2):
        search = GridSearchCV(
            generator, grid, scoring=scorer, cv=2, n_jobs=n_jobs, error_score="raise"
        )
        found.append(search.fit(X, Y))
    first, second = (search.cv_results_["mean_test_score"] for search in found)
    assert np.isfinite(first).all()
    assert np.array_equal(first, second)
    # Likelihoods, the default score, do not depend on the temperature.
    assert len(np.unique(first)) == (4 if scoring else 2)
    assert found[0].best_params_ == found[1].best_params_
    samples = [search.best_estimator_.sample(4, random_state=0) for search in found]
    assert np.array_equal(*samples)


# ---- training


@each_generator
def test_fitted_attributes(name):
    generator = fitted_generator(name)
    assert list(generator.loss_curve_)[:2] == ["loss", "prior"]
    assert len(generator.loss_curve_["loss"]) == generator.n_iter_ == 1
    assert not generator.interrupted_
    assert generator.residual_scale_.shape == (1,)
    assert (generator.n_channels_in_, generator.n_timepoints_in_) == (1, 32)
    assert np.array_equal(generator.X_fit_, X)
    assert np.array_equal(generator.y_fit_, Y)
    assert not any(parameter.requires_grad for parameter in generator.module_.buffers())
    assert not generator.module_.training


@both_priors
def test_training_lowers_the_loss(make):
    generator = make(max_epochs=10, learning_rate=0.01, early_stopping=False, p_unconditional=0)
    curve = generator.fit(X, Y).loss_curve_
    assert list(curve) == ["loss", "prior"]
    assert curve["prior"][-1] < 0.9 * curve["prior"][0]


@both_priors
def test_early_stopping_keeps_the_best_epoch(make, monkeypatch):
    values, states = iter([3.0, 1.0, 2.0, 2.5, 2.2, 9.0]), []

    def validation_loss(step, *_):
        states.append(weights(step.average))
        return torch.tensor(next(values))

    monkeypatch.setattr(PriorStep, "validation_loss", validation_loss)
    stopping = {"early_stopping": True, "n_iter_no_change": 3}
    generator = make(batch_size=1024, max_epochs=50, **stopping).fit(X, Y)
    assert generator.n_iter_ == 5
    assert generator.loss_curve_["validation"].tolist() == pytest.approx([3, 1, 2, 2.5, 2.2])
    assert equal(weights(generator.module_), states[1])
    assert not equal(states[1], states[4])


@both_priors
def test_the_running_mean_of_the_weights_is_kept(make):
    last, mean = (
        make(max_epochs=3, ema_decay=decay, early_stopping=False).fit(X, Y).module_
        for decay in (0.0, 0.99)
    )
    assert not equal(weights(last), weights(mean))


@pytest.fixture
def trained_on(monkeypatch):
    """A list that gets the tokens and classes of every training batch, as the prior sees them."""
    batches, cross_entropy = [], Prior.cross_entropy

    def recorded(self, band, ids, masks, classes, generator=None):
        if band == 0 and self.training:
            batches.append((ids.clone(), classes.clone()))
        return cross_entropy(self, band, ids, masks, classes, generator)

    monkeypatch.setattr(Prior, "cross_entropy", recorded)
    return batches


@both_priors
@pytest.mark.parametrize("p", [0.0, 0.3])
def test_classes_are_dropped_with_probability_p_unconditional(make, p, trained_on):
    make(p_unconditional=p, early_stopping=False).fit(X, np.where(Y, "b", "a"))
    counts = np.bincount(torch.cat([classes for _, classes in trained_on]), minlength=3)
    assert counts.sum() >= 1024
    assert counts[2] / counts.sum() == pytest.approx(p, abs=0.05)
    assert counts[0] == pytest.approx(counts[1], rel=0.2)


@pytest.mark.parametrize("name", list(GENERATORS)[:2])
def test_a_tiny_code_temperature_keeps_the_tokens(name, trained_on):
    """Except for ties; a high temperature replaces them by others of the same band."""

    def training_ids(code_temperature):
        trained_on.clear()
        parameters = {"early_stopping": False, "batch_size": 1024}
        GENERATORS[name](code_temperature=code_temperature, **parameters).fit(X, Y)
        return torch.cat([ids for ids, _ in trained_on])

    plain, tiny, high = (training_ids(t) for t in (0.0, 1e-6, 10.0))
    assert (plain == tiny).float().mean() > 0.99
    assert (plain == high).float().mean() < 0.9
    first_high = plain.min(0).values >= 6  # codes of the high band, where there is one
    assert torch.equal(high >= 6, first_high.expand(high.shape))


@pytest.mark.parametrize("name", list(GENERATORS)[:2])
def test_training_works_with_the_smallest_code_temperature(name):
    generator = GENERATORS[name](code_temperature=1e-40).fit(X, Y)
    plain = fitted_generator(name)
    assert generator.loss_curve_["prior"] == pytest.approx(plain.loss_curve_["prior"], rel=0.2)


@both_priors
def test_divergence_raises_and_leaves_no_fitted_attributes(make):
    new = make(learning_rate=1e12, max_epochs=30)
    with pytest.raises(DivergedError, match="learning_rate"):
        new.fit(X, Y)
    assert not [attribute for attribute in vars(new) if attribute.endswith("_")]


@both_priors
def test_ctrl_c_while_the_tokenizer_trains_leaves_the_generator_unchanged(make, monkeypatch):
    generator = make().fit(X, Y)
    expected, state = generator.sample(3, random_state=0), vars(generator).copy()

    def interrupted(progress, epoch, terms):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Progress, "epoch", interrupted)
    for estimator in (generator, make()):
        before = vars(estimator).copy()
        with pytest.raises(KeyboardInterrupt):
            estimator.fit(-X, 1 - Y)
        assert vars(estimator) == before
    assert vars(generator) == state
    assert np.array_equal(generator.sample(3, random_state=0), expected)


@both_priors
def test_ctrl_c_while_the_prior_trains_leaves_a_usable_generator(
    make, fitted_tokenizer, ctrl_c_in_the_third_epoch
):
    generator = make(tokenizer=FrozenEstimator(fitted_tokenizer), max_epochs=1000)
    with pytest.raises(KeyboardInterrupt):
        generator.fit(X, Y)
    assert generator.interrupted_
    assert generator.n_iter_ == len(generator.loss_curve_["loss"]) == 3
    series, labels = generator.sample(4, random_state=0, return_y=True)
    assert np.isfinite(series).all()
    assert set(labels) <= {0, 1}
    assert np.isfinite(generator.score_samples(X)).all()


@both_priors
def test_two_series_are_enough(make):
    for early_stopping in (False, True):
        generator = make(early_stopping=early_stopping).fit(X[:2], ["a", "b"])
        assert generator.sample(3).shape == (3, 32)


# ---- reports


def test_generation_report_reconstructs_with_the_tokenizer_of_the_generator():
    generator, (X_test, y_test) = fitted_to_bumps("masked"), bumps(24, seed=1)
    convolutions = RandomConvolutionExtractor(n_kernels=50).fit(X_test)
    report = generation_report(
        generator,
        *bumps(80),
        X_test,
        y_test,
        referee=FCNClassifier(width=4, max_epochs=2, random_state=0),
        extractor=convolutions,
        classifier=SVC(),
        n_repeats=2,
    )
    (distance,) = (
        score
        for score in report.scores
        if (score.name, score.referee) == ("Fréchet distance", "extractor")
    )
    again = generator.tokenizer_.decode(generator.tokenizer_.encode(X_test))
    with pytest.warns(FidelityWarning):
        expected = frechet_distance(convolutions.transform(X_test), convolutions.transform(again))
    assert distance.of_reconstructions == pytest.approx(expected, rel=1e-6)
    assert np.isfinite(distance.value)
    assert "Fréchet distance" in str(report)


def test_a_refitted_tokenizer_of_equal_shape_is_noticed():
    nested = tokenizer(downsampled_width=8).fit(X)
    generator = masked_prior(tokenizer=FrozenEstimator(nested)).fit(X, Y)
    nested.fit(3 - X)
    with pytest.raises(ValueError, match="has been fitted anew since"):
        generator.sample(3)
