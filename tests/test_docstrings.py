"""Docstrings tell the truth: parameters, their defaults, and the papers of equations."""

import inspect
import math
import re
from pathlib import Path

import pandas as pd
import pytest

import skvqts
from skvqts import augmentation, metrics, objectives

from .conftest import two_shapes
from .estimators import CLASSIFIERS, GENERATORS, TRANSFORMERS

ROOT = Path(skvqts.__file__).parent
DOCS = ROOT.parent / "docs"
ESTIMATORS = TRANSFORMERS | CLASSIFIERS | GENERATORS


def public_names(module):
    if hasattr(module, "__all__"):
        return module.__all__
    return [name for name, value in vars(module).items() if is_defined_in(value, module)]


def is_defined_in(value, module):
    is_public = not getattr(value, "__name__", "_").startswith("_")
    return is_public and getattr(value, "__module__", None) == module.__name__


def public_objects():
    """Every public function, class and method by its name; a class stands for its constructor."""
    found = {}
    for module in (skvqts, metrics, objectives, augmentation):
        for name in public_names(module):
            value = getattr(module, name)
            if inspect.isfunction(value):
                found[name] = value
            elif inspect.isclass(value) and not issubclass(value, Exception):
                found[name] = value
                found |= {f"{name}.{method.__name__}": method for method in methods(value)}
    return found


def methods(cls):
    """Public methods that are written in skvqts, also in an ancestor."""
    for name, method in inspect.getmembers(cls, inspect.isroutine):
        written_in = getattr(inspect.unwrap(method), "__module__", None) or ""
        if not name.startswith("_") and written_in.startswith("skvqts"):
            yield method


def parameters(thing):
    """What a caller may give."""
    given = inspect.signature(thing).parameters.values()
    return [parameter for parameter in given if parameter.name != "self"]


def sections(thing):
    """The lines of each section of a numpydoc docstring by its title."""
    lines = (inspect.getdoc(thing) or "").splitlines()
    titles = [i for i, line in enumerate(lines[1:]) if line and not line.strip("-")]
    ends = [*titles, len(lines)][1:]
    return {lines[i]: lines[i + 2 : end] for i, end in zip(titles, ends, strict=False)}


def documented(thing, title="Parameters"):
    """What a section says of each name, such as ``{"scale": "float, default=0.1"}``."""
    found = {}
    for line in sections(thing).get(title, []):
        if line and not line[0].isspace():
            names, _, kind = line.partition(" : ")
            names = [name.strip().lstrip("*") for name in names.split(",")]
            found |= dict(zip(names, kind_of_each(kind, len(names)), strict=True))
    return found


def kind_of_each(kind, n):
    """Split what is said of `n` names at once, as in ``low, high : float, default=0.9, 2.0``."""
    before, has_default, defaults = kind.partition("default=")
    values = defaults.split(", ") if n > 1 else [defaults]
    values = values * n if len(values) == 1 else values
    return [before + has_default + value for value in values]


def default_in(kind):
    """The default in ``float, default=pi / 4`` as a value; what is no expression, as text."""
    text = kind.partition("default=")[2]
    try:
        return eval(text, {"pi": math.pi})
    except (NameError, SyntaxError):
        return text


OBJECTS = public_objects()
each_object = pytest.mark.parametrize("name", OBJECTS)


@each_object
def test_every_parameter_is_documented(name):
    thing = OBJECTS[name]
    named = documented(thing) or documented(thing, "Attributes")  # the latter of data classes
    missing = [parameter.name for parameter in parameters(thing) if parameter.name not in named]
    assert not missing, f"{name} does not document {', '.join(missing)}"


@each_object
def test_every_documented_parameter_exists(name):
    known = {parameter.name for parameter in parameters(OBJECTS[name])}
    unknown = set(documented(OBJECTS[name])) - known
    assert not unknown, f"{name} has no parameter {', '.join(sorted(unknown))}"


@each_object
def test_documented_defaults_are_those_of_the_signature(name):
    kinds = documented(OBJECTS[name])
    wrong = [
        f"{parameter.name}={default_in(kinds[parameter.name])!r} is {parameter.default!r}"
        for parameter in parameters(OBJECTS[name])
        if "default=" in kinds.get(parameter.name, "")
        and repr(default_in(kinds[parameter.name])) != repr(parameter.default)
    ]
    assert not wrong, f"{name}: documented {'; '.join(wrong)}"


@each_object
def test_every_default_is_documented(name):
    kinds = documented(OBJECTS[name])
    unnamed = [
        f"{parameter.name}={parameter.default!r}"
        for parameter in parameters(OBJECTS[name])
        if parameter.default is not inspect.Parameter.empty
        and parameter.name in kinds
        and "default=" not in kinds[parameter.name]
        and "ignored" not in kinds[parameter.name].lower()
    ]
    assert not unnamed, f"the docstring of {name} does not say {', '.join(unnamed)}"


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if " " not in name])
def test_the_documented_attributes_are_those_that_fit_sets(name):
    X, y = two_shapes(24)
    fitted = ESTIMATORS[name](max_epochs=1).fit(pd.DataFrame(X).add_prefix("t"), y)
    attributes = {a for a in dir(fitted) if a.endswith("_") and not a.startswith("_")}
    assert set(documented(type(fitted), "Attributes")) == attributes


EQUATION = re.compile(r"\b(eqs?\.|equations?) ?\(?\d", re.IGNORECASE)
PAPER = re.compile(r"\b(19|20)\d\d\b|\[\d+\]")  # a year, or a mark such as [1]_


def equations_without_a_paper(path):
    """Lines that number an equation where neither they nor a neighbour name a paper."""
    lines = path.read_text().splitlines()
    for i, line in enumerate(lines):
        if EQUATION.search(line) and not PAPER.search(" ".join(lines[max(0, i - 1) : i + 2])):
            yield f"{path.relative_to(ROOT.parent)}:{i + 1}: {line.strip()}"


def test_every_equation_number_names_its_paper():
    paths = sorted([*ROOT.rglob("*.py"), *DOCS.rglob("*.md")])
    assert "\n".join(line for path in paths for line in equations_without_a_paper(path)) == ""
