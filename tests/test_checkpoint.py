"""Checkpoints: a fit that was killed and is run again learns what it would have learned."""

import errno
import os
import signal
from functools import partial

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from benchmarks import robustness
from skvqts import ModelFileError, Quantizer, load, objectives
from skvqts._files import container
from skvqts._files.encoding import Decoder, Encoder
from skvqts._files.models import content_digest
from skvqts._fitting import checkpoint as checkpoints
from skvqts._fitting.checkpoint import Checkpoint
from skvqts._fitting.progress import Progress

from .conftest import two_shapes
from .estimators import (
    autoencoder,
    autoregressive_prior,
    extractor,
    fcn,
    fine_tuned,
    flow_decoder,
    masked_prior,
    tokenizer,
    vae,
)

X, Y = two_shapes(24)
SMALL_BATCHES = {"batch_size": 8}
CASES = {
    "VQTokenizer": (tokenizer, SMALL_BATCHES),
    "two bands": (tokenizer, SMALL_BATCHES | {"n_bands": 2}),
    "stft": (tokenizer, SMALL_BATCHES | {"frontend": "stft"}),
    "gradient": (tokenizer, SMALL_BATCHES | {"quantizer": Quantizer(update="gradient")}),
    "early stopping": (tokenizer, SMALL_BATCHES | {"early_stopping": True}),
    "without a seed": (tokenizer, SMALL_BATCHES),
    **{
        f"tokenizer, {name}": (tokenizer, SMALL_BATCHES | {"ssl": name})
        for name in objectives.OBJECTIVES
    },
    **{
        f"extractor, {name}": (extractor, SMALL_BATCHES | {"objective": name})
        for name in objectives.OBJECTIVES
    },
    "SeriesAutoencoder": (autoencoder, SMALL_BATCHES),
    "SeriesVAE": (vae, SMALL_BATCHES | {"kl_warmup": 0.9}),
    "SeriesVAE, early stopping": (vae, SMALL_BATCHES | {"early_stopping": True}),
    "FCNClassifier": (fcn, SMALL_BATCHES),
    "FineTunedClassifier": (fine_tuned, SMALL_BATCHES),
    "a frozen encoder": (fine_tuned, SMALL_BATCHES | {"train_encoder": False}),
    "FlowDecoder": (flow_decoder, {"early_stopping": True, "max_epochs": 3, "n_iter_no_change": 1}),
    "MaskedPriorGenerator": (masked_prior, {}),
    "drawn tokens": (masked_prior, {"code_temperature": 1.0, "early_stopping": True}),
    "AutoregressivePriorGenerator": (autoregressive_prior, {}),
}


class Killed(BaseException):
    """Stands for a signal that no process survives."""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fit.checkpoint"


@pytest.fixture
def write_at_every_step(monkeypatch):
    monkeypatch.setattr(checkpoints, "_PAUSE", 0.0)
    monkeypatch.setattr(checkpoints, "_SHARE", np.inf)


@pytest.fixture
def killed_after(write_at_every_step, monkeypatch):
    """A function that runs a fit until its checkpoint has been written so many times."""
    write = Checkpoint.write

    def run(estimator, path, n_writings, *data):
        written = []

        def write_and_die(checkpoint, state):
            write(checkpoint, state)
            written.append(state)
            if len(written) == n_writings:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(Checkpoint, "write", write_and_die)
            with pytest.raises(Killed):
                estimator.fit(*data, checkpoint=path)

    return run


LATER = {"VQTokenizer", "extractor, moco", "FlowDecoder", "MaskedPriorGenerator", "SeriesVAE"}


