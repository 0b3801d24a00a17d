"""Files of series that were damaged are read, or refused in one line."""

import numpy as np
import pytest

pytest.importorskip("benchmarks.damaged_data")
from benchmarks.damaged_data import DAMAGES, damaged_files, read, whole_files

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("name", whole_files())
def test_files_that_are_whole_are_read(name, tmp_path):
    (tmp_path / name).write_bytes(whole_files()[name])
    assert read(tmp_path / name) == (None, True)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damages_change_a_file(damage):
    content = bytearray(whole_files()["wide.csv"])
    damage(content, np.random.default_rng(0))
    assert bytes(content) != whole_files()["wide.csv"]


@pytest.mark.parametrize("n", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_damaged_files_are_read_or_refused_in_one_line(n):
    found = damaged_files(n, np.random.default_rng(n))
    assert found["tries"] == n
    assert found["wrong"] == 0, found["remarks"]


def test_an_error_that_is_no_word_to_users_is_told_apart(tmp_path, monkeypatch):
    path = tmp_path / "wide.csv"
    path.write_bytes(whole_files()["wide.csv"])
    for error in (KeyError("a"), RuntimeError("b"), ValueError("cannot be used: a\nb"), SystemExit):
        monkeypatch.setattr("benchmarks.damaged_data.load_whole", _raising(error))
        problem, is_read = read(path)
        assert problem is not None
        assert not is_read


def _raising(error):
    def load_whole(*_):
        raise error

    return load_whole
