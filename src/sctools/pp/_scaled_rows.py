"""Depth normalisation and log1p of CSR rows in one pass, on the CPU."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import scipy.sparse as sp

_REMEMBERED = 256
"""Counts below this are remembered within a row: most of a cell's counts are a few small ones."""


class ScaledRows(NamedTuple):
    """Normalised rows.

    Attributes
    ----------
    values
        log1p values, rows × genes, float32; entries in the order of the block.
    totals
        Depth of every row before, float64.
    """

    values: sp.csr_matrix
    totals: np.ndarray


def scaled_rows(
    block: sp.csr_matrix,
    gene_of: np.ndarray,
    n_genes: int,
    *,
    target_sum: float,
    log_normalized: bool,
    whole_depth: bool,
) -> ScaledRows:
    """Scale rows to a depth, take log1p and keep genes; in float64 until the result.

    Parameters
    ----------
    block
        Counts, or log1p of depth-normalised counts.
    gene_of
        Gene of every column, −1 where there is none; int32.
    n_genes
        Number of genes.
    target_sum
        Depth that each row is scaled to; rows without counts stay as they are.
    log_normalized
        The values are log1p of depth-normalised counts.
    whole_depth
        Depth is the total over all columns, not over those of genes alone.
    """
    # Two types, so that few loops are compiled.
    kind = np.float32 if block.dtype == np.float32 else np.float64
    values = np.empty(block.nnz, dtype=np.float32)
    genes = np.empty(block.nnz, dtype=np.int32)
    indptr = np.zeros(block.shape[0] + 1, dtype=np.int64)
    totals = np.zeros(block.shape[0])
    _scale(
        block.data.astype(kind, copy=False),
        block.indices.astype(np.int32, copy=False),
        block.indptr.astype(np.int64, copy=False),
        gene_of,
        float(target_sum),
        log_normalized,
        whole_depth,
        values,
        genes,
        indptr,
        totals,
    )
    kept = slice(0, int(indptr[-1]))
    shape = (block.shape[0], n_genes)
    return ScaledRows(sp.csr_matrix((values[kept], genes[kept], indptr), shape=shape), totals)


@numba.njit(nogil=True, error_model="numpy")
def _scale(  # type: ignore[no-untyped-def]
    data, indices, indptr, gene_of, target_sum, log_normalized, whole_depth,
    values, genes, kept, totals,
):  # fmt: skip
    row_of = np.empty(_REMEMBERED, dtype=np.int64)
    row_of[:] = -1
    value_of = np.empty(_REMEMBERED, dtype=np.float32)
    longest = 0
    for i in range(len(totals)):
        longest = max(longest, indptr[i + 1] - indptr[i])
    counts = np.empty(longest)
    first = 0
    for i in range(len(totals)):
        total, n = 0.0, 0
        for p in range(indptr[i], indptr[i + 1]):
            value, gene = np.float64(data[p]), gene_of[indices[p]]
            if log_normalized:
                value = np.expm1(value)
            total += value if whole_depth or gene >= 0 else 0.0
            counts[n], genes[first + n] = value, gene
            n += gene >= 0  # the next takes the place of one without a gene
        totals[i] = total
        factor = target_sum / (total if total > 0 else 1.0)
        for k in range(n):
            value = counts[k]
            if 0 <= value < _REMEMBERED and value == np.floor(value):
                number = np.uint32(value)
                if row_of[number] != i:
                    row_of[number] = i
                    value_of[number] = np.log1p(value * factor)
                values[first + k] = value_of[number]
            else:
                values[first + k] = np.log1p(value * factor)
        first += n
        kept[i + 1] = first
