"""A disk without room for what a command writes: an error in words, and nothing half-written."""

from __future__ import annotations

from pathlib import Path

import pytest

from .._small_disk import small_disk
from ._cli import FakeTool, invoke, small_data

ROOM = 4000
"""Bytes, in which the small files of an AnnData have room, and its matrix has not."""


@pytest.fixture
def many(folder: Path) -> Path:
    small_data(600, 40).write_h5ad(folder / "in.h5ad")
    return folder / "in.h5ad"


# HDF5 cannot raise where it closes a file that it could not write; Python tells so on stderr.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["out.h5ad", "out.zarr"])
@pytest.mark.parametrize("old", [False, True])
def test_output(many: Path, tool: FakeTool, name: str, old: bool) -> None:
    if old:
        assert invoke("age-clock", many, "-o", name).exit_code == 0
    before = contents(many.parent)
    with small_disk(ROOM):
        done = invoke("age-clock", many, "-o", name, "--donors", "d.csv", "--save-model", "m",
                      *(["--force"] if old else []))  # fmt: skip
    assert done.exit_code == 1
    assert "File too large" in done.stderr
    assert "not foreseen" not in done.stderr
    assert contents(many.parent) == before


def test_what_zarrs_says(many: Path, tool: FakeTool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package writes for zarr where it is installed, and raises no ``OSError``."""

    def full(*args: object, **kwargs: object) -> None:
        raise RuntimeError("No space left on device (os error 28)\nError raised while writing 'X'")

    monkeypatch.setattr("anndata.AnnData.write_zarr", full)
    before = contents(many.parent)
    done = invoke("age-clock", many, "-o", "out.zarr")
    assert done.exit_code == 1
    assert "'out.zarr' could not be written: No space left on device.\n" in done.stderr
    assert contents(many.parent) == before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_input_that_is_to_be_replaced(many: Path, tool: FakeTool) -> None:
    before = contents(many.parent)
    with small_disk(ROOM):
        done = invoke("age-clock", many, "-o", many, "--force")
    assert done.exit_code == 1
    assert "'in.h5ad' could not be written: File too large." in done.stderr
    assert contents(many.parent) == before


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
