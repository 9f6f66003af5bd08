"""What a clock method sees: cells, whose they are, and how old those are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp


class ClockCells(NamedTuple):
    """Cells of some units (donors, or samples of donors).

    Attributes
    ----------
    x
        Log-normalised expression, cells × genes, CSR.
    unit
        Unit of every cell, int64 from 0; each unit has a cell.
    cell_type
        Label of every cell, ``None`` where unknown; ``None`` for all without cell types.
    donor
        Donor of every unit; units of one donor are never on both sides of a fold.
    age
        Age of every unit; ``None`` where it is to be predicted.
    """

    x: sp.csr_matrix
    unit: np.ndarray
    cell_type: np.ndarray | None
    donor: np.ndarray
    age: np.ndarray | None = None

    def of_units(self, units: np.ndarray) -> ClockCells:
        """Cells of these units, which are renumbered in the order given."""
        number = np.full(len(self.donor), -1, dtype=np.int64)
        number[units] = np.arange(len(units))
        rows = np.flatnonzero(number[self.unit] >= 0)
        return ClockCells(
            self.x[rows],
            number[self.unit[rows]],
            None if self.cell_type is None else self.cell_type[rows],
            self.donor[units],
            None if self.age is None else self.age[units],
        )

    def without_ages(self) -> ClockCells:
        """Forget the ages."""
        return self._replace(age=None)
