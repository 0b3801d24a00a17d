"""VQTokenizer, besides what the suites of all transformers test."""

import functools
import inspect
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone

from skvqts import DivergedError, Quantizer, VQTokenizer
from skvqts._nn.encoders import make_encoder

from . import estimators, reference
from .conftest import two_shapes

OUTPUT_WIDTHS = {
    "features": 5 * 3 * 8 + 3 * 8 * 14 + 6,  # latents, three normalised layers, bag
    "tokens": 32,
    "one_hot": 32 * 6,
    "bag_of_codes": 6,
    "quantized": 32 * 8,
    "quantized_pooled": 5 * 3 * 8,
    "continuous": 32 * 8,
    "continuous_pooled": 5 * 3 * 8,
}
INVERTIBLE = ("tokens", "one_hot", "quantized")


make = functools.partial(estimators.tokenizer, n_blocks=2, max_epochs=4)


@pytest.fixture(scope="module")
def fitted():
    return make(max_epochs=60).fit(two_shapes(24)[0])


# ---- outputs and their inverses


@pytest.mark.parametrize("output", OUTPUT_WIDTHS)
def test_outputs_have_the_expected_shape_and_dtype(fitted, series, output):
    tokenizer = pickle.loads(pickle.dumps(fitted)).set_params(output=output)
    out = tokenizer.transform(series)
    assert out.shape == (24, OUTPUT_WIDTHS[output])
    assert out.dtype == (np.int64 if output == "tokens" else np.float32)
    assert len(tokenizer.get_feature_names_out()) == out.shape[1]


def test_outputs_agree_with_the_tokens(fitted, series):
    tokens = fitted.encode(series)
    read = {o: changed_copy(fitted, output=o).transform(series) for o in OUTPUT_WIDTHS}
    assert np.array_equal(read["tokens"], tokens)
    assert np.array_equal(read["one_hot"].reshape(24, 32, 6).argmax(2), tokens)
    np.testing.assert_allclose(read["bag_of_codes"], reference.bag_of_codes(tokens, 6), rtol=1e-6)
    np.testing.assert_allclose(
        read["quantized"].reshape(24, 32, 8), fitted.codebook_[tokens], rtol=1e-5
    )
    z = read["continuous"].reshape(-1, 8)
    _, distances = reference.nearest_code(z, fitted.codebook_)
    chosen = distances[np.arange(len(z)), tokens.ravel()]
    assert (chosen <= distances.min(1) * (1 + 1e-5)).all()


def changed_copy(tokenizer, **parameters):
    return pickle.loads(pickle.dumps(tokenizer)).set_params(**parameters)


def test_default_features_are_standardised_and_end_with_the_bag_of_codes(fitted, series):
    features = fitted.transform(series).astype(float)
    variance = features.var(0)
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(variance[variance > 0], 25 / features.shape[1], rtol=1e-3)
    bag = np.sqrt(changed_copy(fitted, output="bag_of_codes").transform(series))
    scale = np.where(bag.std(0) == 0, 1, bag.std(0)) * np.sqrt(features.shape[1]) / 5
    np.testing.assert_allclose(features[:, -6:], (bag - bag.mean(0)) / scale, atol=1e-3)


def test_default_features_grow_with_the_codebook(series):
    small, large = (make(codebook_size=k).fit_transform(series) for k in (4, 16))
    assert large.shape[1] - small.shape[1] == 12


