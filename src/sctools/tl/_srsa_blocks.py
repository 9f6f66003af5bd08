"""Applying an SRSA-VAE to counts that are not in memory, a block of cells at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ..pp._counts_input import READ_ROWS, CountsInput
from ..pp._expression import get_expression, row_blocks
from ._srsa_input import Input, read_input
from ._srsa_model import make_ready
from ._srsa_record import encode

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from ..model import SRSAVAE, MultimodalSRSAVAE


def is_lazy(adata: AnnData | MuData, layer: str | None) -> bool:
    """Whether the counts are a dask array or in a file."""
    from anndata import AnnData

    if not isinstance(adata, AnnData):
        return False
    matrix = get_expression(adata, layer, lazy=True)
    return adata.isbacked or not (isinstance(matrix, np.ndarray) or sp.issparse(matrix))


def encode_blocks(
    model: SRSAVAE | MultimodalSRSAVAE | str | os.PathLike[str],
    adata: AnnData,
    names: CountsInput,
    *,
    protein_key: str | None,
    batch_size: int | None,
    seed: int,
    check: Callable[[AnnData], None],
) -> tuple[SRSAVAE | MultimodalSRSAVAE, int, dict[str, Any]]:
    """Return the model, its number of genes, and the arrays to write.

    Parameters
    ----------
    model, names, batch_size, seed
        As for counts in memory.
    adata
        Annotated data whose counts are not in memory.
    protein_key
        Key of ``obsm`` with proteins.
    check
        Called with each block as the model is given it.
    """
    parts: list[dict[str, Any]] = []
    vae: Any = model
    n_genes = 0
    for block in _blocks(adata, names.layer, protein_key):
        found: Input = read_input(block, protein_key=protein_key, modalities=None, copy=False)
        vae, query = make_ready(vae, found, names)
        check(query)
        n_genes = query.n_vars
        parts.append(encode(vae, query, batch_size, denoise=False, seed=seed))
    return vae, n_genes, _joined(parts)


def _blocks(adata: AnnData, layer: str | None, protein_key: str | None) -> Iterator[AnnData]:
    """Yield blocks of cells in memory, in order, with no more than is read."""
    from anndata import AnnData

    for start, counts in row_blocks(get_expression(adata, layer, lazy=True), READ_ROWS):
        rows = slice(start, start + counts.shape[0])
        block = AnnData(obs=adata.obs.iloc[rows].copy(), var=adata.var[[]])
        if layer is None:
            block.X = counts
        else:
            block.layers[layer] = counts
        if protein_key is not None and protein_key in adata.obsm:
            proteins = adata.obsm[protein_key]
            block.obsm[protein_key] = (
                proteins.iloc[rows] if isinstance(proteins, pd.DataFrame) else proteins[rows]
            )
        yield block


def _joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    arrays: dict[str, Any] = {
        name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in parts[0]
    }
    if "component" in arrays:
        used = sorted(set(arrays["component"]), key=int)
        arrays["component"] = pd.Categorical(arrays["component"], categories=used)
    return arrays
