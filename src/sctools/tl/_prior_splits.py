"""Splits of labelled cells for comparisons: the same for everything that is compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

MIN_PER_CLASS = 2


class LabelSplit(NamedTuple):
    """Training and test cells of one run.

    Attributes
    ----------
    number
        Number of the split.
    model_seed
        Seed for what is fitted on it.
    label_fraction
        Share of the cells to learn from whose labels are given.
    train, test
        Sorted positions of the cells.
    """

    number: int
    model_seed: int
    label_fraction: float
    train: np.ndarray
    test: np.ndarray


def label_splits(
    codes: np.ndarray,
    test: np.ndarray | None,
    *,
    label_fractions: Sequence[float],
    n_splits: int,
    test_size: float,
    seed: int,
) -> Iterator[LabelSplit]:
    """Yield splits; within one seed the smaller sets of labels are parts of the larger ones.

    Parameters
    ----------
    codes
        Class of every cell, below 0 where unknown: such cells are in no split.
    test
        Cells to test on, boolean. ``None`` draws ``test_size`` of each class for every seed, so
        that at least two cells of it remain.
    label_fractions
        Shares of the remaining cells to train on; of each class at least two cells.
    n_splits
        Number of seeds.
    test_size
        See ``test``.
    seed
        Seed of the first split.
    """
    known = codes >= 0
    for number in range(n_splits):
        rng = np.random.default_rng([seed, number])
        order = rng.permutation(len(codes))
        order = order[known[order]]
        if test is None:
            rank = _rank_in_class(codes, order)
            n_cells = np.bincount(codes[known])
            n_held = np.minimum(np.round(test_size * n_cells), n_cells - MIN_PER_CLASS)
            held = rank < n_held[codes[order]]
        else:
            held = test[order]
        tested, pool = np.sort(order[held]), order[~held]
        model_seed = int(rng.integers(2**31))
        rank = _rank_in_class(codes, pool)
        n_pool = np.bincount(codes[pool], minlength=codes.max() + 1)
        for fraction in label_fractions:
            n_take = np.maximum(np.round(fraction * n_pool), MIN_PER_CLASS)
            taken = pool[rank < n_take[codes[pool]]]
            yield LabelSplit(number, model_seed, float(fraction), np.sort(taken), tested)


def _rank_in_class(codes: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Place of each cell among those of its class, in the given order."""
    own = codes[order]
    by_class = np.argsort(own, kind="stable")
    start = np.searchsorted(own[by_class], own[by_class])
    rank = np.empty(len(order), dtype=np.int64)
    rank[by_class] = np.arange(len(order)) - start
    return rank
