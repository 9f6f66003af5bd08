"""A learned Gaussian mixture as the prior of a latent space."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

MIN_LOG_SCALE = math.log(0.05)
"""A component cannot shrink onto a single cell, where its density would grow without end."""


class MixturePrior(nn.Module):
    """Mixture of Gaussians with diagonal covariances; means, scales and weights are learned.

    Parameters
    ----------
    n_components
        Number of components.
    n_latent
        Dimensions of the latent space.
    """

    def __init__(self, n_components: int, n_latent: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.randn(n_components, n_latent))
        self.log_scale = nn.Parameter(torch.zeros(n_components, n_latent))
        self.logits = nn.Parameter(torch.zeros(n_components))

    def distribution(self) -> MixtureSameFamily:
        """Return the prior as a distribution over the latent space."""
        scale = self.log_scale.clamp(min=MIN_LOG_SCALE).exp()
        components = Independent(Normal(self.mean, scale), 1)
        return MixtureSameFamily(Categorical(logits=self.logits), components)

    def kl(self, qz: Normal, z: torch.Tensor) -> torch.Tensor:
        """Estimate the KL divergence from the sample ``z`` of ``qz``, shape ``(cells,)``."""
        return qz.log_prob(z).sum(-1) - self.distribution().log_prob(z)

    def responsibilities(self, qz: Normal) -> torch.Tensor:
        """Probability of each component, shape ``(cells, n_components)``.

        Of the expected log density under ``qz``, so that an uncertain cell is torn between more
        components than its mean alone would be.
        """
        log_scale = self.log_scale.clamp(min=MIN_LOG_SCALE)
        variance = (2 * log_scale).exp()
        distance = (qz.loc[:, None] - self.mean).square() + qz.scale[:, None].square()
        log_density = -0.5 * (distance / variance).sum(-1) - log_scale.sum(-1)
        return (log_density + self.logits).softmax(dim=-1)
