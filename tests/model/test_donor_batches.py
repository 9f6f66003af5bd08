from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from sctools.model import _donor_batches
from sctools.model._donor_batches import DonorBatches, Strata, indicator


def some_strata(n_units=6, n_types=3, n_cells=90, n_genes=5, seed=0):
    rng = np.random.default_rng(seed)
    x = sparse.random(n_cells, n_genes, 0.6, format="csr", random_state=0, dtype=np.float32)
    unit = np.concatenate([np.arange(n_units), rng.integers(0, n_units, n_cells - n_units)])
    codes = np.column_stack([rng.integers(0, n_types, n_cells), rng.integers(0, 2, n_cells)])
    return Strata(x, unit, codes), unit, codes


def test_strata_are_the_groups():
    strata, unit, codes = some_strata()
    frame = pd.DataFrame(strata.x.toarray())
    keys = [unit, codes[:, 0], codes[:, 1]]
    expected = frame.groupby(keys, sort=True)
    table = expected.size()
    assert len(strata) == len(table)
    assert list(zip(strata.unit, *strata.codes.T, strict=True)) == list(table.index)
    np.testing.assert_array_equal(strata.n_cells, table)
    np.testing.assert_allclose(strata.weight, np.sqrt(table))
    np.testing.assert_array_equal(strata.unit[strata.of_cell], unit)
    np.testing.assert_array_equal(strata.codes[strata.of_cell], codes)
    means = strata.means()
    assert means.dtype == np.float32
    np.testing.assert_allclose(means, expected.mean(), rtol=1e-5, atol=1e-7)


def test_pseudocells_come_from_their_stratum():
    strata, *_ = some_strata()
    strata.x = indicator(strata.of_cell, len(strata)).T.tocsr()  # a gene per stratum
    rows = np.arange(len(strata))[::-1]
    for size in (1, 4):
        found = strata.pseudocells(rows, size, np.random.default_rng(0))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, np.eye(len(strata))[::-1])


def test_pseudocells_are_means_of_single_cells():
    strata, *_ = some_strata()
    dense = strata.x.toarray()
    singles = strata.pseudocells(np.arange(len(strata)), 1, np.random.default_rng(0))
    for i, single in enumerate(singles):
        members = dense[strata.of_cell == i]
        assert (np.abs(members - single).max(axis=1) < 1e-6).any()
    many = np.tile(np.arange(len(strata)), 3000)
    average = strata.pseudocells(many, 10, np.random.default_rng(0))
    average = average.reshape(3000, len(strata), -1)
    np.testing.assert_allclose(average.mean(axis=0), strata.means(), atol=0.02)
    # Variance falls with the number of cells.
    variance = np.stack([dense[strata.of_cell == i].var(axis=0) for i in range(len(strata))])
    np.testing.assert_allclose(average.var(axis=0), variance / 10, atol=0.003)


def test_indicator():
    found = indicator(np.array([1, 0, 1]), 3).toarray()
    np.testing.assert_array_equal(found, [[0, 1, 0], [1, 0, 1], [0, 0, 0]])


def batches(strata, n_units=6, rng=0, **kwargs):
    learns = np.random.default_rng(1).random((4, n_units)) < 0.7
    arguments = {"pseudocell_size": 3, "donors_per_batch": 4, "steps_per_epoch": 5, **kwargs}
    age = np.linspace(-1, 1, n_units)
    return DonorBatches(strata, age, learns, rng=np.random.default_rng(rng), **arguments), learns


def test_a_batch_is_whole_donors():
    strata, *_ = some_strata()
    data, learns = batches(strata)
    drawn = list(data.train_dataloader())
    assert len(drawn) == 5
    ages = np.linspace(-1, 1, 6).astype(np.float32)
    seen = set()
    for batch in drawn:
        assert set(batch) == {"X", "codes", "unit", "weight", "age", "learns"}
        assert batch["X"].dtype == torch.float32
        assert len(batch["age"]) == 4
        units = np.searchsorted(ages, batch["age"].numpy())
        assert len(set(units)) == 4
        seen |= set(units)
        np.testing.assert_array_equal(batch["learns"].numpy(), learns[:, units])
        expected = np.flatnonzero(np.isin(strata.unit, units))
        np.testing.assert_array_equal(batch["codes"].numpy(), strata.codes[expected])
        np.testing.assert_array_equal(units[batch["unit"].numpy()], strata.unit[expected])
        assert (batch["weight"] == 1).all()
    assert seen == set(range(6))


def test_validation_is_all_stratum_means():
    strata, *_ = some_strata()
    data, learns = batches(strata)
    for _ in range(2):
        (batch,) = data.val_dataloader()
        np.testing.assert_array_equal(batch["X"].numpy(), strata.means())
        np.testing.assert_array_equal(batch["unit"].numpy(), strata.unit)
        np.testing.assert_allclose(batch["weight"].numpy(), np.sqrt(strata.n_cells), rtol=1e-6)
        np.testing.assert_array_equal(batch["learns"].numpy(), learns)


def test_seed_decides():
    strata, *_ = some_strata()
    a, b, c = (list(batches(strata, rng=seed)[0].train_dataloader()) for seed in (0, 0, 1))
    assert all(torch.equal(p["X"], q["X"]) for p, q in zip(a, b, strict=True))
    assert not all(
        p["X"].shape == q["X"].shape and torch.equal(p["X"], q["X"])
        for p, q in zip(a, c, strict=True)
    )


@pytest.mark.parametrize(("limit", "expected"), [(10**9, 4), (90, 3), (1, 2)])
def test_batches_stay_in_memory(monkeypatch, limit, expected):
    strata, *_ = some_strata()
    per_unit = len(strata) // 6 * strata.x.shape[1]
    monkeypatch.setattr(_donor_batches, "MAX_STEP_VALUES", limit if limit != 90 else 3 * per_unit)
    assert batches(strata)[0].donors_per_batch == expected


def test_no_more_donors_than_there_are():
    strata, *_ = some_strata()
    data, _ = batches(strata, donors_per_batch=48)
    batch = next(iter(data.train_dataloader()))
    assert len(batch["age"]) == 6
