"""Fully connected layers of scvi-tools that read the genes of a CSR matrix, without gradients."""

from __future__ import annotations

import copy

import numpy as np
import torch
from scvi.nn import FCLayers
from torch import nn

from ._linear_view import TARGET_SUM
from ._row_sums import add_row_sums


class CSRGenes:
    """Log1p of counts per ten thousand, CSR, on the CPU.

    Parameters
    ----------
    counts
        Counts, sparse CSR tensor of shape ``(cells, genes)``.
    depth
        Total of each cell, shape ``(cells, 1)``; that of ``counts`` by default.
    """

    def __init__(self, counts: torch.Tensor, depth: torch.Tensor | None) -> None:
        self.indptr = counts.crow_indices().numpy()
        self.indices = counts.col_indices().numpy()
        values = counts.values().numpy()
        n_cells = len(self.indptr) - 1
        row = np.repeat(np.arange(n_cells), np.diff(self.indptr))
        self.totals = np.bincount(row, weights=values, minlength=n_cells).astype(np.float32)
        total = self.totals if depth is None else depth.numpy().ravel()
        self.values = np.log1p(values * (TARGET_SUM / np.maximum(total, 1))[row])


class _CSRLinear(nn.Linear):
    """The part of a linear layer that belongs to covariates; adds that of the genes."""

    def __init__(self, whole: nn.Linear, n_genes: int) -> None:
        nn.Module.__init__(self)  # there is nothing to draw
        weight = whole.weight.detach()
        self.weight = nn.Parameter(weight[:, n_genes:], requires_grad=False)
        self.bias = whole.bias
        self.table = weight[:, :n_genes].T.contiguous().numpy()
        self.genes: CSRGenes | None = None

    def forward(self, covariates: torch.Tensor) -> torch.Tensor:
        genes = self.genes
        if genes is None:
            raise RuntimeError("No genes to read.")
        output = super().forward(covariates).numpy()
        add_row_sums(output, genes.indptr, genes.indices, genes.values, self.table)
        return torch.from_numpy(output)


class CSRLayers:
    """Layers with their first weights laid out for CSR rows, for as long as these do not change.

    Parameters
    ----------
    layers
        Layers in evaluation mode, on the CPU.
    n_genes
        Columns of genes, which come first.
    """

    def __init__(self, layers: FCLayers, n_genes: int) -> None:
        first, *others = layers.fc_layers
        self._linear = _CSRLinear(first[0], n_genes)
        self._layers = copy.copy(layers)
        blocks = nn.Sequential(nn.Sequential(self._linear, *list(first)[1:]), *others)
        self._layers._modules = {**layers._modules, "fc_layers": blocks}

    def __call__(
        self, genes: CSRGenes, covariates: torch.Tensor, *cat_list: torch.Tensor
    ) -> torch.Tensor:
        """Return the hidden state of cells, shape ``(cells, n_hidden)``."""
        self._linear.genes = genes
        try:
            return self._layers(covariates, *cat_list)
        finally:
            self._linear.genes = None
