"""Docstrings: every public name has one, its examples run, and its annotations evaluate."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import typing
from collections import ChainMap
from functools import cached_property

import pytest

import metarl
import metarl_envs

EXTRAS = {"imageio", "matplotlib", "mujoco", "stable_baselines3"}
MODULES = [
    name
    for package in (metarl, metarl_envs)
    for name in (package.__name__, *(m.name for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")))
    if "__main__" not in name
]
DOORS = [name for name in MODULES if hasattr(importlib.import_module(name), "__all__")]

WITHOUT_DOCSTRING = {
    "metarl.evaluation.plots.save_figure": "the module is being rewritten",
    "metarl.evaluation.statistics.mean": "the module is being rewritten",
}
WITHOUT_ARGS = {
    "metarl.algorithms.conjugate_gradient": "the module is being rewritten",
    "metarl.algorithms.line_search": "the module is being rewritten",
    "metarl.evaluation.choose_rate": "the module is being rewritten",
    "metarl.evaluation.compare": "the module is being rewritten",
    "metarl.evaluation.with_chosen_rate": "the module is being rewritten",
}


def load(name):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name in EXTRAS:
            pytest.skip(f"{error.name} is not installed")
        raise


def function_of(value):
    """The function behind a method, property or cached property; None for anything else."""
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if isinstance(value, property):
        value = value.fget
    if isinstance(value, cached_property):
        value = value.func
    return inspect.unwrap(value) if inspect.isfunction(value) else None


def public_names(module):
    """Dotted name and object of every public class, function and method that a module defines."""
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(value) or inspect.isfunction(value):
            yield f"{module.__name__}.{name}", value
        for member, inner in vars(value).items() if inspect.isclass(value) else ():
            function = function_of(inner)
            if function is not None and not member.startswith("_") and function.__module__ == module.__name__:
                yield f"{module.__name__}.{name}.{member}", function


def names_for_checking(module):
    """What a module imports under TYPE_CHECKING; Any for names of an extra that is not installed."""
    found = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            for imported in (inner for inner in ast.walk(node) if isinstance(inner, ast.ImportFrom)):
                for alias in imported.names:
                    try:
                        value = getattr(importlib.import_module(imported.module), alias.name)
                    except ModuleNotFoundError as error:
                        if error.name not in EXTRAS:
                            raise
                        value = typing.Any
                    found[alias.asname or alias.name] = value
            for imported in (inner for inner in ast.walk(node) if isinstance(inner, ast.Import)):
                found |= {alias.name: importlib.import_module(alias.name) for alias in imported.names}
    return found


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_has_a_docstring(name):
    module = load(name)
    assert module.__doc__, f"{name} has no docstring"
    missing = [
        # Dataclasses and named tuples without one are given their signature.
        place
        for place, value in public_names(module)
        if not value.__doc__ or value.__doc__.startswith(f"{value.__name__}(")
    ]
    assert set(missing) <= set(WITHOUT_DOCSTRING)


@pytest.mark.parametrize("name", DOORS)
def test_functions_of_a_door_with_several_parameters_describe_them(name):
    door = load(name)
    for entry in door.__all__:
        value = getattr(door, entry)
        parameters = inspect.signature(value).parameters if inspect.isfunction(value) else {}
        if len(parameters) <= 2 or f"{name}.{entry}" in WITHOUT_ARGS:
            continue
        doc = inspect.getdoc(value)
        assert "\nArgs:\n" in doc, f"{name}.{entry} has no Args section"
        described = re.findall(r"^    \*{0,2}(\w+):", doc.partition("\nArgs:\n")[2], re.MULTILINE)
        absent = [p for p in parameters if p not in described]
        assert not absent, f"{name}.{entry}: Args lacks {', '.join(absent)}"


@pytest.mark.parametrize("name", MODULES)
def test_annotations_evaluate(name):
    for _, value in public_names(load(name)):
        own = {base.__module__ for base in getattr(value, "__mro__", (value,))}
        modules = [
            importlib.import_module(module)
            for module in own
            if module.split(".")[0] in ("gymnasium", "metarl", "metarl_envs")
        ]
        names = [names_for_checking(module) for module in modules]
        typing.get_type_hints(value, localns=dict(ChainMap(*names)))


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, tmp_path, monkeypatch):
    module = load(name)
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
