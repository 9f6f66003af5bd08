"""Labelled sets for the clustering benchmark: the same genes and counts for every method.

Genes are chosen by their variability on log-normalised counts. Labels stay apart from the cells, so
that no method and no choice can see them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc

DATA = Path(
    os.environ.get("SCTOOLS_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")
).resolve()
# Whatever is tuned is tuned on three sets; the other three confirm it.
TUNING = ("zeisel", "baron", "pbmc3k")
CONFIRMATION = ("pbmc4k", "kidney", "bladder")
RNA = TUNING + CONFIRMATION
CITE = "cbmc"
KANG = "kang"
FILES = {
    "zeisel": "cluster/zeisel_cortex_3005.h5ad",
    "baron": "cluster/baron_human1_1937.h5ad",
    "pbmc3k": "cluster/pbmc3k_2638.h5ad",
    "pbmc4k": "cluster/pbmc4k_scdcc_top2000.h5ad",
    "kidney": "cluster/human_kidney_scdcc_top2000.h5ad",
    "bladder": "cluster/mouse_bladder_scdcc_top2000.h5ad",
    CITE: "cluster/cbmc_citeseq_8617.h5ad",
    KANG: "classify/kang_pbmc_ifnb_muscat_1556.h5ad",
}
# Spiked-in mouse cells and cells without a type: every model sees them, no score does.
NOT_SCORED = {CITE: ("Mouse", "Unknown")}
PROTEIN = "protein_expression"
TARGET_SUM = 1e4


@dataclass(frozen=True)
class Dataset:
    """Cells as the methods see them, and what only the scores see.

    Attributes
    ----------
    name
        Name of the set.
    adata
        Raw counts of the chosen genes in ``X``, log-normalised values in
        ``layers["log_normalized"]``; ``obs["batch"]`` for Kang, protein counts in
        ``obsm["protein_expression"]`` for CBMC. No labels.
    labels
        Cell types, shape ``(n_obs,)``.
    scored
        Which cells count in the scores, shape ``(n_obs,)``.
    """

    name: str
    adata: ad.AnnData
    labels: np.ndarray
    scored: np.ndarray

    @property
    def batch(self) -> np.ndarray | None:
        """Batch of every cell, where the set has batches."""
        return self.adata.obs["batch"].to_numpy() if "batch" in self.adata.obs else None


def load(name: str, n_genes: int) -> Dataset | None:
    """Read a set and choose its genes; ``None`` where the file is absent."""
    path = DATA / FILES[name]
    if not path.exists():
        print(f"{name}: skipped, no file {FILES[name]} under SCTOOLS_TEST_DATA")
        return None
    return prepare(name, ad.read_h5ad(path), n_genes)


def prepare(name: str, raw: ad.AnnData, n_genes: int) -> Dataset:
    """Choose genes, keep what methods may see, and set the labels apart."""
    labels = raw.obs["cell_type"].astype(str).to_numpy()
    obs = pd.DataFrame(index=raw.obs_names)
    if name == KANG:
        batch = raw.obs["donor"].astype(str) + "_" + raw.obs["condition"].astype(str)
        obs["batch"] = batch.astype("category")
    adata = ad.AnnData(raw.X, obs=obs, var=pd.DataFrame(index=raw.var_names))
    if PROTEIN in raw.obsm:
        adata.obsm[PROTEIN] = raw.obsm[PROTEIN]
    # Over all genes, as for the log-normalised values that PCA sees.
    adata.obs["depth"] = np.asarray(adata.X.sum(axis=1), dtype=np.float32).ravel()
    adata = choose_genes(adata, n_genes)
    scored = ~np.isin(labels, NOT_SCORED.get(name, ()))
    return Dataset(name, adata, labels, scored)


def choose_genes(adata: ad.AnnData, n_genes: int) -> ad.AnnData:
    """Keep the most variable genes (scanpy's ``seurat`` flavour), without labels.

    Depth is normalised over all genes of the file, before the choice, as is usual with scanpy.
    """
    normalized = adata.copy()
    sc.pp.normalize_total(normalized, target_sum=TARGET_SUM)
    sc.pp.log1p(normalized)
    sc.pp.highly_variable_genes(normalized, n_top_genes=min(n_genes, adata.n_vars))
    chosen = normalized.var["highly_variable"].to_numpy()
    out = adata[:, chosen].copy()
    out.layers["log_normalized"] = normalized[:, chosen].X.copy()
    if not np.asarray(out.X.sum(axis=1)).all():
        raise ValueError(f"Expected counts in every cell, found none with {n_genes} genes.")
    return out
