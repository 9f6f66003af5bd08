"""What every clock method keeps to, and what each computes."""

from __future__ import annotations

import inspect
import random
import sys

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import Lasso, Ridge

from sctools.model._clock_methods import INPUTS, METHODS, _tuned, clock_method
from sctools.model._clock_methods._inputs import Examples, Features, pooled, pseudocells
from sctools.model._clock_methods._linear import (
    N_COMPONENTS,
    RIDGE_PENALTIES,
    SPARSE_PENALTIES,
    ElasticNetRegression,
    PartialLeastSquares,
    RidgeRegression,
)
from sctools.model._clock_methods._tuned import ConstantClock, inner_folds

from .._clock_cells import QUICK, cohort_cells, halves

BASELINES = [name for name in METHODS if name != "gma"]
PAIRS = [
    ("ridge", "cells"),
    ("pls", "cells"),
    ("elastic_net", "pseudocells"),
    ("mlp", "sums"),
    ("mlp", "pseudocells"),
    ("autoencoder", "pseudocells"),
    ("xgboost", "sums"),
    ("xgboost", "pseudocells"),
    ("catboost", "pseudocells"),
]
"""Inputs that are not the method's own."""


@pytest.fixture(scope="module")
def data():
    return halves(cohort_cells())


def make(name, **kwargs):
    if name in ("xgboost", "catboost"):
        pytest.importorskip(name)
    return clock_method(name, **{**QUICK[name], **kwargs})


def mae(predicted, cells):
    return np.abs(predicted - cells.age).mean()


@pytest.mark.parametrize(
    ("name", "read"), [*((name, None) for name in METHODS), *PAIRS], ids=lambda value: str(value)
)
def test_beats_the_mean_age_on_new_donors(data, name, read):
    train, test = data
    fitted = make(name, input=read).fit(train, rng=0)
    asked = test.without_ages()
    predicted = fitted.predict(asked)
    assert predicted.dtype == np.float64
    assert predicted.shape == test.age.shape
    assert mae(predicted, test) < 0.7 * mae(train.age.mean(), test)
    # A donor's prediction depends on no other donor.
    alone = fitted.predict(asked.of_units(np.array([2])))
    np.testing.assert_allclose(alone, predicted[2], rtol=1e-5)
    of_cells = fitted.predict_cells(asked)
    if of_cells is None:
        assert (read or make(name).input) == "sums"
    else:
        means = np.bincount(asked.unit, weights=of_cells) / np.bincount(asked.unit)
        np.testing.assert_allclose(means, predicted, rtol=1e-5)
        assert of_cells[asked.unit == 0].std() > 0


