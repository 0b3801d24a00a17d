"""Which tokens cover which time points."""

from functools import partial

import numpy as np
import pytest
import torch

from skvqts._generation.anomalies import window_masks
from skvqts._generation.gaps import tokens_at
from skvqts._nn.encoders import make_decoder, make_encoder
from skvqts._nn.layers import build

from .conftest import two_shapes
from .estimators import masked_prior

LENGTHS = [(129, 4), (140, 8), (126, 4), (500, 8)]


def points_at(times, n_timepoints):
    points = np.zeros((1, n_timepoints), dtype=bool)
    points[0, times] = True
    return points


def test_tokens_at_time_points_match_hand_computed_ones():
    grid, strides = [(1, 3), (2, 5)], [8, 4]  # of series of 17 time points
    for time, columns in ((0, (0, 0)), (3, (0, 0)), (4, (0, 1)), (8, (1, 2)), (16, (2, 4))):
        expected = [np.arange(3) == columns[0], np.tile(np.arange(5) == columns[1], 2)]
        hit = tokens_at(points_at([time], 17), grid, strides)
        assert np.array_equal(hit[0], np.concatenate(expected)), time
    assert np.array_equal(tokens_at(points_at([20], 21), [(1, 2)], [8])[0], [False, True])


def test_window_masks_match_hand_computed_ones():
    (low, high), covered = window_masks(8, [(1, 2), (1, 4)], [8, 4], 13)
    assert low.tolist() == [[True, False], [True, True], [False, True]]
    assert high.astype(int).tolist() == [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    assert [row.nonzero()[0].tolist() for row in covered] == [
        list(range(8)),
        list(range(4, 12)),
        list(range(8, 13)),
    ]


def centres_of_tokens(part, frontend, n_timepoints, width):
    """The mean time point that each column of tokens depends on or, in a decoder, changes."""
    sizes = {"width": 8, "latent_dim": 8, "n_blocks": 0, "downsampled_width": width}
    make = partial(make_encoder, 1, n_timepoints, frontend=frontend, **sizes)
    encoder = build(make, seeded(0)).eval()
    rows, columns = encoder.grid
    if part == "encoder":
        x = torch.randn(16, 1, n_timepoints, generator=seeded(1), requires_grad=True)
        latents = encoder(x).unflatten(1, encoder.grid)
        each = [latents[:, :, j].abs().sum() for j in range(columns)]
        effects = [torch.autograd.grad(one, x, retain_graph=True)[0] for one in each]
    else:
        make = partial(make_decoder, 1, n_timepoints, encoder.grid, frontend=frontend, **sizes)
        decoder = build(make, seeded(0)).eval()
        z = torch.randn(2, rows, columns, 8, generator=seeded(1))
        moved = z[:, None] + torch.eye(columns)[:, None, :, None]
        decode = lambda z: decoder(z.flatten(0, -4).flatten(1, 2)).unflatten(0, z.shape[:-3])  # noqa: E731
        effects = (decode(moved) - decode(z)[:, None]).transpose(0, 1)
    weights = torch.stack([effect.abs().sum((0, 1)) for effect in effects]).detach().double()
    centres = (weights * torch.arange(n_timepoints)).sum(1) / weights.sum(1)
    return centres.numpy(), encoder.stride


def seeded(seed):
    return torch.Generator("cpu").manual_seed(seed)


@pytest.mark.parametrize(
    ("part", "frontend"),
    [("encoder", "conv"), ("encoder", "stft"), ("decoder", "conv"), ("decoder", "multiscale")],
)
@pytest.mark.parametrize(("n_timepoints", "width"), LENGTHS)
def test_tokens_cover_the_time_points_that_networks_read_and_write(
    part, frontend, n_timepoints, width
):
    centres, stride = centres_of_tokens(part, frontend, n_timepoints, width)
    inner = np.arange(1, len(centres) - 1)  # the ends see less on one side
    assert np.array_equal((centres[inner] // stride).astype(int), inner)


@pytest.mark.parametrize(("n_timepoints", "width", "stride"), [(129, 4, 32), (65, 16, 4)])
def test_anomaly_scores_change_at_token_boundaries_only(n_timepoints, width, stride):
    X = two_shapes(8, n_timepoints)[0]
    generator = masked_prior({"downsampled_width": width, "max_epochs": 1}, max_epochs=1).fit(X)
    changes = np.diff(generator.anomaly_score(X, window=stride)).any(axis=0).nonzero()[0] + 1
    assert len(changes) > 0
    assert (changes % stride == 0).all()
