"""Small RNA and protein counts and quick settings for the tests of SRSA-VAE."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
from anndata import AnnData
from mudata import MuData

from sctools import datasets

N_OBS, N_GENES, N_PROTEINS = 150, 120, 14
PROTEINS = "protein_expression"

QUICK: dict[str, Any] = {
    "batch_key": "batch",
    "max_epochs": 2,
    "model_kwargs": {"n_hidden": 32},
    "train_kwargs": {"batch_size": 64},
}
"""Arguments of ``tl.srsa_vae`` that train in no time."""

QUICK_PROTEIN: dict[str, Any] = {
    **QUICK,
    "model_kwargs": {"n_hidden": 32, "empirical_protein_background_prior": False},
}
"""The same with proteins, without the mixtures that totalVI fits to cells before it trains."""


@functools.cache
def _cells(n_obs: int, rng: int) -> AnnData:
    adata = datasets.immune_mixture(n_obs, n_genes=N_GENES, rng=rng)
    adata.obsm[PROTEINS] = adata.obsm[PROTEINS].copy()
    return adata


def cells(n_obs: int = N_OBS, rng: int = 0) -> AnnData:
    """Cells of one's own, to be changed at will; further ones of the same kind by ``rng``."""
    return _cells(n_obs, rng).copy()


def multimodal(adata: AnnData, rna: str = "rna", protein: str = "prot") -> MuData:
    """Return the same counts as MuData."""
    table = adata.obsm[PROTEINS]
    second = AnnData(table.to_numpy(np.float32), obs=adata.obs[[]].copy())
    second.var_names = table.columns.tolist()
    first = adata.copy()
    del first.obsm[PROTEINS]
    return quietly_joined({rna: first, protein: second})


def quietly_joined(modalities: dict[str, AnnData]) -> MuData:
    """MuData without its notices on columns and names that modalities share."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MuData(modalities)
