"""The autoregressive prior of gated causal convolutions: causality, likelihood, cached sampling."""

import copy
import itertools
from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from skvqts import AutoregressivePriorGenerator, load
from skvqts._files.models import content_digest
from skvqts._fitting import checkpoint as checkpoints
from skvqts._generation.sampling import TokenReader
from skvqts._nn.layers import build
from skvqts._nn.prior import Prior
from skvqts._nn.sequence.causal_convolutions import GatedConvolution, OneByOne
from skvqts._tokenizer import code_ranges

from .conftest import two_shapes
from .estimators import autoregressive_prior

X, Y = two_shapes(24)
CONVOLUTION = {"network": "convolution", "decoder": None, "n_layers": 2}
ONE_BAND = {"codebook_size": 3, "downsampled_width": 4}
TWO_BANDS = {"codebook_size": 2, "downsampled_width": 4, "n_bands": 2}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module", params=[ONE_BAND, TWO_BANDS], ids=["one band", "two bands"])
def small(request):
    """A generator of 81 sequences of four tokens, or of 32 of one low token and four high ones."""
    learned = {"max_epochs": 4, "learning_rate": 0.02, "width": 16}
    return autoregressive_prior(request.param, **CONVOLUTION | learned).fit(X[:, ::2], Y)


def all_sequences(generator):
    ranges = [range(*ends) for ends in code_ranges(generator.tokenizer_).tolist()]
    return np.array(list(itertools.product(*ranges)))


# ---- the layer


@pytest.mark.parametrize(("index", "dilation"), [(0, 1), (2, 4), (5, 32), (6, 1)])
def test_a_layer_is_a_gated_causal_convolution(index, dilation):
    """By a loop over positions, and over the three that each of them sees."""
    layer = build(partial(GatedConvolution, 5, index, 0.0), seeded())
    x, told = (torch.randn(*shape, 5, generator=seeded(1)) for shape in ((2, 40), (2,)))
    h = layer.norm(x)
    with torch.no_grad():
        found = layer(x, told)
        for position in range(40):
            places = [position - lag for lag in (0, dilation, 2 * dilation)]
            seen = [h[:, p] if p >= 0 else torch.zeros(2, 5) for p in places]
            both = layer.taps(torch.cat(seen, 1)) + layer.condition(told)
            gated = both[:, :5].tanh() * both[:, 5:].sigmoid()
            torch.testing.assert_close(found[:, position], x[:, position] + layer.join(gated))


def test_step_by_step_a_layer_computes_the_same():
    layer = build(partial(GatedConvolution, 6, 1, 0.0), seeded())
    x, told = torch.randn(3, 9, 6, generator=seeded(1)), torch.randn(3, 6, generator=seeded(2))
    past = []
    with torch.no_grad():
        steps = [layer.step(column, told, past) for column in x.unbind(1)]
        torch.testing.assert_close(torch.stack(steps, 1), layer(x, told))


@pytest.mark.parametrize("n_layers", [0, 1, 3])
def test_tokens_one_by_one_have_the_logits_of_a_whole_pass(n_layers):
    sizes = {"width": 12, "n_layers": n_layers, "n_heads": 1, "head_dim": 1, "feedforward": 1}
    kind = {"dropout": 0.1, "causal": True, "convolutional": True}
    network = build(partial(Prior, ((1, 4), (1, 5)), 6, 2, 3, **sizes, **kind), seeded()).eval()
    ids = torch.randint(0, 6, (7, 9), generator=seeded(1))
    ids[:, 4:] += 6
    classes = torch.randint(0, 3, (7,), generator=seeded(2))
    with torch.no_grad():
        for band, first in ((0, 0), (1, 4)):
            whole = network.logits(band, ids, torch.ones(7, 1, dtype=torch.bool), classes)
            reader = OneByOne(network.bands[band], classes)
            for column in ids[:, :first].unbind(1):
                reader.feed(column)
            for position in range(whole.shape[1]):
                torch.testing.assert_close(reader.logits(), whole[:, position])
                if position + 1 < whole.shape[1]:
                    reader.feed(ids[:, first + position])


# ---- the generator


