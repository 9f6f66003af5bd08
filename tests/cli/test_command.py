"""Exit codes, and what is told on which stream."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import tomllib
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from anndata import AnnData

import sctools
from sctools import settings

from ._cli import FakeTool, invoke


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("sctools.tl.age_clock", fail)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("`n_folds` is odd"), "Error: `--n-folds` is odd\n"),
        (KeyError("`layer='x'` is gone"), "Error: `--layer='x'` is gone\n"),
        (ImportError("No module named 'torch'"), "Error: No module named 'torch'\n"),
        (RuntimeError("boom"), "Error: RuntimeError: boom (This was not foreseen; --debug shows "),
    ],
)
def test_errors_of_the_tool(
    cells: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    failing(monkeypatch, error)
    done = invoke("age-clock", cells, "-o", "out.h5ad")
    assert done.exit_code == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert [path.name for path in Path.cwd().iterdir()] == ["in.h5ad"]


def test_debug_shows_the_traceback(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ValueError("odd"))
    done = invoke("age-clock", cells, "-o", "out.h5ad", "--debug")
    assert done.exit_code == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.endswith("Error: odd\n")


@pytest.mark.parametrize("arguments", [["fly"], ["age-clock"], ["clocks", "--fly"]])
def test_wrong_usage(arguments: list[str]) -> None:
    done = invoke(*arguments)
    assert done.exit_code == 2
    assert "Usage: sctools" in done.stderr


def test_ctrl_c(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = signal.getsignal(signal.SIGINT)

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sctools.tl.age_clock", stop)
    done = invoke("age-clock", cells, "-o", "out.h5ad")
    assert done.exit_code == 130
    assert done.stderr.endswith("Stopped.\n")
    assert [path.name for path in Path.cwd().iterdir()] == ["in.h5ad"]
    assert signal.getsignal(signal.SIGINT) is handler


def test_ctrl_c_while_writing(cells: Path, tool: FakeTool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert invoke("age-clock", cells, "-o", "out.h5ad").exit_code == 0
    old = Path("out.h5ad").read_bytes()

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("anndata.io.write_elem", stop)
    assert invoke("age-clock", cells, "-o", "out.h5ad", "--force").exit_code == 130
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["in.h5ad", "out.h5ad"]
    assert Path("out.h5ad").read_bytes() == old


def test_a_kill_cleans_up(cells: Path, tool: FakeTool, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = signal.getsignal(signal.SIGTERM)

    def kill(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("anndata.io.write_elem", kill)
    assert invoke("age-clock", cells, "-o", "out.h5ad").exit_code == 143
    assert [path.name for path in Path.cwd().iterdir()] == ["in.h5ad"]
    assert signal.getsignal(signal.SIGTERM) is handler


def test_progress_is_told_on_stderr(cells: Path, tool: FakeTool) -> None:
    done = invoke("age-clock", cells, "-o", "out.h5ad", "--donors", "d.csv", "--save-model", "m")
    assert done.exit_code == 0
    assert done.stdout == ""
    *before, summary = done.stderr.splitlines()
    assert before == [
        f"Reading {cells}",
        "Running age_clock on 6 cells × 4 genes",
        "Writing out.h5ad",
    ]
    assert re.fullmatch(
        r"Wrote out\.h5ad \(6 cells × 4 genes, result 'age_clock'\), m, d\.csv after \d+ s", summary
    )


def test_quiet_leaves_warnings(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}

    def warn(adata: AnnData, **options: Any) -> None:
        found["level"] = logging.getLogger("sctools").getEffectiveLevel()
        found["bar"] = settings.progress_bar
        warnings.warn("few donors", UserWarning, stacklevel=1)
        warnings.warn("pandas will change", FutureWarning, stacklevel=1)
        FakeTool()(adata, **options)

    monkeypatch.setattr("sctools.tl.age_clock", warn)
    before = settings.verbosity
    done = invoke("age-clock", cells, "-o", "out.h5ad", "--quiet")
    assert done.exit_code == 0
    assert done.stderr == "Warning: few donors\n"
    assert found == {"level": logging.WARNING, "bar": False}
    assert settings.verbosity == before
    done = invoke("age-clock", cells, "-o", "b.h5ad", "-q", "--debug")
    assert "Warning: pandas will change\n" in done.stderr


def test_a_table_that_cannot_be_made_loses_nothing_else(
    cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training may have taken hours."""

    def without_donors(adata: AnnData, **options: Any) -> Any:
        model = FakeTool()(adata, **options)
        del adata.uns["age_clock"]["donors"]
        return model

    monkeypatch.setattr("sctools.tl.age_clock", without_donors)
    done = invoke("age-clock", cells, "-o", "out.h5ad", "--donors", "d.csv", "--save-model", "m")
    assert done.exit_code == 1
    assert "Error: out.h5ad was written, but not d.csv (--donors): The result" in done.stderr
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["in.h5ad", "m", "out.h5ad"]


def test_version() -> None:
    done = invoke("--version")
    assert (done.exit_code, done.stdout) == (0, f"sctools {sctools.__version__}\n")


def test_the_script_is_the_command(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, name = project["scripts"]["sctools"].partition(":")
    assert getattr(import_module(module), name) is sctools._cli.main


def test_python_m_sctools() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sctools", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"sctools {sctools.__version__}\n"
    done = subprocess.run(
        [sys.executable, "-m", "sctools", "fly"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Usage: sctools " in done.stderr


def test_one_of_several_processes_writes(
    cells: Path, tool: FakeTool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that Lightning starts for further devices run the same command."""
    monkeypatch.setattr("sctools._cli._run.is_first_rank", lambda: False)
    done = invoke("age-clock", cells, "-o", "out.h5ad", "--save-model", "m", "--donors", "d.csv")
    assert done.exit_code == 0
    assert tool.options
    assert [path.name for path in Path.cwd().iterdir()] == ["in.h5ad"]
