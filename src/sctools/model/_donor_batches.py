"""Training batches for an age clock: donors, seen through pseudocells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, IterableDataset

from ._devices import own_share, rank_and_size

MAX_STEP_VALUES = 30_000_000
"""A batch has at most so many expression values: fewer donors are drawn where strata are many."""


class Strata:
    """Cells grouped by unit (donor or sample) and covariates.

    Parameters
    ----------
    x
        Capped expression, cells × genes, CSR.
    unit
        Unit of every cell.
    codes
        Covariate codes of every cell, cells × covariates.
    """

    def __init__(self, x: sp.csr_matrix, unit: np.ndarray, codes: np.ndarray) -> None:
        self.x = x
        rows, self.of_cell = np.unique(np.column_stack([unit, codes]), axis=0, return_inverse=True)
        self.of_cell = self.of_cell.ravel()
        self.unit, self.codes = rows[:, 0], np.ascontiguousarray(rows[:, 1:])
        self.n_cells = np.bincount(self.of_cell, minlength=len(rows))
        # Standard errors fall with the square root of the number of cells.
        self.weight = np.sqrt(self.n_cells)
        self._order = np.argsort(self.of_cell, kind="stable")
        self._start = np.concatenate([[0], np.cumsum(self.n_cells)[:-1]])

    def __len__(self) -> int:
        return len(self.unit)

    def means(self) -> np.ndarray:
        """Mean expression of every stratum, strata × genes, float32."""
        total = indicator(self.of_cell, len(self)) @ self.x
        return (total.toarray() / self.n_cells[:, None]).astype(np.float32)

    def pseudocells(self, strata: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
        """Mean of ``size`` random cells (with replacement) of each stratum, dense float32."""
        draw = (rng.random((len(strata), size)) * self.n_cells[strata][:, None]).astype(np.int64)
        cells = self._order[self._start[strata][:, None] + draw]
        picked = sp.csr_matrix(
            (
                np.full(cells.size, 1 / size, dtype=np.float32),
                cells.ravel(),
                np.arange(0, cells.size + 1, size),
            ),
            shape=(len(strata), self.x.shape[0]),
        )
        return (picked @ self.x).toarray()


def indicator(group: np.ndarray, n_groups: int) -> sp.csr_matrix:
    """Matrix of groups × members with a one where a member belongs to a group."""
    n = len(group)
    return sp.csr_matrix((np.ones(n, dtype=np.float32), (group, np.arange(n))), shape=(n_groups, n))


class _Steps(IterableDataset):
    def __init__(self, draw: Any, n_steps: int) -> None:
        super().__init__()
        self._draw = draw
        self._n_steps = n_steps

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        return (self._draw() for _ in range(self._n_steps))

    def __len__(self) -> int:
        return self._n_steps


class DonorBatches(LightningDataModule):
    """Batches of random donors with one pseudocell per stratum; validation on stratum means.

    Parameters
    ----------
    strata
        The training cells.
    age
        Age of every unit, standardised.
    learns
        Members × units: which units each member learns from.
    pseudocell_size
        Cells per pseudocell.
    donors_per_batch
        Units per batch; on several devices these part them.
    steps_per_epoch
        Batches per epoch.
    rng
        Source of the draws.
    """

    def __init__(
        self,
        strata: Strata,
        age: np.ndarray,
        learns: np.ndarray,
        *,
        pseudocell_size: int,
        donors_per_batch: int,
        steps_per_epoch: int,
        rng: np.random.Generator,
    ) -> None:
        super().__init__()
        self.strata = strata
        self.age = age.astype(np.float32)
        self.learns = learns.astype(np.float32)
        self.pseudocell_size = pseudocell_size
        per_unit = max(1, len(strata) // len(age)) * strata.x.shape[1]
        self.donors_per_batch = max(2, min(donors_per_batch, MAX_STEP_VALUES // per_unit))
        self.steps_per_epoch = steps_per_epoch
        self._rng = rng
        self.train_idx = np.arange(strata.x.shape[0])
        self.val_idx = self.test_idx = np.array([], dtype=np.int64)

    def _draw(self) -> dict[str, torch.Tensor]:
        n_units = len(self.age)
        size = min(self.donors_per_batch, n_units)
        chosen = np.sort(self._rng.choice(n_units, size, replace=False))
        rng = self._rng
        rank, n_ranks = rank_and_size(self)
        if n_ranks > 1:  # all draw the same donors, and each the cells of its own
            chosen = own_share(self, chosen, at_least=1)
            rng = np.random.default_rng([rank, int(self._rng.integers(2**31))])
        strata = np.flatnonzero(np.isin(self.strata.unit, chosen))
        x = self.strata.pseudocells(strata, self.pseudocell_size, rng)
        # In training all pseudocells have the same size, so they count alike.
        return self._tensors(x, strata, chosen, np.ones(len(strata)))

    def _tensors(
        self, x: np.ndarray, strata: np.ndarray, units: np.ndarray, weight: np.ndarray
    ) -> dict[str, torch.Tensor]:
        return {
            "X": torch.from_numpy(x),
            "codes": torch.from_numpy(self.strata.codes[strata]),
            "unit": torch.from_numpy(np.searchsorted(units, self.strata.unit[strata])),
            "weight": torch.from_numpy(weight.astype(np.float32)),
            "age": torch.from_numpy(self.age[units]),
            "learns": torch.from_numpy(self.learns[:, units]),
        }

    def everything(self) -> dict[str, torch.Tensor]:
        """All strata by their means, in one batch."""
        strata, units = np.arange(len(self.strata)), np.arange(len(self.age))
        return self._tensors(self.strata.means(), strata, units, self.strata.weight)

    def train_dataloader(self) -> DataLoader:
        """Random donors, ``steps_per_epoch`` times."""
        return DataLoader(_Steps(self._draw, self.steps_per_epoch), batch_size=None)

    def val_dataloader(self) -> DataLoader:
        """One batch of all stratum means."""
        return DataLoader(_Steps(self.everything, 1), batch_size=None)
