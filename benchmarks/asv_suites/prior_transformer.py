"""The prior transformer: attention over edges, forward and backward."""

from __future__ import annotations

import numpy as np
import torch

from sctools.module import EdgeIndex, PriorTransformerModule


class Step:
    """Forward and backward pass, by number of edges."""

    params = (7_000, 28_000)
    param_names = ("edges",)
    n_genes, n_cells = 2_500, 16

    def setup(self, n_edges: int) -> None:
        """Make the network and a batch; compile."""
        torch.set_num_threads(1)
        torch.manual_seed(0)
        rng = np.random.default_rng(0)
        pairs = np.unique(rng.integers(0, self.n_genes, (2 * n_edges, 2)), axis=0)
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        pairs = pairs[rng.permutation(len(pairs))[:n_edges]]
        index = EdgeIndex(*pairs.T, rng.choice([-1, 0, 1], len(pairs)), self.n_genes)
        self.module = PriorTransformerModule(index, 10, n_hidden=32, n_heads=4, n_layers=2)
        self.module.train()
        self.batch = {
            "values": torch.from_numpy(
                np.log1p(rng.poisson(0.15, (self.n_cells, self.n_genes))).astype(np.float32)
            ),
            "labels": torch.from_numpy(rng.integers(0, 10, self.n_cells)),
        }
        self.time_step(n_edges)

    def time_step(self, n_edges: int) -> None:
        """One training step without the optimiser."""
        _, _, losses = self.module(self.batch)
        losses.loss.backward()
        self.module.zero_grad()
