"""The evidence lower bound: its terms by hand and by torch's distributions, and on a linear toy.

The toy is ``x = W z + b + noise``, of which log p(x), the posterior and the bound of any normal
posterior are known (probabilistic PCA, Tipping and Bishop 1999).
"""

import copy
import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from skvqts._autoencoders import vae as vae_module
from skvqts._autoencoders.elbo import (
    importance_weighted_bound,
    kl_to_standard_normal,
    log_likelihood,
    log_posterior,
    log_prior,
    reparametrised,
)
from skvqts._autoencoders.vae import class_bounds

from .conftest import two_shapes
from .estimators import vae

N_POINTS, N_LATENTS = 6, 2
NOISE = 0.7


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def scales(kind, n=3):
    """Random means and scales of posteriors, diagonal or full."""
    draw = {"generator": generator(1), "dtype": torch.float64}
    mean = torch.randn(n, 2, 3, **draw)
    diagonal = torch.rand(n, 2, 3, **draw) + 0.2
    if kind == "diag":
        return mean, diagonal
    return mean, torch.randn(n, 2, 3, 3, **draw).tril(-1) + diagonal.diag_embed()


def distribution(mean, scale):
    if scale.ndim == mean.ndim:
        scale = scale.diag_embed()
    return MultivariateNormal(mean, scale_tril=scale)


both_kinds = pytest.mark.parametrize("kind", ["diag", "full"])


# ---- terms


def test_the_unit_likelihood_is_half_of_the_squared_error_and_a_constant():
    x, mean = torch.tensor([[[1.0, 2.0, 4.0]]]), torch.tensor([[[1.0, 0.0, 1.0]]])
    expected = -0.5 * (3 * math.log(2 * math.pi) + 4 + 9)
    assert float(log_likelihood(x, mean, torch.ones(1))) == pytest.approx(expected)


def test_the_likelihood_is_that_of_independent_normal_values():
    x, mean = torch.randn(2, 5, 3, 7, generator=generator(), dtype=torch.float64)
    scale = torch.tensor([0.1, 1.0, 3.0], dtype=torch.float64)
    expected = Normal(mean, scale[:, None]).log_prob(x).sum((1, 2))
    torch.testing.assert_close(log_likelihood(x, mean, scale), expected)


def test_the_divergence_of_one_latent_by_hand():
    """Of N(1, 2^2): (4 + 1 - 1) / 2 - log 2."""
    found = kl_to_standard_normal(torch.tensor([[[1.0]]]), torch.tensor([[[2.0]]]))
    assert float(found) == pytest.approx(2 - math.log(2))
    of_prior = kl_to_standard_normal(torch.zeros(1, 2, 3), torch.ones(1, 2, 3))
    assert float(of_prior) == 0


@both_kinds
def test_divergence_and_densities_are_those_of_torch(kind):
    mean, scale = scales(kind)
    posterior, prior = distribution(mean, scale), MultivariateNormal(torch.zeros(3), torch.eye(3))
    expected = kl_divergence(posterior, prior.expand(mean.shape[:2])).sum(1)
    torch.testing.assert_close(kl_to_standard_normal(mean, scale), expected)
    noise = torch.randn(mean.shape, generator=generator(), dtype=torch.float64)
    z = reparametrised(mean, scale, noise)
    torch.testing.assert_close(log_posterior(scale, noise), posterior.log_prob(z).sum(1))
    torch.testing.assert_close(log_prior(z), Normal(0.0, 1.0).log_prob(z).sum((1, 2)))


@both_kinds
def test_gradients_pass_through_draws_from_the_posterior(kind):
    mean, scale = (part.requires_grad_() for part in scales(kind, n=2))
    noise = torch.randn(mean.shape, generator=generator(), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda m, s: reparametrised(m, s, noise).sin(), (mean, scale))
    assert torch.autograd.gradcheck(kl_to_standard_normal, (mean, scale))


