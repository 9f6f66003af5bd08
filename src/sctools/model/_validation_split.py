"""Which labelled cells validate: whole batches where there are enough, else cells of each class."""

from __future__ import annotations

import numpy as np

MIN_BATCHES = 3
MIN_HELD = 20
"""Fewer cells are not held out: too few to stop or calibrate by."""


def validation_split(
    labels: np.ndarray,
    batch: np.ndarray | None,
    *,
    share: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Part labelled cells into training and validation.

    With three or more batches, whole batches are held out until they hold ``share`` of the cells:
    cells of one batch are alike, and would flatter the model. Otherwise ``share`` of each class.
    Every class stays in training with at least half of its cells. None is held out where that would
    be fewer than 20 cells.

    Parameters
    ----------
    labels
        Class of every cell, below 0 where unknown.
    batch
        Code of the batch of every cell, or ``None``.
    share
        Share of the labelled cells to hold out, 0 for none.
    rng
        Source of the choice.

    Returns
    -------
    Sorted positions of training and of validation cells; unlabelled cells are in neither.
    """
    known = np.flatnonzero(labels >= 0)
    none = np.array([], dtype=np.int64)
    if share <= 0:
        return known, none
    if batch is not None and len(np.unique(batch[known])) >= MIN_BATCHES:
        held = _whole_batches(labels, batch, known, share, rng)
        if len(held) >= MIN_HELD:
            return np.setdiff1d(known, held), held
    held = np.concatenate(
        [_some(known[labels[known] == label], share, rng) for label in np.unique(labels[known])]
    )
    held = np.sort(held) if len(held) >= MIN_HELD else none
    return np.setdiff1d(known, held), held


def _some(cells: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    n = min(round(share * len(cells)), len(cells) // 2)
    return rng.permutation(cells)[:n]


def _whole_batches(
    labels: np.ndarray,
    batch: np.ndarray,
    known: np.ndarray,
    share: float,
    rng: np.random.Generator,
) -> np.ndarray:
    total = np.bincount(labels[known])
    held = np.array([], dtype=np.int64)
    for code in rng.permutation(np.unique(batch[known])):
        more = np.concatenate([held, known[batch[known] == code]])
        taken = np.bincount(labels[more], minlength=len(total))
        if len(more) <= len(known) / 3 and (taken <= total / 2).all():
            held = more
        if len(held) >= share * len(known):
            break
    return np.sort(held)
