"""Where the training of a prior transformer starts: principal components of the cells."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.decomposition import PCA


class Start(NamedTuple):
    """Mean of each gene, factor for centred values, and principal axes ``(n, n_genes)``."""

    center: np.ndarray
    scale: float
    loadings: np.ndarray


def principal_start(values: sp.csr_matrix, n_components: int, seed: int) -> Start:
    """Compute the start from log-normalised values, without making them dense.

    One factor for all genes, not one for each: a gene that varies little tells little, and would
    drown the others if it were blown up.
    """
    center = np.asarray(values.mean(axis=0), dtype=np.float64).ravel()
    square = np.asarray(values.multiply(values).mean(axis=0), dtype=np.float64).ravel()
    variance = float(np.maximum(square - center**2, 0.0).mean())
    spread = np.sqrt(variance)
    n = min(n_components, min(values.shape) - 1)
    # Where all cells are the same, rounding leaves a little.
    if variance <= 1e-6 * square.mean() or n < 1:
        return Start(center, 1.0, np.zeros((0, values.shape[1])))
    pca = PCA(n, svd_solver="arpack", random_state=seed).fit(values)
    # The sign of an axis is arbitrary; ours does not depend on the solver.
    axes = pca.components_
    axes = axes * np.sign(axes[np.arange(n), np.abs(axes).argmax(1)])[:, None]
    return Start(center, 1.0 / spread, axes)
