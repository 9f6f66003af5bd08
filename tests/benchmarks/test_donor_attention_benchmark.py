"""The benchmark of attention: all methods on the same folds, and weights of held-out cells."""

from __future__ import annotations

import importlib

import numpy as np
import pytest


@pytest.fixture
def script(benchmarks, monkeypatch):
    for name in ("OMP", "OPENBLAS", "MKL", "NUMBA"):  # which the script sets
        monkeypatch.setenv(f"{name}_NUM_THREADS", "1")
    return importlib.import_module("donor_attention")


SMALL = {"n_donors": 40, "n_genes": 600, "cells_per_donor": 60, "n_age_genes": 50}


def test_weights_of_held_out_cells_find_those_that_carry_the_age(script):
    table = script.compare(
        "tenth", 0, ("donor_attention", "ridge"), **SMALL, effect_size=0.4, shared_fraction=0.5
    ).set_index("method")
    assert table.index.tolist() == ["donor_attention", "ridge", script.TOLD, "mean_age"]
    assert (table["n_donors"] == 40).all()
    np.testing.assert_allclose(table["ratio"], table["mae"] / table.loc["mean_age", "mae"])
    ours = table.loc["donor_attention"]
    assert ours["auroc"] > 0.9
    assert ours["share"] > 0.5
    assert 0.05 < ours["base"] < 0.15
    assert ours["even"] < 0.5
    assert ours["mae"] < 0.7 * table.loc["ridge", "mae"]
    assert table.loc["ridge", ["auroc", "share"]].isna().all()
    shown = script.summary(table.reset_index())
    assert shown["method"].tolist() == table.index.tolist()


def test_figures_of_weights(script):
    unit = np.array([0, 0, 0, 0, 1, 1])
    carries = np.array([True, False, False, False, True, False])
    uniform = np.array([0.25] * 4 + [0.5] * 2)
    found = script.weight_figures(uniform, unit, carries)
    assert found == {"even": 1.0, "auroc": 0.5, "share": 0.375, "base": 0.375}
    found = script.weight_figures(carries.astype(float), unit, carries)
    assert found == {"even": 0.375, "auroc": 1.0, "share": 1.0, "base": 0.375}
    assert script.weight_figures(uniform, unit, np.ones(6, dtype=bool)) == {"even": 1.0}
