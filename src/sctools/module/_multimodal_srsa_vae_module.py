"""Variational autoencoder for RNA and protein counts with attention and a mixture prior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from scvi.module import TOTALVAE
from scvi.module.base import LossOutput, auto_move_data
from torch.distributions import Normal

from ._srsa_parts import SRSAParts


class MultimodalSRSAVAEModule(SRSAParts, TOTALVAE):
    """Module of :class:`sctools.model.MultimodalSRSAVAE`.

    Parameters
    ----------
    n_input_genes, n_input_proteins
        Numbers of genes and proteins.
    n_hidden, n_latent
        Widths, as in :class:`scvi.module.TOTALVAE`.
    attention, residual, n_tokens, n_heads
        See `ResidualAttention`.
    prior, n_components
        ``"mixture"`` with its number of components, or ``"normal"``.
    kl_z_weight
        Weight of the latent's KL divergence in the loss, on top of the warm-up.
    linear_weight
        Weight of the linear view of log-normalised expression; 0 leaves it out.
    n_batch, n_continuous_cov, n_cats_per_cov
        Covariates, as scvi-tools passes them.
    encoder
        ``"srsa"``, or ``"scvi"`` for the encoder of scvi-tools as it is.
    **kwargs
        Passed to :class:`scvi.module.TOTALVAE`.
    """

    _encoder_name = "encoder"
    _kl_name = "kl_div_z"

    def __init__(
        self,
        n_input_genes: int,
        n_input_proteins: int,
        *,
        n_hidden: int = 256,
        n_latent: int = 20,
        attention: str = "memory",
        residual: str = "scaled",
        prior: str = "mixture",
        encoder: str = "srsa",
        n_tokens: int = 32,
        n_heads: int = 4,
        n_components: int = 30,
        kl_z_weight: float = 1.0,
        linear_weight: float = 0.0,
        n_batch: int = 0,
        n_continuous_cov: int = 0,
        n_cats_per_cov: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            n_input_genes,
            n_input_proteins,
            n_batch,
            n_hidden=n_hidden,
            n_latent=n_latent,
            n_continuous_cov=n_continuous_cov,
            n_cats_per_cov=n_cats_per_cov,
            **kwargs,
        )
        self._add_parts(
            encoder=encoder,
            attention=attention,
            residual=residual,
            prior=prior,
            n_hidden=n_hidden,
            n_latent=n_latent,
            n_genes=n_input_genes,
            n_proteins=n_input_proteins,
            n_tokens=n_tokens,
            n_heads=n_heads,
            n_components=n_components,
            kl_z_weight=kl_z_weight,
            linear_weight=linear_weight,
            n_cats=[n_batch, *(n_cats_per_cov or [])],
            n_conts=n_continuous_cov,
        )

    @auto_move_data
    def _cached_inference(
        self,
        qzm: torch.Tensor,
        qzv: torch.Tensor,
        batch_index: torch.Tensor,
        observed_lib_size: torch.Tensor,
        n_samples: int = 1,
    ) -> dict[str, Any]:
        outputs = super()._cached_inference(
            qzm, qzv, batch_index=batch_index, observed_lib_size=observed_lib_size
        )
        # scvi-tools (1.4 and 1.5) takes the stored variance for a standard deviation.
        qz = Normal(qzm, qzv.sqrt())
        several = (n_samples,) if n_samples > 1 else ()
        outputs["qz"] = qz
        outputs["z"] = self.encoder.z_transformation(qz.sample(several))
        outputs["library_gene"] = observed_lib_size.expand(*several, *observed_lib_size.shape)
        return outputs

    def loss(
        self,
        tensors: dict[str, torch.Tensor],
        inference_outputs: dict[str, Any],
        generative_outputs: dict[str, Any],
        pro_recons_weight: float = 1.0,
        kl_weight: float | torch.Tensor = 1.0,
    ) -> LossOutput:
        """Compute the loss of scvi-tools with this prior and the usage of attention."""
        output = super().loss(
            tensors, inference_outputs, generative_outputs, pro_recons_weight, kl_weight
        )
        return self._corrected(output, tensors, inference_outputs, kl_weight)
