"""What a published clock was trained further on, for its files and for results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class FurtherTraining(NamedTuple):
    """One further training of a published clock; ``None`` where a number is not known.

    Attributes
    ----------
    n_epochs
        Passes through the cells.
    n_cells
        Cells with an age, which were trained on.
    n_donors
        Donors that these came from.
    """

    n_epochs: int | None
    n_cells: int | None
    n_donors: int | None


def read_further_training(
    described: Sequence[Mapping[str, int | None]] | None, n_trained_on: int
) -> list[FurtherTraining]:
    """Further trainings of a saved clock.

    Parameters
    ----------
    described
        What its file says of them; ``None`` in older files, which do not list them.
    n_trained_on
        Donors that it lists; in an older file there are some only after a further training.
    """
    if described is None:
        return [FurtherTraining(None, None, n_trained_on)] if n_trained_on else []
    return [FurtherTraining(**training) for training in described]


def recorded_training(trainings: Sequence[FurtherTraining]) -> dict[str, list[Any]] | None:
    """Numbers by name, one per training, NaN where not known; ``None`` if there was no training."""
    if not trainings:
        return None
    return {
        name: [math.nan if number is None else number for number in numbers]
        for name, numbers in zip(FurtherTraining._fields, zip(*trainings, strict=True), strict=True)
    }
