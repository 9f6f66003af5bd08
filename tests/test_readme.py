"""The README and the files around the package keep their word."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement

MEGABYTE = 2**20


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def makefile_targets(root: Path) -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), flags=re.MULTILINE))


def tracked_files(root: Path) -> list[Path]:
    try:
        done = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [root / name for name in done.stdout.split("\0") if (root / name).is_file()]


def test_quick_start_runs(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (code,) = blocks((root / "README.md").read_text(encoding="utf-8"), "python")
    # The figures are drawn, and not shown: a window would wait for someone to close it.
    check = (
        "\nfrom matplotlib import pyplot as plt\n"
        "assert len(plt.get_fignums()) == 2\n"
        "assert len(donors) == 30\n"
        "assert adata.obs['age_clock'].notna().all()\n"
    )
    quiet = (
        "import matplotlib, scanpy, sctools\n"
        "matplotlib.use('Agg')\n"
        "scanpy.settings.autoshow = False\n"
        "sctools.settings.progress_bar = False\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", quiet + code + check],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", ["README.md", "docs/installation.md", "docs/contributing.md"])
def test_make_targets_exist(root: Path, page: str) -> None:
    used = re.findall(r"^\$ make ([\w-]+)", (root / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert used
    assert set(used) <= makefile_targets(root)


def test_ci_targets_exist(root: Path) -> None:
    lines = re.findall(r"^ *make ([\w -]+)", (root / ".ci" / "run").read_text(), re.MULTILINE)
    used = " ".join(lines).split()
    assert {"lint", "test", "test-next", "docs"} <= set(used) <= makefile_targets(root)


def test_links_of_readme_lead_somewhere(root: Path) -> None:
    text = (root / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w./]+\.(?:md|txt|cff|toml))`", text)
    assert named
    assert [name for name in named if not (root / name).is_file()] == []


def test_methods_called_available_exist(root: Path) -> None:
    import sctools

    rows = re.findall(
        r"^\|.*\| `sctools\.tl\.(\w+)` \| (\w+) \|$",
        (root / "README.md").read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    assert len(rows) == 3
    assert {name for name, status in rows if status == "available"} <= set(sctools.tl.__all__)
    assert all(name not in sctools.tl.__all__ for name, status in rows if status == "planned")


def test_public_objects_are_in_the_api_page(root: Path) -> None:
    import sctools

    listed = re.findall(
        r"^   (\w+\.\w+)$", (root / "docs" / "api.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    public = {
        f"{namespace}.{name}"
        for namespace in ("datasets", "get", "model", "pl", "pp", "tl")
        for name in getattr(sctools, namespace).__all__
    }
    assert sorted(listed) == sorted(public)


def test_changelog_has_an_unreleased_section(root: Path) -> None:
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## Unreleased$", text, flags=re.MULTILINE)


def test_versions_agree(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (root / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(rf"^version: {re.escape(project['version'])}$", citation, re.MULTILINE)


def pins(file: Path) -> dict[str, str]:
    """Versions by name; a line that is no plain pin is a failure."""
    lines = file.read_text(encoding="utf-8").splitlines()
    found = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in found)
    versions = dict(pin.split("==") for pin in found)
    return {re.sub(r"[-_.]+", "-", name).lower(): versions[name] for name in versions}


def test_constraints_are_plain_pins(root: Path) -> None:
    names = pins(root / "constraints.txt")
    assert not [name for name in names if name.startswith(("nvidia", "triton"))]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    wanted = [Requirement(each) for each in asked]
    # The pins are those of Python 3.11; what asks for a newer one is not installed there.
    there = [r for r in wanted if r.marker is None or r.marker.evaluate({"python_version": "3.11"})]
    assert [r.name for r in there if r.name.lower() not in names] == []
    assert [r.name for r in wanted if r not in there] == ["annbatch", "scvi-tools"]


def test_no_large_file_is_tracked(root: Path) -> None:
    large = [f.name for f in tracked_files(root) if f.stat().st_size > MEGABYTE]
    assert large == []
