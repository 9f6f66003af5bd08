"""From cells to the examples and features that a regression reads.

``"cells"``: every cell is an example; the matrix stays sparse. ``"pseudocells"``: means of random
cells of one donor and cell type. ``"sums"``: all cells of a donor and cell type pooled into one
profile, the mean of their log-normalised values (pseudobulk). The last two are dense, and centred
per cell type.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ...pp._categories import encode
from .._donor_batches import Strata, indicator

INPUTS = ("cells", "pseudocells", "sums")

Matrix: TypeAlias = Any
"""Dense array or CSR matrix."""


class Examples(NamedTuple):
    """Rows to learn from or to predict.

    Attributes
    ----------
    x
        Expression, examples × genes.
    unit
        Unit of every example.
    kind
        Code of its cell type; the highest stands for unknown ones.
    weight
        How much it counts within its unit.
    """

    x: Matrix
    unit: np.ndarray
    kind: np.ndarray
    weight: np.ndarray

    def of_units(self, units: np.ndarray) -> Examples:
        """Examples of these units."""
        rows = np.flatnonzero(np.isin(self.unit, units))
        return Examples(*(part[rows] for part in self))

    def unit_means(self, values: np.ndarray, units: np.ndarray) -> np.ndarray:
        """Weighted mean of values (…, examples) over the examples of each of ``units``."""
        position = np.searchsorted(units, self.unit)
        member = indicator(position, len(units)).multiply(self.weight[None, :]).tocsr()
        return (member @ values.T).T / np.asarray(member.sum(axis=1)).ravel()


def kind_codes(cell_type: np.ndarray | None, kinds: list[str], n_cells: int) -> np.ndarray:
    """Code of every cell's type, ``len(kinds)`` for unknown ones and where there are none."""
    if cell_type is None:
        return np.full(n_cells, len(kinds), dtype=np.int64)
    return encode(pd.Series(cell_type, dtype=object), kinds).codes


def single_cells(x: sp.csr_matrix, unit: np.ndarray, kind: np.ndarray) -> Examples:
    """Every cell as an example."""
    return Examples(x, unit, kind, np.ones(len(unit)))


def pooled(x: sp.csr_matrix, unit: np.ndarray, kind: np.ndarray) -> Examples:
    """One example per unit and cell type: the mean of its cells."""
    strata = Strata(x, unit, kind[:, None])
    means = strata.means().astype(np.float64)
    return Examples(means, strata.unit, strata.codes[:, 0], strata.weight)


def pseudocells(
    x: sp.csr_matrix,
    unit: np.ndarray,
    kind: np.ndarray,
    *,
    size: int,
    number: int,
    rng: np.random.Generator,
) -> Examples:
    """Draw ``number`` means of ``size`` random cells (with replacement) per unit and cell type."""
    strata = Strata(x, unit, kind[:, None])
    rows = np.repeat(np.arange(len(strata)), number)
    drawn = strata.pseudocells(rows, size, rng).astype(np.float64)
    return Examples(drawn, strata.unit[rows], strata.codes[rows, 0], np.ones(len(rows)))


class Features:
    """Turns examples into features; what that takes is learned from the examples given here.

    Parameters
    ----------
    examples
        Training examples.
    n_kinds
        Number of known cell types.
    side_by_side
        One row per unit with the genes of each cell type as features of their own; a type that a
        unit lacks counts as average. Only for one example per unit and type.
    tell_kind
        Add indicators of the cell type: for methods that can make use of them.
    """

    def __init__(
        self, examples: Examples, n_kinds: int, *, side_by_side: bool, tell_kind: bool
    ) -> None:
        self.n_kinds = n_kinds
        self.side_by_side = side_by_side
        self.tell_kind = tell_kind and n_kinds > 1
        self.center: np.ndarray | None = None
        if not sp.issparse(examples.x):
            units = np.unique(examples.unit)
            self.center = np.tile(
                examples.unit_means(examples.x.T, units).mean(axis=1), (n_kinds + 1, 1)
            )
            for kind in np.unique(examples.kind):
                # Unknown types are centred like all cells, unless there were some to learn from.
                self.center[kind] = examples.x[examples.kind == kind].mean(axis=0)

    def __call__(self, examples: Examples) -> Examples:
        """Examples with features for expression."""
        x: Matrix = examples.x
        if self.center is not None:
            x = (x.toarray() if sp.issparse(x) else x) - self.center[examples.kind]
        if self.side_by_side:
            units, row = np.unique(examples.unit, return_inverse=True)
            wide = np.zeros((len(units), self.n_kinds + 1, x.shape[1]))
            wide[row, examples.kind] = x
            nothing = np.zeros(len(units), dtype=np.int64)
            return Examples(wide.reshape(len(units), -1), units, nothing, np.ones(len(units)))
        if self.tell_kind:
            told = indicator(examples.kind, self.n_kinds + 1).T
            sparse = sp.issparse(x)
            x = sp.hstack([x, told], format="csr") if sparse else np.hstack([x, told.toarray()])
        return examples._replace(x=x)
