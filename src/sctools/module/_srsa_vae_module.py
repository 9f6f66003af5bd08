"""Variational autoencoder for RNA counts with residual attention and a mixture prior."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from scvi.module import VAE
from scvi.module._constants import MODULE_KEYS
from scvi.module.base import LossOutput
from torch import nn
from torch.distributions import Normal

from ._csr_layers import CSRGenes
from ._sparse_likelihood import SparseNegativeBinomial
from ._srsa_parts import SRSAParts


class _Nothing(nn.Module):
    def forward(self, x: torch.Tensor) -> None:
        return None


class SRSAVAEModule(SRSAParts, VAE):
    """Module of :class:`sctools.model.SRSAVAE`.

    Parameters
    ----------
    n_input
        Number of genes.
    n_hidden, n_latent
        Widths, as in :class:`scvi.module.VAE`.
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
        Passed to :class:`scvi.module.VAE`.
    """

    _encoder_name = "z_encoder"
    _kl_name = "kl_divergence_z"

    def __init__(
        self,
        n_input: int,
        *,
        n_hidden: int = 128,
        n_latent: int = 10,
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
            n_input,
            n_batch,
            n_hidden=n_hidden,
            n_latent=n_latent,
            n_continuous_cov=n_continuous_cov,
            n_cats_per_cov=n_cats_per_cov,
            **kwargs,
        )
        if encoder == "srsa" and self.gene_likelihood != "zinb":
            # Only zero inflation reads it, and it costs as much as the decoder's mean.
            self.decoder.px_dropout_decoder = _Nothing()
        self._add_parts(
            encoder=encoder,
            attention=attention,
            residual=residual,
            prior=prior,
            n_hidden=n_hidden,
            n_latent=n_latent,
            n_genes=n_input,
            n_proteins=0,
            n_tokens=n_tokens,
            n_heads=n_heads,
            n_components=n_components,
            kl_z_weight=kl_z_weight,
            linear_weight=linear_weight,
            n_cats=[n_batch, *(n_cats_per_cov or [])],
            n_conts=n_continuous_cov,
        )

    @contextlib.contextmanager
    def reading_csr(self) -> Iterator[bool]:
        """Let inference take sparse counts as they are inside the block; say whether it will.

        Without gradients, on the CPU, and while no weight changes.
        """
        layers, block = self.z_encoder.encoder, self.block
        if (
            block is None
            or block.attention == "features"
            or not self.use_observed_lib_size
            or self.training
            or next(layers.parameters()).device.type != "cpu"
        ):
            yield False
            return
        with layers.reading_csr():
            yield True

    def _regular_inference(
        self, x: torch.Tensor, *args: Any, depth: torch.Tensor | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        layers = self.z_encoder.encoder
        if x.layout is torch.sparse_csr and getattr(layers, "csr", None) is not None:
            genes = CSRGenes(x, depth)
            totals = torch.from_numpy(genes.totals).unsqueeze(1)
            # Only its shape is read: the layers have the genes.
            shaped = totals.new_zeros(()).expand(x.shape)
            outputs = self._attentive_inference(shaped, genes, *args, **kwargs)
            return {**outputs, MODULE_KEYS.LIBRARY_KEY: totals.log()}
        if x.layout is not torch.strided:
            x = x.to_dense()
        return super()._regular_inference(x, *args, depth=depth, **kwargs)

    @functools.wraps(VAE.generative)  # scvi-tools looks for `transform_batch` in its signature
    def generative(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Run the generative process; ``"pz"`` is the prior that the loss uses."""
        outputs = super().generative(*args, **kwargs)
        px = outputs["px"]
        if self.gene_likelihood == "nb" and self.block is not None:
            outputs["px"] = SparseNegativeBinomial(
                mu=px.mu, theta=px.theta, scale=px.scale, validate_args=False
            )
        if self.prior is not None:
            outputs["pz"] = self.prior.distribution()
        return outputs

    def loss(
        self,
        tensors: dict[str, torch.Tensor],
        inference_outputs: dict[str, Any],
        generative_outputs: dict[str, Any],
        kl_weight: float | torch.Tensor = 1.0,
    ) -> LossOutput:
        """Compute the loss of scvi-tools with this prior and the usage of attention."""
        if self.prior is not None:
            # The loss of scvi-tools knows KL divergences between normals only.
            loc = inference_outputs["qz"].loc
            standard = Normal(torch.zeros_like(loc), torch.ones_like(loc))
            generative_outputs = {**generative_outputs, "pz": standard}
        output = super().loss(tensors, inference_outputs, generative_outputs, kl_weight)
        return self._corrected(output, tensors, inference_outputs, kl_weight)
