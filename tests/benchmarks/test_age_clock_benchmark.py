"""The benchmark of the age clock: every baseline on the tool's folds, in one table."""

from __future__ import annotations

import importlib

import numpy as np
import pandas as pd
import pytest

from sctools.pp._cohort import read_cohort
from sctools.tl._age_folds import assign_folds

from .._clocks import small_cohort


@pytest.fixture
def benchmark_script(benchmarks):
    return importlib.import_module("age_clock")


def test_baselines_without_the_tool(benchmark_script):
    table = benchmark_script.compare(small_cohort(12), "simulated", 0, tool=False)
    assert table["method"].tolist() == ["mean age", *benchmark_script.BASELINES]
    assert (table["n_donors"] == 12).all()
    np.testing.assert_allclose(table["ratio"], table["mae"] / table["mae_mean"])
    assert table.loc[table["method"] == "ridge on cells", "relative_time"].item() == 1
    assert table["ratio"].min() < 0.7
    shown = benchmark_script.summary(table)
    assert shown["method"].tolist() == table["method"].tolist()


def test_folds_are_those_of_the_tool(benchmark_script, monkeypatch):
    monkeypatch.setattr(benchmark_script, "BASELINES", {"ridge on cells": ("ridge", {})})
    adata = small_cohort(12)
    cohort = read_cohort(adata, age_key="age", donor_key="donor_id")
    fold, _ = assign_folds(cohort, 5, np.random.default_rng(3))
    donors = pd.DataFrame(
        {"age": cohort.age, "predicted": cohort.age + 1.0, "fold": fold.astype(str)},
        index=cohort.names,
    )
    monkeypatch.setattr(benchmark_script, "run_tool", lambda adata, seed: (donors, True, 2.0))
    table = benchmark_script.compare(adata, "simulated", 3, tool=True)
    assert table.loc[0, ["method", "mae", "beats_mean"]].tolist() == [
        "sctools age clock",
        pytest.approx(1),
        True,
    ]
    with pytest.raises(RuntimeError, match="different folds"):
        benchmark_script.compare(adata, "simulated", 4, tool=True)
