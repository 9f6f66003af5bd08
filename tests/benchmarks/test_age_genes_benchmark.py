"""The benchmark of genes: every method on the tool's folds, by the coefficients it uses."""

from __future__ import annotations

import importlib

import numpy as np
import pandas as pd
import pytest

from sctools.datasets import aging_cohort
from sctools.model._clock_methods import clock_method
from sctools.pp._clock_input import ClockInput
from sctools.tl._compare_clocks import read_folds

from .._clocks import QUICK


@pytest.fixture
def benchmark_script(benchmarks):
    return importlib.import_module("age_genes")


@pytest.fixture(scope="module")
def cohort():
    return aging_cohort(
        15, n_genes=80, cells_per_donor=8, n_age_genes=10, n_marker_genes=4, n_sex_genes=2,
        effect_size=0.3, donor_sd=0.05, rng=1,
    )  # fmt: skip


def test_all_methods_on_the_same_cohort(benchmark_script, cohort):
    quick = {name: QUICK[name] for name in ("model_kwargs", "train_kwargs")}
    table = benchmark_script.compare(cohort.copy(), 0, attribution=False, **quick)
    methods = ["sctools age clock", "elastic net", "PLS", "correlation with age"]
    assert table["method"].unique().tolist() == methods
    assert len(table) == 3 * (3 * 2 + 1)
    mean = table.groupby("method")["auroc"].mean()
    assert mean.drop("elastic net").min() > 0.7, mean  # elastic net takes few genes
    shown = benchmark_script.summary(table)
    assert shown["method"].tolist() == [*np.repeat(methods[:3], 2), methods[3]]
    np.testing.assert_allclose(
        shown["all"], table.groupby(["method", "scale"], sort=False)["auroc"].mean()
    )


def test_coefficients_are_those_of_the_prediction(benchmark_script, cohort):
    names = ClockInput("age", "donor_id", None, "cell_type", [], None, log_normalized=False)
    cells = read_folds(cohort, names, 3, np.random.default_rng(0)).cells
    clock = clock_method("pls").fit(cells, rng=0)
    coefs = benchmark_script.linear_coefficients(clock, 3, cohort.n_vars)
    # One unit of a gene more, in all T cells of all donors.
    mine = np.flatnonzero(cells.cell_type == "T cell")
    dense = cells.x.toarray()
    dense[mine, 5] += 1.0
    moved = clock.predict(cells._replace(x=type(cells.x)(dense))) - clock.predict(cells)
    has = np.bincount(cells.unit[mine], minlength=len(cells.donor)) > 0
    np.testing.assert_allclose(moved[has], coefs[2, 5], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(moved[~has], 0, atol=1e-6)


def test_scores_of_known_genes(benchmark_script):
    genes = [f"g{i}" for i in range(100)]
    true = pd.DataFrame({"T": np.r_[np.full(10, 0.1), np.full(10, -0.1), np.zeros(80)]}, genes)
    score = pd.DataFrame([np.r_[np.full(20, 2.0), np.ones(80)]], ["T"], genes)
    sd = pd.DataFrame([np.r_[np.zeros(20), np.ones(80)]], ["T"], genes)
    found = pd.DataFrame(benchmark_script.rows({"m": score}, sd, true, 7)).set_index("scale")
    assert found.loc["same", ["auroc", "top_20", "signs"]].tolist() == [1.0, 1.0, 0.5]
    assert found.loc["gene", ["auroc", "top_20"]].tolist() == [0.0, 0.0]
    assert (found["seed"] == 7).all()
