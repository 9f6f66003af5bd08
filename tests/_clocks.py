"""Small cohorts and quick settings for the tests of the age clock."""

from __future__ import annotations

import functools

import numpy as np
from anndata import AnnData

from sctools import datasets

QUICK = {
    "n_folds": 3,
    "model_kwargs": {"n_repeats": 1, "n_hidden": 16, "head": (8,)},
    "train_kwargs": {"max_epochs": 3, "lr": 3e-3},
}
"""Arguments of ``tl.age_clock`` that train in no time; enough where the signal is strong."""


@functools.cache
def _cohort(n_donors: int, effect_size: float) -> AnnData:
    adata = datasets.aging_cohort(
        n_donors, n_genes=150, cells_per_donor=8, n_age_genes=40, n_marker_genes=8, n_sex_genes=6,
        effect_size=effect_size, donor_sd=0.05, rng=1,
    )  # fmt: skip
    adata.uns = {"age_unit": "years"}
    return adata


def small_cohort(n_donors: int = 18, *, effect_size: float = 0.4) -> AnnData:
    """A cohort of one's own, to be changed at will."""
    return _cohort(n_donors, effect_size).copy()


def without_age(adata: AnnData, n_donors: int) -> list[str]:
    """Forget the age of some donors, in place, and return who they are."""
    donors = adata.obs["donor_id"].unique().tolist()[:n_donors]
    adata.obs.loc[adata.obs["donor_id"].isin(donors), "age"] = np.nan
    return donors
