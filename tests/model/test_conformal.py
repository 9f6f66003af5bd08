"""Conformal radii by hand, against a plain computation, and whether they cover what they say."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sctools.model._conformal import HeldOutErrors, highest_level, least_donors, radii_from_others


def one_each(error):
    return HeldOutErrors.of(np.asarray(error, dtype=float), np.arange(len(error)))


@pytest.mark.parametrize(
    ("level", "rank"),
    # ceil(level * 10) of nine errors
    [(0.05, 1), (0.1, 1), (0.11, 2), (0.5, 5), (0.8, 8), (0.81, 9), (0.9, 9), (0.91, None)],
)
def test_the_rank_by_hand(level, rank):
    errors = one_each([7.0, 1.0, 3.0, 9.0, 2.0, 8.0, 4.0, 6.0, 5.0])  # 1 to 9
    found = errors.radius(level)
    assert np.isnan(found) if rank is None else found == rank


@pytest.mark.parametrize(
    ("level", "least"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99), (0.7, 3)]
)
def test_the_least_number_of_donors(level, least):
    assert least_donors(level) == least
    assert np.isfinite(one_each(range(least)).radius(level))
    assert np.isnan(one_each(range(least - 1)).radius(level)) if least > 1 else True
    assert highest_level(least) >= level - 1e-12
    assert np.isfinite(one_each(range(least)).radius(highest_level(least)))


def test_donors_count_alike_however_many_cells_they_have():
    # Three donors; the cells of the third weigh a quarter each.
    error = np.array([5.0, 9.0, 1.0, 2.0, 3.0, 4.0])
    donor = np.array(["a", "b", "c", "c", "c", "c"])
    errors = HeldOutErrors.of(error, donor)
    assert errors.n_donors == 3
    np.testing.assert_array_equal(errors.error, [1, 2, 3, 4, 5, 9])
    np.testing.assert_allclose(errors.share * 3, [0.25, 0.5, 0.75, 1, 2, 3])
    # What is needed of three donors is four times the level.
    expected = {0.05: 1, 0.125: 2, 0.25: 4, 0.26: 5, 0.5: 5, 0.51: 9, 0.75: 9}
    assert {level: errors.radius(level) for level in expected} == expected
    assert np.isnan(errors.radius(0.76))


def test_every_donor_by_the_others_alone():
    error = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    # Of four others the one of rank ceil(0.7 * 5) = 4, the largest.
    np.testing.assert_array_equal(radii_from_others(error, np.arange(5), 0.7), [5, 5, 5, 5, 4])
    np.testing.assert_array_equal(radii_from_others(error, np.arange(5), 0.5), [4, 4, 4, 3, 3])
    assert np.isnan(radii_from_others(error, np.arange(5), 0.81)).all()
    # An error of one's own, however large, has no part in one's interval.
    huge = error.copy()
    huge[4] = 1e9
    assert radii_from_others(huge, np.arange(5), 0.7)[4] == 4


@pytest.mark.parametrize("level", [0.3, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("seed", range(5))
def test_the_others_are_pooled_as_if_the_donor_were_not_there(level, seed):
    rng = np.random.default_rng(seed)
    n_cells = rng.integers(1, 7, rng.integers(2, 30))
    donor = rng.permutation(np.repeat(np.arange(len(n_cells)), n_cells))
    error = np.abs(rng.normal(size=len(donor))).round(rng.integers(1, 6))  # with ties
    found = radii_from_others(error, donor, level)
    for k, radius in enumerate(found):
        others = HeldOutErrors.of(error[donor != k], donor[donor != k])
        np.testing.assert_equal(radius, others.radius(level))


def test_the_order_of_rows_does_not_matter():
    rng = np.random.default_rng(0)
    donor = np.repeat(np.arange(20), 5)
    error = np.abs(rng.normal(size=100))
    rows = rng.permutation(100)
    pooled, shuffled = HeldOutErrors.of(error, donor), HeldOutErrors.of(error[rows], donor[rows])
    assert pooled.radius(0.9) == shuffled.radius(0.9)
    np.testing.assert_array_equal(
        radii_from_others(error, donor, 0.9), radii_from_others(error[rows], donor[rows], 0.9)
    )


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_new_donors_are_covered(level):
    rng = np.random.default_rng(1)
    errors = np.abs(rng.standard_t(3, size=(4000, 31)))  # heavy tails, of 30 donors and a new one
    radii = [one_each(error[:30]).radius(level) for error in errors]
    expected = np.ceil(level * 31) / 31
    assert np.mean(errors[:, 30] <= radii) == pytest.approx(expected, abs=0.015)


def test_a_random_cell_of_new_donors_is_covered():
    # Noisy donors have many cells: cells that counted alike would give wider intervals.
    rng = np.random.default_rng(2)
    covered, too_wide = [], []
    for _ in range(2000):
        spread = rng.choice([1.0, 4.0], 31)
        n_cells = np.where(spread > 1, 20, 2)
        donor = np.repeat(np.arange(31), n_cells)
        error = np.abs(rng.normal(0, spread, 31)[donor] + rng.normal(0, 0.3, len(donor)))
        new = error[donor == 30][0]
        error, donor = error[donor < 30], donor[donor < 30]
        covered.append(new <= HeldOutErrors.of(error, donor).radius(0.7))
        too_wide.append(new <= np.quantile(error, 0.7))
    assert np.mean(covered) == pytest.approx(0.71, abs=0.025)
    assert np.mean(too_wide) > 0.76


def test_thinning_keeps_the_radii_and_never_narrows_them():
    rng = np.random.default_rng(0)
    donor = np.repeat(np.arange(50), 40)
    errors = HeldOutErrors.of(np.abs(rng.normal(size=2000)), donor)
    thin = errors.thinned(500)
    assert len(thin.error) == len(thin.share) == 500
    assert thin.n_donors == 50
    assert thin.share[-1] == 1
    assert thin.radius(0.98) == errors.radius(0.98) == errors.error[-1]
    for level in (0.1, 0.5, 0.8, 0.9, 0.95):
        assert errors.radius(level) <= thin.radius(level) <= errors.radius(level + 0.0021)
    assert errors.thinned(2000) is errors


def test_scaling():
    errors = one_each([1.0, 2.0, 4.0])
    assert errors.times(0.5).radius(0.5) == errors.radius(0.5) / 2 == 1


def test_values_pass_through_a_file():
    errors = HeldOutErrors.of(np.array([1 / 3, 0.1, 2.0]), np.array([0, 0, 1]))
    back = HeldOutErrors.from_dict(json.loads(json.dumps(errors.to_dict())))
    np.testing.assert_array_equal(back.error, errors.error)
    np.testing.assert_array_equal(back.share, errors.share)
    assert back.n_donors == 2
