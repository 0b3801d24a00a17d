"""Models in files: what is saved opens with the same bits, and nothing else opens."""

import errno
import io
import json
import os
import stat
import time
import warnings
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

import skvqts
from benchmarks import robustness
from benchmarks.hostile_files import hostile_files
from skvqts import ModelFileError, Quantizer, VersionWarning, augmentation, load, objectives
from skvqts._files import container
from skvqts.metrics import ReferenceStatistics, get_scorer, make_generation_scorer

from .conftest import run_python, two_shapes
from .estimators import (
    CLASSIFIERS,
    GENERATORS,
    TRANSFORMERS,
    extractor,
    fcn,
    fine_tuned,
    fitted,
    fitted_classifier,
    fitted_generator,
    flow_decoder,
    masked_prior,
    random_convolutions,
    tokenizer,
)

X, Y = two_shapes(24)
FITTED = {
    **{name: partial(fitted, name) for name in TRANSFORMERS},
    **{name: partial(fitted_classifier, name) for name in CLASSIFIERS},
    **{name: partial(fitted_generator, name) for name in GENERATORS},
    "FlowDecoder": lambda: flow_decoder().fit(X, Y),
}
OF_FORMAT_1 = Path(__file__).parent / "model_of_format_1.skvqts"
FIRST_FEATURES = [-1.767767, -0.15445052, 1.2480403, -1.4651519]  # of it, when it was written


def results(estimator):
    """What an estimator gives of the series, by its methods."""
    names = ("transform", "predict_proba", "encode", "score_samples", "class_log_likelihoods")
    if not hasattr(estimator, "classes_"):
        names = names[:-1]
    found = {name: getattr(estimator, name)(X) for name in names if hasattr(estimator, name)}
    if hasattr(estimator, "tokenizer_"):
        tokens = estimator.tokenizer_.encode(X)
        argument = 3 if hasattr(estimator, "decoder_") else tokens
        found["sample"] = estimator.sample(argument, random_state=0)
    return found


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.skvqts"


# ---- what opens


@pytest.mark.parametrize("name", FITTED)
def test_a_model_that_was_saved_gives_the_same_bits(name, path):
    model = FITTED[name]()
    model.save(path)
    opened = load(path)
    assert type(opened) is type(model)
    assert repr(opened) == repr(model)
    kept = {key for key in vars(model) if key not in ("X_fit_", "y_fit_")}
    assert set(vars(opened)) == kept
    for method, values in results(model).items():
        np.testing.assert_array_equal(results(opened)[method], values, err_msg=method)


@pytest.mark.parametrize("name", FITTED)
def test_equal_models_make_equal_files(name, path, tmp_path):
    FITTED[name]().save(path)
    load(path).save(again := tmp_path / "again")
    assert again.read_bytes() == path.read_bytes()


def test_a_model_opens_in_a_new_process(path):
    model = fitted_generator("MaskedPriorGenerator")
    model.save(path)
    code = (
        "import skvqts; print(skvqts.load(sys.argv[1]).sample(2, random_state=0).tobytes().hex())"
    )
    printed = run_python(code, str(path), prelude="import sys\n")
    assert printed == model.sample(2, random_state=0).tobytes().hex()


@pytest.mark.parametrize("objective", objectives.OBJECTIVES.values())
def test_objectives_that_are_parameters_are_kept(objective, path):
    model = tokenizer(ssl=objective(weight=0.125), max_epochs=1).fit(X)
    model.save(path)
    assert load(path).ssl.get_params() == model.ssl.get_params()