@pytest.mark.parametrize(
    ("name", "n_writings"),
    [
        pytest.param(
            name,
            1,
            marks=pytest.mark.slow if ", " in name or name in LATER else [],
        )
        for name in CASES
    ]
    + [(name, 4) for name in sorted(LATER)]
    + [pytest.param(name, 4, marks=pytest.mark.slow) for name in sorted(CASES.keys() - LATER)],
)
def test_a_fit_that_was_killed_and_is_run_again_learns_the_same_bits(
    name, n_writings, path, killed_after
):
    make, parameters = CASES[name]
    if n_writings == 4 and make in (masked_prior, autoregressive_prior):
        parameters = parameters | {"max_epochs": 2}  # so that more than one stage is under way
        n_writings = 18  # of these fifteen are the tokenizer's
    killed_after(make(**parameters), path, n_writings, X, Y)
    assert path.exists()
    again = make(**parameters).fit(X, Y, checkpoint=path)
    assert not path.exists()
    assert content_digest(again) == content_digest(make(**parameters).fit(X, Y))


def test_a_second_kill_changes_nothing(path, killed_after):
    make = partial(tokenizer, batch_size=8, ssl="moco")
    for _ in range(3):
        killed_after(make(), path, 2, X)
    again = make().fit(X, checkpoint=path)
    assert content_digest(again) == content_digest(make().fit(X))


def test_a_fit_without_a_seed_goes_on_with_the_random_numbers_it_began_with(path, killed_after):
    make = partial(tokenizer, batch_size=8, random_state=None)
    killed_after(make(), path, 2, X)
    kept = path.read_bytes()
    fits = []
    for _ in range(2):
        path.write_bytes(kept)
        fits.append(content_digest(make().fit(X, checkpoint=path)))
    assert fits[0] == fits[1]
    assert content_digest(make().fit(X)) != fits[0]


def test_loops_that_are_done_are_not_run_again(path, killed_after, monkeypatch):
    make = partial(masked_prior, max_epochs=2)
    killed_after(make(), path, 18, X, Y)
    epochs = []
    epoch = Progress.epoch

    def counted(progress, number, terms):
        epochs.append((progress.name, number))
        return epoch(progress, number, terms)

    monkeypatch.setattr(Progress, "epoch", counted)
    make().fit(X, Y, checkpoint=path)
    assert "VQTokenizer" not in {name for name, _ in epochs}
    assert ("MaskedPriorGenerator", 1) in epochs


def test_the_loss_curve_of_a_resumed_fit_is_whole(path, killed_after):
    killed_after(tokenizer(batch_size=8), path, 5, X)
    again = tokenizer(batch_size=8).fit(X, checkpoint=path)
    assert again.n_iter_ == 3
    assert {len(values) for values in again.loss_curve_.values()} == {3}


def test_a_pipeline_hands_the_file_on(path, killed_after):
    steps = [("tok", tokenizer(batch_size=8)), ("clf", SVC())]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints.Checkpoint, "close", lambda *_: None)
        Pipeline(steps).fit(X, Y, tok__checkpoint=path)
    assert path.exists()


def test_a_short_fit_writes_nothing(path, monkeypatch):
    monkeypatch.setattr(Checkpoint, "write", lambda checkpoint, state: pytest.fail("it wrote"))
    tokenizer().fit(X, checkpoint=path)
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize(
    ("changes", "data", "named"),
    [
        ({"learning_rate": 0.5}, (X, Y), "learning_rate was 0.002 and is 0.5"),
        ({"random_state": 1}, (X, Y), "random_state was 0 and is 1"),
        ({"random_state": np.random.RandomState(0)}, (X, Y), "random_state was 0 and is RandomSt"),
        ({"quantizer": Quantizer()}, (X, Y), "quantizer was None and is Quantizer"),
        ({}, (X[:20], Y[:20]), r"the shape of X was \(24, 1, 32\) and is \(20, 1, 32\)"),
        ({}, (X + 1e-9, Y), "X was array .* and is array"),
    ],
)
def test_a_checkpoint_of_another_fit_is_refused_and_the_difference_named(
    changes, data, named, path, killed_after
):
    killed_after(tokenizer(), path, 1, X, Y)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"is of another fit: {named}"):
        tokenizer(**changes).fit(*data, checkpoint=path)
    assert path.read_bytes() == before


