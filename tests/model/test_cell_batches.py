from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from sctools.model._cell_batches import CellBatches


def batches(n_train=50, n_validation=11, batch_size=8, seed=0):
    values = sparse.random(80, 6, 0.5, random_state=0).toarray()
    values[:, 0] = np.arange(1, 81)  # a cell can be told by its first value
    cells = np.random.default_rng(1).permutation(80)
    return CellBatches(
        sparse.csr_matrix(values), np.arange(80) % 3 - 1, cells[:n_train],
        cells[n_train : n_train + n_validation], batch_size=batch_size,
        rng=np.random.default_rng(seed),
    )  # fmt: skip


def cells_of(loader):
    return [(batch["values"][:, 0].long() - 1).tolist() for batch in loader]


def flat(batches_):
    return [cell for batch in batches_ for cell in batch]


def test_each_training_cell_once_in_a_new_order():
    data = batches()
    loader = data.train_dataloader()
    first, second = cells_of(loader), cells_of(loader)
    for epoch in (first, second):
        assert sorted(flat(epoch)) == sorted(data.train_idx)
    assert flat(first) != flat(second)
    assert flat(first) != data.train_idx.tolist()


def test_same_seed_same_order():
    one, again, other = (cells_of(batches(seed=s).train_dataloader()) for s in (4, 4, 5))
    assert one == again != other


@pytest.mark.parametrize(
    ("n", "size", "sizes"),
    [(50, 8, {8, 9}), (50, 50, {50}), (50, 64, {50}), (9, 8, {9}), (50, 49, {50}), (2, 2, {2})],
)
def test_batches_are_of_about_equal_size(n, size, sizes):
    data = batches(n_train=n, batch_size=size)
    loader = data.train_dataloader()
    found = [len(batch) for batch in cells_of(loader)]
    assert set(found) == sizes
    assert len(found) == len(loader)


def test_validation_cells_come_in_their_order():
    data = batches()
    for _ in range(2):
        assert flat(cells_of(data.val_dataloader())) == data.val_idx.tolist()
    assert batches(n_validation=0).val_dataloader() == []


def test_values_and_labels():
    data = batches()
    for batch in data.train_dataloader():
        rows = batch["values"][:, 0].long().numpy() - 1
        assert batch["values"].dtype == torch.float32
        assert batch["labels"].dtype == torch.int64
        np.testing.assert_allclose(batch["values"], data.values[rows].toarray(), rtol=1e-6)
        np.testing.assert_array_equal(batch["labels"], data.labels[rows])
    assert -1 in data.labels
