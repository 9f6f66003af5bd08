"""Every method of the asv suites runs, on sizes made tiny."""

from __future__ import annotations

import importlib
import inspect
import json

import pytest

TINY = {
    "Published": {"params": (40,), "n_cells": 5},
    "Ensemble": {"n_donors": 8, "n_genes": 60, "cells_per_donor": 6, "max_epochs": 1},
    "Likelihood": {"params": (30,), "n_cells": 4},
    "Model": {"n_cells": 60, "n_genes": 100},
    "Step": {"params": (30,), "n_genes": 20, "n_cells": 3},
}
MODULES = ("age_clock", "prior_transformer", "srsa_vae")
KINDS = ("time_", "peakmem_", "mem_", "track_")


@pytest.fixture
def suites(benchmarks):
    """The classes by name, of every file that asv would find."""
    config = json.loads((benchmarks / "asv.conf.json").read_text())
    files = {p.stem for p in (benchmarks / config["benchmark_dir"]).glob("[!_]*.py")}
    assert files == set(MODULES)
    modules = [importlib.import_module(f"asv_suites.{name}") for name in MODULES]
    return {
        name: value
        for module in modules
        for name, value in inspect.getmembers(module, inspect.isclass)
        if value.__module__ == module.__name__
    }


def test_all_suites_are_tried_here(suites):
    assert set(suites) == set(TINY)


@pytest.mark.parametrize("name", TINY)
def test_every_method_runs(suites, name, monkeypatch):
    cls = suites[name]
    for attribute, value in TINY[name].items():
        assert hasattr(cls, attribute), attribute
        monkeypatch.setattr(cls, attribute, value)
    suite, given = cls(), getattr(cls, "params", ())
    suite.setup(*given)
    methods = [m for m in dir(cls) if m.startswith(KINDS)]
    assert methods
    for method in methods:
        assert getattr(suite, method)(*given) is None
