from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import Ridge

from sctools.model import _donor_ridge
from sctools.model._donor_batches import Strata
from sctools.model._donor_ridge import PENALTIES, POWERS, _solve, fit_donor_ridge, type_means

N_TYPES = 4
"""Three cell types and unknown, of which there is none below."""
FOLD = np.arange(30) % 3
LEARNS = np.stack([fold != FOLD for fold in range(3)])


def some_strata(n_units, n_genes=8, seed=0):
    """Strata by type and a second covariate; unit 0 has cells of type 0 only."""
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(n_units), 14)
    codes = np.column_stack([np.arange(len(unit)) % 3, rng.integers(0, 2, len(unit))])
    codes[unit == 0, 0] = 0
    x = sparse.random(len(unit), n_genes, 0.5, format="csr", random_state=0, dtype=np.float32)
    return Strata(x, unit, codes)


def planted(n_units=30, noise=0.3, seed=0):
    """Standardised values in which one gene of type 1 rises and one of type 2 falls with age."""
    rng = np.random.default_rng(seed)
    strata = some_strata(n_units)
    age = rng.normal(size=n_units)
    age = (age - age.mean()) / age.std()
    z = rng.normal(0, noise, (len(strata), strata.x.shape[1])).astype(np.float32)
    for kind, gene, sign in ((1, 3, 1), (2, 5, -1)):
        rows = strata.codes[:, 0] == kind
        z[rows, gene] += sign * age[strata.unit[rows]]
    return z, strata, age


