"""Soft clusters of cells, from their expression alone."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from ...pp._clock_input import READ_ROWS
from ...pp._expression import row_blocks

MAX_CELLS = 20_000
"""Clusters are learned from at most so many random cells."""


class SoftClusters:
    """Mixture of round clusters of one width in the space of the principal components.

    No label is used: neither ages nor whose the cells are.

    Parameters
    ----------
    x
        Expression, cells × genes, CSR.
    numbers
        Number of clusters of each partition.
    n_components
        Number of principal components, at most.
    rng
        Source of the start of k-means.
    """

    def __init__(
        self,
        x: sp.csr_matrix,
        numbers: tuple[int, ...],
        n_components: int,
        rng: np.random.Generator,
    ) -> None:
        if x.shape[0] > MAX_CELLS:
            x = x[np.sort(rng.choice(x.shape[0], MAX_CELLS, replace=False))]
        seed = int(rng.integers(2**31))
        n_components = min(n_components, min(x.shape) - 1)
        self._centers: list[np.ndarray] = []
        self._variance: list[float] = []
        # Threads of k-means add up in any order, and the result would not repeat.
        with threadpool_limits(1):
            pca = PCA(n_components, svd_solver="arpack", random_state=seed).fit(x)
            self._axes = pca.components_.T.astype(np.float64)
            self._origin = pca.mean_ @ self._axes
            place = x @ self._axes - self._origin
            for number in numbers:
                found = KMeans(number, n_init=2, random_state=seed).fit(place)
                self._centers.append(found.cluster_centers_)
                width = float(found.inertia_) / place.size
                self._variance.append(max(width, float(np.finfo(np.float32).tiny)))

    def memberships(self, x: sp.csr_matrix, partition: int) -> np.ndarray:
        """Probability of every cluster of a partition, cells × clusters; rows sum to 1."""
        centers = self._centers[partition]
        out = np.empty((x.shape[0], len(centers)))
        for start, block in row_blocks(x, READ_ROWS):
            place = block @ self._axes - self._origin
            # |place|² is the same for all clusters of a cell.
            closeness = 2 * place @ centers.T - (centers**2).sum(axis=1)
            closeness /= 2 * self._variance[partition]
            likely = np.exp(closeness - closeness.max(axis=1, keepdims=True))
            out[start : start + len(place)] = likely / likely.sum(axis=1, keepdims=True)
        return out
