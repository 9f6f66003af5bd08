"""The age clock: reading, folded prediction, the sparse step, a training of ours."""

from __future__ import annotations

import numpy as np
import torch

import sctools
from sctools.model import AgeClock
from sctools.model._published_training import adam, step
from sctools.module import FoldedPublishedNetwork, PublishedNetwork, TrainablePublishedNetwork
from sctools.module._published_network import N_CATEGORIES
from sctools.pp._whole_depth import WholeDepth

from ._data import codes, values


class Published:
    """The published network on CSR rows, by number of genes."""

    params = (2_000, 19_000)
    param_names = ("genes",)
    n_cells = 512

    def setup(self, n_genes: int) -> None:
        """Make network and cells; compile."""
        torch.set_num_threads(1)
        torch.manual_seed(0)
        network = PublishedNetwork(n_genes)
        self.x, given = values(self.n_cells, n_genes), codes(self.n_cells, N_CATEGORIES)
        self.csr = (self.x.indptr, self.x.indices, self.x.data, given)
        self.single = FoldedPublishedNetwork(network)
        self.half = FoldedPublishedNetwork(network, precision="float16")
        self.trainable = TrainablePublishedNetwork(network).train()
        self.optimizer = adam(self.trainable, 1e-3)
        self.codes, self.age = torch.from_numpy(given), torch.rand(self.n_cells) * 80
        self.normalize = WholeDepth(
            np.arange(n_genes), n_genes, target_sum=1e4, log_normalized=False
        )
        for method in (self.time_float32, self.time_float16, self.time_training_step):
            method(n_genes)

    def time_float32(self, n_genes: int) -> None:
        """Ages of a block."""
        self.single.ages(*self.csr)

    def time_float16(self, n_genes: int) -> None:
        """Ages of a block with the half-precision table."""
        self.half.ages(*self.csr)

    def time_training_step(self, n_genes: int) -> None:
        """One step of `PublishedClock.train`."""
        step(self.trainable, self.optimizer, self.x, self.codes, self.age)

    def time_normalize(self, n_genes: int) -> None:
        """Turn counts into log-normalised values."""
        self.normalize(self.x)


class Ensemble:
    """Our clock on a small cohort."""

    n_donors, n_genes, cells_per_donor, max_epochs = 20, 500, 50, 3

    def setup(self) -> None:
        """Simulate, and train once for the prediction."""
        torch.set_num_threads(1)
        self.adata = sctools.datasets.aging_cohort(
            self.n_donors, n_genes=self.n_genes, n_age_genes=20,
            cells_per_donor=self.cells_per_donor,
        )  # fmt: skip
        AgeClock.setup_anndata(self.adata)
        self.clock = AgeClock(self.adata, n_repeats=1)
        self.time_train()
        self.time_predict()

    def time_train(self) -> None:
        """Train for a few epochs."""
        self.clock.train(self.max_epochs, progress_bar=False)

    def time_predict(self) -> None:
        """Predict all cells."""
        self.clock.predict(self.adata)

    def peakmem_train(self) -> None:
        """Peak memory with training in it."""
        self.time_train()