def test_the_gradient_of_an_expectation_is_right_on_average():
    """Of E z^2 = mean^2 + scale^2 it is 2 mean and 2 scale."""
    mean = torch.full((200_000, 1, 1), 0.5, dtype=torch.float64, requires_grad=True)
    scale = torch.full((200_000, 1, 1), 1.5, dtype=torch.float64, requires_grad=True)
    noise = torch.randn(mean.shape, generator=generator(), dtype=torch.float64)
    reparametrised(mean, scale, noise).square().sum().backward()
    assert float(mean.grad.mean()) == pytest.approx(1.0, abs=0.03)
    assert float(scale.grad.mean()) == pytest.approx(3.0, abs=0.03)


def test_draws_have_the_covariance_of_the_cholesky_factor():
    factor = torch.tensor([[2.0, 0.0], [-1.0, 0.5]], dtype=torch.float64)
    noise = torch.randn(100_000, 1, 2, generator=generator(), dtype=torch.float64)
    z = reparametrised(torch.zeros_like(noise), factor.expand(100_000, 1, 2, 2), noise)[:, 0]
    np.testing.assert_allclose(np.cov(z.T.numpy()), (factor @ factor.T).numpy(), atol=0.06)


def test_the_importance_weighted_bound_by_hand():
    weights = torch.tensor([[1.0, 4.0], [3.0, 4.0]])
    found = importance_weighted_bound(weights.log())
    torch.testing.assert_close(found, torch.tensor([2.0, 4.0]).log())
    large = importance_weighted_bound(torch.tensor([[-2000.0], [-2000.0]]))
    assert float(large) == -2000.0


# ---- the linear toy


class LinearGaussian(nn.Module):
    """The toy, with the exact posterior or the best diagonal one, as the network of a SeriesVAE."""

    def __init__(self, kind):
        super().__init__()
        rng = np.random.default_rng(0)
        self.loadings = rng.normal(size=(N_POINTS, N_LATENTS))
        self.offset = rng.normal(size=N_POINTS)
        self.n_classes = 0
        self.latent_shape = (1, N_LATENTS)
        self.noise_scale = torch.tensor([NOISE])
        precision = np.eye(N_LATENTS) + self.loadings.T @ self.loadings / NOISE**2
        self.posterior_covariance = np.linalg.inv(precision)
        if kind == "diag":  # the exact one has these precisions too
            self.scale = np.sqrt(1 / np.diag(precision))
        else:
            self.scale = np.linalg.cholesky(self.posterior_covariance)

    def posterior_means(self, X):
        return (X - self.offset) @ self.loadings @ self.posterior_covariance / NOISE**2

    def posterior(self, x):
        mean = torch.from_numpy(self.posterior_means(x[:, 0].double().numpy())).float()[:, None]
        scale = torch.from_numpy(self.scale).float()
        return mean, scale.expand(len(x), 1, *scale.shape)

    def decode(self, z, classes):
        return (z @ torch.from_numpy(self.loadings.T).float()) + torch.from_numpy(
            self.offset
        ).float()

    @property
    def covariance(self):
        return self.loadings @ self.loadings.T + NOISE**2 * np.eye(N_POINTS)

    def log_density(self, X):
        return multivariate_normal(self.offset, self.covariance).logpdf(X)

    def bound(self, X):
        """The evidence lower bound in closed form."""
        variance = np.diag(self.scale**2) if self.scale.ndim == 1 else self.scale @ self.scale.T
        means = self.posterior_means(X)
        errors = np.square(X - means @ self.loadings.T - self.offset).sum(1)
        errors = errors + np.trace(self.loadings @ variance @ self.loadings.T)
        likelihood = -(N_POINTS * np.log(2 * np.pi * NOISE**2) + errors / NOISE**2) / 2
        divergence = np.trace(variance) + np.square(means).sum(1) - N_LATENTS
        return likelihood - (divergence - np.linalg.slogdet(variance)[1]) / 2


