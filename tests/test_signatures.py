"""Rules that every public function keeps: its signature, and a docstring that agrees with it."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from ._documented import documented_errors

NAMESPACES = ["datasets", "get", "model", "pl", "pp", "tl"]
WITHOUT_CHANCE = ["age_acceleration"]
"""Tools that draw nothing at random."""

CANNOT_FAIL = ["clocks", "has_seen", "split"]
"""What nobody can call wrongly."""

DEFAULTS: dict[str, Any] = {
    "ax": None,
    "batch_key": None,
    "copy": False,
    "gene_key": None,
    "layer": None,
    "log_normalized": False,
    "min_coverage": 0.5,
    "overwrite": False,
    "progress_bar": None,
    "return_fig": False,
    "return_model": False,
    "sample_key": None,
    "show": None,
}
"""Arguments that mean the same everywhere, with the default that they have everywhere."""

OTHER_NAMES = {
    "cores": "devices", "groups_key": "groupby", "inplace": "copy", "label_key": "labels_key",
    "n_jobs": "devices", "random_state": "rng", "save": "show", "seed": "rng",
    "verbose": "progress_bar",
}  # fmt: skip
"""Names that arguments must not have, with those that they have here."""


def public(*namespaces: str) -> list[Any]:
    """Pytest parameters for the functions and classes of some namespaces, with readable ids."""
    found = []
    for namespace in namespaces:
        module = importlib.import_module(f"sctools.{namespace}")
        for name in module.__all__:
            found.append(pytest.param(getattr(module, name), id=f"{namespace}.{name}"))
    return found


def methods(cls: type) -> list[Callable[..., object]]:
    """Return the public methods that we define, those in parents of ours included."""
    found: dict[str, Callable[..., object]] = {}
    for parent in cls.__mro__:
        if parent.__module__.partition(".")[0] != "sctools":
            continue
        for name, value in vars(parent).items():
            function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
            if not name.startswith("_") and inspect.isfunction(function):
                found.setdefault(name, function)
    return list(found.values())


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


@pytest.mark.parametrize("obj", documentable(*NAMESPACES))
def test_arguments_are_called_alike(obj: Callable[..., object]) -> None:
    if is_record(obj):
        return
    found = parameters(obj)
    assert set(found) & set(OTHER_NAMES) == set()
    defaults = {
        name: parameter.default
        for name, parameter in found.items()
        if name in DEFAULTS and parameter.default is not parameter.empty
    }
    assert defaults == {name: DEFAULTS[name] for name in defaults}


def overrides(obj: Callable[..., object]) -> bool:
    """Whether this is a method of scvi-tools in our version, whose signature is given."""
    name = obj.__name__
    models = [param.values[0] for param in public("model") if inspect.isclass(param.values[0])]
    return any(
        name in vars(parent)
        for cls in models
        if any(vars(own).get(name) is obj for own in cls.__mro__)
        for parent in cls.__mro__
        if parent.__module__.startswith("scvi.")
    )


@pytest.mark.parametrize("obj", documentable(*NAMESPACES))
def test_flags_are_named_and_defaults_are_constant(obj: Callable[..., object]) -> None:
    """`f(adata, True)` tells a reader nothing; a list as default would be shared by all calls."""
    for name, parameter in parameters(obj).items():
        assert not isinstance(parameter.default, list | dict | set), name
        if isinstance(parameter.default, bool) and not inspect.isclass(obj) and not overrides(obj):
            assert parameter.kind is parameter.KEYWORD_ONLY, name


@pytest.mark.parametrize("obj", documentable(*NAMESPACES))
def test_every_argument_is_described(obj: Callable[..., object]) -> None:
    if not parameters(obj):
        return
    text = sections(obj)["Attributes" if is_record(obj) else "Parameters"]
    entries = re.split(r"^(?=\S)", text.strip("\n"), flags=re.MULTILINE)[1:]
    for entry in entries:
        name, _, description = entry.partition("\n")
        assert len(description.split()) >= 2, name
        assert description.rstrip()[-1] in ".…", name


@pytest.mark.parametrize("obj", documentable(*NAMESPACES))
def test_errors_are_documented(obj: Callable[..., object]) -> None:
    """What may go wrong is said, at least what the function raises by its own hand."""
    if is_record(obj) or obj.__name__ in CANNOT_FAIL:
        return
    documented = documented_errors(obj)
    assert documented
    source = inspect.getsource(obj.__init__ if inspect.isclass(obj) else obj)
    raised = {
        node.exc.func.id
        for node in ast.walk(ast.parse(textwrap.dedent(source)))
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
    }
    assert raised <= {error.__name__ for error in documented}


DTYPE = r"float32|float64|int64|bool|object|categorical|dtype|DataFrame"
SHAPE = r"shape|×|n_obs|(one|a) (row|entry|value) (per|for)"


@pytest.mark.parametrize("obj", documentable(*NAMESPACES))
def test_shapes_and_types_of_what_is_returned(obj: Callable[..., object]) -> None:
    if inspect.isclass(obj):
        return
    returned = str(inspect.signature(obj).return_annotation)
    text = sections(obj).get("Returns", "")
    if "ndarray" in returned:
        assert re.search(DTYPE, text), text
        assert re.search(SHAPE, text, flags=re.IGNORECASE), text
    if "DataFrame" in returned:
        assert re.search(r"\brows?\b|×", text, flags=re.IGNORECASE), text


@pytest.mark.parametrize("function", public("tl", "pp"))
def test_types_of_what_is_written(function: Callable[..., object]) -> None:
    """Every column and array that is written comes with its type."""
    if is_record(function) or parameters(function).get("key_added") is None:
        return
    text = sections(function)["Returns"]
    assert "Written to ``adata``" in text
    bullets = re.findall(r"^- (``(?:obs|obsm|var)\[.*?)(?=^- |\Z)", text, flags=re.M | re.S)
    for bullet in bullets:
        assert re.search(DTYPE, bullet), bullet


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_namespace_says_what_it_holds(namespace: str) -> None:
    doc = importlib.import_module(f"sctools.{namespace}").__doc__
    assert doc
    assert doc.strip().splitlines()[0].endswith(".")