def test_other_labels_another_class_and_a_nested_parameter_are_differences(path, killed_after):
    killed_after(fcn(), path, 1, X, Y)
    with pytest.raises(ValueError, match=r"y was array .* and is array"):
        fcn().fit(X, 1 - Y, checkpoint=path)
    with pytest.raises(ValueError, match="the class was FCNClassifier and is VQTokenizer"):
        tokenizer().fit(X, checkpoint=path)
    path.unlink()
    killed_after(masked_prior(), path, 1, X, Y)
    with pytest.raises(ValueError, match="tokenizer__width was 8 and is 4"):
        masked_prior({"width": 4}).fit(X, Y, checkpoint=path)


def test_another_version_of_torch_is_a_difference(path, killed_after, monkeypatch):
    killed_after(tokenizer(), path, 1, X)
    monkeypatch.setattr("torch.__version__", "99.1")
    with pytest.raises(ValueError, match=r"the version of torch was .* and is 99\.1"):
        tokenizer().fit(X, checkpoint=path)


def test_what_the_machine_grants_is_a_difference_too(path, killed_after, allow_threads):
    allow_threads(2)
    killed_after(tokenizer(n_threads=2), path, 1, X)
    allow_threads(1)
    with pytest.raises(ValueError, match="the number of threads in use was 2 and is 1"):
        tokenizer(n_threads=2).fit(X, checkpoint=path)


def test_a_frozen_tokenizer_is_the_same_once_it_was_saved_and_loaded(path, tmp_path, killed_after):
    frozen = tokenizer(downsampled_width=8).fit(X)
    frozen.save(tmp_path / "tokenizer")
    killed_after(masked_prior(tokenizer=FrozenEstimator(frozen)), path, 1, X)
    opened = FrozenEstimator(load(tmp_path / "tokenizer"))
    again = masked_prior(tokenizer=opened).fit(X, checkpoint=path)
    expected = masked_prior(tokenizer=FrozenEstimator(frozen)).fit(X)
    assert content_digest(again) == content_digest(expected)


def test_what_does_not_change_the_result_may_change(path, killed_after, capsys):
    killed_after(tokenizer(), path, 1, X)
    tokenizer(verbose=1).fit(X, checkpoint=str(path))
    assert "epoch 3/3" in capsys.readouterr().out
    assert not path.exists()


def test_a_warm_start_goes_on_from_the_network_it_began_with(path, killed_after):
    first = tokenizer(warm_start=True, batch_size=8).fit(X)
    expected = tokenizer(warm_start=True, batch_size=8).fit(X).fit(X)
    killed_after(first, path, 2, X)
    assert content_digest(first.fit(X, checkpoint=path)) == content_digest(expected)


def test_a_damaged_checkpoint_and_other_files_are_refused_with_their_name(path, killed_after):
    killed_after(tokenizer(), path, 1, X)
    content = path.read_bytes()
    path.write_bytes(content[:300] + b"?" + content[301:])
    with pytest.raises(ModelFileError, match=r"fit\.checkpoint' is damaged"):
        tokenizer().fit(X, checkpoint=path)
    path.write_bytes(b"notes")
    with pytest.raises(ModelFileError, match="is not a skvqts file"):
        tokenizer().fit(X, checkpoint=path)
    tokenizer().fit(X).save(path)
    with pytest.raises(ModelFileError, match="not the checkpoint of a fit"):
        tokenizer().fit(X, checkpoint=path)


