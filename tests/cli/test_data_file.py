"""What is read comes out again, with the result in it, whatever the kinds of files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata import AnnData
from scipy import sparse

from .._compare import assert_same, snapshot
from ._cli import FakeTool, invoke, small_data


def write(adata: AnnData, path: Path | str) -> Path:
    (adata.write_zarr if Path(path).suffix == ".zarr" else adata.write_h5ad)(path)
    return Path(path)


def read(path: Path | str) -> AnnData:
    return (ad.read_zarr if Path(path).suffix == ".zarr" else ad.read_h5ad)(path)


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize(
    ("kind", "source", "target"),
    [
        (np.asarray, "in.h5ad", "out.h5ad"),
        (sparse.csc_matrix, "in.h5ad", "out.h5ad"),
        (sparse.csr_matrix, "in.h5ad", "out.h5ad"),
        (sparse.csr_matrix, "in.h5ad", "out.zarr"),
        (sparse.csr_matrix, "in.zarr", "out.h5ad"),
        (np.asarray, "in.zarr", "out.zarr"),
        (sparse.csc_matrix, "in.zarr", "out.zarr"),
        (sparse.csr_matrix, "in.zarr", "out.zarr"),
    ],
)
def test_everything_comes_out_again(
    folder: Path, tool: FakeTool, kind: Callable, source: str, target: str, applied: bool
) -> None:
    adata = small_data()
    adata.X = kind(adata.X)
    write(adata, source)
    before = read(source)
    Path("clock").mkdir()
    model = ["--model", "clock"] if applied else []
    done = invoke("age-clock", source, "-o", target, *model)
    assert done.exit_code == 0, done.output
    by_cells = kind is not sparse.csc_matrix and source[2:] == target[3:]
    assert tool.in_blocks is (applied and by_cells)

    # As anndata writes it and reads it again.
    FakeTool()(adata, key_added="age_clock", return_model=False)
    expected, found = read(write(adata, f"expected{Path(target).suffix}")), read(target)
    assert_same(snapshot(found), snapshot(expected))
    assert_same(found.raw.X, expected.raw.X)
    assert_same(snapshot(read(source)), snapshot(before))


def test_storage_of_the_matrix_is_kept(cells: Path, tool: FakeTool) -> None:
    with h5py.File(cells, "r+") as file:
        was = file["X"].chunks, file["layers/counts"].compression
    assert invoke("age-clock", cells, "-o", "out.h5ad").exit_code == 0
    with h5py.File("out.h5ad") as file:
        assert (file["X"].chunks, file["layers/counts"].compression) == was
        assert file["X"].compression == "gzip"
        assert dict(file.attrs) == {"encoding-type": "anndata", "encoding-version": "0.1.0"}


@pytest.mark.parametrize("version", [2, 3])
def test_both_versions_of_zarr(folder: Path, tool: FakeTool, version: int) -> None:
    with ad.settings.override(zarr_write_format=version):
        small_data().write_zarr("in.zarr")
    assert invoke("age-clock", "in.zarr", "-o", "out.zarr").exit_code == 0
    group = zarr.open_group("out.zarr", mode="r")
    assert group.metadata.zarr_format == version
    # Some programs see only what the metadata of the whole store lists.
    listed = group.metadata.consolidated_metadata.flattened_metadata
    assert {"X", "obs/age_clock", "uns/age_clock/donors"} <= set(listed)


def test_layers_stay_in_the_file_too(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = []

    def look(adata: AnnData, **options: Any) -> None:
        kinds.append(type(adata.layers["counts"]))
        np.testing.assert_array_equal(adata.layers["counts"][2:4], small_data().X[2:4] + 1)

    monkeypatch.setattr("sctools.tl.age_clock", look)
    Path("clock").mkdir()
    assert invoke("age-clock", cells, "-o", "out.h5ad", "--model", "clock").exit_code == 0
    assert kinds == [h5py.Dataset]


def test_old_files_are_written_anew(cells: Path, tool: FakeTool) -> None:
    with h5py.File(cells, "r+") as file:
        file.attrs.clear()  # as anndata before 0.8
    assert invoke("age-clock", cells, "-o", "out.h5ad").exit_code == 0
    with h5py.File("out.h5ad") as file:
        assert file.attrs["encoding-type"] == "anndata"
    assert "age_clock" in ad.read_h5ad("out.h5ad").obs


@pytest.mark.parametrize("target", ["out.h5ad", "out.zarr"])
@pytest.mark.parametrize("source", ["in.h5ad", "in.zarr"])
def test_strings_of_pandas_three(folder: Path, tool: FakeTool, source: str, target: str) -> None:
    """Files of newer anndata hold them, and older ones refuse to write them unless told to."""
    adata = small_data()
    adata.obs["note"] = pd.array(list("uvwxyz"), dtype="string")
    adata.obs.index = adata.obs.index.astype("string")
    with ad.settings.override(allow_write_nullable_strings=True):
        write(adata, source)
    done = invoke("age-clock", source, "-o", target)
    assert done.exit_code == 0, done.output
    found = read(target)
    assert found.obs["note"].tolist() == list("uvwxyz")
    assert found.obs_names.tolist() == adata.obs_names.tolist()


def test_store_that_changes_meanwhile(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_data().write_zarr("in.zarr")

    def change(adata: AnnData, **options: Any) -> None:
        FakeTool()(adata, **options)
        zarr.open_group("in.zarr", mode="r+")["X"][0, 0] = 100

    monkeypatch.setattr("sctools.tl.age_clock", change)
    done = invoke("age-clock", "in.zarr", "-o", "out.zarr")
    assert done.exit_code == 1
    assert "was changed while it was worked on" in done.stderr
    assert [path.name for path in folder.iterdir()] == ["in.zarr"]


def test_input_that_changes_meanwhile(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its matrix would no longer fit the result."""

    def change(adata: AnnData, **options: Any) -> None:
        FakeTool()(adata, **options)
        small_data(8).write_h5ad("other.h5ad")
        os.replace("other.h5ad", cells)

    monkeypatch.setattr("sctools.tl.age_clock", change)
    done = invoke("age-clock", cells, "-o", "out.h5ad")
    assert done.exit_code == 1
    assert "was changed while it was worked on" in done.stderr
    assert [path.name for path in Path.cwd().iterdir()] == ["in.h5ad"]


