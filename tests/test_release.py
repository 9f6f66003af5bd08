"""What is in the distributions: built here, without a network."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from email.message import Message
from email.parser import Parser
from pathlib import Path, PurePosixPath

import pytest

MEGABYTE = 2**20


@pytest.fixture(scope="module")
def built(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the wheel and the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)],
        cwd=root,
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> dict[str, bytes]:
    (path,) = built.glob("*.whl")
    assert path.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def source(built: Path) -> list[PurePosixPath]:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = [PurePosixPath(member.name) for member in archive if member.isfile()]
    return [PurePosixPath(*name.parts[1:]) for name in names]


def in_metadata(wheel: dict[str, bytes], name: str) -> str:
    (found,) = [text for path, text in wheel.items() if path.endswith(f".dist-info/{name}")]
    return found.decode()


def metadata(wheel: dict[str, bytes]) -> Message:
    return Parser().parsestr(in_metadata(wheel, "METADATA"))


def modules(root: Path) -> set[str]:
    src = root / "src"
    return {path.relative_to(src).as_posix() for path in src.glob("sctools/**/*.py")}


def test_wheel_holds_the_package_and_nothing_else(root: Path, wheel: dict[str, bytes]) -> None:
    package = {name for name in wheel if ".dist-info/" not in name}
    assert package == {*modules(root), "sctools/py.typed"}


def test_wheel_holds_the_licence(root: Path, wheel: dict[str, bytes]) -> None:
    assert in_metadata(wheel, "licenses/LICENSE") == (root / "LICENSE").read_text(encoding="utf-8")
    assert metadata(wheel)["License-Expression"] == "BSD-3-Clause"


def test_command_is_an_entry_point(wheel: dict[str, bytes]) -> None:
    points = ConfigParser()
    points.read_string(in_metadata(wheel, "entry_points.txt"))
    module, _, function = points["console_scripts"]["sctools"].partition(":")
    assert f"{module.replace('.', '/')}/__init__.py" in wheel
    assert callable(getattr(__import__(module, fromlist=[function]), function))


def test_page_of_the_index_is_the_readme(root: Path, wheel: dict[str, bytes]) -> None:
    found = metadata(wheel)
    assert found["Name"] == "sctools-ml"
    assert found["Description-Content-Type"] == "text/markdown"
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert in_metadata(wheel, "METADATA").endswith(readme)


def test_source_holds_what_builds_and_tests_it(root: Path, source: list[PurePosixPath]) -> None:
    names = {str(name) for name in source}
    assert {f"src/{name}" for name in modules(root)} <= names
    wanted = {"pyproject.toml", "constraints.txt", "LICENSE", "README.md", "src/sctools/py.typed"}
    assert wanted <= names
    assert "tests/conftest.py" in names


def test_source_holds_no_data(built: Path, source: list[PurePosixPath]) -> None:
    ours = [name for name in source if name.parts[0] in ("src", "tests")]
    assert {name.suffix for name in ours} == {".py", ".typed"}
    assert not [name for name in source if "__pycache__" in name.parts]
    assert [path.name for path in built.iterdir() if path.stat().st_size > 2 * MEGABYTE] == []
