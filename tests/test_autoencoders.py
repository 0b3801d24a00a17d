"""SeriesAutoencoder and SeriesVAE: what they learn, latents and back, samples, classes, collapse.

The bound itself is tested in `test_elbo`.
"""

import copy
import functools
import warnings

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from skvqts import CollapseWarning
from skvqts._autoencoders.network import VariationalAutoencoder
from skvqts._autoencoders.vae import ELBOStep
from skvqts._nn.layers import build
from skvqts.metrics import get_scorer, make_generation_scorer

from .conftest import two_shapes
from .estimators import autoencoder, vae
from .refusals import assert_refused
from .test_bad_input import REFUSED, REFUSED_LATER, VALUE
from .trained_generators import bumps

X, Y = bumps(80)
TRAINED = {
    "width": 16,
    "max_epochs": 70,
    "latent_dim": 2,
    "learning_rate": 0.01,
    "batch_size": 80,
}
FRONTENDS = ["conv", "multiscale", "stft"]
LATER = REFUSED_LATER.values()


@functools.cache
def trained(**parameters):
    """A SeriesVAE that has learned bumps and their labels; not to be changed."""
    return vae(**TRAINED | parameters).fit(X, Y)


@functools.cache
def trained_autoencoder():
    return autoencoder(**TRAINED).fit(X)


def scaled(estimator, series):
    return estimator.scaler_.transform(np.asarray(series).reshape(len(series), 1, -1))


# ---- SeriesAutoencoder


def test_series_are_reconstructed_from_two_numbers():
    model = trained_autoencoder()
    test = bumps(40, seed=5)[0]
    assert model.transform(test).shape == (40, 2)
    assert model.score(test) > -0.1
    assert model.loss_curve_["reconstruction"][-1] < 0.1 * model.loss_curve_["reconstruction"][0]


def test_the_score_is_the_error_of_what_comes_back():
    model = trained_autoencoder()
    again = model.inverse_transform(model.transform(X))
    error = np.square(scaled(model, again) - scaled(model, X)).mean()
    assert model.score(X) == pytest.approx(-error, rel=1e-4)


@pytest.mark.parametrize("make", [autoencoder, vae])
@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize("latent_per", ["series", "token"])
def test_latents_have_the_shape_that_is_said(make, frontend, latent_per):
    panel = np.stack([X[:10], -X[:10]], axis=1)
    parameters = {"frontend": frontend, "latent_per": latent_per, "downsampled_width": 4}
    model = make(max_epochs=1, **parameters).fit(panel)
    n_vectors, latent_dim = model.latent_shape_
    rows, columns = model.module_.encoder.grid
    assert n_vectors == (1 if latent_per == "series" else rows * columns)
    assert latent_dim == 3
    latents = model.transform(panel)
    assert latents.shape == (10, n_vectors * 3)
    assert model.inverse_transform(latents).shape == panel.shape


def test_a_latent_vector_of_a_token_concerns_its_neighbourhood():
    model = autoencoder(latent_per="token", downsampled_width=8, n_blocks=1).fit(X)
    latents = model.transform(X[:1])
    changed = latents.copy()
    changed[:, -3:] += 1.0
    before, after = model.inverse_transform(latents), model.inverse_transform(changed)
    moved = np.abs(after - before)[0] > 0
    assert moved[-4:].all()
    assert not moved[:8].any()


@pytest.mark.parametrize("make", [autoencoder, vae])
def test_latents_of_another_width_are_refused(make):
    model = make(max_epochs=1).fit(X)
    with pytest.raises(ValueError, match=r"X has 2 columns, but inverse_transform of Series"):
        model.inverse_transform(np.zeros((3, 2)))


@pytest.mark.parametrize("make", [autoencoder, vae])
def test_a_warm_start_goes_on_and_refuses_another_shape(make):
    model = make(warm_start=True, max_epochs=20, learning_rate=0.01).fit(X)
    network = model.module_
    last = model.loss_curve_["reconstruction"][-1]
    model.fit(X)
    assert model.module_ is not network
    assert model.loss_curve_["reconstruction"][0] < last + 0.1 * abs(last)
    with pytest.raises(ValueError, match=r"warm_start=True\) continues"):
        model.set_params(latent_dim=5).fit(X)
    assert model.set_params(warm_start=False).fit(X).transform(X).shape == (80, 5)


@pytest.mark.parametrize("make", [autoencoder, vae])
def test_early_stopping_keeps_the_best_epoch(make):
    model = make(early_stopping=True, max_epochs=60, n_iter_no_change=2, tol=0.5).fit(X)
    assert model.n_iter_ < 60
    assert len(model.loss_curve_["validation"]) == model.n_iter_


# ---- SeriesVAE


def test_the_terms_are_those_of_the_bound():
    model = vae(max_epochs=5, kl_warmup=0.0, kl_weight=0.5).fit(X)
    curve = model.loss_curve_
    assert set(curve) == {"loss", "reconstruction", "kl"}
    expected = (curve["reconstruction"] + 0.5 * curve["kl"]) / 40
    np.testing.assert_allclose(curve["loss"], expected, rtol=1e-5)


