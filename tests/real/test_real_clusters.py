"""SRSA-VAE on real cells, few epochs; skipped where the data are absent."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

import sctools

pytestmark = pytest.mark.slow


def read(data_dir, name, n_genes):
    path = data_dir / "cluster" / f"{name}.h5ad"
    if not path.is_file():
        pytest.skip(f"no {path.name}")
    adata = ad.read_h5ad(path)
    adata.layers["counts"] = adata.X.copy()
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=n_genes)
    return adata


def test_cell_types_of_blood(data_dir):
    adata = read(data_dir, "pbmc3k_2638", 1000)
    sctools.tl.srsa_vae(adata, layer="counts", max_epochs=20, progress_bar=False)
    assert adata.uns["srsa_vae"]["params"]["n_genes"] == 1000
    history = adata.uns["srsa_vae"]["history"]
    assert history["kl_weight"].iloc[-1] == history["kl_weight"].max() > 0
    assert history["token_entropy"].iloc[-1] > 0.5
    clusters = KMeans(9, n_init=10, random_state=0).fit_predict(adata.obsm["X_srsa_vae"])
    assert adjusted_rand_score(adata.obs["cell_type"], clusters) > 0.4


def test_rna_and_protein(data_dir):
    adata = read(data_dir, "cbmc_citeseq_8617", 500)[::4].copy()
    sctools.tl.srsa_vae(
        adata,
        layer="counts",
        protein_key="protein_expression",
        max_epochs=15,
        denoised_protein_key="denoised",
        progress_bar=False,
    )
    latent = adata.obsm["X_srsa_vae"]
    assert np.isfinite(latent).all()
    clusters = KMeans(13, n_init=10, random_state=0).fit_predict(latent)
    assert adjusted_rand_score(adata.obs["cell_type"], clusters) > 0.3
    denoised, raw = adata.obsm["denoised"], adata.obsm["protein_expression"]
    assert list(denoised.columns) == list(raw.columns)
    for name in denoised.columns[:3]:
        assert np.corrcoef(np.log1p(denoised[name]), np.log1p(raw[name]))[0, 1] > 0.3
