"""RandomConvolutionExtractor, besides what the suites of all transformers test."""

import pickle

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline

from skvqts import RandomConvolutionExtractor
from skvqts._fitting.reading import read_series

from .conftest import two_shapes

X, Y = two_shapes(60, noise=0.2)


def naive_activations(series, weight, dilation):
    """Convolve by loops, with zeros around the series."""
    channels, length = series.shape
    out = np.zeros(length)
    for t in range(length):
        for k in range(9):
            at = t + (k - 4) * dilation
            if 0 <= at < length:
                for c in range(channels):
                    out[t] += weight[c, k] * series[c, at]
    return out


def naive_features(extractor, series):
    """Share above the threshold and maximum of the standardised activations of each kernel."""
    module, columns, index = extractor.module_, [], 0
    scaled = extractor.scaler_.transform(series[None].astype(np.float64))[0].astype(np.float64)
    differences = np.diff(scaled, axis=1, prepend=scaled[:, :1])
    for bank, inputs in ((module.of_series, scaled), (module.of_differences, differences)):
        for kernels in bank:
            shares, peaks = [], []
            for weight in kernels.weight.detach().double().numpy()[:, :, 0]:
                a = naive_activations(inputs, weight, kernels.dilation[1])
                a = (a - float(module.means[index])) / float(module.scales[index])
                shares.append((a > float(module.thresholds[index])).mean())
                peaks.append(a.max())
                index += 1
            columns += shares + peaks
    return np.array(columns)


@pytest.mark.parametrize("shape", [(1, 20), (3, 33), (2, 1)])
def test_features_match_a_naive_computation(shape):
    panel = np.random.default_rng(0).normal(size=(6, *shape)).cumsum(axis=2)
    extractor = RandomConvolutionExtractor(n_kernels=15).fit(panel)
    (raw,) = read_series(extractor, lambda x: [extractor.module_(x)], panel)
    expected = np.stack([naive_features(extractor, series) for series in panel])
    np.testing.assert_allclose(raw, expected, rtol=1e-4, atol=1e-4)


def test_activations_and_columns_are_standardised_by_the_training_series():
    extractor = RandomConvolutionExtractor(n_kernels=30)
    features = extractor.fit_transform(X).astype(np.float64)
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-5)
    assert features.var(0).sum() == pytest.approx(25, rel=1e-4)
    scaled = extractor.scaler_.transform(X[:, None]).astype(np.float64)
    kernels = extractor.module_.of_series[0]
    for index, weight in enumerate(kernels.weight.detach().double().numpy()[:, :, 0]):
        a = np.stack([naive_activations(row, weight, kernels.dilation[1]) for row in scaled])
        assert float(extractor.module_.means[index]) == pytest.approx(a.mean(), abs=1e-5)
        assert float(extractor.module_.scales[index]) == pytest.approx(a.std(), rel=1e-4)


def test_kernels_are_centred_and_thresholds_are_in_their_range():
    module = RandomConvolutionExtractor(n_kernels=200).fit(X).module_
    for kernels in (*module.of_series, *module.of_differences):
        np.testing.assert_allclose(kernels.weight.detach().mean(3).numpy(), 0, atol=1e-6)
    assert -1 <= module.thresholds.min() < -0.9 < 0.9 < module.thresholds.max() <= 1


def test_the_default_seed_is_fixed_and_others_differ():
    default = RandomConvolutionExtractor(n_kernels=10).fit_transform(X)
    assert np.array_equal(default, RandomConvolutionExtractor(n_kernels=10).fit_transform(X))
    other = RandomConvolutionExtractor(n_kernels=10, random_state=1).fit_transform(X)
    assert not np.array_equal(default, other)


def test_a_linear_classifier_distinguishes_shapes_of_random_phase():
    X_new, y_new = two_shapes(60, seed=1, noise=0.2)
    model = make_pipeline(RandomConvolutionExtractor(200), RidgeClassifierCV()).fit(X, Y)
    assert model.score(X_new, y_new) > 0.95


def test_a_single_kernel_is_enough_and_pickles():
    extractor = RandomConvolutionExtractor(1).fit(X)
    assert extractor.transform(X).shape == (60, 2)
    copy = pickle.loads(pickle.dumps(extractor))
    assert np.array_equal(copy.transform(X), extractor.transform(X))
