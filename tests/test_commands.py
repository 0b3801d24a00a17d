"""The commands of the command line, on sets of series and on recordings."""

import base64
import io
from html.parser import HTMLParser

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from skvqts import RandomConvolutionExtractor, WindowedEstimator, load
from skvqts._cli.main import main
from skvqts._cli.output import series_table, write_table
from skvqts._cli.page import Page

from .conftest import two_shapes
from .estimators import random_convolutions

QUICK = ["--epochs=1", "--codes=8"]
TIMES = pd.date_range("2024-03-01", periods=400, freq="10s", name="time")


def waves(n=400):
    steps = np.arange(n)
    values = {"temp": np.sin(steps / 4), "load": np.cos(steps / 4) + 0.1 * (steps % 7)}
    return pd.DataFrame(values, index=TIMES[:n])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A recording with gaps, a set of series, and a model of each."""
    folder = tmp_path_factory.mktemp("files")
    frame = waves()
    frame.iloc[100:110, 0] = np.nan
    frame.to_csv(folder / "gapped.csv")
    waves().to_csv(folder / "whole.csv")
    X, y = two_shapes(24, 32)
    np.savez(folder / "series.npz", X=X, y=np.where(y, "saw", "sine"))
    gapped = X.copy()
    gapped[3, 5:8] = np.nan
    np.save(folder / "gapped.npy", gapped)
    np.savez(folder / "infinite.npz", X=np.where(X > 0.9, np.inf, X), y=y)
    np.savez(folder / "short.npz", X=gapped, y=y[:20])
    np.savez(folder / "column.npz", X=X, y=y[:, None])
    random_convolutions().fit(X).save(folder / "kernels.skvqts")
    for name in ("gapped.csv", "series.npz"):
        arguments = ["fit", str(folder / name), *QUICK, "--out", str(folder / f"{name}.skvqts")]
        assert main(arguments) == 0
    return folder


def run(folder, command, name, *options, model=None):
    """The table that a command writes."""
    out = folder / "out.csv"
    if model is not None:
        options = (*options, "--model", str(folder / f"{model}.skvqts"))
    assert main([command, str(folder / name), *options, "--out", str(out)]) == 0
    return pd.read_csv(out)


def test_a_recording_is_encoded_with_times(files):
    model = load(files / "gapped.csv.skvqts")
    tokens = model.encode(waves())
    table = run(files, "encode", "whole.csv", model="gapped.csv")
    assert table["token"].tolist() == tokens.ids.tolist()
    assert pd.to_datetime(table["time"]).tolist() == list(pd.DatetimeIndex(tokens.times))


def test_series_are_encoded_row_by_row(files):
    model = load(files / "series.npz.skvqts")
    table = run(files, "encode", "series.npz", model="series.npz")
    X = np.load(files / "series.npz")["X"]
    np.testing.assert_array_equal(table.to_numpy(), model.tokenizer_.encode(X))


def test_gaps_of_a_recording_are_filled(files):
    table = run(files, "impute", "gapped.csv", model="gapped.csv")
    given = pd.read_csv(files / "gapped.csv")
    assert list(table) == list(given)
    assert table["time"].tolist() == given["time"].tolist()
    known = given["temp"].notna()
    np.testing.assert_allclose(table["temp"][known], given["temp"][known])
    assert table.notna().all(axis=None)


def test_draws_of_gaps_are_told_by_their_quantiles(files):
    table = run(files, "impute", "gapped.csv", "--draws=5", model="gapped.csv")
    assert list(table)[:4] == ["time", "temp", "temp 5 %", "temp 95 %"]
    in_gap = table.iloc[100:110]
    assert (in_gap["temp 5 %"] <= in_gap["temp"]).all()
    assert (in_gap["temp"] <= in_gap["temp 95 %"]).all()
    assert (in_gap["temp 5 %"] < in_gap["temp 95 %"]).any()
    assert (table["load 5 %"] == table["load 95 %"]).all()


def test_draws_of_gaps_of_series_are_told_by_their_quantiles(files):
    table = run(files, "impute", "gapped.npy", "--as=series", "--draws=5", model="series.npz")
    names = [f"t{t}" for t in range(32)]
    values = {
        end: table[[name + end for name in names]].to_numpy() for end in ("", " 5 %", " 95 %")
    }
    known = ~np.isnan(np.load(files / "gapped.npy"))
    np.testing.assert_array_equal(values[" 5 %"][known], values[" 95 %"][known])
    assert (values[" 5 %"] <= values[""]).all()
    assert (values[""] <= values[" 95 %"]).all()
    assert (values[" 5 %"] < values[" 95 %"]).any()
    out = files / "draws.npy"
    model = str(files / "series.npz.skvqts")
    words = ["impute", str(files / "gapped.npy"), "--as=series", "--draws=5", "--model", model]
    assert main([*words, "--out", str(out)]) == 0
    np.testing.assert_allclose(np.load(out), values[""], rtol=1e-6)


def test_arrays_that_are_written_can_be_read_again(tmp_path):
    X = np.arange(36.0).reshape(3, 2, 6)
    for series in (X, X[:, 0]):
        assert write_table(series_table(series, np.array(list("aab"))), tmp_path / "X.npy") > 0
        np.testing.assert_array_equal(np.load(tmp_path / "X.npy"), series)
    recording = {"time": np.arange(4), "class": np.ones(4), "id": np.zeros(4)}
    assert write_table(recording, tmp_path / "r.npy") == 4
    np.testing.assert_array_equal(np.load(tmp_path / "r.npy"), [[1, 0]] * 4)
    del recording["time"]  # one that was sampled has none
    assert write_table(recording, tmp_path / "r.npy") == 4
    np.testing.assert_array_equal(np.load(tmp_path / "r.npy"), [[1, 0]] * 4)


def test_gaps_of_series_are_filled(files):
    table = run(files, "impute", "gapped.npy", "--as=series", model="series.npz")
    given = np.load(files / "gapped.npy")
    known = ~np.isnan(given)
    np.testing.assert_allclose(table.to_numpy()[known], given[known])
    assert table.notna().all(axis=None)


def test_series_and_recordings_are_sampled(files):
    table = run(files, "sample", "series.npz", "--number=7", model="series.npz")
    assert table.shape == (7, 33)
    assert set(table["class"]) <= {"saw", "sine"}
    table = run(files, "sample", "whole.csv", "--number=70", model="gapped.csv")
    assert list(table) == ["temp", "load"]
    assert len(table) == 70


def test_a_model_alone_is_enough_to_sample(files, monkeypatch):
    monkeypatch.chdir(files)
    assert main(["sample", "--model", "series.npz.skvqts", "--number", "3"]) == 0
    assert len(pd.read_csv("series.npz_sample.csv")) == 3


def test_scores_are_those_of_the_model(files):
    model = load(files / "series.npz.skvqts")
    table = run(files, "score", "series.npz", model="series.npz")
    X = np.load(files / "series.npz")["X"]
    np.testing.assert_allclose(table["log_likelihood"], model.score_samples(X))
    table = run(files, "score", "whole.csv", model="gapped.csv")
    model = load(files / "gapped.csv.skvqts")
    np.testing.assert_allclose(table["log_likelihood"], model.score_samples(waves()))
    assert pd.to_datetime(table["time"]).tolist() == list(TIMES[model.windows_.starts(waves())])


def test_without_a_model_one_is_fitted(files):
    table = run(files, "encode", "series.npz", *QUICK, "--tokenizer-only")
    assert table.shape[0] == 24


@pytest.mark.parametrize("ending", ["parquet", "npy"])
def test_tables_are_written_in_other_forms(files, ending):
    out = files / f"out.{ending}"
    model = str(files / "gapped.csv.skvqts")
    arguments = ["encode", str(files / "whole.csv"), "--model", model, "--out", str(out)]
    assert main(arguments) == 0
    written = np.load(out)[:, 0] if ending == "npy" else pd.read_parquet(out)["token"].to_numpy()
    np.testing.assert_array_equal(written, load(model).encode(waves()).ids)


def test_series_of_several_channels_are_written_in_long_form():
    X = np.arange(12.0).reshape(2, 2, 3)
    table = pd.DataFrame(series_table(X, np.array(["a", "b"])))
    assert list(table) == ["id", "time", "class", "channel0", "channel1"]
    assert table["id"].tolist() == [0, 0, 0, 1, 1, 1]
    assert table["class"].tolist() == ["a"] * 3 + ["b"] * 3
    assert table["channel1"].tolist() == [3, 4, 5, 9, 10, 11]
    assert list(series_table(X[:, :1], None)) == ["t0", "t1", "t2"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["encode"], "a file is needed"),
        (["sample"], "sample needs a file, or a fitted model"),
        (["encode", "series.npz", "--model", "gapped.csv.skvqts"], "is one of one recording, and"),
        (["encode", "whole.csv", "--model", "series.npz.skvqts"], "is one of a set of series, and"),
        (["encode", "whole.csv", "--model", "whole.csv"], "is not a skvqts file"),
        (["encode", "gapped.csv", "--model", "gapped.csv.skvqts"], "has missing values (10)"),
        (["impute", "gapped.csv", "--tokenizer-only"], "leave --tokenizer-only out"),
        (["encode", "series.npz", "--model", "kernels.skvqts"], "encode needs a tokenizer or"),
        (["anomalies", "gapped.npy", "--as=series"], "gapped.npy has missing values (3)"),
        (["fit", "infinite.npz"], "infinite.npz has infinite values"),
        (["impute", "short.npz"], "there are 24 series but labels of shape (20,)"),
        (["sample", "column.npz"], "there are 24 series but labels of shape (24, 1)"),
    ],
)  # fmt: skip
def test_errors_are_one_line(files, words, told, capsys, monkeypatch):
    monkeypatch.chdir(files)
    assert main(words) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert told in errors[0]


def test_a_table_of_an_unknown_ending_is_refused_before_training(files, capsys):
    with pytest.raises(SystemExit):
        main(["encode", str(files / "series.npz"), "--out", "x.docx"])
    assert "must end in one of .csv, .parquet, .npy" in capsys.readouterr().err


def test_the_first_word_is_a_command_or_a_file(tmp_path, capsys, monkeypatch):
    jobs = []
    monkeypatch.setattr("skvqts._cli.main.report", lambda options: jobs.append(options))
    main([])
    main(["demo"])
    main(["waves.csv", "--seed", "3"])
    main(["report", "waves.csv"])
    main(["--codes", "8"])
    assert [job.data for job in jobs] == [None, None, "waves.csv", "waves.csv", None]
    assert jobs[2].seed == 3
    assert jobs[4].codes == 8


def test_anomalies_need_no_trained_model(files):
    table = run(files, "anomalies", "gapped.csv")
    model = WindowedEstimator(RandomConvolutionExtractor(), length=50, random_state=0)
    lines = waves().to_numpy().T[None].copy()
    lines[0, 0, 100:110] = np.interp(np.arange(100, 110), [99, 110], lines[0, 0, [99, 110]])
    expected = model.fit(lines).anomaly_score(lines)
    expected[75:135] = np.nan
    np.testing.assert_allclose(table["anomaly_score"], expected)


def test_anomalies_are_named_and_every_point_scored(files, capsys):
    table = run(files, "anomalies", "whole.csv", "--top=2", model="gapped.csv")
    model = load(files / "gapped.csv.skvqts")
    scores = model.anomaly_score(waves())
    np.testing.assert_allclose(table["anomaly_score"], scores["anomaly_score"])
    assert pd.to_datetime(table["time"]).tolist() == list(TIMES)
    top = model.anomalies(waves(), n_stretches=1)[0]
    told = capsys.readouterr().out.splitlines()
    assert sum(" to " in line for line in told) == 2
    assert told[1].startswith(np.datetime_as_string(top.start, "s").replace("T", " "))
    table = run(files, "anomalies", "series.npz", "--top=1", model="series.npz")
    X = np.load(files / "series.npz")["X"]
    scores = load(files / "series.npz.skvqts").anomaly_score(X)
    np.testing.assert_allclose(table.to_numpy(), scores)
    assert f"series {scores.max(axis=1).argmax()}, time point" in capsys.readouterr().out


# ---- the page


class Images(HTMLParser):
    """Collects the pictures of a page, and the tags that are open."""

    def __init__(self):
        super().__init__()
        self.sources, self.open = [], []

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.sources.append(dict(attributes)["src"])
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.slow  # the page of a tokenizer alone is its quick form
@pytest.mark.filterwarnings("ignore")
def test_a_recording_is_reported_on_in_one_page(files, tmp_path, capsys):
    assert main([str(files / "gapped.csv"), *QUICK, "--out", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "gapped: one recording of 400 points every 10 s, 2 channels (temp, load), 1 gap" in told
    assert "1 gaps filled in" not in told
    (path,) = tmp_path.iterdir()
    assert path.name == "skvqts_gapped.html"
    text = path.read_text(encoding="utf-8")
    images = Images()
    images.feed(text)
    assert images.open == []
    assert len(images.sources) == 4  # gaps, tokens, anomalies, a synthetic recording
    for source in images.sources:
        kind, data = source.split(",")
        assert kind == "data:image/png;base64"
        pixels = matplotlib.image.imread(io.BytesIO(base64.b64decode(data)))
        assert pixels.shape[0] > 100
        assert (pixels[..., :3] < 0.9).any()  # something is drawn
    for word in ("Gaps", "Tokens", "Strangest stretches", "A synthetic recording", "Scores of"):
        assert f"<h2>{word}" in text
    assert "http" not in text  # nothing from elsewhere
    assert "told apart" in text


@pytest.mark.filterwarnings("ignore")
def test_a_tokenizer_alone_has_a_page_too(files, tmp_path):
    arguments = ["--tokenizer-only", *QUICK, "--out", str(tmp_path)]
    assert main([str(files / "whole.csv"), *arguments]) == 0
    text = (tmp_path / "skvqts_whole.html").read_text(encoding="utf-8")
    assert text.count("<img") == 2
    assert main([str(files / "gapped.csv"), *arguments]) == 0
    text = (tmp_path / "skvqts_gapped.html").read_text(encoding="utf-8")
    assert "lacks values, which only a generator fills" in text
    assert text.count("<img") == 1


def test_words_of_a_page_are_no_tags(tmp_path):
    page = Page("a <b> & c")
    page.text("1 < 2")
    page.printed("a  <i>")
    page.table(["x<y"], [["<script>"]])
    page.save(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    for escaped in ("a &lt;b&gt; &amp; c", "1 &lt; 2", "a  &lt;i&gt;", "x&lt;y", "&lt;script&gt;"):
        assert escaped in text
    assert "<script>" not in text


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_times_keep_their_zone(files, ending, capsys):
    frame = waves().tz_localize("Europe/Oslo")
    frame.iloc[100:110, 0] = np.nan
    name = f"zone.{ending}"
    (frame.to_csv if ending == "csv" else frame.to_parquet)(files / name)
    for command in ("impute", "anomalies"):
        table = run(files, command, name, model="gapped.csv" if command == "impute" else None)
        told = "UTC+01:00" if ending == "csv" else "Europe/Oslo"
        assert f"times of {told}" in capsys.readouterr().out
        assert table["time"][0] == "2024-03-01 00:00:00+01:00"
        assert pd.to_datetime(table["time"]).tolist() == frame.index.tolist()
    table = run(files, "anomalies", "whole.csv")
    assert "UTC" not in capsys.readouterr().out
    assert table["time"][0] == "2024-03-01 00:00:00"


@pytest.mark.parametrize("zone", ["Europe/Oslo", "Asia/Tokyo", "UTC+09:00"])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_days_of_work_of_a_zone_have_no_weekends(files, ending, zone):
    days = pd.bdate_range("2024-04-01", periods=120, tz=zone, name="time")
    frame = waves(120).set_axis(days)
    name = f"days.{ending}"
    (frame.to_csv if ending == "csv" else frame.to_parquet)(files / name)
    table = run(files, "anomalies", name)
    assert pd.to_datetime(table["time"]).tolist() == days.tolist()


def test_times_of_several_offsets_are_in_utc(files, capsys):
    hours = pd.date_range("2024-03-25", periods=300, freq="h", tz="Europe/Oslo", name="time")
    waves(300).set_axis(hours).to_csv(files / "spring.csv")
    table = run(files, "anomalies", "spring.csv")
    assert "times of UTC" in capsys.readouterr().out
    assert pd.to_datetime(table["time"]).tolist() == hours.tolist()
    assert table["time"][0] == "2024-03-24 23:00:00+00:00"


@pytest.mark.parametrize(
    ("n", "n_codes"), [(70, 32), pytest.param(400, 128, marks=pytest.mark.slow)]
)
def test_a_flag_does_not_change_the_number_of_codes_of_a_recording(n, n_codes, tmp_path):
    waves(n).to_csv(tmp_path / "waves.csv")
    out = str(tmp_path / "model.skvqts")
    assert main(["fit", str(tmp_path / "waves.csv"), "--epochs=1", "--out", out]) == 0
    assert load(out).estimator_.tokenizer_.codebook_size == n_codes


def test_times_that_are_numbers_stay_the_axis(files):
    waves().set_axis(np.arange(400) * 0.5).rename_axis("time").to_csv(files / "numbers.csv")
    table = run(files, "encode", "numbers.csv", model="gapped.csv")
    assert (
        table["time"][:3].tolist()
        == (
            load(files / "gapped.csv.skvqts").encode(waves().to_numpy().T[None]).times[:3] * 0.5
        ).tolist()
    )
    for command in ("impute", "anomalies"):
        table = run(files, command, "numbers.csv", model="gapped.csv")
        assert table["time"].tolist() == (np.arange(400) * 0.5).tolist()


def test_series_of_a_table_are_filled(files):
    X = np.load(files / "gapped.npy")
    frame = pd.DataFrame(X).add_prefix("t").assign(kind=["saw", "sine"] * 12)
    frame.to_csv(files / "gapped_series.csv", index=False)
    table = run(files, "impute", "gapped_series.csv", "--label=kind", model="series.npz")
    assert table["class"].tolist() == frame["kind"].tolist()
    known = ~np.isnan(X)
    np.testing.assert_allclose(table.drop(columns="class").to_numpy()[known], X[known])


def test_what_cannot_be_written_is_told_before_the_fit(files, capsys):
    for out, told in (("nowhere/x.csv", "there is no folder"), (".", "is a folder")):
        assert main(["fit", str(files / "whole.csv"), "--out", str(files / out)]) == 2
        captured = capsys.readouterr()
        assert told in captured.err
        assert "fitted" not in captured.out


def test_endings_in_capitals_are_the_same(files):
    out = files / "OUT.NPY"
    model = str(files / "gapped.csv.skvqts")
    assert main(["encode", str(files / "whole.csv"), "--model", model, "--out", str(out)]) == 0
    assert np.load(out).shape[1] == 1


def test_a_command_after_flags_is_told_to_come_first(capsys):
    assert main(["--epochs", "1", "fit", "a.csv"]) == 2
    assert "the command 'fit' comes first" in capsys.readouterr().err


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    told = capsys.readouterr().out
    for name in ("report", "demo", "fit", "encode", "sample", "score", "impute", "anomalies"):
        assert f"\n    {name}" in told


@pytest.mark.parametrize("command", ["report", "fit", "impute"])
def test_help_tells_a_default_where_there_is_one(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert ("default: GunPoint" in capsys.readouterr().out) == (command == "report")
