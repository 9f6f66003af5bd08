"""Depth normalisation by the total over all variables, as scAgeClock's training data had it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import scipy.sparse as sp

from ._expression import check_values
from ._scaled_rows import ScaledRows, scaled_rows


class WholeDepth:
    """Turns CSR blocks into log1p values of chosen columns, scaled by the total over all columns.

    This is ``scanpy.pp.normalize_total`` and ``log1p`` followed by choosing genes. `Normalizer`
    differs: its depth is that of a model's genes.

    Parameters
    ----------
    columns
        Columns to keep, ascending.
    n_vars
        Number of columns.
    target_sum
        Depth that each row is scaled to.
    log_normalized
        The values are log1p of depth-normalised counts; they are brought to ``target_sum`` too.
    """

    def __init__(
        self, columns: np.ndarray, n_vars: int, *, target_sum: float, log_normalized: bool
    ) -> None:
        self.n_kept = len(columns)
        self.target_sum = target_sum
        self.log_normalized = log_normalized
        self._rank = np.full(n_vars, -1, dtype=np.int32)
        self._rank[columns] = np.arange(len(columns))

    def __call__(self, block: sp.csr_matrix) -> ScaledRows:
        """Return the chosen values (rows × kept columns, float32) and each row's total over all."""
        return scaled_rows(
            block,
            self._rank,
            self.n_kept,
            target_sum=self.target_sum,
            log_normalized=self.log_normalized,
            whole_depth=True,
        )


def median_depth(blocks: Iterable[tuple[int, sp.csr_matrix]], *, where: str) -> float:
    """Median total over the rows that have counts, the default of ``scanpy.pp.normalize_total``."""
    totals = []
    for _, block in blocks:
        check_values(block.data, where=where, log_normalized=False)
        totals.append(_totals(block.data.astype(np.float64), block))
    depth = np.concatenate(totals)
    return float(np.median(depth[depth > 0])) if (depth > 0).any() else 1.0


def _totals(values: np.ndarray, block: sp.csr_matrix) -> np.ndarray:
    same = sp.csr_matrix((values, block.indices, block.indptr), shape=block.shape)
    return same @ np.ones(block.shape[1])
