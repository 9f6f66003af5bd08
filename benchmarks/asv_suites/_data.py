"""Random sparse values for the suites."""

from __future__ import annotations

import numpy as np
from scipy import sparse


def values(n_rows: int, n_genes: int, density: float = 0.07, seed: int = 0) -> sparse.csr_matrix:
    """Log-normalised values of random cells."""
    rng = np.random.default_rng(seed)
    x = sparse.random(n_rows, n_genes, density, format="csr", dtype=np.float32, rng=rng)
    x.data[:] = np.log1p(rng.geometric(0.3, x.nnz))
    return x


def codes(n_rows: int, sizes: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Random categories, one column per covariate."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(0, n, n_rows) for n in sizes], axis=1)
