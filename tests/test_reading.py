"""Files as people have them: each is read rightly, or refused in one sentence that names a flag."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skvqts._cli.files import found_in, load
from skvqts._cli.main import main
from skvqts._cli.tables import is_number
from skvqts._cli.understanding import Flags, Record
from skvqts._recordings.recording import as_recording

from .conftest import two_shapes

SERIES, Y = two_shapes(20, 16)
SERIES = SERIES.round(3)
NAMES = np.where(Y == 0, "sine", "saw")
N = 200
RECORD = np.stack([np.sin(np.arange(N) / 3), np.cos(np.arange(N) / 5), np.arange(N) % 7]).round(3)
SENSORS = pd.DataFrame(RECORD.T, columns=["temp", "load", "rpm"])
HOURLY = "%m/%d/%Y %H:%M"
STAMPS = pd.date_range("2024-03-01", periods=N, freq="10s")
STAMPED = SENSORS.assign(time=STAMPS)[["time", "temp", "load", "rpm"]]
SHUFFLED = np.random.default_rng(0).permutation(N)
WIDE = pd.DataFrame(SERIES, columns=[f"t{i}" for i in range(16)])
LABELLED = WIDE.assign(kind=NAMES)
LONG = pd.DataFrame(
    {
        "id": np.repeat([f"s{i}" for i in range(20)], 16),
        "time": np.tile(np.arange(16), 20),
        "value": SERIES.ravel(),
    }
)
GAPPED = RECORD.copy()
GAPPED[1, [3, 4, 90]] = np.nan


def csv(frame, **how):
    return frame.to_csv(index=False, **how)


def series_of(frame, sep="\t"):
    """Lines without names, the class first."""
    return frame.to_csv(index=False, header=False, sep=sep)


# name, content, flags, and the values that it holds: a recording (c, t), or series and classes
READ_RIGHTLY = {
    "days first with dots.csv": (
        csv(SENSORS.assign(day=pd.date_range("2024-01-01", periods=N).strftime("%d.%m.%Y"))),
        {},
        RECORD,
    ),
    "days first with slashes.csv": (
        csv(SENSORS.assign(day=pd.date_range("2024-01-01", periods=N).strftime("%d/%m/%Y"))),
        {},
        RECORD,
    ),
    "months first with slashes.csv": (
        csv(SENSORS.assign(day=pd.date_range("2024-01-01", periods=N).strftime("%m/%d/%Y"))),
        {},
        RECORD,
    ),
    "hours of few days.csv": (
        csv(SENSORS.assign(at=pd.date_range("2024-03-01", periods=N, freq="h").strftime(HOURLY))),
        {},
        RECORD,
    ),
    "years first with slashes.csv": (
        csv(SENSORS.assign(day=pd.date_range("2024-01-01", periods=N).strftime("%Y/%m/%d %H:%M"))),
        {},
        RECORD,
    ),
    "channels beside times.csv": (
        csv(SENSORS.assign(time=np.arange(N) * 0.5).drop(index=[3, 4, 90])),
        {"channels": "temp,load,rpm"},
        "gaps",
    ),
    "no times by a flag.csv": (
        csv(SENSORS.assign(ramp=np.arange(N))),
        {"time": "none"},
        np.vstack([RECORD, np.arange(N)]),
    ),
    "a class by its number in the file.csv": (
        LABELLED.to_csv(),
        {"label": "17"},
        (SERIES, NAMES),
    ),
    "series of a long table by a flag.csv": (
        csv(LONG.assign(more=1.0)),
        {"channels": "value"},
        (SERIES[:, None], None),
    ),
    "blank lines in one column.csv": (
        "\n".join("" if i in (3, 4, 90) else str(v) for i, v in enumerate(RECORD[0])),
        {},
        np.where(np.isin(np.arange(N), [3, 4, 90]), np.nan, RECORD[0])[None],
    ),
    "rows without values.csv": (
        csv(SENSORS.mask(np.isin(np.arange(N), [3, 4, 90])[:, None].repeat(3, 1))),
        {},
        "gaps",
    ),
    "no names, but a place for them.csv": (",,\n" + csv(SENSORS, header=False), {}, RECORD),
    "form feeds.csv": ("temp\n" + "\x0c\n".join(map(str, RECORD[0])), {}, RECORD[:1]),
    "old ends of lines.csv": (csv(STAMPED, lineterminator="\r"), {}, RECORD),
    "sensors with names.csv": (csv(SENSORS), {}, RECORD),
    "sensors with stamps.csv": (csv(STAMPED), {}, RECORD),
    "stamps as days first.csv": (
        csv(SENSORS.assign(day=pd.date_range("2024-01-13", periods=N).strftime("%d.%m.%Y"))),
        {},
        RECORD,
    ),
    "stamps with a zone.csv": (
        csv(STAMPED.assign(time=STAMPS.tz_localize("Europe/Oslo"))),
        {},
        RECORD,
    ),
    "stamps unsorted.csv": (csv(STAMPED.iloc[SHUFFLED]), {}, RECORD),
    "seconds as numbers.csv": (csv(SENSORS.assign(time=np.arange(N) * 0.5)), {}, RECORD),
    "time named by a flag.csv": (
        csv(SENSORS.assign(clock=np.arange(N) * 2.0)),
        {"time": "clock"},
        RECORD,
    ),
    "rows of time missing.csv": (csv(STAMPED.drop(index=[3, 4, 90])), {}, "gaps"),
    "question marks.csv": (
        csv(pd.DataFrame(GAPPED.T, columns=SENSORS.columns), na_rep="?"),
        {},
        GAPPED,
    ),
    "empty cells.csv": (csv(pd.DataFrame(GAPPED.T, columns=SENSORS.columns)), {}, GAPPED),
    "words for missing.csv": (
        csv(pd.DataFrame(GAPPED.T, columns=SENSORS.columns), na_rep="N/A"),
        {},
        GAPPED,
    ),
    "no names.csv": (csv(SENSORS, header=False), {}, RECORD),
    "one column.csv": ("\n".join(map(str, RECORD[0])), {}, RECORD[:1]),
    "one column with a name.csv": ("temp\n" + "\n".join(map(str, RECORD[0])), {}, RECORD[:1]),
    "semicolons and decimal commas.csv": (csv(SENSORS, sep=";", decimal=","), {}, RECORD),
    "tabs.tsv": (csv(SENSORS, sep="\t"), {}, RECORD),
    "bars.txt": (csv(SENSORS, sep="|"), {}, RECORD),
    "blanks.txt": (csv(SENSORS, sep=" ", header=False), {"label": "none"}, RECORD),
    "Windows line ends.csv": (csv(STAMPED, lineterminator="\r\n"), {}, RECORD),
    "a separator at line ends.csv": (csv(SENSORS).replace("\n", ",\n"), {}, RECORD),
    "a byte order mark.csv": ("\ufeff" + csv(STAMPED), {}, RECORD),
    "UTF-16.csv": (csv(STAMPED).encode("utf-16"), {}, RECORD),
    "quoted cells.csv": (csv(STAMPED, quoting=1), {}, RECORD),
    "CAPITALS.CSV": (csv(STAMPED), {}, RECORD),
    "compressed.csv.gz": (gzip.compress(csv(STAMPED).encode()), {}, RECORD),
    "channels by a flag.csv": (
        csv(STAMPED.assign(note="ok", who="me")),
        {"channels": "temp,load,rpm"},
        RECORD,
    ),
    "row numbers of pandas.csv": (STAMPED.to_csv(), {}, RECORD),
    "row names that are shuffled.csv": (SENSORS.set_axis(SHUFFLED).to_csv(), {}, RECORD),
    "series with times.csv": (csv(WIDE), {}, (SERIES, None)),
    "series with a class.csv": (csv(LABELLED), {"label": "kind"}, (SERIES, NAMES)),
    "class by its number.csv": (csv(LABELLED), {"label": "-1"}, (SERIES, NAMES)),
    "shuffled rows.csv": (
        LABELLED.iloc[SHUFFLED[SHUFFLED < 20]].to_csv(),
        {"label": "kind"},
        (SERIES[SHUFFLED[SHUFFLED < 20]], NAMES[SHUFFLED[SHUFFLED < 20]]),
    ),
    "rows counted from 1.csv": (
        LABELLED.set_axis(range(1, 21)).to_csv(),
        {"label": "kind"},
        (SERIES, NAMES),
    ),
    "series without names.csv": (csv(WIDE, header=False), {}, (SERIES, None)),
    "as in the archive.tsv": (
        series_of(WIDE.set_axis(range(16), axis=1).assign(a=Y)[["a", *range(16)]]),
        {},
        (SERIES, Y.astype(str)),
    ),
    "classes with a point.tsv": (
        series_of(WIDE.assign(a=Y * 1.0)[["a", *WIDE.columns]]),
        {},
        (SERIES, Y.astype(str)),
    ),
    "a mark before the first class.tsv": (
        "\ufeff" + series_of(WIDE.assign(a=Y)[["a", *WIDE.columns]]),
        {},
        (SERIES, Y.astype(str)),
    ),
    "archive of 2015.txt": (
        series_of(WIDE.assign(a=Y * 1.0)[["a", *WIDE.columns]], sep=","),
        {},
        (SERIES, Y.astype(str)),
    ),
    "whole numbers as values by a flag.csv": (
        csv(WIDE.assign(kind=Y), header=False),
        {"label": "none"},
        (np.column_stack([SERIES, Y]), None),
    ),
    "no classes.tsv": (series_of(WIDE), {"label": "none"}, (SERIES, None)),
    "long.csv": (csv(LONG), {}, (SERIES[:, None], None)),
    "long and shuffled.csv": (
        csv(
            LONG.iloc[np.random.default_rng(1).permutation(320)].sort_values(
                "id", key=lambda c: c.str[1:].astype(int), kind="stable"
            )
        ),
        {},
        (SERIES[:, None], None),
    ),
    "long with classes.csv": (
        csv(LONG.assign(kind=np.repeat(NAMES, 16))),
        {"label": "kind"},
        (SERIES[:, None], NAMES),
    ),
    "many sensors by a flag.csv": (
        csv(pd.DataFrame(RECORD[:, :40].T, columns=SENSORS.columns)),
        {"reading": "recording"},
        RECORD[:, :40],
    ),
}

REFUSED = {
    "classes without a name.csv": (csv(WIDE.assign(kind=Y), header=False), {}, "--label 16"),
    "classes in the first column.csv": (
        csv(WIDE.set_axis(range(1, 17), axis=1).assign(a=Y)[["a", *range(1, 17)]], header=False),
        {},
        "--label 0",
    ),
    "thousands.csv": (
        "time,flow\n" + "".join(f'{i},"{1 + i // 9},{500 + i}"\n' for i in range(90)),
        {},
        "between thousands",
    ),
    "some thousands.csv": (
        "a;b\n" + "".join(f"{950 + i if i < 50 else f'1.{i:03d}'};{i % 7}\n" for i in range(90)),
        {},
        "between thousands",
    ),
    "long with other times.csv": (
        csv(LONG.assign(time=LONG["time"] * np.where(LONG["id"] == "s3", 2, 1))),
        {},
        "same steps of time",
    ),
    "long without a name.csv": (csv(LONG.replace({"id": {"s3": None}})), {}, "empty cells"),
    "long with a class.csv": (
        csv(LONG.assign(kind=np.repeat(Y, 16))),
        {},
        "--label kind|--channels",
    ),
    "times without a name.csv": (
        SENSORS.set_axis(np.arange(N) * 0.5).drop(index=[1.5]).to_csv(),
        {},
        "--time 0",
    ),
    "times with another name.csv": (
        csv(SENSORS.assign(epoch=1_700_000_000 + 60 * np.arange(N))),
        {},
        "--time epoch",
    ),
    "steps of series without a name.csv": (
        csv(LONG.rename(columns={"time": "step"}).assign(id=np.repeat(np.arange(20), 16))),
        {},
        "--time step",
    ),
    "a class before many series.csv": (
        csv(pd.DataFrame(np.tile(SERIES, (5, 1)), columns=WIDE.columns).assign(label=1)),
        {},
        "--label names",
    ),
    "sensors with numbers.csv": (
        csv(pd.DataFrame(np.tile(RECORD, (10, 1)).T).add_prefix("EEG")),
        {},
        "--as recording or --as series",
    ),
    "times and values.txt": (
        series_of(pd.DataFrame({"t": np.arange(N), "v": RECORD[0]}), sep=" "),
        {},
        "--as recording",
    ),
    "classes beyond all numbers.csv": (
        csv(WIDE.assign(kind=10.0**20)),
        {"label": "kind"},
        "not classes",
    ),
    "a time far away.csv": (
        csv(SENSORS.assign(time=[0, *(10**8 + np.arange(N - 1))])),
        {},
        "even steps",
    ),
    "two rows at almost one time.csv": (
        csv(SENSORS.assign(time=[*np.arange(N - 1.0), N - 1.99])),
        {},
        "even steps",
    ),
    "dates in words.csv": (
        csv(SENSORS.assign(time=["the first", *["later"] * (N - 1)])),
        {},
        "cannot be read as times",
    ),
    "days or months first.csv": (
        csv(
            SENSORS.head(70).assign(
                day=[f"{d}/{m}/2024" for m in range(1, 8) for d in range(1, 11)]
            )
        ),
        {},
        "day or the month first",
    ),
    "times twice.csv": (
        csv(pd.concat([STAMPED, STAMPED.iloc[[5]]])[["time", "temp"]]),
        {},
        "twice",
    ),
    "times uneven.csv": (
        csv(STAMPED.drop(index=0).assign(time=[*STAMPS[:-2], STAMPS[-1] + pd.Timedelta("4s")])),
        {},
        "not evenly spaced",
    ),
    "numbers of time uneven.csv": (csv(SENSORS.assign(time=np.arange(N) ** 2)), {}, "--time"),
    "two columns of dates.csv": (csv(STAMPED.assign(also=STAMPS)), {}, "--time names one"),
    "a column of text.csv": (csv(STAMPED.assign(note="ok")), {}, "--label note .* --channels"),
    "few rows with names.csv": (csv(SENSORS.head(30)), {}, "--as recording or --as series"),
    "a table of either kind.csv": (
        csv(pd.DataFrame(np.random.default_rng(0).normal(size=(100, 12))), header=False),
        {},
        "--as recording or --as series",
    ),
    "x1 to x3.csv": (
        csv(SENSORS.set_axis(["x1", "x2", "x3"], axis=1)),
        {},
        "--as recording or --as series",
    ),
    "measured values first.tsv": (series_of(WIDE), {}, "--label none"),
    "measured values as classes.csv": (csv(WIDE), {"label": "t3"}, "measured values, not classes"),
    "a class that is missing.csv": (
        csv(LABELLED.replace({"kind": {"saw": None}})),
        {"label": "kind"},
        "has no class",
    ),
    "series with gaps.csv": (csv(WIDE.mask(WIDE > 0.9)), {}, "empty cells"),
    "long and unequal.csv": (csv(LONG.drop(index=3)), {}, "not all of one length"),
    "long with a time twice.csv": (
        csv(pd.concat([LONG, LONG.tail(1)])),
        {},
        "no other column names",
    ),
    "ragged.csv": ("1,2,3\n1,2\n", {}, "same number of cells: row 2"),
    "empty.csv": ("", {}, "is empty"),
    "only names.csv": ("a,b,c\n", {}, "no row of values"),
    "commas of two kinds.csv": (
        "1,2\n3,4\n5,6\n7,8\n",
        {"label": "9"},
        "no column 9|decimal commas",
    ),
    "Latin letters.csv": ("zeit,größe\n1,2\n".encode("latin-1"), {}, "save it as UTF-8"),
    "a recording with classes.csv": (
        csv(STAMPED),
        {"label": "rpm", "reading": "recording"},
        "leave --label out",
    ),
    "no such channel.csv": (csv(STAMPED), {"channels": "pressure"}, "'pressure' for --channels"),
    "a field without end.csv": ('"' + "1,2,3\n" * 4, {}, "no row of values"),
}


def written(folder, name, content):
    path = Path(folder) / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("name", READ_RIGHTLY)
def test_files_are_read_rightly(name, tmp_path):
    content, flags, expected = READ_RIGHTLY[name]
    found = found_in(written(tmp_path, name, content), Flags(**flags))
    if isinstance(expected, tuple):
        X, y = expected
        np.testing.assert_allclose(found.X, X)
        assert (found.y is None) == (y is None)
        assert y is None or found.y.tolist() == y.tolist()
        return
    assert isinstance(found, Record)
    values = as_recording(found.table, "it").values
    if isinstance(expected, str):
        expected = RECORD.copy()
        expected[:, [3, 4, 90]] = np.nan
    np.testing.assert_allclose(values, expected)


@pytest.mark.parametrize("name", REFUSED)
def test_other_files_are_refused_in_one_sentence(name, tmp_path, capsys):
    content, flags, told = REFUSED[name]
    path = written(tmp_path, name, content)
    with pytest.raises(ValueError, match=told):
        load(str(path), Flags(**flags))
    words = [f"--{'as' if flag == 'reading' else flag}={value}" for flag, value in flags.items()]
    assert main([str(path), *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(f"error: {path} cannot be used: ")


def test_tables_in_parquet_and_workbooks_are_read(tmp_path):
    pytest.importorskip("pyarrow")
    pytest.importorskip("openpyxl")
    STAMPED.to_parquet(tmp_path / "a.parquet")
    STAMPED.set_index("time").to_parquet(tmp_path / "b.parquet")
    STAMPED.to_excel(tmp_path / "c.xlsx", index=False)
    LABELLED.to_excel(tmp_path / "d.xlsx", index=False)
    for name in ("a.parquet", "b.parquet", "c.xlsx"):
        found = found_in(tmp_path / name, Flags())
        np.testing.assert_allclose(as_recording(found.table, "it").values, RECORD, err_msg=name)
    found = found_in(tmp_path / "d.xlsx", Flags(label="kind"))
    np.testing.assert_allclose(found.X, SERIES)
    assert found.y.tolist() == NAMES.tolist()


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (RECORD[0], (1, N)),
        (RECORD[None], (3, N)),
        (SERIES, None),
        (SERIES[:, None], None),
        (np.zeros((3, 900)), "--as"),
        (np.zeros((900, 3)), "--as"),
    ],
)
def test_arrays_in_files_are_recordings_or_series(array, kind, tmp_path):
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", X=array)
    for name in ("a.npy", "a.npz"):
        if kind == "--as":
            with pytest.raises(ValueError, match="--as recording or --as series"):
                found_in(tmp_path / name, Flags())
            record = found_in(tmp_path / name, Flags(reading="recording"))
            assert as_recording(record.table, "it").values.shape == (3, 900)
            assert found_in(tmp_path / name, Flags(reading="series")).X.shape == array.shape
            continue
        found = found_in(tmp_path / name, Flags())
        if kind is None:
            np.testing.assert_array_equal(found.X, array)
        else:
            assert as_recording(found.table, "it").values.shape == kind


def test_what_was_understood_is_said_before_training(tmp_path, capsys):
    steps = np.arange(2000)
    values = {"temp": np.sin(steps / 8), "load": np.cos(steps / 8), "rpm": steps % 50 / 50}
    times = pd.date_range("2024-03-01", periods=2000, freq="10s")
    frame = pd.DataFrame(values).assign(time=times).drop(index=[5, 6, 400, 900])
    path = written(tmp_path, "recording.csv", csv(frame))
    model = tmp_path / "model"
    arguments = ["fit", str(path), "--tokenizer-only", "--epochs=1", "--out", str(model)]
    assert main(arguments) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == (
        "recording: one recording of 2,000 points every 10 s, 3 channels (temp, load, rpm), "
        "3 gaps: a row for each time, times in column 'time'; windows of 100, as its period is 50"
    )
    data = load(str(path))
    assert data.recording.values.shape == (3, 2000)
    assert np.isnan(data.recording.values[:, [5, 6, 400, 900]]).all()
    assert np.isfinite(np.delete(data.recording.values, [5, 6, 400, 900], axis=1)).all()


def test_classes_of_two_parts_that_share_none_are_refused(tmp_path):
    for part, y in (("TRAIN", Y), ("TEST", Y + 5)):
        frame = WIDE.assign(a=y)[["a", *WIDE.columns]]
        written(tmp_path, f"B_{part}.tsv", series_of(frame))
    with pytest.raises(ValueError, match="no class of the test part"):
        load(str(tmp_path / "B_TRAIN.tsv"))


def test_more_classes_than_test_series_are_split_all_the_same(tmp_path):
    np.savez(tmp_path / "many.npz", X=SERIES[:10], y=np.arange(10) // 2)
    assert len(load(str(tmp_path / "many.npz")).X_test) == 3


def test_damaged_files_are_one_line(tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.zeros((24, 16)))
    np.savez_compressed(tmp_path / "a.npz", X=SERIES, y=Y)
    content = (tmp_path / "a.npy").read_bytes()
    at = content.index(b"(24, 16), }")
    huge = b"(99999999999, 99), }"
    damaged = [content[:at] + huge + content[at + len(huge) :]]
    rng = np.random.default_rng(0)
    for name in ("a.npy", "a.npz"):
        for _ in range(60):
            flipped = bytearray((tmp_path / name).read_bytes())
            flipped[rng.integers(len(flipped))] ^= 1 << rng.integers(8)
            damaged.append(bytes(flipped))
    for i, flipped in enumerate(damaged):
        path = written(tmp_path, f"d{i}.{'npy' if i <= 60 else 'npz'}", flipped)
        try:
            load(str(path))
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017 - some flips do no harm


def test_a_picture_that_cannot_be_drawn_costs_nothing_else(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("skvqts._cli.series_report.draw_tokenizer", lambda *_: 1 / 0)
    np.save(tmp_path / "a.npy", SERIES)
    assert (
        main([str(tmp_path / "a.npy"), "--tokenizer-only", "--epochs=1", "--out", str(tmp_path)])
        == 0
    )
    assert "no picture" in capsys.readouterr().out


def test_flags_that_do_not_apply_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", SERIES)
    np.savez(tmp_path / "a.npz", X=RECORD[0], y=Y)
    for flags in (Flags(label="0"), Flags(time="0"), Flags(channels="1"), Flags(reading="long")):
        with pytest.raises(ValueError, match="an array has no columns"):
            found_in(tmp_path / "a.npy", flags)
    with pytest.raises(ValueError, match="a recording has no classes"):
        found_in(tmp_path / "a.npz", Flags())


def test_two_files_that_are_recordings_are_refused(tmp_path):
    for part in ("TRAIN", "TEST"):
        written(tmp_path, f"r_{part}.csv", csv(STAMPED))
    with pytest.raises(ValueError, match=r"r_TEST\.csv is another file"):
        load(str(tmp_path / "r_TRAIN.csv"))


@pytest.mark.parametrize("cell", ["1_500", "\uff10.5", "5%", "1 500", "0x1F", "True"])
def test_what_only_looks_like_a_number_is_none(cell):
    assert not is_number(cell)


@pytest.mark.parametrize("cell", ["1", "-1.5", "+1,5", "1e-3", ".5", "5.", "NaN"])
def test_numbers_of_every_form_are_numbers(cell):
    assert is_number(cell)
