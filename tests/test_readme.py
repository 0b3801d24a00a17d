"""The README and the guides say what is so, and their examples run."""

import re
from pathlib import Path

import pytest

import skvqts
from skvqts import FCNClassifier

from .estimators import masked_prior

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_ci_runs_the_test_command_of_the_readme():
    commands = re.findall(r"```sh\n(.*?)\n```", README, re.S)
    assert len(commands) == 2
    assert commands[1] in (ROOT / ".ci" / "run").read_text().splitlines()


def test_example_runs(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(example.splitlines()) <= 12
    exec(compile(example, "README.md", "exec"), {})
    accuracy = float(capsys.readouterr().out.split()[0])
    assert accuracy > 0.9


@pytest.mark.slow
def test_example_of_self_supervision_runs(capsys):
    text = (ROOT / "docs" / "self_supervision.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", text, re.S)
    quick = example.replace("random_state=0", "random_state=0, max_epochs=5")
    names = {}
    exec(compile(quick, "self_supervision.md", "exec"), names)
    probe, fine_tuned = capsys.readouterr().out.split("\n")[:2]
    assert float(probe.split()[0]) > 0.8
    assert float(fine_tuned) > 0.4
    assert names["search"].fit(names["X"], names["y"]).best_score_ > 0.5


@pytest.mark.slow  # the example of the README is the quick form of those of long guides
@pytest.mark.filterwarnings("ignore::skvqts.FidelityWarning")
def test_example_of_judging_runs(capsys, monkeypatch):
    fit = FCNClassifier.fit
    monkeypatch.setattr(
        FCNClassifier, "fit", lambda self, X, y: fit(self.set_params(width=8, max_epochs=5), X, y)
    )
    (example,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "judging.md").read_text(), re.S
    )
    exec(compile(example, "judging.md", "exec"), {})
    out = capsys.readouterr().out
    for word in ("Fréchet distance", "memorization score", "classification accuracy"):
        assert word in out
    assert out.strip().splitlines()[-1].startswith("[-")


@pytest.mark.slow
def test_example_of_recordings_runs():
    text = (ROOT / "docs" / "recordings.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", text, re.S)
    quick = example.replace("WindowedEstimator(", "WindowedEstimator(small(), length=32, ")
    names = {"small": masked_prior}
    exec(compile(quick, "recordings.md", "exec"), names)
    assert names["filled"].index.equals(names["recording"].index)
    assert names["filled"]["load"].notna().all()
    assert len(names["tokens"].ids) == len(names["tokens"].times)
    assert names["future"].shape == (100, 1)
    assert names["future"].index[0] > names["recording"].index[-1]
    assert names["another"].shape == (5000,)


@pytest.mark.slow
def test_example_of_generation_runs(capsys):
    (example,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "generation.md").read_text(), re.S
    )
    quick = (
        "VQTokenizer(max_epochs=2), decoder=FlowDecoder(max_epochs=2), width=16, max_epochs=1, "
        "random_state=0"
    )
    assert "MaskedPriorGenerator(random_state=0)" in example
    quick = example.replace(
        "MaskedPriorGenerator(random_state=0)", f"MaskedPriorGenerator({quick})"
    )
    imports = "from skvqts import FlowDecoder, VQTokenizer\n"
    exec(compile(imports + quick, "generation.md", "exec"), {})
    likelihoods, imputed, forecast, scores = capsys.readouterr().out.strip().split("\n")
    assert all(float(value) < 0 for value in likelihoods.strip("[]").split())
    assert imputed == "(5, 1, 1, 150)"
    assert forecast == "(1, 1, 30)"
    assert scores == "(3, 150)"


@pytest.mark.parametrize("name", ["skvqts", "objectives", "augmentation", "metrics"])
def test_the_page_of_public_names_is_complete(name):
    text = (ROOT / "docs" / "api.md").read_text()
    sections = dict(re.findall(r"^## ([\w.]+)\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    assert list(sections) == [
        "skvqts",
        "skvqts.objectives",
        "skvqts.augmentation",
        "skvqts.metrics",
    ]
    module = skvqts if name == "skvqts" else getattr(skvqts, name)
    listed = re.findall(r"^\* `(\w+)`: .+\.$", sections[module.__name__], re.M)
    assert sorted(listed) == sorted(module.__all__)


def test_links_between_documents_lead_somewhere():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "benchmarks" / "RESULTS.md"]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert "://" in target or (page.parent / target).exists(), (page.name, target)
