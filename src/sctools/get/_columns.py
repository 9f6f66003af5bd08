"""Columns of ``obs`` in the types that the data frames promise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from natsort import natsorted

from .._validate import check_single, listing

if TYPE_CHECKING:
    from anndata import AnnData


def recorded_column(
    adata: AnnData, params: dict[str, Any], name: str, key: str
) -> pd.Series | None:
    """Return the ``obs`` column that the result was computed with, ``None`` if it used none."""
    column = params.get(name)
    if column is None:
        return None
    if column not in adata.obs.columns:
        raise KeyError(
            f"The result `adata.uns[{key!r}]` was computed with `{name}={str(column)!r}`, which is "
            f"no longer a column of `adata.obs`. Available: {listing(adata.obs.columns)}. Put the "
            f"column back, or run `sctools.tl.age_clock(adata, key_added={key!r}, …)` again."
        )
    check_single(adata, column)
    return adata.obs[column]


def as_float(values: pd.Series) -> pd.Series:
    """Convert numbers of any dtype (nullable, categorical, object) to float64, missing to NaN."""
    numbers = values.astype(object).where(values.notna().to_numpy(), np.nan)
    try:
        return pd.to_numeric(numbers).astype("float64")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The column {values.name!r} must hold numbers, found dtype {values.dtype} with values "
            f"such as {listing(values.dropna().unique()[:3])}."
        ) from error


def as_groups(values: pd.Series) -> pd.Series:
    """Convert to Categorical with string categories.

    The order of a Categorical is kept (unused categories are dropped) unless it is the alphabetical
    one that pandas gives by default; that, and other values, are natural-sorted.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        used = values.cat.remove_unused_categories()
        names = [str(name) for name in used.cat.categories]
        used = used.cat.rename_categories(names)
        chosen = used.cat.ordered or names != sorted(names)
        return used if chosen else used.cat.reorder_categories(natsorted(names))
    names = values.map(str, na_action="ignore").astype(object)
    categories = natsorted(names.dropna().unique())
    return pd.Series(
        pd.Categorical(names, categories=categories), index=values.index, name=values.name
    )
