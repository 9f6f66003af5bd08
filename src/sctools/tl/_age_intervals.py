"""Intervals around predicted ages: what :func:`sctools.tl.age_clock` writes of them."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..pp._categories import as_labels
from ..pp._cohort import Cohort

if TYPE_CHECKING:
    from anndata import AnnData

    from ..model import AgeClock
    from ..model._age_intervals import AgeIntervals

logger = logging.getLogger("sctools")


def check_level(level: Any) -> None:
    """Raise ``ValueError`` unless ``level`` is a share of donors."""
    number = isinstance(level, int | float | np.integer | np.floating)
    if isinstance(level, bool) or not number or not 0 < level < 1:
        raise ValueError(
            f"`level`, the share of donors that intervals cover, must lie between 0 and 1, such as "
            f"0.9; found {level!r}."
        )


def cross_fitted_intervals(
    adata: AnnData,
    columns: dict[str, Any],
    donors: pd.DataFrame,
    cohort: Cohort,
    *,
    fold: np.ndarray,
    by_fold: np.ndarray,
    cell_type_key: str | None,
    level: float,
) -> AgeIntervals:
    """Add intervals to ``columns`` and ``donors``; return what a clock needs for new donors.

    Parameters
    ----------
    adata
        The cells.
    columns
        Columns for ``obs``, with ``"predicted"``.
    donors
        Donor table.
    cohort
        Donors or samples.
    fold
        Fold of every unit, negative for donors that all fold clocks left out.
    by_fold
        Predictions of all fold clocks for every cell, fold clocks × cells.
    cell_type_key
        Column with cell types.
    level
        Share of the donors to cover.
    """
    from ..model._age_intervals import AgeIntervals, HeldOut, held_out_radii

    donor, unit = cohort.donor_code, cohort.unit
    unit_by_fold = np.array([np.bincount(unit, weights=ages) for ages in by_fold])
    units = HeldOut(
        error=np.abs(donors["predicted"].to_numpy() - cohort.age),
        donor=donor,
        fold=fold,
        by_fold=unit_by_fold / np.bincount(unit),
    )
    cells = HeldOut(
        error=np.abs(columns["predicted"] - cohort.age[unit]),
        donor=donor[unit],
        fold=fold[unit],
        by_fold=by_fold,
        label=_cell_types(adata, cell_type_key),
    )
    intervals = AgeIntervals.fit(units, cells)
    held_out = fold >= 0
    n_others = len(np.unique(donor[held_out])) - 1
    _tell_of_few(n_others, level, "other donors")
    radii = held_out_radii(units, level), held_out_radii(cells, level)
    new = _new_radii(intervals, cohort, cells.label, level)
    chosen = (held_out, held_out[unit])
    _add_bounds(columns, donors, *map(np.where, chosen, radii, new))
    return intervals


def new_intervals(
    clock: AgeClock,
    adata: AnnData,
    columns: dict[str, Any],
    donors: pd.DataFrame,
    cohort: Cohort,
    *,
    cell_type_key: str | None,
    level: float,
) -> None:
    """Add intervals of a given clock to ``columns`` and ``donors``.

    Parameters
    ----------
    clock
        The clock.
    adata
        The cells.
    columns
        Columns for ``obs``, with ``"predicted"``.
    donors
        Donor table.
    cohort
        Donors or samples, none of which the clock is taken to have seen.
    cell_type_key
        Column with cell types.
    level
        Share of the donors to cover.
    """
    if clock.intervals is None:
        logger.warning(
            "The clock has no errors on held-out donors, from which intervals are made: they are "
            "NaN. Clocks from `sctools.tl.age_clock(…, return_model=True)` have them."
        )
        nothing = np.full(cohort.n_units, np.nan), np.full(adata.n_obs, np.nan)
        _add_bounds(columns, donors, *nothing)
        return
    _tell_of_few(clock.intervals.donors.n_donors, level, "donors held out in its training")
    label = _cell_types(adata, cell_type_key) if clock.intervals.cell_types else None
    _add_bounds(columns, donors, *_new_radii(clock.intervals, cohort, label, level))


def interval_metrics(table: pd.DataFrame) -> dict[str, float]:
    """Share of the donors whose age lies in its interval, and the median width.

    Parameters
    ----------
    table
        One row per donor, sample or cell with a known age: ``donor``, ``age``, ``lower``,
        ``upper``. Donors count alike.

    Returns
    -------
    ``coverage`` and ``width``; nothing where there are no intervals.
    """
    table = table.dropna(subset=["lower", "upper"])
    if table.empty:
        return {}
    inside = (table["lower"] <= table["age"]) & (table["age"] <= table["upper"])
    by_donor = inside.groupby(table["donor"].to_numpy()).mean()
    return {
        "coverage": float(by_donor.mean()),
        "width": float((table["upper"] - table["lower"]).median()),
    }


def _cell_types(adata: AnnData, cell_type_key: str | None) -> np.ndarray | None:
    return None if cell_type_key is None else as_labels(adata.obs[cell_type_key]).to_numpy()


def _new_radii(
    intervals: AgeIntervals, cohort: Cohort, label: np.ndarray | None, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Half width for units and for cells of donors that no fold clock saw."""
    of_units = np.full(cohort.n_units, intervals.donors.radius(level))
    return of_units, intervals.cell_radii(label, len(cohort.unit), level)


def _add_bounds(
    columns: dict[str, Any],
    donors: pd.DataFrame,
    unit_radii: np.ndarray,
    cell_radii: np.ndarray,
) -> None:
    columns["lower"], columns["upper"] = _bounds(columns["predicted"], cell_radii)
    lower, upper = _bounds(donors["predicted"].to_numpy(), unit_radii)
    after = donors.columns.get_loc("predicted") + 1
    donors.insert(after, "lower", lower)
    donors.insert(after + 1, "upper", upper)


def _bounds(predicted: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds; no age is negative, so neither is a bound below a prediction."""
    return np.maximum(predicted - radius, np.minimum(predicted, 0.0)), predicted + radius


def _tell_of_few(n_donors: int, level: float, what: str) -> None:
    """Warn where there are too few held-out donors for this level."""
    from ..model._conformal import highest_level, least_donors

    least = least_donors(level)
    if n_donors < least:
        highest = math.floor(1000 * highest_level(n_donors) + 1e-6) / 1000
        logger.warning(
            "Intervals at level %g need at least %d %s with a known age, found %d: they are NaN. "
            "These allow levels up to `level=%g`.",
            level, least, what, n_donors, highest,
        )  # fmt: skip
