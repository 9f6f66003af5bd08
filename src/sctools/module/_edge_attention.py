"""Attention of every gene to its regulators: cost and memory grow with the edges.

On a CPU by compiled loops, elsewhere by gathers over buckets of genes with as many regulators.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import _edge_kernels as kernels
from ._edge_index import EdgeIndex

CHUNK_BYTES = 2**25
"""Largest gathered buffer. Larger ones lose more to page faults than they save in calls."""


def edge_attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, index: EdgeIndex
) -> tuple[Tensor, Tensor]:
    """Attend along edges only.

    Parameters
    ----------
    query, key, value
        Shape ``(n_obs, n_genes, n_heads, n_head_dims)``. Queries are scaled already.
    bias
        Added to the logits, by edge in the order of ``index``, ``(n_edges + n_genes, n_heads)``.
    index
        Edges, self edges included.

    Returns
    -------
    Output like ``value``, and attention of shape ``(n_obs, n_edges + n_genes, n_heads)`` without
    gradient, in the order of ``index``: the edges of each target sum to 1.

    Notes
    -----
    Equal to dense attention with everything off the edges masked; see the tests.
    """
    parts = [query, key, value, bias]
    if query.device.type == "cpu":
        if query.dtype not in (torch.float32, torch.float64):
            parts = [part.float() for part in parts]
        output, attention = CompiledAttention.apply(*parts, index)
    else:
        output, attention = GatheredAttention.apply(*parts, index)
    return output, attention


class CompiledAttention(torch.autograd.Function):
    """`edge_attention` by compiled loops."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor, index: EdgeIndex
    ) -> tuple[Tensor, Tensor]:
        """Attend."""
        output = torch.empty(value.shape, dtype=value.dtype)
        attention = query.new_empty(len(query), len(index.kind), query.shape[2])
        kernels.attend(  # type: ignore[call-arg]
            *_arrays(query, key, value, bias, index.first, index.source),
            output.numpy(), attention.numpy(),
        )  # fmt: skip
        ctx.save_for_backward(query, key, value, attention)
        ctx.index = index
        ctx.mark_non_differentiable(attention)
        return output, attention

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        """Gradients; attention has none."""
        query, key, value, attention = ctx.saved_tensors
        index: EdgeIndex = ctx.index
        found = [torch.zeros(part.shape, dtype=part.dtype) for part in (query, key, value)]
        found.append(query.new_zeros(attention.shape[1:]))
        kernels.attend_backward(
            *_arrays(query, key, value, attention, grads[0], index.first, index.source),
            *(gradient.numpy() for gradient in found),
        )
        return *found, None


def _arrays(*tensors: Tensor) -> list[Any]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


class GatheredAttention(torch.autograd.Function):
    """`edge_attention` by gathers, in chunks of cells."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor, index: EdgeIndex
    ) -> tuple[Tensor, Tensor]:
        """Attend."""
        n_obs, _, n_heads, _ = query.shape
        output = torch.empty_like(value)
        attention = query.new_empty(n_obs, len(index.kind), n_heads)
        buckets = index.by_target()
        for rows in _chunks(query, index):
            q, k, v = query[rows], key[rows], value[rows]
            out, att = output[rows], attention[rows]
            for nodes, edges, others, padding in buckets:
                if edges.shape[1] == 1:  # only itself to attend to
                    att[:, edges[:, 0]] = 1.0
                    out[:, nodes] = v[:, nodes]
                    continue
                score = (q[:, nodes].unsqueeze(2) * _take(k, others)).sum(-1) + bias[edges]
                if padding is not None:
                    score = score.masked_fill(padding[None, :, :, None], -torch.inf)
                weight = torch.softmax(score, dim=2)
                out[:, nodes] = (weight.unsqueeze(-1) * _take(v, others)).sum(2)
                _put(att, edges, padding, weight)
        ctx.save_for_backward(query, key, value, attention)
        ctx.index = index
        ctx.mark_non_differentiable(attention)
        return output, attention

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        """Gradients; attention has none."""
        query, key, value, attention = ctx.saved_tensors
        grad = grads[0]
        index: EdgeIndex = ctx.index
        d_query, d_key, d_value = (torch.empty_like(t) for t in (query, key, value))
        d_edge = query.new_zeros(len(index.kind), query.shape[2])
        by_target, by_source = index.by_target(), index.by_source()
        for rows in _chunks(query, index):
            q, k, v, g, a = query[rows], key[rows], value[rows], grad[rows], attention[rows]
            dq, dk, dv = d_query[rows], d_key[rows], d_value[rows]
            d_score = torch.empty_like(a)
            for nodes, edges, others, padding in by_target:
                if edges.shape[1] == 1:
                    d_score[:, edges[:, 0]] = 0.0
                    dq[:, nodes] = 0.0
                    continue
                weight = _take(a, edges)
                if padding is not None:
                    weight = weight.masked_fill(padding[None, :, :, None], 0.0)
                d_weight = (g[:, nodes].unsqueeze(2) * _take(v, others)).sum(-1)
                ds = weight * (d_weight - (weight * d_weight).sum(2, keepdim=True))
                dq[:, nodes] = (ds.unsqueeze(-1) * _take(k, others)).sum(2)
                _put(d_score, edges, padding, ds)
            for nodes, edges, others, padding in by_source:
                ds, weight = _take(d_score, edges), _take(a, edges)
                if padding is not None:
                    empty = padding[None, :, :, None]
                    ds, weight = ds.masked_fill(empty, 0.0), weight.masked_fill(empty, 0.0)
                dk[:, nodes] = (ds.unsqueeze(-1) * _take(q, others)).sum(2)
                dv[:, nodes] = (weight.unsqueeze(-1) * _take(g, others)).sum(2)
            d_edge += d_score.sum(0)
        return d_query, d_key, d_value, d_edge, None


def _chunks(query: Tensor, index: EdgeIndex) -> list[slice]:
    n_obs, _, n_heads, width = query.shape
    per_cell = len(index.kind) * n_heads * width * query.element_size()
    size = max(1, CHUNK_BYTES // per_cell)
    return [slice(start, min(start + size, n_obs)) for start in range(0, n_obs, size)]


def _take(values: Tensor, places: Tensor) -> Tensor:
    """``values[:, places]`` for a matrix of places; one flat gather is the fastest."""
    taken = values.index_select(1, places.reshape(-1))
    return taken.view(values.shape[0], *places.shape, *values.shape[2:])


def _put(into: Tensor, edges: Tensor, padding: Tensor | None, values: Tensor) -> None:
    if padding is None:
        into[:, edges.reshape(-1)] = values.flatten(1, 2)
    else:
        into[:, edges[~padding]] = values[:, ~padding]
