"""VQTokenizer with a self-supervised objective."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from skvqts._nn.layers import build
from skvqts._nn.quantizer import VectorQuantizer
from skvqts._nn.self_supervision import SelfSupervision
from skvqts._nn.vqvae import make_vqvae
from skvqts._tokenizer import SelfSupervisedVQStep, VQStep, start_codebooks
from skvqts.augmentation import GaussianNoise, make_augmentation
from skvqts.objectives import OBJECTIVES, BarlowTwins, VICReg, make_objective

from .conftest import two_shapes
from .estimators import tokenizer as make

VIEWS = ("quantized", "continuous", "augmented")


def make_step(ssl="barlow_twins", view="quantized", augmented_weight=0.1):
    """A training step on a small network, and a batch."""
    generator = torch.Generator().manual_seed(0)
    sizes = {"width": 8, "latent_dim": 8, "n_blocks": 1, "downsampled_width": 8}
    quantizer = partial(VectorQuantizer, codebook_size=6)
    make_network = partial(make_vqvae, quantizer, 1, 32, frontend="conv", n_bands=1, **sizes)
    network = build(make_network, generator).train()
    x = torch.tensor(two_shapes(16)[0], dtype=torch.float32)[:, None]
    start_codebooks(network, "kmeans", x, 16, generator)
    supervision = SelfSupervision(
        make_objective(ssl),
        make_augmentation("slice"),
        network.encoder,
        network.decode,
        x,
        generator,
    )
    plain = VQStep(network, 0.25, generator)
    return SelfSupervisedVQStep(plain, supervision, view, augmented_weight).train(), network, x


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("ssl", OBJECTIVES)
def test_every_objective_trains_with_every_view(ssl, view, series):
    tokenizer = make(ssl=ssl, ssl_view=view).fit(series)
    terms = {"loss", "reconstruction", "commitment", "ssl"}
    assert set(tokenizer.loss_curve_) == terms | ({"augmented"} if ssl != "masked" else set())
    assert np.isfinite(tokenizer.transform(series)).all()
    assert tokenizer.decode(tokenizer.encode(series)).shape == series.shape


@pytest.mark.parametrize("ssl", [None, "barlow_twins"])
@pytest.mark.parametrize("frontend", ["multiscale", "stft"])
def test_other_front_ends_train_with_and_without_an_objective(frontend, ssl, series):
    tokenizer = make(ssl=ssl, frontend=frontend).fit(series)
    assert ("augmented" in tokenizer.loss_curve_) == (ssl is not None)
    assert np.isfinite(tokenizer.transform(series)).all()


@pytest.mark.parametrize("view", VIEWS)
def test_views_do_not_update_the_codebook(view):
    """The quantiser is called once, on the series; cluster sizes count only their tokens."""
    step, network, x = make_step(view=view)
    quantizer, quantized = network.bands[0].quantizer, []
    quantizer.register_forward_hook(lambda module, inputs, _: quantized.append(inputs[0]))
    step(x)
    assert len(quantized) == 1
    before = quantizer.cluster_size.sum().item()
    step.after_step(1)
    n_tokens = quantized[0].shape[0] * quantized[0].shape[1]
    assert quantizer.cluster_size.sum().item() == pytest.approx(
        0.95 * before + 0.05 * n_tokens, rel=1e-4
    )


def test_the_published_scheme_compares_quantised_latents_with_a_continuous_view():
    step, network, x = make_step()
    given = []
    step.ssl.branch.register_forward_hook(lambda module, views, _: given.extend(views))
    terms = step(x)
    first, second = given
    assert torch.equal(first.series, x)
    assert torch.equal(first.latents, network.quantized_latents(step.vq_step.quantized))
    assert not torch.equal(second.series, x)
    decoded = network.decode(second.latents)  # normalised by the batch, as in the training step
    error = (decoded - second.series).square().mean()
    assert terms["augmented"].item() == pytest.approx(error.item(), rel=1e-4)


@pytest.mark.parametrize("view", VIEWS)
def test_the_self_supervised_loss_has_a_gradient_in_the_encoder(view):
    step, network, x = make_step(view=view)
    step(x)["ssl"].backward()
    assert network.bands[0].encoder.layers[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("ssl", ["masked", "vicreg"])
def test_views_do_not_change_the_running_statistics(ssl):
    step, network, x = make_step(ssl)
    plain, same, _ = make_step(ssl)
    for _ in range(3):
        step(x)
        plain.vq_step(x)
    pairs = zip(network.named_buffers(), same.named_buffers(), strict=True)
    for (name, found), (_, expected) in pairs:
        if "running" in name:
            assert torch.equal(found, expected), name


def test_views_are_not_decoded_if_augmented_weight_is_zero(series):
    assert "augmented" not in make(ssl="vicreg", augmented_weight=0.0).fit(series).loss_curve_


def test_the_loss_is_the_weighted_sum_of_its_terms(series):
    curve = make(ssl=BarlowTwins(weight=0.3), augmented_weight=0.7).fit(series).loss_curve_
    weighted = curve["reconstruction"] + 0.25 * curve["commitment"]
    weighted = weighted + 0.7 * curve["augmented"] + 0.3 * curve["ssl"]
    np.testing.assert_allclose(curve["loss"], weighted, rtol=1e-5)


def test_batches_have_at_least_two_series(series):
    for n in (2, 3):
        with pytest.warns(UserWarning, match=f"{n} series are too few"):
            curve = make(ssl="barlow_twins", batch_size=1, early_stopping=True).fit(series[:n])
        assert np.isfinite(curve.loss_curve_["loss"]).all()


@pytest.mark.slow  # 600 steps; plans of small batches are tested without them
def test_the_automatic_budget_counts_batches_of_two_series(series):
    small = BarlowTwins(projector_width=8)
    longest = make(ssl=small, batch_size=1, max_epochs="auto").fit(series[:8])
    assert longest.n_iter_ * 4 == 600  # four batches of two series


def test_validation_compares_two_different_views():
    step, _, x = make_step(VICReg(25.0, 0.0, 0.0), "augmented")
    step(x)  # sets the running statistics
    step.eval()
    with torch.no_grad():
        first, again = (step(x)["ssl"].item() for _ in range(2))
    assert first == again > 1e-6  # it would be 0 between equal views


@pytest.mark.parametrize("ssl", OBJECTIVES)
def test_the_self_supervised_loss_is_computed_in_float32_with_bfloat16(ssl, series):
    curve = make(ssl=ssl, precision="bfloat16", max_epochs=1).fit(series).loss_curve_["ssl"]
    assert np.isfinite(curve).all()
    assert curve[0] != torch.tensor(curve[0]).bfloat16().item()  # no rounding to bfloat16


def test_grid_search_over_the_nested_objective_and_augmentation():
    X, y = two_shapes(30)
    tokenizer = make(ssl=BarlowTwins(projector_width=8), augmentation=GaussianNoise())
    grid = {"tok__ssl__weight": [0.1, 1.0], "tok__augmentation__scale": [0.05, 0.2]}
    search = GridSearchCV(Pipeline([("tok", tokenizer), ("clf", SVC())]), grid, cv=2).fit(X, y)
    best = search.best_estimator_["tok"]
    assert best.ssl.weight == search.best_params_["tok__ssl__weight"]
    by_name = GridSearchCV(
        Pipeline([("tok", make()), ("clf", SVC())]), {"tok__ssl": [None, "simclr", "masked"]}, cv=2
    )
    assert by_name.fit(X, y).best_score_ > 0.5


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"ssl": "barlow"}, "'ssl' parameter of VQTokenizer"),
        ({"ssl": BarlowTwins}, "'ssl' parameter of VQTokenizer"),
        ({"ssl": "vicreg", "augmentation": "noise"}, "'augmentation' parameter of VQTokenizer"),
        ({"ssl": "vicreg", "ssl_view": "both"}, "'ssl_view' parameter of VQTokenizer"),
        ({"ssl": BarlowTwins(weight=-1)}, "'weight' parameter of BarlowTwins"),
        (
            {"ssl": "vicreg", "augmentation": GaussianNoise(-1)},
            "'scale' parameter of GaussianNoise",
        ),
    ],
    ids=str,
)
def test_errors_name_the_invalid_parameter(parameters, message, series):
    with pytest.raises(ValueError, match=message):
        make(**parameters).fit(series)
