"""Attention over the cells of a donor: which cells tell the age."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from .._age_statistics import top_genes
from .._calibration import shrunk_line
from ._cells import ClockCells
from ._donor_attention_clusters import SoftClusters
from ._donor_attention_ridge import PENALTIES, evidence, fit_unit_ridge
from ._tuned import (
    ConstantClock,
    _can_learn,
    ages_to_learn,
    check_counts,
    check_grid,
    check_inner_folds,
    inner_folds,
)

N_CLUSTERS = (8, 16, 32)
POWERS = (1, 2, 4)
"""Exponents on one plus the evidence of a cluster; 0, uniform attention, is always tried."""
LEAST_CELLS = 3
"""Cells of a unit per cluster, on average; a partition with fewer is not tried."""
LEAST_UNITS = 8
"""Units with cells in a cluster, without which it has no evidence."""


class _Attention(NamedTuple):
    """Score of a cell from its clusters; 0 for all without clusters."""

    clusters: SoftClusters | None
    partition: int
    score: np.ndarray

    def __call__(self, x: sp.csr_matrix, unit: np.ndarray) -> np.ndarray:
        score = np.zeros(x.shape[0])
        if self.clusters is not None:
            score = self.clusters.memberships(x, self.partition) @ self.score
        return _softmax(score, unit)


class DonorAttentionClock:
    """A fitted attention with its regression and its calibration; see :meth:`predict`."""

    def __init__(
        self,
        genes: np.ndarray,
        attention: _Attention,
        coef: np.ndarray,
        slope: float,
        intercept: float,
        sd: float,
    ) -> None:
        self.genes = genes
        self.slope = slope
        self._attention = attention
        self._coef = coef
        self._intercept = intercept
        self._sd = sd

    def predict(self, cells: ClockCells) -> np.ndarray:
        """Age of every unit, float64; it depends on no other unit."""
        x = cells.x[:, self.genes]
        return self._age(x @ self._coef, self._attention(x, cells.unit), cells.unit)

    def weights(self, cells: ClockCells) -> np.ndarray:
        """Attention of every cell, float64, which sums to 1 over the cells of a unit.

        Uniform where held-out training donors gave no reason to prefer some cells.
        """
        return self._attention(cells.x[:, self.genes], cells.unit)

    def predict_cells(self, cells: ClockCells) -> np.ndarray:
        """Age of every cell: that of its unit plus the cell's own deviation.

        A cell that gets less attention than a cell in uniform attention deviates by as much less:
        the regression learned nothing from its like. The deviation is never stretched by the
        calibration; over the cells of a unit its mean is 0.
        """
        x, unit = cells.x[:, self.genes], cells.unit
        raw, attention = x @ self._coef, self._attention(x, unit)
        share = np.minimum(1.0, attention * np.bincount(unit)[unit])
        mean = np.bincount(unit, weights=share * raw) / np.bincount(unit, weights=share)
        deviation = min(1.0, self.slope) * self._sd * share * (raw - mean[unit])
        return self._age(raw, attention, unit)[unit] + deviation

    def predict_specific(self, cells: ClockCells) -> None:
        """Return ``None``: cells of little attention have the age that others tell."""

    def _age(self, raw: np.ndarray, attention: np.ndarray, unit: np.ndarray) -> np.ndarray:
        told = np.bincount(unit, weights=attention * raw)
        return self._intercept + self._sd * self.slope * told


class UniformClock(ConstantClock):
    """The mean age for everyone, and the same attention for all cells of a unit."""

    __slots__ = ()

    def weights(self, cells: ClockCells) -> np.ndarray:
        """Return one over the number of cells of the unit."""
        return _softmax(np.zeros(len(cells.unit)), cells.unit)

    def predict_specific(self, cells: ClockCells) -> None:
        """Return ``None``, as the clock that has learned something."""


class DonorAttention:
    """Ridge regression of age on the attention-weighted mean of a donor's cells.

    Ours, after the attention pooling of M. Ilse, J. Tomczak, M. Welling, *Attention-based Deep
    Multiple Instance Learning*, ICML 2018, PMLR 80:2127: the weights of a donor's cells are the
    softmax of scores that depend on nothing but the cell, and the age is read from the weighted
    mean. What is pooled is expression itself, so that the regression is solved in closed form. The
    scores come from evidence, not from the gated network of that paper: trained from here by
    gradients, it made held-out donors worse within a few steps, having too much freedom for some
    tens of donors.

    Cells are grouped into soft clusters by expression alone. The evidence of a cluster is how well
    ridge regression on its mean expression predicts donors left out, as a log likelihood ratio
    against the mean age, at least 0. A cell's score is a multiple of the logarithm of one plus the
    evidence, averaged over its clusters: without evidence all cells count alike. Partition,
    multiple and penalty are chosen by inner folds, and attention stays uniform unless held-out
    donors are better for it by more than one standard error. Cell types are not used.

    Parameters
    ----------
    calibrated
        Rescale predictions around the mean age as held-out training donors demand, by the rule of
        :class:`~sctools.model.AgeClock`.
    n_clusters
        Numbers of clusters to choose from; those that leave a donor fewer than three cells per
        cluster on average are not tried, and without any attention is uniform.
    n_components
        Principal components in which cells are clustered, at most.
    n_inner_folds
        Folds of training donors that choose and calibrate.
    n_top_genes
        The genes with the highest mean log expression are used, at most so many, as in the clock.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    input = "cells"

    def __init__(
        self,
        *,
        calibrated: bool = True,
        n_clusters: Sequence[int] = N_CLUSTERS,
        n_components: int = 32,
        n_inner_folds: int = 5,
        n_top_genes: int = 2000,
    ) -> None:
        self.n_clusters = check_grid("n_clusters", n_clusters)
        check_counts(n_components=n_components, n_top_genes=n_top_genes)
        check_inner_folds(n_inner_folds)
        self.calibrated = calibrated
        self.n_components = n_components
        self.n_inner_folds = n_inner_folds
        self.n_top_genes = n_top_genes

    def fit(
        self, cells: ClockCells, *, rng: int | np.random.Generator | None = 0
    ) -> DonorAttentionClock | UniformClock:
        """Choose attention and penalty on inner folds over the donors, then fit on all of them.

        Parameters
        ----------
        cells
            Training cells with the ages of their units.
        rng
            Seed or generator.

        Returns
        -------
        The fitted clock.

        Raises
        ------
        ValueError
            If the ages are missing.
        """
        known = ages_to_learn(cells)
        rng = np.random.default_rng(rng)
        donor = np.unique(cells.donor, return_inverse=True)[1]
        mean, sd = float(known.mean()), float(known.std())
        if not _can_learn(known, donor):
            return UniformClock(mean)
        genes = top_genes(cells.x, self.n_top_genes)
        age = (known - mean) / sd
        folds = inner_folds(donor, self.n_inner_folds, rng)
        search = _Search(cells.x[:, genes], cells.unit, age, donor)
        search.add_clusters(self.n_clusters, self.n_components, rng)

        held_out = search.held_out(folds)
        attention, penalty = _choose(np.abs(held_out - age), donor)
        line = (1.0, 0.0)
        if self.calibrated:
            line = shrunk_line(held_out[attention, penalty], age, donor)
        slope, center = line
        if slope == 0:  # nothing learned: no cell is better than another
            attention = 0
        everyone = np.arange(len(age))
        chosen = search.attention(attention, everyone)
        pooled = search.pooled(chosen(search.x, cells.unit))
        ridge = fit_unit_ridge(pooled @ pooled.T, age, donor)
        coef = ridge.weights[penalty] @ pooled
        intercept = mean + sd * slope * (float(ridge.intercept[penalty]) - center)
        return DonorAttentionClock(genes, chosen, coef, slope, intercept, sd)


