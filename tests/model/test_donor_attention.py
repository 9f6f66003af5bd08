"""Attention over the cells of a donor: finds the cells that tell the age, and says nothing else."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from sctools import datasets
from sctools.model._clock_methods import _donor_attention, clock_method
from sctools.model._clock_methods._donor_attention import DonorAttention, _choose, _Search
from sctools.model._clock_methods._donor_attention_clusters import SoftClusters
from sctools.model._clock_methods._donor_attention_ridge import (
    PENALTIES,
    evidence,
    fit_unit_ridge,
)
from sctools.model._clock_methods._tuned import ConstantClock
from sctools.pp._cohort import read_cohort

AGING = "type 3"


@functools.cache
def _cohort(seed: int, aging: tuple[str, ...] | None) -> tuple[Any, np.ndarray]:
    from sctools.model._clock_methods import ClockCells

    adata = datasets.aging_cohort(
        48, n_genes=300, cell_types=[f"type {i}" for i in range(8)], aging_cell_types=aging,
        cells_per_donor=48, n_age_genes=30, shared_fraction=0.5, effect_size=0.3, donor_sd=0.1,
        n_marker_genes=25, rng=seed,
    )  # fmt: skip
    cohort = read_cohort(adata, age_key="age", donor_key="donor_id")
    counts = sparse.csr_matrix(adata.X, dtype=np.float64)
    depth = np.asarray(counts.sum(axis=1)).ravel()
    x = sparse.csr_matrix(sparse.diags(1e4 / depth) @ counts).log1p().astype(np.float32)
    labels = adata.obs["cell_type"].astype(str).to_numpy(dtype=object)
    return ClockCells(x, cohort.unit, None, cohort.donor, cohort.age), labels == AGING


def split(cells, carries):
    """Three quarters of the donors, the others, and which cells of these carry the age."""
    asked = np.arange(len(cells.age)) % 4 == 1
    rows = asked[cells.unit]
    return (
        cells.of_units(np.flatnonzero(~asked)),
        cells.of_units(np.flatnonzero(asked)),
        carries[rows],
    )


@pytest.fixture(scope="module")
def planted():
    train, test, carries = split(*_cohort(3, (AGING,)))
    return train, test, carries, clock_method("donor_attention").fit(train, rng=0)


def auroc(weights, carries):
    order = np.argsort(np.argsort(weights)) + 1.0
    n = carries.sum()
    return (order[carries].sum() - n * (n + 1) / 2) / (n * (len(carries) - n))


def test_weights_find_the_cells_that_carry_the_age(planted):
    train, test, carries, fitted = planted
    assert 0.08 < carries.mean() < 0.18
    weights = fitted.weights(test.without_ages())
    assert auroc(weights * np.bincount(test.unit)[test.unit], carries) > 0.95
    assert weights[carries].sum() / len(test.age) > 0.7
    error = np.abs(fitted.predict(test) - test.age).mean()
    pooled = clock_method("ridge").fit(train, rng=0).predict(test)
    assert error < 0.6 * np.abs(pooled - test.age).mean()
    assert error < 0.5 * np.abs(train.age.mean() - test.age).mean()


def test_weights_are_those_of_the_cells_of_each_unit(planted):
    _, test, _, fitted = planted
    weights = fitted.weights(test)
    assert weights.dtype == np.float64
    assert weights.shape == test.unit.shape
    assert (weights > 0).all()
    np.testing.assert_allclose(np.bincount(test.unit, weights=weights), 1.0)
    # The age is read from the weighted mean: the same as from one cell with that expression.
    member = sparse.csr_matrix((weights, (test.unit, np.arange(len(weights)))))
    raw = member @ test.x[:, fitted.genes] @ fitted._coef
    age = fitted._intercept + fitted._sd * fitted.slope * raw
    np.testing.assert_allclose(fitted.predict(test), age)


def test_nothing_depends_on_other_units_on_order_or_on_batches(planted, monkeypatch):
    _, test, _, fitted = planted
    ages, weights, of_cells = fitted.predict(test), fitted.weights(test), fitted.predict_cells(test)
    order = np.random.default_rng(0).permutation(len(test.unit))
    shuffled = test._replace(x=test.x[order], unit=test.unit[order])
    np.testing.assert_allclose(fitted.predict(shuffled), ages, rtol=1e-9)
    np.testing.assert_allclose(fitted.weights(shuffled), weights[order], rtol=1e-9)
    np.testing.assert_allclose(fitted.predict_cells(shuffled), of_cells[order], rtol=1e-9)
    one = test.of_units(np.array([5]))
    rows = test.unit == 5
    np.testing.assert_allclose(fitted.predict(one), ages[[5]], rtol=1e-9)
    np.testing.assert_allclose(fitted.weights(one), weights[rows], rtol=1e-9)
    np.testing.assert_allclose(fitted.predict_cells(one), of_cells[rows], rtol=1e-9)
    monkeypatch.setattr("sctools.model._clock_methods._donor_attention_clusters.READ_ROWS", 7)
    np.testing.assert_allclose(fitted.weights(test), weights, rtol=1e-9)


def test_cells_deviate_as_far_as_they_are_attended_to(planted):
    _, test, carries, fitted = planted
    ages, of_cells = fitted.predict(test), fitted.predict_cells(test)
    deviation = of_cells - ages[test.unit]
    np.testing.assert_allclose(np.bincount(test.unit, weights=deviation), 0, atol=1e-8)
    assert deviation[carries].std() > 5 * np.median(np.abs(deviation[~carries]))


def test_attention_is_uniform_where_all_cells_tell_the_age():
    train, test, _ = split(*_cohort(4, None))
    fitted = clock_method("donor_attention").fit(train, rng=0)
    weights = fitted.weights(test) * np.bincount(test.unit)[test.unit]
    # The effective share of the cells of a donor.
    even = 1 / np.bincount(test.unit, weights=weights**2) * np.bincount(test.unit)
    assert even.mean() > 0.6
    error = np.abs(fitted.predict(test) - test.age).mean()
    assert error < 0.5 * np.abs(train.age.mean() - test.age).mean()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_ages_without_a_signal_give_the_mean_age_and_uniform_weights(planted, seed):
    train, test, *_ = planted
    shuffled = train._replace(age=np.random.default_rng(seed).permutation(train.age))
    fitted = clock_method("donor_attention").fit(shuffled, rng=0)
    assert np.ptp(fitted.predict(test)) < 0.3 * np.ptp(train.age)
    if fitted.slope == 0:
        np.testing.assert_allclose(fitted.predict(test), shuffled.age.mean())
        np.testing.assert_allclose(fitted.weights(test), 1 / np.bincount(test.unit)[test.unit])


def test_cell_types_are_not_used(planted):
    train, test, _, fitted = planted
    labels = np.random.default_rng(0).choice(
        np.array(["a", "b", None], dtype=object), len(train.unit)
    )
    told = clock_method("donor_attention").fit(train._replace(cell_type=labels), rng=0)
    np.testing.assert_array_equal(told.predict(test), fitted.predict(test))


def test_seed_decides(planted):
    train, test, _, fitted = planted
    again, other = (clock_method("donor_attention").fit(train, rng=seed) for seed in (0, 1))
    np.testing.assert_array_equal(again.weights(test), fitted.weights(test))
    assert not np.array_equal(other.weights(test), fitted.weights(test))


def test_one_donor_gives_its_age_and_uniform_weights(planted):
    train, test, *_ = planted
    fitted = clock_method("donor_attention").fit(train.of_units(np.array([2])))
    assert isinstance(fitted, ConstantClock)
    np.testing.assert_array_equal(fitted.predict(test), train.age[2])
    np.testing.assert_allclose(fitted.weights(test), 1 / np.bincount(test.unit)[test.unit])


def test_few_cells_or_cells_alike_leave_uniform_attention(planted):
    train, test, *_ = planted
    few = np.concatenate([np.flatnonzero(train.unit == u)[:5] for u in range(len(train.age))])
    method = clock_method("donor_attention")
    fitted = method.fit(train._replace(x=train.x[few], unit=train.unit[few]), rng=0)
    assert np.ptp(fitted.weights(test.of_units(np.array([0])))) == 0
    alike = sparse.csr_matrix(np.ones((len(train.unit), 5), dtype=np.float32))
    fitted = method.fit(train._replace(x=alike), rng=0)
    np.testing.assert_allclose(fitted.predict(train._replace(x=alike)), train.age.mean())


def test_held_out_donors_do_not_shape_what_predicts_them(planted, monkeypatch):
    """Ages of an inner fold change nothing in its own predictions."""
    train, *_ = planted
    donor = np.arange(len(train.age))
    held = donor[::5]
    changed = train.age.copy()
    changed[held] = train.age[held][::-1] + 30
    found = []
    for age in (train.age, changed):
        search = _Search(train.x, train.unit, age, donor)
        search.add_clusters((8,), 8, np.random.default_rng(0))
        found.append(search.held_out([held, np.setdiff1d(donor, held)])[:, :, held])
    np.testing.assert_array_equal(*found)
    assert found[0].shape == (1 + len(_donor_attention.POWERS), len(PENALTIES), len(held))


def test_samples_of_a_donor_stay_on_one_side(planted):
    """Donors give two samples each: twins of what is predicted prove nothing."""
    train, *_ = planted
    n = len(train.age)
    donor = np.repeat(np.arange(n // 2), 2)
    rng = np.random.default_rng(0)
    # An expression of its own for every donor, and an age of its own.
    x = np.repeat(rng.normal(size=(n // 2, 40)), 2, axis=0) + 0.01 * rng.normal(size=(n, 40))
    age = np.repeat(rng.normal(size=n // 2), 2)
    assert evidence(x @ x.T, age, donor) < 2
    assert evidence(x @ x.T, age, np.arange(n)) > 20


def test_ridge_is_that_of_scikit_learn_with_donors_left_out():
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    x, y, donor = rng.normal(size=(14, 30)) + 2, rng.normal(size=14) + 1, np.arange(14) // 2
    asked = rng.normal(size=(3, 30))
    size = ((x - x.mean(axis=0)) ** 2).sum() / 14
    for who in (donor, np.arange(14)):
        fitted = fit_unit_ridge(x @ x.T, y, who)
        for k in (0, 4, 8):
            alpha = PENALTIES[k] * size
            expected = Ridge(alpha=alpha).fit(x, y).predict(asked)
            np.testing.assert_allclose(fitted.predict(asked @ x.T)[k], expected, rtol=1e-6)
            for d in np.unique(who):
                rest = Ridge(alpha=alpha).fit(x[who != d], y[who != d])
                np.testing.assert_allclose(
                    fitted.held_out[k, who == d], rest.predict(x[who == d]), rtol=1e-5
                )


def test_evidence_is_a_log_likelihood_ratio_and_never_negative():
    rng = np.random.default_rng(1)
    x, donor = rng.normal(size=(40, 5)), np.arange(40)
    y = x[:, 0] + rng.normal(size=40)
    errors = ((fit_unit_ridge(x @ x.T, y, donor).held_out - y) ** 2).sum(axis=1).min()
    mean = (((y - y.mean()) * 40 / 39) ** 2).sum()
    assert evidence(x @ x.T, y, donor) == pytest.approx(20 * np.log(mean / errors))
    # Ages turned round in pairs of the same expression: ridge is worse than the mean.
    twins = np.repeat(rng.normal(size=(20, 60)), 2, axis=0)
    assert evidence(twins @ twins.T, np.tile([-1.0, 1.0], 20), donor) == 0


def test_uniform_attention_stays_unless_another_is_clearly_better():
    rng = np.random.default_rng(0)
    donor = np.arange(50)
    uniform = 1 + rng.random((1, 2, 50))
    uniform[0, 1] += 0.1
    slightly = uniform - 0.01 + 0.5 * rng.normal(size=uniform.shape)
    slightly -= (slightly - uniform).mean() + 0.01
    clearly = uniform - 0.5
    assert _choose(np.concatenate([uniform, slightly]), donor) == (0, 0)
    assert _choose(np.concatenate([uniform, slightly, clearly]), donor) == (2, 0)
    # Fifty samples of two donors are two, not fifty.
    better = uniform - np.where(donor < 25, 0.5, -0.45)
    assert _choose(np.concatenate([uniform, better]), donor)[0] == 0
    half = uniform - np.where(donor % 2, 0.5, -0.3)
    assert _choose(np.concatenate([uniform, half]), donor)[0] == 1
    assert _choose(np.concatenate([uniform, half]), donor % 2)[0] == 0


def test_clusters_find_kinds_of_cells():
    x, kind = _kinds()
    clusters = SoftClusters(x, (3, 6), 8, np.random.default_rng(0))
    members = clusters.memberships(x, 0)
    np.testing.assert_allclose(members.sum(axis=1), 1)
    assert len({(k, m) for k, m in zip(kind, members.argmax(axis=1), strict=True)}) == 3
    assert clusters.memberships(x, 1).shape == (len(kind), 6)
    # More cells than are learned from.
    many = sparse.vstack([x] * 3, format="csr")
    np.testing.assert_array_equal(clusters.memberships(many, 0)[: len(kind)], members)


def _kinds():
    rng = np.random.default_rng(0)
    kind = np.repeat([0, 1, 2], 60)
    x = rng.poisson(2 + 6 * (np.arange(30) // 10 == kind[:, None]))
    return sparse.csr_matrix(np.log1p(x).astype(np.float32)), kind


def test_clusters_learn_from_some_of_many_cells(monkeypatch):
    x, kind = _kinds()
    monkeypatch.setattr("sctools.model._clock_methods._donor_attention_clusters.MAX_CELLS", 90)
    members = SoftClusters(x, (3,), 8, np.random.default_rng(0)).memberships(x, 0)
    assert len({(k, m) for k, m in zip(kind, members.argmax(axis=1), strict=True)}) == 3


def test_training_needs_ages(planted):
    train, *_ = planted
    with pytest.raises(ValueError, match="needs the age of every unit"):
        DonorAttention().fit(train.without_ages())
