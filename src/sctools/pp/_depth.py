"""Each cell's depth over all genes that were measured, for models that see some of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd


class DepthGenes(NamedTuple):
    """The genes that depth was counted over in training.

    Attributes
    ----------
    names
        Their names.
    shares
        Share of all counts that each gene had, float64, summing to 1.
    """

    names: list[str]
    shares: np.ndarray


def depth_genes(matrix: Any, var_names: pd.Index) -> DepthGenes:
    """Note all genes of a count matrix and their shares."""
    totals = np.asarray(matrix.sum(axis=0), dtype=np.float64).ravel()
    return DepthGenes([str(name) for name in var_names], totals / max(totals.sum(), 1.0))


def cell_depth(matrix: Any, var_names: pd.Index, genes: DepthGenes | None = None) -> np.ndarray:
    """Total count of each cell, float32.

    Parameters
    ----------
    matrix
        Counts, cells × genes.
    var_names
        Names of the genes.
    genes
        Genes of training: the total is over those of them that are here, divided by the share of
        counts that they had in training, so that missing genes do not count as a lack of depth.
        ``None`` takes all genes that are here.
    """
    if genes is None:
        return np.asarray(matrix.sum(axis=1), dtype=np.float32).ravel()
    place = var_names.get_indexer(pd.Index(genes.names))
    here = place >= 0
    share = genes.shares[here].sum()
    total = np.asarray(matrix[:, place[here]].sum(axis=1), dtype=np.float64).ravel()
    return (total / (share if share > 0 else 1.0)).astype(np.float32)
