"""The command line and the files it reads."""

import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import skvqts
from skvqts._cli import main as _cli
from skvqts._cli import series_report
from skvqts._cli.files import load
from skvqts._cli.understanding import Flags

from .conftest import two_shapes

X, Y = two_shapes(20, 16)
UNEQUAL = (
    "@problemName a\n@timestamps false\n@univariate true\n@equalLength false\n"
    "@classLabel true a b\n@data\n1,2,3:a\n1,2:b\n2,3,4:a\n3,4:b\n"
)
NAMES = np.where(Y == 0, "sine", "saw")


def _write(path, cells):
    separator = "\t" if path.suffix == ".tsv" else ","
    path.write_text("\n".join(separator.join(map(str, row)) for row in cells) + "\n")
    return str(path)


def _labelled(first=True):
    parts = (NAMES[:, None], X) if first else (X, NAMES[:, None])
    return [list(row) for row in np.concatenate([p.astype(object) for p in parts], axis=1)]


def _assert_same_data(data):
    assert data.X_train.shape[-1] == 16
    assert len(data.X_train) == 14
    assert len(data.X_test) == 6
    assert set(data.y_train) == set(data.y_test) == {"sine", "saw"}
    both = np.concatenate([data.X_train, data.X_test]).reshape(20, 16).astype(float)
    labels = np.concatenate([data.y_train, data.y_test])
    key = {round(row[0], 6): name for row, name in zip(X, NAMES, strict=True)}
    assert all(key[round(row[0], 6)] == name for row, name in zip(both, labels, strict=True))


def test_tsv(tmp_path):
    _assert_same_data(load(_write(tmp_path / "a.tsv", _labelled())))


def test_csv_with_and_without_header(tmp_path):
    names = [f"t{i}" for i in range(16)]
    _assert_same_data(load(_write(tmp_path / "a.csv", _labelled()), Flags(label="0")))
    _assert_same_data(
        load(_write(tmp_path / "a.csv", [["kind", *names], *_labelled()]), Flags(label="kind"))
    )
    _assert_same_data(
        load(_write(tmp_path / "a.csv", [["kind", *names], *_labelled()]), Flags(label="0"))
    )
    _assert_same_data(
        load(_write(tmp_path / "a.csv", [[*names, "kind"], *_labelled(False)]), Flags(label="-1"))
    )
    halves = [str(i / 2) for i in range(16)]
    _assert_same_data(
        load(_write(tmp_path / "a.csv", [["kind", *halves], *_labelled()]), Flags(label="kind"))
    )
    unlabelled = load(_write(tmp_path / "b.csv", [names, *X.tolist()]))
    assert unlabelled.y_train is None
    assert unlabelled.X_train.shape == (14, 16)


def test_labels_that_the_first_series_holds_as_values_are_no_names(tmp_path):
    y = np.where(Y, 1, -1)
    y[0] = -1
    data = load(
        _write(tmp_path / "a.csv", [[*row, label] for row, label in zip(X, y, strict=True)]),
        Flags(label="-1"),
    )
    assert len(data.X_train) + len(data.X_test) == 20
    assert set(data.y_train) == {"-1", "1"}
    series = np.round(X, 3).tolist()
    series[0][3] = 0
    rows = [[name, *row] for name, row in zip(NAMES, series, strict=True)]
    data = load(_write(tmp_path / "b.csv", rows), Flags(label="0"))
    assert len(data.X_train) + len(data.X_test) == 20
    assert set(data.y_train) == {"sine", "saw"}


def test_csv_with_times_as_header_and_row_numbers(tmp_path):
    for times in (range(2000, 2016), np.round(np.arange(16) * 0.1, 6)):
        frame = pd.DataFrame(X, columns=times)
        frame.to_csv(tmp_path / "a.csv", index=False)
        data = load(str(tmp_path / "a.csv"))
        assert len(data.X_train) + len(data.X_test) == 20
        frame = frame.assign(kind=NAMES)
        frame.to_csv(tmp_path / "a.csv", index=False)
        _assert_same_data(load(str(tmp_path / "a.csv"), Flags(label="kind")))
        _assert_same_data(load(str(tmp_path / "a.csv"), Flags(label="16")))
        frame.to_csv(tmp_path / "a.csv")  # with an unnamed column of row numbers
        _assert_same_data(load(str(tmp_path / "a.csv"), Flags(label="kind")))
        _assert_same_data(load(str(tmp_path / "a.csv"), Flags(label="-1")))
    pd.DataFrame(X).add_prefix("t").to_csv(tmp_path / "b.csv")
    assert load(str(tmp_path / "b.csv")).X_train.shape == (14, 16)
    few = X[:, :4].copy()  # four cells that rise are data
    few[0] = [0.5, 1.0, 1.5, 2.0]
    data = load(_write(tmp_path / "c.csv", few.tolist()), Flags(reading="series"))
    assert len(data.X_train) + len(data.X_test) == 20


