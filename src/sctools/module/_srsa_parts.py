"""What the RNA model and the multimodal model add to the modules of scvi-tools."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from scvi.module.base import LossOutput, auto_move_data
from torch import nn
from torch.distributions import Normal

from ._attentive_layers import AttentiveLayers
from ._mixture_prior import MixturePrior
from ._residual_attention import ResidualAttention, mean_entropy, usage_entropy

USAGE_WEIGHT = 1.0
"""Weight of the penalty on unevenly used tokens, in nats per cell at full collapse."""

ATTENTION_OUTPUT = "attention"
"""Name of the attention among the outputs of inference."""


class SRSAParts:
    """Attention behind the encoder and the prior of the latent; comes before the module's class.

    A subclass names its encoder in ``_encoder_name`` and the KL divergence of the latent in
    ``_kl_name``, and calls `_add_parts` once the module of scvi-tools is built.
    """

    _encoder_name: str
    _kl_name: str
    prior: MixturePrior | None
    kl_z_weight: float

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
        self.kl_z_weight = kl_z_weight
        self._estimates_likelihood = False

    @property
    def block(self) -> ResidualAttention | None:
        """The attention block; ``None`` where the encoder is that of scvi-tools."""
        layers = getattr(self, self._encoder_name).encoder
        return layers.attn if isinstance(layers, AttentiveLayers) else None

    @auto_move_data
    def _regular_inference(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        outputs = super()._regular_inference(*args, **kwargs)  # type: ignore[misc]
        outputs[ATTENTION_OUTPUT] = None if self.block is None else self.block.pop_weights()
        return outputs

    def _corrected(
        self,
        output: LossOutput,
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

    def marginal_ll(self, *args: Any, **kwargs: Any) -> float | torch.Tensor:
        """Estimate the marginal log-likelihood by importance sampling, under this prior."""
        self._estimates_likelihood = True
        try:
            return super().marginal_ll(*args, **kwargs)  # type: ignore[misc]
        finally:
            self._estimates_likelihood = False
