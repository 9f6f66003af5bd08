from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sctools.model._calibration import calibrate, shrinkage


def fit(network, ridge, age):
    """Calibration with one cell per unit, and the ages that it gives to the units."""
    line = calibrate(network, ridge, age, network, np.arange(len(age)))
    return line, line.intercept + line.network * network + line.ridge * ridge


def standardized(values):
    return (values - values.mean()) / values.std()


@pytest.mark.parametrize(
    ("t", "n", "expected"),
    [
        (2.0, 100, 0.5),
        (4.0, 29, 0.75),
        (np.sqrt(2), 30, 0.0),
        (2.0, 29, 0.0),
        (1.0, 100, 0.0),
        (-5.0, 100, 0.0),
        (0.0, 100, 0.0),
    ],
)
def test_shrinkage(t, n, expected):
    assert shrinkage(t, n) == pytest.approx(expected)


@given(st.floats(-50, 50), st.floats(0, 50), st.integers(4, 200))
def test_shrinkage_lies_between_0_and_1_and_grows(t, more, n):
    assert 0 <= shrinkage(t, n) <= shrinkage(t + more, n) <= 1


def noisy(n, noise, seed=0):
    rng = np.random.default_rng(seed)
    age = standardized(rng.normal(size=n))
    return age, age + rng.normal(0, noise, n) + 3, age + rng.normal(0, noise, n) - 2


def test_equal_outputs_give_a_regression_shrunk():
    age, output, _ = noisy(60, 0.7)
    line, found = fit(output, output, age)
    expected = stats.linregress(output, age)
    factor = shrinkage(expected.slope / expected.stderr, 60)
    assert 0.5 < factor < 1
    np.testing.assert_allclose(found, factor * expected.slope * (output - output.mean()))
    assert line.network == line.ridge


def test_the_mean_output_stands_for_the_mean_age():
    age, network, ridge = noisy(40, 0.5)
    _, found = fit(network, ridge, age)
    assert found.mean() == pytest.approx(0, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(-50, 50), st.integers(6, 60))
def test_scale_and_offset_of_an_output_do_not_matter(seed, scale, offset, n):
    age, network, ridge = noisy(n, 0.6, seed)
    _, found = fit(network, ridge, age)
    for a, b in ((network * scale + offset, ridge), (network, ridge * scale + offset)):
        np.testing.assert_allclose(fit(a, b, age)[1], found, atol=1e-6)


def test_two_outputs_are_better_than_one():
    age, network, ridge = noisy(200, 1.0)
    error = [np.abs(fit(*pair, age)[1] - age).mean() for pair in
             ((network, network), (ridge, ridge), (network, ridge))]  # fmt: skip
    assert error[2] < min(error[:2])


@pytest.mark.parametrize("useless", ["constant", "wrong way round"])
def test_a_useless_output_counts_nothing(useless):
    age, output, _ = noisy(60, 0.5)
    other = np.full(60, 2.0) if useless == "constant" else -output
    for pair, name in (((output, other), "ridge"), ((other, output), "network")):
        line, found = fit(*pair, age)
        assert getattr(line, name) == 0
        assert np.corrcoef(found, age)[0, 1] > 0.8
        # Never stretched beyond the regression.
        assert found.std() <= stats.linregress(output, age).slope * output.std() + 1e-9
        assert found.std() > 0.4 * age.std()


def test_wrong_way_round_is_the_mean_age():
    age, network, ridge = noisy(40, 0.3)
    line, found = fit(-network, -ridge, age)
    assert tuple(line) == (0, 0, 0, 0, 0)
    assert (found == 0).all()


def test_noise_is_mostly_the_mean_age():
    rng = np.random.default_rng(0)
    spread = [
        np.std(fit(rng.normal(size=20), rng.normal(size=20), standardized(rng.normal(size=20)))[1])
        for _ in range(300)
    ]
    assert np.mean(np.array(spread) == 0) > 0.8


def test_few_donors_or_no_spread_is_the_mean_age():
    three = standardized(np.arange(3.0))
    assert (fit(three, three, three)[1] == 0).all()
    assert (fit(np.full(20, 0.3), np.full(20, 0.1), standardized(np.arange(20.0)))[1] == 0).all()
    four = standardized(np.arange(4.0))
    assert fit(four, four, four)[1].std() > 0.9


def test_exact_outputs_are_kept():
    age = standardized(np.arange(12.0))
    line, found = fit(age / 3, age * 5, age)
    np.testing.assert_allclose(found, age, atol=1e-6)
    assert line.cell == 1  # cells are never stretched


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(4, 50))
def test_cells_are_shrunk_for_their_noise_and_donors_count_alike(seed, n):
    rng = np.random.default_rng(seed)
    age = standardized(rng.normal(size=n))
    unit = np.repeat(np.arange(n), 20)
    cells = age[unit] + rng.normal(0, 2, len(unit))
    means = np.bincount(unit, weights=cells) / 20
    found = calibrate(means, means, age, cells, unit)
    assert 0 <= found.cell < 0.5
    assert found.cell_intercept == pytest.approx(-found.cell * means.mean())
    # Ten copies of one donor's cells change nothing.
    more = np.concatenate([np.arange(len(unit)), np.tile(np.flatnonzero(unit == 0), 9)])
    again = calibrate(means, means, age, cells[more], unit[more])
    np.testing.assert_allclose(again, found, atol=1e-9)


def test_samples_of_one_donor_are_not_independent():
    """Under no signal, slopes that are not 0 must not get frequent with more samples per donor."""
    rng = np.random.default_rng(0)
    n_donors, n_samples, n_runs = 12, 5, 200
    donor = np.repeat(np.arange(n_donors), n_samples)

    def share_of_slopes(known):
        hits = 0
        for _ in range(n_runs):
            age, out = (rng.standard_normal(n_donors)[donor] for _ in range(2))
            age = age + 0.05 * rng.standard_normal(len(donor))
            out = out + 0.05 * rng.standard_normal(len(donor))
            unit = np.arange(len(donor))
            hits += calibrate(out, out, age, out, unit, donor if known else None).network > 0
        return hits / n_runs

    assert share_of_slopes(known=False) > 0.2
    assert share_of_slopes(known=True) < 0.12