def test_parameter_objects_of_every_kind_are_kept(path):
    views = [
        (name.lower(), getattr(augmentation, name)())
        for name in augmentation.__all__
        if name not in ("Augmentation", "Compose")
    ]
    assert len(views) == 11
    parameters = {
        "ssl": objectives.VICReg(),
        "augmentation": augmentation.Compose(views),
        "quantizer": Quantizer(code_dim=np.int64(4)),
        "random_state": np.random.RandomState(3),
        "learning_rate": np.float32(0.01),
        "device": torch.device("cpu"),
        "tol": 1,
    }
    model = tokenizer(max_epochs=1, **parameters).fit(X)
    model.save(path)
    opened = load(path)
    assert [step for step, _ in opened.augmentation.steps] == [step for step, _ in views]
    for name in parameters:
        assert type(getattr(opened, name)) is type(getattr(model, name)), name
    assert repr(opened.augmentation) == repr(model.augmentation)
    # the generator continues where that of the model does
    assert opened.random_state.randint(10**9) == model.random_state.randint(10**9)
    assert opened.learning_rate == np.float32(0.01)
    np.testing.assert_array_equal(opened.fit(X).encode(X), model.fit(X).encode(X))


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["up", "däwn"] * 12, dtype=object),
        np.array(["up", "down"] * 12),
        np.array([True, False] * 12),
        np.array([3, -1] * 12, dtype=np.int8),
    ],
    ids=["objects", "strings", "truth values", "small integers"],
)
def test_labels_of_every_kind_are_kept(labels, path):
    model = fcn(max_epochs=1).fit(X, labels)
    model.save(path)
    opened = load(path)
    assert opened.classes_.dtype == model.classes_.dtype
    np.testing.assert_array_equal(opened.predict(X), model.predict(X))


def test_what_two_parts_share_is_written_once_and_shared_again(path):
    frozen = FrozenEstimator(fitted("VQTokenizer"))
    model = masked_prior(tokenizer=frozen, decoder=None).fit(X)
    model.save(path)
    opened = load(path)
    assert opened.tokenizer_ is opened.tokenizer.estimator
    with np.load(path) as arrays:
        codebooks = [name for name in arrays if name.endswith("codebook_")]
    assert len(codebooks) == 1


def test_a_saved_model_is_a_zip_archive_of_arrays_that_numpy_reads(path):
    model = fitted("VQTokenizer")
    model.save(path)
    with np.load(path, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["VQTokenizer.codebook_"], model.codebook_)


def test_a_model_that_was_opened_can_be_fitted_on(path):
    model = tokenizer(warm_start=True).fit(X)
    model.save(path)
    np.testing.assert_array_equal(load(path).fit(X).encode(X), model.fit(X).encode(X))


@pytest.mark.parametrize("kind", [str, Path, os.fsencode], ids=["str", "Path", "bytes"])
def test_a_path_is_text_bytes_or_a_path_with_letters_of_any_kind(kind, tmp_path):
    path = kind(str(tmp_path / "Modell [1] für ☃.skvqts"))
    fitted("RandomConvolutionExtractor").save(path)
    assert repr(load(path)) == repr(fitted("RandomConvolutionExtractor"))
    assert len(os.listdir(tmp_path)) == 1


# ---- training series


@pytest.mark.parametrize("name", GENERATORS)
def test_a_saved_generator_holds_no_values_of_training_series(name, path):
    model = fitted_generator(name)
    model.save(path)
    content = path.read_bytes()
    for values in (X.astype(np.float64), X.astype(np.float32)):
        quadruples = [values[i, j : j + 4].tobytes() for i in range(24) for j in range(0, 28, 4)]
        assert all(four in values.tobytes() for four in quadruples)
        assert not [four for four in quadruples if four in content]
    assert not hasattr(load(path), "X_fit_")


def test_training_series_are_saved_when_that_is_asked_for(path):
    model = fitted_generator("MaskedPriorGenerator")
    model.save(path, include_training_series=True)
    opened = load(path)
    np.testing.assert_array_equal(opened.X_fit_, model.X_fit_)
    np.testing.assert_array_equal(opened.y_fit_, model.y_fit_)
    assert not opened.X_fit_.flags.writeable
    scorer = get_scorer("memorization")
    X_new = two_shapes(24, seed=1)[0]
    assert scorer(opened, X_new) == scorer(model, X_new)


def test_training_series_of_unequal_length_are_saved_too(path):
    series = [values[: 20 + row % 9] for row, values in enumerate(X)]
    model = masked_prior(tokenizer=tokenizer(missing="mask"), decoder=None, max_epochs=1)
    model.fit(series).save(path, include_training_series=True)
    opened = load(path)
    for found, expected in zip(opened.X_fit_, series, strict=True):
        np.testing.assert_array_equal(found, expected)
        assert not found.flags.writeable


