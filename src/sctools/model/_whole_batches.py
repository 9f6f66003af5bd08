"""Mini-batches of which none holds a single cell."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from scvi import settings
from scvi.data import AnnDataManager
from scvi.dataloaders import AnnDataLoader, BatchDistributedSampler, DataSplitter
from torch.utils.data import BatchSampler, DataLoader, Sampler


class FoldedBatchSampler(Sampler[list[int]]):
    """Batches of another sampler; a single cell left over at the end joins the batch before it.

    Batch normalisation has no variance to learn from in a single cell.

    Parameters
    ----------
    batches
        Sampler of lists of indices.
    n_obs
        Number of indices in all.
    """

    def __init__(self, batches: BatchSampler, n_obs: int) -> None:
        self.batches = batches
        self.batch_size = batches.batch_size
        self.drop_last = batches.drop_last
        size = self.batch_size
        self.folds = not self.drop_last and n_obs > size > 1 and n_obs % size == 1

    def __len__(self) -> int:
        return len(self.batches) - self.folds

    def __iter__(self) -> Iterator[list[int]]:
        return _fold(self.batches) if self.folds else iter(self.batches)


class FoldedDistributedSampler(BatchDistributedSampler):
    """Batches of the cells of one device; a single cell left over joins the batch before it.

    Parameters
    ----------
    batches
        Sampler that it takes the place of.
    """

    def __init__(self, batches: BatchDistributedSampler) -> None:
        super().__init__(
            batches.dataset,
            batch_size=batches.batch_size,
            drop_last=batches.drop_last_batch,
            drop_dataset_tail=batches.drop_last,
            shuffle=batches.shuffle,
            seed=batches.seed,
            num_replicas=batches.num_replicas,
            rank=batches.rank,
        )
        n_obs, size = self.num_samples, self.batch_size
        self.folds = not self.drop_last_batch and n_obs > size > 1 and n_obs % size == 1

    def __len__(self) -> int:
        return super().__len__() - self.folds

    def __iter__(self) -> Iterator[list[int]]:
        batches = super().__iter__()
        return _fold(batches) if self.folds else batches


def _fold(batches: Iterable[list[int]]) -> Iterator[list[int]]:
    held: list[int] = []
    for batch in batches:
        if len(batch) == 1:
            held = held + batch
        elif held:
            yield held
            held = batch
        else:
            held = batch
    yield held


class _FoldingLoader(DataLoader):
    def __init__(self, dataset: Any, *, sampler: Any = None, **kwargs: Any) -> None:
        if isinstance(sampler, BatchSampler):
            sampler = FoldedBatchSampler(sampler, len(dataset))
        elif isinstance(sampler, BatchDistributedSampler):
            sampler = FoldedDistributedSampler(sampler)
        super().__init__(dataset, sampler=sampler, **kwargs)


class WholeBatchLoader(AnnDataLoader, _FoldingLoader):
    """The loader of scvi-tools without single-cell batches."""


class WholeBatchSplitter(DataSplitter):
    """The splitter of scvi-tools without single-cell batches.

    It moves no cells from training to validation for that, and works with three cells.
    """

    data_loader_cls = WholeBatchLoader

    def __init__(
        self,
        adata_manager: AnnDataManager,
        train_size: float | None = None,
        validation_size: float | None = None,
        **kwargs: Any,
    ) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*moved from training set.*")
            warnings.filterwarnings("ignore", message=".*Last batch will have a small size.*")
            super().__init__(adata_manager, train_size, validation_size, **kwargs)
        if self.external_indexing is None and not train_size:
            n_obs = adata_manager.adata.n_obs
            self.n_train = math.ceil(self.train_size * n_obs)
            if validation_size is None:
                self.n_val = n_obs - self.n_train

    def setup(self, stage: str | None = None) -> None:
        """Split cells; the split follows numpy's global state where ``scvi.settings`` has no seed.

        Without, scvi-tools would draw another split each time, whatever was seeded.
        """
        super().setup(stage)
        if self.external_indexing is None and self.shuffle_set_split and settings.seed is None:
            indices = np.random.permutation(self.adata_manager.adata.n_obs)  # noqa: NPY002
            self.val_idx = indices[: self.n_val]
            self.train_idx = indices[self.n_val : self.n_val + self.n_train]
            self.test_idx = indices[self.n_val + self.n_train :]
