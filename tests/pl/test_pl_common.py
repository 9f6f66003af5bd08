"""What holds for every figure of an age clock."""

from __future__ import annotations

import subprocess
import sys
from copy import deepcopy

import anndata as ad
import matplotlib.pyplot as plt
import pandas as pd
import pytest
import scanpy as sc
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from sctools import pl

from .._fake_results import fake_age_result

FIGURES = [pl.age_clock, pl.age_by_celltype, pl.training_history]


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


@pytest.fixture(params=FIGURES, ids=lambda figure: figure.__name__)
def figure(request):
    return request.param


@pytest.mark.parametrize("autoshow", [True, False])
def test_show_follows_scanpy(figure, shown, settings, autoshow):
    settings.autoshow = autoshow
    result = figure(fake_age_result(6))
    assert (result is None) == autoshow
    assert len(shown) == autoshow


def test_show_and_return(figure, shown):
    adata = fake_age_result(6)
    assert isinstance(figure(adata, show=False), Axes)
    assert isinstance(figure(adata, return_fig=True), Figure)
    assert not shown
    assert figure(adata, show=True) is None
    assert len(shown) == 1


def test_given_axes_are_used_and_never_shown(figure, shown, settings):
    settings.autoshow = True
    fig, ax = plt.subplots()
    assert figure(fake_age_result(6), ax=ax) is ax
    assert figure(fake_age_result(6), ax=ax, show=True, return_fig=True) is fig
    assert not shown
    assert plt.get_fignums() == [fig.number]


def test_adata_and_settings_are_unchanged(figure):
    adata = fake_age_result(6)
    obs, uns = adata.obs.copy(), deepcopy(dict(adata.uns))
    settings = dict(plt.rcParams)
    figure(adata, show=False)
    pd.testing.assert_frame_equal(adata.obs, obs)
    assert set(adata.uns) == set(uns)
    before, after = uns["age_clock"], adata.uns["age_clock"]
    for name in before:
        if isinstance(before[name], pd.DataFrame):
            pd.testing.assert_frame_equal(after[name], before[name])
        else:
            assert repr(after[name]) == repr(before[name])
    assert dict(plt.rcParams) == settings


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_same_figure_after_writing(figure, tmp_path, kind):
    adata = fake_age_result(6, n_samples=2, n_unknown=1)
    path = tmp_path / f"result.{kind}"
    getattr(adata, f"write_{kind}")(path)
    back = getattr(ad, f"read_{kind}")(path)
    texts = [
        [text.get_text() for text in figure(a, show=False).findobj(plt.Text)] for a in (adata, back)
    ]
    assert texts[0] == texts[1]


def test_other_key_and_no_result(figure):
    adata = fake_age_result(6, key="mine")
    figure(adata, "mine", show=False)
    with pytest.raises(KeyError, match=r"No result.*'mine'.*sctools\.tl\.age_clock"):
        figure(adata)


@pytest.mark.parametrize("figsize", [(6.4, 4.8), (3.5, 3.2)], ids=["default", "column"])
@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_everything_is_within_the_figure(figure, figsize, style):
    """No label or legend is cut off, and none lies over the data."""
    kwargs = {"color": "sex"} if figure is pl.age_clock else {}
    with plt.style.context(style), plt.rc_context({"figure.figsize": figsize}):
        ax = figure(fake_age_result(20, informative=False), show=False, **kwargs)
        fig = ax.figure
        fig.canvas.draw()
        inner = ax.get_window_extent()
        artists = [ax.xaxis.label, ax.yaxis.label, *ax.get_xticklabels("both")]
        artists += [*ax.get_yticklabels("both"), *ax.findobj(Legend)]
        for artist in artists:
            box = artist.get_window_extent()
            if box.width > 1 and box.height > 1:
                assert fig.bbox.x0 <= box.x0 + 1, artist
                assert box.x1 <= fig.bbox.x1 + 1, artist
                assert fig.bbox.y0 <= box.y0 + 1, artist
                assert box.y1 <= fig.bbox.y1 + 1, artist
                if isinstance(artist, Legend):
                    assert not box.overlaps(inner.padded(-1)), artist


def test_neither_torch_nor_scvi_is_imported():
    code = (
        "import sys\n"
        "import sctools; sctools.get.age_df; sctools.pl.age_clock\n"
        "assert not {'torch', 'scvi', 'lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
