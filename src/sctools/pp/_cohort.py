"""Who the cells belong to and how old they are: donors, samples and ages from ``obs``."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from .._validate import check_complete, check_obs_key, listing

if TYPE_CHECKING:
    from anndata import AnnData

LARGEST_AGE = 1e12
"""More than a life in milliseconds."""

MIN_DONORS = 3
BOTH_WAYS = (
    "Either give ages (`age_key=`, with `donor_key=`), so that a clock is trained and every donor "
    "is predicted by models that never saw it, or give a trained clock (`model=`), which needs no "
    "ages."
)


class Cohort(NamedTuple):
    """Units of prediction: a unit is a donor, or one sample of it where a sample key is given.

    Attributes
    ----------
    unit
        Unit of every cell, shape (n_obs,), int64.
    names
        Name of every unit.
    donor
        Donor name of every unit.
    sample
        Sample name of every unit, ``None`` without a sample key.
    age
        Age of every unit, NaN where unknown.
    """

    unit: np.ndarray
    names: np.ndarray
    donor: np.ndarray
    sample: np.ndarray | None
    age: np.ndarray

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.names)

    @property
    def donor_code(self) -> np.ndarray:
        """Integer code of every unit's donor."""
        return np.unique(self.donor, return_inverse=True)[1]

    def labelled_donors(self) -> np.ndarray:
        """Names of the donors with a known age, sorted."""
        return np.unique(self.donor[np.isfinite(self.age)])


def read_ages(adata: AnnData, age_key: str) -> np.ndarray:
    """Ages per cell as float64, NaN where missing; raise on what cannot be an age."""
    check_obs_key(adata, age_key, argument="age_key", mend=BOTH_WAYS)
    column = adata.obs[age_key]
    if isinstance(column.dtype, pd.CategoricalDtype) and pd.api.types.is_numeric_dtype(
        column.cat.categories.dtype
    ):
        warnings.warn(
            f"`adata.obs[{age_key!r}]` is Categorical; its categories are numbers and are used as "
            "ages.",
            UserWarning,
            stacklevel=3,
        )
        column = column.astype(float)
    if pd.api.types.is_bool_dtype(column.dtype) or not pd.api.types.is_numeric_dtype(column.dtype):
        raise TypeError(
            f"`adata.obs[{age_key!r}]` must hold numbers, found dtype {column.dtype} with values "
            f"such as {listing(column.dropna().unique()[:3])}. Convert it: "
            f"`adata.obs[{age_key!r}] = pd.to_numeric(adata.obs[{age_key!r}].astype(str))`."
        )
    ages = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(ages).any():
        raise ValueError(f"`adata.obs[{age_key!r}]` must be finite, found infinite ages.")
    if (ages < 0).any():
        raise ValueError(
            f"`adata.obs[{age_key!r}]` must not be negative, found {np.nanmin(ages):g}. Use NaN "
            "for an unknown age; for prenatal samples count from conception."
        )
    check_age_range(ages, age_key)
    return ages


def check_age_range(ages: np.ndarray, key: str) -> None:
    """Raise ``ValueError`` on numbers so large that they overflow in what is computed of ages."""
    largest = np.abs(ages[np.isfinite(ages)]).max(initial=0.0)
    if largest > LARGEST_AGE:
        raise ValueError(
            f"`adata.obs[{key!r}]` must hold ages, found {largest:g}, which is none in any unit of "
            f"time (at most {LARGEST_AGE:g} is taken)."
        )


def _labels(adata: AnnData, key: str, argument: str) -> np.ndarray:
    check_complete(adata, key, argument=argument)
    return adata.obs[key].astype(str).to_numpy(dtype=object)


def read_cohort(
    adata: AnnData, *, age_key: str | None, donor_key: str, sample_key: str | None = None
) -> Cohort:
    """Read units and their ages; raise where a unit has more than one age."""
    donors = _labels(adata, donor_key, "donor_key")
    frame = pd.DataFrame({"donor": donors})
    if sample_key is not None:
        frame["sample"] = _labels(adata, sample_key, "sample_key")
    keys = list(frame.columns)
    grouped = frame.groupby(keys, sort=True)
    unit = grouped.ngroup().to_numpy(dtype=np.int64)
    table = grouped.size().index.to_frame(index=False)
    names = table["donor"] if sample_key is None else table["donor"] + "|" + table["sample"]

    age = np.full(len(table), np.nan)
    if age_key is not None:
        ages = read_ages(adata, age_key)
        low = pd.Series(ages).groupby(unit).min().to_numpy()
        high = pd.Series(ages).groupby(unit).max().to_numpy()
        several = np.flatnonzero(high > low)
        if len(several):
            i = several[0]
            what = "donor" if sample_key is None else "sample"
            mend = (
                "If donors gave several samples, name the column that tells them apart with "
                "`sample_key=`; folds stay by donor."
                if sample_key is None
                else "Each sample must have one age."
            )
            raise ValueError(
                f"{len(several)} {what}s have more than one age in `adata.obs[{age_key!r}]`, for "
                f"example {names[i]!r} with {low[i]:g} and {high[i]:g}. {mend}"
            )
        age = low
    sample = None if sample_key is None else table["sample"].to_numpy(dtype=object)
    return Cohort(
        unit, names.to_numpy(dtype=object), table["donor"].to_numpy(dtype=object), sample, age
    )


def check_trainable(cohort: Cohort, age_key: str) -> None:
    """Raise unless the cohort has enough donors and ages to learn from."""
    known = np.isfinite(cohort.age)
    if not known.any():
        raise ValueError(f"`adata.obs[{age_key!r}]` has no known age. {BOTH_WAYS}")
    n_donors = len(cohort.labelled_donors())
    if n_donors < MIN_DONORS:
        raise ValueError(
            f"Training needs at least {MIN_DONORS} donors with a known age, found {n_donors} "
            f"({listing(cohort.labelled_donors())}). With fewer, apply a trained clock (`model=`)."
        )
    if np.ptp(cohort.age[known]) == 0:
        raise ValueError(
            f"All donors have the same age ({cohort.age[known][0]:g}) in "
            f"`adata.obs[{age_key!r}]`: there is nothing to learn. Apply a trained "
            "clock (`model=`)."
        )
