from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from ._cli import FakeTool, small_data

if find_spec("torch") is None:  # these train models
    collect_ignore = [
        "test_age_clock.py",
        "test_prior_transformer.py",
        "test_several_devices.py",
        "test_srsa_vae.py",
    ]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the commands are run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cells(folder: Path) -> Path:
    """A small file of data."""
    small_data().write_h5ad(folder / "in.h5ad", compression="gzip")
    return folder / "in.h5ad"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> FakeTool:
    """``tl.age_clock`` that trains nothing."""
    fake = FakeTool()
    monkeypatch.setattr("sctools.tl.age_clock", fake)
    return fake
