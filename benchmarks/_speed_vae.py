"""Figures of SRSA-VAE: an epoch, encoding and the likelihood against scVI's."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import torch
from _clustering_data import Dataset
from _clustering_methods import Settings
from _clustering_speed import speed
from _side_by_side import ROUNDS, noise, row, table
from scipy import sparse
from scvi.distributions import NegativeBinomial

from sctools.module._sparse_likelihood import SparseNegativeBinomial

BATCH = 128
"""That of scvi-tools."""


def few_genes(quick: bool) -> pd.DataFrame:
    """Measure on 2,000 genes."""
    return vae(*((100, 256, 2) if quick else (2_000, 1_280, ROUNDS)), "≥ 1")


def many_genes(quick: bool) -> pd.DataFrame:
    """Measure on 19,000 genes."""
    return vae(*((950, 256, 2) if quick else (19_000, 384, ROUNDS)), "≥ 1.3")


def vae(n_genes: int, n_cells: int, n_rounds: int, asked: str) -> pd.DataFrame:
    """Both take turns at training and encoding the same simulated counts."""
    adata = counts(n_cells, n_genes)
    found = speed(
        Dataset("simulated", adata, np.zeros(n_cells), np.ones(n_cells, dtype=bool)),
        Settings(n_genes=n_genes, batch_size=BATCH),
        n_rounds=n_rounds,
        n_epochs=3,
        n_encodings=3,
    )
    rows = []
    for column, what, limit in (("training_epoch", "epoch", asked), ("encoding", "encoding", "")):
        name = f"SRSA-VAE {what}, {n_genes:,} genes"
        rows.append(row(name, "scVI", "times as fast", 1 / found[column], limit, noise(found)))
    error = [likelihood_error(adata.X)]
    name = f"likelihood of the counts, {n_genes:,} genes"
    rows.append(row(name, "scvi-tools' own", "relative difference", error, "≤ 1e-6"))
    return table(rows)


def counts(n_cells: int, n_genes: int, seed: int = 0) -> ad.AnnData:
    """Overdispersed counts of genes whose means spread widely; about 6 % are not 0."""
    rng = np.random.default_rng(seed)
    mean = rng.gamma(0.15, 0.6, n_genes) * rng.gamma(2, 0.5, (n_cells, 1))
    x = rng.poisson(mean * rng.gamma(2, 0.5, mean.shape)).astype(np.float32)
    x[:, 0] += 1  # no empty cell
    obs = pd.DataFrame({"depth": x.sum(axis=1)}, index=np.arange(n_cells).astype(str))
    return ad.AnnData(sparse.csr_matrix(x), obs=obs)


def likelihood_error(x: sparse.csr_matrix, n_cells: int = 128) -> float:
    """Largest relative difference of a cell's log likelihood, in float32."""
    value = torch.from_numpy(x[:n_cells].toarray())
    generator = torch.Generator().manual_seed(0)
    shape = value.shape
    mu = torch.rand(shape, generator=generator) * value.mean() * 2 + 1e-4
    theta = torch.rand(shape[1], generator=generator) * 3 + 0.01
    ours, reference = (
        cls(mu=mu, theta=theta, validate_args=False).log_prob(value).double().sum(1)
        for cls in (SparseNegativeBinomial, NegativeBinomial)
    )
    return float(((ours - reference) / reference).abs().max())
