"""Forest plot of age acceleration, tested by its artists."""

from __future__ import annotations

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from sctools import tl
from sctools.pl import age_acceleration

from .._compare import assert_unchanged, snapshot
from .._fake_acceleration import fake_acceleration
from ._readable import cut_off, overlapping

LONG = [
    "effector memory CD4-positive, alpha-beta T cell, terminally differentiated",
    "plasmacytoid dendritic cell",
    "hematopoietic stem and progenitor cell of the adult bone marrow",
    *[f"type {i}" for i in range(12)],
]


def fake_result(groups=("control", "case"), key="age_acceleration", **kwargs):
    sizes = [8 + i for i in range(len(groups))]
    adata = fake_acceleration(sizes, groups=groups, **kwargs)
    tl.age_acceleration(adata, "group", reference="control", key_added=key)
    return adata


@pytest.fixture(scope="module")
def adata():
    return fake_result(effect={"T cell": 12.0}, donor_sd=3.0)


def rows_of(ax):
    """Value, height and face of every point, and the ends of every interval."""
    points = [c for c in ax.collections if isinstance(c, PathCollection)]
    drawn = [
        (*xy, to_hex(face))
        for c in points
        for xy, face in zip(
            c.get_offsets(), np.resize(c.get_facecolor(), (len(c.get_offsets()), 4)), strict=True
        )
    ]
    lines = [c for c in ax.collections if isinstance(c, LineCollection)]
    intervals = [segment for c in lines for segment in c.get_segments()]
    return sorted(drawn, key=lambda row: row[1]), sorted(intervals, key=lambda s: s[0][1])


def texts(ax):
    return [t.get_text() for t in ax.texts]


def test_effects_and_intervals_are_those_of_the_result(adata):
    ax = age_acceleration(adata, show=False)
    results = adata.uns["age_acceleration"]["results"]
    points, intervals = rows_of(ax)
    np.testing.assert_allclose([x for x, _, _ in points], results["effect"])
    np.testing.assert_allclose(
        [segment[:, 0] for segment in intervals], results[["lower", "upper"]]
    )
    heights = dict(zip((t.get_text() for t in ax.get_yticklabels()), ax.get_yticks(), strict=True))
    assert list(heights) == ["B cell", "Monocyte", "T cell", "all cells"]
    np.testing.assert_allclose(list(heights.values()), [y for _, y, _ in points])
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first on top
    assert ax.get_xlabel() == "Age acceleration (years, 95 % interval)"
    assert ax.get_title() == "case against control"
    zero = [line for line in ax.lines if line.get_linestyle() == "--"]
    np.testing.assert_array_equal(zero[0].get_xdata(), 0)


def test_small_q_is_marked(adata):
    results = adata.uns["age_acceleration"]["results"]
    for q_max in (0.05, 0.9999, 1e-12):
        ax = age_acceleration(adata, q_max=q_max, show=False)
        filled = [face != "#ffffff" for _, _, face in rows_of(ax)[0]]
        assert filled == (results["q"] <= q_max).tolist()
        bold = [t for t in ax.texts if t.get_fontweight() == "bold"]
        assert len(bold) == sum(filled)
    assert (results["q"] <= 0.05).tolist()[2]
    assert not (results["q"] <= 0.05).tolist()[0]


def test_q_donors_and_cells_are_stated(adata):
    ax = age_acceleration(adata, show=False)
    results = adata.uns["age_acceleration"]["results"]
    found = texts(ax)
    assert {"q", "donors", "cells"} <= set(found)
    assert found.count("9 + 8") == 4
    for row in results.itertuples():
        assert f"{row.n_cells + row.n_cells_reference:,}" in found
        assert ("< 0.001" if row.q < 0.001 else f"{row.q:.{3 if row.q < 0.1 else 2}f}") in found


def test_groups_have_colours_and_a_legend():
    adata = fake_result(("control", "mild", "severe"))
    adata.uns["group_colors"] = ["#111111", "#222222", "#333333"]
    ax = age_acceleration(adata, show=False)
    handles = ax.get_legend().legend_handles
    assert [h.get_label() for h in handles] == ["mild", "severe"]
    assert [to_hex(h.get_color()) for h in handles] == ["#222222", "#333333"]
    results = adata.uns["age_acceleration"]["results"]
    points, _ = rows_of(ax)
    assert len({y for _, y, _ in points}) == 8
    np.testing.assert_allclose([x for x, _, _ in points], results["effect"])
    assert ax.get_title() == "Groups against control"

    ax = age_acceleration(adata, groups=["severe"], palette={"severe": "b"}, show=False)
    assert ax.get_legend() is None
    assert ax.get_title() == "severe against control"
    expected = results.loc[results["group"] == "severe", "effect"]
    np.testing.assert_allclose([x for x, _, _ in rows_of(ax)[0]], expected)
    lines = [c for c in ax.collections if isinstance(c, LineCollection)]
    assert to_hex(lines[0].get_color()[0]) == "#0000ff"
    del adata.obs["group"]  # the figure is of the result
    assert len(rows_of(age_acceleration(adata, show=False))[0]) == 8