def step_of(n_warmup, **parameters):
    sizes = {"width": 4, "n_blocks": 0, "downsampled_width": 4, "frontend": "conv"}
    kind = {"n_classes": 0, "latent_dim": 3, "per_token": False, "full_covariance": False}
    random = torch.Generator().manual_seed(0)
    network = build(lambda: VariationalAutoencoder(1, 32, **kind, **sizes), random)
    given = {"kl_weight": 2.0, "n_values": 32, "learns_noise": True, "generator": random}
    return ELBOStep(network, n_warmup=n_warmup, **given | parameters)


def test_the_weight_of_the_divergence_rises_in_the_first_steps():
    step = step_of(n_warmup=4)
    step(torch.zeros(8, 1, 32), torch.zeros(8, dtype=torch.int64))
    weights = [step.weights["kl"]]
    for n_taken in range(1, 7):
        step.after_step(n_taken)
        weights.append(step.weights["kl"])
    np.testing.assert_allclose(weights, np.array([0, 0.5, 1, 1.5, 2, 2, 2]) / 32)
    step.n_taken.zero_()
    assert step.eval().weights["kl"] == 2 / 32  # of held-out series


def test_the_scale_of_the_noise_follows_the_errors_of_each_channel():
    step = step_of(n_warmup=0)
    step.squared_error = torch.tensor([0.09])
    for n_taken in range(1, 800):
        step.after_step(n_taken)
    assert float(step.network.noise_scale) == pytest.approx(0.3, abs=0.01)
    step.squared_error = torch.tensor([0.0])
    for n_taken in range(800, 3000):
        step.after_step(n_taken)
    assert float(step.network.noise_scale) == pytest.approx(1e-3)


def test_the_learned_scale_is_the_error_of_drawn_latents_and_a_given_one_stays():
    model = trained()
    z = model.transform(X)
    error = scaled(model, model.decode(z, Y)) - scaled(model, X)
    assert 0.5 < np.sqrt(np.square(error).mean()) / model.noise_scale_[0] < 1.0
    fixed = vae(noise_scale=0.25).fit(X)
    assert fixed.noise_scale_.tolist() == [0.25]
    assert float(fixed.module_.noise_scale) == 0.25


@pytest.mark.parametrize("covariance_type", ["diag", "full"])
def test_learning_raises_the_bound_of_new_series(covariance_type):
    test = bumps(40, seed=5)[0]
    kind = {"covariance_type": covariance_type}
    before = vae(max_epochs=1, **kind).fit(X, Y).score(test)
    assert trained(**kind).score(test) > before + 20
    bounds = trained(**kind).score_samples(test, n_importance_samples=20)
    assert bounds.mean() > trained(**kind).score(test)


def test_a_full_covariance_is_a_triangular_matrix_with_a_positive_diagonal():
    network = trained(covariance_type="full").module_
    _, factor = network.posterior(torch.from_numpy(scaled(trained(), X)))
    assert factor.shape == (80, 1, 2, 2)
    assert torch.equal(factor, factor.tril())
    assert (factor.diagonal(dim1=2, dim2=3) > 0).all()
    assert (factor.tril(-1).abs() > 1e-3).any()


def test_posterior_means_and_their_statistics():
    model = trained()
    means = model.transform(X)
    np.testing.assert_allclose(model.latent_activity_, means.var(0), rtol=1e-4)
    assert model.n_active_latents_ == (means.var(0) > 0.01).sum() > 0
    assert model.kl_ == pytest.approx(model.loss_curve_["kl"][-1], rel=0.2)


def test_a_collapsed_posterior_is_warned_about_and_another_is_not():
    with pytest.warns(CollapseWarning, match="no latent tells the training series apart"):
        model = vae(**TRAINED | {"kl_weight": 100.0}).fit(X)
    assert model.n_active_latents_ == 0
    assert model.kl_ < 0.1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vae(**TRAINED | {"max_epochs": 40}).fit(X)


# ---- samples


def test_the_first_samples_do_not_depend_on_how_many_follow():
    for sample_noise in (False, True):
        model = copy.deepcopy(trained()).set_params(sample_noise=sample_noise)
        many = model.sample(70, random_state=0)
        assert np.array_equal(model.sample(5, random_state=0), many[:5])
        assert len(np.unique(many, axis=0)) == 70
        assert not np.array_equal(model.sample(70, random_state=1), many)


def test_seeds_of_samples():
    model = copy.deepcopy(trained())
    assert np.array_equal(model.sample(3), model.sample(3, random_state=0))
    state = np.random.RandomState(5)
    assert not np.array_equal(
        model.sample(3, random_state=state), model.sample(3, random_state=state)
    )
    model.set_params(random_state=None)
    assert not np.array_equal(model.sample(3), model.sample(3))


