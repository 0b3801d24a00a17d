"""Searches on another engine than joblib's own: a local cluster of dask.distributed."""

import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from .conftest import two_shapes
from .estimators import masked_prior, tokenizer

distributed = pytest.importorskip("distributed")

X, Y = two_shapes(24)
SEARCHES = {
    "VQTokenizer": (tokenizer(max_epochs=1), {"codebook_size": [2, 4]}),
    "MaskedPriorGenerator": (masked_prior(decoder=None), {"tokenizer__codebook_size": [2, 4]}),
}


@pytest.fixture(scope="module")
def cluster():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as workers,
        distributed.Client(workers),
    ):
        yield


@pytest.mark.slow  # half a minute, most of it for the cluster
@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_on_a_cluster_has_the_bits_of_one_in_this_process(name):
    estimator, grid = SEARCHES[name]
    here = GridSearchCV(estimator, grid, cv=2, n_jobs=1).fit(X, Y)
    with joblib.parallel_config(backend="dask"):
        there = GridSearchCV(estimator, grid, cv=2).fit(X, Y)
    for key in ("mean_test_score", "split0_test_score", "split1_test_score"):
        assert np.array_equal(there.cv_results_[key], here.cv_results_[key])
    method = "transform" if name == "VQTokenizer" else "score_samples"
    results = [getattr(search.best_estimator_, method)(X) for search in (here, there)]
    assert np.array_equal(*results)
