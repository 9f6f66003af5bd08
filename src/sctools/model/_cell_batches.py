"""Batches of cells for the prior transformer: sparse rows made dense a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, IterableDataset

from ._devices import own_share


class _Batches(IterableDataset):
    def __init__(self, owner: CellBatches, *, train: bool) -> None:
        super().__init__()
        self._owner = owner
        self._train = train

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        owner = self._owner
        cells = owner.train_idx if self._train else owner.val_idx
        if self._train:
            cells = owner.rng.permutation(cells)
        for part in np.array_split(cells, len(self)):
            # Validation is whole on every device: macro-F1 of a part is no part of macro-F1.
            yield owner.tensors(own_share(owner, part, at_least=2) if self._train else part)

    def __len__(self) -> int:
        # Batches of about equal size: none is a single cell, which has no variance to learn from.
        n = len(self._owner.train_idx) if self._train else len(self._owner.val_idx)
        return max(1, n // self._owner.batch_size)


class CellBatches(LightningDataModule):
    """Batches of training cells in random order, and of validation cells.

    Parameters
    ----------
    values
        Log-normalised expression, cells × genes, CSR.
    labels
        Class of every cell, below 0 where unknown; ``(n_obs,)``.
    train, validation
        Positions of the cells.
    batch_size
        Cells per batch, about; on several devices these part them.
    rng
        Source of the order.
    """

    def __init__(
        self,
        values: sp.csr_matrix,
        labels: np.ndarray,
        train: np.ndarray,
        validation: np.ndarray,
        *,
        batch_size: int,
        rng: np.random.Generator,
    ) -> None:
        super().__init__()
        self.values = values
        self.labels = labels.astype(np.int64)
        self.train_idx, self.val_idx = np.asarray(train), np.asarray(validation)
        self.test_idx = np.array([], dtype=np.int64)
        self.batch_size = batch_size
        self.rng = rng

    def tensors(self, cells: np.ndarray) -> dict[str, torch.Tensor]:
        """Dense float32 values and labels of some cells."""
        return {
            "values": torch.from_numpy(self.values[cells].toarray().astype(np.float32, copy=False)),
            "labels": torch.from_numpy(self.labels[cells]),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return where the order of the cells has got to."""
        return {"rng": self.rng.bit_generator.state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go back to what :meth:`state_dict` returned."""
        self.rng.bit_generator.state = state_dict["rng"]

    def train_dataloader(self) -> DataLoader:
        """Give the training cells in a new order."""
        return DataLoader(_Batches(self, train=True), batch_size=None)

    def val_dataloader(self) -> DataLoader | list[DataLoader]:
        """Give the validation cells in their order."""
        return DataLoader(_Batches(self, train=False), batch_size=None) if len(self.val_idx) else []
