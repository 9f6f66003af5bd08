"""The prior transformer as a scvi-tools module."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from torch import Tensor, nn
from torch.nn import functional as F

from ._edge_index import EdgeIndex
from ._prior_layers import GeneTokens, PriorLayer, ReadOut

CLIP = 10.0
"""Largest centred value, in units of the typical standard deviation of a gene."""


class Encoded(NamedTuple):
    """What a pass over some cells gives.

    Attributes
    ----------
    latent
        Embedding before the classifier, ``(n_obs, n_heads * n_hidden)``.
    read_out
        Weight of every gene in the embedding, rows sum to 1, ``(n_obs, n_genes)``.
    attention
        Attention along edges (in the order of the index), mean over heads and layers,
        ``(n_obs, n_edges + n_genes)``; ``None`` while a dense transformer trains.
    states
        Genes after the last layer, ``(n_obs, n_genes, n_hidden)``.
    centred
        Values less their means in training, times one factor, ``(n_obs, n_genes)``.
    """

    latent: Tensor
    read_out: Tensor
    attention: Tensor | None
    states: Tensor
    centred: Tensor


class PriorTransformerModule(BaseModuleClass):
    """Gene tokens, layers of attention along a network, a read-out and a linear classifier.

    Parameters
    ----------
    index
        The network.
    n_labels
        Number of classes.
    n_hidden
        Width of a token.
    n_heads
        Attention heads, and queries of the read-out.
    n_layers
        Layers of attention; the last one has no feed-forward network.
    penalty
        What is taken from the logits off the network. ``None`` forbids attention there.
    mask_rate
        Share of genes whose values are hidden in training.
    dropout_rate
        Dropout of the embedding.
    label_smoothing
        Label smoothing of the cross-entropy.
    reconstruction_weight
        Weight of the mean squared error of hidden genes, predicted from their own states.
    """

    center: Tensor
    scale: Tensor
    class_weight: Tensor
    temperature: Tensor

    def __init__(
        self,
        index: EdgeIndex,
        n_labels: int,
        *,
        n_hidden: int,
        n_heads: int,
        n_layers: int,
        penalty: float | None = None,
        mask_rate: float = 0.0,
        dropout_rate: float = 0.0,
        label_smoothing: float = 0.0,
        reconstruction_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.index = index
        self.penalty = penalty
        self.mask_rate = mask_rate
        self.label_smoothing = label_smoothing
        self.reconstruction_weight = reconstruction_weight
        self.tokens = GeneTokens(index.n_genes, n_hidden)
        self.layers = nn.ModuleList(
            PriorLayer(index, n_hidden, n_heads, feed_forward=i < n_layers - 1)
            for i in range(n_layers)
        )
        self.read_out = ReadOut(n_hidden, n_heads)
        self.norm = nn.BatchNorm1d(n_heads * n_hidden)
        self.dropout = nn.Dropout(dropout_rate)
        self.classifier = nn.Linear(n_heads * n_hidden, n_labels)
        self.decoder = nn.Parameter(torch.randn(index.n_genes, n_hidden) / n_hidden**0.5)
        self.register_buffer("center", torch.zeros(index.n_genes))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("class_weight", torch.ones(n_labels))
        self.register_buffer("temperature", torch.ones(()))

    def start_from(self, center: np.ndarray, scale: float, loadings: np.ndarray) -> None:
        """Take means and scale of the genes, and let tokens point along principal components.

        Parameters
        ----------
        center
            Mean of each gene, ``(n_genes,)``.
        scale
            Factor for centred values.
        loadings
            Principal axes, ``(n_components, n_genes)``; the embedding starts as these components.
        """
        n_genes, n_hidden = self.tokens.direction.shape
        directions = np.zeros((n_genes, n_hidden), dtype=np.float32)
        directions[:, : len(loadings)] = loadings.T * np.sqrt(n_genes / n_hidden)
        with torch.no_grad():
            self.center.copy_(torch.from_numpy(np.asarray(center, dtype=np.float32)))
            self.scale.fill_(float(scale))
            self.tokens.direction.copy_(torch.from_numpy(directions))
            self.decoder.copy_(torch.from_numpy(directions))

    def encode(self, values: Tensor, masked: Tensor | None = None) -> Encoded:
        """Encode log-normalised values ``(n_obs, n_genes)``; see :class:`Encoded`."""
        centred = self._centred(values)
        states = self.tokens(values, centred, masked)
        amount = centred if masked is None else centred.masked_fill(masked, 0.0)
        found = []
        for layer in self.layers:
            states, attention = layer(states, amount, self.index, self.penalty)
            found.append(attention)
        pooled, read_out = self.read_out(states)
        attention = None
        if all(part is not None for part in found):
            attention = torch.stack([part.mean(2) for part in found]).mean(0)
        return Encoded(self.norm(pooled), read_out, attention, states, centred)

    def _centred(self, values: Tensor) -> Tensor:
        return ((values - self.center) * self.scale).clamp(-CLIP, CLIP)

    # ------------------------------------------------------------- the protocol of scvi-tools

    def _get_inference_input(self, tensors: dict[str, Tensor], **kwargs: Any) -> dict[str, Any]:
        return {"values": tensors["values"]}

    def _get_generative_input(
        self, tensors: dict[str, Tensor], inference_outputs: dict[str, Any], **kwargs: Any
    ) -> dict[str, Any]:
        return {"latent": inference_outputs["latent"]}

    @auto_move_data
    def inference(self, values: Tensor) -> dict[str, Any]:
        """Encode; in training with some genes hidden."""
        masked = None
        if self.training and self.mask_rate > 0:
            masked = torch.rand_like(values) < self.mask_rate
        return {**self.encode(values, masked)._asdict(), "masked": masked}

    @auto_move_data
    def generative(self, latent: Tensor) -> dict[str, Tensor]:
        """Logits of the classes, not yet divided by the temperature."""
        return {"logits": self.classifier(self.dropout(latent))}

    def loss(
        self,
        tensors: dict[str, Tensor],
        inference_outputs: dict[str, Any],
        generative_outputs: dict[str, Tensor],
    ) -> LossOutput:
        """Class-weighted cross-entropy of labelled cells, and error of hidden genes of all.

        Labels below 0 are unknown.
        """
        logits, labels = generative_outputs["logits"], tensors["labels"]
        known = labels >= 0
        entropy = logits.sum() * 0.0
        if known.any():
            entropy = F.cross_entropy(
                logits[known],
                labels[known],
                weight=self.class_weight,
                label_smoothing=self.label_smoothing,
            )
        loss = entropy
        masked = inference_outputs["masked"]
        if masked is not None and self.reconstruction_weight > 0:
            guess = torch.einsum("bgd,gd->bg", inference_outputs["states"], self.decoder)
            error = (guess - inference_outputs["centred"])[masked].square().mean()
            loss = loss + self.reconstruction_weight * error
        return LossOutput(
            loss=loss,
            reconstruction_loss=torch.zeros(1),
            n_obs_minibatch=len(labels),
            extra_metrics={"cross_entropy": entropy},
        )