class _Search:
    """The attentions that are tried on some training cells: first the uniform one."""

    def __init__(
        self, x: sp.csr_matrix, unit: np.ndarray, age: np.ndarray, donor: np.ndarray
    ) -> None:
        self.x, self.unit, self.age, self.donor = x, unit, age, donor
        self.clusters: SoftClusters | None = None
        self.tried: list[tuple[int, int]] = [(0, 0)]  # partition, power
        self._members: list[np.ndarray] = []
        self._products: list[np.ndarray] = []
        self._n_cells: list[np.ndarray] = []

    def add_clusters(
        self, numbers: tuple[int, ...], n_components: int, rng: np.random.Generator
    ) -> None:
        """Cluster the cells, and keep what the evidence of the clusters rests on."""
        n = len(self.age)
        numbers = tuple(k for k in numbers if k > 1 and LEAST_CELLS * k * n <= len(self.unit))
        if not numbers or min(self.x.shape) < 2 or not _varies(self.x):
            return
        self.clusters = SoftClusters(self.x, numbers, n_components, rng)
        for partition, number in enumerate(numbers):
            members = self.clusters.memberships(self.x, partition)
            products = np.empty((number, n, n))
            n_cells = np.empty((number, n))
            for k in range(number):
                # Most cells are far from most clusters.
                rows = np.flatnonzero(members[:, k] > 0.01)
                unit, weight = self.unit[rows], members[rows, k]
                n_cells[k] = np.bincount(unit, weights=weight, minlength=n)
                share = weight / np.maximum(n_cells[k], 1e-12)[unit]
                means = _weighted_sums(self.x[rows], unit, share, n)
                products[k] = means @ means.T
            self._members.append(members)
            self._products.append(products)
            self._n_cells.append(n_cells)
            self.tried += [(partition, power) for power in POWERS]

    def attention(self, number: int, units: np.ndarray) -> _Attention:
        """One of the attentions, by the ages of these units."""
        partition, power = self.tried[number]
        if power == 0:
            return _Attention(None, 0, np.zeros(0))
        return _Attention(self.clusters, partition, power * self.scores(partition, units))

    def scores(self, partition: int, units: np.ndarray) -> np.ndarray:
        """Score of every cluster of a partition, before the power, by the ages of these units."""
        scores = np.zeros(len(self._products[partition]))
        for k, products in enumerate(self._products[partition]):
            has = units[self._n_cells[partition][k, units] >= 1]
            if len(np.unique(self.donor[has])) >= LEAST_UNITS and np.ptp(self.age[has]) > 0:
                told = evidence(products[np.ix_(has, has)], self.age[has], self.donor[has])
                scores[k] = np.log1p(told)
        return scores

    def pooled(self, attention: np.ndarray) -> np.ndarray:
        """Mean expression of every unit, weighted by the attention of its cells, units × genes."""
        return _weighted_sums(self.x, self.unit, attention, len(self.age))

    def held_out(self, folds: list[np.ndarray]) -> np.ndarray:
        """Prediction of every unit by the other folds: attentions × penalties × units."""
        everyone = np.arange(len(self.age))
        out = np.empty((len(self.tried), len(PENALTIES), len(self.age)))
        for held in folds:
            learn = np.setdiff1d(everyone, held)
            if not _can_learn(self.age[learn], self.donor[learn]):
                out[:, :, held] = self.age[learn].mean()
                continue
            scores = [
                members @ self.scores(partition, learn)
                for partition, members in enumerate(self._members)
            ]
            for number, (partition, power) in enumerate(self.tried):
                score = power * scores[partition] if power else np.zeros(len(self.unit))
                pooled = self.pooled(_softmax(score, self.unit))
                known = pooled[learn]
                ridge = fit_unit_ridge(known @ known.T, self.age[learn], self.donor[learn])
                out[number][:, held] = ridge.predict(pooled[held] @ known.T)
        return out


