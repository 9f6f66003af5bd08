"""The gated network of the age clock, layer by layer and folded for sparse input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SelfAttention(nn.Module):
    """Multi-head attention over a sequence of length one, as in the published network.

    With one token the softmax has one key, so the weights are always 1 and the block is the affine
    map ``out_proj(value(z))``. It is here to hold published weights and means nothing as attention.
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, n_heads, batch_first=True)

    def forward(self, z: Tensor) -> Tensor:
        """Map ``z`` (batch × width) to the same shape."""
        token = z.unsqueeze(1)
        return self.attn(token, token, token, need_weights=False)[0].squeeze(1)

    def of_one_token(self, z: Tensor) -> Tensor:
        """Map ``z`` as `forward` does, without queries and keys, whose gradients are 0."""
        width = self.attn.embed_dim
        value, bias = self.attn.in_proj_weight[2 * width :], self.attn.in_proj_bias[2 * width :]
        return self.attn.out_proj(F.linear(z, value, bias))

    def affine(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the map that the block amounts to."""
        width = self.attn.embed_dim
        value, bias = self.attn.in_proj_weight[2 * width :], self.attn.in_proj_bias[2 * width :]
        out = self.attn.out_proj
        return out.weight @ value, out.weight @ bias + out.bias


class GatedNetwork(nn.Module):
    r"""Feature gate, projection, layer norm, optional attention block and head: one age per row.

    .. math:: u = [g^c \odot (E_1(c_1), …, E_K(c_K)),\; g_{c_1} \odot x],\quad
        z = \mathrm{LN}(W u + b),\quad \hat y = \mathrm{head}(\mathrm{attn}(z))

    The genes' gates :math:`g_{c_1}` are those of the row's first covariate (its cell type), or one
    set for all rows.

    Parameters
    ----------
    n_genes
        Number of gene values in ``x``.
    n_categories
        Number of codes of each covariate, unknown included.
    n_gates
        Sets of gene gates: 1, or as many as codes of the first covariate.
    n_hidden
        Width of the projection.
    head
        Widths of the hidden layers of the head.
    embedding_dim
        Numbers per covariate.
    n_heads
        Heads of the attention block; 0 leaves it out.
    dropout_rate
        Dropout in the head, during training.

    Notes
    -----
    ``n_hidden=512, n_heads=8, head=(128,)`` and ``head=(256, 128)`` are the two generations of
    scAgeClock (Xie 2026, doi:10.1038/s41514-026-00379-5).
    """

    def __init__(
        self,
        n_genes: int,
        n_categories: Sequence[int] = (),
        *,
        n_gates: int = 1,
        n_hidden: int = 128,
        head: Sequence[int] = (64,),
        embedding_dim: int = 4,
        n_heads: int = 0,
        dropout_rate: float = 0.2,
    ) -> None:
        super().__init__()
        embeddings = (nn.Embedding(n, embedding_dim) for n in n_categories)
        self.embeddings = cast("Sequence[nn.Embedding]", nn.ModuleList(embeddings))
        n_features = embedding_dim * len(n_categories) + n_genes
        self.gate = nn.Parameter(torch.ones(n_gates, n_genes))
        self.covariate_gate = nn.Parameter(torch.ones(n_features - n_genes))
        self.projection = nn.Linear(n_features, n_hidden)
        self.norm = nn.LayerNorm(n_hidden, eps=1e-5)
        self.attention = SelfAttention(n_hidden, n_heads) if n_heads else None
        layers: list[nn.Module] = []
        for before, after in zip([n_hidden, *head], head, strict=False):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout_rate)]
        self.head = nn.Sequential(*layers, nn.Linear([n_hidden, *head][-1], 1))

    def forward(self, x: Tensor, codes: Tensor) -> Tensor:
        """Predict from ``x`` (batch × genes) and ``codes`` (batch × covariates): shape (batch,)."""
        embedded = [embed(codes[:, k]) for k, embed in enumerate(self.embeddings)]
        weight = self.projection.weight
        if len(self.gate) == 1:
            # The gate goes into the weight: one product of the batch fewer than gating the input.
            weight = weight * torch.cat([self.covariate_gate, self.gate[0]])
        else:
            weight = weight * F.pad(self.covariate_gate, (0, x.shape[1]), value=1.0)
            x = x * F.embedding(codes[:, 0], self.gate)  # faster backward than indexing
        u = torch.cat([*embedded, x], dim=1)
        z = self.norm(F.linear(u, weight, self.projection.bias))
        if self.attention is not None:
            z = self.attention(z)
        return self.head(z).squeeze(1)

    def gate_penalty(self) -> Tensor:
        """Mean absolute gate."""
        return self.gate.abs().mean()


class FoldedNetwork(nn.Module):
    """A :class:`GatedNetwork` in evaluation mode, folded so that CSR rows go in as they are.

    Scaling of the input and centring of the layer norm (and the gate, where there is one for all
    rows) are folded into ``table``, a row per gene: a cell's weighted sum of rows is all that its
    expression contributes. Covariates, and what is subtracted per cell type, become small tables
    added to that sum. Equal to the layered network up to float32 rounding.

    Parameters
    ----------
    network
        The network.
    scale
        Multiplies each gene value before the network sees it, shape (genes,).
    centers
        Subtracted from the scaled values, by row of the first covariate: shape (codes, genes).
        ``None`` subtracts nothing.
    """

    table: Tensor
    bias: Tensor
    inner: Tensor
    shift: Tensor
    gate: Tensor | None

    @torch.no_grad()
    def __init__(
        self, network: GatedNetwork, *, scale: Tensor | None = None, centers: Tensor | None = None
    ) -> None:
        super().__init__()
        weight, bias = network.projection.weight.double(), network.projection.bias.double()
        weight, bias = weight - weight.mean(dim=0), bias - bias.mean()
        n_covariates = len(network.covariate_gate)
        gate = network.gate.double()
        genes = weight[:, n_covariates:].T
        covariates = weight[:, :n_covariates] * network.covariate_gate.double()
        pieces = covariates.split([e.embedding_dim for e in network.embeddings], dim=1)
        tables = [
            e.weight.double() @ piece.T for e, piece in zip(network.embeddings, pieces, strict=True)
        ]
        if centers is not None:
            tables[0] = tables[0] - (centers.double() * gate) @ genes
        if scale is not None:
            genes = genes * scale.double()[:, None]
        if len(gate) == 1:
            genes = genes * gate[0][:, None]
        first = cast("nn.Linear", network.head[0])
        inner, shift = first.weight.double(), first.bias.double()
        if network.attention is not None:
            attention, attention_bias = (t.double() for t in network.attention.affine())
            inner, shift = inner @ attention, shift + inner @ attention_bias
        norm = network.norm
        self.eps = norm.eps
        self.n_tables = len(tables)
        folded = {
            "table": genes,
            "bias": bias,
            "inner": inner * norm.weight.double(),
            "shift": inner @ norm.bias.double() + shift,
            **{f"offset_{k}": table for k, table in enumerate(tables)},
        }
        for name, value in folded.items():
            self.register_buffer(name, value.float().contiguous())
        self.register_buffer("gate", gate.float() if len(gate) > 1 else None)
        self.rest = network.head[1:]

    def project(self, indptr: Tensor, indices: Tensor, values: Tensor, kind: Tensor) -> Tensor:
        """Weighted sums of gene rows over CSR rows: shape (rows, width).

        ``kind`` is the first covariate's code of the row that each stored value belongs to.
        """
        if self.gate is not None:
            values = values * self.gate[kind, indices]
        return F.embedding_bag(
            indices,
            self.table,
            indptr,
            mode="sum",
            per_sample_weights=values,
            include_last_offset=True,
        )

    def finish(self, projected: Tensor, codes: Tensor) -> Tensor:
        """From sums (or means of sums) over gene values to the output, shape (rows,)."""
        y = projected + self.bias
        for k in range(self.n_tables):
            y = y + getattr(self, f"offset_{k}")[codes[:, k]]
        y = y * torch.rsqrt(y.square().mean(dim=1, keepdim=True) + self.eps)
        hidden = F.linear(y, self.inner, self.shift)
        return self.rest(hidden).squeeze(1)
