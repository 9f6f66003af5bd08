"""Prediction intervals of an age clock, from the errors that its fold clocks made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ._conformal import HeldOutErrors, least_donors, radii_from_others

MIN_DONORS = 20
"""A cell type has intervals of its own where at least so many held-out donors have it."""

N_KEPT = 500
"""Errors kept for each cell type; with more, they stand for equal shares of the donors."""

LEAST_FACTOR = 0.5
"""An average of clocks is never taken to be better than this, times the error of one."""


class HeldOut(NamedTuple):
    """Predictions for donors by the fold clock that never saw them: of units, or of cells.

    Attributes
    ----------
    error
        Absolute error, NaN where the age is unknown.
    donor
        Code of the donor.
    fold
        Number of the fold clock.
    by_fold
        Predictions of all fold clocks, fold clocks × items.
    label
        Cell type, missing where unknown; ``None`` where there are none.
    """

    error: np.ndarray
    donor: np.ndarray
    fold: np.ndarray
    by_fold: np.ndarray
    label: np.ndarray | None = None

    def known(self) -> HeldOut:
        """Those whose age is known."""
        return self.where(np.isfinite(self.error))

    def where(self, chosen: np.ndarray) -> HeldOut:
        """Those chosen."""
        label = None if self.label is None else self.label[chosen]
        return HeldOut(
            self.error[chosen],
            self.donor[chosen],
            self.fold[chosen],
            self.by_fold[:, chosen],
            label,
        )

    def of_average(self) -> HeldOutErrors:
        """Errors that the average of the fold clocks would make on new donors."""
        errors = HeldOutErrors.of(self.error, self.donor)
        return errors.times(average_factor(self)).thinned(N_KEPT)


class AgeIntervals(NamedTuple):
    """What a clock keeps of its held-out donors to give intervals for new ones.

    Attributes
    ----------
    donors
        Errors of donors (or samples).
    cells
        Errors of cells: a cell's prediction against the age of its donor.
    cell_types
        The same within each cell type that enough donors have.
    """

    donors: HeldOutErrors
    cells: HeldOutErrors
    cell_types: dict[str, HeldOutErrors]

    @classmethod
    def fit(cls, units: HeldOut, cells: HeldOut) -> AgeIntervals:
        """Learn the errors of the average of fold clocks from those of each."""
        units, cells = units.known(), cells.known()
        cell_types = {
            name: cells.where(rows).of_average()
            for name, rows in _by_label(cells.label)
            if len(np.unique(cells.donor[rows])) >= MIN_DONORS
        }
        return cls(units.of_average(), cells.of_average(), cell_types)

    def cell_radii(self, label: np.ndarray | None, n_cells: int, level: float) -> np.ndarray:
        """Half width for each cell of new donors, NaN where there were too few donors."""
        radii = np.full(n_cells, self.cells.radius(level))
        for name, rows in _by_label(label):
            own = self.cell_types.get(name)
            if own is not None and own.n_donors >= least_donors(level):
                radii[rows] = own.radius(level)
        return radii

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a file."""
        return {
            "donors": self.donors.to_dict(),
            "cells": self.cells.to_dict(),
            "cell_types": {name: own.to_dict() for name, own in self.cell_types.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AgeIntervals:
        """Read what :meth:`to_dict` wrote."""
        return cls(
            HeldOutErrors.from_dict(values["donors"]),
            HeldOutErrors.from_dict(values["cells"]),
            {name: HeldOutErrors.from_dict(own) for name, own in values["cell_types"].items()},
        )


def held_out_radii(held_out: HeldOut, level: float) -> np.ndarray:
    """Half width for each item from the errors of all donors but its own.

    Parameters
    ----------
    held_out
        Units or cells; cells within their type where enough other donors have it.
    level
        Share of the donors that the intervals should cover.

    Returns
    -------
    Float64; NaN for donors without a known error, and where there are too few others.
    """
    everything = np.ones(len(held_out.error), dtype=bool)
    radii = _radii_within(held_out, everything, level)
    for _, rows in _by_label(held_out.label):
        known = rows & np.isfinite(held_out.error)
        if len(np.unique(held_out.donor[known])) > max(MIN_DONORS, least_donors(level)):
            own = _radii_within(held_out, rows, level)
            radii = np.where(rows & np.isfinite(own), own, radii)
    return radii


def average_factor(held_out: HeldOut) -> float:
    """How much smaller the errors of the average of the fold clocks are than those of each.

    For any donor the squared error of a fold clock is, on average over the fold clocks, that of
    their average plus their variance. Their variance for a donor is taken from those that were
    trained on it: this donor draws all of these alike. One clock of two says nothing of it.

    Parameters
    ----------
    held_out
        Units or cells with known errors. Donors count alike.

    Returns
    -------
    Factor between ``LEAST_FACTOR`` and 1.
    """
    n_folds = len(held_out.by_fold)
    if n_folds < 3:
        return 1.0
    trained_on = np.arange(n_folds)[:, None] != held_out.fold
    variance = np.var(held_out.by_fold, axis=0, ddof=1, where=trained_on)
    code = np.unique(held_out.donor, return_inverse=True)[1]
    weight = 1 / np.bincount(code)[code]
    squared = float(weight @ held_out.error**2)
    if squared == 0:
        return 1.0
    gain = (n_folds - 1) / n_folds * float(weight @ variance) / squared
    return float(np.sqrt(np.clip(1 - gain, LEAST_FACTOR**2, 1)))


def _by_label(label: np.ndarray | None) -> Iterator[tuple[str, np.ndarray]]:
    """Each label with the rows that have it; missing ones are left out."""
    if label is None:
        return
    code, names = pd.factorize(label)
    for k, name in enumerate(names):
        yield str(name), code == k


def _radii_within(held_out: HeldOut, rows: np.ndarray, level: float) -> np.ndarray:
    """Half width by donor from the errors in ``rows``, spread over all items."""
    known = rows & np.isfinite(held_out.error)
    donors, code = np.unique(held_out.donor[known], return_inverse=True)
    by_donor = np.full(int(held_out.donor.max()) + 1, np.nan)
    by_donor[donors] = radii_from_others(held_out.error[known], code, level)
    return by_donor[held_out.donor]
