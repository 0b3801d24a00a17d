"""Imports point one way: estimators -> validation, training, networks, functions."""

import ast
import subprocess
import sys
from pathlib import Path

import skvqts

PACKAGE = Path(skvqts.__file__).parent


def _imports(path):
    """Dotted names imported by a module; those of the package start with a dot."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def _roots(path):
    """Packages imported that are neither ours nor Python's own."""
    roots = {name.split(".")[0] for name in _imports(path) if not name.startswith(".")}
    return roots - set(sys.stdlib_module_names)


def test_functions_import_torch_and_scipy_only_and_nothing_of_ours():
    for path in (PACKAGE / "functional").glob("*.py"):
        assert _roots(path) <= {"torch", "scipy"}, path
        assert not [name for name in _imports(path) if name.startswith("..")], path


def test_networks_import_functions_only():
    for path in (PACKAGE / "_nn").glob("*.py"):
        assert _roots(path) <= {"torch"}, path
        ours = [name for name in _imports(path) if name.startswith("..")]
        assert all(name.startswith("..functional") for name in ours), path


def test_the_loop_knows_no_model_and_no_estimator():
    ours = [name for name in _imports(PACKAGE / "_fitting" / "training.py") if name.startswith(".")]
    assert ours == ["..exceptions"]
    assert "sklearn" not in _roots(PACKAGE / "_fitting" / "training.py")


def test_nothing_rests_on_assert_statements_that_python_can_leave_out():
    for path in PACKAGE.rglob("*.py"):
        tree = ast.walk(ast.parse(path.read_text()))
        assert not [node.lineno for node in tree if isinstance(node, ast.Assert)], path


def test_only_core_dependencies_are_imported_with_the_package():
    code = (
        "import sys, skvqts; "
        "print([m for m in ('aeon', 'matplotlib', 'hypothesis') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
