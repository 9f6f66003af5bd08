"""What holds for every figure of a prior transformer."""

from __future__ import annotations

import subprocess
import sys

import anndata as ad
import matplotlib.pyplot as plt
import pytest
import scanpy as sc
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sctools import pl

from .._compare import assert_unchanged, snapshot
from .._fake_results import fake_age_result
from ._fake_prior_result import TYPES, fake_comparison, fake_prior_result
from ._readable import cut_off, overlapping

LONG = (
    "effector memory CD4-positive, alpha-beta T cell, terminally differentiated",
    "plasmacytoid dendritic cell",
    "immature/naive B cell",
)


def _network(adata, key="prior_transformer", **kwargs):
    result = adata.uns.get(key)
    group = TYPES[0] if result is None else str(result["groups"][-1])
    return pl.attention_network(adata, group, key=key, **kwargs)


FIGURES = {
    "prior_transformer": pl.prior_transformer,
    "attention_network": _network,
    "tf_dotplot": pl.tf_dotplot,
    "confusion": pl.confusion,
    "calibration": pl.calibration,
}


@pytest.fixture(params=FIGURES)
def figure(request):
    return FIGURES[request.param]


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


@pytest.mark.parametrize("autoshow", [True, False])
def test_show_follows_scanpy(figure, shown, settings, autoshow):
    settings.autoshow = autoshow
    assert (figure(fake_prior_result()) is None) == autoshow
    assert len(shown) == autoshow


def test_show_and_return(figure, shown):
    adata = fake_prior_result()
    assert isinstance(figure(adata, show=False), Axes)
    assert isinstance(figure(adata, return_fig=True), Figure)
    assert not shown
    assert figure(adata, show=True) is None
    assert len(shown) == 1


def test_given_axes_are_used_and_never_shown(figure, shown):
    fig, ax = plt.subplots(layout="constrained")
    assert figure(fake_prior_result(), ax=ax, show=True) is ax
    fig2, ax2 = plt.subplots()
    assert figure(fake_prior_result(), ax=ax2, show=True, return_fig=True) is fig2
    assert not shown
    assert plt.get_fignums() == [fig.number, fig2.number]


def test_adata_and_settings_are_unchanged(figure):
    adata = fake_prior_result()
    before, settings = snapshot(adata), dict(plt.rcParams)
    figure(adata, show=False)
    assert_unchanged(adata, before)
    assert dict(plt.rcParams) == settings


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_same_figure_after_writing(figure, tmp_path, kind):
    adata = fake_prior_result()
    path = tmp_path / f"result.{kind}"
    getattr(adata, f"write_{kind}")(path)
    texts = [
        [text.get_text() for text in figure(a, show=False).figure.findobj(plt.Text)]
        for a in (adata, getattr(ad, f"read_{kind}")(path))
    ]
    assert texts[0] == texts[1]
    assert any("immature/naive B cell" in text for text in texts[0]) or figure is pl.calibration


def test_views_are_drawn(figure):
    adata = fake_prior_result(applied=True)
    part = adata[adata.obs["cell_type"] != "T cell"]
    kwargs = {"labels_key": "cell_type"} if figure in (pl.confusion, pl.calibration) else {}
    figure(part, show=False, **kwargs)
    assert part.is_view


@pytest.mark.parametrize("style", ["default", "scanpy"])
@pytest.mark.parametrize(
    "names",
    [["only"], ["a", "b"], TYPES, LONG, [f"cluster {i}" for i in range(30)]],
    ids=["one", "two", "few", "long", "many"],
)
def test_everything_can_be_read(figure, names, style):
    """No text is cut off, no tick label lies over another."""
    with plt.rc_context():
        if style == "scanpy":
            sc.set_figure_params(dpi=80)
        adata = fake_prior_result(names, n_cells=20, tfs_per_type=2)
        ax = figure(adata, show=False)
        assert cut_off(ax.figure) == []
        if not ax.axison:
            return
        assert overlapping(ax.get_xticklabels()) == []
        assert overlapping(ax.get_yticklabels()) == []
        # Every group, class and TF is named.
        labels = [*ax.get_xticklabels(), *ax.get_yticklabels()]
        assert all(label.get_visible() for label in labels)
        assert min(label.get_fontsize() for label in labels) >= 5.5
        if ax.get_legend() is not None:
            legend = ax.get_legend().get_window_extent()
            assert not legend.overlaps(ax.get_window_extent().padded(-1))


def test_no_result(figure):
    adata = fake_prior_result(key="mine")
    with pytest.raises(KeyError, match=r"No result.*'mine'.*sctools\.tl\.prior_transformer"):
        figure(adata)
    adata = fake_age_result(3)
    with pytest.raises(KeyError, match="no result of a prior transformer"):
        figure(adata, key="age_clock") if figure is not _network else pl.attention_network(
            adata, "a", key="age_clock"
        )
    assert not plt.get_fignums()


def test_other_key(figure):
    adata = fake_prior_result(key="mine")
    assert isinstance(figure(adata, key="mine", show=False), Axes)


def test_neither_torch_nor_scvi_is_imported():
    code = (
        "import sys\n"
        "import sctools; sctools.get.attention_df; sctools.pl.attention_network\n"
        "assert not {'torch', 'scvi', 'lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_comparison_keeps_the_conventions(shown):
    adata = fake_prior_result()
    adata.uns["compare_priors"] = {"params": {"seed": 0}, "results": fake_comparison()}
    before = snapshot(adata)
    _, ax = plt.subplots()
    assert pl.compare_priors(adata, ax=ax, show=True) is ax
    assert not shown
    assert isinstance(pl.compare_priors(adata, return_fig=True), Figure)
    assert pl.compare_priors(adata, show=True) is None
    assert len(shown) == 1
    assert_unchanged(adata, before)