def test_samples_are_of_the_classes_that_are_asked_for():
    for label, where in (("early", 12), ("late", 27)):
        highest = trained().sample(60, y=label, random_state=3).argmax(1)
        assert (np.abs(highest - where) < 7).mean() > 0.9


def test_classes_are_drawn_by_their_frequencies_and_returned():
    rare = np.r_[np.zeros(60, int), np.ones(20, int)]
    model = vae(max_epochs=1).fit(X, rare)
    series, labels = model.sample(400, random_state=0, return_y=True)
    assert series.shape == (400, 40)
    assert chisquare(np.bincount(labels), [300, 100]).pvalue > 1e-3
    again, given = model.sample(y=labels[:7], random_state=0, return_y=True)
    assert np.array_equal(given, labels[:7])
    assert np.array_equal(again, series[:7])


def test_what_samples_refuse():
    model, without = trained(), vae(max_epochs=1).fit(X)
    with pytest.raises(ValueError, match=r"y contains unseen label: 'middle'"):
        model.sample(3, y="middle")
    with pytest.raises(ValueError, match="contradicts y"):
        model.sample(3, y=["early", "late"])
    with pytest.raises(ValueError, match="'n_samples' parameter"):
        model.sample(0)
    with pytest.raises(ValueError, match="fitted with labels"):
        without.sample(3, return_y=True)
    with pytest.raises(ValueError, match="fitted with labels; this one was fitted without"):
        without.sample(3, y=0)
    with pytest.raises(ValueError, match="needs a SeriesVAE fitted with labels"):
        without.class_log_likelihoods(X)
    with pytest.raises(ValueError, match="'n_importance_samples' parameter of score_samples"):
        without.score_samples(X, n_importance_samples=0)


@pytest.mark.parametrize("method", ["score_samples", "class_log_likelihoods", "score"])
def test_likelihoods_refuse_what_transform_refuses(method):
    assert_refused(lambda: getattr(vae(), method)(X), (NotFittedError,), "SeriesVAE")
    for make, types, message in (*REFUSED.values(), *((f, VALUE, m) for f, m in LATER)):
        refused = make(two_shapes(24)[0])
        assert_refused(lambda r=refused: getattr(labelled(), method)(r), types, message)


@functools.cache
def labelled():
    """A SeriesVAE fitted to the series of `test_bad_input` and labels; not to be changed."""
    return vae(max_epochs=1).fit(*two_shapes(24))


# ---- classes


def test_likelihoods_tell_classes_apart_and_their_mixture_is_the_bound():
    test, labels = bumps(60, seed=5)
    model = trained()
    of_classes = model.class_log_likelihoods(test)
    assert (model.classes_[of_classes.argmax(1)] == labels).mean() > 0.9
    shares = model.class_counts_ / 80
    expected = np.log((np.exp(of_classes) * shares).sum(1))
    np.testing.assert_allclose(model.score_samples(test), expected, rtol=1e-6)


def test_a_decoder_that_is_told_classes_needs_them():
    model = trained()
    z = model.transform(X[:4])
    early, late = model.decode(z, "early"), model.decode(z, ["late"] * 4)
    assert not np.allclose(early, late, atol=0.1)
    with pytest.raises(ValueError, match="needs y, the classes"):
        model.decode(z)
    assert not hasattr(model, "inverse_transform")
    without = vae(max_epochs=1).fit(X)
    z = without.transform(X)
    assert np.array_equal(without.decode(z), without.inverse_transform(z))


def test_labels_can_be_ignored():
    ignoring, without = vae(conditional=False).fit(X, Y), vae().fit(X)
    assert np.array_equal(ignoring.transform(X), without.transform(X))
    assert not hasattr(ignoring, "classes_")
    pipeline = make_pipeline(vae(**TRAINED | {"conditional": False}), SVC()).fit(X, Y)
    assert pipeline.score(*bumps(60, seed=5)) > 0.8


def test_scorers_take_it_as_a_generator():
    model, test = trained(), bumps(40, seed=7)
    assert get_scorer("neg_fid")(model, *test) < 0
    assert get_scorer("memorization")(model, *test) > 0
    scorer = make_generation_scorer("classification_accuracy", referee=NearestCentroid())
    assert scorer(model, *test) > 0.95
    assert not model.X_fit_.flags.writeable
    assert np.array_equal(model.y_fit_, Y)


def test_a_warm_start_refuses_other_classes():
    y = np.arange(80) % 2
    model = vae(warm_start=True, max_epochs=1).fit(X, y)
    sampled = model.sample(3, y=1, random_state=0)
    for other, told in ((y + 1, r"\[0, 1\], and y has \[1, 2\]"), (None, "and y has none")):
        with pytest.raises(ValueError, match=f"continues with the classes of the .*{told}"):
            model.fit(X, other)
    np.testing.assert_array_equal(model.sample(3, y=1, random_state=0), sampled)
    assert model.fit(X, 1 - y).n_iter_ == 1  # the same classes
