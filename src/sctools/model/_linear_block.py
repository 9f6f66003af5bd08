"""What linear clocks read of cells, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from ..pp._map_blocks import Prepare


class AgedCells(NamedTuple):
    """What the clocks read of every cell.

    Attributes
    ----------
    own
        Prediction from the cell's own expression; NaN without a clock for it or without counts.
    cell_type
        Which of the clock's cell types, −1 for none.
    unit
        Donor (or sample) of the cell.
    names
        Names of the donors (or samples).
    """

    own: np.ndarray
    cell_type: np.ndarray
    unit: np.ndarray
    names: Sequence[str]


@dataclass(frozen=True)
class LinearBlock:
    """Prediction of each cell of a block by itself, and its depth; for :func:`map_blocks`."""

    prepare: Prepare
    weights: np.ndarray
    intercepts: np.ndarray

    def __call__(self, block: sp.csr_matrix, code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, total = self.prepare(block)
        own = np.full(len(total), np.nan)
        rows = np.flatnonzero((code >= 0) & (total > 0))
        own[rows] = self.intercepts[code[rows]] + (values @ self.weights)[rows, code[rows]]
        return own, total