def test_csv_with_counted_columns(tmp_path):
    for first in (0, 1):
        header = list(range(first, first + 16))
        data = load(_write(tmp_path / "a.csv", [header, *X.tolist()]))
        assert len(data.X_train) + len(data.X_test) == 20
        _assert_same_data(
            load(_write(tmp_path / "a.csv", [[*header, "x"], *_labelled(False)]), Flags(label="x"))
        )


def test_npz_and_npy(tmp_path):
    np.savez(tmp_path / "a.npz", X=X, y=NAMES)
    _assert_same_data(load(str(tmp_path / "a.npz")))
    np.savez(tmp_path / "b.npz", X_train=X[:5], y_train=Y[:5], X_test=X[5:], y_test=Y[5:])
    given = load(str(tmp_path / "b.npz"))
    assert np.array_equal(given.X_train, X[:5])
    assert np.array_equal(given.y_test, Y[5:])
    np.save(tmp_path / "c.npy", X)
    assert load(str(tmp_path / "c.npy")).y_train is None


def test_ts_and_its_test_part(tmp_path):
    header = (
        "@problemName a\n@timestamps false\n@univariate true\n@classLabel true sine saw\n@data\n"
    )
    rows = [",".join(map(str, x)) + ":" + name for x, name in zip(X, NAMES, strict=True)]
    for part, lines in (("TRAIN", rows[:14]), ("TEST", rows[14:])):
        (tmp_path / f"a_{part}.ts").write_text(header + "\n".join(lines) + "\n")
    _assert_same_data(load(str(tmp_path / "a_TRAIN.ts")))


def test_bundled_set():
    data = load("ItalyPowerDemand")
    assert data.X_train.shape == (67, 1, 24)
    assert len(data.y_test) == 1029


def test_any_set_of_the_archives_is_loaded_by_aeon(monkeypatch):
    asked = []

    def download(name, split):
        asked.append((name, split))
        return (X, NAMES, {})[:2]

    monkeypatch.setattr("aeon.datasets.load_classification", download)
    data = load("Coffee")
    assert asked == [("Coffee", "train"), ("Coffee", "test")]
    np.testing.assert_array_equal(data.X_test, X)

    def fail(name, split):
        raise OSError("no network\nand more")

    monkeypatch.setattr("aeon.datasets.load_classification", fail)
    with pytest.raises(ValueError, match=r"aeon could not load Coffee: no network$"):
        load("Coffee")


def test_csv_as_data_frames_write_it(tmp_path):
    frame = pd.DataFrame(X)
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert load(str(tmp_path / "a.csv")).X_train.shape == (14, 16)
    frame.assign(kind=NAMES).to_csv(tmp_path / "b.csv", index=False, encoding="utf-8-sig")
    _assert_same_data(load(str(tmp_path / "b.csv"), Flags(label="kind")))
    _assert_same_data(load(str(tmp_path / "b.csv"), Flags(label="-1")))


