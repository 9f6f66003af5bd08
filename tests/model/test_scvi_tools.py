"""What we override of scvi-tools takes what scvi-tools hands over, also in its next releases."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any

import pytest

import sctools.model
import sctools.module

OUR_OWN = ("__init__", "load", "save")
"""Other arguments are meant: constructors, and files without pickles."""

VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def heirs() -> list[type]:
    """Our classes that inherit from scvi-tools."""
    found = set()
    for package in (sctools.model, sctools.module):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for _, cls in inspect.getmembers(importlib.import_module(info.name), inspect.isclass):
                if cls.__module__.startswith("sctools.") and of_scvi(cls):
                    found.add(cls)
    return sorted(found, key=lambda cls: cls.__name__)


def of_scvi(cls: type) -> list[type]:
    return [base for base in cls.__mro__ if base.__module__.startswith("scvi.")]


def overridden() -> list[Any]:
    """Methods of ours that take the place of one of scvi-tools, each with that one."""
    found = []
    for cls in heirs():
        ours = [base for base in cls.__mro__ if base.__module__.startswith("sctools.")]
        for name in sorted({name for base in ours for name in vars(base)} - {*OUR_OWN}):
            theirs = [plain(vars(base)[name]) for base in of_scvi(cls) if name in vars(base)]
            method = plain(inspect.getattr_static(cls, name))
            if theirs and inspect.isfunction(method) and inspect.isfunction(theirs[0]):
                found.append(pytest.param(method, theirs[0], id=f"{cls.__name__}.{name}"))
    return found


def plain(method: Any) -> Any:
    """The function of a class method."""
    return getattr(method, "__func__", method)


def test_classes_and_methods_are_found() -> None:
    assert {"AgeClock", "MultimodalSRSAVAE", "PriorTransformer", "SRSAVAE"} <= {
        cls.__name__ for cls in heirs()
    }
    assert {"SRSAVAE.train", "SRSAVAEModule.loss"} <= {param.id for param in overridden()}


@pytest.mark.parametrize(("ours", "theirs"), overridden())
def test_arguments_of_scvi_tools_are_taken(
    ours: Callable[..., Any], theirs: Callable[..., Any]
) -> None:
    taken = inspect.signature(ours).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in taken.values()):
        return
    given = inspect.signature(theirs).parameters.values()
    assert [p.name for p in given if p.kind not in VARIABLE and p.name not in taken] == []
