"""What the RNA model and the multimodal model add to the modules of scvi-tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from scvi import REGISTRY_KEYS
from scvi.module.base import LossOutput
from torch.distributions import Normal

from ._attentive_layers import AttentiveLayers
from ._csr_layers import CSRGenes
from ._linear_view import LinearView, centred_logs, log_normalized
from ._mixture_prior import MixturePrior
from ._residual_attention import ResidualAttention, mean_entropy, usage_entropy

USAGE_WEIGHT = 1.0
"""Weight of the penalty on unevenly used tokens, in nats per cell at full collapse."""

ATTENTION_OUTPUT = "attention"
FEATURES_OUTPUT = "log_normalized"
"""Names of the attention and of log-normalised expression among the outputs of inference."""

DEPTH = "depth"
"""Registered name of each cell's total over all genes, where the model sees some of them only."""


class SRSAParts:
    """Attention behind the encoder, the prior of the latent and a linear view of expression.

    Comes before the class of the module.

    A subclass names its encoder in ``_encoder_name`` and the KL divergence of the latent in
    ``_kl_name``, and calls `_add_parts` once the module of scvi-tools is built.
    """

    _encoder_name: str
    _kl_name: str
    prior: MixturePrior | None
    gene_view: LinearView | None
    protein_view: LinearView | None
    kl_z_weight: float
    linear_weight: float
    log_variational: bool
    n_input_proteins: int
    panel_key: str

    def _add_parts(
        self,
        *,
        encoder: str,
        attention: str,
        residual: str,
        prior: str,
        n_hidden: int,
        n_latent: int,
        n_genes: int,
        n_proteins: int,
        n_tokens: int,
        n_heads: int,
        n_components: int,
        kl_z_weight: float,
        linear_weight: float,
        n_cats: Sequence[int],
        n_conts: int,
    ) -> None:
        # Drawn apart: what scvi-tools draws afterwards is the same with and without the parts.
        with torch.random.fork_rng(devices=[]):
            if encoder == "srsa":
                block = ResidualAttention(
                    n_hidden,
                    attention=attention,
                    residual=residual,
                    n_tokens=n_tokens,
                    n_heads=n_heads,
                    n_genes=n_genes,
                    n_proteins=n_proteins,
                )
                inner = getattr(self, self._encoder_name)
                inner.encoder = AttentiveLayers(inner.encoder, block, n_genes + n_proteins)
            mixture = prior == "mixture"
            self.prior = MixturePrior(n_components, n_latent) if mixture else None
            self.gene_view = self.protein_view = None
            if linear_weight:
                self.gene_view = LinearView(n_latent, n_genes, n_cats, n_conts)
            if linear_weight and n_proteins:
                self.protein_view = LinearView(n_latent, n_proteins, n_cats, n_conts)
        self.kl_z_weight = kl_z_weight
        self.linear_weight = linear_weight
        self._estimates_likelihood = False

    @property
    def block(self) -> ResidualAttention | None:
        """The attention block; ``None`` where the encoder is that of scvi-tools."""
        layers = getattr(self, self._encoder_name).encoder
        return layers.attn if isinstance(layers, AttentiveLayers) else None

    def _get_inference_input(
        self, tensors: dict[str, torch.Tensor | None], full_forward_pass: bool = False
    ) -> dict[str, Any]:
        inputs = super()._get_inference_input(tensors, full_forward_pass)  # type: ignore[misc]
        if "x" in inputs:
            inputs["depth"] = tensors.get(DEPTH)
        return inputs

    def _regular_inference(
        self, x: torch.Tensor, *args: Any, depth: torch.Tensor | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        layers = getattr(self, self._encoder_name).encoder
        if not isinstance(layers, AttentiveLayers):
            return super()._regular_inference(x, *args, **kwargs)  # type: ignore[misc]
        features = log_normalized(x, depth)
        proteins, read = kwargs.get("y"), features
        if proteins is not None:
            observed = self._observed(kwargs.get("panel_index"))
            read = torch.cat([features, centred_logs(proteins, observed)], 1)
        outputs = self._attentive_inference(x, read, *args, **kwargs)
        outputs[FEATURES_OUTPUT] = features
        return outputs

    def _attentive_inference(
        self, x: torch.Tensor, features: torch.Tensor | CSRGenes, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Run inference of scvi-tools on ``features`` in the place of ``x``."""
        layers = getattr(self, self._encoder_name).encoder
        layers.features = features
        kept, self.log_variational = self.log_variational, False  # they would not be read
        try:
            outputs = super()._regular_inference(x, *args, **kwargs)  # type: ignore[misc]
        finally:
            layers.features, self.log_variational = None, kept
        outputs[ATTENTION_OUTPUT] = layers.attn.pop_weights()
        return outputs

    def _corrected(
        self,
        output: LossOutput,
        tensors: dict[str, torch.Tensor],
        inference_outputs: dict[str, Any],
        kl_weight: float | torch.Tensor,
    ) -> LossOutput:
        """Exchange the prior in a loss of scvi-tools and add what concerns attention."""
        loss, kl_local = output.loss, dict(output.kl_local)
        reconstruction, metrics = dict(output.reconstruction_loss), dict(output.extra_metrics or {})
        if self.prior is not None or self.kl_z_weight != 1:
            qz, z = inference_outputs["qz"], inference_outputs["z"]
            standard = kl_local[self._kl_name]
            kl_z = standard if self.prior is None else self.prior.kl(qz, z)
            loss = loss + (kl_weight * (self.kl_z_weight * kl_z - standard)).mean()
            kl_local[self._kl_name] = kl_z
            if self._estimates_likelihood and self.prior is not None:
                # There scvi-tools takes the density of a standard normal, whatever the prior.
                first = next(iter(reconstruction))
                reconstruction[first] = (
                    reconstruction[first]
                    + Normal(0, 1).log_prob(z).sum(-1)
                    - self.prior.distribution().log_prob(z)
                )
        if self.gene_view is not None:
            linear = self._linear_loss(self.gene_view, tensors, inference_outputs)
            loss = loss + self.linear_weight * linear.mean()
        metrics["kl_weight"] = torch.as_tensor(float(kl_weight) * self.kl_z_weight)
        block, weights = self.block, inference_outputs.get(ATTENTION_OUTPUT)
        if block is not None and block.alpha is not None:
            metrics["alpha"] = block.alpha.mean()
        if block is not None and weights is not None:
            if block.beta is not None:
                metrics["beta"] = block.beta.mean()
            metrics["attention_entropy"] = mean_entropy(weights)
            metrics["token_entropy"] = usage_entropy(weights)
            if block.attention in ("memory", "induced"):
                loss = loss + USAGE_WEIGHT * (1 - metrics["token_entropy"])
        # The sums are derived fields: left to None, they are computed anew.
        return replace(
            output,
            loss=loss,
            reconstruction_loss=reconstruction,
            kl_local=kl_local,
            extra_metrics=metrics,
            reconstruction_loss_sum=None,
            kl_local_sum=None,
            kl_global_sum=None,
        )

    def _linear_loss(
        self,
        gene_view: LinearView,
        tensors: dict[str, torch.Tensor],
        inference_outputs: dict[str, Any],
    ) -> torch.Tensor:
        covariates = (
            inference_outputs["z"],
            tensors[REGISTRY_KEYS.BATCH_KEY],
            tensors.get(REGISTRY_KEYS.CONT_COVS_KEY),
            tensors.get(REGISTRY_KEYS.CAT_COVS_KEY),
        )
        loss = gene_view(inference_outputs[FEATURES_OUTPUT], *covariates)
        if self.protein_view is not None:
            observed = self._observed(tensors[self.panel_key])
            proteins = centred_logs(tensors[REGISTRY_KEYS.PROTEIN_EXP_KEY], observed)
            loss = loss + self.protein_view(proteins, *covariates, observed)
        return loss

    def _observed(self, panel_index: torch.Tensor | None) -> torch.Tensor | None:
        """Tell which proteins were measured in each cell's batch or panel; ``None``: all."""
        masks = getattr(self, "protein_batch_mask", None)
        if masks is None or panel_index is None:
            return None
        table = torch.ones(int(panel_index.max()) + 1, self.n_input_proteins)
        for panel, mask in masks.items():
            if int(panel) < len(table):
                table[int(panel)] = torch.as_tensor(mask, dtype=table.dtype)
        return table.to(panel_index.device)[panel_index.flatten().long()]

    def marginal_ll(self, *args: Any, **kwargs: Any) -> float | torch.Tensor:
        """Estimate the marginal log-likelihood by importance sampling, under this prior."""
        self._estimates_likelihood = True
        try:
            return super().marginal_ll(*args, **kwargs)  # type: ignore[misc]
        finally:
            self._estimates_likelihood = False
