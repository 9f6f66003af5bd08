"""Fully connected layers of scvi-tools with residual attention behind them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from scvi.nn import FCLayers
from torch import nn

from ._csr_layers import CSRGenes, CSRLayers
from ._residual_attention import ResidualAttention


class AttentiveLayers(nn.Module):
    """Takes the place of the ``encoder`` inside an encoder of scvi-tools.

    Wrapping leaves the layers, their names and their first weights as scvi-tools made them.

    Parameters
    ----------
    layers
        Layers from genes (and proteins and covariates) to the hidden state.
    attn
        Block that works on the hidden state.
    n_features
        Genes and proteins: the columns of the input before covariates.

    Attributes
    ----------
    features
        Values to read instead of what scvi-tools hands over, shape ``(cells, n_features)``. They
        are set for one call and removed after it.
    csr
        Layers that read sparse features, inside of :meth:`reading_csr`.
    """

    def __init__(self, layers: FCLayers, attn: ResidualAttention, n_features: int) -> None:
        super().__init__()
        self.layers = layers
        self.attn = attn
        self.n_features = n_features
        self.features: torch.Tensor | CSRGenes | None = None
        self.csr: CSRLayers | None = None

    @contextlib.contextmanager
    def reading_csr(self) -> Iterator[None]:
        """Take sparse features inside the block, where weights may not change."""
        self.csr = CSRLayers(self.layers, self.n_features)
        try:
            yield
        finally:
            self.csr = None

    def forward(self, x: torch.Tensor, *cat_list: torch.Tensor) -> torch.Tensor:
        """Return the hidden state, shape ``(cells, n_hidden)``."""
        covariates = x[:, self.n_features :]
        if isinstance(self.features, CSRGenes):
            if self.csr is None:
                raise RuntimeError("Sparse features are read inside of `reading_csr`.")
            return self.attn(self.csr(self.features, covariates, *cat_list), None)
        if self.features is not None:
            x = torch.cat([self.features, covariates], 1) if covariates.numel() else self.features
        return self.attn(self.layers(x, *cat_list), x[:, : self.n_features])
