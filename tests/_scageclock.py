"""Weights, tables and cells in the published format, and the published network layer by layer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scipy import sparse
from torch import nn

COVARIATES = ("assay", "cell_type", "tissue_general", "sex")
VOCABULARY = {
    "assay": ["10x 3' v2", "10x 3' v3", "Smart-seq2"],
    "cell_type": [
        "B cell", "CD4-positive, alpha-beta T cell", "natural killer cell", "unknown", "monocyte",
    ],
    "tissue_general": ["blood", "brain"],
    "sex": ["female", "male", "unknown"],
}  # fmt: skip
SIZES = (21, 664, 52, 3)
"""Published cardinalities."""

GENES = {"0.1.2": 19_179, "0.1.3": 19_234}


class Layers(nn.Module):
    """The published network as its description has it, with its names and a real attention."""

    def __init__(self, generation, n_genes, sizes, width=512, head=None, n_heads=8):
        super().__init__()
        self.embeddings = nn.ModuleList([nn.Embedding(n, 4) for n in sizes])
        n_features = 4 * len(sizes) + n_genes
        self.feature_gate = nn.Module()
        self.feature_gate.weights = nn.Parameter(1 + 0.3 * torch.randn(n_features))
        projection = nn.Linear(n_features, width)
        if generation == "0.1.2":
            (a,) = head or (128,)
            self.projection = projection
            self.fc = nn.Sequential(nn.Linear(width, a), nn.ReLU(), nn.Linear(a, 1))
        else:
            a, b = head or (256, 128)
            self.projection_layer = projection
            self.predict_layer = nn.Sequential(
                nn.Linear(width, a), nn.ReLU(), nn.Dropout(0.2),
                nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Dropout(0.2)), nn.Linear(b, 1),
            )  # fmt: skip
        self.attention = nn.Module()
        self.attention.attn = nn.MultiheadAttention(width, n_heads, batch_first=True)
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.norm.weight, 1, 0.2)
        nn.init.normal_(self.norm.bias, 0, 0.2)
        nn.init.normal_(self.attention.attn.in_proj_bias, 0, 0.2)
        nn.init.normal_(self.attention.attn.out_proj.bias, 0, 0.2)
        self.generation = generation
        last = (self.fc if generation == "0.1.2" else self.predict_layer)[-1]
        last.weight.data *= 100  # so that ages spread over decades
        last.bias.data += 50

    def forward(self, x):
        old = self.generation == "0.1.2"
        codes = x[:, :4].long()
        embedded = [e(codes[:, k]) for k, e in enumerate(self.embeddings)]
        u = torch.cat([*embedded, x[:, 4:]], dim=1) * self.feature_gate.weights
        z = self.norm((self.projection if old else self.projection_layer)(u)).unsqueeze(1)
        z = self.attention.attn(z, z, z)[0].squeeze(1)
        return (self.fc if old else self.predict_layer)(z).squeeze(1)


def layers(generation="0.1.3", n_genes=60, sizes=None, *, small=True, seed=0):
    """A network with random weights; ``small`` has narrow layers."""
    sizes = sizes or [len(labels) for labels in VOCABULARY.values()]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        narrow = {"width": 32, "head": (16,) if generation == "0.1.2" else (16, 8), "n_heads": 4}
        return Layers(generation, n_genes, sizes, **(narrow if small else {})).eval()


def tokens(n_genes):
    """Names as published: symbols, some versioned Ensembl ids and some ``SYMBOL_ENSG…``."""
    names = [f"GENE{i}" for i in range(n_genes)]
    for i in range(0, n_genes, 10):
        names[i] = f"ENSG{i:011d}.{i % 7 + 1}"
    for i in range(5, n_genes, 20):
        names[i] = f"GENE{i}_ENSG{i:011d}"
    return names


def gene_table(names):
    rows = [*COVARIATES, *names]
    return pd.DataFrame({"h5ad_var": rows, "index": range(len(rows))})


def gene_ids(names):
    """The published table of ids, which knows all genes."""
    ids = [f"ENSG{i:011d}" for i in range(len(names))]
    return pd.DataFrame({"gene_id": ids, "gene_name": names})


def category_tables(vocabulary=None):
    return {
        name: pd.DataFrame({"numeric_index": range(len(v)), "categorical_value": v})
        for name, v in (vocabulary or VOCABULARY).items()
    }


def cells(names, n_obs=40, *, density=0.2, vocabulary=None, seed=0):
    """Counts in CSR with labels as published."""
    rng = np.random.default_rng(seed)
    x = sparse.random(n_obs, len(names), density, format="csr", dtype=np.float32, rng=rng)
    x.data[:] = rng.geometric(0.3, x.nnz)
    obs = pd.DataFrame(
        {name: rng.choice(v, n_obs) for name, v in (vocabulary or VOCABULARY).items()},
        index=[f"cell{i}" for i in range(n_obs)],
    )
    obs["donor_id"] = pd.Categorical([f"d{i % 5}" for i in range(n_obs)])
    obs["age"] = obs["donor_id"].astype(str).str[1:].astype(float) * 10 + 20
    return AnnData(x, obs=obs, var=pd.DataFrame(index=list(names)))


@torch.no_grad()
def published_ages(network, adata, *, target_sum=1e4, vocabulary=None):
    """Ages the published way: all dense, in the network's own gene order, layer by layer."""
    x = adata.X.toarray().astype(np.float64)
    total = x.sum(axis=1, keepdims=True)
    if target_sum == "median":
        target_sum = np.median(total[total > 0])
    x = np.log1p(x / np.where(total > 0, total, 1) * target_sum)
    vocabulary = vocabulary or VOCABULARY
    codes = np.column_stack([pd.Index(vocabulary[c]).get_indexer(adata.obs[c]) for c in COVARIATES])
    return network(torch.from_numpy(np.hstack([codes, x]).astype(np.float32))).double().numpy()
