"""Fully connected layers of scvi-tools with residual attention behind them."""

from __future__ import annotations

import torch
from scvi.nn import FCLayers
from torch import nn

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
    """

    def __init__(self, layers: FCLayers, attn: ResidualAttention, n_features: int) -> None:
        super().__init__()
        self.layers = layers
        self.attn = attn
        self.n_features = n_features
        self.features: torch.Tensor | None = None

    def forward(self, x: torch.Tensor, *cat_list: torch.Tensor) -> torch.Tensor:
        """Return the hidden state, shape ``(cells, n_hidden)``."""
        if self.features is not None:
            covariates = x[:, self.n_features :]
            x = torch.cat([self.features, covariates], 1) if covariates.numel() else self.features
        return self.attn(self.layers(x, *cat_list), x[:, : self.n_features])
