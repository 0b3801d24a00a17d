"""The evidence lower bound of a variational autoencoder, term by term.

Latents are ``(B, M, k)``: M independent vectors of dimension k, normal with a mean and a scale. A
scale is a standard deviation ``(B, M, k)``, or the lower triangular matrix L ``(B, M, k, k)`` of
the covariance ``L @ L.T``. All terms are in nats, one for each row.
"""

import math

_LOG_2_PI = math.log(2 * math.pi)


def reparametrised(mean, scale, noise):
    """Latents ``mean + scale @ noise`` with gradients to mean and scale ([1]_, section 2.4).

    Parameters
    ----------
    mean : Tensor of shape (B, M, k)
    scale : Tensor of shape (B, M, k) or (B, M, k, k)
    noise : Tensor of shape (B, M, k)
        Standard normal.

    References
    ----------
    .. [1] Kingma, Welling. "Auto-encoding variational Bayes", 2014.
    """
    if scale.ndim == mean.ndim:
        return mean + scale * noise
    return mean + (scale * noise[..., None, :]).sum(-1)


def kl_to_standard_normal(mean, scale):
    """Kullback-Leibler divergence ``(B,)`` of N(0, I) from the posterior ([1]_, appendix B).

    Of a full covariance it is ``(|L|^2 + |mean|^2 - k) / 2 - log det L``, with |L| Frobenius' norm.

    References
    ----------
    .. [1] Kingma, Welling. "Auto-encoding variational Bayes", 2014.
    """
    squares = mean.square().sum((1, 2)) + scale.square().flatten(1).sum(1)
    return (squares - mean[0].numel()) / 2 - _log_determinant(scale)


def log_likelihood(x, mean, noise_scale):
    """Log-density ``(B,)`` of series under N(mean, noise_scale^2) ([1]_, appendix C.2).

    With a scale of 1 it is ``-(n log(2 pi) + |x - mean|^2) / 2`` for n values.

    Parameters
    ----------
    x, mean : Tensor of shape (B, C, T)
    noise_scale : Tensor of shape (C,)
        Standard deviation of each channel.

    References
    ----------
    .. [1] Kingma, Welling. "Auto-encoding variational Bayes", 2014.
    """
    scale = noise_scale[:, None]
    return _log_normal((x - mean) / scale) - x.shape[2] * scale.log().sum()


def log_prior(z):
    """Log-density ``(B,)`` of latents under N(0, I)."""
    return _log_normal(z)


def log_posterior(scale, noise):
    """Log-density ``(B,)`` of latents ``mean + scale @ noise`` under the posterior they are of."""
    return _log_normal(noise) - _log_determinant(scale)


def importance_weighted_bound(log_weights):
    """Lower bound ``(B,)`` of the log-likelihood by k draws of the posterior ([1]_, equation 8).

    It is the logarithm of the mean of the weights ``p(x, z) / q(z | x)``. With one draw it is an
    estimate of the evidence lower bound; its expectation rises with k towards log p(x).

    Parameters
    ----------
    log_weights : Tensor of shape (k, B)

    References
    ----------
    .. [1] Burda, Grosse, Salakhutdinov. "Importance weighted autoencoders", 2016.
    """
    return log_weights.logsumexp(0) - math.log(len(log_weights))


def _log_normal(z):
    """Log-density ``(B,)`` of rows under the standard normal distribution."""
    return -(z.square().flatten(1).sum(1) + z[0].numel() * _LOG_2_PI) / 2


def _log_determinant(scale):
    if scale.ndim == 4:
        scale = scale.diagonal(dim1=2, dim2=3)
    return scale.log().sum((1, 2))
