"""What the documentation shows and lists is what the package has."""

from __future__ import annotations

import importlib.util
import re
import struct
import tomllib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml

from sctools import pl

DOCS = Path(__file__).parent.parent / "docs"
FIGURES = DOCS / "_static" / "gallery"
METHODS = ("age_clock", "srsa_vae", "prior_transformer")
TWO_COLUMNS = 7.2
"""Inches across two columns of a journal."""


def script(name: str) -> ModuleType:
    """Import a script of the documentation."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cells() -> dict[str, str]:
    """Code of every figure of the gallery."""
    found = {}
    gallery = script("draw_gallery")
    for path in sorted((DOCS / "gallery").glob("*.py")):
        found.update(gallery.cells(path))
    found.pop("data")
    return found


# -- Gallery -------------------------------------------------------------------------------------


def test_every_plot_is_in_the_gallery() -> None:
    assert sorted(cells()) == sorted(pl.__all__)
    assert sorted(path.stem for path in FIGURES.glob("*")) == sorted(pl.__all__)


@pytest.mark.parametrize("name", pl.__all__)
def test_snippet_draws_its_figure_last(name: str) -> None:
    lines = cells()[name].strip().splitlines()
    assert lines[-1].startswith(f"sctools.pl.{name}(")
    assert len(lines) <= 6
    assert lines[0].startswith("# "), "a line on what is to be seen"


def test_page_shows_every_snippet_and_figure() -> None:
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r':start-after: "# %% (\w+)"', text)) == sorted(
        [*pl.__all__, "data", "data", "data"]
    )
    assert sorted(re.findall(r"^### \{func\}`~sctools\.pl\.(\w+)`", text, re.M)) == sorted(
        pl.__all__
    )
    # A figure stands under its own snippet.
    pairs = re.findall(r'"# %% (\w+)"\n:end-before: "# %%"\n```\n\n```\{image\} (\S+)', text)
    assert pairs == [(name, f"_static/gallery/{name}.png") for name, _ in pairs]
    assert len(pairs) == len(pl.__all__)


@pytest.mark.parametrize("name", pl.__all__)
def test_figure_is_small_and_fits_a_journal(name: str) -> None:
    content = (FIGURES / f"{name}.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(content) < 80_000
    (width,) = struct.unpack(">I", content[16:20])
    dpi = script("draw_gallery").STYLE["savefig.dpi"]
    assert width / dpi <= TWO_COLUMNS


def test_picture_stands_before_the_parameters() -> None:
    lines = ["Draw it.", "", "Parameters", "----------", "adata", "    Data."]
    script("gallery_images").add_image(None, "function", "sctools.pl.age_clock", None, None, lines)
    assert lines[2] == ".. image:: /_static/gallery/age_clock.png"
    assert lines[4:6] == ["", "Parameters"]


def test_other_functions_get_no_picture() -> None:
    lines = ["Run it.", "", "Parameters", "----------"]
    before = list(lines)
    script("gallery_images").add_image(None, "function", "sctools.tl.age_clock", None, None, lines)
    assert lines == before


def test_plot_without_a_picture_stops_the_build() -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no picture of sctools\.pl\.nothing.*# %% nothing"
    ):
        script("gallery_images").add_image(None, "function", "sctools.pl.nothing", None, None, [])


# -- Pages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_landing_page_has_a_figure_and_a_link_per_method(method: str) -> None:
    cards = (DOCS / "index.md").read_text(encoding="utf-8").split(":::{grid-item-card}")[1:]
    (card,) = [card for card in cards if f":link: user_guide/{method}\n" in card]
    (image,) = re.findall(r"\{image\} (\S+)", card)
    assert (DOCS / image).is_file()
    assert f"{{func}}`sctools.tl.{method}`" in card


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = set()
    for index in [DOCS / "index.md", *DOCS.glob("*/index.md")]:
        text = index.read_text(encoding="utf-8")
        for entries in re.findall(r"^```\{toctree\}\n(?::.*\n)*\n(.*?)^```", text, re.M | re.S):
            listed |= {(index.parent / name).resolve() for name in entries.split()}
    pages = {page.resolve().with_suffix("") for page in script("llms").pages()}
    assert pages - {(DOCS / "index").resolve()} == listed


def test_every_page_of_a_method_says_what_a_user_must_know() -> None:
    for method in METHODS:
        text = (DOCS / "user_guide" / f"{method}.md").read_text(encoding="utf-8")
        headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
        for wanted in ("What it does not do", "Mathematics", "Training", "Source"):
            assert any(heading.startswith(wanted) for heading in headings), (method, wanted)


def test_clock_method_of_the_developer_guide_runs() -> None:
    """The example of how to write a method is one."""
    pytest.importorskip("torch")
    from sctools.model._clock_methods import ClockCells
    from sctools.model._clock_methods._inputs import Matrix
    from sctools.model._clock_methods._tuned import Path as TuningPath
    from sctools.model._clock_methods._tuned import Regression, TunedMethod

    from ._clock_cells import cohort_cells

    text = (DOCS / "developer" / "clock_method.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    names = {"np": np, "Matrix": Matrix, "Path": TuningPath, "Regression": Regression}
    exec(code, names)
    cells: ClockCells = cohort_cells()
    clock = TunedMethod(names["Median"]()).fit(cells)
    ages = clock.predict(cells.without_ages())
    assert ages.shape == cells.donor.shape
    assert np.ptp(ages) < 1e-9


# -- llms.txt ------------------------------------------------------------------------------------


def test_overview_names_every_public_object_and_page() -> None:
    pytest.importorskip("torch")
    import sctools

    llms = script("llms")
    text = llms.text()
    namespaces = [name for name in sctools.__all__ if name != "settings"]
    assert sorted(llms.NAMESPACES) == sorted(namespaces)
    for namespace in namespaces:
        for name in getattr(sctools, namespace).__all__:
            whole = f"sctools.{namespace}.{name}"
            (summary,) = re.findall(
                rf"^- \[{whole}\]\(generated/{whole}\.html\): (.+)$", text, re.M
            )
            assert summary.endswith(".")
    for page in llms.pages():
        assert f"({page.relative_to(DOCS).with_suffix('.html').as_posix()})" in text
    assert len(llms.pages()) > 15


# -- Entry in the registry of scverse ------------------------------------------------------------

REQUIRED = {
    "name", "description", "project_home", "documentation_home", "install", "license", "tags",
    "version", "category", "contact",
}  # fmt: skip
OPTIONAL = {"tutorials_home", "publications", "logo", "test_command"}
"""Fields of the registry's schema, version 2.0."""


def test_entry_has_the_fields_of_the_registry() -> None:
    entry = yaml.safe_load((DOCS / "ecosystem" / "meta.yaml").read_text(encoding="utf-8"))
    assert set(entry) >= REQUIRED
    assert set(entry) <= REQUIRED | OPTIONAL
    assert entry["category"] == "ecosystem"
    for name in ("tags", "contact"):
        assert len(entry[name]) == len(set(entry[name])) >= 1
        assert all(isinstance(value, str) for value in entry[name])
    for name in ("project_home", "documentation_home", "tutorials_home"):
        assert re.fullmatch(r"https://\S+", entry[name])


def test_entry_agrees_with_the_package() -> None:
    root = DOCS.parent
    entry = yaml.safe_load((DOCS / "ecosystem" / "meta.yaml").read_text(encoding="utf-8"))
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert entry["version"] == project["version"]
    assert entry["license"] == project["license"]
    assert entry["install"] == {"pypi": project["name"]}


def test_what_is_a_placeholder_says_so() -> None:
    text = (DOCS / "ecosystem" / "meta.yaml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    made_up = [line for line in lines if "example.org" in line]
    assert all("placeholder" in line for line in made_up)
    assert "Not ready to be sent" in text
