"""The cells whose true label says how good a prior transformer's answers are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from .._keys import PriorKeys
from .._validate import check_obs_key, listing
from ..get._prior_result import check_prior, names_of

if TYPE_CHECKING:
    from anndata import AnnData

SPLITS = ("validation", "train", "unlabeled", "all")


class AnsweredCells(NamedTuple):
    """Cells with a true label, and those that the model should know."""

    number: np.ndarray  # (n,), which cells of adata
    label: np.ndarray  # (n,), true labels as text
    known: np.ndarray  # (n,), whether the label is a class of the model
    classes: list[str]
    title: str  # how many, and which


def answered_cells(
    adata: AnnData, key: str, labels_key: str | None, split: str | None
) -> AnsweredCells:
    """Choose the cells that the model did not train on, or those of ``split``.

    Cells without a label, or with the one that stands for none, are left out.
    """
    result = check_prior(adata, key)
    params = result["params"]
    labels_key = _check_labels_key(adata, params, key, labels_key)
    chosen, kind = _check_split(adata, key, split)

    column = adata.obs[labels_key]
    labels = column.astype(object).map(str, na_action="ignore")
    labelled = column.notna() & (labels != str(params.get("unlabeled_category", np.nan)))
    number = np.flatnonzero(chosen & labelled.to_numpy())
    if len(number) == 0:
        raise ValueError(
            f"None of the {int(chosen.sum()):,} {kind}cells has a label in "
            f"`adata.obs[{labels_key!r}]`. Name the column of true labels: `labels_key=…`."
        )
    classes = names_of(result.get("classes", ()))
    label = labels.to_numpy(dtype=object)[number]
    known = np.isin(label.astype(str), np.array(classes, dtype=str))
    cells = "cell" if len(number) == 1 else "cells"
    return AnsweredCells(number, label, known, classes, f"{len(number):,} {kind}{cells}")


def _check_labels_key(
    adata: AnnData, params: dict[str, Any], key: str, labels_key: str | None
) -> str:
    if labels_key is not None:
        check_obs_key(adata, labels_key, argument="labels_key")
        return labels_key
    recorded = params.get("labels_key")
    if recorded is None:
        raise ValueError(
            f"The result {key!r} was computed without labels: a given model was applied. Name the "
            "column of `adata.obs` with the true ones: `labels_key=…`. Available: "
            f"{listing(adata.obs.columns)}."
        )
    check_obs_key(
        adata,
        str(recorded),
        argument="labels_key",
        mend=f"The result {key!r} was computed with it. Name another column with `labels_key=…`.",
    )
    return str(recorded)


def _check_split(adata: AnnData, key: str, split: str | None) -> tuple[np.ndarray, str]:
    """Return which cells to take, and what they are called."""
    name = PriorKeys.of(key).split
    if split is not None and split not in SPLITS:
        raise ValueError(f"`split` must be None or one of {listing(SPLITS)}, found {split!r}.")
    if split == "all" or (split is None and name not in adata.obs.columns):
        return np.ones(adata.n_obs, dtype=bool), ""
    if name not in adata.obs.columns:
        raise ValueError(
            f"`split={split!r}` needs `adata.obs[{name!r}]`, which is not there: a given model was "
            "applied, and all cells are new to it. Leave `split` out."
        )
    values = adata.obs[name].astype(object).to_numpy()
    wanted = split or "validation"
    chosen = values == wanted
    if not chosen.any():
        raise ValueError(
            f"No cell of `adata.obs[{name!r}]` is {wanted!r}"
            + (": none was held out from training. " if wanted == "validation" else ". ")
            + f"Available: {listing(pd.unique(values))}. Train with a validation set, apply the "
            "model to other cells, or choose cells with `split=…`; those of 'train' flatter the "
            "model."
        )
    return chosen, f"{wanted} "


def check_column(adata: AnnData, key: str, name: str) -> pd.Series:
    """Return a column that the tool wrote; raise ``KeyError`` if it is gone."""
    check_obs_key(
        adata,
        name,
        argument="key",
        mend=f"Run `sctools.tl.prior_transformer(adata, …, key_added={key!r})` again.",
    )
    return adata.obs[name]
