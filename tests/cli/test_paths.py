"""Where commands write: what they refuse to replace, and that they say so before any work."""

from __future__ import annotations

import os
from pathlib import Path

import anndata as ad
import pytest

from sctools._cli._paths import MODEL_FILES

from ._cli import FakeTool, invoke, small_data


def refused(tool: FakeTool, *arguments: object) -> str:
    """Run it; returns what it said, having refused before it read or computed anything."""
    before = sorted(Path.cwd().rglob("*"))
    done = invoke("age-clock", *arguments)
    assert done.exit_code == 2, done.output
    assert tool.in_blocks is None
    assert "Reading" not in done.stderr
    assert done.stdout == ""
    assert sorted(Path.cwd().rglob("*")) == before
    return done.stderr.replace("\n", " ")


def test_input_is_missing(folder: Path, tool: FakeTool) -> None:
    assert "'no.h5ad' does not exist" in refused(tool, "no.h5ad", "-o", "out.h5ad")


@pytest.mark.parametrize("name", ["in.csv", "in", "in.h5", "in.h5ad.gz"])
def test_input_of_an_unknown_kind(folder: Path, tool: FakeTool, name: str) -> None:
    Path(name).touch()
    assert "must end in .h5ad or .zarr" in refused(tool, name, "-o", "out.h5ad")


def test_input_of_another_kind_than_its_name(folder: Path, tool: FakeTool) -> None:
    Path("a.zarr").touch()
    Path("b.h5ad").mkdir()
    assert "is a file" in refused(tool, "a.zarr", "-o", "out.h5ad")
    assert "is a directory" in refused(tool, "b.h5ad", "-o", "out.h5ad")


def test_output_of_an_unknown_kind(cells: Path, tool: FakeTool) -> None:
    assert "must end in .h5ad or .zarr" in refused(tool, cells, "-o", "out.csv")
    assert "must end in .csv" in refused(tool, cells, "-o", "a.h5ad", "--donors", "d.tsv")


def test_output_is_required(cells: Path, tool: FakeTool) -> None:
    assert "Missing option '--output'" in refused(tool, cells)


@pytest.mark.parametrize(
    "option", [["-o", "no/x.h5ad"], ["-o", "x.h5ad", "--donors", "no/d.csv"],
               ["-o", "x.h5ad", "--save-model", "no/m"]]
)  # fmt: skip
def test_output_directory_is_missing(cells: Path, tool: FakeTool, option: list[str]) -> None:
    assert "There is no directory" in refused(tool, cells, *option)


def test_output_directory_is_locked(
    cells: Path, tool: FakeTool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not by chmod: the superuser may write anywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "locked")
    Path("locked").mkdir()
    assert "permissions forbid" in refused(tool, cells, "-o", "locked/out.h5ad")


@pytest.mark.parametrize("name", ["out.h5ad", "out.zarr"])
def test_nothing_is_replaced_without_force(cells: Path, tool: FakeTool, name: str) -> None:
    assert invoke("age-clock", cells, "-o", name, "--key-added", "first").exit_code == 0
    tool.in_blocks = None
    assert "exists" in refused(tool, cells, "-o", name)
    assert invoke("age-clock", cells, "-o", name, "--force").exit_code == 0
    read = ad.read_h5ad if name.endswith("h5ad") else ad.read_zarr
    assert set(read(name).obs.columns) == {"batch", "age_clock"}


def test_tables_and_models_are_not_replaced_either(cells: Path, tool: FakeTool) -> None:
    also = ["--donors", "d.csv", "--save-model", "m"]
    assert invoke("age-clock", cells, "-o", "a.h5ad", *also).exit_code == 0
    tool.in_blocks = None
    assert "'d.csv' exists" in refused(tool, cells, "-o", "b.h5ad", *also[:2]).replace(
        f"{Path.cwd()}/", ""
    )
    assert "exists" in refused(tool, cells, "-o", "b.h5ad", *also[2:])
    assert invoke("age-clock", cells, "-o", "b.h5ad", *also, "--force").exit_code == 0


def test_an_empty_directory_takes_a_model_or_a_store(cells: Path, tool: FakeTool) -> None:
    Path("m").mkdir()
    Path("a.zarr").mkdir()
    assert invoke("age-clock", cells, "-o", "a.zarr", "--save-model", "m").exit_code == 0


def test_input_is_replaced_by_force_only(cells: Path, tool: FakeTool) -> None:
    assert "is IN itself" in refused(tool, cells, "-o", cells)
    os.symlink(cells, "link.h5ad")
    assert "is IN itself" in refused(tool, cells, "-o", "link.h5ad")
    assert "is IN itself" in refused(tool, "link.h5ad", "-o", cells)
    os.link(cells, "hard.h5ad")
    assert "is IN itself" in refused(tool, cells, "-o", "hard.h5ad")

    assert invoke("age-clock", cells, "-o", "link.h5ad", "--force").exit_code == 0
    assert Path("link.h5ad").is_symlink()
    assert "age_clock" in ad.read_h5ad(cells).obs


