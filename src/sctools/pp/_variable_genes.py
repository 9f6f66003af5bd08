"""Which genes are expressed, and which vary: sparse, in one pass over the data."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from .._validate import listing
from ._expression import Normalizer, check_values, describe, get_expression, row_blocks

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger("sctools")

READ_ROWS = 8192
TARGET_SUM = 1e4
N_TOP_GENES = 2000
COLUMN = "highly_variable"


def default_min_cells(n_obs: int) -> int:
    """Half a percent of the cells, at least three of them."""
    return min(max(3, math.ceil(0.005 * n_obs)), n_obs)


def gene_masks(
    adata: AnnData,
    *,
    n_top_genes: int | None,
    min_cells: int,
    layer: str | None,
    log_normalized: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Return boolean masks of the variable and of the expressed genes; variable ones are expressed.

    Parameters
    ----------
    adata
        Annotated data, in memory or backed; only read.
    n_top_genes
        Number of variable genes. ``None`` takes ``adata.var["highly_variable"]`` where there is
        one, else computes 2,000.
    min_cells
        Cells that a gene must be found in.
    layer, log_normalized
        Where the values are, and what they are.
    """
    matrix = get_expression(adata, layer)
    given = _given(adata) if n_top_genes is None else None
    normalize = Normalizer(
        np.arange(adata.n_vars),
        adata.n_vars,
        target_sum=TARGET_SUM,
        log_normalized=log_normalized,
    )
    n_cells = np.zeros(adata.n_vars, dtype=np.int64)
    blocks = []
    for _, block in row_blocks(matrix, READ_ROWS):
        check_values(block.data, where=describe(layer), log_normalized=log_normalized)
        n_cells += np.bincount(block.indices[block.data > 0], minlength=adata.n_vars)
        if given is None:
            blocks.append(normalize(block)[0])
    expressed = n_cells >= min_cells
    if not expressed.any():
        raise ValueError(
            f"No gene is found in at least {min_cells} of {adata.n_obs} cells (the most: "
            f"{n_cells.max()}). Lower `min_cells`."
        )
    if given is not None:
        return given & expressed, expressed
    n_top = N_TOP_GENES if n_top_genes is None else n_top_genes
    if n_top >= expressed.sum():
        return expressed.copy(), expressed
    variable = np.zeros(adata.n_vars, dtype=bool)
    variable[expressed] = _most_variable(sp.vstack(blocks, format="csr")[:, expressed], n_top)
    return variable, expressed


def _given(adata: AnnData) -> np.ndarray | None:
    if COLUMN not in adata.var.columns:
        return None
    column = adata.var[COLUMN]
    mask = column.isin([True]).to_numpy()
    if not (mask.any() and column.isin([True, False]).all()):
        raise ValueError(
            f"`adata.var[{COLUMN!r}]` must be boolean and true for some genes, found values such "
            f"as {listing(column.unique()[:3])}. Name a number of genes (`n_top_genes=2000`) to "
            "have the variable genes computed."
        )
    logger.info("Variable genes: the %d of adata.var[%r].", mask.sum(), COLUMN)
    return mask


def _most_variable(values: sp.csr_matrix, n_top: int) -> np.ndarray:
    import scanpy as sc
    from anndata import AnnData

    if (values.max(axis=0) != values.min(axis=0)).nnz == 0:
        raise ValueError(
            f"No gene varies among the {values.shape[0]} cells, once these are brought to the same "
            "depth: there are no variable genes to choose. Check the values, or mark the genes to "
            f"take in `adata.var[{COLUMN!r}]`."
        )
    table = sc.pp.highly_variable_genes(AnnData(values), n_top_genes=n_top, inplace=False)
    return table["highly_variable"].to_numpy(dtype=bool)
