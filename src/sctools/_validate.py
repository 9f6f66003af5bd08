"""Checks of user input. Each message says what was expected, what was found and what mends it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from anndata import AnnData


def listing(names: Iterable[object], limit: int = 12) -> str:
    """Join names for a message, shortened after ``limit`` of them."""
    texts = [repr(name) for name in names]
    if not texts:
        return "none"
    more = f", … ({len(texts)} in all)" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + more


def check_adata(adata: object) -> None:
    """Raise ``TypeError`` unless this is AnnData."""
    from anndata import AnnData

    if not isinstance(adata, AnnData):
        kind = type(adata).__name__
        mend = " Pass one of its modalities: `mdata.mod['rna']`." if kind == "MuData" else ""
        raise TypeError(f"Expected AnnData, found {kind}.{mend}")


def check_obs_key(adata: AnnData, key: Any, *, argument: str, mend: str = "") -> None:
    """Raise ``KeyError`` unless ``adata.obs`` has the column, ``ValueError`` where it has two."""
    if not isinstance(key, str) or key not in adata.obs.columns:
        raise KeyError(
            f"`{argument}={key!r}` is not a column of `adata.obs`. "
            f"Available: {listing(adata.obs.columns)}. {mend}".rstrip()
        )
    check_single(adata, key)


def check_single(adata: AnnData, key: str) -> None:
    """Raise ``ValueError`` where several columns of ``adata.obs`` have the name ``key``."""
    n_columns = sum(name == key for name in adata.obs.columns)
    if n_columns > 1:
        raise ValueError(
            f"`adata.obs` must have one column {key!r}, found {n_columns} of this name. Keep the "
            "first of each: `adata.obs = adata.obs.loc[:, ~adata.obs.columns.duplicated()]`."
        )


def check_complete(adata: AnnData, key: str, *, argument: str) -> None:
    """Raise unless ``adata.obs`` has the column ``key``, without a missing value."""
    check_obs_key(adata, key, argument=argument)
    missing = int(adata.obs[key].isna().sum())
    if missing:
        raise ValueError(
            f"`adata.obs[{key!r}]` (`{argument}`) is missing for {missing} of {adata.n_obs} cells. "
            f"Remove these cells (`adata = adata[adata.obs[{key!r}].notna()].copy()`) or fill it "
            "in."
        )


def check_key_added(adata: AnnData, key: object, columns: Iterable[str] = ()) -> str:
    """Return ``key`` if a result can be stored under it; raise ``ValueError`` otherwise.

    Parameters
    ----------
    adata
        Annotated data that the result is for.
    key
        The user's ``key_added``.
    columns
        Names in ``obs`` and ``obsm`` that the result will have. They may be there from an earlier
        result under the same key, and from nothing else.
    """
    if not isinstance(key, str) or not key or "/" in key:
        raise ValueError(
            f"`key_added` must be a name without '/', which files use for folders; found {key!r}."
        )
    found = adata.uns.get(key)
    earlier = isinstance(found, Mapping) and "params" in found
    if found is not None and not earlier:
        raise ValueError(
            f"`key_added={key!r}` would overwrite `adata.uns[{key!r}]`, which is no result of this "
            "tool. Choose another name."
        )
    for name in columns:
        where = "obs" if name in adata.obs.columns else "obsm" if name in adata.obsm else None
        if where and not earlier:
            raise ValueError(
                f"`key_added={key!r}` would overwrite `adata.{where}[{name!r}]`, which is no "
                "result of this tool. Choose another name."
            )
    return key


def check_writable(adata: AnnData, *, copy: bool) -> None:
    """Raise ``ValueError`` where no results can be written: views of backed files, lazy columns."""
    for name in ("obs", "var"):
        if not isinstance(getattr(adata, name), pd.DataFrame):
            raise ValueError(
                f"`adata.{name}` is lazy: results are written to columns in memory. Read them "
                "first, the matrix may stay where it is: `adata.obs = adata.obs.to_memory(); "
                "adata.var = adata.var.to_memory()`."
            )
    if adata.isbacked and adata.is_view and not copy:
        raise ValueError(
            "Results cannot be written to a view of a backed file. Load it first: "
            "`adata = adata.to_memory()`."
        )


def check_result(adata: AnnData, key: Any, *, tool: str) -> dict:
    """Return ``adata.uns[key]``, or raise ``KeyError`` naming the tool that writes it."""
    result = adata.uns.get(key) if isinstance(key, str) else None
    if not isinstance(result, dict) or "params" not in result:
        found = [k for k, v in adata.uns.items() if isinstance(v, dict) and "params" in v]
        raise KeyError(
            f"No result under `adata.uns[{key!r}]`. Available results: {listing(found)}. "
            f"Run `sctools.tl.{tool}(adata, key_added={key!r})` first, or pass the `key` it used."
        )
    return result
