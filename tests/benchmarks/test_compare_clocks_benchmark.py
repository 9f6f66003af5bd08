"""The benchmark of all clock methods: the same folds, donors as the unit, runs that are kept."""

from __future__ import annotations

import importlib

import numpy as np
import pandas as pd
import pytest

import sctools


@pytest.fixture
def script(benchmarks):
    return importlib.import_module("compare_clocks")


def rows(data="onek1k", **errors):
    """Two donors in two seeds: errors of both by method, for each seed."""
    found = []
    for method, by_seed in errors.items():
        for seed, pair in enumerate(by_seed):
            for donor, age, error in zip("ab", (30.0, 60.0), pair, strict=True):
                found.append((donor, age, donor, data, method, seed, np.nan, age + error))
    columns = ["donor", "age", "fold", "data", "method", "seed", "cell_mae", "predicted"]
    return pd.DataFrame(found, columns=columns)


@pytest.mark.parametrize(("data", "expected"), [("onek1k", [1, 2]), ("simulated", [1, 0, 1, 4])])
def test_differences_are_paired_by_donor(script, data, expected):
    """A donor of real data counts once; in each simulated cohort there are other donors."""
    donors = rows(data, gma=[(1, -2), (3, 4)], ridge=[(2, 2), (4, 8)])
    table = script.summary(donors).set_index("method")
    assert table.loc["ridge", "difference"] == pytest.approx(1.5)
    assert table.loc["ridge", "n_donors"] == len(expected)
    assert table.loc["ridge", "n_seeds"] == 2
    expected = {
        "onek1k": np.std([1, 2], ddof=1) / 2**0.5,
        "simulated": np.std([1, 0, 1, 4], ddof=1) / 2,
    }
    assert table.loc["ridge", "standard_error"] == pytest.approx(expected[data])
    assert table.loc["gma", ["mae", "difference", "standard_error"]].tolist() == [2.5, 0, 0]


def test_other_folds_are_refused(script):
    donors = rows(gma=[(1, 2)], ridge=[(1, 2)])
    donors.loc[3, "fold"] = "a"
    with pytest.raises(RuntimeError, match="different folds"):
        script.summary(donors)


def test_runs_are_kept_and_not_repeated(script, monkeypatch, tmp_path):
    small = {"n_genes": 150, "n_age_genes": 20, "cells_per_donor": 12}
    monkeypatch.setattr(
        script,
        "load",
        lambda data, seed: (
            sctools.datasets.aging_cohort(9, rng=seed, **small) if data == "simulated" else None
        ),
    )
    raw = tmp_path / "donors.csv"
    names = ["simulated", "onek1k"]
    script.compute(raw, names, ["ridge"], range(1))
    first = pd.read_csv(raw)
    assert len(first) == 2 * 9
    assert set(first["method"]) == {"ridge", "mean_age"}
    asked = []
    real = script.run
    monkeypatch.setattr(script, "run", lambda *run: asked.append(run) or real(*run))
    found = script.compute(raw, names, ["ridge", "pls"], range(1))
    assert asked == [("simulated", "pls", 0), ("onek1k", "ridge", 0)]
    assert len(found) == 3 * 9
    pd.testing.assert_frame_equal(found.iloc[: 2 * 9], first)
    with pytest.raises(KeyError):  # the default is what others are compared with
        script.summary(found)
    adata = sctools.datasets.aging_cohort(9, rng=0, **small)
    sctools.tl.compare_clocks(adata, ["pls", "ridge"], rng=0, progress_bar=False)
    whole = adata.uns["compare_clocks"]
    for method in ("ridge", "pls", "mean_age"):
        own = found[found["method"] == method].set_index("donor")["predicted"]
        table = whole["predictions"].set_axis(whole["donors"]["donor"])[method]
        np.testing.assert_allclose(own, table[own.index], rtol=1e-6)


def test_without_any_run(script, monkeypatch, tmp_path, capsys):
    argv = ["compare_clocks.py", "--table", "--results", str(tmp_path)]
    monkeypatch.setattr("sys.argv", argv)
    with pytest.raises(SystemExit):
        script.main()
    assert "no runs in" in capsys.readouterr().err
