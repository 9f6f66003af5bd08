"""What a cell attends to: tokens that never are the other cells of its own mini-batch."""

from __future__ import annotations

import math

import torch
from torch import nn

MOMENTUM = 0.99
"""Share of the earlier running average that a training step of ``induced`` tokens keeps."""


class MemoryContext(nn.Module):
    """Learned tokens, the same for every cell.

    Parameters
    ----------
    n_tokens
        Number of tokens.
    n_hidden
        Width of a token.
    """

    def __init__(self, n_tokens: int, n_hidden: int) -> None:
        super().__init__()
        self.n_tokens = n_tokens
        self.tokens = nn.Parameter(torch.randn(n_tokens, n_hidden))

    def forward(self, hidden: torch.Tensor, features: torch.Tensor, learns: bool) -> torch.Tensor:
        """Return the tokens, shape ``(n_tokens, n_hidden)``."""
        return self.tokens


class InducedContext(nn.Module):
    """Tokens that attended to training cells; a running average of them is used at inference.

    Follows the inducing points of the Set Transformer (Lee et al. 2019, arXiv:1810.00825), with
    the average over mini-batches as ours.

    Parameters
    ----------
    n_tokens
        Number of tokens.
    n_hidden
        Width of a token.
    """

    average: torch.Tensor
    n_steps: torch.Tensor

    def __init__(self, n_tokens: int, n_hidden: int) -> None:
        super().__init__()
        self.n_tokens = n_tokens
        self.points = nn.Parameter(torch.randn(n_tokens, n_hidden))
        self.norm = nn.LayerNorm(n_hidden)
        self.key = nn.Linear(n_hidden, n_hidden, bias=False)
        self.register_buffer("average", torch.zeros(n_tokens, n_hidden))
        self.register_buffer("n_steps", torch.zeros((), dtype=torch.long))

    def forward(self, hidden: torch.Tensor, features: torch.Tensor, learns: bool) -> torch.Tensor:
        """Return the tokens, shape ``(n_tokens, n_hidden)``."""
        if not learns:
            return self.points + self.average
        cells = self.norm(hidden)
        logits = self.points @ self.key(cells).T / math.sqrt(self.points.shape[1])
        attended = logits.softmax(dim=-1) @ cells
        with torch.no_grad():
            keep = min(MOMENTUM, float(self.n_steps) / (float(self.n_steps) + 1))
            self.average.lerp_(attended, 1 - keep)
            self.n_steps += 1
        return self.points + attended


class FeatureContext(nn.Module):
    """Tokens inside the cell: one for each group of genes, and one for each protein.

    Gene ``g`` belongs to group ``g`` modulo the number of groups, so that each group holds a
    similar mixture of genes whatever their order in the table.

    Parameters
    ----------
    n_tokens
        Number of gene groups.
    n_hidden
        Width of a token.
    n_genes
        Genes, the first columns of the features.
    n_proteins
        Proteins, the columns after the genes.
    """

    group: torch.Tensor

    def __init__(self, n_tokens: int, n_hidden: int, n_genes: int, n_proteins: int = 0) -> None:
        super().__init__()
        self.n_genes, self.n_groups = n_genes, min(n_tokens, n_genes)
        self.n_tokens = self.n_groups + n_proteins
        width = math.ceil(n_genes / self.n_groups)
        self.n_padding = width * self.n_groups - n_genes
        bound = 1 / math.sqrt(width)
        self.genes = nn.Parameter(
            torch.empty(self.n_groups, width, n_hidden).uniform_(-bound, bound)
        )
        self.proteins = nn.Parameter(torch.randn(n_proteins, n_hidden))
        self.identity = nn.Parameter(torch.randn(self.n_tokens, n_hidden))

    def forward(self, hidden: torch.Tensor, features: torch.Tensor, learns: bool) -> torch.Tensor:
        """Return the tokens of each cell, shape ``(cells, n_tokens, n_hidden)``."""
        genes, proteins = features[:, : self.n_genes], features[:, self.n_genes :]
        genes = nn.functional.pad(genes, (0, self.n_padding))
        grouped = genes.reshape(len(genes), -1, self.n_groups).permute(2, 0, 1)
        tokens = torch.bmm(grouped, self.genes).transpose(0, 1)
        if len(self.proteins):
            tokens = torch.cat([tokens, proteins[..., None] * self.proteins], dim=1)
        return tokens + self.identity


class MinibatchContext(nn.Module):
    """The mini-batch while training, as published; a bank of training cells at inference.

    Parameters
    ----------
    n_tokens
        Cells in the bank.
    n_hidden
        Width of a cell's hidden state.
    """

    bank: torch.Tensor
    n_seen: torch.Tensor

    def __init__(self, n_tokens: int, n_hidden: int) -> None:
        super().__init__()
        self.n_tokens = n_tokens
        self.register_buffer("bank", torch.zeros(n_tokens, n_hidden))
        self.register_buffer("n_seen", torch.zeros((), dtype=torch.long))

    def forward(self, hidden: torch.Tensor, features: torch.Tensor, learns: bool) -> torch.Tensor:
        """Return hidden states of cells, shape ``(cells, n_hidden)``."""
        if not learns:
            return self.bank[: max(1, int(self.n_seen))]
        self.remember(hidden)
        return hidden

    @torch.no_grad()
    def remember(self, hidden: torch.Tensor) -> None:
        """Put the newest cells into the bank, in the place of the oldest."""
        newest = hidden.detach()[-self.n_tokens :]
        place = (torch.arange(len(newest), device=newest.device) + self.n_seen) % self.n_tokens
        self.bank[place] = newest
        self.n_seen += len(newest)