def test_training_series_that_are_not_there_cannot_be_included(path):
    with pytest.raises(ValueError, match="VQTokenizer holds no training series"):
        fitted("VQTokenizer").save(path, include_training_series=True)
    assert not path.exists()


# ---- what is not saved


class MyObjective(objectives.VICReg):
    """An objective of a user's own."""


class MyTokenizer(skvqts.VQTokenizer):
    """A tokenizer of a user's own."""


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (
            lambda: tokenizer(ssl=MyObjective(), max_epochs=1),
            r"VQTokenizer\.ssl is a .*MyObjective",
        ),
        (lambda: MyTokenizer(width=4, max_epochs=1), "MyTokenizer is a .*MyTokenizer"),
        (
            lambda: fine_tuned(pretrained=MyTokenizer(width=4, max_epochs=1)),
            "pretrained is a .*MyT",
        ),
    ],
)
def test_a_class_that_is_not_of_the_library_is_refused_by_name(make, named, path):
    model = make().fit(X, Y)
    with pytest.raises(TypeError, match=named):
        model.save(path)
    assert not path.exists()


def test_what_a_file_could_not_be_opened_with_is_refused_when_it_is_saved(path):
    pcg = np.random.RandomState(np.random.PCG64(1))
    with pytest.raises(TypeError, match=r"random_state is a .*RandomState"):
        random_convolutions(random_state=pcg).fit(X).save(path)
    nested = augmentation.Flip()
    for _ in range(12):
        nested = augmentation.Compose([("a", nested)])
    with pytest.raises(ValueError, match=r"cannot be kept in a file: .* nested too deeply"):
        tokenizer(ssl="vicreg", augmentation=nested, max_epochs=1).fit(X).save(path)
    with pytest.raises(ValueError, match="too many members"):
        container.write_file(path, {}, {f"{i:0100}": np.zeros(1) for i in range(5000)})
    assert os.listdir(path.parent) == []


def test_callbacks_and_requests_are_not_kept(path):
    model = tokenizer(max_epochs=1)
    if hasattr(model, "set_callbacks"):
        model.set_callbacks(pytest.importorskip("sklearn.callback").ProgressBar())
    model.fit(X).save(path)
    assert not hasattr(load(path), "_skl_callbacks")


def test_two_places_of_one_unfitted_object_are_two_objects(path):
    flip = augmentation.Flip()
    twice = augmentation.Compose([("a", flip), ("b", flip)])
    tokenizer(augmentation=twice, max_epochs=1).fit(X).save(path)
    assert [repr(step) for _, step in load(path).augmentation.steps] == ["Flip()"] * 2


def test_many_labels_are_one_array(path):
    many = np.array([f"series {i % 2}" for i in range(70_000)], dtype=object)
    model = fitted_generator("MaskedPriorGenerator")
    model.save(path, include_training_series=True)
    other = load(path)
    other.y_fit_ = many
    other.save(path, include_training_series=True)
    np.testing.assert_array_equal(load(path).y_fit_, many)


def test_only_fitted_models_with_valid_parameters_are_saved(path):
    with pytest.raises(NotFittedError):
        fcn().save(path)
    with pytest.raises(ValueError, match="'width' parameter"):
        fcn().fit(X, Y).set_params(width=-1).save(path)
    with pytest.raises(
        TypeError, match=r"FCNClassifier\.save takes the path of a file, got BytesIO"
    ):
        fitted_classifier("FCNClassifier").save(io.BytesIO())
    assert not path.exists()


def test_a_pipeline_is_kept_by_skops(tmp_path):
    sio = pytest.importorskip("skops.io")
    pipeline = make_pipeline(tokenizer(), SVC()).fit(X, Y)
    sio.dump(pipeline, tmp_path / "pipeline.skops")
    trusted = sio.get_untrusted_types(file=tmp_path / "pipeline.skops")
    assert all(name.startswith("skvqts.") for name in trusted)
    opened = sio.load(tmp_path / "pipeline.skops", trusted=trusted)
    np.testing.assert_array_equal(opened.decision_function(X), pipeline.decision_function(X))


# ---- files that are whole or not there


