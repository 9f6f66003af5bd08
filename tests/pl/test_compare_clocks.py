from __future__ import annotations

from copy import deepcopy

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import read_h5ad
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from sctools.pl import compare_clocks

from ._fake_clock_result import METHODS, fake_clocks
from ._readable import cut_off, overlapping


def _rows(ax):
    """Name, point and interval of every row from the top."""
    labels = [label.get_text() for label in ax.get_yticklabels()]
    points = [line for line in ax.lines if line.get_marker() == "o"]
    assert [float(line.get_ydata()[0]) for line in points] == list(range(len(labels)))
    bars = [bar.get_segments()[0][:, 0] for bar in ax.collections]
    return labels, [float(line.get_xdata()[0]) for line in points], bars


def _legend(ax):
    (legend,) = ax.findobj(Legend)
    return legend


def test_points_and_intervals():
    adata = fake_clocks(METHODS)
    ax = compare_clocks(adata, show=False)
    table = adata.uns["compare_clocks"]["results"].drop(index="mean_age").sort_values("mae")
    labels, points, bars = _rows(ax)
    assert labels[0] == "Gated network, pseudocells"
    assert labels[1:4] == ["Elastic net, sums", "Ridge, sums", "PLS, sums"]
    np.testing.assert_allclose(points, table["mae"])
    np.testing.assert_allclose(bars, table[["mae_lower", "mae_upper"]])
    assert ax.yaxis_inverted()  # the best on top
    assert ax.get_xlim()[0] == 0
    assert ax.get_xlim()[1] > table["mae_upper"].max()
    assert ax.get_xlabel() == "Mean absolute error of donors (years)"


def test_mean_age_and_size_are_told():
    adata = fake_clocks()
    ax = compare_clocks(adata, show=False)
    (line,) = [line for line in ax.lines if line.get_linestyle() == "--"]
    np.testing.assert_allclose(line.get_xdata(), 12.4)
    legend = _legend(ax)
    assert legend.get_title().get_text() == "40 donors, 5 folds"
    assert [text.get_text() for text in legend.get_texts()] == [
        "With 95 % bootstrap interval",
        "Mean age: 12.4 years",
    ]
    title = _legend(compare_clocks(fake_clocks(n_samples=2), show=False)).get_title()
    assert title.get_text() == "40 donors, 80 samples, 5 folds"


def test_the_clock_stands_out():
    ax = compare_clocks(fake_clocks(METHODS), show=False)
    colors = [line.get_color() for line in ax.lines if line.get_marker() == "o"]
    assert len(set(colors)) == 2
    assert colors[0] not in colors[1:]
    ax = compare_clocks(fake_clocks(METHODS), show=False, c="red", ms=9)
    points = [line for line in ax.lines if line.get_marker() == "o"]
    assert {line.get_color() for line in points} == {"red"}
    assert {line.get_markersize() for line in points} == {9}


@pytest.mark.parametrize("names", [["gma"], METHODS[:3], [*METHODS, "a_method_with_a_long_name"]])
@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_everything_can_be_read(names, style):
    with plt.style.context(style):
        ax = compare_clocks(fake_clocks(names), show=False)
        assert cut_off(ax.figure) == []
        assert overlapping(ax.get_yticklabels()) == []
        assert not _legend(ax).get_window_extent().overlaps(ax.get_window_extent())


def test_result_after_writing_and_other_key(tmp_path):
    adata = fake_clocks(key="mine")
    before = deepcopy(dict(adata.uns["mine"]))
    ax = compare_clocks(adata, "mine", show=False)
    pd.testing.assert_frame_equal(adata.uns["mine"]["results"], before["results"])
    adata.write_h5ad(tmp_path / "a.h5ad")
    again = compare_clocks(read_h5ad(tmp_path / "a.h5ad"), "mine", show=False)
    texts = [[text.get_text() for text in found.findobj(plt.Text)] for found in (ax, again)]
    assert texts[0] == texts[1]
    with pytest.raises(KeyError, match=r"No result.*sctools\.tl\.compare_clocks"):
        compare_clocks(adata)


def test_show_and_return(monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda *args, **kwargs: shown.append(1))
    assert isinstance(compare_clocks(fake_clocks(), show=False), Axes)
    assert isinstance(compare_clocks(fake_clocks(), return_fig=True), Figure)
    fig, ax = plt.subplots()
    assert compare_clocks(fake_clocks(), ax=ax, show=True) is ax
    assert compare_clocks(fake_clocks(), ax=ax, return_fig=True) is fig
    assert not shown
    assert compare_clocks(fake_clocks(), show=True) is None
    assert shown == [1]


def test_another_result_is_refused():
    adata = fake_clocks()
    adata.uns["compare_clocks"]["results"] = pd.DataFrame({"mode": ["hard"]})
    with pytest.raises(KeyError, match="no comparison of clocks: its 'results' lack 'method'"):
        compare_clocks(adata)
    del adata.uns["compare_clocks"]["results"]
    with pytest.raises(KeyError, match="no comparison of clocks"):
        compare_clocks(adata)
    assert not plt.get_fignums()
