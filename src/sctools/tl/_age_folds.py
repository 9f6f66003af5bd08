"""Donor-grouped folds for cross-fitting."""

from __future__ import annotations

import logging

import numpy as np

from ..pp._cohort import Cohort

logger = logging.getLogger("sctools")

UNLABELLED = -1


def assign_folds(cohort: Cohort, n_folds: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Fold of every unit, −1 for those of donors without any known age, and the number of folds.

    Donors are dealt out by age, so that all folds span the ages; within a block of ``n_folds``
    neighbours the fold is random.
    """
    donors, code = np.unique(cohort.donor, return_inverse=True)
    known = np.isfinite(cohort.age)
    labelled = np.unique(code[known])
    if n_folds > len(labelled):
        logger.info("%d folds instead of %d: one per donor.", len(labelled), n_folds)
        n_folds = len(labelled)
    total = np.bincount(code[known], weights=cohort.age[known], minlength=len(donors))
    mean_age = total / np.maximum(np.bincount(code[known], minlength=len(donors)), 1)
    ordered = rng.permutation(labelled)  # ties of age fall in random order
    ordered = ordered[np.argsort(mean_age[ordered], kind="stable")]
    fold = np.full(len(donors), UNLABELLED)
    for start in range(0, len(ordered), n_folds):
        block = ordered[start : start + n_folds]
        fold[block] = rng.permutation(n_folds)[: len(block)]
    return fold[code], n_folds