def _choose(errors: np.ndarray, donor: np.ndarray) -> tuple[int, int]:
    """Attention and penalty with the least error; the uniform one unless another is clearly better.

    Parameters
    ----------
    errors
        Absolute errors of held-out units, attentions × penalties × units.
    donor
        Donor of every unit, from 0.
    """
    mean = errors.mean(axis=2)
    attention, penalty = (int(i) for i in np.unravel_index(mean.argmin(), mean.shape))
    uniform = int(mean[0].argmin())
    gained = errors[0, uniform] - errors[attention, penalty]
    # Samples of one donor err together.
    n_donors = int(donor.max()) + 1
    scatter = np.bincount(donor, weights=gained - gained.mean(), minlength=n_donors)
    error = np.sqrt(scatter @ scatter * n_donors / max(1, n_donors - 1)) / len(donor)
    return (attention, penalty) if gained.mean() > error else (0, uniform)


def _softmax(score: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Positive numbers that sum to 1 over the cells of each unit."""
    highest = np.full(int(unit.max()) + 1, -np.inf)
    np.maximum.at(highest, unit, score)
    likely = np.exp(score - highest[unit])
    return likely / np.bincount(unit, weights=likely)[unit]


def _weighted_sums(
    x: sp.csr_matrix, unit: np.ndarray, weight: np.ndarray, n_units: int
) -> np.ndarray:
    member = sp.csr_matrix((weight, (unit, np.arange(len(unit)))), shape=(n_units, len(unit)))
    return (member @ x).toarray()


def _varies(x: sp.csr_matrix) -> bool:
    mean = np.asarray(x.mean(axis=0)).ravel()
    return float((x.data.astype(np.float64) ** 2).sum()) / x.shape[0] > (1 + 1e-9) * (mean @ mean)