@pytest.mark.parametrize(
    "change",
    [
        {"trainings": [3]},
        {"start": 5},
        {"start": np.zeros(3, np.uint8)},
        {"identity": 5},
        {"trainings": 7},
        {"trainings": [{"is_done": True}]},
        {"trainings": [{"n_epochs": 10**9}]},
    ],
)
def test_a_forged_checkpoint_is_refused(change, path, killed_after):
    killed_after(tokenizer(), path, 1, X)
    manifest, arrays = container.read_file(path)
    kept = Decoder([], arrays).decode(manifest["state"])
    encoder = Encoder()
    manifest["state"] = encoder.encode(kept | change, "fit")
    container.write_file(path, manifest, encoder.arrays)
    with pytest.raises(ModelFileError, match=r"valid checkpoint|does not fit"):
        tokenizer().fit(X, checkpoint=path)


def test_a_checkpoint_is_no_model(path, killed_after):
    killed_after(tokenizer(), path, 1, X)
    with pytest.raises(ModelFileError, match="checkpoint of a fit that is not done"):
        load(path)


def test_a_path_that_is_none_is_refused_before_training(tmp_path):
    with pytest.raises(ValueError, match="checkpoint='' is no path of a file"):
        tokenizer().fit(X, checkpoint="")
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        tokenizer().fit(X, checkpoint=tmp_path / "no folder" / "fit")
    with pytest.raises(
        TypeError, match=r"checkpoint of VQTokenizer\.fit must be the path of a file"
    ):
        tokenizer().fit(X, checkpoint=3)


def test_a_full_disk_is_a_warning_and_the_fit_goes_on(path, write_at_every_step, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match="could not be written, and it goes on"):
        fitted = tokenizer().fit(X, checkpoint=path)
    assert os.listdir(path.parent) == []
    assert content_digest(fitted) == content_digest(tokenizer().fit(X))


def test_after_ctrl_c_the_object_is_usable_and_a_new_fit_goes_on(
    path, write_at_every_step, monkeypatch
):
    after = Progress.epoch

    def interrupted(progress, epoch, terms):
        if epoch == 1:
            signal.raise_signal(signal.SIGINT)
        return after(progress, epoch, terms)

    model = tokenizer(batch_size=8)
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "epoch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, checkpoint=path)
    assert (model.interrupted_, model.n_iter_) == (True, 2)
    assert model.transform(X).shape[0] == 24
    assert os.listdir(path.parent) == [path.name]
    model.fit(X, checkpoint=path)
    assert not model.interrupted_
    assert content_digest(model) == content_digest(tokenizer(batch_size=8).fit(X))


def test_no_training_series_stand_in_a_checkpoint(path, killed_after):
    killed_after(masked_prior(), path, 1, X, Y)
    content = path.read_bytes()
    scaled = masked_prior().fit(X, Y).tokenizer_.scaler_.transform(X[:, None])[:, 0]
    for values in (X.astype(np.float64), X.astype(np.float32), scaled):
        quadruples = [values[i, j : j + 4].tobytes() for i in range(24) for j in range(0, 28, 4)]
        assert not [four for four in quadruples if four in content]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("n", [1, pytest.param(16, marks=pytest.mark.slow)])
def test_processes_that_are_killed_in_a_fit_and_run_again_learn_the_same_bits(n, monkeypatch):
    monkeypatch.setattr(checkpoints, "_PAUSE", checkpoints._PAUSE)  # which the benchmark changes
    monkeypatch.setattr(checkpoints, "_SHARE", checkpoints._SHARE)
    assert robustness.kills_in_a_fit(n, np.random.default_rng(5))["wrong"] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("n", [1, pytest.param(16, marks=pytest.mark.slow)])
def test_ctrl_c_arrives_at_once_and_leaves_whole_objects(n):
    assert robustness.ctrl_c_in_a_fit(n, np.random.default_rng(6))["wrong"] == 0


@pytest.mark.slow  # Ctrl-C in a fit is its quick form
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_ctrl_c_in_a_search_leaves_no_process():
    assert robustness.ctrl_c_in_a_search(1, np.random.default_rng(7))["wrong"] == 0