MEASURED = "@timestamps false\n@univariate true\n@targetLabel true\n@data\n" + "".join(
    f"{i},2,3:{i / 7}\n" for i in range(9)
)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "1,2\n3\n", "same number of cells"),
        ("a.csv", "1,2\n3,x\n", "is not a number: ('x')"),
        ("a.csv", "1,2\n,4\n5,6\n", "--as recording or --as series"),
        ("a.xyz", "", "neither a set of the UCR or UEA archive"),
        ("a.tsv", "a\t1\t2\n", "--label 0"),
        ("a.tsv", "a 1 2\nb 1 2\nc 2 3\n", "cannot be used"),
        ("a.npz", "junk", "cannot be used"),
        ("a.npy", "", "cannot be used"),
        ("a.ts", "@data\n1,2:3,4\n", "cannot be used"),
        ("a.ts", UNEQUAL, "not all of one length"),
        ("a.ts", MEASURED, "Unknown label type"),
    ],
)
def test_bad_files_are_told_in_one_line(tmp_path, capsys, name, content, message):
    (tmp_path / name).write_text(content)
    assert _cli.main([str(tmp_path / name)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_parts_that_do_not_fit_are_told_before_training(tmp_path, capsys):
    cases = {
        "labels of shape": {"X": X, "y": Y[:-1]},
        "only one of": {"X_train": X, "X_test": X, "y_train": Y},
        "training series have shape": {"X_train": X, "X_test": X[:, :5]},
        "one recording of 16 points": {"X": X[0]},
        "needed are 'X'": {"Z": X},
        "Unknown label type": {"X": X, "y": X[:, 0]},
        "strings and y_test no strings": {"X_train": X, "X_test": X, "y_train": NAMES, "y_test": Y},
        "has 3 test series": {"X": X[:8], "y": Y[:8]},
        "contains NaN": {"X_train": X, "X_test": np.where(X > 0.9, np.nan, X)},
    }
    for message, arrays in cases.items():
        np.savez(tmp_path / "a.npz", **arrays)
        assert _cli.main([str(tmp_path / "a.npz")]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("--samples=3", "at least 4: '3'"),
        ("--samples=x", "at least 4: 'x'"),
        ("--samples=-5", "at least 4"),
        ("--codes=0", "at least 1: '0'"),
        ("--epochs=0", "at least 1: '0'"),
        ("--epochs=1.5", "at least 1: '1.5'"),
        ("--threads=0", "at least 1: '0'"),
        ("--threads=x", "at least 1: 'x'"),
        ("--seed=-1", "at least 0: '-1'"),
        ("--seed=²", "at least 0: '²'"),
    ],
)
def test_numbers_that_make_no_sense_are_refused_before_training(given, told, capsys):
    with pytest.raises(SystemExit) as error:
        _cli.main(["made", given])
    assert error.value.code == 2
    assert told in capsys.readouterr().err


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as end:
        _cli.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"skvqts {skvqts.__version__}\n"


def test_a_folder_that_cannot_be_made_is_told_before_training(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    arguments = ["made", "--out", str(tmp_path / "file" / "folder"), "--epochs", "1"]
    assert _cli.main(arguments) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: ")
    assert "fitted" not in told.out


def test_one_class_has_no_accuracy(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", X=X, y=np.zeros(20, int))
    arguments = [str(tmp_path / "a.npz"), "--tokenizer-only", "--epochs", "1"]
    assert _cli.main([*arguments, "--out", str(tmp_path)]) == 0
    assert "test accuracy" not in capsys.readouterr().out


def test_missing_file_and_missing_label(tmp_path, capsys):
    assert _cli.main(["nowhere.csv"]) == 2
    assert "There is no file" in capsys.readouterr().err
    path = _write(tmp_path / "a.csv", [["a", "b"], [1, 2]])
    assert _cli.main([path, "--label", "c"]) == 2
    assert "no column 'c'" in capsys.readouterr().err
    assert _cli.main([path, "--label", "9"]) == 2
    assert "no column 9" in capsys.readouterr().err


def test_missing_values_are_told_in_one_sentence(tmp_path, capsys):
    bad = X.copy()
    bad[3, 3] = np.nan
    np.save(tmp_path / "bad.npy", bad)
    assert _cli.main([str(tmp_path / "bad.npy")]) == 2
    assert "contains NaN" in capsys.readouterr().err


def test_ctrl_c_is_told_without_a_traceback(tmp_path):
    np.save(tmp_path / "many.npy", np.tile(X, (200, 8)))  # tens of seconds of training
    command = [sys.executable, "-m", "skvqts", str(tmp_path / "many.npy"), "--out", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()  # what is fitted: the fit begins
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1] == "interrupted"
    assert "Traceback" not in errors


def _run(folder, *options):
    """In a process of its own, as a user runs it, on a small labelled file."""
    path = _write(folder / "waves.tsv", _labelled())
    command = [sys.executable, "-m", "skvqts", path, "--out", str(folder / "out"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout


@pytest.mark.parametrize(
    ("options", "n_threads"),
    [pytest.param([], None, marks=pytest.mark.slow), (["--threads=2"], 2)],
)
def test_every_estimator_is_made_with_the_threads_that_were_asked_for(
    options, n_threads, tmp_path, monkeypatch
):
    judged = {}
    record = lambda generator, *_, **given: judged.update(given, generator=generator)  # noqa: E731
    monkeypatch.setattr(series_report, "generation_report", record)
    given = [_write(tmp_path / "waves.tsv", _labelled()), "--out", str(tmp_path), "--epochs=1"]
    assert _cli.main([*given, "--samples=4", *options]) == 0
    made = (judged["generator"], judged["generator"].tokenizer_)
    assert [estimator.n_threads for estimator in made] == [n_threads] * 2
    assert judged["n_threads"] == n_threads


@pytest.mark.slow  # the tokenizer alone, and the test above, are its quick forms
def test_the_main_job(tmp_path):
    told = _run(tmp_path, "--codes", "8", "--samples", "9", "--epochs", "2")
    for text in (
        "14 training and 6 test series",
        "8 codes, perplexity",
        "SVC on tokenizer",
        "1-NN",
        "9 series generated in",
        "through classifier: FCNClassifier",
        "Fréchet distance",
        "inception score",
        "classification accuracy",
    ):
        assert text in told
    for kind in ("tokenizer", "generated"):
        assert (tmp_path / "out" / f"skvqts_waves_{kind}.png").stat().st_size > 10_000


@pytest.mark.slow  # of one recording it is its quick form
def test_the_tokenizer_alone(tmp_path):
    told = _run(tmp_path, "--codes", "8", "--epochs", "2", "--tokenizer-only")
    assert "1-NN" in told
    assert "Generator" not in told
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["skvqts_waves_tokenizer.png"]


def test_matplotlib_is_imported_only_to_draw():
    code = "import sys, skvqts._cli.main; print('matplotlib' in sys.modules)"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "False\n"
