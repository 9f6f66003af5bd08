"""Attention of every gene to every gene, free or drawn towards the network: the comparison."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ._edge_index import EdgeIndex


def dense_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor,
    index: EdgeIndex,
    penalty: float,
) -> Tensor:
    """Attend to all genes; arguments as in `edge_attention`.

    Parameters
    ----------
    query, key, value, bias, index
        See `edge_attention`.
    penalty
        Taken from the logits off the edges. 0 is a standard transformer, which knows no network
        and no kinds of edges.
    """
    q, k, v = (part.transpose(1, 2) for part in (query, key, value))
    mask = _mask(bias, index, penalty) if penalty else None
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0).transpose(1, 2)


def dense_weights(
    query: Tensor, key: Tensor, bias: Tensor, index: EdgeIndex, penalty: float
) -> Tensor:
    """Attention along the edges, ``(n_obs, n_edges + n_genes, n_heads)``, one cell at a time."""
    found = query.new_empty(len(query), len(index.kind), query.shape[2])
    mask = _mask(bias, index, penalty) if penalty else 0.0
    for cell, (q, k) in enumerate(zip(query.transpose(1, 2), key.transpose(1, 2), strict=True)):
        weights = torch.softmax(q @ k.transpose(1, 2) + mask, dim=-1)
        found[cell] = weights[:, index.target, index.source].T
    return found


def _mask(bias: Tensor, index: EdgeIndex, penalty: float) -> Tensor:
    shape = (index.n_genes, index.n_genes, bias.shape[1])
    mask = bias.new_full(shape, -penalty)
    mask = mask.index_put((index.target, index.source), bias)
    return mask.permute(2, 0, 1)
