"""Rules that every public function keeps: its signature, and a docstring that agrees with it."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

NAMESPACES = ["datasets", "get", "model", "pl", "pp", "tl"]
WITHOUT_CHANCE = ["age_acceleration"]
"""Tools that draw nothing at random."""


def public(*namespaces: str) -> list[Any]:
    """Pytest parameters for the functions and classes of some namespaces, with readable ids."""
    found = []
    for namespace in namespaces:
        module = importlib.import_module(f"sctools.{namespace}")
        for name in module.__all__:
            found.append(pytest.param(getattr(module, name), id=f"{namespace}.{name}"))
    return found


def methods(cls: type) -> list[Callable[..., object]]:
    """Return the public methods that the class itself defines, those of scvi-tools left out."""
    return [
        value.__func__ if isinstance(value, classmethod | staticmethod) else value
        for name, value in vars(cls).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, classmethod | staticmethod))
    ]


def documentable(*namespaces: str) -> list[Any]:
    """Like `public`, with the methods of the classes."""
    found = []
    for param in public(*namespaces):
        found.append(param)
        if inspect.isclass(param.values[0]):
            for method in methods(param.values[0]):
                found.append(pytest.param(method, id=f"{param.id}.{method.__name__}"))
    return found


def sections(obj: object) -> dict[str, str]:
    """Split a numpydoc docstring at its underlined headings; "" is what comes before them."""
    doc = inspect.getdoc(obj)
    assert doc, "there is no docstring"
    parts = re.split(r"^(\w[\w ]*)\n-{3,}$", doc, flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def documented_parameters(text: str) -> list[str]:
    names = [
        name.strip().lstrip("*")
        for line in text.splitlines()
        if line and not line[0].isspace()
        for name in line.partition(" :")[0].split(",")
    ]
    assert all(name.isidentifier() for name in names), names
    return names


def parameters(obj: Callable[..., object]) -> dict[str, inspect.Parameter]:
    return {
        name: parameter
        for name, parameter in inspect.signature(obj).parameters.items()
        if name not in ("self", "cls") and not name.startswith("_")
    }


def is_record(obj: object) -> bool:
    """Tell whether this is a named tuple: a result with fields, and nothing to call."""
    return inspect.isclass(obj) and issubclass(obj, tuple)


def is_positional(parameter: inspect.Parameter) -> bool:
    return parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_namespace_only_reexports(namespace: str) -> None:
    module = importlib.import_module(f"sctools.{namespace}")
    assert list(module.__all__) == sorted(module.__all__)
    for name in module.__all__:
        assert getattr(module, name).__module__.startswith(f"sctools.{namespace}._")
        assert getattr(module, name).__name__ == name


@pytest.mark.parametrize("function", public("tl"))
def test_tl_signature(function: Callable[..., object]) -> None:
    found = parameters(function)
    assert next(iter(found)) == "adata"
    assert sum(map(is_positional, found.values())) <= 3
    assert found["copy"].default is False
    assert found["key_added"].default == function.__name__
    assert ("rng" in found) == (function.__name__ not in WITHOUT_CHANCE)
    assert "rng" not in found or found["rng"].default == 0


@pytest.mark.parametrize("function", public("pl"))
def test_pl_signature(function: Callable[..., object]) -> None:
    found = parameters(function)
    assert next(iter(found)) == "adata"
    assert sum(map(is_positional, found.values())) <= 3
    assert found["ax"].default is None
    assert found["show"].default is None
    assert found["return_fig"].default is False
    assert "save" not in found


@pytest.mark.parametrize("function", public("pl"))
def test_plots_share_what_they_share(function: Callable[..., object]) -> None:
    """The same names in the same places, and ``None`` for what the style decides."""
    found = parameters(function)
    assert list(found)[-4:] == ["ax", "show", "return_fig", "kwargs"]
    assert found["kwargs"].kind is inspect.Parameter.VAR_KEYWORD
    for name in {"palette", "cmap"} & set(found):
        assert found[name].default is None
    assert not {"colors", "colormap", "figsize", "title", "save"} & set(found)


@pytest.mark.parametrize("function", public("tl"))
def test_tl_has_a_plot(function: Callable[..., object]) -> None:
    """``pl.x`` works straight after ``tl.x`` with no further argument."""
    plot = getattr(importlib.import_module("sctools.pl"), function.__name__)
    required = [p for p in parameters(plot).values() if p.default is p.empty]
    assert [p.name for p in required if p.kind is not p.VAR_KEYWORD] == ["adata"]
    assert parameters(plot)["key"].default == parameters(function)["key_added"].default


@pytest.mark.parametrize("function", public("datasets", "get", "pp"))
def test_positional_parameters_are_few(function: Callable[..., object]) -> None:
    if is_record(function):
        return
    assert sum(map(is_positional, parameters(function).values())) <= 3


@pytest.mark.parametrize("obj", documentable(*NAMESPACES))
def test_annotations_are_complete(obj: Callable[..., object]) -> None:
    if is_record(obj):
        return
    function = obj.__init__ if inspect.isclass(obj) else obj
    signature = inspect.signature(function)
    missing = [p.name for p in signature.parameters.values() if p.annotation is p.empty]
    assert [name for name in missing if name not in ("self", "cls")] == []
    assert signature.return_annotation is not signature.empty


@pytest.mark.parametrize("obj", documentable(*NAMESPACES))
def test_docstring_agrees_with_signature(obj: Callable[..., object]) -> None:
    found = sections(obj)
    summary = found[""].splitlines()[0]
    assert summary.endswith(".")
    assert len(summary) <= 100
    heading = "Attributes" if is_record(obj) else "Parameters"
    documented = documented_parameters(found.get(heading, ""))
    assert documented == list(parameters(obj))
    assert "%(" not in str(inspect.getdoc(obj)), "a shared text was not filled in"


@pytest.mark.parametrize("obj", public(*NAMESPACES))
def test_docstring_is_whole(obj: Callable[..., object]) -> None:
    if is_record(obj):
        return
    found = sections(obj)
    assert "Parameters" in found
    assert ">>>" in found["Examples"]
    if not inspect.isclass(obj):
        assert "Returns" in found


@pytest.mark.parametrize("obj", documentable("model"))
def test_methods_say_what_they_return(obj: Callable[..., object]) -> None:
    returns = inspect.signature(obj).return_annotation if not inspect.isclass(obj) else None
    if returns not in (None, "None"):
        assert "Returns" in sections(obj)
