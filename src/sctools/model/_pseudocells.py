"""Pseudocells: means of some random cells of one donor and cell type."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np


def draw_pseudocells(n: int, size: int, n_pseudocells: int, key: Sequence[object]) -> np.ndarray:
    """Members of random pseudocells of ``n`` cells, pseudocells × size; ``key`` is the seed."""
    digest = hashlib.sha256("\0".join(map(str, key)).encode()).digest()
    rng = np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))
    drawn = [rng.choice(n, size, replace=n <= size) for _ in range(n_pseudocells)]
    return np.array(drawn, dtype=np.int64)


def mean_over_pseudocells(own: np.ndarray, group: np.ndarray, size: int) -> np.ndarray:
    """Mean prediction of the pseudocells of its group that a cell is part of; NaN stays NaN."""
    rows = np.flatnonzero(np.isfinite(own))
    _, group = np.unique(group[rows], return_inverse=True)
    n = np.bincount(group)[group]
    total = np.bincount(group, weights=own[rows])[group]
    share = 1 / np.minimum(n, size)
    others = (total - own[rows]) / np.maximum(n - 1, 1)
    ages = np.full(len(own), np.nan)
    ages[rows] = share * own[rows] + (1 - share) * others
    return ages