def test_a_store_is_replaced_by_itself_with_force(folder: Path, tool: FakeTool) -> None:
    small_data().write_zarr("in.zarr")
    assert "is IN itself" in refused(tool, "in.zarr", "-o", "in.zarr/")
    assert invoke("age-clock", "in.zarr", "-o", "in.zarr", "--force").exit_code == 0
    assert "age_clock" in ad.read_zarr("in.zarr").obs
    assert [path.name for path in folder.iterdir()] == ["in.zarr"]


def test_a_directory_in_the_place_of_a_file(cells: Path, tool: FakeTool) -> None:
    Path("a.h5ad").mkdir()
    Path("b.zarr").touch()
    Path("m").touch()
    assert "is a directory" in refused(tool, cells, "-o", "a.h5ad", "--force")
    assert "is a file" in refused(tool, cells, "-o", "b.zarr", "--force")
    assert "is a file" in refused(tool, cells, "-o", "c.h5ad", "--save-model", "m", "--force")


def test_other_directories_are_never_replaced(cells: Path, tool: FakeTool) -> None:
    for name in ("work.zarr", "work"):
        Path(name).mkdir()
        Path(name, "thesis.txt").write_text("all of it")
    said = refused(tool, cells, "-o", "work.zarr", "--force")
    assert "without the files of a zarr store" in said
    said = refused(tool, cells, "-o", "a.h5ad", "--save-model", "work", "--force")
    assert "no model's (thesis.txt)" in said


def test_paths_have_to_differ(cells: Path, tool: FakeTool) -> None:
    small_data().write_zarr("in.zarr")
    Path("clock").mkdir()
    for arguments in (
        ["in.zarr", "-o", "in.zarr/out.h5ad"],
        [cells, "-o", "a.zarr", "--save-model", "a.zarr/m"],
        [cells, "-o", "a.zarr", "--donors", "a.zarr/d.csv"],
        [cells, "-o", "a.zarr", "--save-model", "a.zarr", "--force"],
        [cells, "-o", "a.h5ad", "--model", "clock", "--save-model", "clock"],
        [cells, "-o", "clock/a.h5ad", "--model", "clock"],
    ):
        said = refused(tool, *arguments)
        assert "lie one inside the other" in said or "is also the path of" in said, arguments


def test_model_is_neither_a_directory_nor_a_name(cells: Path, tool: FakeTool) -> None:
    said = refused(tool, cells, "-o", "a.h5ad", "--model", "clock_of_mine")
    assert "'clock_of_mine' is neither a directory nor a ready-made clock" in said
    assert "scimmuaging" in said


def test_files_of_models_are_known() -> None:
    """A model with another file would be taken for a directory of something else."""
    pytest.importorskip("torch")
    from sctools.model import _saved_model as saved

    formats = [value for value in vars(saved).values() if isinstance(value, saved.SavedFormat)]
    assert len(formats) == 4
    assert {file for found in formats for file in found.files} | {"model.pt"} == MODEL_FILES


@pytest.mark.parametrize("name", ["out.h5ad", "out.zarr"])
def test_a_failing_write_leaves_everything(
    cells: Path, tool: FakeTool, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    arguments = ["age-clock", cells, "-o", name, "--donors", "d.csv", "--save-model", "m"]
    assert invoke(*arguments).exit_code == 0
    Path("d.csv").write_text("old")
    Path("m", "clock.json").write_text("old")
    names, old = sorted(Path.cwd().iterdir()), content(Path(name))

    def unwritable(adata: ad.AnnData, **options: object) -> object:
        found = tool(adata, **options)
        adata.uns["bad"] = object()  # the last part that is written
        return found

    monkeypatch.setattr("sctools.tl.age_clock", unwritable)
    done = invoke(*arguments, "--force")
    assert done.exit_code == 1
    assert "Error: " in done.stderr
    assert sorted(Path.cwd().iterdir()) == names
    assert content(Path(name)) == old
    assert Path("d.csv").read_text() == Path("m", "clock.json").read_text() == "old"


def content(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {str(file): file.read_bytes() for file in files}


def test_a_full_disk_is_told(cells: Path, tool: FakeTool, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("anndata.io.write_elem", full)
    done = invoke("age-clock", cells, "-o", "out.h5ad")
    assert done.exit_code == 1
    assert "No space left on device" in done.stderr
    assert [path.name for path in Path.cwd().iterdir()] == ["in.h5ad"]


def test_output_is_a_link(cells: Path, tool: FakeTool) -> None:
    """A draft lies beside what the link leads to: it could not be renamed across disks."""
    Path("far").mkdir()
    os.symlink("far/out.h5ad", "out.h5ad")
    assert invoke("age-clock", cells, "-o", "out.h5ad").exit_code == 0
    assert Path("far/out.h5ad").is_file()
    assert Path("out.h5ad").is_symlink()
