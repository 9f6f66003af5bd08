"""Intervals that the tool writes: for held-out donors, for new ones, and where there are none."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sctools.model import AgeClock, LinearClock
from sctools.model._age_intervals import average_factor
from sctools.model._conformal import HeldOutErrors
from sctools.pp._cohort import Cohort
from sctools.tl import age_clock
from sctools.tl._age_intervals import cross_fitted_intervals, interval_metrics

from .._clocks import QUICK, small_cohort, without_age

COLUMNS = ["age_clock_lower", "age_clock_upper"]


@pytest.fixture(scope="module")
def fitted():
    """A cohort of 30 donors, three without an age, and its clock."""
    adata = small_cohort(30)
    unknown = without_age(adata, 3)
    clock = age_clock(adata, **QUICK, return_model=True)
    return adata, clock, unknown


def radius(table, predicted="predicted", lower="lower", upper="upper"):
    """Half width, by the upper bound: the lower one stops at 0."""
    below = table[predicted] - table[lower]
    half = (table[upper] - table[predicted]).to_numpy()
    stopped = (table[lower] == 0).to_numpy()
    np.testing.assert_allclose(below[~stopped], half[~stopped])
    assert (below[stopped] <= half[stopped]).all()
    return half


# ------------------------------------------------------------------------- cross-fitting


def test_donors_held_out_by_the_errors_of_the_others(fitted):
    adata, _, unknown = fitted
    donors = adata.uns["age_clock"]["donors"]
    known = donors.drop(index=unknown)
    error = (known["predicted"] - known["age"]).abs()
    found = radius(known)
    for donor, half in zip(known.index, found, strict=True):
        others = np.sort(error.drop(donor))
        assert half == pytest.approx(others[int(np.ceil(0.9 * 27)) - 1])  # of 26 others
    assert len(set(found.round(9))) == 2


def test_donors_without_an_age_have_the_interval_of_new_donors(fitted):
    adata, clock, unknown = fitted
    donors = adata.uns["age_clock"]["donors"]
    assert clock.intervals.donors.n_donors == 27
    np.testing.assert_allclose(
        radius(donors.loc[unknown]), clock.intervals.donors.radius(0.9), rtol=1e-9
    )
    known = donors.drop(index=unknown)
    error = (known["predicted"] - known["age"]).abs()
    factor = clock.intervals.donors.error.max() / error.max()
    assert 0.5 <= factor < 1  # the average of the fold clocks errs less than each
    np.testing.assert_allclose(clock.intervals.donors.error, np.sort(error) * factor)


def test_cells_held_out_by_the_others_of_their_type(fitted):
    adata, _, unknown = fitted
    cells = adata.obs[~adata.obs["donor_id"].isin(unknown)].copy()
    cells["error"] = (cells["age_clock"] - cells["age"]).abs()
    half = pd.Series(radius(cells, "age_clock", *COLUMNS), index=cells.index)
    n_donors = cells.groupby("cell_type", observed=True)["donor_id"].nunique()
    assert n_donors.between(21, 26).all()  # enough, and not all
    for (donor, kind), rows in cells.groupby(["donor_id", "cell_type"], observed=True):
        others = cells[(cells["cell_type"] == kind) & (cells["donor_id"] != donor)]
        pooled = HeldOutErrors.of(others["error"].to_numpy(), others["donor_id"].to_numpy())
        np.testing.assert_allclose(half[rows.index], pooled.radius(0.9))
    by_type = half.groupby(cells["cell_type"], observed=True).median()
    assert by_type.nunique() == 3


def test_metrics_of_held_out_donors(fitted):
    adata, _, unknown = fitted
    metrics = adata.uns["age_clock"]["metrics"]
    known = adata.uns["age_clock"]["donors"].drop(index=unknown)
    assert metrics["donor"]["coverage"] == pytest.approx(25 / 27)
    width = (known["upper"] - known["lower"]).median()
    assert metrics["donor"]["width"] == pytest.approx(width)
    cells = adata.obs[adata.obs["age"].notna()]
    inside = cells["age"].between(cells[COLUMNS[0]], cells[COLUMNS[1]])
    by_donor = inside.groupby(cells["donor_id"], observed=True).mean()
    assert metrics["cell"]["coverage"] == pytest.approx(by_donor.mean())
    assert metrics["cell"]["coverage"] == pytest.approx(0.9, abs=0.06)
    assert (adata.obs[COLUMNS].dtypes == np.float64).all()


def fake_cohort(n_donors=30, *, n_cells=3, n_samples=1, n_folds=5, seed=0):
    """Predictions of fold clocks for donors, made by hand."""
    rng = np.random.default_rng(seed)
    n_units = n_donors * n_samples
    names = np.array([f"U{i:03}" for i in range(n_units)], dtype=object)
    donor = np.array([f"D{i // n_samples:03}" for i in range(n_units)], dtype=object)
    unit = np.repeat(np.arange(n_units), n_cells)
    sample = names if n_samples > 1 else None
    cohort = Cohort(unit, names, donor, sample, rng.uniform(20, 80, n_units))
    fold = cohort.donor_code % n_folds
    by_fold = cohort.age[unit] + rng.normal(0, 8, n_units)[unit]
    by_fold = by_fold + rng.normal(0, 3, (n_folds, len(unit)))
    predicted = by_fold[fold[unit], np.arange(len(unit))]
    return cohort, fold, by_fold, predicted


def intervals_of(cohort, fold, by_fold, predicted, level=0.9):
    columns = {"predicted": predicted}
    mean = np.bincount(cohort.unit, weights=predicted) / np.bincount(cohort.unit)
    donors = pd.DataFrame({"predicted": mean, "rest": 0}, index=cohort.names)
    adata = SimpleNamespace(obs=None)
    intervals = cross_fitted_intervals(
        adata, columns, donors, cohort, fold=fold, by_fold=by_fold, cell_type_key=None,
        level=level,
    )  # fmt: skip
    return SimpleNamespace(intervals=intervals), columns, donors


def test_no_interval_uses_its_donors_own_age():
    cohort, fold, by_fold, predicted = fake_cohort(n_samples=2)
    before = intervals_of(cohort, fold, by_fold, predicted)
    age = cohort.age.copy()
    mine = cohort.donor == "D004"
    age[mine] += 1000  # both samples: each would be in the other's interval
    after = intervals_of(cohort._replace(age=age), fold, by_fold, predicted)
    here = mine[cohort.unit]
    for name in ("lower", "upper"):
        np.testing.assert_array_equal(after[2][name][mine], before[2][name][mine])
        np.testing.assert_array_equal(after[1][name][here], before[1][name][here])
    assert (after[2]["upper"] > before[2]["upper"])[~mine].any()
    assert list(after[2].columns) == ["predicted", "lower", "upper", "rest"]


def test_samples_of_a_donor_share_its_weight():
    cohort, fold, by_fold, predicted = fake_cohort(n_samples=2)
    clock, _, donors = intervals_of(cohort, fold, by_fold, predicted)
    assert clock.intervals.donors.n_donors == 30
    error = np.abs(donors["predicted"].to_numpy() - cohort.age)
    pooled = HeldOutErrors.of(error[2:], cohort.donor[2:])
    assert (donors["upper"] - donors["predicted"]).iloc[0] == pytest.approx(pooled.radius(0.9))


def test_the_clock_gets_the_errors_of_the_average():
    cohort, fold, by_fold, predicted = fake_cohort(400)
    clock, columns, donors = intervals_of(cohort, fold, by_fold, predicted)
    for kept, table in ((clock.intervals.donors, donors), (clock.intervals.cells, columns)):
        half = np.median(np.asarray(table["upper"]) - np.asarray(table["predicted"]))
        # Means of three cells: 64 + 9 / 3 for one clock, 64 + 9 / 3 / 5 for the average; and cells.
        variances = (64 + 3 / 5) / (64 + 3) if table is donors else (64 + 9 / 5) / (64 + 9)
        assert kept.radius(0.9) / half == pytest.approx(np.sqrt(variances), abs=0.01)


def test_new_donors_are_covered_by_the_average():
    covered = {"donors": [], "cells": []}
    for seed in range(60):
        cohort, fold, by_fold, predicted = fake_cohort(40 + 60, n_folds=4, seed=seed)
        train = cohort.unit < 40
        part = cohort._replace(
            unit=cohort.unit[train], names=cohort.names[:40], donor=cohort.donor[:40],
            age=cohort.age[:40],
        )  # fmt: skip
        clock, *_ = intervals_of(part, fold[:40], by_fold[:, train], predicted[train])
        error = np.abs(by_fold.mean(axis=0) - cohort.age[cohort.unit])
        of_donors = np.abs(by_fold.mean(axis=0).reshape(-1, 3).mean(axis=1) - cohort.age)
        covered["donors"].append(np.mean(of_donors[40:] <= clock.intervals.donors.radius(0.9)))
        covered["cells"].append(np.mean(error[~train] <= clock.intervals.cells.radius(0.9)))
    assert np.mean(covered["donors"]) == pytest.approx(37 / 41, abs=0.02)
    assert np.mean(covered["cells"]) == pytest.approx(0.9, abs=0.02)


def test_the_factor_is_that_of_the_clocks(fitted, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "sctools.model._age_intervals.average_factor",
        lambda held_out: seen.append(held_out) or average_factor(held_out),
    )
    adata = small_cohort(12)
    clock = age_clock(adata, **QUICK, return_model=True)
    units = seen[0]
    parts = np.array([part.predict(adata) for part in clock.split()])
    donor = adata.obs["donor_id"].cat.codes.to_numpy()
    by_donor = np.array([np.bincount(donor, weights=p) / np.bincount(donor) for p in parts])
    np.testing.assert_allclose(units.by_fold, by_donor, atol=1e-6)
    fold = adata.obs.groupby("donor_id", observed=True)["age_clock_fold"].first().astype(int)
    np.testing.assert_array_equal(units.fold, fold)


# ------------------------------------------------------------------------- few donors


def test_too_few_donors_for_the_level(caplog):
    adata = small_cohort(9)
    with caplog.at_level(logging.WARNING, "sctools"):
        age_clock(adata, **QUICK)
    assert adata.obs[COLUMNS].isna().all(axis=None)
    donors = adata.uns["age_clock"]["donors"]
    assert donors[["lower", "upper"]].isna().all(axis=None)
    assert not {"coverage", "width"} & set(adata.uns["age_clock"]["metrics"]["donor"])
    message = r"level 0.9 need at least 9 other donors with a known age, found 8.*`level=0.888`"
    assert len([r for r in caplog.records if "Intervals" in r.getMessage()]) == 1
    assert pd.Series([caplog.text.replace("\n", " ")]).str.contains(message).all()


def test_the_highest_level_that_is_told_works(caplog):
    adata = small_cohort(9)
    with caplog.at_level(logging.WARNING, "sctools"):
        clock = age_clock(adata, level=0.888, return_model=True, **QUICK)
    assert "Intervals at level" not in caplog.text
    assert adata.obs[COLUMNS].notna().all(axis=None)
    assert adata.uns["age_clock"]["params"]["level"] == 0.888
    age_clock(adata, clock)  # nine donors for a new one
    assert adata.obs[COLUMNS].notna().all(axis=None)
    with caplog.at_level(logging.WARNING, "sctools"):
        age_clock(adata, clock, level=0.95)
    assert "level 0.95 need at least 19 donors" in caplog.text
    assert "found 9" in caplog.text
    assert adata.obs[COLUMNS].isna().all(axis=None)


# ------------------------------------------------------------------------- a given clock


def test_new_donors(fitted):
    _, clock, _ = fitted
    new = small_cohort(24)
    age_clock(new, clock, level=0.8)
    donors = new.uns["age_clock"]["donors"]
    np.testing.assert_allclose(radius(donors), clock.intervals.donors.radius(0.8))
    half = pd.Series(radius(new.obs, "age_clock", *COLUMNS), index=new.obs_names)
    for kind, rows in new.obs.groupby("cell_type", observed=True):
        expected = clock.intervals.cell_types[kind].radius(0.8)
        np.testing.assert_allclose(half[rows.index], expected)
    metrics = new.uns["age_clock"]["metrics"]
    inside = donors["age"].between(donors["lower"], donors["upper"])
    assert metrics["donor"]["coverage"] == pytest.approx(inside.mean())
    assert new.uns["age_clock"]["params"]["level"] == 0.8


def test_levels_are_nested(fitted):
    _, clock, _ = fitted
    new = small_cohort(24)
    widths = []
    for level in (0.5, 0.8, 0.9, 0.95):
        age_clock(new, clock, level=level)
        widths.append(radius(new.uns["age_clock"]["donors"])[0])
    assert (np.diff(widths) > 0).all()


def test_neither_order_nor_batches_nor_other_donors_matter(fitted):
    _, clock, _ = fitted
    plain = small_cohort(24)
    age_clock(plain, clock)
    rows = np.random.default_rng(0).permutation(plain.n_obs)
    shuffled, some = plain[rows].copy(), plain[plain.obs["donor_id"] == "D07"].copy()
    for other in (shuffled, some):
        age_clock(other, clock, batch_size=7)
        names = ["age_clock", *COLUMNS]
        expected = plain.obs.loc[other.obs_names, names]
        np.testing.assert_allclose(other.obs[names], expected, atol=1e-4)
        donors = other.uns["age_clock"]["donors"][["lower", "upper"]]
        expected = plain.uns["age_clock"]["donors"].loc[donors.index, ["lower", "upper"]]
        np.testing.assert_allclose(donors, expected, atol=1e-4)


def test_a_saved_clock_gives_the_same_intervals(fitted, tmp_path):
    _, clock, _ = fitted
    clock.save(tmp_path)
    one, other = small_cohort(12), small_cohort(12)
    age_clock(one, clock)
    age_clock(other, tmp_path)
    pd.testing.assert_frame_equal(one.obs, other.obs)


@pytest.mark.parametrize("how", ["saved earlier", "one fold", "trained alone"])
def test_clocks_without_intervals(fitted, how, tmp_path, caplog):
    _, clock, _ = fitted
    adata = small_cohort(12)
    if how == "saved earlier":
        clock.save(tmp_path)
        path = tmp_path / "clock.json"
        description = json.loads(path.read_text())
        del description["intervals"]
        path.write_text(json.dumps(description))
        clock = AgeClock.load(tmp_path)
    elif how == "one fold":
        clock = clock.split()[0]
    else:
        AgeClock.setup_anndata(adata)
        clock = AgeClock(adata, **QUICK["model_kwargs"])
        clock.train(max_epochs=1, progress_bar=False)
    with caplog.at_level(logging.WARNING, "sctools"):
        age_clock(adata, clock)
    assert "no errors on held-out donors" in caplog.text
    assert "return_model=True" in caplog.text
    assert adata.obs["age_clock"].notna().all()
    assert adata.obs[COLUMNS].isna().all(axis=None)
    assert adata.uns["age_clock"]["donors"][["lower", "upper"]].isna().all(axis=None)
    assert "coverage" not in adata.uns["age_clock"]["metrics"]["donor"]


def test_cells_on_their_own_have_no_intervals(fitted):
    _, clock, _ = fitted
    adata = small_cohort(12)
    age_clock(adata, clock, donor_key=None)
    assert not set(COLUMNS) & set(adata.obs)
    assert "level" not in adata.uns["age_clock"]["params"]


def test_clocks_made_elsewhere_have_no_intervals(caplog):
    adata = small_cohort(12)
    age_clock(adata, small_clock(), key_added="age_clock")
    assert adata.obs["age_clock"].notna().all()
    assert not set(COLUMNS) & set(adata.obs)
    assert "lower" not in adata.uns["age_clock"]["donors"]
    assert "level" not in adata.uns["age_clock"]["params"]
    assert "coverage" not in adata.uns["age_clock"]["metrics"]["donor"]


def small_clock():
    genes = small_cohort(12).var_names[:5]
    kinds = ["B cell", "T cell", "Monocyte"]
    return LinearClock(
        {kind: dict.fromkeys(genes, 1.0) for kind in kinds}, dict.fromkeys(kinds, 40.0)
    )


# ---------------------------------------------------------------------- bounds and metrics


def test_no_bound_is_a_negative_age():
    cohort, fold, by_fold, predicted = fake_cohort()
    low = predicted - 60.0  # some predictions fall below 0
    assert (low < 0).any()
    cohort = cohort._replace(age=np.maximum(cohort.age - 60, 0))
    _, columns, _ = intervals_of(cohort, fold, by_fold - 60.0, low)
    lower = columns["lower"]
    assert (lower[low >= 0] >= 0).all()
    assert (lower[low >= 0] == 0).any()
    np.testing.assert_array_equal(lower[low < 0], low[low < 0])


def test_coverage_and_width_by_hand():
    table = pd.DataFrame(
        {
            "donor": ["a", "a", "a", "b", "c", "d"],
            "age": [50.0, 50, 50, 60, 70, 80],
            "lower": [40.0, 50, 51, 50, 71, np.nan],
            "upper": [50.0, 60, 61, 70, 99, np.nan],
        }
    )
    found = interval_metrics(table)
    assert found == pytest.approx({"coverage": (2 / 3 + 1 + 0) / 3, "width": 10})
    assert interval_metrics(table.iloc[5:]) == {}
