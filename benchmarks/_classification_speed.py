"""A training step of the prior transformer, against the same one on masked dense attention."""

from __future__ import annotations

import resource
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from sctools.module import EdgeIndex, PriorTransformerModule
from sctools.module import _prior_layers as layers

N_GENES, BATCH, REPEATS = 2500, 64, 5


def speed(results: Path, *, n_splits: int | None, modes: Any, redo: bool) -> pd.DataFrame:
    """Time steps in turns; the network has the size of CollecTRI's among variable genes."""
    from _classification_tasks import network

    index = _index(network())
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.15, (BATCH, N_GENES)).astype(np.float32)
    batch = {
        "values": torch.from_numpy(np.log1p(counts)),
        "labels": torch.from_numpy(rng.integers(0, 10, BATCH)),
    }
    torch.manual_seed(0)
    module = PriorTransformerModule(
        index, 10, n_hidden=32, n_heads=4, n_layers=2, mask_rate=0.3, reconstruction_weight=10.0
    )
    times: dict[str, list[float]] = {"edges": [], "masked dense": []}
    step(module, batch)  # compiles
    peak = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20]
    allowed = torch.zeros(N_GENES, N_GENES, dtype=torch.bool)
    allowed[index.target, index.source] = True
    edge_attention = layers.edge_attention

    def dense(query: Any, key: Any, value: Any, bias: Any, index: Any) -> tuple[Any, Any]:
        q, k, v = (part.transpose(1, 2) for part in (query, key, value))
        out = torch.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=allowed, scale=1.0
        )
        return out.transpose(1, 2), query.new_zeros(len(query), len(index.kind), query.shape[2])

    for _ in range(REPEATS):
        times["edges"].append(step(module, batch))
        layers.edge_attention = dense
        try:
            times["masked dense"].append(step(module, batch))
        finally:
            layers.edge_attention = edge_attention
    base = statistics.median(times["edges"])
    rows = [
        {
            "attention": name,
            "n_genes": N_GENES,
            "n_edges": index.n_edges,
            "batch": BATCH,
            "ratio": statistics.median(found) / base,
            "ratio_min": min(found) / base,
            "ratio_max": max(found) / base,
            "peak_gib": peak[0] if name == "edges" else np.nan,
        }
        for name, found in times.items()
    ]
    return pd.DataFrame(rows)


def step(module: PriorTransformerModule, batch: dict[str, torch.Tensor]) -> float:
    """CPU seconds of one forward and backward pass."""
    module.train()
    start = time.process_time()
    _, _, losses = module(batch)
    losses.loss.backward()
    module.zero_grad()
    return time.process_time() - start


def _index(net: pd.DataFrame | None, n_edges: int = 14000) -> EdgeIndex:
    """Edges of the targets and regulators with the most edges, or random ones of that number."""
    rng = np.random.default_rng(0)
    if net is None:
        pairs = rng.integers(0, N_GENES, (3 * n_edges, 2))
    else:
        ends = pd.concat([net["source"], net["target"]])
        genes = pd.Index(ends.value_counts().index[:N_GENES])
        pairs = np.stack([genes.get_indexer(net[end]) for end in ("source", "target")], axis=1)
        pairs = pairs[(pairs >= 0).all(axis=1)]
    pairs = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
    pairs = pairs[rng.permutation(len(pairs))[:n_edges]]
    sign = rng.choice([-1, 0, 1], len(pairs))
    return EdgeIndex(pairs[:, 0], pairs[:, 1], sign, N_GENES)
