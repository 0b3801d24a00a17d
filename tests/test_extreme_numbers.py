"""Series of any level and scale, and steps of any size: right results, or an error."""

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator

from skvqts import DivergedError
from skvqts._fitting.scaling import ColumnMoments, ColumnScaler, SeriesScaler

from .conftest import two_shapes
from .estimators import (
    TRANSFORMERS,
    extractor,
    fcn,
    fine_tuned,
    fitted,
    flow_decoder,
    masked_prior,
    tokenizer,
)

X, Y = two_shapes(24)
# By a power of two all scaled values are the same to the bit.
POWERS = (-1000, -500, -140, 10, 124)


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("per_series", [False, True])
def test_scaling_is_the_same_at_every_scale(power, per_series):
    panel = np.stack([X, X - 3], axis=1)
    factor = 2.0**power
    scaler = SeriesScaler(per_series).fit(panel)
    other = SeriesScaler(per_series).fit(panel * factor)
    scaled = scaler.transform(panel)
    assert np.array_equal(other.transform(panel * factor), scaled)
    back = other.inverse(scaled)
    assert back.dtype == (np.float32 if power == 10 else np.float64)
    np.testing.assert_allclose(back.astype(float) / factor, scaler.inverse(scaled), atol=1e-6)


def test_tiny_values_are_scaled_beside_a_channel_that_is_nothing_and_an_ordinary_one():
    panel = np.stack([X * 2.0**-900, 0 * X, X], axis=1)
    scaled = SeriesScaler().fit(panel).transform(panel)
    assert np.array_equal(scaled[:, 0], scaled[:, 2])
    assert not scaled[:, 1].any()


@pytest.mark.parametrize("level", [1e4, 1e6, 1e8, 1e11])
def test_series_far_from_the_origin_are_decoded_and_drawn_in_all_detail(level):
    near = tokenizer().fit(X)
    far = tokenizer().fit(X + level)
    errors = [
        np.square(model.decode(model.encode(series)) - series).mean()
        for model, series in ((near, X), (far, X + level))
    ]
    assert errors[1] == pytest.approx(errors[0], rel=0.02)
    output = far.set_params(output="tokens").inverse_transform(far.transform(X + level))
    assert np.array_equal(output, far.decode(far.encode(X + level)))


def test_generators_draw_series_far_from_the_origin_in_all_detail():
    level = 1e8
    frozen = FrozenEstimator(tokenizer(downsampled_width=8).fit(X + level))
    near = masked_prior(tokenizer=tokenizer(downsampled_width=8), decoder=None).fit(X).sample(20)
    assert near.dtype == np.float32
    for decoder in (None, flow_decoder(n_steps=1)):
        drawn = masked_prior(tokenizer=frozen, decoder=decoder).fit(X + level).sample(20)
        assert drawn.dtype == np.float64
        assert len(np.unique(drawn)) > 0.9 * len(np.unique(near))
        assert 0.1 < drawn.std() / X.std() < 2


@pytest.mark.parametrize("n_rows", [1, 7, 100])
def test_moments_of_parts_are_those_of_the_whole(n_rows):
    features = np.random.default_rng(0).normal(size=(100, 5)).astype(np.float32)
    features += np.array([0, 1, 1e4, 0, 0], np.float32)
    features[:, 3] = 7.3
    moments = ColumnMoments()
    for start in range(0, 100, n_rows):
        moments.add(features[start : start + n_rows])
    exact = features.astype(np.float64)
    np.testing.assert_allclose(moments.mean, exact.mean(0), rtol=1e-12)
    deviations = np.sqrt(moments.squares / moments.n_rows)
    np.testing.assert_allclose(deviations, exact.std(0), rtol=1e-9, atol=1e-12)
    scaled = ColumnScaler().fit(moments).scale(features.copy())
    assert np.array_equal(scaled[:, 3], np.zeros(100))


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_features_of_the_training_series_have_a_common_variance(name):
    model = fitted(name)
    is_latent = name in ("SeriesAutoencoder", "SeriesVAE")
    if is_latent or getattr(model, "output", "features") != "features":
        pytest.skip("no features")
    variances = model.transform(X).var(0, dtype=np.float64)
    varying = variances > 1e-9
    np.testing.assert_allclose(variances[varying], 25 / len(variances), rtol=1e-4)


@pytest.mark.parametrize("learning_rate", [1e2, 1e4, 1e8, 1e30])
@pytest.mark.parametrize(
    "make",
    [
        tokenizer,
        extractor,
        fcn,
        lambda **rate: fine_tuned(
            pretrained=FrozenEstimator(fitted("SSLFeatureExtractor")), **rate
        ),
        lambda **rate: masked_prior(
            tokenizer=FrozenEstimator(fitted("VQTokenizer")), decoder=None, **rate
        ),
        lambda **rate: flow_decoder(tokenizer=FrozenEstimator(fitted("VQTokenizer")), **rate),
    ],
    ids=["tokenizer", "extractor", "fcn", "fine_tuned", "masked_prior", "flow_decoder"],
)
def test_a_divergence_in_the_only_step_is_an_error_or_leaves_finite_results(make, learning_rate):
    model = make(learning_rate=learning_rate, max_epochs=1, batch_size=2048)
    try:
        model.fit(X, Y)
    except DivergedError:
        return
    for method in ("transform", "predict_proba", "score_samples"):
        if hasattr(model, method):
            assert np.isfinite(getattr(model, method)(X)).all()


def test_judging_the_last_step_changes_nothing_that_is_learned(monkeypatch):
    from skvqts._fitting import training

    judged = extractor(objective="moco").fit(X)
    monkeypatch.setattr(training, "_check_last_step", lambda *_: None)
    blind = extractor(objective="moco").fit(X)
    for name, value in judged.module_.state_dict().items():
        assert np.array_equal(value, blind.module_.state_dict()[name])
