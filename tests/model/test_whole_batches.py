"""Mini-batches without a single cell left over."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch
from anndata import AnnData
from scvi.model import SCVI
from torch.utils.data import BatchSampler, RandomSampler

from sctools.model._runner import seeded
from sctools.model._whole_batches import FoldedBatchSampler, WholeBatchSplitter


def batches(n_obs, size, drop_last=False):
    inner = BatchSampler(RandomSampler(range(n_obs)), size, drop_last)
    return FoldedBatchSampler(inner, n_obs)


@pytest.mark.parametrize(
    ("n_obs", "size", "expected"),
    [
        (9, 4, [4, 5]),
        (5, 4, [5]),
        (8, 4, [4, 4]),
        (10, 4, [4, 4, 2]),
        (3, 4, [3]),
        (1, 4, [1]),
        (3, 1, [1, 1, 1]),
    ],
)
def test_a_single_cell_joins_the_batch_before(n_obs, size, expected):
    sampler = batches(n_obs, size)
    found = list(sampler)
    assert [len(batch) for batch in found] == expected
    assert len(sampler) == len(expected)
    assert sorted(chain.from_iterable(found)) == list(range(n_obs))


def test_dropped_cells_stay_dropped():
    assert [len(batch) for batch in batches(9, 4, drop_last=True)] == [4, 4]


def test_the_order_is_that_of_the_inner_sampler():
    torch.manual_seed(0)
    expected = list(RandomSampler(range(9)))
    torch.manual_seed(0)
    assert list(chain.from_iterable(batches(9, 4))) == expected


def splitter(n_obs, **kwargs):
    adata = AnnData(np.ones((n_obs, 3), dtype=np.float32))
    SCVI.setup_anndata(adata)
    manager = SCVI._get_most_recent_anndata_manager(adata)
    found = WholeBatchSplitter(manager, **kwargs)
    found.setup()
    return found


@pytest.mark.parametrize("n_obs", [3, 10, 143, 144])
@pytest.mark.filterwarnings("error::UserWarning:scvi")
def test_every_cell_trains_or_validates(n_obs):
    found = splitter(n_obs, batch_size=128)
    assert len(found.train_idx) == np.ceil(0.9 * n_obs)
    together = np.concatenate([found.train_idx, found.val_idx])
    assert sorted(together) == list(range(n_obs))
    sizes = [len(batch["X"]) for batch in found.train_dataloader()]
    assert sum(sizes) == len(found.train_idx)
    assert min(sizes) > 1


def test_the_split_follows_the_seed():
    with seeded(3):
        first = splitter(40).train_idx
    with seeded(3):
        again = splitter(40).train_idx
    with seeded(4):
        other = splitter(40).train_idx
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(other)
