"""Mean attention of groups of cells to the tokens, in the order in which a figure shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from .._keys import SRSAVAEKeys
from .._validate import check_obs_key, listing
from ..get._columns import as_groups

if TYPE_CHECKING:
    from anndata import AnnData

_UNUSED = 0.1
"""A token is unused if no group gives it this fraction of an even share, 1 / number of tokens."""

_UNSPECIFIC = 0.1
"""A token tells no group apart if its highest lift is below this fraction of that of any token."""

_PRIOR_CELLS = 10
"""Average cells added to each group for the order of tokens, or one of few cells draws them all."""

_LEAST = 1e-9
"""Stands for a mean attention of zero, so that its lift can be drawn."""

_MAX_NUMBERS = 50
_MAX_GROUPS = 300
"""More values than these in a column of numbers, or any column, are no groups to draw."""


class AttentionTable(NamedTuple):
    """Rows are groups, columns are the tokens shown, in the order of the figure."""

    mean: pd.DataFrame  # mean attention of the group's cells, float64
    lift: pd.DataFrame  # log2 of that over the mean of all cells
    n_cells: pd.Series  # per group
    n_tokens: int  # of the model
    n_unused: int  # of them, left out


def attention_table(
    adata: AnnData, params: dict[str, Any], key: str, groupby: str, n_tokens: int | None
) -> AttentionTable:
    """Average the attention over each group, leave tokens out and order the others.

    A token stands in the order of the group that attends to it most, compared with all cells:
    groups down the rows and tokens along the columns then run diagonally. Tokens that tell no group
    apart would interrupt this and come last.
    """
    attention = _check_attention(adata, params, key)
    groups = _check_groups(adata, groupby)
    names, codes = list(groups.cat.categories), groups.cat.codes.to_numpy()

    overall = attention.mean(axis=0, dtype="float64")
    mean = np.stack(
        [attention[codes == i].mean(axis=0, dtype="float64") for i in range(len(names))]
    )
    with np.errstate(divide="ignore"):
        lift = np.log2(np.maximum(mean, _LEAST) / overall)

    # By groups, so that the token of a rare type is kept however little it weighs among all cells.
    used = np.flatnonzero(mean.max(axis=0) >= _UNUSED / attention.shape[1])
    shown = used
    if n_tokens is not None and n_tokens < len(used):
        shown = used[np.argsort(-overall[used], kind="stable")[:n_tokens]]
    n_cells = np.bincount(codes[codes >= 0], minlength=len(names))
    shown = shown[_order(mean[:, shown], overall[shown], n_cells)]

    index = pd.Index(names, name=groupby)
    columns = pd.Index([str(token) for token in shown], name="token")
    return AttentionTable(
        mean=pd.DataFrame(mean[:, shown], index, columns),
        lift=pd.DataFrame(lift[:, shown], index, columns),
        n_cells=pd.Series(n_cells, index),
        n_tokens=attention.shape[1],
        n_unused=attention.shape[1] - len(used),
    )


def _order(mean: np.ndarray, overall: np.ndarray, n_cells: np.ndarray) -> np.ndarray:
    """Order the columns of ``mean`` (groups × tokens)."""
    weight = (n_cells / (n_cells + _PRIOR_CELLS))[:, None]
    lift = np.log2(np.maximum(weight * mean + (1 - weight) * overall, _LEAST) / overall)
    highest = lift.max(axis=0)
    unspecific = highest < _UNSPECIFIC * highest.max()
    return np.lexsort((-highest, lift.argmax(axis=0), unspecific))


def check_groupby(adata: AnnData, params: dict[str, Any], groupby: str | None, key: str) -> str:
    """Return the column to group by: the given one, the labels of training, the components."""
    if groupby is not None:
        check_obs_key(adata, groupby, argument="groupby")
        return groupby
    labels = params.get("labels_key")
    if labels is not None:
        check_obs_key(
            adata,
            labels,
            argument="labels_key",
            mend=f"The result {key!r} was computed with it. Name another column with `groupby=…`. "
            "If it is at the top of a MuData, bring it here: "
            f"`adata.obs[{labels!r}] = mdata.obs[{labels!r}]`.",
        )
        return str(labels)
    component = SRSAVAEKeys.of(key).component
    if component in adata.obs.columns:
        return component
    raise ValueError(
        f"The result {key!r} has neither labels nor mixture components to group the cells by. "
        f"Name a column of `adata.obs`: `groupby=…`. Candidates: {listing(_groupings(adata))}. "
        "Without one, cluster the cells first: `sc.pp.neighbors(adata, "
        f"use_rep={SRSAVAEKeys.of(key).latent!r})` and `sc.tl.leiden(adata)` write 'leiden'."
    )


def check_n_tokens(n_tokens: object) -> None:
    """Raise ``ValueError`` unless this is None or a positive integer."""
    if n_tokens is not None and (not isinstance(n_tokens, int | np.integer) or n_tokens < 1):
        raise ValueError(f"`n_tokens` must be a positive integer or None, found {n_tokens!r}.")


def _check_attention(adata: AnnData, params: dict[str, Any], key: str) -> np.ndarray:
    """Return the attention, float (n_obs, n_tokens)."""
    name = SRSAVAEKeys.of(key).attention
    kind = params.get("attention")
    if kind in ("none", "minibatch"):
        raise ValueError(
            f"The result {key!r} has no attention to tokens that could be drawn: it was computed "
            f"with `attention={str(kind)!r}`. Run "
            f"`sctools.tl.srsa_vae(adata, attention='memory', key_added={key!r})` for one that has."
        )
    if name not in adata.obsm:
        raise KeyError(
            f"`adata.obsm[{name!r}]` is missing, in which the result {key!r} keeps its attention. "
            f"Available: {listing(adata.obsm)}. Put it back, or run "
            f"`sctools.tl.srsa_vae(adata, attention='memory', key_added={key!r})`."
        )
    attention = np.asarray(adata.obsm[name])
    rerun = f"Run `sctools.tl.srsa_vae(adata, key_added={key!r})` again."
    if attention.ndim != 2 or len(attention) != adata.n_obs or attention.dtype.kind != "f":
        raise ValueError(
            f"`adata.obsm[{name!r}]` must hold floating-point numbers, one row per cell and one "
            f"column per token: expected shape ({adata.n_obs}, n_tokens), found "
            f"{attention.shape} of dtype {attention.dtype}. {rerun}"
        )
    total = attention.sum(axis=1, dtype="float64")
    # Half precision leaves errors of a few thousandths; NaN fails as well.
    wrong = ~((np.abs(total - 1) <= 0.01) & (attention >= 0).all(axis=1))
    if wrong.any():
        first = adata.obs_names[int(np.argmax(wrong))]
        raise ValueError(
            f"Rows of `adata.obsm[{name!r}]` must be shares: not negative, with sum one. "
            f"{wrong.sum():,} of {len(wrong):,} are not, the first that of cell {first!r} with sum "
            f"{total[wrong][0]:.3g}. {rerun}"
        )
    return attention


def _check_groups(adata: AnnData, groupby: str) -> pd.Series:
    column = adata.obs[groupby]
    if not _is_grouping(column):
        known = column.dropna()
        found = f"{known.nunique():,} different values of dtype {column.dtype}"
        raise ValueError(
            f"`groupby={groupby!r}` must name a column of groups, found {found}. Bin numbers, as "
            f"by `pd.qcut(adata.obs[{groupby!r}], 5)`. Candidates: {listing(_groupings(adata))}."
        )
    groups = as_groups(column)
    if len(groups.cat.categories) == 0:
        raise ValueError(
            f"No cell has a group in `adata.obs[{groupby!r}]`. Name another column: `groupby=…`."
        )
    return groups


def _groupings(adata: AnnData) -> list[str]:
    columns = adata.obs.columns
    return [name for i, name in enumerate(columns) if _is_grouping(adata.obs.iloc[:, i])]


def _is_grouping(column: pd.Series) -> bool:
    """Tell whether a column has few enough values for one row each."""
    numbers = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    numbers |= pd.api.types.is_datetime64_any_dtype(column)
    return bool(column.nunique() <= (_MAX_NUMBERS if numbers else _MAX_GROUPS))