def test_likelihoods_of_all_sequences_add_up_to_one(small):
    ids = all_sequences(small)
    for label in (0, 1, 2):  # the last one is no class in particular
        log_likelihoods = small._log_likelihood(ids, np.full(len(ids), label))
        assert np.exp(log_likelihoods).sum() == pytest.approx(1.0, abs=1e-6)


def test_likelihoods_of_an_untrained_wide_network_add_up_to_one_too(small):
    other = copy.deepcopy(small)
    with torch.no_grad():
        for band in other.module_.bands:
            band.head.weight.normal_(generator=seeded())
    ids = all_sequences(other)
    found = other._log_likelihood(ids, np.zeros(len(ids), np.int64))
    assert np.ptp(found) > 1
    assert np.exp(found).sum() == pytest.approx(1.0, abs=1e-6)


def drawn(generator, n, from_scratch, label=0):
    width = len(all_sequences(generator)[0])
    reader = TokenReader(generator)
    masks, ids = np.ones((n, width), bool), np.zeros((n, width), np.int64)
    given = (ids, masks, np.full(n, label), 5, generator._decodings())
    return reader.fill(*given, from_scratch=from_scratch)


@pytest.mark.parametrize("guidance_scale", [1.0, 2.5])
def test_what_is_kept_of_the_tokens_before_changes_no_sample(small, guidance_scale):
    other = copy.deepcopy(small).set_params(guidance_scale=guidance_scale)
    cached = drawn(other, 600, from_scratch=True)
    assert len(np.unique(cached, axis=0)) > 5
    assert np.array_equal(cached, drawn(other, 600, from_scratch=False))


def test_samples_are_as_frequent_as_their_likelihoods_say(small):
    ids = all_sequences(small)
    p = np.exp(small._log_likelihood(ids, np.ones(len(ids), np.int64)))
    index = {tuple(row): i for i, row in enumerate(ids.tolist())}
    found = drawn(small, 4000, from_scratch=True, label=1)
    counts = np.bincount([index[tuple(row)] for row in found.tolist()], minlength=len(ids))
    often = 4000 * p > 5
    counts, p = (np.append(part[often], part[~often].sum() + 1e-9) for part in (counts, p))
    assert chisquare(counts, p / p.sum() * counts.sum()).pvalue > 1e-3


def test_it_learns_which_tokens_follow_which(small):
    first, *_, last = small.loss_curve_["prior"]
    assert last < first - 0.01


def test_samples_of_a_kept_model_are_the_same(small, tmp_path):
    small.save(tmp_path / "model")
    opened = load(tmp_path / "model")
    assert np.array_equal(opened.sample(5, random_state=1), small.sample(5, random_state=1))
    assert np.array_equal(opened.sample(3, random_state=1), small.sample(5, random_state=1)[:3])


def test_many_layers_can_be_kept(tmp_path):
    deep = autoregressive_prior(ONE_BAND, **CONVOLUTION | {"n_layers": 14}).fit(X[:, ::2])
    deep.save(tmp_path / "model")
    assert np.array_equal(load(tmp_path / "model").sample(3), deep.sample(3))


def test_a_killed_fit_goes_on(tmp_path, monkeypatch):
    class KilledError(Exception):
        pass

    def make():
        return autoregressive_prior(ONE_BAND, **CONVOLUTION, max_epochs=3)

    write = checkpoints.Checkpoint.write

    def write_and_die(checkpoint, state):
        write(checkpoint, state)
        if len(checkpoint.trainings) == 2 and state["n_epochs"] == 1:
            raise KilledError

    monkeypatch.setattr(checkpoints, "_PAUSE", 0.0)
    monkeypatch.setattr(checkpoints, "_SHARE", np.inf)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.Checkpoint, "write", write_and_die)
        with pytest.raises(KilledError):
            make().fit(X, Y, checkpoint=tmp_path / "fit")
    again = make().fit(X, Y, checkpoint=tmp_path / "fit")
    assert content_digest(again) == content_digest(make().fit(X, Y))


def test_other_networks_are_refused():
    with pytest.raises(ValueError, match="'network' parameter of AutoregressivePriorGenerator"):
        AutoregressivePriorGenerator(network="recurrent").fit(X)
