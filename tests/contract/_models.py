"""The models that keep the common contract: a new one joins with one line of ``MODELS``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from anndata import AnnData

from sctools import datasets, model


class Contract(NamedTuple):
    """What the suite needs to know of a model.

    Attributes
    ----------
    name
        Id of the tests.
    cls
        The class, with ``save`` and ``load``.
    data
        Makes the tiny training data: counts in CSR, donors in ``obs["donor_id"]``.
    train
        ``train(adata, seed)``: a trained model; ``adata`` is registered and may be written to.
    predict
        ``predict(model, adata, **kwargs)``: one row per cell. ``kwargs``: ``donor_key``,
        ``batch_size``, ``layer``, ``log_normalized``.
    untrained
        ``untrained(adata)``: a model that was not trained yet.
    """

    name: str
    cls: Any
    data: Callable[[], AnnData]
    train: Callable[[AnnData, int], Any]
    predict: Callable[..., np.ndarray]
    untrained: Callable[[AnnData], Any]


def strong_cohort() -> AnnData:
    """Donors whose age shows, so that predictions differ: a constant would pass every test."""
    adata = datasets.aging_cohort(
        24, n_genes=150, cells_per_donor=10, n_age_genes=40, n_marker_genes=8, n_sex_genes=6,
        effect_size=0.4, donor_sd=0.05, rng=1,
    )  # fmt: skip
    adata.uns = {"age_unit": "years"}
    return adata


def untrained_clock(adata: AnnData) -> model.AgeClock:
    model.AgeClock.setup_anndata(adata, covariate_keys=["sex"])
    return model.AgeClock(adata, n_repeats=1, n_hidden=16, head=(8,))


def trained_clock(adata: AnnData, seed: int) -> model.AgeClock:
    clock = untrained_clock(adata)
    clock.train(max_epochs=8, lr=3e-3, rng=seed, progress_bar=False)
    return clock


MODELS = [
    Contract(
        "AgeClock", model.AgeClock, strong_cohort, trained_clock, model.AgeClock.predict,
        untrained_clock,
    ),
]  # fmt: skip
