"""The covariates of an age clock: from ``obs`` columns to codes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._validate import check_obs_key, listing
from ..pp._categories import as_labels, encode

if TYPE_CHECKING:
    from anndata import AnnData

Categories = Mapping[str, list[str]]
"""Labels of each covariate; the cell type's come first if the clock has one."""


def covariate_names(keys: Mapping[str, Any]) -> list[str]:
    """Names of the covariates in a clock's order: the cell type, if any, then the others."""
    first = [keys["cell_type_key"]] if keys.get("cell_type_key") else []
    return [*first, *(keys.get("covariate_keys") or [])]


def n_codes(categories: Categories, keys: Mapping[str, Any]) -> list[int]:
    """Codes of each covariate with one for unknown; the cell type comes first, known or not."""
    sizes = [len(labels) + 1 for labels in categories.values()]
    return sizes if keys.get("cell_type_key") else [1, *sizes]


def read_labels(adata: AnnData, columns: Mapping[str, str | None]) -> pd.DataFrame:
    """Labels of the covariates as strings, missing where unknown; one row per cell."""
    index = pd.RangeIndex(adata.n_obs)
    labels = {
        name: (
            pd.Series(None, index=index, dtype=object)
            if column is None
            else as_labels(adata.obs[column]).set_axis(index)
        )
        for name, column in columns.items()
    }
    return pd.DataFrame(labels, index=index)


def encode_labels(
    labels: pd.DataFrame, categories: Categories, keys: Mapping[str, Any]
) -> np.ndarray:
    """Codes, cells × covariates, int64; a clock without cell types has one code there."""
    codes = [encode(labels[name], categories[name]).codes for name in categories]
    if not keys.get("cell_type_key"):
        codes.insert(0, np.zeros(len(labels), dtype=np.int64))
    return np.column_stack(codes)


def choose_columns(
    adata: AnnData,
    keys: Mapping[str, Any],
    cell_type_key: str | None,
    covariate_keys: Sequence[str] | Mapping[str, str] | None,
) -> dict[str, str | None]:
    """Column of ``adata.obs`` for each of the clock's covariates; ``None``: unknown throughout."""
    if isinstance(covariate_keys, str):
        raise TypeError(
            f"`covariate_keys` must be a list of columns, found the string {covariate_keys!r}. "
            f"Write `covariate_keys=[{covariate_keys!r}]`."
        )
    names = list(keys.get("covariate_keys") or [])
    given: dict[str, str] = {}
    if cell_type_key is not None and keys.get("cell_type_key"):
        given[keys["cell_type_key"]] = cell_type_key
    if isinstance(covariate_keys, Mapping):
        unknown = [name for name in covariate_keys if name not in names]
        if unknown:
            raise KeyError(
                f"The clock has no covariates {listing(unknown)}. It has: {listing(names)}."
            )
        given |= covariate_keys
    elif covariate_keys is not None:
        if len(covariate_keys) != len(names):
            raise ValueError(
                f"Expected {len(names)} covariate columns, for {listing(names)}; found "
                f"{len(covariate_keys)}: {listing(covariate_keys)}."
            )
        given |= dict(zip(names, covariate_keys, strict=True))

    columns: dict[str, str | None] = {}
    for name in covariate_names(keys):
        column = given.get(name)
        if column is not None:
            check_obs_key(adata, column, argument=f"column for {name}")
        columns[name] = column or (name if name in adata.obs.columns else None)
    absent = [name for name, column in columns.items() if column is None]
    if absent:
        warnings.warn(
            f"`adata.obs` lacks {listing(absent)}, which the clock was trained with; they are "
            "treated as unknown for all cells. Name the columns with `cell_type_key=` or "
            "`covariate_keys=`.",
            UserWarning,
            stacklevel=4,
        )
    return columns


def forget_unseen(labels: pd.DataFrame, parts: Sequence[Categories]) -> pd.DataFrame:
    """Labels with those that no part knows set to missing: their names must not matter."""
    known = {name: set().union(*(part[name] for part in parts)) for name in labels.columns}
    return pd.DataFrame(
        {name: labels[name].where(labels[name].isin(known[name]), None) for name in labels.columns},
        index=labels.index,
    )


def warn_of_unseen(labels: pd.DataFrame, parts: Sequence[Categories]) -> None:
    """Warn of labels that no part has seen in training."""
    for name in labels.columns:
        known = sorted(set().union(*(categories[name] for categories in parts)))
        unseen = encode(labels[name], known).unseen
        if unseen:
            warnings.warn(
                f"{len(unseen)} categories of {name!r} were not seen in training and are treated "
                f"as unknown: {listing(unseen)}. Known: {listing(known)}.",
                UserWarning,
                stacklevel=4,
            )
