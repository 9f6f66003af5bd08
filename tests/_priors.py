"""Small cells and quick settings for the tests of the prior transformer."""

from __future__ import annotations

import functools
from typing import Any

from anndata import AnnData

from sctools import datasets

N_OBS, N_GENES = 160, 150

SMALL: dict[str, Any] = {"n_hidden": 8, "n_heads": 2}
"""Arguments of the model."""

FAST: dict[str, Any] = {"lr": 1e-3, "lr_direct": 5e-2, "batch_size": 16}
"""Arguments of its training, with which four epochs tell types apart."""

QUICK: dict[str, Any] = {"max_epochs": 4, "model_kwargs": SMALL, "train_kwargs": FAST}
"""Arguments of ``tl.prior_transformer`` that train in no time."""


@functools.cache
def _cells(n_obs: int, n_batches: int, rng: int) -> AnnData:
    return datasets.regulated_cells(
        n_obs, n_types=4, n_tfs=20, n_genes=N_GENES, n_targets=8, n_batches=n_batches,
        effect_size=0.8, rng=rng,
    )  # fmt: skip


def cells(n_obs: int = N_OBS, *, n_batches: int = 2, rng: int = 0) -> AnnData:
    """Cells of one's own, to be changed at will, with a network in ``uns["prior"]``."""
    return _cells(n_obs, n_batches, rng).copy()
