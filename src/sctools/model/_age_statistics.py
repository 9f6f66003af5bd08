"""What an age clock learns from its training cells before the networks are trained."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from ..module import CLIP
from ._donor_batches import Strata, indicator

N_SAMPLE = 1000
"""Pseudocells from which the input statistics are taken, at least."""
LEAST_DONORS = 4
"""Donors of a cell type from which a gate is started."""


def top_genes(x: sp.csr_matrix, n_genes: int) -> np.ndarray:
    """Positions of the genes with the highest mean log expression, ascending; no label is used."""
    if x.shape[1] <= n_genes:
        return np.arange(x.shape[1])
    mean = np.asarray(x.mean(axis=0)).ravel()
    return np.sort(np.argsort(-mean, kind="stable")[:n_genes])


def count_shares(x: sp.csr_matrix) -> np.ndarray:
    """Mean share of a cell's counts for every gene, from log-normalised values; the sum is 1."""
    share = np.bincount(
        x.indices, weights=np.expm1(x.data.astype(np.float64)), minlength=x.shape[1]
    )
    return (share / (share.sum() or 1.0)).astype(np.float32)


def input_statistics(
    strata: Strata, n_types: int, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centre per cell type, scale and cap of every gene.

    All genes share one scale: the standard deviation of pseudocells, pooled over genes. A scale per
    gene would blow up the sampling noise of genes with few counts.

    Parameters
    ----------
    strata
        Training cells; the first code is the cell type.
    n_types
        Number of cell types, without the slot for unknown ones.
    size
        Cells per pseudocell.
    rng
        Source of the pseudocells.

    Returns
    -------
    ``center`` ((n_types + 1) × genes; the last row is for unknown types), ``scale`` (genes) and
    ``cap`` (genes): the largest value of a single cell that counts, float32.
    """
    rows = np.tile(np.arange(len(strata)), int(np.ceil(N_SAMPLE / len(strata))))
    sample = strata.pseudocells(rows, size, rng)
    types = strata.codes[rows, 0]
    center = np.tile(sample.mean(axis=0), (n_types + 1, 1))
    for kind in np.unique(types[types < n_types]):
        center[kind] = sample[types == kind].mean(axis=0)
    sd = (sample - center[types]).std(axis=0)
    pooled = float(np.sqrt((sd**2).mean())) or 1.0
    # One cell of a pseudocell moves its mean by value / size: no more than CLIP deviations.
    cap = np.where(sd > 0, center.max(axis=0) + CLIP * size * sd, np.inf)
    scale = np.full(len(cap), 1.0 / pooled)
    return center.astype(np.float32), scale.astype(np.float32), cap.astype(np.float32)


def cap_values(x: sp.csr_matrix, cap: np.ndarray) -> sp.csr_matrix:
    """``x`` with every stored value at most the cap of its gene."""
    return sp.csr_matrix((np.minimum(x.data, cap[x.indices]), x.indices, x.indptr), shape=x.shape)


def inner_splits(
    donor: np.ndarray, n_folds: int, n_repeats: int, rng: np.random.Generator
) -> np.ndarray:
    """Which units each member learns from: repeats of donor-grouped folds, members × units."""
    n_donors = int(donor.max()) + 1
    n_folds = min(n_folds, n_donors)
    learns = []
    for _ in range(n_repeats):
        fold = rng.permutation(n_donors) % n_folds
        learns += [fold[donor] != k for k in range(n_folds)]
    return np.array(learns)


def gate_start(
    z: np.ndarray,
    strata: Strata,
    age: np.ndarray,
    learns: np.ndarray,
    power: float,
    *,
    n_gates: int,
) -> np.ndarray:
    """Gates from the correlation of genes with age over the donors that a member learns from.

    Parameters
    ----------
    z
        Standardised stratum means, strata × genes.
    strata
        The strata; correlations are taken within each cell type.
    age
        Age of every unit.
    learns
        Units of the member, shape (units,).
    power
        Exponent on the absolute correlation: larger values favour few genes.
    n_gates
        1, for the largest correlation over cell types, or one set per cell type and one for unknown
        types, which gets the root mean square of the others.

    Returns
    -------
    Gates with root mean square 1, shape (n_gates, genes); ones where there are too few donors.
    """
    kinds = np.unique(strata.codes[:, 0])
    gates = np.zeros((max(n_gates, int(kinds.max()) + 1), z.shape[1]))
    for kind in kinds:
        rows = np.flatnonzero((strata.codes[:, 0] == kind) & learns[strata.unit])
        units, owner = np.unique(strata.unit[rows], return_inverse=True)
        if len(units) < LEAST_DONORS or np.ptp(age[units]) == 0:
            continue
        # A unit may have several strata of a type, from other covariates.
        mean = indicator(owner, len(units)) @ z[rows] / np.bincount(owner)[:, None]
        x, y = mean - mean.mean(axis=0), age[units] - age[units].mean()
        norm = np.sqrt((x**2).sum(axis=0) * (y @ y))
        gates[kind] = (np.abs(y @ x) / np.where(norm > 0, norm, np.inf)) ** power
    if n_gates == 1:
        gates = gates.max(axis=0, keepdims=True)
    known = gates.any(axis=1)
    if not known.any():
        return np.ones((n_gates, z.shape[1]))
    gates[~known] = np.sqrt((gates[known] ** 2).mean(axis=0))
    return gates / np.sqrt((gates**2).mean())
