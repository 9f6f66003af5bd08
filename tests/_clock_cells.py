"""Cells as clock methods see them, made from a small cohort."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from sctools.pp._cohort import read_cohort

from ._clocks import small_cohort

QUICK: dict[str, dict[str, Any]] = {
    "gma": {"n_repeats": 1, "n_hidden": 16, "head": (8,), "max_epochs": 3, "lr": 3e-3},
    "elastic_net": {},
    "ridge": {},
    "pls": {},
    "mlp": {"n_epochs": (5, 20), "n_pseudocells": 4, "n_inner_folds": 3},
    "autoencoder": {"n_epochs": (5, 30), "n_pseudocells": 4, "n_inner_folds": 3},
    "xgboost": {"n_trees": (10, 40), "depths": (2,), "n_pseudocells": 4, "n_inner_folds": 3},
    "catboost": {"n_trees": (10, 40), "depths": (2,), "n_pseudocells": 4, "n_inner_folds": 3},
    "donor_attention": {},
}
"""Arguments of every method that fit in no time."""


def cohort_cells(n_donors: int = 18, *, effect_size: float = 0.4) -> Any:
    """Log-normalised cells of a cohort whose ages are told by many genes."""
    from sctools.model._clock_methods import ClockCells

    adata = small_cohort(n_donors, effect_size=effect_size)
    cohort = read_cohort(adata, age_key="age", donor_key="donor_id")
    counts = sparse.csr_matrix(adata.X, dtype=np.float64)
    depth = np.asarray(counts.sum(axis=1)).ravel()
    x = sparse.csr_matrix(sparse.diags(1e4 / depth) @ counts).log1p().astype(np.float32)
    labels = adata.obs["cell_type"].astype(str).to_numpy(dtype=object)
    return ClockCells(x, cohort.unit, labels, cohort.donor, cohort.age)


def halves(cells: Any) -> tuple[Any, Any]:
    """Two thirds of the donors with their ages, and the others without."""
    order = np.argsort(cells.age)
    asked = np.isin(np.arange(len(order)), order[1::3])
    return cells.of_units(np.flatnonzero(~asked)), cells.of_units(np.flatnonzero(asked))
