"""A training step of the prior transformer, against the same one on masked dense attention."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from _side_by_side import in_turns
from predict_memory import peak_rss

from sctools.module import EdgeIndex, PriorTransformerModule
from sctools.module import _prior_layers as layers

N_GENES, N_EDGES, BATCH, REPEATS = 2500, 14_000, 64, 7
EDGES, DENSE = "edges", "masked dense"


def speed(results: Path, *, n_splits: int | None, modes: Any, redo: bool) -> pd.DataFrame:
    """Time steps in turns; the network has the size of CollecTRI's among variable genes."""
    from _classification_tasks import network

    index = edge_index(network())
    ways = steps(index, BATCH)
    ways[EDGES]()  # compiles
    peak = peak_rss() / 2**30
    seconds = in_turns(ways, REPEATS)
    base = seconds[EDGES].median()
    rows = [
        {
            "attention": name,
            "n_genes": N_GENES,
            "n_edges": index.n_edges,
            "batch": BATCH,
            "ratio": seconds[name].median() / base,
            "ratio_min": seconds[name].min() / base,
            "ratio_max": seconds[name].max() / base,
            "peak_gib": peak if name == EDGES else np.nan,
        }
        for name in ways
    ]
    return pd.DataFrame(rows)


def steps(index: EdgeIndex, batch_size: int) -> dict[str, Callable[[], None]]:
    """Forward and backward pass of one model, on edges and on masked dense attention."""
    n_genes = len(index.first) - 1
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.15, (batch_size, n_genes)).astype(np.float32)
    batch = {
        "values": torch.from_numpy(np.log1p(counts)),
        "labels": torch.from_numpy(rng.integers(0, 10, batch_size)),
    }
    torch.manual_seed(0)
    module = PriorTransformerModule(
        index, 10, n_hidden=32, n_heads=4, n_layers=2, mask_rate=0.3, reconstruction_weight=10.0
    )
    module.train()
    allowed = torch.zeros(n_genes, n_genes, dtype=torch.bool)
    allowed[index.target, index.source] = True
    edge_attention = layers.edge_attention

    def dense(query: Any, key: Any, value: Any, bias: Any, index: Any) -> tuple[Any, Any]:
        q, k, v = (part.transpose(1, 2) for part in (query, key, value))
        out = torch.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=allowed, scale=1.0
        )
        return out.transpose(1, 2), query.new_zeros(len(query), len(index.kind), query.shape[2])

    def step() -> None:
        _, _, losses = module(batch)
        losses.loss.backward()
        module.zero_grad()

    def dense_step() -> None:
        layers.edge_attention = dense
        try:
            step()
        finally:
            layers.edge_attention = edge_attention

    return {EDGES: step, DENSE: dense_step}


def edge_index(
    net: pd.DataFrame | None = None, n_edges: int = N_EDGES, n_genes: int = N_GENES
) -> EdgeIndex:
    """Edges of the targets and regulators with the most edges, or random ones of that number."""
    rng = np.random.default_rng(0)
    if net is None:
        pairs = rng.integers(0, n_genes, (3 * n_edges, 2))
    else:
        ends = pd.concat([net["source"], net["target"]])
        genes = pd.Index(ends.value_counts().index[:n_genes])
        pairs = np.stack([genes.get_indexer(net[end]) for end in ("source", "target")], axis=1)
        pairs = pairs[(pairs >= 0).all(axis=1)]
    pairs = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
    pairs = pairs[rng.permutation(len(pairs))[:n_edges]]
    sign = rng.choice([-1, 0, 1], len(pairs))
    return EdgeIndex(pairs[:, 0], pairs[:, 1], sign, n_genes)