def toy(kind, **parameters):
    """A SeriesVAE that is the toy, and series of it in the units of scaled series."""
    fitted = vae(latent_dim=N_LATENTS, max_epochs=1).fit(two_shapes(20, N_POINTS)[0])
    fitted = copy.deepcopy(fitted).set_params(**parameters)
    fitted.module_ = LinearGaussian(kind)
    fitted.noise_scale_ = np.array([NOISE])
    fitted.scaler_.mean_[:] = 0.0
    fitted.scaler_.scale_[:] = 1.0
    rng = np.random.default_rng(1)
    z = rng.normal(size=(300, N_LATENTS))
    X = z @ fitted.module_.loadings.T + fitted.module_.offset
    return fitted, X + NOISE * rng.normal(size=X.shape)


@both_kinds
def test_the_bound_of_the_toy_is_that_in_closed_form(kind, monkeypatch):
    model, X = toy(kind)
    monkeypatch.setattr(vae_module, "_ELBO_DRAWS", 1000)
    X = X[:64]
    errors = model.score_samples(X) - model.module_.bound(X)
    # Deviations of the log-likelihood of a draw, by the toy's own definition.
    z = np.random.default_rng(2).multivariate_normal(np.zeros(N_LATENTS), np.eye(N_LATENTS), 5000)
    root = np.diag(model.module_.scale) if kind == "diag" else model.module_.scale
    draws = model.module_.posterior_means(X)[:, None] + z @ root.T
    decoded = draws @ model.module_.loadings.T + model.module_.offset
    deviations = (np.square(X[:, None] - decoded).sum(2) / (2 * NOISE**2)).std(1)
    np.testing.assert_array_less(np.abs(errors), 4 * deviations / np.sqrt(1000))


def test_with_the_exact_posterior_every_draw_gives_the_density():
    model, X = toy("full")
    for n_draws in (1, 7):
        found = model.score_samples(X, n_importance_samples=n_draws)
        np.testing.assert_allclose(found, model.module_.log_density(X), atol=1e-3)
    np.testing.assert_allclose(model.module_.bound(X), model.module_.log_density(X), atol=1e-9)


def test_the_importance_weighted_bound_rises_with_the_number_of_draws_to_the_density():
    model, X = toy("diag")
    x = torch.from_numpy(X[:, None]).float()
    draws = np.random.default_rng(3).normal(size=(512, 1, N_LATENTS)).astype(np.float32)
    means = []
    for k in (1, 4, 32, 512):  # as many draws in all
        parts = [class_bounds(model.module_, x, part, True) for part in draws.reshape(-1, k, 1, 2)]
        means.append(float(torch.stack(parts).mean()))
    log_density = model.module_.log_density(X).mean()
    assert means == sorted(means)
    assert means[0] == pytest.approx(model.module_.bound(X).mean(), abs=0.1)
    assert means[0] < log_density - 0.15
    assert means[-1] == pytest.approx(log_density, abs=0.01)


def test_samples_of_the_toy_have_its_mean_and_covariance():
    model, _ = toy("full", sample_noise=True)
    X = model.sample(4000, random_state=0).astype(np.float64)
    covariance = model.module_.covariance
    deviations = np.sqrt(np.diag(covariance))
    np.testing.assert_array_less(
        np.abs(X.mean(0) - model.module_.offset), 5 * deviations / np.sqrt(4000)
    )
    errors = np.sqrt((np.outer(deviations, deviations) ** 2 + covariance**2) / 4000)
    np.testing.assert_array_less(np.abs(np.cov(X.T) - covariance), 5 * errors)
    without = model.set_params(sample_noise=False).sample(4000, random_state=0)
    of_mean = model.module_.loadings @ model.module_.loadings.T
    np.testing.assert_array_less(np.abs(np.cov(without.T) - of_mean), 5 * errors)
    assert np.linalg.matrix_rank(np.cov(without.T), tol=1e-3) == N_LATENTS
