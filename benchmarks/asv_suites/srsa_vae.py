"""SRSA-VAE: the likelihood, an epoch, encoding."""

from __future__ import annotations

import torch

import sctools
from sctools.module._sparse_likelihood import SparseNegativeBinomial


class Likelihood:
    """Negative binomial of sparse counts, with its gradients."""

    params = (2_000, 19_000)
    param_names = ("genes",)
    n_cells = 64

    def setup(self, n_genes: int) -> None:
        """Draw counts and parameters."""
        torch.set_num_threads(1)
        torch.manual_seed(0)
        self.counts = torch.poisson(torch.full((self.n_cells, n_genes), 0.07))
        self.mu = (torch.rand_like(self.counts) + 0.1).requires_grad_()
        self.theta = (torch.rand(n_genes) + 0.1).requires_grad_()

    def time_log_prob(self, n_genes: int) -> None:
        """Value and gradients."""
        found = SparseNegativeBinomial(mu=self.mu, theta=self.theta, validate_args=False)
        found.log_prob(self.counts).sum().backward()


class Model:
    """The whole model on a small mixture."""

    n_cells, n_genes = 1_000, 1_000

    def setup(self) -> None:
        """Simulate and train once."""
        torch.set_num_threads(1)
        self.adata = sctools.datasets.immune_mixture(self.n_cells, n_genes=self.n_genes)
        sctools.model.SRSAVAE.setup_anndata(self.adata)
        self.model = sctools.model.SRSAVAE(self.adata)
        self.time_epoch()

    def time_epoch(self) -> None:
        """One epoch."""
        self.model.train(1, rng=0, progress_bar=False)

    def time_encode(self) -> None:
        """Latents of all cells."""
        self.model.get_latent_representation()

    def peakmem_epoch(self) -> None:
        """Peak memory with an epoch in it."""
        self.time_epoch()
