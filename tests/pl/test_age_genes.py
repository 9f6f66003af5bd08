from __future__ import annotations

from copy import deepcopy

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from sctools.get import age_genes_df
from sctools.pl import age_genes

from .._fake_genes import TYPES, fake_genes
from ._readable import cut_off, overlapping

LONG = [f"CD{i}-positive, alpha-beta memory T cell of the small intestine" for i in range(12)]
IDS = [f"ENSG00000{i}41510.17" for i in range(100, 140)]


def _drawn(ax, kind):
    """Points as (x, y, face) or bars as (left, right, y), from the top."""
    if kind == "points":
        found = [
            (*place, tuple(face))
            for dots in ax.findobj(PathCollection)
            for place, face in zip(
                dots.get_offsets(),
                np.broadcast_to(dots.get_facecolor(), (len(dots.get_offsets()), 4)),
                strict=True,
            )
        ]
        return sorted(found, key=lambda point: point[1])
    bars = [bar for lines in ax.findobj(LineCollection) for bar in lines.get_segments()]
    return sorted(((*bar[:, 0], bar[0, 1]) for bar in bars), key=lambda bar: bar[2])


def _legend(fig):
    (legend,) = fig.findobj(Legend)
    return [text.get_text() for text in legend.get_texts()]


def test_a_panel_for_each_cell_type():
    adata = fake_genes()
    axes = age_genes(adata, show=False, n_genes=8)
    assert [ax.get_title("right") for ax in axes] == list(TYPES)
    assert len({ax.get_xlim() for ax in axes}) == 1  # one scale
    for ax in axes:
        table = age_genes_df(adata, group=ax.get_title("right"), n_top=8)
        assert [label.get_text() for label in ax.get_yticklabels()] == table["names"].tolist()
        assert ax.yaxis_inverted()  # what rises with age on top
        points, bars = _drawn(ax, "points"), _drawn(ax, "bars")
        np.testing.assert_allclose([p[0] for p in points], table["scores"])
        np.testing.assert_allclose([b[0] for b in bars], table["scores"] - table["scores_sd"])
        np.testing.assert_allclose([b[1] for b in bars], table["scores"] + table["scores_sd"])
        assert ax.get_xlabel() == "Years per SD"
        low, high = ax.get_xlim()
        assert low < min(b[0] for b in bars)
        assert high > max(b[1] for b in bars)


def test_colours_tell_the_direction_and_open_points_disagreement():
    adata = fake_genes(["T cell"])
    genes = adata.uns["age_clock"]["genes"]
    strongest = genes["score"].abs().idxmax()
    genes.loc[:, "agreement"] = 1.0
    ax = age_genes(adata, show=False)
    faces = {(x > 0, face) for x, _, face in _drawn(ax, "points")}
    assert len(faces) == 2
    assert "Folds differ in sign" not in _legend(ax.figure)
    genes.loc[strongest, "agreement"] = 0.8
    ax = age_genes(adata, show=False, palette=["red", "blue"])
    face = {x: face for x, _, face in _drawn(ax, "points")}
    background = to_rgba(plt.rcParams["axes.facecolor"])
    assert [x for x in face if face[x] == background] == [
        pytest.approx(float(genes.loc[strongest, "score"]))
    ]
    assert {face[x] for x in face if x > 0} - {background} == {to_rgba("red")}
    assert {face[x] for x in face if x < 0} - {background} == {to_rgba("blue")}
    assert _legend(ax.figure) == [
        "Older with more expression",
        "Younger with more expression",
        "Standard deviation over folds",
        "Folds differ in sign",
    ]
    ax = age_genes(adata, show=False, palette={"up": "k", "down": "g"}, s=99, fc="y")
    assert {dots.get_sizes()[0] for dots in ax.findobj(PathCollection)} == {99}
    assert {face for *_, face in _drawn(ax, "points")} == {to_rgba("y")}


def test_single_clock_and_clock_of_the_mean_age():
    ax = age_genes(fake_genes(["T cell"], n_folds=1, unit="months"), show=False)
    assert ax.get_xlabel() == "Months per SD"
    assert _legend(ax.figure) == ["Older with more expression", "Younger with more expression"]
    assert all(left == right for left, right, _ in _drawn(ax, "bars"))
    axes = age_genes(fake_genes(scale=0), show=False)
    for ax in axes:
        assert [text.get_text() for text in ax.texts] == ["the clock answers\nthe mean age"]
        assert not _drawn(ax, "points")


@pytest.mark.parametrize(
    ("types", "names"), [(LONG[:1], IDS), (LONG[:2], None), (TYPES, None), (LONG, IDS)]
)
@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_everything_can_be_read(types, names, style):
    with plt.style.context(style):
        fig = age_genes(fake_genes(types, names=names), return_fig=True)
        assert cut_off(fig) == []
        (legend,) = fig.findobj(Legend)
        box = legend.get_window_extent()
        titles = [ax._right_title for ax in fig.axes]
        assert overlapping([*titles, *(ax.xaxis.label for ax in fig.axes)]) == []
        for ax in fig.axes:
            assert not box.overlaps(ax.get_window_extent())
            assert not box.overlaps(ax.xaxis.label.get_window_extent())
            assert overlapping(ax.get_yticklabels()) == []
            for other in fig.axes:
                labels = [label.get_window_extent() for label in ax.get_yticklabels()]
                assert not any(label.overlaps(other.get_window_extent()) for label in labels)


def test_given_axes_take_one_cell_type():
    fig, ax = plt.subplots()
    adata = fake_genes()
    assert age_genes(adata, groups="Monocyte", ax=ax, show=True) is ax
    assert ax.get_title("right") == "Monocyte"
    assert plt.get_fignums() == [fig.number]
    with pytest.raises(ValueError, match=r"one cell type, found 3.*groups='B cell'"):
        age_genes(adata, ax=ax)


def test_show_and_return(monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda *args, **kwargs: shown.append(1))
    adata = fake_genes()
    axes = age_genes(adata, groups=["Monocyte", "B cell"], show=False)
    assert [ax.get_title("right") for ax in axes] == ["Monocyte", "B cell"]
    assert isinstance(age_genes(fake_genes(["T"]), show=False), Axes)
    assert isinstance(age_genes(adata, return_fig=True), Figure)
    assert not shown
    assert age_genes(adata, show=True) is None
    assert shown == [1]


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_result_after_writing_and_other_key(tmp_path, kind):
    adata = fake_genes(key="mine")
    before = deepcopy(adata.uns["mine"]["genes"])
    fig = age_genes(adata, "mine", return_fig=True)
    pd.testing.assert_frame_equal(adata.uns["mine"]["genes"], before)
    path = tmp_path / f"result.{kind}"
    getattr(adata, f"write_{kind}")(path)
    again = age_genes(getattr(ad, f"read_{kind}")(path), "mine", return_fig=True)
    texts = [[text.get_text() for text in found.findobj(plt.Text)] for found in (fig, again)]
    assert texts[0] == texts[1]


def test_errors():
    adata = fake_genes()
    with pytest.raises(KeyError, match=r"No result.*sctools\.tl\.age_clock"):
        age_genes(adata, "other")
    with pytest.raises(ValueError, match="'NK'"):
        age_genes(adata, groups="NK")
    for n_genes in (0, None):
        with pytest.raises(ValueError, match="`n_genes` must be a positive integer"):
            age_genes(adata, n_genes=n_genes)
    with pytest.raises(ValueError, match="`palette` has no colour for 'down'"):
        age_genes(adata, palette={"up": "red"})
    assert not plt.get_fignums()