def test_a_full_disk_leaves_the_old_file(path, monkeypatch):
    model = fitted("RandomConvolutionExtractor")
    model.save(path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        fitted("VQTokenizer").save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_file_that_cannot_be_replaced_is_left_as_it_was(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder"):
        fitted("VQTokenizer").save(tmp_path)
    with pytest.raises(FileNotFoundError):
        fitted("VQTokenizer").save(tmp_path / "no folder" / "model")
    assert os.listdir(tmp_path) == []


def test_what_killed_processes_have_left_is_removed_and_what_others_write_is_not(path):
    old, new = (path.with_name(f".{path.name}.{letter * 16}.tmp") for letter in "ab")
    other = path.with_name(f".x{path.name}.{'a' * 16}.tmp")
    for left in (old, new, other):
        left.write_bytes(b"PK")
    for left in (old, other):
        os.utime(left, (time.time() - 700,) * 2)
    fitted("RandomConvolutionExtractor").save(path)
    assert sorted(os.listdir(path.parent)) == sorted([path.name, new.name, other.name])


@pytest.mark.skipif(os.name != "posix", reason="no modes of files on this system")
def test_a_new_file_has_the_modes_that_files_have_and_a_replaced_one_keeps_its_own(path, tmp_path):
    (tmp_path / "usual").touch()
    model = fitted("RandomConvolutionExtractor")
    model.save(path)
    assert path.stat().st_mode == (tmp_path / "usual").stat().st_mode
    path.chmod(0o600)
    model.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(os.name != "posix", reason="no links on this system")
def test_a_link_stays_a_link(path, tmp_path):
    (tmp_path / "link").symlink_to(path)
    fitted("RandomConvolutionExtractor").save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert repr(load(path)) == repr(fitted("RandomConvolutionExtractor"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_processes_that_are_killed_while_they_save_leave_a_whole_file():
    assert robustness.kills_while_saving(15, np.random.default_rng(1))["wrong"] == 0


# ---- what does not open


@pytest.mark.slow  # every bit of a small file is its quick form
def test_no_file_with_a_flipped_bit_opens():
    assert robustness.flipped_bits(200, np.random.default_rng(2))["wrong"] == 0


@pytest.mark.slow  # every byte of a small file is its quick form
def test_no_file_that_was_cut_off_opens():
    assert robustness.truncations(100, np.random.default_rng(3))["wrong"] == 0


def test_a_small_file_that_was_cut_off_anywhere_does_not_open(path):
    container.write_file(path, {"content": "nothing"}, {"a": np.arange(3)})
    content = path.read_bytes()
    for end in range(len(content)):
        path.write_bytes(content[:end])
        with pytest.raises(ModelFileError):
            container.read_file(path)


def test_every_bit_of_a_small_file_counts(path):
    container.write_file(path, {"content": "nothing"}, {"a": np.arange(3)})
    content = path.read_bytes()
    for place in range(8 * len(content)):
        changed = bytearray(content)
        changed[place // 8] ^= 1 << (place % 8)
        path.write_bytes(bytes(changed))
        with pytest.raises(ModelFileError):
            container.read_file(path)


REASONS = {
    "a pickle": "but a pickle",
    "an .npz file with a pickle": "is not a skvqts file",
    "a zip bomb": "is compressed",
    "compressed members": "is compressed",
    "members that overlap": "overlap",
    "very many members": "too many members",
    "a path that climbs out": r"'\.\./\.\./out' that belongs nowhere",
    "an absolute path": "has a member '/tmp/out'",
    "two manifests": "two members 'manifest",
    "no manifest": "has no manifest",
    "an encrypted member": "is encrypted",
    "an archive that claims to be larger": "claims to be larger",
    "a long manifest": "too many values",
    "a manifest nested deeply": "recursion|too many values",
    "a manifest of very many lists": "too many values",
    "a manifest of very many strings": "too many values",
    "a number of very many digits": "digits",
    "a manifest that is a list": "no dictionary",
    "a format of the future": "has format 999",
    "an array of objects": "kind that is not allowed",
    "an array of ten terabytes": "not the values of its shape",
    "an array of negative size": "not the values of its shape",
    "an array of records": "kind that is not allowed",
    "an array with code for its shape": "malformed",
    "a billion strings without letters": "without size",
    "a class of Python's": "is no class of model files",
    "an attribute that hides a method": "has an attribute 'sample'",
    "a parameter that is missing": "has no width",
    "a billion layers": "n_layers=1000000000 is more",
    "a billion layers in an array": "n_layers=1000000000 is more",
    "nine thousand layers": "n_layers=5000 is more",
    "very many tokens": "grid=60000000 is more",
    "one array for many weights": "not for two values",
    "parts that are shared again and again": "refers to the object 0 twice",
    "parts that are nested deeply": "nested too deeply",
    "a very wide network": "width=1000000000 is more",
    "very long series": "n_timepoints=1000000000000000 is more",
    "weights that are not finite": "are not finite",
    "weights of another shape": "of shape",
    "weights with another name": "lacks weights",
    "an array that belongs nowhere": "belongs nowhere",
    "a value of no kind": "of the kind 'call'",
}


def test_hostile_files_are_refused_for_what_they_are_and_run_nothing(tmp_path):
    marker = tmp_path / "code was run"
    paths = hostile_files(tmp_path, marker)
    assert set(REASONS) <= set(paths)
    for what, path in paths.items():
        with pytest.raises(ModelFileError, match=REASONS.get(what, "")):
            load(path)
    assert not marker.exists()


@pytest.mark.slow  # that each is refused is its quick form
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_hostile_files_take_little_memory_and_time():
    measured = robustness.hostile(1, None)
    assert measured["tries"] >= 60
    assert measured["wrong"] == 0, measured["remarks"]


def test_devices_are_not_read_and_not_replaced(tmp_path):
    with pytest.raises(ModelFileError, match="not a file but a device"):
        load("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="not a file but a device"):
        load(tmp_path / "pipe")
    with pytest.raises(OSError, match="which no file takes the place of"):
        fitted("RandomConvolutionExtractor").save(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


def test_hostile_files_would_harm_who_opens_them_as_pickles(tmp_path):
    """The files above are what they say they are."""
    marker = tmp_path / "code was run"
    paths = hostile_files(tmp_path, marker)
    joblib.load(paths["a joblib file"])
    assert marker.exists()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda content: b"", "is empty"),
        (lambda content: content + b"\n", "cut off, or that something was appended"),
        (lambda content: content[:-10], "cut off"),
        (lambda content: b"\x80\x05 a pickle", "not a skvqts file but a pickle"),
        (lambda content: b"<html>", "is not a skvqts file"),
        (lambda content: content[:500] + b"?" + content[501:], "checksum does not fit"),
        (lambda content: content.replace(b"format 001", b"format 002"), "newer skvqts"),
    ],
)
def test_errors_say_what_is_wrong_and_with_which_file(change, match, path):
    fitted("RandomConvolutionExtractor").save(path)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ModelFileError, match=match) as caught:
        load(path)
    assert "model.skvqts" in str(caught.value)


def test_paths_that_are_no_files_raise_what_python_raises(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)
    with pytest.raises(TypeError, match="load takes the path of a file, got int"):
        load(3)


# ---- versions


def test_a_file_of_another_version_warns_and_names_both(path, monkeypatch):
    monkeypatch.setattr("skvqts._fitting.state.__version__", "0.0.9")
    fitted("RandomConvolutionExtractor").save(path)
    monkeypatch.undo()
    with pytest.warns(VersionWarning, match=r"kept by skvqts 0\.0\.9 and is opened by") as caught:
        load(path)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(VersionWarning):
            load(path)


@pytest.mark.filterwarnings("ignore::skvqts.VersionWarning")
def test_a_file_of_the_first_format_opens():
    """It was written by 0.1.0; results were written down then."""
    model = load(OF_FORMAT_1)
    assert (type(model).__name__, model.n_kernels) == ("RandomConvolutionExtractor", 4)
    series = np.sin(np.linspace(0, 6, 16) + np.arange(3)[:, None])
    np.testing.assert_allclose(model.transform(series)[0, :4], FIRST_FEATURES, rtol=1e-4)


def test_a_parameter_that_a_later_version_added_has_its_default(path):
    """The file of a version that had no `weight_decay` and no `tol`."""
    fcn(weight_decay=0.5, max_epochs=1).fit(X, Y).save(path)
    manifest, arrays = container.read_file(path)
    state = manifest["objects"][-1]["state"]
    del state["weight_decay"], state["tol"]
    container.write_file(path, manifest, arrays)
    with pytest.raises(ModelFileError, match="has no"):
        load(path)
    manifest["skvqts"] = state["_skvqts_version"] = "0.0.9"
    container.write_file(path, manifest, arrays)
    with pytest.warns(VersionWarning):
        opened = load(path)
    assert (opened.weight_decay, opened.tol) == (1e-5, 1e-4)


# ---- referees that are kept


@pytest.mark.parametrize("make", [fcn, random_convolutions])
def test_a_reference_that_was_saved_gives_the_same_distance(make, path):
    referee = make().fit(X, Y)
    reference = ReferenceStatistics("two shapes", referee, X)
    reference.save(path)
    opened = load(path)
    assert (opened.name, opened.n_series_, opened.digest) == ("two shapes", 24, reference.digest)
    X_gen = two_shapes(30, seed=5)[0]
    assert opened.frechet_distance(X_gen) == reference.frechet_distance(X_gen)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", skvqts.FidelityWarning)
        expected = skvqts.metrics.frechet_distance(referee.transform(X), referee.transform(X_gen))
    assert reference.frechet_distance(X_gen) == pytest.approx(expected, rel=1e-6)


def test_digests_say_whether_referee_and_statistics_are_the_same():
    referee = random_convolutions().fit(X)
    reference = ReferenceStatistics("a", referee, X)
    known = reference.digest, reference.frechet_distance(X)
    referee.fit(2 * X[::-1, ::-1])  # it has a copy of what it was given
    assert (reference.digest, reference.frechet_distance(X)) == known
    referee.fit(X)
    others = [
        ReferenceStatistics("a", referee, X[:20]),
        ReferenceStatistics("a", random_convolutions(random_state=1).fit(X), X),
    ]
    assert len({reference.digest, *(other.digest for other in others)}) == 3
    same = ReferenceStatistics("b", random_convolutions(n_threads=1, device="cpu").fit(X), X.copy())
    same.referee.device_ = "cuda:3"  # where a colleague fitted it
    assert same.digest == reference.digest
    assert len(same.digest) == 16


def test_a_scorer_compares_with_a_reference_in_place_of_the_series_at_hand():
    generator = fitted_generator("MaskedPriorGenerator")
    reference = ReferenceStatistics("two shapes", random_convolutions().fit(X), X)
    scorer = make_generation_scorer("neg_fid", reference=reference)
    expected = -reference.frechet_distance(generator.sample(24, random_state=0))
    assert scorer(generator, two_shapes(9, seed=8)[0]) == expected
    assert "two shapes" in repr(scorer)
    for bad in ({"referee": fcn()}, {"score": "density"}, {"X_train": X}):
        with pytest.raises(ValueError, match="A reference has its own referee"):
            make_generation_scorer(**{"score": "neg_fid", "reference": reference} | bad)
    with pytest.raises(TypeError, match="must be a ReferenceStatistics, got str"):
        make_generation_scorer("neg_fid", reference="file")


def test_a_reference_needs_a_name_and_a_fitted_referee_of_the_library():
    with pytest.raises(TypeError, match="name of a reference must be a str"):
        ReferenceStatistics(3, random_convolutions().fit(X), X)
    with pytest.raises(ValueError, match="needs a fitted referee"):
        ReferenceStatistics("a", random_convolutions(), X)
    pipeline = make_pipeline(extractor()).fit(X)
    with pytest.raises(TypeError, match=r"sklearn\.pipeline\.Pipeline"):
        ReferenceStatistics("a", pipeline, X)


def test_a_forged_reference_does_not_open(path):
    ReferenceStatistics("a", random_convolutions().fit(X), X).save(path)
    manifest, arrays = container.read_file(path)
    for name in ("name", "referee", "n_series_", "mean_"):
        forged = json.loads(json.dumps(manifest))
        forged["objects"][-1]["state"][name] = None
        container.write_file(path, forged, arrays)
        with pytest.raises(ModelFileError):
            load(path)
