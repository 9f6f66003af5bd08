"""The examples of the docstrings run and give what they say."""

from __future__ import annotations

import doctest
import importlib
import inspect
import os
from pathlib import Path

import pytest

NAMESPACES = ["datasets", "get", "model", "pl", "pp", "tl"]


def examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(recurse=True)
    found = finder.find(type(importlib.import_module("sctools").settings), "settings", globs={})
    for namespace in NAMESPACES:
        module = importlib.import_module(f"sctools.{namespace}")
        for name in module.__all__:
            obj = getattr(module, name)
            # A decorated class or function is taken from where it was defined.
            found += finder.find(
                obj, f"{namespace}.{name}", module=inspect.getmodule(obj), globs={}
            )
    return [test for test in found if test.examples]


@pytest.mark.parametrize("test", examples(), ids=lambda test: test.name)
def test_example(test: doctest.DocTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # some of them write files
    runner = doctest.DocTestRunner(
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, verbose=False
    )
    output: list[str] = []
    runner.run(test, out=output.append)
    assert runner.failures == 0, os.linesep.join(output)
