"""What a clock keeps for its intervals: the average of clocks, cell types, files."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sctools.model import AgeClock
from sctools.model._age_intervals import (
    MIN_DONORS,
    N_KEPT,
    AgeIntervals,
    HeldOut,
    average_factor,
    held_out_radii,
)
from sctools.model._conformal import HeldOutErrors, radii_from_others

from .._clocks import small_cohort


def simulated(n_donors=60, n_folds=5, *, spread=1.0, n_cells=1, label=None, seed=0):
    """Fold clocks that err by something in common and by ``spread`` each on its own."""
    rng = np.random.default_rng(seed)
    donor = np.repeat(np.arange(n_donors), n_cells)
    common = rng.normal(0, 1, len(donor))
    by_fold = 50 + common + spread * rng.normal(0, 1, (n_folds, len(donor)))
    fold = donor % n_folds
    error = np.abs(by_fold[fold, np.arange(len(donor))] - 50)
    return HeldOut(error, donor, fold, by_fold, label)


# ----------------------------------------------------------- the average of fold clocks


@pytest.mark.parametrize("spread", [0.3, 1.0])
@pytest.mark.parametrize("n_folds", [3, 5])
def test_the_average_errs_less_by_the_spread_of_the_clocks(spread, n_folds):
    held_out = simulated(20_000, n_folds, spread=spread)
    truth = np.sqrt((1 + spread**2 / n_folds) / (1 + spread**2))
    assert average_factor(held_out) == pytest.approx(truth, abs=0.02)
    # What clocks say of the donors they never saw has no part in it.
    own = held_out.by_fold.copy()
    own[held_out.fold, np.arange(len(held_out.fold))] = 1e6
    assert average_factor(held_out._replace(by_fold=own)) == average_factor(held_out)


def test_the_factor_by_hand():
    by_fold = np.array([[99.0, 52.0], [54.0, 99.0], [50.0, 58.0]])  # variances 8 and 18
    held_out = HeldOut(np.array([7.0, 3.0]), np.array([4, 9]), np.array([0, 1]), by_fold)
    assert average_factor(held_out) == pytest.approx(np.sqrt(1 - 2 / 3 * 26 / 58))


def test_donors_count_alike_in_the_factor():
    few, many = simulated(12, n_cells=1), simulated(12, n_cells=1)
    repeated = few.where(np.repeat(np.arange(12), np.arange(12) + 1))
    assert average_factor(repeated) == pytest.approx(average_factor(many))


def test_the_factor_has_bounds():
    assert average_factor(simulated(spread=0.0)) == pytest.approx(1)
    small = simulated()
    assert average_factor(small._replace(error=small.error / 100)) == 0.5
    assert average_factor(small._replace(error=0 * small.error)) == 1
    # Two clocks: one alone was trained on a donor, and has no spread.
    assert average_factor(simulated(n_folds=2)) == 1


def test_errors_kept_are_those_of_the_average():
    units = simulated(30)
    intervals = AgeIntervals.fit(units, units)
    expected = HeldOutErrors.of(units.error, units.donor).radius(0.9) * average_factor(units)
    assert average_factor(units) < 0.9
    assert intervals.donors.radius(0.9) == pytest.approx(expected)
    assert intervals.cells.radius(0.9) == pytest.approx(expected)
    assert intervals.cell_types == {}


def test_unknown_ages_are_left_out():
    units = simulated(30)
    error = np.append(units.error, np.nan)
    by_fold = np.column_stack([units.by_fold, np.full(5, 1e6)])
    more = HeldOut(error, np.append(units.donor, 30), np.append(units.fold, -1), by_fold)
    found, expected = (AgeIntervals.fit(held_out, held_out) for held_out in (more, units))
    assert found.donors.n_donors == 30
    np.testing.assert_array_equal(found.donors.error, expected.donors.error)


# ------------------------------------------------------------------------- cell types


def typed(n_rare=MIN_DONORS):
    """Cells of a type with small errors, and of a rare one with large ones."""
    n_donors = 40
    label = np.array(["common", "rare"] * n_donors, dtype=object)
    cells = simulated(n_donors, n_cells=2, label=label)
    rare = label == "rare"
    cells = cells._replace(error=cells.error * np.where(rare, 10, 1))
    return cells.where(~rare | (cells.donor < n_rare))


@pytest.mark.parametrize("n_rare", [MIN_DONORS, MIN_DONORS - 1])
def test_cell_types_of_enough_donors_have_intervals_of_their_own(n_rare):
    cells = typed(n_rare)
    intervals = AgeIntervals.fit(simulated(), cells)
    assert list(intervals.cell_types) == ["common", "rare"][: 2 if n_rare == MIN_DONORS else 1]
    label = np.array(["rare", "common", None, "never seen", "rare"], dtype=object)
    radii = intervals.cell_radii(label, 5, 0.8)
    everything = intervals.cells.radius(0.8)
    common = intervals.cell_types["common"].radius(0.8)
    rare = intervals.cell_types["rare"].radius(0.8) if n_rare == MIN_DONORS else everything
    np.testing.assert_array_equal(radii, [rare, common, everything, everything, rare])
    assert common < everything
    np.testing.assert_array_equal(intervals.cell_radii(None, 2, 0.8), everything)


def test_a_level_that_a_type_has_too_few_donors_for_is_that_of_all_cells():
    intervals = AgeIntervals.fit(simulated(), typed())
    radii = intervals.cell_radii(np.array(["rare", "common"], dtype=object), 2, 0.96)
    assert intervals.cell_types["rare"].n_donors == 20  # 24 are needed
    assert radii.tolist() == [
        intervals.cells.radius(0.96),
        intervals.cell_types["common"].radius(0.96),
    ]


def test_held_out_cells_by_the_others_of_their_type():
    cells = typed(MIN_DONORS + 1)
    radii = held_out_radii(cells, 0.8)
    for name in ("common", "rare"):
        rows = cells.label == name
        expected = radii_from_others(cells.error[rows], cells.donor[rows], 0.8)
        np.testing.assert_array_equal(radii[rows], expected[cells.donor[rows]])
    few = typed(MIN_DONORS)  # one less without the donor itself
    radii = held_out_radii(few, 0.8)
    rare = few.label == "rare"
    expected = radii_from_others(few.error, few.donor, 0.8)
    np.testing.assert_array_equal(radii[rare], expected[few.donor[rare]])


def test_own_errors_have_no_part_in_held_out_intervals():
    cells = typed(MIN_DONORS + 1)
    radii = held_out_radii(cells, 0.8)
    mine = cells.donor == 3
    wild = cells._replace(error=np.where(mine, 1e6, cells.error))
    found = held_out_radii(wild, 0.8)
    np.testing.assert_array_equal(found[mine], radii[mine])
    assert (found[~mine] >= radii[~mine]).all()
    assert (found[~mine] > radii[~mine]).any()


def test_donors_without_a_known_age_have_no_held_out_interval():
    cells = simulated(30)
    error = np.where(cells.donor == 2, np.nan, cells.error)
    radii = held_out_radii(cells._replace(error=error), 0.9)
    assert np.isnan(radii[2])
    assert np.isfinite(np.delete(radii, 2)).all()


# ---------------------------------------------------------------------- clocks and files


@pytest.fixture(scope="module")
def clock():
    adata = small_cohort(8)
    AgeClock.setup_anndata(adata)
    clock = AgeClock(adata, n_repeats=1, n_hidden=4, head=())
    clock.train(max_epochs=1, steps_per_epoch=1, progress_bar=False)
    return clock


def assert_equal(found, expected):
    assert list(found.cell_types) == list(expected.cell_types)
    pairs = zip(found.cell_types.values(), expected.cell_types.values(), strict=True)
    for mine, other in [(found.donors, expected.donors), (found.cells, expected.cells), *pairs]:
        np.testing.assert_array_equal(mine.error, other.error)
        np.testing.assert_array_equal(mine.share, other.share)
        assert mine.n_donors == other.n_donors


def test_intervals_are_saved_with_the_clock(clock, tmp_path):
    own = clock.split()[0]
    own.intervals = AgeIntervals.fit(simulated(n_cells=2), typed())
    own.save(tmp_path / "clock")
    loaded = AgeClock.load(tmp_path / "clock")
    assert_equal(loaded.intervals, own.intervals)
    loaded.save(tmp_path / "again")
    assert_equal(AgeClock.load(tmp_path / "again").intervals, own.intervals)


def test_a_clock_without_intervals_writes_what_earlier_versions_wrote(clock, tmp_path):
    assert clock.intervals is None
    clock.save(tmp_path)
    assert "intervals" not in json.loads((tmp_path / "clock.json").read_text())
    assert AgeClock.load(tmp_path).intervals is None


@pytest.mark.parametrize("value", [None, 3, {}, {"donors": {"error": "x"}}])
def test_damaged_intervals(clock, tmp_path, value):
    clock.save(tmp_path)
    path = tmp_path / "clock.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "intervals": value}))
    with pytest.raises(ValueError, match="not a whole saved model"):
        AgeClock.load(tmp_path)


def test_intervals_belong_to_one_average_alone(clock):
    average = AgeClock.average([clock, clock])
    average.intervals = AgeIntervals.fit(simulated(), simulated())
    assert [part.intervals for part in average.split()] == [None, None]
    assert AgeClock.average([average]).intervals is None


def test_cells_are_kept_in_short():
    cells = simulated(30, n_cells=40)
    intervals = AgeIntervals.fit(simulated(30), cells)
    assert len(intervals.cells.error) == N_KEPT
    assert len(intervals.donors.error) == 30