@pytest.mark.parametrize("name", METHODS)
def test_seed_decides_and_global_random_states_are_kept(data, name):
    train, test = data
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    n_threads = torch.get_num_threads()
    first, again, other = (make(name).fit(train, rng=seed).predict(test) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert random.getstate() == before[0]
    np.testing.assert_array_equal(np.random.get_state()[1], before[1][1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])
    assert torch.get_num_threads() == n_threads


@pytest.mark.parametrize("name", ["ridge", "elastic_net", "pls"])
@pytest.mark.parametrize("read", INPUTS)
def test_order_of_cells_changes_nothing(data, name, read):
    train, test = data
    order = np.random.default_rng(0).permutation(len(test.unit))
    shuffled = test._replace(
        x=test.x[order], unit=test.unit[order], cell_type=test.cell_type[order]
    )
    fitted = make(name, input=read).fit(train, rng=0)
    np.testing.assert_allclose(fitted.predict(shuffled), fitted.predict(test), rtol=1e-5)
    if read != "sums":
        np.testing.assert_allclose(
            fitted.predict_cells(shuffled), fitted.predict_cells(test)[order], rtol=1e-5
        )


@pytest.mark.parametrize("name", BASELINES)
def test_sparse_cells_stay_sparse(data, name, monkeypatch):
    """Networks make single batches dense and attention donors' means, the others nothing at all."""
    train, test = data
    largest = 200
    for kind in (sparse.csr_matrix, sparse.csc_matrix):
        dense = kind.toarray

        def guarded(self, *args, _dense=dense, **kwargs):
            assert name in ("mlp", "autoencoder", "donor_attention"), "made dense"
            assert self.shape[0] <= largest, "more than a batch made dense"
            return _dense(self, *args, **kwargs)

        monkeypatch.setattr(kind, "toarray", guarded)
        monkeypatch.setattr(kind, "todense", guarded)
    make(name, input="cells").fit(train, rng=0).predict(test)


@pytest.mark.parametrize("name", METHODS)
def test_nothing_is_changed(data, name):
    train, test = data
    before = [part.copy() for part in (train.x.data, train.x.indices, train.unit, train.age)]
    make(name).fit(train, rng=0).predict(test)
    now = train.x.data, train.x.indices, train.unit, train.age
    for a, b in zip(now, before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", BASELINES)
def test_without_cell_types_and_with_unknown_ones(data, name):
    train, test = data
    fitted = make(name).fit(train._replace(cell_type=None), rng=0)
    assert np.isfinite(fitted.predict(test._replace(cell_type=None))).all()
    fitted = make(name).fit(train, rng=0)
    strange = np.array(["new", None] * len(test.unit), dtype=object)[: len(test.unit)]
    assert np.isfinite(fitted.predict(test._replace(cell_type=strange))).all()


@pytest.mark.parametrize("name", ["ridge", "elastic_net", "pls"])
def test_ages_without_a_signal_are_answered_by_their_mean(data, name):
    train, test = data
    shuffled = train._replace(age=np.random.default_rng(2).permutation(train.age))
    predicted = make(name).fit(shuffled, rng=0).predict(test)
    assert np.ptp(predicted) < 0.3 * np.ptp(train.age)
    raw = make(name, calibrated=False).fit(shuffled, rng=0).predict(test)
    assert np.ptp(predicted) <= np.ptp(raw)


@pytest.mark.parametrize("name", BASELINES)
def test_too_few_donors_are_answered_by_their_mean(data, name):
    train, test = data
    one = train.of_units(np.array([3]))
    fitted = make(name).fit(one)
    assert isinstance(fitted, ConstantClock)
    np.testing.assert_array_equal(fitted.predict(test), one.age[0])
    np.testing.assert_array_equal(fitted.predict_cells(test), one.age[0])
    two = make(name).fit(train.of_units(np.array([3, 4]))).predict(test)
    np.testing.assert_allclose(two, train.age[[3, 4]].mean())  # two donors prove nothing


def test_a_donor_is_never_on_both_sides_of_an_inner_fold():
    donor = np.repeat(np.arange(7), 3)
    folds = inner_folds(donor, 4, np.random.default_rng(0))
    assert sorted(np.concatenate(folds)) == list(range(21))
    for held in folds:
        assert not set(donor[held]) & set(np.delete(donor, held))
    assert len(inner_folds(np.arange(3), 5, np.random.default_rng(0))) == 3


def test_tuning_never_sees_the_donors_that_it_is_judged_by(data, monkeypatch):
    """Ages of the fold held out do not change what is fitted for it."""
    train, _ = data
    seen = []

    class Spy(RidgeRegression):
        def fit(self, x, y, weight, seed):
            seen.append(len(y))
            return super().fit(x, y, weight, seed)

    method = _tuned.TunedMethod(Spy(), n_inner_folds=4)
    method.fit(train, rng=0)
    assert len(seen) == 5
    assert seen[-1] == 12
    assert seen[:-1] == [9] * 4


def test_donors_count_alike(data):
    """A donor's cells given twice change nothing, except for methods that read single cells."""
    train, test = data
    rows = np.concatenate([np.arange(len(train.unit)), np.flatnonzero(train.unit == 0)])
    doubled = train._replace(
        x=train.x[rows], unit=train.unit[rows], cell_type=train.cell_type[rows]
    )
    for read, alike in (("sums", True), ("cells", False)):
        method = make("pls", input=read, side_by_side=False)
        once, twice = (method.fit(cells, rng=0).predict(test) for cells in (train, doubled))
        assert np.allclose(once, twice, rtol=1e-3) == alike


def test_pls_is_that_of_scikit_learn(data):
    train, _ = data
    x, y = train.x.toarray()[:60].astype(float), train.age[train.unit][:60]
    ours = PartialLeastSquares().fit(sparse.csr_matrix(x), y, np.ones(60), 0)(x)
    for row, n in zip(ours, N_COMPONENTS, strict=True):
        expected = PLSRegression(n, scale=False).fit(x, y).predict(x).ravel()
        np.testing.assert_allclose(row, expected, rtol=1e-5)
    # A weight of two is the same example twice.
    weight = np.ones(60)
    weight[:20] = 2
    twice = np.concatenate([x, x[:20]]), np.concatenate([y, y[:20]])
    np.testing.assert_allclose(
        PartialLeastSquares().fit(x, y, weight, 0)(x)[:4],
        PartialLeastSquares().fit(*twice, np.ones(80), 0)(x)[:4],
        rtol=1e-6,
    )


def test_penalties_are_relative(data):
    train, _ = data
    x, y = train.x.toarray().astype(float), train.age[train.unit]
    y = (y - y.mean()) / y.std()
    ones = np.ones(len(y))
    paths = [RidgeRegression(), ElasticNetRegression(l1_ratio=1.0)]
    for regression in paths:
        plain, scaled = (regression.fit(f * x, y, ones, 0)(f * x) for f in (1, 100))
        np.testing.assert_allclose(plain, scaled, atol=0.02)
    size = ((x - x.mean(axis=0)) ** 2).sum(axis=1).mean()
    expected = Ridge(alpha=RIDGE_PENALTIES[3] * size).fit(x, y).predict(x)
    np.testing.assert_allclose(paths[0].fit(x, y, ones, 0)(x)[3], expected, atol=0.02)
    assert np.ptp(paths[1].fit(x, y, ones, 0)(x)[0]) < 1e-6  # the largest penalty leaves nothing
    largest = np.abs((x - x.mean(axis=0)).T @ y).max() / len(y)
    alpha = largest * SPARSE_PENALTIES[5]
    expected = Lasso(alpha=alpha, tol=1e-6, max_iter=5000).fit(x, y).predict(x)
    np.testing.assert_allclose(paths[1].fit(x, y, ones, 0)(x)[5], expected, atol=0.05)


def test_pooled_and_pseudocells(data):
    train, _ = data
    kind = (train.cell_type == np.unique(train.cell_type)[0]).astype(int)
    found = pooled(train.x, train.unit, kind)
    rows = (train.unit == 2) & (kind == 1)
    i = np.flatnonzero((found.unit == 2) & (found.kind == 1)).item()
    np.testing.assert_allclose(found.x[i], train.x[rows].toarray().mean(axis=0), rtol=1e-5)
    assert found.weight[i] == np.sqrt(rows.sum())
    rng = np.random.default_rng(0)
    drawn = pseudocells(train.x, train.unit, kind, size=200, number=3, rng=rng)
    assert len(drawn.unit) == 3 * len(found.unit)
    mine = drawn.x[(drawn.unit == 2) & (drawn.kind == 1)]
    assert mine.shape[0] == 3
    assert mine.std(axis=0).max() > 0
    np.testing.assert_allclose(mine.mean(axis=0), found.x[i], atol=0.5)


def test_features_are_centred_by_training_donors_and_types_stand_side_by_side():
    x = np.array([[1.0, 0.0], [3.0, 0.0], [10.0, 5.0]])
    given = Examples(x, np.array([0, 1, 1]), np.array([0, 0, 1]), np.ones(3))
    plain = Features(given, 2, side_by_side=False, tell_kind=False)
    np.testing.assert_allclose(plain(given).x, [[-1, 0], [1, 0], [0, 0]])
    told = Features(given, 2, side_by_side=False, tell_kind=True)(given).x
    np.testing.assert_allclose(told[:, 2:], [[1, 0, 0], [1, 0, 0], [0, 1, 0]])
    asked = Examples(
        np.array([[4.0, 1.0], [11.0, 7.0]]), np.array([5, 5]), np.array([0, 1]), np.ones(2)
    )
    wide = Features(given, 2, side_by_side=True, tell_kind=False)(asked)
    np.testing.assert_allclose(wide.x, [[2, 1, 1, 2, 0, 0]])
    np.testing.assert_array_equal(wide.unit, [5])


@pytest.mark.parametrize(
    ("name", "kwargs", "error", "message"),
    [
        ("svm", {}, ValueError, "No clock method 'svm'. Available: 'gma', 'elastic_net'"),
        ("ridge", {"input": "counts"}, ValueError, "`input` must be one of 'cells'"),
        ("gma", {"input": "sums"}, ValueError, "'gma' takes 'pseudocells' only"),
        ("donor_attention", {"input": "sums"}, ValueError, "'donor_attention' takes 'cells' only"),
        ("donor_attention", {"n_inner_folds": 1}, ValueError, "n_inner_folds"),
        ("donor_attention", {"n_clusters": ()}, ValueError, "n_clusters"),
        ("donor_attention", {"l1_ratio": 0.5}, TypeError, "l1_ratio"),
        ("ridge", {"n_inner_folds": 1}, ValueError, "n_inner_folds"),
        ("ridge", {"pseudocell_size": 0}, ValueError, "pseudocell_size"),
        ("elastic_net", {"l1_ratio": 0}, ValueError, "l1_ratio"),
        ("mlp", {"n_epochs": ()}, ValueError, "n_epochs"),
        ("mlp", {"n_epochs": (0.5,)}, ValueError, "n_epochs"),
        ("ridge", {"n_epochs": (5,)}, TypeError, "n_epochs"),
    ],
)
def test_errors(name, kwargs, error, message):
    with pytest.raises(error, match=message):
        clock_method(name, **kwargs)


@pytest.mark.parametrize("name", ["xgboost", "catboost"])
def test_a_missing_library_names_its_extra(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"'{name}' needs.*pip install \"sctools-ml\[{name}\]\""):
        clock_method(name)


def test_training_needs_ages(data):
    train, _ = data
    with pytest.raises(ValueError, match="needs the age of every unit"):
        clock_method("ridge").fit(train.without_ages())


def test_methods_share_their_signature():
    for name in METHODS:
        method = make(name)
        assert method.input in INPUTS
        assert list(inspect.signature(method.fit).parameters) == ["cells", "rng"]
