"""Figures say how many cells, donors or runs stand behind them."""

from __future__ import annotations

import matplotlib.pyplot as plt

from sctools import pl

from ._fake_prior_result import fake_comparison, fake_prior_result


def texts(ax):
    return [text.get_text() for text in ax.figure.findobj(plt.Text)]


def test_groups_of_the_attention_heatmap_have_their_cells():
    ax = pl.prior_transformer(fake_prior_result(["a", "b"], n_cells=40), show=False)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a (40)", "b (41)"]
    assert ax.get_ylabel() == "cell_type (cells)"


def test_cells_are_those_that_attention_was_averaged_over():
    """Not those that are left in a subset of the data."""
    adata = fake_prior_result(["a", "b"], n_cells=40)
    ax = pl.prior_transformer(adata[:5].copy(), show=False)
    assert ax.get_yticklabels()[0].get_text() == "a (40)"


def test_network_has_its_cells():
    ax = pl.attention_network(fake_prior_result(["a", "b"], n_cells=40), "b", show=False)
    assert "41 cells, 30 of" in ax.get_title()


def test_results_of_earlier_versions_are_drawn_without():
    adata = fake_prior_result(["a", "b"])
    del adata.uns["prior_transformer"]["n_cells"]
    ax = pl.prior_transformer(adata, show=False)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    assert ax.get_ylabel() == "cell_type"
    assert "cells" not in pl.attention_network(adata, "b", show=False).get_title()


def test_comparison_of_priors_has_its_runs_and_test_cells():
    table = fake_comparison(n_seeds=3)
    title = "mean ± SD, 3 seeds\n400 test cells"
    assert title in texts(pl.compare_priors(table, show=False))
    table.loc[table.index[0], "n_test"] = 380
    assert any("380–400 test cells" in text for text in texts(pl.compare_priors(table, show=False)))
    table = table.drop(columns="n_test")
    assert "mean ± SD, 3 seeds" in texts(pl.compare_priors(table, show=False))


def test_groups_are_the_answers_unless_others_were_named():
    adata = fake_prior_result(["a", "b"])
    del adata.uns["prior_transformer"]["params"]["groupby"]
    assert pl.prior_transformer(adata, show=False).get_ylabel() == "Prediction (cells)"
