"""Checks of user input. Each message says what was expected, what was found and what mends it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anndata import AnnData


def listing(names: Iterable[object], limit: int = 12) -> str:
    """Join names for a message, shortened after ``limit`` of them."""
    texts = [repr(name) for name in names]
    if not texts:
        return "none"
    more = f", … ({len(texts)} in all)" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + more


def check_obs_key(adata: AnnData, key: str, *, argument: str, mend: str = "") -> None:
    """Raise ``KeyError`` unless ``adata.obs`` has the column ``key``."""
    if key not in adata.obs.columns:
        raise KeyError(
            f"`{argument}={key!r}` is not a column of `adata.obs`. "
            f"Available: {listing(adata.obs.columns)}. {mend}".rstrip()
        )


def check_result(adata: AnnData, key: str, *, tool: str) -> dict:
    """Return ``adata.uns[key]``, or raise ``KeyError`` naming the tool that writes it."""
    result = adata.uns.get(key)
    if not isinstance(result, dict) or "params" not in result:
        found = [k for k, v in adata.uns.items() if isinstance(v, dict) and "params" in v]
        raise KeyError(
            f"No result under `adata.uns[{key!r}]`. Available results: {listing(found)}. "
            f"Run `sctools.tl.{tool}(adata, key_added={key!r})` first, or pass the `key` it used."
        )
    return result
