"""A linear reading of log-normalised expression off the latent: probabilistic PCA beside a VAE."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scvi.nn import FCLayers
from torch import nn

TARGET_SUM = 1e4


class LinearView(nn.Module):
    """Gaussian likelihood of log-normalised values, linear in the latent and in covariates.

    The variance is learned, one for all features. The decoder of counts is free to bend the latent
    space; this view keeps distances in it close to distances in log-normalised expression, as the
    probabilistic PCA of Tipping and Bishop (1999, doi:10.1111/1467-9868.00196) does.

    Parameters
    ----------
    n_latent
        Dimensions of the latent space.
    n_features
        Features that are read.
    n_cat_list
        Categories of each categorical covariate, batches first; their offsets are learned.
    n_cont
        Number of continuous covariates.
    """

    def __init__(
        self, n_latent: int, n_features: int, n_cat_list: Sequence[int], n_cont: int
    ) -> None:
        super().__init__()
        self.layers = FCLayers(
            n_latent + n_cont,
            n_features,
            n_cat_list=n_cat_list,
            n_layers=1,
            dropout_rate=0,
            use_batch_norm=False,
            use_activation=False,
        )
        self.log_variance = nn.Parameter(torch.zeros(()))

    def forward(
        self,
        values: torch.Tensor,
        z: torch.Tensor,
        batch_index: torch.Tensor,
        cont_covs: torch.Tensor | None,
        cat_covs: torch.Tensor | None,
        observed: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the negative log-likelihood of each cell up to a constant, shape ``(cells,)``.

        Only values that were ``observed`` (1, else 0; all by default) count.
        """
        if cont_covs is not None:
            z = torch.cat([z, cont_covs], dim=-1)
        covariates = () if cat_covs is None else torch.split(cat_covs, 1, dim=1)
        residual = values - self.layers(z, batch_index, *covariates)
        precision = torch.exp(-self.log_variance)
        return 0.5 * (precision * residual.square().sum(-1) + values.shape[-1] * self.log_variance)


def log_normalized(counts: torch.Tensor, depth: torch.Tensor | None = None) -> torch.Tensor:
    """Log1p of counts per ten thousand; a cell without counts is all zero.

    Parameters
    ----------
    counts
        Counts, shape ``(cells, genes)``.
    depth
        Total of each cell, shape ``(cells, 1)``; that of ``counts`` by default.
    """
    total = counts.sum(-1, keepdim=True) if depth is None else depth
    return torch.log1p(counts * (TARGET_SUM / total.clamp(min=1)))


def centred_logs(counts: torch.Tensor, observed: torch.Tensor | None = None) -> torch.Tensor:
    """Centred log-ratio of protein counts, within each cell; 0 for what was not observed.

    Parameters
    ----------
    counts
        Counts, shape ``(cells, proteins)``.
    observed
        1 for proteins that were measured in the cell's batch, else 0; all by default.
    """
    logs = torch.log1p(counts)
    if observed is None:
        return logs - logs.mean(-1, keepdim=True)
    mean = (logs * observed).sum(-1, keepdim=True) / observed.sum(-1, keepdim=True).clamp(min=1)
    return (logs - mean) * observed
