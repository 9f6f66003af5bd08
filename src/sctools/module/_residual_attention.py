"""Scalable residual self-attention: what a cell's hidden state learns from a context."""

from __future__ import annotations

import math

import torch
from torch import nn

from ._attention_context import FeatureContext, InducedContext, MemoryContext, MinibatchContext

ATTENTION = ("memory", "induced", "features", "minibatch", "none")
RESIDUAL = ("scaled", "plain", "none")
START = 0.1
"""First value of beta: training starts close to the encoder without attention."""


class ResidualAttention(nn.Module):
    """``alpha · h + beta · MHA(LN(h), LN(C), LN(C))`` for a hidden state h and a context C.

    Parameters
    ----------
    n_hidden
        Width of the hidden state.
    attention
        Kind of context: ``"memory"``, ``"induced"``, ``"features"``, ``"minibatch"`` or ``"none"``.
    residual
        ``"scaled"`` learns alpha and beta per channel; ``"plain"`` holds both at 1; ``"none"``
        leaves h out and holds beta at 1.
    n_tokens
        Size of the context.
    n_heads
        Attention heads; ``n_hidden`` is a multiple of it.
    n_genes, n_proteins
        Columns of the features, for ``attention="features"``.
    """

    def __init__(
        self,
        n_hidden: int,
        *,
        attention: str,
        residual: str,
        n_tokens: int,
        n_heads: int,
        n_genes: int,
        n_proteins: int = 0,
    ) -> None:
        super().__init__()
        self.attention, self.residual, self.n_heads = attention, residual, n_heads
        self.alpha = nn.Parameter(torch.ones(n_hidden)) if residual == "scaled" else None
        self.weights: torch.Tensor | None = None
        if attention == "none":
            self.n_tokens = 0
            return
        self.beta = nn.Parameter(torch.full((n_hidden,), START)) if residual == "scaled" else None
        self.norm = nn.LayerNorm(n_hidden)
        self.context_norm = nn.LayerNorm(n_hidden)
        self.query = nn.Linear(n_hidden, n_hidden, bias=False)
        self.key = nn.Linear(n_hidden, n_hidden, bias=False)
        self.value = nn.Linear(n_hidden, n_hidden, bias=False)
        self.out = nn.Linear(n_hidden, n_hidden)
        self.context: nn.Module
        if attention == "memory":
            self.context = MemoryContext(n_tokens, n_hidden)
        elif attention == "induced":
            self.context = InducedContext(n_tokens, n_hidden)
        elif attention == "features":
            self.context = FeatureContext(n_tokens, n_hidden, n_genes, n_proteins)
        else:
            self.context = MinibatchContext(n_tokens, n_hidden)
        self.n_tokens = self.context.n_tokens

    def forward(self, hidden: torch.Tensor, features: torch.Tensor | None) -> torch.Tensor:
        """Return the new hidden state; the attention waits in `pop_weights`.

        Parameters
        ----------
        hidden
            Hidden states, shape ``(cells, n_hidden)``.
        features
            Genes (and proteins) as the encoder sees them, shape ``(cells, features)``; only
            ``attention="features"`` reads them.
        """
        kept = hidden if self.alpha is None else self.alpha * hidden
        if self.attention == "none":
            return kept
        # A reference that scArches froze keeps its context while a query is trained.
        learns = self.training and self.query.weight.requires_grad
        context = self.context_norm(self.context(hidden, features, learns))
        if context.dim() == 2:
            attended, weights = self._attend_shared(self.norm(hidden), context)
        else:
            attended, weights = self._attend_own(self.norm(hidden), context)
        self.weights = weights
        if self.residual == "none":
            return attended
        return kept + (attended if self.beta is None else self.beta * attended)

    def pop_weights(self) -> torch.Tensor | None:
        """Hand over the attention of the last call, shape ``(cells, heads, tokens)``, once."""
        weights, self.weights = self.weights, None
        return weights

    def _attend_own(
        self, hidden: torch.Tensor, context: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Attend to tokens of each cell's own, shape ``(cells, tokens, n_hidden)``."""
        query, key, value = (
            layer(values).unflatten(-1, (self.n_heads, -1))
            for layer, values in (
                (self.query, hidden),
                (self.key, context),
                (self.value, context),
            )
        )
        logits = torch.einsum("bhd,bmhd->bhm", query, key) / math.sqrt(query.shape[-1])
        weights = logits.softmax(dim=-1)
        return self.out(torch.einsum("bhm,bmhd->bhd", weights, value).flatten(1)), weights

    def _attend_shared(
        self, hidden: torch.Tensor, context: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Attend to tokens that all cells share, shape ``(tokens, n_hidden)``.

        Queries and keys are multiplied into one matrix first, and so are values and output: what
        is left for each cell is two products of matrices.
        """
        heads = self.n_heads
        key = self.key(context).unflatten(-1, (heads, -1)).transpose(0, 1)  # heads, tokens, width
        value = self.value(context).unflatten(-1, (heads, -1)).transpose(0, 1)
        query = self.query.weight.unflatten(0, (heads, -1))  # heads, width, n_hidden
        out = self.out.weight.T.unflatten(0, (heads, -1))  # heads, width, n_hidden
        to_logits = torch.bmm(key, query).flatten(0, 1) / math.sqrt(key.shape[-1])
        to_out = torch.bmm(value, out).flatten(0, 1)
        weights = (hidden @ to_logits.T).unflatten(-1, (heads, -1)).softmax(dim=-1)
        return torch.addmm(self.out.bias, weights.flatten(1), to_out), weights


LEAST_USE = 1e-30


def mean_entropy(weights: torch.Tensor) -> torch.Tensor:
    """Entropy of each cell's attention, averaged; 1 is spread evenly, 0 is a single token."""
    entropy = torch.special.entr(weights).sum(-1).mean()
    return entropy / math.log(max(2, weights.shape[-1]))


def usage_entropy(weights: torch.Tensor) -> torch.Tensor:
    """Entropy of the tokens' mean use; 1 is all alike, 0 is one token for all cells."""
    # A token whose weights underflow to zero has an infinite slope here, and times zero it is NaN.
    usage = weights.mean(dim=(0, 1)).clamp_min(LEAST_USE)
    return torch.special.entr(usage).sum() / math.log(max(2, weights.shape[-1]))
