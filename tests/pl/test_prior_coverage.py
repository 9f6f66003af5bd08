from __future__ import annotations

from copy import deepcopy
from itertools import pairwise

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from sctools.pl import prior_coverage


def fake_network(degrees=(1, 1, 2, 3, 4, 5, 9), n_genes=20, key="prior_network", **coverage):
    """What ``pp.prior_network`` leaves behind: genes with these numbers of regulators."""
    targets = np.repeat([f"g{i}" for i in range(len(degrees))], degrees)
    sources = [f"t{i}" for degree in degrees for i in range(degree)]
    edges = pd.DataFrame({"source": sources, "target": targets, "weight": 1.0})
    found = {
        "n_genes": n_genes, "n_tfs": max(degrees), "n_edges": len(edges),
        "n_regulated": len(degrees), "regulated_share": len(degrees) / n_genes,
        "n_edges_given": 1234, "n_self_loops": 0, "n_duplicates": 0, "n_complexes": 0,
        "n_complex_edges": 0, "n_edges_expanded": 0, "n_edges_outside": 0, **coverage,
    }  # fmt: skip
    adata = ad.AnnData(np.ones((2, n_genes), dtype=np.float32))
    adata.uns[key] = {"edges": edges, "coverage": found, "params": {"method": "prior_network"}}
    return adata


def texts(ax):
    return [" ".join(text.get_text().split()) for text in ax.get_legend().get_texts()]


@pytest.fixture
def shown(monkeypatch):
    calls = []
    monkeypatch.setattr(plt, "show", lambda *args, **kwargs: calls.append(1))
    return calls


@pytest.fixture
def settings():
    before = sc.settings.autoshow
    yield sc.settings
    sc.settings.autoshow = before


def test_bars_count_genes():
    ax = prior_coverage(fake_network(), show=False)
    assert [text.get_text() for text in ax.get_yticklabels()] == [
        "0",
        "1",
        "2",
        "3–4",
        "5–8",
        "9–16",
    ]
    assert [bar.get_width() for bar in ax.patches] == [13, 2, 1, 2, 1, 1]
    assert [text.get_text() for text in ax.texts] == ["13", "2", "1", "2", "1", "1"]
    assert ax.get_xlabel() == "Genes"
    assert ax.get_ylabel() == "Regulators of a gene"
    low, high = ax.get_ylim()
    assert low > high  # none at the top


def test_genes_without_a_regulator_have_another_colour():
    ax = prior_coverage(fake_network(), show=False)
    colors = [bar.get_facecolor() for bar in ax.patches]
    assert colors[0] not in colors[1:]
    assert len(set(colors[1:])) == 1
    handles = ax.get_legend().get_patches()
    assert [handle.get_facecolor() for handle in handles[:2]] == [colors[1], colors[0]]
    assert [handle.get_visible() for handle in handles] == [True, True, False, False]


def test_largest_degree_of_a_bar():
    ax = prior_coverage(fake_network((1, 4)), show=False)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["0", "1", "2", "3–4"]
    ax = prior_coverage(fake_network((1,)), show=False)
    assert [bar.get_width() for bar in ax.patches] == [19, 1]


def test_what_was_dropped_is_told():
    assert texts(prior_coverage(fake_network(), show=False)) == [
        "7 of 20 genes with a regulator (35%)",
        "13 without (65%)",
        "25 edges of 9 regulators; given: 1,234",
        "Dropped: none",
    ]
    adata = fake_network(
        n_edges_outside=1200, n_self_loops=5, n_duplicates=1, n_complex_edges=3, n_edges_expanded=40
    )
    assert texts(prior_coverage(adata, show=False))[2:] == [
        "25 edges of 9 regulators; given: 1,234, and 40 of members of complexes",
        "Dropped: 5 from a gene to itself, 1 repeated, 3 of complexes, "
        "1,200 to or from other genes",
    ]


def test_kwargs_reach_the_bars():
    ax = prior_coverage(fake_network(), color="red", ec="k", height=0.5, show=False)
    assert {bar.get_facecolor() for bar in ax.patches} == {to_rgba("red")}
    assert {bar.get_height() for bar in ax.patches} == {0.5}


@pytest.mark.parametrize("autoshow", [True, False])
def test_show_follows_scanpy(shown, settings, autoshow):
    settings.autoshow = autoshow
    assert (prior_coverage(fake_network()) is None) == autoshow
    assert len(shown) == autoshow


def test_show_and_return(shown):
    adata = fake_network()
    assert isinstance(prior_coverage(adata, show=False), Axes)
    assert isinstance(prior_coverage(adata, return_fig=True), Figure)
    assert not shown
    fig, ax = plt.subplots()
    assert prior_coverage(adata, ax=ax, show=True) is ax
    assert not shown
    assert prior_coverage(adata, ax=ax, return_fig=True) is fig


def test_adata_and_settings_are_unchanged():
    adata = fake_network()
    before, settings = deepcopy(dict(adata.uns["prior_network"])), dict(plt.rcParams)
    prior_coverage(adata, show=False)
    after = adata.uns["prior_network"]
    pd.testing.assert_frame_equal(after["edges"], before["edges"])
    assert after["coverage"] == before["coverage"]
    assert dict(plt.rcParams) == settings


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_same_figure_after_writing(tmp_path, kind):
    adata = fake_network(n_edges_outside=7)
    getattr(adata, f"write_{kind}")(tmp_path / f"cells.{kind}")
    back = getattr(ad, f"read_{kind}")(tmp_path / f"cells.{kind}")
    a, b = (prior_coverage(one, show=False) for one in (adata, back))
    assert texts(a) == texts(b)
    assert [bar.get_width() for bar in a.patches] == [bar.get_width() for bar in b.patches]


def test_other_key_and_no_result():
    adata = fake_network(key="mine")
    prior_coverage(adata, "mine", show=False)
    adata.uns["age_clock"] = {"params": {}}
    for key in ("prior_network", "age_clock"):
        with pytest.raises(KeyError, match=r"Available: 'mine'.*sctools\.pp\.prior_network"):
            prior_coverage(adata, key)


@pytest.mark.parametrize("width", [6.4, 3.5])
@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_everything_is_within_the_figure(width, style):
    adata = fake_network(
        (1, 300, 20), 2634, n_edges_outside=32710, n_self_loops=462, n_complex_edges=1395,
        n_edges_expanded=6456, n_duplicates=12,
    )  # fmt: skip
    with plt.style.context(style), plt.rc_context({"figure.figsize": (width, 3)}):
        ax = prior_coverage(adata, show=False)
        fig = ax.figure
        fig.canvas.draw()
        assert ax.get_window_extent().height > 0.25 * fig.bbox.height
        labels = [ax.xaxis.label, ax.yaxis.label, *ax.get_yticklabels(), *ax.texts]
        for artist in [*labels, ax.get_legend()]:
            box = artist.get_window_extent()
            assert fig.bbox.x0 <= box.x0 + 1, artist
            assert box.x1 <= fig.bbox.x1 + 1, artist
            assert fig.bbox.y0 <= box.y0 + 1, artist
        boxes = [text.get_window_extent() for text in ax.get_yticklabels()]
        assert not any(a.overlaps(b) for a, b in pairwise(boxes))
