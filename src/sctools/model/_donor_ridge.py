"""Ridge regression of donors' ages on their mean expression, all cell types side by side."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ._donor_batches import Strata, indicator

POWERS = (1.0, 2.0)
"""Exponents on a gene's correlation with age that are tried for its prior weight."""
PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Penalties that are tried, relative to the mean squared norm of a donor."""


class DonorRidge(NamedTuple):
    """Mean of ridge regressions over inner training sets.

    Attributes
    ----------
    weights
        Weight of every standardised gene in every cell type, types × genes, float32.
    intercept
        Output for a donor with the mean expression in all types.
    held_out
        Output for every unit from the regressions that did not learn from it.
    """

    weights: np.ndarray
    intercept: float
    held_out: np.ndarray


def type_means(z: np.ndarray, strata: Strata, n_types: int) -> np.ndarray:
    """Mean of every unit in every cell type, units × types × genes; 0 where it has no cells."""
    n_units = int(strata.unit.max()) + 1
    group = strata.unit * n_types + strata.codes[:, 0]
    total = indicator(group, n_units * n_types) @ (z * strata.n_cells[:, None])
    n_cells = np.bincount(group, weights=strata.n_cells, minlength=len(total))
    mean = total / np.maximum(n_cells, 1)[:, None]
    return mean.reshape(n_units, n_types, -1).astype(np.float32)


def _solve(
    x: np.ndarray, y: np.ndarray, learns: np.ndarray, power: float
) -> list[tuple[np.ndarray, float]]:
    """Weights and intercept for each penalty, from the units that ``learns`` marks."""
    if not learns.any():  # a single donor, held out: the mean age for it
        return [(np.zeros(x.shape[1]), 0.0)] * len(PENALTIES)
    mean, mean_age = x[learns].mean(axis=0), float(y[learns].mean())
    centered, target = x[learns] - mean, y[learns] - mean_age
    norm = np.sqrt((centered**2).sum(axis=0) * (target @ target))
    r = np.abs(target @ centered) / np.where(norm > 0, norm, np.inf)
    gate = r**power
    gate /= np.sqrt((gate**2).mean()) or 1.0
    gated = centered * gate
    kernel = gated @ gated.T
    size = float(np.trace(kernel)) / len(kernel) or 1.0
    solutions = []
    for penalty in PENALTIES:
        dual = np.linalg.solve(kernel + penalty * size * np.eye(len(kernel)), target)
        weights = (dual @ gated) * gate
        solutions.append((weights, mean_age - float(mean @ weights)))
    return solutions


def fit_donor_ridge(
    z: np.ndarray, strata: Strata, age: np.ndarray, learns: np.ndarray, n_types: int
) -> DonorRidge:
    """Fit one regression per inner training set; power and penalty by the pooled held-out units.

    A gene that ages in one type is judged against the same gene in the others, so that what differs
    between donors in all types alike cancels out.

    Parameters
    ----------
    z
        Standardised stratum means, strata × genes.
    strata
        The strata.
    age
        Standardised age of every unit.
    learns
        Inner training sets × units.
    n_types
        Codes of the cell type, unknown included.
    """
    means = type_means(z, strata, n_types)
    x = means.reshape(len(means), -1)
    times_held_out = (~learns).sum(axis=0)
    best: tuple[float, DonorRidge] | None = None
    for power in POWERS:
        per_set = [_solve(x, age, units, power) for units in learns]
        for k in range(len(PENALTIES)):
            held_out = np.zeros(len(age))
            for units, solutions in zip(learns, per_set, strict=True):
                weights, intercept = solutions[k]
                held_out[~units] += x[~units] @ weights + intercept
            held_out /= times_held_out
            spread = held_out.std() * age.std()
            r = float(((held_out - held_out.mean()) * (age - age.mean())).mean())
            r = r / spread if spread > 0 else 0.0
            if best is None or r > best[0]:
                weights = np.mean([solutions[k][0] for solutions in per_set], axis=0)
                intercept = float(np.mean([solutions[k][1] for solutions in per_set]))
                shaped = weights.reshape(n_types, -1).astype(np.float32)
                best = r, DonorRidge(shaped, intercept, held_out)
    if best is None:
        raise ValueError("Expected at least one power and one penalty to try.")
    return best[1]
