"""The statistics of a comparison against scipy and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from sctools.tl._group_effect import (
    group_effect,
    independent_columns,
    reference_line,
    weights_of,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def design(rng, n=20, n_case=8):
    age = rng.uniform(20, 90, n)
    return np.column_stack([np.ones(n), age, (np.arange(n) < n_case).astype(float)])


def test_without_age_and_noise_it_is_the_t_test(rng):
    y, group = rng.normal(size=15), np.repeat([1.0, 0.0], [6, 9])
    X, donor = np.column_stack([np.ones(15), group]), np.arange(15)
    welch = stats.ttest_ind(y[:6], y[6:], equal_var=False)
    found = group_effect(y, X, np.ones(15), donor, level=0.9)
    assert found.effect / found.error == pytest.approx(welch.statistic)
    assert 5 < found.df < 13
    found = group_effect(y, X, np.ones(15), donor, level=0.9, equal_spread=True)
    expected = stats.ttest_ind(y[:6], y[6:])
    interval = expected.confidence_interval(0.9)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.lower, found.upper) == pytest.approx((interval.low, interval.high))
    assert found.effect == pytest.approx(y[:6].mean() - y[6:].mean())
    assert found.df == 13


def test_least_squares_are_those_of_statsmodels(rng):
    X = design(rng)
    y = X @ [3.0, 0.8, 5.0] + rng.normal(0, 4, 20)
    noise = rng.uniform(1, 60, 20)
    found = group_effect(y, X, noise, np.arange(20), level=0.95, equal_spread=True)
    fit = sm.WLS(y, X, weights=weights_of(y, X, noise)).fit()
    assert found.p == pytest.approx(fit.pvalues[2])
    assert (found.effect, found.error) == pytest.approx((fit.params[2], fit.bse[2]))
    assert (found.lower, found.upper) == pytest.approx(tuple(fit.conf_int()[2]))
    assert found.p != pytest.approx(sm.OLS(y, X).fit().pvalues[2], rel=0.01)
    robust = group_effect(y, X, noise, np.arange(20), level=0.95)
    assert robust.effect == pytest.approx(found.effect)
    assert robust.error == pytest.approx(fit.get_robustcov_results("HC2").bse[2])


def recovered(rng, between, per_cell, n=60):
    """Weights of donors with this variance, averaged over cohorts, beside the right ones."""
    n_cells = np.geomspace(5, 200, n)
    X = np.column_stack([np.ones(n), rng.uniform(-1, 1, n)])
    variance = between + per_cell / n_cells
    found = [
        weights_of(rng.normal(0, np.sqrt(variance)) + 20 * X[:, 1], X, 1 / n_cells)
        for _ in range(60)
    ]
    return np.mean(found, axis=0), n / variance / (1 / variance).sum()


@pytest.mark.parametrize(("between", "per_cell"), [(25, 0), (0, 400), (9, 400)])
def test_weights_are_what_the_donors_variance_says(rng, between, per_cell):
    found, right = recovered(rng, between, per_cell)
    equal, by_cells = np.ones(60), np.geomspace(5, 200, 60)
    by_cells /= by_cells.mean()
    others = [w for w in (equal, by_cells) if not np.allclose(w, right)]
    assert all(np.abs(found - right).mean() < np.abs(found - w).mean() for w in others)
    assert np.corrcoef(found, by_cells)[0, 1] > 0.9 or per_cell == 0


def test_only_the_ratios_of_the_cells_count(rng):
    X = design(rng)
    y = X @ [3.0, 0.8, 5.0] + rng.normal(0, 5, 20)
    n_cells = rng.integers(5, 200, 20)
    weights = weights_of(y, X, 1 / n_cells)
    assert weights.mean() == pytest.approx(1)
    assert np.ptp(weights) > 0.1
    np.testing.assert_allclose(weights_of(y, X, 0.1 / n_cells), weights)
    np.testing.assert_allclose(weights_of(3 * y + X[:, 1], X, 1 / n_cells), weights)
    np.testing.assert_allclose(weights_of(y, X, np.full(20, 0.3)), np.ones(20))


def test_weights_without_scatter_are_equal(rng):
    X = design(rng)
    noise = 1 / np.arange(1, 21)
    np.testing.assert_array_equal(weights_of(X @ [3.0, 0.8, 5.0], X, noise), np.ones(20))
    np.testing.assert_array_equal(weights_of(np.arange(3.0), np.eye(3), noise[:3]), np.ones(3))


def test_donors_in_both_groups_are_compared_with_themselves(rng):
    donor = np.repeat(np.arange(12), 2)
    group = np.tile([0.0, 1.0], 12)
    y = rng.normal(0, 10, 12)[donor] + 2.0 * group + rng.normal(0, 2, 24)
    X = np.column_stack([np.ones(24), group])
    found = group_effect(y, X, np.ones(24), donor, level=0.95)
    expected = stats.ttest_rel(y[1::2], y[::2])
    assert found.effect == pytest.approx((y[1::2] - y[::2]).mean())
    assert found.effect / found.error == pytest.approx(expected.statistic)
    assert found.df == pytest.approx(11)
    assert found.p == pytest.approx(expected.pvalue)
    uneven = group_effect(y, X, rng.uniform(0.01, 0.2, 24), donor, level=0.95)
    assert uneven.error < 2 * found.error  # what a donor adds to both still cancels
    alone = group_effect(y, X, np.ones(24), np.arange(24), level=0.95)
    assert alone.p > 10 * found.p


def test_donors_in_one_group_add_to_those_in_both(rng):
    donor = np.array([0, 0, 1, 1, 2, 2, *range(3, 23)])
    group = np.array([0, 1, 0, 1, 0, 1, *np.tile([0, 1], 10)], dtype=float)
    y = rng.normal(0, 5, 23)[donor] + 20.0 * group + rng.normal(0, 2, 26)
    noise = rng.uniform(0, 2, 26)
    X = np.column_stack([np.ones(26), group])
    found = group_effect(y, X, noise, donor, level=0.95)
    assert found == group_effect(y, X, noise, donor, level=0.95, equal_spread=True)
    assert found.lower < 20 < found.upper
    assert 3 < found.df < 21


def test_four_donors_in_both_groups_and_sixteen_in_one_give_no_false_positives(rng):
    donor = np.array([0, 0, 1, 1, 2, 2, 3, 3, *range(4, 20)])
    group = np.array([*np.tile([0, 1], 4), *np.tile([0, 1], 8)], dtype=float)
    p = []
    for _ in range(400):
        age = rng.uniform(20, 90, 20)[donor]
        noise = 100 / rng.integers(5, 200, 24)
        y = rng.normal(0, 4, 20)[donor] + rng.normal(0, 4, 24) + rng.normal(0, np.sqrt(noise))
        X = np.column_stack([np.ones(24), age, group])
        p.append(group_effect(y, X, noise, donor, level=0.95).p)
    for level in (0.05, 0.2):
        low, high = stats.binom(400, level).interval(0.999)
        assert low <= (np.array(p) < level).sum() <= high


def test_a_small_group_of_large_spread_gives_no_false_positives(rng):
    group = np.repeat([1.0, 0.0], [10, 50])
    p = {True: [], False: []}
    for _ in range(400):
        X = np.column_stack([np.ones(60), rng.uniform(20, 90, 60), group])
        y = rng.normal(0, np.where(group == 1, 10, 5))
        for equal, values in p.items():
            found = group_effect(y, X, np.ones(60), np.arange(60), level=0.95, equal_spread=equal)
            values.append(found.p)
    low, high = stats.binom(400, 0.05).interval(0.999)
    assert low <= (np.array(p[False]) < 0.05).sum() <= high
    assert (np.array(p[True]) < 0.05).mean() > 0.12


def test_no_scatter():
    X = np.column_stack([np.ones(8), np.arange(8.0), np.tile([0.0, 1.0], 4)])
    same = group_effect(np.full(8, 50.0), X, np.ones(8), np.arange(8), level=0.95)
    assert (same.effect, same.p) == (pytest.approx(0, abs=1e-9), 1.0)
    exact = group_effect(X @ [1.0, 2.0, 3.0], X, np.ones(8), np.arange(8), level=0.95)
    assert (exact.effect, exact.p) == (pytest.approx(3), 0.0)


def test_nothing_to_tell(rng):
    X = design(rng, 6, 3)
    y = rng.normal(size=6)
    donor = np.arange(6)
    assert group_effect(y, X, np.ones(6), donor, level=0.95, equal_spread=True).df == 3
    assert 1 < group_effect(y, X, np.ones(6), donor, level=0.95).df < 4.01
    follows = np.column_stack([X[:, :2], 2 * X[:, 2] - 1, X[:, 2]])
    assert group_effect(y, follows, np.ones(6), donor, level=0.95) is None
    full = np.column_stack([X[:, :2], rng.normal(size=(6, 3)), X[:, 2]])
    assert group_effect(y, full, np.ones(6), donor, level=0.95) is None


def test_columns_that_say_the_same_count_once(rng):
    X = design(rng)
    y = rng.normal(size=20)
    sex = (np.arange(20) % 2).astype(float)
    once = np.column_stack([X[:, :2], sex, X[:, 2]])
    twice = np.column_stack([X[:, :2], sex, 1 - sex, 100 * sex, np.zeros(20), X[:, 2]])
    np.testing.assert_array_equal(independent_columns(twice), once)
    results = [group_effect(y, Z, np.ones(20), np.arange(20), level=0.95) for Z in (once, twice)]
    assert results[0] == results[1]


def test_reference_line(rng):
    age = rng.uniform(20, 90, 10)
    found = reference_line(age, 5 + 0.7 * age, np.ones(10))
    assert found == pytest.approx((5, 0.7))
    noise = np.array([1.0, *np.full(9, 1e-6)])  # the first says nothing
    y = 5 + 0.7 * age + np.array([50, *rng.normal(0, 0.1, 9)])
    assert reference_line(age, y, noise) == pytest.approx((5, 0.7), abs=0.3)
    assert np.abs(np.array(reference_line(age, y, np.ones(10))) - [5, 0.7]).max() > 1
    assert reference_line(age[:2], age[:2], np.ones(2)) is None
    assert reference_line(np.full(5, 40.0), age[:5], np.ones(5)) is None
