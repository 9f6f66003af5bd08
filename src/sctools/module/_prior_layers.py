"""Parts of the prior transformer: gene tokens, attention layers, and the read-out of a cell."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ._dense_attention import dense_attention, dense_weights
from ._edge_attention import edge_attention
from ._edge_index import KINDS, EdgeIndex

START = 0.1
"""Size of what attention adds to a gene's token before training."""


class GeneTokens(nn.Module):
    """One vector per gene and cell: who the gene is, and how much of it is there.

    Parameters
    ----------
    n_genes
        Number of genes.
    n_hidden
        Width of a token.
    n_curve
        Hidden nodes of the curve that all genes share.
    """

    def __init__(self, n_genes: int, n_hidden: int, n_curve: int = 16) -> None:
        super().__init__()
        self.identity = nn.Parameter(torch.randn(n_genes, n_hidden) / math.sqrt(n_hidden))
        # A direction of its own lets each gene say how much of it there is to those who attend;
        # a curve shared by all genes cannot be weighed gene by gene by later linear maps.
        self.direction = nn.Parameter(torch.randn(n_genes, n_hidden) / math.sqrt(n_hidden))
        self.absent = nn.Parameter(torch.zeros(n_hidden))
        self.hidden = nn.Parameter(torch.zeros(n_hidden))
        self.curve = nn.Sequential(nn.Linear(1, n_curve), nn.GELU(), zeroed(n_curve, n_hidden))

    def forward(self, values: Tensor, centred: Tensor, masked: Tensor | None = None) -> Tensor:
        """Embed log values and centred values, both ``(n_obs, n_genes)``.

        ``masked`` is true for genes whose values the tokens must not tell.
        """
        tokens = self.curve(values.unsqueeze(-1))
        tokens = torch.addcmul(tokens, centred.unsqueeze(-1), self.direction)
        tokens = torch.addcmul(tokens, (values == 0).unsqueeze(-1).to(tokens.dtype), self.absent)
        if masked is not None:
            tokens = torch.where(masked.unsqueeze(-1), self.hidden, tokens)
        return tokens + self.identity


class PriorLayer(nn.Module):
    """Pre-norm attention over a gene's regulators, then a feed-forward network.

    Parameters
    ----------
    index
        The network.
    n_hidden, n_heads
        Width of a token, and attention heads.
    feed_forward
        Whether the feed-forward network follows.
    """

    def __init__(
        self, index: EdgeIndex, n_hidden: int, n_heads: int, *, feed_forward: bool = True
    ) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(n_hidden)
        # One place of each head's queries and keys is kept for how much of a regulator there is.
        self.query = nn.Linear(n_hidden, n_hidden - n_heads)
        self.key = nn.Linear(n_hidden, n_hidden - n_heads, bias=False)
        self.value, self.output = nn.Linear(n_hidden, n_hidden), nn.Linear(n_hidden, n_hidden)
        # The maps of queries and keys stay near their random start, where it would be chance
        # whether attention rises or falls with a regulator.
        self.abundance = nn.Parameter(torch.zeros(n_heads))
        # What a gene hears is, to begin with, a little of what its regulators say.
        with torch.no_grad():
            for layer, size in ((self.value, 1.0), (self.output, START)):
                nn.init.zeros_(layer.bias)
                layer.weight.copy_(size * torch.eye(n_hidden))
        self.kind_bias = nn.Parameter(torch.zeros(len(KINDS), n_heads))
        # What makes one regulator matter more than another for a target is hard to say by the two
        # genes' vectors, of which each gene has one for all its edges.
        self.edge_bias = nn.Parameter(torch.zeros(len(index.kind), n_heads))
        self.feed_forward = None
        if feed_forward:
            self.feed_forward = nn.Sequential(
                nn.LayerNorm(n_hidden),
                nn.Linear(n_hidden, 2 * n_hidden),
                nn.GELU(),
                zeroed(2 * n_hidden, n_hidden),
            )

    def forward(
        self, tokens: Tensor, amount: Tensor, index: EdgeIndex, prior: Any
    ) -> tuple[Tensor, Tensor | None]:
        """Return tokens after the layer, and attention along edges where it is at hand.

        ``amount`` are centred values, ``(n_obs, n_genes)``, zero where they are hidden.
        """
        normed = self.norm(tokens)
        split = (*tokens.shape[:2], self.n_heads, -1)
        scale = (tokens.shape[2] // self.n_heads) ** -0.5
        query, key = (self.query(normed) * scale).view(split), self.key(normed).view(split)
        told = amount[:, :, None, None] * self.abundance[:, None]
        query = torch.cat([query, torch.ones_like(told)], dim=3)
        key = torch.cat([key, told], dim=3)
        value = self.value(tokens).view(split)
        bias = self.kind_bias[index.kind] + self.edge_bias
        attention: Tensor | None
        if prior is None:
            mixed, attention = edge_attention(query, key, value, bias, index)
        else:
            mixed = dense_attention(query, key, value, bias, index, prior)
            attention = None
            if not self.training:
                attention = dense_weights(query, key, bias, index, prior)
        tokens = tokens + self.output(mixed.flatten(2))
        if self.feed_forward is not None:
            # Computed again for the gradients: what it holds is the widest of the layer.
            tokens = tokens + checkpoint(
                self.feed_forward, tokens, use_reentrant=False, preserve_rng_state=False
            )
        return tokens, attention


class ReadOut(nn.Module):
    """A cell's embedding: learned queries attend to all genes, which never attend back.

    Tokens are summed as they are, so that the embedding starts as a linear map of expression.

    Parameters
    ----------
    n_hidden, n_heads
        Width of a token, and number of queries.
    """

    def __init__(self, n_hidden: int, n_heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(n_hidden)
        self.query = zeroed(n_hidden, n_heads)
        self.value = nn.Parameter(torch.randn(n_heads, n_hidden, n_hidden) / math.sqrt(n_hidden))

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings ``(n_obs, n_heads * n_hidden)`` and weights ``(n_obs, n_genes)``."""
        weights = F.softmax(self.query(self.norm(tokens)), dim=1)
        pooled = weights.transpose(1, 2) @ tokens
        mixed = torch.einsum("bhd,hde->bhe", pooled, self.value)
        return mixed.flatten(1), weights.mean(2)


def zeroed(n_in: int, n_out: int) -> nn.Linear:
    """Make a linear layer that starts at zero, so that what it adds has to be learned."""
    layer = nn.Linear(n_in, n_out)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
