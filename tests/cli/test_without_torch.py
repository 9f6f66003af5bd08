"""Help and the table of clocks need no model library: seen from an interpreter without any."""

from __future__ import annotations

import subprocess
import sys

import pytest

BLOCKED = """
import runpy, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
sys.argv = ["sctools", *{arguments}]
runpy.run_module("sctools", run_name="__main__")
"""
MODELS = {"lightning", "pytorch_lightning", "scvi", "torch"}
HEAVY = {*MODELS, "anndata", "matplotlib", "mudata", "numpy", "pandas", "scanpy", "scipy"}


def without(blocked: set[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    code = BLOCKED.format(blocked=blocked, arguments=list(arguments))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["age-clock", "--help"],
        ["clocks", "--help"],
        ["prior-transformer", "--help"],
        ["srsa-vae", "--help"],
    ],
)
def test_help_needs_nothing(arguments: list[str]) -> None:
    done = without(HEAVY, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(("Usage: sctools", "sctools "))


def test_clocks_need_no_torch() -> None:
    done = without(MODELS, "clocks")
    assert done.returncode == 0, done.stderr
    assert "scimmuaging" in done.stdout


def test_a_missing_library_is_an_error_in_one_line() -> None:
    done = without(HEAVY, "clocks")
    assert done.returncode == 1
    assert done.stderr == "Error: No module named 'pandas'\n"