def regression_data(n=20, n_features=35, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(2, 1, (n, n_features))
    x[:, 7] = 1.5  # a gene that never varies
    y = x[:, 0] - 0.5 * x[:, 1] + rng.normal(3, 0.5, n)
    learns = np.ones(n, dtype=bool)
    learns[::4] = False
    return x, y, learns


# --------------------------------------------------------------------- type means


def test_type_means_against_a_loop():
    strata = some_strata(6)
    z = np.random.default_rng(1).normal(size=(len(strata), 8)).astype(np.float32)
    found = type_means(z, strata, N_TYPES)
    assert found.shape == (6, N_TYPES, 8)
    assert found.dtype == np.float32
    sizes = []
    for unit in range(6):
        for kind in range(N_TYPES):
            rows = np.flatnonzero((strata.unit == unit) & (strata.codes[:, 0] == kind))
            sizes.append(len(rows))
            total, n_cells = np.zeros(8), 0
            for row in rows:
                total += strata.n_cells[row] * z[row].astype(float)
                n_cells += strata.n_cells[row]
            expected = total / n_cells if n_cells else np.zeros(8)
            np.testing.assert_allclose(found[unit, kind], expected, rtol=1e-5, atol=1e-6)
    assert {0, 2} <= set(sizes)
    assert (found[0, 1:] == 0).all()


def test_type_means_weigh_strata_by_their_cells():
    x = sparse.csr_matrix((4, 1), dtype=np.float32)
    strata = Strata(x, np.zeros(4, dtype=int), np.array([[0, 0], [0, 1], [0, 1], [0, 1]]))
    np.testing.assert_array_equal(strata.n_cells, [1, 3])
    np.testing.assert_allclose(type_means(np.array([[4.0], [8.0]]), strata, 2), [[[7.0], [0.0]]])


# ---------------------------------------------------------------------- one solve


@pytest.mark.parametrize("power", POWERS)
def test_solve_is_ridge_regression_on_gated_features(power):
    x, y, learns = regression_data()
    solutions = _solve(x, y, learns, power)
    assert len(solutions) == len(PENALTIES)
    centered = x[learns] - x[learns].mean(axis=0)
    gate = np.array(
        [0.0 if k == 7 else abs(np.corrcoef(x[learns, k], y[learns])[0, 1]) for k in range(35)]
    )
    gate = gate**power / np.sqrt((gate ** (2 * power)).mean())
    gated = centered * gate
    size = (gated**2).sum() / len(gated)
    for penalty, (weights, intercept) in zip(PENALTIES, solutions, strict=True):
        ridge = Ridge(alpha=penalty * size).fit(gated, y[learns])
        np.testing.assert_allclose(weights, ridge.coef_ * gate, atol=1e-9)
        expected = ridge.predict((x - x[learns].mean(axis=0)) * gate)
        np.testing.assert_allclose(x @ weights + intercept, expected, atol=1e-9)
        assert weights[7] == 0
        assert weights.argmax() == 0


def test_a_larger_penalty_shrinks_more():
    spread = [np.linalg.norm(weights) for weights, _ in _solve(*regression_data(), 1.0)]
    assert spread == sorted(spread, reverse=True)
    assert spread[0] > 2 * spread[-1]


def test_solve_ignores_the_units_it_does_not_learn_from():
    x, y, learns = regression_data()
    expected = _solve(x, y, learns, 1.0)
    x[~learns] += 5
    y[~learns] = -100
    for (weights, intercept), (a, b) in zip(_solve(x, y, learns, 1.0), expected, strict=True):
        np.testing.assert_array_equal(weights, a)
        assert intercept == b


@pytest.mark.parametrize(("n_learn", "expected"), [(0, 0.0), (1, 7.0)])
def test_solve_with_hardly_any_donor_is_its_mean_age(n_learn, expected):
    x = np.random.default_rng(0).normal(size=(3, 5))
    solutions = _solve(x, np.array([7.0, 1.0, 2.0]), np.arange(3) < n_learn, 1.0)
    assert len(solutions) == len(PENALTIES)
    for weights, intercept in solutions:
        np.testing.assert_array_equal(weights, np.zeros(5))
        assert intercept == expected


# -------------------------------------------------------------------- all the sets


def test_a_planted_signal_is_found():
    z, strata, age = planted()
    ridge = fit_donor_ridge(z, strata, age, LEARNS, N_TYPES)
    assert np.corrcoef(ridge.held_out, age)[0, 1] > 0.9
    assert ridge.weights.shape == (N_TYPES, 8)
    assert ridge.weights.dtype == np.float32
    assert np.unravel_index(ridge.weights.argmax(), ridge.weights.shape) == (1, 3)
    assert np.unravel_index(ridge.weights.argmin(), ridge.weights.shape) == (2, 5)
    assert (ridge.weights[3] == 0).all()  # no cells of unknown type


def test_noise_is_not_predicted():
    z, strata, age = planted()
    r = [
        np.corrcoef(
            fit_donor_ridge(z, strata, rng.permutation(age), LEARNS, N_TYPES).held_out, age
        )[0, 1]
        for rng in map(np.random.default_rng, range(10))
    ]
    assert abs(np.mean(r)) < 0.3


def by_hand(z, strata, age, learns, power, k):
    """Weights, intercept and held-out outputs for one power and one penalty."""
    x = type_means(z, strata, N_TYPES).reshape(len(age), -1)
    solutions = [_solve(x, age, units, power)[k] for units in learns]
    held_out = np.array(
        [
            np.mean([x[u] @ w + b for (w, b), units in zip(solutions, learns, strict=True)
                     if not units[u]])
            for u in range(len(age))
        ]
    )  # fmt: skip
    weights, intercepts = zip(*solutions, strict=True)
    return np.mean(weights, axis=0).reshape(N_TYPES, -1), np.mean(intercepts), held_out


@pytest.mark.parametrize("noise", [0.3, 2.0])
def test_the_best_of_all_powers_and_penalties_is_taken(noise):
    z, strata, age = planted(noise=noise)
    more = np.random.default_rng(2).random((2, 30)) < 0.7
    learns = np.concatenate([LEARNS, more])
    assert set((~learns).sum(axis=0)) == {1, 2, 3}
    candidates = [
        by_hand(z, strata, age, learns, power, k) for power in POWERS for k in range(len(PENALTIES))
    ]
    r = [np.corrcoef(held_out, age)[0, 1] for *_, held_out in candidates]
    assert np.sort(r)[-1] - np.sort(r)[-2] > 1e-6
    weights, intercept, held_out = candidates[int(np.argmax(r))]
    found = fit_donor_ridge(z, strata, age, learns, N_TYPES)
    np.testing.assert_allclose(found.held_out, held_out, atol=1e-6)
    np.testing.assert_allclose(found.weights, weights, atol=1e-6)
    assert found.intercept == pytest.approx(intercept, abs=1e-6)


@pytest.fixture
def one_choice(monkeypatch):
    """A single power and penalty: the choice, which sees all ages, is out of the way."""
    monkeypatch.setattr(_donor_ridge, "POWERS", (1.0,))
    monkeypatch.setattr(_donor_ridge, "PENALTIES", (0.3,))


@pytest.mark.usefixtures("one_choice")
def test_held_out_outputs_never_saw_the_age():
    z, strata, age = planted()
    before = fit_donor_ridge(z, strata, age, LEARNS, N_TYPES).held_out
    for unit in (0, 4, 11):
        changed = age.copy()
        changed[unit] += 10
        after = fit_donor_ridge(z, strata, changed, LEARNS, N_TYPES).held_out
        # The set that leaves this unit out leaves out its whole fold.
        same_fold = FOLD[unit] == FOLD
        np.testing.assert_array_equal(after[same_fold], before[same_fold])
        assert (np.abs(after - before)[~same_fold] > 1e-6).all()


@pytest.mark.usefixtures("one_choice")
def test_held_out_outputs_never_saw_the_expression():
    z, strata, age = planted()
    before = fit_donor_ridge(z, strata, age, LEARNS, N_TYPES).held_out
    changed = z.copy()
    changed[strata.unit == 4] += 3
    after = fit_donor_ridge(changed, strata, age, LEARNS, N_TYPES).held_out
    others = (FOLD[4] == FOLD) & (np.arange(30) != 4)
    np.testing.assert_array_equal(after[others], before[others])
    assert after[4] != before[4]


@pytest.mark.parametrize("age", [0.0, 0.1, 55.0])
def test_constant_age_is_the_answer(age):
    z, strata, _ = planted()
    ridge = fit_donor_ridge(z, strata, np.full(30, age), LEARNS, N_TYPES)
    np.testing.assert_allclose(ridge.held_out, age, atol=1e-9)
    np.testing.assert_allclose(ridge.weights, 0, atol=1e-9)
    assert ridge.intercept == pytest.approx(age)


def test_constant_expression_is_the_mean_age_of_the_others():
    z, strata, age = planted()
    ridge = fit_donor_ridge(np.zeros_like(z), strata, age, LEARNS, N_TYPES)
    expected = [age[fold != FOLD].mean() for fold in FOLD]
    np.testing.assert_allclose(ridge.held_out, expected, atol=1e-12)
    assert (ridge.weights == 0).all()


@pytest.mark.parametrize(
    ("n", "learns", "expected"),
    [
        (1, [[False], [False]], [0.0]),
        (2, [[True, False], [False, True]], [2.0, 1.0]),
        (2, [[False, False]], [0.0, 0.0]),
    ],
)
def test_one_or_two_donors(n, learns, expected):
    strata = some_strata(n)
    z = np.random.default_rng(0).normal(size=(len(strata), 8))
    age = np.arange(1.0, n + 1)
    ridge = fit_donor_ridge(z, strata, age, np.array(learns), N_TYPES)
    np.testing.assert_array_equal(ridge.held_out, expected)
    assert (ridge.weights == 0).all()
    assert ridge.intercept == pytest.approx(np.mean(expected))


def test_two_donors_to_learn_from_are_kept_apart():
    z, strata, _ = planted(3)
    learns = ~np.eye(3, dtype=bool)
    ridge = fit_donor_ridge(z, strata, np.array([-1.0, 0.0, 1.0]), learns, N_TYPES)
    assert np.isfinite(ridge.held_out).all()
    assert np.isfinite(ridge.weights).all()
    assert (ridge.weights != 0).any()


def test_inputs_are_left_alone():
    z, strata, age = planted()
    arrays = {"z": z, "age": age, "learns": LEARNS} | {
        name: value for name, value in vars(strata).items() if isinstance(value, np.ndarray)
    }
    before = {name: value.copy() for name, value in arrays.items()}
    x = strata.x.copy()
    fit_donor_ridge(z, strata, age, LEARNS, N_TYPES)
    for name, value in arrays.items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
    assert (strata.x != x).nnz == 0
