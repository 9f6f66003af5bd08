"""Categorical covariates from any ``obs`` column, with a slot for what a model has not seen."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from natsort import natsorted


class Encoded(NamedTuple):
    """Integer codes of a covariate; ``len(categories)`` stands for unknown."""

    codes: np.ndarray
    unseen: list[str]


def as_labels(column: pd.Series) -> pd.Series:
    """Return ``column`` as strings with missing values kept; refuse continuous numbers."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        dtype = dtype.categories.dtype
    if pd.api.types.is_float_dtype(dtype):
        raise ValueError(
            f"Covariate {column.name!r} holds floating-point numbers; expected categories. Bin it "
            f"first, for example `adata.obs[{column.name!r} + '_bin'] = "
            f"pd.cut(adata.obs[{column.name!r}], 5).astype(str)`."
        )
    values = column.astype(object)  # not the categories' dtype: integers have no missing value
    missing = values.isna()
    return values.astype(str).where(~missing, None)


def categories_of(column: pd.Series) -> list[str]:
    """Natural-sorted labels that occur in ``column``."""
    return natsorted(as_labels(column).dropna().unique().tolist())


def encode(column: pd.Series, categories: list[str]) -> Encoded:
    """Code ``column`` by ``categories``; missing and unseen labels get ``len(categories)``."""
    labels = as_labels(column)
    index = pd.Index(categories, dtype=object)
    codes = index.get_indexer(pd.Index(labels, dtype=object))
    unseen = natsorted(labels[(codes < 0) & labels.notna().to_numpy()].unique().tolist())
    return Encoded(np.where(codes < 0, len(categories), codes).astype(np.int64), unseen)