def test_each_group_against_the_rest():
    adata = fake_acceleration([6, 6, 6], groups=["a", "b", "c"], cell_types=["T"])
    tl.age_acceleration(adata, "group", level=0.9)
    ax = age_acceleration(adata, show=False)
    assert ax.get_title() == "Groups against rest"
    assert ax.get_xlabel().endswith("90 % interval)")


def test_order(adata):
    ax = age_acceleration(adata, order=["all cells", "T cell"], show=False)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["all cells", "T cell"]
    results = adata.uns["age_acceleration"]["results"].set_index("cell_type")
    expected = results.loc[["all cells", "T cell"], "effect"]
    np.testing.assert_allclose([x for x, _, _ in rows_of(ax)[0]], expected)


def test_what_was_not_tested_is_said():
    adata = fake_acceleration((8, 8))
    gone = (adata.obs["cell_type"] == "Monocyte") & (adata.obs["group"] == "case")
    adata = adata[~gone].copy()
    tl.age_acceleration(adata, "group", reference="control")
    ax = age_acceleration(adata, show=False)
    assert "not tested" in texts(ax)
    assert "0 + 8" in texts(ax)
    assert "\N{EN DASH}" in texts(ax)
    assert len(rows_of(ax)[0]) == 3
    assert [t.get_text() for t in ax.get_yticklabels()][1] == "Monocyte"
    only = age_acceleration(adata, order=["Monocyte"], show=False)
    assert "not tested" in texts(only)


@pytest.mark.parametrize("cell_types", [["B cell"], None, 3, LONG], ids=["1", "none", "3", "long"])
@pytest.mark.parametrize("groups", [("control", "case"), ("control", "mild one", "severe")])
def test_everything_can_be_read(cell_types, groups):
    ax = age_acceleration(fake_result(groups, cell_types=cell_types), show=False)
    assert not cut_off(ax.figure)
    labels = [t for t in ax.get_yticklabels() if t.get_text()]
    assert not overlapping([*labels, *ax.texts, ax.title])
    assert ax.get_window_extent().width > 1.8 * ax.figure.dpi


def test_dark_background(adata):
    with plt.style.context("dark_background"):
        ax = age_acceleration(adata, show=False)
    open_points = [face for _, _, face in rows_of(ax)[0]]
    assert "#000000" in open_points


def test_months():
    ax = age_acceleration(fake_result(unit="months"), show=False)
    assert "(months, 95 % interval)" in ax.get_xlabel()


def test_kwargs_reach_the_points(adata):
    ax = age_acceleration(adata, s=90, facecolor="k", marker="s", show=False)
    points = [c for c in ax.collections if isinstance(c, PathCollection)]
    assert all(c.get_sizes() == [90] for c in points)
    assert all(to_hex(c.get_facecolor()[0]) == "#000000" for c in points)


def test_show_axes_and_figure(adata, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda *args, **kwargs: shown.append(1))
    before = snapshot(adata)
    assert isinstance(age_acceleration(adata, show=False), Axes)
    assert isinstance(age_acceleration(adata, return_fig=True), Figure)
    assert not shown
    assert age_acceleration(adata, show=True) is None
    assert shown == [1]
    fig, ax = plt.subplots(layout="constrained")
    assert age_acceleration(adata, ax=ax, show=True) is ax
    assert shown == [1]
    assert not cut_off(fig)
    assert_unchanged(adata, before)


def test_same_figure_after_writing(adata, tmp_path):
    adata.write_h5ad(tmp_path / "result.h5ad")
    back = ad.read_h5ad(tmp_path / "result.h5ad")
    found = [age_acceleration(a, show=False) for a in (adata, back)]
    assert texts(found[0]) == texts(found[1])
    np.testing.assert_array_equal(
        [row[0] for row in rows_of(found[0])[0]], [row[0] for row in rows_of(found[1])[0]]
    )


def test_errors(adata):
    with pytest.raises(KeyError, match=r"No result.*'mine'.*tl\.age_acceleration"):
        age_acceleration(adata, "mine")
    with pytest.raises(KeyError, match=r"'age_clock'.*no result of"):
        age_acceleration(adata, "age_clock")
    with pytest.raises(ValueError, match=r"`groups` must name some of 'case', each.*'control'"):
        age_acceleration(adata, groups=["control"])
    with pytest.raises(ValueError, match=r"`order` must name some of 'B cell'.*found 'NK'"):
        age_acceleration(adata, order=["NK"])
    with pytest.raises(ValueError, match=r"each once"):
        age_acceleration(adata, order=["T cell", "T cell"])
    with pytest.raises(ValueError, match=r"`palette` has no colour"):
        age_acceleration(adata, palette={"other": "r"})
