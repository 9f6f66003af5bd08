"""`make test-next`: what it runs is there, and an empty run is none."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .test_readme import pins

NOT_THERE = ["lightning", "scvi-tools", "torch"]


def variable(root: Path, name: str) -> str:
    """A variable of the Makefile, with its lines joined."""
    text = (root / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    (value,) = re.findall(rf"^{name} :?= (.+)$", text, re.MULTILINE)
    return value


def test_what_the_lane_runs_is_there(root: Path) -> None:
    names = variable(root, "NEXT_TESTS").split()
    assert len(names) == len(set(names)) > 10
    assert [name for name in names if not (root / name).exists()] == []
    assert {"tests/cli", "tests/datasets", "tests/get", "tests/pl", "tests/pp"} <= set(names)
    assert int(variable(root, "NEXT_LEAST")) > 1000


def test_the_lane_has_newer_libraries_and_no_torch(root: Path) -> None:
    now, later = pins(root / "constraints.txt"), pins(root / "constraints-next.txt")
    assert [name for name in NOT_THERE if name in later] == []
    for name in ("anndata", "pandas", "scanpy"):
        assert version(later[name]) > version(now[name])


def version(text: str) -> tuple[int, ...]:
    """Major and minor number."""
    return tuple(map(int, text.split(".")[:2]))


@pytest.mark.parametrize(("least", "status"), [(1, 0), (2, 1)])
def test_too_few_tests_are_a_failure(root: Path, tmp_path: Path, least: int, status: int) -> None:
    (tmp_path / "conftest.py").write_text((root / "tests" / "conftest.py").read_text())
    (tmp_path / "test_two.py").write_text(
        "import pytest\n\ndef test_one():\n    pass\n\n"
        "def test_other():\n    pytest.skip('not here')\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--at-least", str(least), "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert f"1 tests have passed, at least {least} have to" in done.stdout
