"""The structure of the package: what may import what, and what an estimator consists of."""

import ast
import inspect
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator

import skvqts

ROOT = Path(skvqts.__file__).parent
# Folders and top-level modules from low to high: imports go down or stay on a floor.
FLOORS = [
    {"exceptions", "_version"},
    {"functional"},
    {"_nn"},
    {"_files"},
    {"_fitting"},
    {"_codebooks"},
    {
        "_quantizer",
        "objectives",
        "augmentation",
        "_tokenizer",
        "_ssl_features",
        "_random_convolutions",
        "_fcn_classifier",
        "_fine_tuned_classifier",
        "_classical",
    },
    {"_generation", "_autoencoders"},
    {"_recordings"},
    {"metrics"},
    {"__init__"},  # the public names
    {"_cli"},
    {"__main__"},
]
N_FILES = 12
LOOP = "skvqts._fitting.training"
STATE = "skvqts._fitting.state"
PRIVATE_SKLEARN = "skvqts._fitting.validation"
N_ARGUMENTS = 30


def public_classes(module):
    """The public classes with parameters as scikit-learn has them."""
    values = [getattr(module, name) for name in module.__all__]
    return [cls for cls in values if inspect.isclass(cls) and issubclass(cls, BaseEstimator)]


# What is fitted, and what is only a parameter of it.
ESTIMATORS = [cls for cls in public_classes(skvqts) if hasattr(cls, "fit")]
PARAMETER_OBJECTS = [
    skvqts.Quantizer,
    *public_classes(skvqts.objectives),
    *public_classes(skvqts.augmentation),
]
each_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)
each_object = pytest.mark.parametrize("cls", ESTIMATORS + PARAMETER_OBJECTS)


# ---- the modules and their imports


@cache
def modules():
    """The path of every module of the package by dotted name; a package goes by its folder's."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(module):
    return ast.parse(modules()[module].read_text())


def nodes(module, kind):
    return [node for node in ast.walk(tree(module)) if isinstance(node, kind)]


def imported_names(module):
    """Pairs of an absolute module name and the name taken from it, None for ``import x``.

    Imports inside functions count, relative ones are resolved.
    """
    is_package = modules()[module].name == "__init__.py"
    package = module if is_package else module.rpartition(".")[0]
    for node in nodes(module, ast.Import):
        yield from ((alias.name, None) for alias in node.names)
    for node in nodes(module, ast.ImportFrom):
        source = node.module or ""
        if node.level:
            parents = package.split(".")
            parts = parents[: len(parents) - node.level + 1]
            source = ".".join([*parts, *filter(None, [node.module])])
        yield from ((source, alias.name) for alias in node.names)


def imports(module):
    """The modules of the package that a module imports."""
    for source, name in imported_names(module):
        if source.split(".")[0] == "skvqts":
            submodule = f"{source}.{name}"
            yield submodule if submodule in modules() else source


def foreign_imports(module):
    """The packages that a module imports besides skvqts and Python's own."""
    roots = {source.split(".")[0] for source, _ in imported_names(module)}
    return roots - {"skvqts"} - set(sys.stdlib_module_names)


def room(module):
    """The folder or top-level module that a module belongs to."""
    return module.split(".")[1] if "." in module else "__init__"


def modules_in(name):
    found = [module for module in modules() if room(module) == name]
    assert found, f"there is no room {name!r}"
    return found


def floor(module):
    floors = [level for level, rooms in enumerate(FLOORS) if room(module) in rooms]
    assert floors, f"{module} is on no floor: give its room a place in FLOORS"
    return floors[0]


def test_every_room_has_a_floor():
    planned = set().union(*FLOORS)
    assert planned == {room(module) for module in modules()}


def test_imports_go_down_or_stay_on_their_floor():
    upwards = [
        f"{module} imports {target}"
        for module in modules()
        for target in imports(module)
        if floor(target) > floor(module)
    ]
    assert not upwards


