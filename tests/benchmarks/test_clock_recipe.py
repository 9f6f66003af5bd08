"""The benchmark of the clock's recipe: variants on the same cohorts, and runs that are kept."""

from __future__ import annotations

import importlib
import inspect

import numpy as np
import pandas as pd
import pytest

import sctools


@pytest.fixture
def script(benchmarks):
    return importlib.import_module("clock_recipe")


def test_variants_are_arguments_of_the_clock(script):
    clock = sctools.model.AgeClock
    known = {*inspect.signature(clock).parameters, *inspect.signature(clock.train).parameters}
    defaults = {
        name: parameter.default
        for function in (clock, clock.train)
        for name, parameter in inspect.signature(function).parameters.items()
    }
    for name, changed in script.VARIANTS.items():
        assert set(changed) <= known
        assert all(defaults[key] != value for key, value in changed.items())
        assert bool(changed) == (name != script.DEFAULT and name not in script.PATCHES)


@pytest.mark.parametrize(("name", "silent"), [("networks alone", 1), ("ridge alone", 0)])
def test_one_output_is_left_out(script, monkeypatch, name, silent):
    seen = []
    monkeypatch.setattr(script._age_fit, "calibrate", lambda *outputs: seen.extend(outputs))
    given = [np.arange(1.0, 4.0), np.arange(2.0, 5.0), np.ones(3)]
    with script.PATCHES[name]():
        script._age_fit.calibrate(*given)
    script._age_fit.calibrate(*given)  # as before
    for i, (patched, plain) in enumerate(zip(seen[:3], seen[3:], strict=True)):
        assert plain is given[i]
        assert (patched == 0).all() == (i == silent)
    assert (given[silent] != 0).all()


def test_without_the_networks_or_the_ridge_ages_change(script, monkeypatch):
    small = {"n_donors": 15, "n_genes": 200, "n_age_genes": 30, "cells_per_donor": 20}
    monkeypatch.setitem(script.COHORTS, "small", small | {"effect_size": 0.3})
    quick = {"max_epochs": 2, "n_repeats": 1, "n_hidden": 8, "head": ()}
    for name in ("default", "networks alone", "ridge alone"):
        monkeypatch.setitem(script.VARIANTS, name, quick)
    errors = {name: script.run("small", name, 0) for name in script.VARIANTS if name in
              ("default", "networks alone", "ridge alone")}  # fmt: skip
    assert len({row["mae"] for row in errors.values()}) == 3
    again = script.run("small", "ridge alone", 0)
    assert again == errors["ridge alone"]


def test_runs_are_kept_and_not_repeated(script, monkeypatch, tmp_path):
    asked = []

    def run(cohort, variant, seed):
        asked.append((cohort, variant, seed))
        return {"cohort": cohort, "variant": variant, "seed": seed, "mae": 1.0, "r": 0.5}

    monkeypatch.setattr(script, "run", run)
    raw = tmp_path / "runs.csv"
    script.compute(raw, ["default"], [1])
    found = script.compute(raw, ["default", "one repeat"], [1, 2])
    assert len(asked) == len(set(asked)) == len(found) == 4 * len(script.COHORTS)


def test_differences_are_paired_over_cohorts(script):
    runs = pd.DataFrame(
        {
            "cohort": "a",
            "variant": ["default", "default", "worse", "worse", "once"],
            "seed": [1, 2, 2, 1, 2],
            "mae": [3.0, 5.0, 5.5, 4.5, 4.0],
            "r": 0.9,
        }
    )
    table = script.summary(runs).set_index("variant")
    assert table["difference"].tolist() == pytest.approx([0, 1, -1])
    assert table["standard_error"].tolist()[:2] == pytest.approx([0, 0.5])
    assert np.isnan(table.loc["once", "standard_error"])
    assert table["mae"].tolist() == [4, 5, 4]
    assert table["n_cohorts"].tolist() == [2, 2, 1]


def test_table_of_no_runs(script, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.argv", ["clock_recipe.py", "--table", "--results", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        script.main()
    assert stop.value.code == 2