def test_applied_to_itself(cells: Path, tool: FakeTool) -> None:
    """The file that the matrix is read from is replaced."""
    Path("clock").mkdir()
    before = ad.read_h5ad(cells).X
    done = invoke("age-clock", cells, "-o", cells, "--force", "--model", "clock")
    assert done.exit_code == 0, done.output
    assert tool.in_blocks
    found = ad.read_h5ad(cells)
    assert "age_clock" in found.obs
    np.testing.assert_array_equal(found.X, before)


def test_no_data_file(folder: Path, tool: FakeTool) -> None:
    Path("text.h5ad").write_text("cells")
    Path("empty.zarr").mkdir()
    for name in ("text.h5ad", "empty.zarr"):
        done = invoke("age-clock", name, "-o", "out.h5ad")
        assert done.exit_code == 1
        assert f"'{name}' cannot be read as .{name.split('.')[1]}: " in done.stderr
    assert tool.in_blocks is None


@pytest.mark.parametrize("name", ["cite.h5ad", "cite.zarr"])
def test_modalities_under_another_suffix(folder: Path, tool: FakeTool, name: str) -> None:
    pytest.importorskip("mudata")
    from .._vaes import quietly_joined

    other = small_data()[:, :2].copy()
    other.var_names = ["p1", "p2"]
    data = quietly_joined({"rna": small_data(), "prot": other})
    (data.write_zarr if name.endswith("zarr") else data.write_h5mu)(name)
    done = invoke("age-clock", name, "-o", "out.h5ad")
    assert done.exit_code == 1
    assert "several modalities, which `sctools srsa-vae` reads from .h5mu" in done.stderr


@pytest.mark.parametrize(("source", "target"), [("a.h5mu", "b.h5ad"), ("a.h5ad", "b.h5mu")])
def test_modalities_stay_modalities(folder: Path, source: str, target: str) -> None:
    Path(source).touch()
    done = invoke("srsa-vae", source, "-o", target)
    assert done.exit_code == 2
    assert "Several modalities are read and written as .h5mu" in done.stderr
