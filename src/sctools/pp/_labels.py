"""Class labels of cells, some of which may be unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from natsort import natsorted

from .._validate import check_obs_key, listing

if TYPE_CHECKING:
    from anndata import AnnData


class Labels(NamedTuple):
    """Labels as numbers.

    Attributes
    ----------
    codes
        Position of each cell's class in ``classes``, −1 where unknown; int64 ``(n_obs,)``.
    classes
        Names, natural-sorted.
    """

    codes: np.ndarray
    classes: list[str]


def read_labels(adata: AnnData, labels_key: str, unlabeled_category: str | None) -> Labels:
    """Read the labels to learn from.

    Parameters
    ----------
    adata
        Annotated data.
    labels_key
        Column of ``obs``.
    unlabeled_category
        Label of cells whose class is unknown; missing values then count as unknown too. ``None``
        where every cell has a class.

    Raises
    ------
    KeyError
        There is no such column.
    ValueError
        Labels are missing and there is no ``unlabeled_category``, fewer than two classes, or a
        class with a single cell.
    """
    check_obs_key(adata, labels_key, argument="labels_key")
    column = adata.obs[labels_key]
    missing = column.isna().to_numpy()
    if missing.any() and unlabeled_category is None:
        raise ValueError(
            f"`adata.obs[{labels_key!r}]` (`labels_key`) must have a label for every cell, found "
            f"{int(missing.sum())} missing. Name the label of cells to be predicted, which missing "
            "ones then get too: `unlabeled_category='Unknown'`."
        )
    names = column.astype("string").fillna("").to_numpy(dtype=object)
    unknown = missing if unlabeled_category is None else missing | (names == unlabeled_category)
    classes = natsorted(set(names[~unknown]))
    where = f"`adata.obs[{labels_key!r}]` (`labels_key`)"
    if len(classes) < 2:
        raise ValueError(
            f"{where} must hold at least two classes, found {listing(classes)}"
            + (f" besides {unlabeled_category!r}." if unlabeled_category is not None else ".")
        )
    codes = pd.Index(classes).get_indexer(pd.Index(names))
    codes[unknown] = -1
    n_cells = np.bincount(codes[codes >= 0], minlength=len(classes))
    alone = [name for name, n in zip(classes, n_cells, strict=True) if n < 2]
    if alone:
        raise ValueError(
            f"Every class of {where} needs at least two cells, found one of {listing(alone)}. "
            "Merge such classes with others, or leave their cells out: "
            f"`adata = adata[adata.obs[{labels_key!r}] != {alone[0]!r}].copy()`."
        )
    return Labels(codes.astype(np.int64), classes)
