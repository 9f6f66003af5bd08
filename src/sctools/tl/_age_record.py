"""What :func:`sctools.tl.age_clock` writes: columns, donor table, metrics and how it was done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._keys import AgeClockKeys
from ..pp._cohort import Cohort
from ._age_intervals import interval_metrics
from ._age_metrics import cohort_metrics

if TYPE_CHECKING:
    from anndata import AnnData

    from ..model import AgeClock, LinearClock, PublishedClock
    from ..pp._match_genes import GeneMatch

Result = tuple["AgeClock | LinearClock | PublishedClock", dict[str, Any], dict[str, Any]]
"""The clock, the columns for ``obs`` (by field of the keys) and the record for ``uns``."""


def write_result(
    adata: AnnData, keys: AgeClockKeys, columns: dict[str, Any], record: dict[str, Any]
) -> None:
    for field in ("predicted", "lower", "upper", "acceleration", "fold", "weight"):
        name = getattr(keys, field)
        if field in columns:
            adata.obs[name] = columns[field]
        elif name in adata.obs.columns:  # from an earlier run that knew more
            del adata.obs[name]
    adata.uns[keys.uns] = record


def assess(
    columns: dict[str, Any],
    record: dict[str, Any],
    donors: pd.DataFrame,
    cohort: Cohort,
    *,
    held_out: bool,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Add the donor table and, where ages are known, metrics and accelerations."""
    record["donors"] = donors
    # A clock for some cell types leaves donors without such cells without an age.
    known = donors[donors[["age", "mean_age", "predicted"]].notna().all(axis=1)]
    if len(known) >= 2:
        cells = pd.DataFrame(
            {
                "age": cohort.age[cohort.unit],
                "predicted": columns["predicted"],
                "mean_age": donors["mean_age"].to_numpy()[cohort.unit],
            }
        ).dropna()
        record["metrics"] = cohort_metrics(known, cells, unit=record["age_unit"], held_out=held_out)
        if "lower" in columns:
            bounds = pd.DataFrame({name: columns[name] for name in ("lower", "upper")})
            bounds["donor"] = cohort.donor[cohort.unit]
            record["metrics"]["donor"] |= interval_metrics(known)
            record["metrics"]["cell"] |= interval_metrics(cells.join(bounds))
    if len(known) >= 3 and np.ptp(known["age"]) > 0:
        slope, intercept = np.polyfit(known["age"], known["predicted"], 1)
        record["acceleration"] = {"intercept": float(intercept), "slope": float(slope)}
        expected = intercept + slope * cohort.age
        donors["acceleration"] = donors["predicted"] - expected
        columns["acceleration"] = columns["predicted"] - expected[cohort.unit]
    return columns, record


def donor_table(
    cohort: Cohort, predicted: np.ndarray, specific: np.ndarray, mean_age: np.ndarray
) -> pd.DataFrame:
    n_cells = np.bincount(cohort.unit, minlength=cohort.n_units)
    table = pd.DataFrame({"donor": cohort.donor}, index=pd.Index(cohort.names, name="unit"))
    if cohort.sample is not None:
        table["sample"] = cohort.sample
    table["age"] = cohort.age
    table["predicted"] = _unit_means(predicted, cohort)
    table["borrowed"] = _unit_means(predicted - specific, cohort)
    table["mean_age"] = mean_age
    table["acceleration"] = np.nan
    table["n_cells"] = n_cells
    return table


def cross_fitted_tables(
    cohort: Cohort, fold: np.ndarray, n_folds: int, predicted: np.ndarray, specific: np.ndarray
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Columns for ``obs`` and the donor table of predictions by the other folds.

    Parameters
    ----------
    cohort
        Donors or samples.
    fold
        Fold of every unit, negative for donors that all folds left out.
    n_folds
        Number of folds.
    predicted, specific
        Age of every cell, and what is said of its cell type by itself (NaN where nothing is).
    """
    known, mean_age = np.isfinite(cohort.age), np.full(cohort.n_units, np.nan)
    for k in np.unique(fold):
        mean_age[fold == k] = cohort.age[(fold != k) & known].mean()
    labels = np.array([None if k < 0 else str(k) for k in fold], dtype=object)
    folds = [str(k) for k in range(n_folds)]
    columns = {"predicted": predicted, "fold": pd.Categorical(labels[cohort.unit], folds)}
    donors = donor_table(cohort, predicted, specific, mean_age)
    donors.insert(donors.columns.get_loc("n_cells"), "fold", pd.Categorical(labels, folds))
    return columns, donors


def _unit_means(values: np.ndarray, cohort: Cohort) -> np.ndarray:
    """Mean over the cells of each unit that have a value, NaN where none has."""
    has = np.isfinite(values)
    n_cells = np.bincount(cohort.unit[has], minlength=cohort.n_units)
    total = np.bincount(cohort.unit[has], weights=values[has], minlength=cohort.n_units)
    return np.where(n_cells > 0, total / np.maximum(n_cells, 1), np.nan)


def training_table(clocks: Sequence[AgeClock]) -> pd.DataFrame:
    tables = []
    for k, clock in enumerate(clocks):
        table = pd.concat(clock.history.values(), axis=1).astype(float)
        table.insert(0, "epoch", np.arange(len(table)))
        table.insert(0, "fold", str(k))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def gene_coverage(
    clock: AgeClock | LinearClock | PublishedClock,
    adata: AnnData,
    gene_key: str | None,
    min_coverage: float,
) -> dict[str, Any]:
    return match_coverage(clock.match_genes(adata, gene_key=gene_key, min_coverage=min_coverage))


def match_coverage(match: GeneMatch) -> dict[str, Any]:
    return {
        "n_genes": match.n_genes,
        "n_found": match.n_found,
        "fraction": match.fraction,
        "id_type": match.id_type,
    }
