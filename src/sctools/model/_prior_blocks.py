"""What is kept of cells that a prior transformer reads, a block of them at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp

from ..module import PriorTransformerModule
from ..pp._map_blocks import Prepare
from ._prior_outputs import CellOutputs, GroupAttention, run


@dataclass
class Kept:
    """What is kept of some cells.

    Attributes
    ----------
    arrays
        Parts of arrays with an entry per cell, in the order of the cells.
    means
        Attention of groups, where it was asked for.
    n_empty
        Cells without counts.
    """

    arrays: dict[str, list[np.ndarray]] = field(default_factory=dict)
    means: GroupAttention | None = None
    n_empty: int = 0

    def append(self, **arrays: np.ndarray) -> None:
        """Add the next cells."""
        for name, array in arrays.items():
            self.arrays.setdefault(name, []).append(array)

    def joined(self, name: str) -> np.ndarray:
        """One array of all cells."""
        return np.concatenate(self.arrays[name])


def join(parts: Iterable[Kept]) -> Kept:
    """Join what was kept of blocks of cells, in their order."""
    whole = Kept()
    for part in parts:
        whole.n_empty += part.n_empty
        for name, arrays in part.arrays.items():
            whole.arrays.setdefault(name, []).extend(arrays)
        if whole.means is None:
            whole.means = part.means
        elif part.means is not None:
            whole.means.merge(part.means)
    return whole


Keep: TypeAlias = Callable[..., None]
"""Adds what is wanted of a batch: takes what is kept, the outputs, and arrays with an entry per
cell; it can be pickled."""


@dataclass(frozen=True)
class KeepOutput:
    """Keeps one output of every cell, named as in :class:`CellOutputs`."""

    name: str

    def __call__(self, kept: Kept, outputs: CellOutputs) -> None:
        kept.append(**{self.name: getattr(outputs, self.name)})


@dataclass(frozen=True)
class KeepAttention:
    """Keeps mean attention of groups; the cells bring the numbers of their groups."""

    n_groups: int

    def __call__(self, kept: Kept, outputs: CellOutputs, codes: np.ndarray) -> None:
        add_attention(kept, self.n_groups, codes, outputs)


def add_attention(kept: Kept, n_groups: int, codes: np.ndarray, outputs: CellOutputs) -> None:
    """Add cells to the means of their groups; ``codes`` below 0 are in no group."""
    if kept.means is None:
        n_edges, n_genes = outputs.attention.shape[1], outputs.read_out.shape[1]
        kept.means = GroupAttention(n_groups, n_edges, n_genes)
    kept.means.add(codes, outputs)


@dataclass(frozen=True)
class PriorBlock:
    """Reads a block of stored values; for :func:`sctools.pp._map_blocks.map_blocks`."""

    prepare: Prepare
    module: PriorTransformerModule
    keep: Keep
    batch_size: int

    def __call__(self, block: sp.csr_matrix, *per_cell: np.ndarray) -> Kept:
        values, totals = self.prepare(block)
        kept = Kept(n_empty=int((totals == 0).sum()))

        def take(rows: slice, outputs: CellOutputs) -> None:
            self.keep(kept, outputs, *(array[rows] for array in per_cell))

        run(self.module, values, self.batch_size, take)
        return kept

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        if self.module.center.device.type != "cpu":  # a worker need not have the same
            state["module"] = copy.deepcopy(self.module).cpu()
        return state
