"""The line about the machine that stands at the head of figures."""

from __future__ import annotations

import importlib
import platform
from importlib.metadata import version

import pytest


@pytest.fixture
def script(benchmarks):
    return importlib.import_module("_machine")


def test_cores_threads_and_versions(script, monkeypatch):
    import torch

    monkeypatch.setattr("os.cpu_count", lambda: 3)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    cores, versions = (
        f"3 cores ({platform.machine()})",
        f"python {platform.python_version()}, torch {version('torch')}",
    )
    assert script.machine() == f"{cores}, torch threads 5, {versions}"
    assert script.machine("one thread") == f"{cores}, one thread, {versions}"
    assert script.machine(threads="") == f"{cores}, {versions}"
    with_scvi = script.machine(packages=("torch", "scvi-tools"))
    assert with_scvi == f"{cores}, torch threads 5, {versions}, scvi-tools {version('scvi-tools')}"