@pytest.mark.parametrize("output", INVERTIBLE)
@pytest.mark.parametrize("frontend", ["conv", "stft"])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 7, 24, 101])
def test_inverse_transform_returns_series_of_the_fitted_length(frontend, output, length):
    X = two_shapes(6, length)[0]
    tokenizer = make(frontend=frontend, output=output, max_epochs=1).fit(X)
    again = tokenizer.inverse_transform(tokenizer.transform(X))
    assert again.shape == X.shape
    assert again.dtype == np.float32
    np.testing.assert_allclose(again, tokenizer.decode(tokenizer.encode(X)), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("output", INVERTIBLE)
def test_inverse_transform_accepts_any_memory_layout(fitted, output):
    tokenizer = changed_copy(fitted, output=output)
    rows = tokenizer.transform(two_shapes(150)[0])
    expected = tokenizer.inverse_transform(rows)
    assert np.array_equal(tokenizer.inverse_transform(rows[::-1])[::-1], expected)
    rows.flags.writeable = False
    assert np.array_equal(tokenizer.inverse_transform(rows), expected)
    assert np.array_equal(tokenizer.inverse_transform(np.asfortranarray(rows)), expected)


@pytest.mark.parametrize("output", sorted(set(OUTPUT_WIDTHS) - set(INVERTIBLE)))
def test_other_outputs_are_not_invertible(fitted, series, output):
    tokenizer = changed_copy(fitted, output=output)
    assert not hasattr(tokenizer, "inverse_transform")
    with pytest.raises(AttributeError, match="no attribute 'inverse_transform'") as error:
        tokenizer.inverse_transform(tokenizer.transform(series))
    cause = str(error.value.__cause__)
    assert f"output='{output}' cannot be inverted" in cause
    assert "output='tokens', 'one_hot' and 'quantized'" in cause


@pytest.mark.parametrize("output", INVERTIBLE)
def test_the_signature_of_inverse_transform_can_be_read(output):
    assert hasattr(VQTokenizer(output=output), "inverse_transform")
    assert list(inspect.signature(VQTokenizer.inverse_transform).parameters) == ["self", "X"]
    assert list(inspect.signature(VQTokenizer(output=output).inverse_transform).parameters) == ["X"]
    assert "Series of what `transform` returned" in VQTokenizer.inverse_transform.__doc__


def test_short_stft_series_are_padded_to_five_points():
    for length, grid in ((1, (5, 1)), (4, (5, 1)), (5, (5, 1)), (6, (5, 2))):
        tokenizer = make(frontend="stft", max_epochs=1).fit(two_shapes(6, length)[0])
        assert tokenizer.token_shape_ == (grid,)


# ---- training


def test_noiseless_series_are_reconstructed_closely():
    X, _ = two_shapes(60, noise=0.0)
    tokenizer = make(codebook_size=32, width=32, latent_dim=32, max_epochs=150).fit(X)
    assert tokenizer.score(X) > -0.02
    decoded = tokenizer.decode(tokenizer.encode(X))
    error = np.mean((decoded - X) ** 2) / X.var()
    assert error == pytest.approx(-tokenizer.score(X), rel=1e-3)


def test_noiseless_series_are_reconstructed_closely_with_the_stft_front_end():
    X, _ = two_shapes(60, noise=0.0)
    tokenizer = make(
        frontend="stft", codebook_size=32, width=32, latent_dim=32, max_epochs=100
    ).fit(X)
    assert set(tokenizer.loss_curve_) == {"loss", "reconstruction", "spectral", "commitment"}
    assert tokenizer.score(X) > -0.1


def test_fitted_attributes(fitted, series):
    assert fitted.codebook_.shape == (6, 8)
    assert fitted.token_shape_ == ((1, 32),)
    assert (fitted.n_channels_in_, fitted.n_timepoints_in_, fitted.n_features_in_) == (1, 32, 32)
    assert fitted.n_iter_ == 60
    assert set(fitted.loss_curve_) == {"loss", "reconstruction", "commitment"}
    assert all(len(values) == 60 for values in fitted.loss_curve_.values())
    weighted = fitted.loss_curve_["reconstruction"] + 0.25 * fitted.loss_curve_["commitment"]
    np.testing.assert_allclose(fitted.loss_curve_["loss"], weighted, rtol=1e-5)
    ids = fitted.encode(series).ravel()
    np.testing.assert_allclose(fitted.codebook_usage_, np.bincount(ids, minlength=6) / len(ids))
    assert fitted.perplexity_ == pytest.approx(reference.perplexity(ids, 6))
    assert fitted.device_ == "cpu"
    assert not fitted.module_.training
    assert fitted.interrupted_ is False


def test_the_scaler_standardises_each_channel(panel):
    scaler = make(max_epochs=1).fit(panel).scaler_
    assert scaler.mean_.shape == scaler.scale_.shape == (1, 3, 1)
    np.testing.assert_allclose(scaler.mean_[0, :, 0], panel.mean((0, 2)))
    np.testing.assert_allclose(scaler.scale_[0, :, 0], panel.std((0, 2)))


@pytest.mark.parametrize(
    ("frontend", "latent_dim", "n_blocks", "downsampled_width"),
    [("conv", 128, 2, 32), ("multiscale", 128, 2, 32), ("patches", 128, 2, 32), ("stft", 64, 4, 8)],
)
def test_the_architecture_holds_the_resolved_sizes(
    frontend, latent_dim, n_blocks, downsampled_width, panel
):
    auto = dict.fromkeys(("latent_dim", "n_blocks", "downsampled_width"), "auto")
    tokenizer = make(frontend=frontend, max_epochs=1, **auto).fit(panel)
    assert tokenizer.architecture_ == {
        "n_channels": 3,
        "n_timepoints": 20,
        "frontend": frontend,
        "width": 8,
        "latent_dim": latent_dim,
        "n_blocks": n_blocks,
        "downsampled_width": downsampled_width,
        "n_bands": 1,
    }
    assert tokenizer.codebook_.shape[1] == latent_dim
    assert {tokenizer.get_params()[name] for name in auto} == {"auto"}
    given = {"latent_dim": 4, "n_blocks": 1, "downsampled_width": 5, "n_bands": 2}
    tokenizer = make(frontend=frontend, max_epochs=1, **given).fit(panel)
    assert {name: tokenizer.architecture_[name] for name in given} == given
    encoder = make_encoder(**tokenizer.architecture_)
    encoder.load_state_dict(tokenizer.encoder_.state_dict())


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"frontend": "multiscale"},
        {"frontend": "stft"},
        {"n_bands": 2},
        {"scaling": "series"},
        {"quantizer": Quantizer(code_dim=3)},
    ],
    ids=str,
)
def test_the_encoder_makes_the_continuous_latents_of_scaled_series(parameters, panel):
    tokenizer = make(output="continuous", **parameters).fit(panel)
    with torch.no_grad():
        latents = tokenizer.encoder_(torch.from_numpy(tokenizer.scaler_.transform(panel)))
    n_tokens = sum(rows * columns for rows, columns in tokenizer.token_shape_)
    assert latents.shape == (12, n_tokens, 8)
    np.testing.assert_allclose(tokenizer.transform(panel), latents.flatten(1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "parameters",
    [
        {"quantizer": Quantizer("gradient")},
        {"quantizer": Quantizer(code_dim=3, normalize_codes=True)},
        {"quantizer": Quantizer("gradient", code_dim=3, normalize_codes=True)},
        {"quantizer": Quantizer(init="normal", revival_threshold=0.0)},
        {"scaling": "series"},
        {"downsampled_width": 8},
        {"precision": "bfloat16"},
        {"codebook_size": 1},
        {"batch_size": 1, "max_epochs": 5},
        {"n_blocks": 0},
    ],
    ids=str,
)
def test_training_lowers_the_loss_with_every_option(parameters, series):
    tokenizer = make(**{"max_epochs": 30} | parameters).fit(series)
    curve = tokenizer.loss_curve_["reconstruction"]
    assert np.isfinite(curve).all()
    assert curve[-1] < curve[0]
    assert np.isfinite(tokenizer.codebook_).all()
    quantizer = parameters.get("quantizer", Quantizer())
    assert tokenizer.codebook_.shape[1] == (quantizer.code_dim or 8)


def test_reviving_unused_codes_raises_the_perplexity():
    X = two_shapes(60)[0]
    quantizers = [Quantizer(init="normal", revival_threshold=t) for t in (0.0, 0.05)]
    without, revived = (
        make(codebook_size=64, max_epochs=150, quantizer=quantizer).fit(X).perplexity_
        for quantizer in quantizers
    )
    assert revived > 1.5 * without


def test_a_codebook_larger_than_the_number_of_tokens_stays_finite():
    X = two_shapes(3, 4)[0]
    with pytest.warns(UserWarning, match="only 12 tokens for codebook_size=50"):
        tokenizer = make(codebook_size=50).fit(X)
    assert np.isfinite(tokenizer.codebook_).all()
    assert tokenizer.perplexity_ <= 12


def test_per_series_scaling_ignores_level_and_scale(series):
    tokenizer = make(scaling="series").fit(series)
    assert np.array_equal(tokenizer.encode(series), tokenizer.encode(4 * series + 8))


def test_early_stopping_ends_before_max_epochs():
    X = two_shapes(40, noise=1.0)[0]
    tokenizer = make(
        early_stopping=True, max_epochs=400, n_iter_no_change=3, learning_rate=0.01
    ).fit(X)
    assert tokenizer.n_iter_ < 400
    assert len(tokenizer.loss_curve_["validation"]) == tokenizer.n_iter_


def test_early_stopping_with_two_series_trains_all_epochs():
    assert make(early_stopping=True).fit(two_shapes(2)[0]).n_iter_ == 4


def test_warm_start_continues(series):
    tokenizer = make(warm_start=True, max_epochs=40).fit(series)
    before = -tokenizer.score(series)
    tokenizer.fit(series)
    assert tokenizer.loss_curve_["reconstruction"][0] < 3 * before
    assert -tokenizer.score(series) < before
    with pytest.raises(ValueError, match="16 features"):
        tokenizer.fit(series[:, :16])


def test_a_batch_may_be_larger_than_what_torch_counts():
    X = two_shapes(24)[0]
    of_all = make(batch_size=2**63).fit(X).transform(X)
    assert np.array_equal(of_all, make(batch_size=24).fit(X).transform(X))


@pytest.mark.parametrize(
    ("n", "n_epochs"), [(20, 600), pytest.param(9000, 8, marks=pytest.mark.slow)]
)
def test_automatic_number_of_epochs(n, n_epochs):
    """As many as make 600 steps, and 8 at least."""
    tiny = make(max_epochs="auto", width=1, latent_dim=1, n_blocks=0)
    assert tiny.fit(two_shapes(n, 4)[0]).n_iter_ == n_epochs


def test_divergence_raises(series):
    with pytest.raises(DivergedError, match="learning_rate"):
        make(learning_rate=1e12, max_epochs=30).fit(series)


def test_a_gradient_codebook_starts_and_stays_finite_without_kmeans(series):
    tokenizer = make(quantizer=Quantizer("gradient", init="normal"), max_epochs=20).fit(series)
    assert np.isfinite(tokenizer.codebook_).all()


@pytest.mark.parametrize(
    "change",
    [
        {"codebook_size": 9},
        {"frontend": "stft"},
        {"scaling": "series"},
        {"width": 4},
        {"latent_dim": 4},
        {"n_blocks": 1},
        {"downsampled_width": 8},
        {"n_bands": 2},
        {"quantizer": Quantizer("gradient")},
        {"quantizer": Quantizer(code_dim=4)},
        {"quantizer": Quantizer(normalize_codes=True)},
        {"quantizer": Quantizer(ema_decay=0.9)},
        {"quantizer": Quantizer(revival_threshold=0.1)},
    ],
    ids=str,
)
def test_warm_start_refuses_another_network(series, change):
    tokenizer = changed_copy(make(warm_start=True).fit(series), **change)
    architecture, quantizer = tokenizer.architecture_, tokenizer.quantizer_
    before = tokenizer.encode(series)
    with pytest.raises(ValueError, match="warm_start"):
        tokenizer.fit(series)
    assert tokenizer.architecture_ is architecture
    assert tokenizer.quantizer_ is quantizer
    assert np.array_equal(tokenizer.encode(series), before)


@pytest.mark.parametrize(
    "change",
    [
        {"quantizer": Quantizer(commitment_weight=5.0)},
        {"quantizer": Quantizer(init="normal")},
        {"latent_dim": 128, "downsampled_width": 32},
        {"learning_rate": 1e-4, "batch_size": 8},
        {"ssl": "vicreg"},
    ],
    ids=str,
)
def test_warm_start_allows_what_leaves_the_network_as_it_is(series, change):
    sizes = {"latent_dim": "auto", "downsampled_width": "auto"}
    first = make(warm_start=True, max_epochs=20, **sizes).fit(series)
    tokenizer = changed_copy(first, max_epochs=2, **change).fit(series)
    assert -tokenizer.score(series) < 3 * -first.score(series)
    assert tokenizer.architecture_ == first.architecture_
    curve, weight = tokenizer.loss_curve_, tokenizer.quantizer_.commitment_weight
    assert weight == change.get("quantizer", Quantizer()).commitment_weight
    if "ssl" not in change:
        expected = curve["reconstruction"] + weight * curve["commitment"]
        np.testing.assert_allclose(curve["loss"], expected, rtol=1e-5)


def test_an_unknown_output_set_after_fit_is_refused(fitted, series):
    with pytest.raises(ValueError, match="'output' parameter of VQTokenizer must be"):
        changed_copy(fitted, output="continous").transform(series)


def test_numpy_integers_are_integers(series):
    parameters = {
        "batch_size": np.int64(5),
        "max_epochs": np.int64(2),
        "codebook_size": np.int32(4),
    }
    assert make(**parameters).fit(series).n_iter_ == 2


# ---- input


@pytest.mark.parametrize("value", [0.0, 1e6, 1e18 / 3, 1e30])
def test_constant_series_are_reconstructed(value):
    X = np.full((50, 20), value)
    tokenizer = make().fit(X)
    assert -1 <= tokenizer.score(X) <= 0
    np.testing.assert_allclose(tokenizer.decode(tokenizer.encode(X)), X, rtol=1e-5, atol=2)


@pytest.mark.parametrize(("scale", "offset"), [(1e25, 0), (1e-30, 0), (1.0, 1e4), (2.0**60, 0)])
def test_scale_and_offset_do_not_matter(series, scale, offset):
    moved = make(max_epochs=20).fit(scale * series + offset)
    plain = make(max_epochs=20).fit(series)
    same = moved.encode(scale * series + offset) == plain.encode(series)
    assert same.mean() > 0.99


def test_series_too_far_from_the_training_series_are_refused():
    X = two_shapes(8)[0]
    with pytest.raises(ValueError, match="standard deviations away"):
        make().fit(1e-20 * X).transform(1e20 * X)


def test_multivariate_series_keep_their_shape(panel):
    for frontend in ("conv", "stft"):
        tokenizer = make(frontend=frontend).fit(panel)
        assert tokenizer.n_features_in_ == 3
        assert tokenizer.decode(tokenizer.encode(panel)).shape == panel.shape


def test_invalid_tokens_are_refused(fitted):
    good = np.zeros((2, 32), int)
    assert fitted.decode(good.astype(float)).shape == (2, 32)
    for bad in (good - 1, good + 6, good + 0.5):
        with pytest.raises(ValueError, match=r"whole numbers in \[0, 6\)"):
            fitted.decode(bad)
    assert fitted.decode(torch.tensor(good)).shape == (2, 32)
    for bad in (good.astype(str), np.ma.masked_equal(good, 0)):
        with pytest.raises(ValueError, match=r"whole numbers|masked"):
            fitted.decode(bad)
    with pytest.raises(ValueError, match="31 tokens per series"):
        fitted.decode(good[:, :31])
    with pytest.raises(ValueError, match="exactly one 1 per token"):
        changed_copy(fitted, output="one_hot").inverse_transform(np.zeros((2, 192)))
    with pytest.raises(ValueError, match="5 columns"):
        changed_copy(fitted, output="quantized").inverse_transform(np.zeros((2, 5)))


@pytest.mark.parametrize(
    ("device", "message"), [("cuda:99", "no such device"), ("gpu", "must be"), ("meta", "must be")]
)
def test_unknown_devices_are_refused(device, message, series):
    with pytest.raises(ValueError, match=message):
        make(device=device).fit(series)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_the_error_for_missing_cuda_says_what_to_use_instead(series):
    with pytest.raises(ValueError, match="use device='cpu' or 'auto'"):
        make(device="cuda").fit(series)


def test_a_failed_fit_leaves_the_previous_one_usable(fitted, series):
    tokenizer = changed_copy(fitted)
    before = tokenizer.transform(series)
    for bad in (np.full((4, 9), np.nan), np.zeros((1, 9))):
        with pytest.raises(ValueError, match=r"NaN|n_samples=1|1 sample"):
            tokenizer.fit(bad)
        assert np.array_equal(tokenizer.transform(series), before)
    with pytest.raises(DivergedError):
        tokenizer.set_params(learning_rate=1e12, max_epochs=30).fit(series[:, :9])
    assert np.array_equal(tokenizer.transform(series), before)


# ---- determinism and state


def test_the_number_of_threads_is_restored_after_fit(series, allow_threads):
    allow_threads(2)
    tokenizer = make(n_threads=1).fit(series)
    assert torch.get_num_threads() == 2
    assert np.array_equal(tokenizer.codebook_, make(n_threads=1).fit(series).codebook_)


def test_pickles_contain_no_tensors(fitted):
    assert b"torch" not in pickle.dumps(fitted)


def test_a_pickle_from_a_missing_device_is_opened_on_the_cpu(fitted, series):
    other = changed_copy(fitted)
    other.device_ = "cuda:7"
    with pytest.warns(UserWarning, match="continues on the CPU"):
        opened = pickle.loads(pickle.dumps(other))
    assert np.array_equal(opened.transform(series), fitted.transform(series))


def test_ctrl_c_leaves_a_usable_tokenizer(series, ctrl_c_in_the_third_epoch):
    tokenizer = make(max_epochs=10**6)
    with pytest.raises(KeyboardInterrupt):
        tokenizer.fit(series)
    assert tokenizer.interrupted_
    assert tokenizer.n_iter_ == len(tokenizer.loss_curve_["loss"]) == 3
    assert np.isfinite(tokenizer.transform(series)).all()


def test_verbose_prints_progress_and_the_default_prints_nothing(capsys, series):
    make().fit(series)
    assert capsys.readouterr() == ("", "")
    make(verbose=1).fit(series)
    assert "[VQTokenizer] epoch 4/4  loss" in capsys.readouterr().out


@pytest.mark.cuda
def test_cuda_agrees_with_the_cpu(series):
    on_gpu = make(device="cuda").fit(series)
    assert on_gpu.device_.startswith("cuda")
    state = on_gpu.__getstate__() | {"device_": "cpu"}
    on_cpu = VQTokenizer()
    on_cpu.__setstate__(state)
    z = changed_copy(on_cpu, output="continuous").transform(series).reshape(-1, 8)
    _, distances = reference.nearest_code(z, on_cpu.codebook_)
    chosen = distances[np.arange(len(z)), on_gpu.encode(series).ravel()]
    assert (chosen <= distances.min(1) * (1 + 1e-3)).all()
    assert clone(on_gpu).get_params() == on_gpu.get_params()


@pytest.mark.cuda
def test_a_pickle_from_cuda_is_opened_without_cuda(series, tmp_path):
    (tmp_path / "tokenizer.pkl").write_bytes(pickle.dumps(make(device="cuda").fit(series)))
    code = (
        "import pickle, sys, numpy as np\n"
        "tok = pickle.load(open(sys.argv[1], 'rb'))\n"
        "assert tok.device_ == 'cpu'\n"
        "assert np.isfinite(tok.transform(np.zeros((2, 32)))).all()\n"
    )
    path = str(tmp_path / "tokenizer.pkl")
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", code, path],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "continues on the CPU" in done.stderr