def test_no_modules_import_each_other_in_a_cycle():
    graph = {module: set(imports(module)) - {module} for module in modules()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_functions_import_torch_and_scipy_only():
    for module in modules_in("functional"):
        assert foreign_imports(module) <= {"torch", "scipy"}, module
        assert {room(target) for target in imports(module)} <= {"functional"}, module


def test_networks_import_torch_functions_and_errors_only():
    allowed = {"_nn", "functional", "exceptions"}
    for module in modules_in("_nn"):
        assert foreign_imports(module) <= {"torch"}, module
        assert {room(target) for target in imports(module)} <= allowed, module


def test_fitting_knows_no_network():
    """To open a pickle, `state` allocates a network of which it knows only the constructor."""
    for module in modules_in("_fitting"):
        networks = {target for target in imports(module) if room(target) == "_nn"}
        assert networks <= ({"skvqts._nn.layers"} if module == STATE else set()), module


def test_the_training_loop_knows_no_network_and_no_estimator():
    assert {room(target) for target in imports(LOOP)} <= {"exceptions", "_fitting"}
    assert "sklearn" not in foreign_imports(LOOP)


def test_metrics_judge_any_generator_and_import_none():
    for module in modules_in("metrics"):
        assert "_generation" not in {room(target) for target in imports(module)}, module


def test_one_module_imports_private_names_of_scikit_learn():
    for module in set(modules()) - {PRIVATE_SKLEARN}:
        private = [
            f"{source}: {name}"
            for source, name in imported_names(module)
            if source.split(".")[0] == "sklearn"
            and any(is_private(part) for part in (*source.split("."), name or ""))
        ]
        assert not private, module


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def test_only_core_dependencies_are_imported_with_the_package():
    code = (
        "import sys, skvqts; "
        "print([m for m in ('aeon', 'matplotlib', 'hypothesis', 'imblearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- files and their code


def test_folders_are_small():
    folders = [ROOT, *(path for path in ROOT.rglob("*") if path.is_dir())]
    sizes = {str(folder): len(list(folder.glob("*.py"))) for folder in folders}
    assert not {folder: size for folder, size in sizes.items() if size > N_FILES}


def lines_with(kind, condition=lambda node: True):
    """The lines of the package on which there is a node of a kind, such as ``_cli.main:170``."""
    return [
        f"{module}:{node.lineno}"
        for module in modules()
        for node in nodes(module, kind)
        if condition(node)
    ]


def test_no_value_travels_in_a_context_variable():
    users = [m for m in modules() if ("contextvars", "ContextVar") in imported_names(m)]
    assert not users
    assert not lines_with(ast.Attribute, lambda node: node.attr == "ContextVar")


def test_no_assert_statements_which_python_may_skip():
    assert not lines_with(ast.Assert)


def test_no_attribute_is_looked_up_by_a_name_put_together_from_parts():
    def is_composed(call):
        is_getattr = getattr(call.func, "id", None) == "getattr"
        return is_getattr and isinstance(call.args[1], ast.JoinedStr)

    assert not lines_with(ast.Call, is_composed)


# ---- estimators


def test_there_are_fifteen_estimators_and_the_parameter_objects_have_no_fit():
    assert {estimator.__name__ for estimator in ESTIMATORS} == {
        "AutoregressivePriorGenerator",
        "FCNClassifier",
        "FineTunedClassifier",
        "FlowDecoder",
        "GenerativeOverSampler",
        "MaskedPriorGenerator",
        "RandomConvolutionExtractor",
        "SSLFeatureExtractor",
        "STFTTransformer",
        "SeriesAutoencoder",
        "SeriesVAE",
        "SlidingWindows",
        "VQTokenizer",
        "WindowCodes",
        "WindowedEstimator",
    }
    assert set(public_classes(skvqts)) == {*ESTIMATORS, skvqts.Quantizer}
    assert not [cls for cls in PARAMETER_OBJECTS if hasattr(cls, "fit")]


@each_object
def test_constructors_have_at_most_thirty_arguments(cls):
    assert len(inspect.signature(cls).parameters) <= N_ARGUMENTS


@each_estimator
def test_every_estimator_writes_its_own_fit(estimator):
    assert "fit" in list(vars(estimator))
    assert inspect.unwrap(vars(estimator)["fit"]).__module__ == estimator.__module__


@each_estimator
def test_every_estimator_has_one_parent_in_the_package_at_most(estimator):
    ancestors = [c.__name__ for c in estimator.__mro__[1:] if c.__module__.startswith("skvqts")]
    assert ancestors[1:] == []


def test_every_estimator_has_a_module_of_its_own():
    homes = [estimator.__module__ for estimator in ESTIMATORS]
    assert len(set(homes)) == len(homes), sorted(homes)
