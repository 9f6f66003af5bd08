"""At a journal's width and print, figures fit its columns and everything can be read."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest

from sctools import datasets, pl, pp, tl

from .._fake_acceleration import fake_acceleration
from .._fake_genes import fake_genes
from .._fake_results import fake_age_result
from ._fake_clock_result import fake_clocks
from ._fake_prior_result import fake_comparison, fake_prior_result
from ._fake_vae_result import fake_vae_result
from ._readable import cut_off, overlapping

JOURNAL = {"font.size": 8, "figure.figsize": (3.5, 3.0)}
COLUMN, TWO_COLUMNS = 3.6, 7.2


def _acceleration():
    adata = fake_acceleration((10, 10), effect=6.0)
    tl.age_acceleration(adata, "group", reference="control")
    return adata


def _comparison():
    adata = fake_prior_result()
    adata.uns["compare_priors"] = {"params": {"seed": 0}, "results": fake_comparison()}
    return adata


def _network():
    adata = datasets.regulated_cells(100, n_genes=150)
    pp.prior_network(adata, "prior", n_top_genes=100)
    return adata


FIGURES = {
    "age_acceleration": (lambda: pl.age_acceleration(_acceleration(), show=False), COLUMN),
    "age_by_celltype": (lambda: pl.age_by_celltype(fake_age_result(), show=False), COLUMN),
    "age_clock": (lambda: pl.age_clock(fake_age_result(radius=8.0), show=False), COLUMN),
    "age_genes": (lambda: pl.age_genes(fake_genes(), show=False)[0], TWO_COLUMNS),
    "attention_network": (
        lambda: pl.attention_network(fake_prior_result(), "T cell", show=False),
        TWO_COLUMNS,
    ),
    "calibration": (lambda: pl.calibration(fake_prior_result(), show=False), COLUMN),
    "compare_clocks": (lambda: pl.compare_clocks(fake_clocks(), show=False), COLUMN),
    "compare_priors": (lambda: pl.compare_priors(_comparison(), show=False), COLUMN),
    "confusion": (lambda: pl.confusion(fake_prior_result(), show=False), TWO_COLUMNS),
    "prior_coverage": (lambda: pl.prior_coverage(_network(), show=False), COLUMN),
    "prior_transformer": (
        lambda: pl.prior_transformer(fake_prior_result(), show=False),
        TWO_COLUMNS,
    ),
    "srsa_vae": (lambda: pl.srsa_vae(fake_vae_result(), show=False), TWO_COLUMNS),
    "tf_dotplot": (lambda: pl.tf_dotplot(fake_prior_result(), show=False), TWO_COLUMNS),
    "training_history": (lambda: pl.training_history(fake_age_result(), show=False), COLUMN),
}


def test_every_figure_is_looked_at():
    assert sorted(FIGURES) == sorted(pl.__all__)


@pytest.mark.parametrize("name", FIGURES)
def test_figure_fits_and_can_be_read(name):
    draw, width = FIGURES[name]
    with plt.rc_context(JOURNAL):
        ax = draw()
        assert ax.figure.get_size_inches()[0] <= width
        assert cut_off(ax.figure) == []
        if not ax.axison:
            return
        inner = ax.get_window_extent()
        assert min(inner.width, inner.height) / ax.figure.dpi > 0.7, "no room is left for the data"
        assert overlapping(ax.get_xticklabels()) == []
        assert overlapping(ax.get_yticklabels()) == []
        if ax.get_legend() is not None:
            assert not ax.get_legend().get_window_extent().overlaps(inner.padded(-1))
