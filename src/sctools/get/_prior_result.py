"""Edges and attention of a prior transformer, checked for what their readers rely on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from .._validate import check_result, listing

if TYPE_CHECKING:
    from anndata import AnnData


class PriorAttention(NamedTuple):
    """What a result knows of its E edges in its K groups; numbers are float64."""

    groups: list[str]
    source: np.ndarray  # (E,), names
    target: np.ndarray  # (E,), names
    weight: np.ndarray  # (E,); the sign is that of the regulation, 0 or NaN if unknown
    attention: np.ndarray  # (E, K)
    lift: np.ndarray  # (E, K)
    gene_attention: np.ndarray  # (E, K), of the target of each edge


def check_prior(adata: AnnData, key: str) -> dict[str, Any]:
    """Return ``adata.uns[key]``, or raise ``KeyError`` if no prior transformer wrote it."""
    result: dict[str, Any] = check_result(adata, key, tool="prior_transformer")
    if result["params"].get("method") != "prior_transformer":
        found = [
            name
            for name, value in adata.uns.items()
            if isinstance(value, dict)
            and value.get("params", {}).get("method") == "prior_transformer"
        ]
        raise KeyError(
            f"`adata.uns[{key!r}]` is no result of a prior transformer. Available ones: "
            f"{listing(found)}. Run `sctools.tl.prior_transformer(adata, …)` first, or pass the "
            "`key` it used."
        )
    return result


def names_of(values: Any) -> list[str]:
    """Return names as plain text, however a file gave them back."""
    return [str(name) for name in np.asarray(values).ravel()]


def cells_of_groups(adata: AnnData, key: str) -> dict[str, int] | None:
    """Return how many cells attention was averaged over; ``None`` if an old result lacks it."""
    result = check_prior(adata, key)
    groups, n_cells = names_of(result["groups"]), np.asarray(result.get("n_cells", ()))
    if len(n_cells) != len(groups):
        return None
    return {name: int(n) for name, n in zip(groups, n_cells, strict=True)}


def prior_attention(adata: AnnData, key: str) -> PriorAttention:
    """Read edges and attention; raise ``KeyError`` or ``ValueError`` where they do not fit."""
    result = check_prior(adata, key)
    needed = ("edges", "genes", "groups", "attention", "lift", "gene_attention")
    missing = [name for name in needed if name not in result]
    again = f"Run `sctools.tl.prior_transformer(adata, …, key_added={key!r})` again."
    if missing:
        raise KeyError(
            f"`adata.uns[{key!r}]` lacks {listing(missing)}. Available: {listing(result)}. {again}"
        )
    groups, genes = names_of(result["groups"]), names_of(result["genes"])
    if not groups:
        raise ValueError(
            f"The result {key!r} has no group of cells: every cell was answered 'Unknown', so that "
            "attention was averaged over none. Run `sctools.tl.prior_transformer` again with a "
            "lower `min_confidence=`, more `max_epochs=`, or groups of your own (`groupby=`)."
        )
    edges = result["edges"]
    shapes = {
        "attention": (len(edges), len(groups)),
        "lift": (len(edges), len(groups)),
        "gene_attention": (len(genes), len(groups)),
    }
    arrays = {name: np.asarray(result[name], dtype="float64") for name in shapes}
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(
                f"`adata.uns[{key!r}][{name!r}]` must have shape {shape} to fit its edges, genes "
                f"and groups, found {arrays[name].shape}. {again}"
            )
    target = np.array(names_of(edges["target"]), dtype=object)
    place = pd.Index(genes).get_indexer(target)
    if (place < 0).any():
        raise ValueError(
            f"Edges of `adata.uns[{key!r}]` lead to genes that are not among its `genes`: "
            f"{listing(dict.fromkeys(target[place < 0]))}. {again}"
        )
    return PriorAttention(
        groups=groups,
        source=np.array(names_of(edges["source"]), dtype=object),
        target=target,
        weight=np.asarray(edges["weight"], dtype="float64"),
        attention=arrays["attention"],
        lift=arrays["lift"],
        gene_attention=arrays["gene_attention"][place],
    )


def check_groups(
    group: str | Sequence[str] | None, available: Sequence[str], key: str
) -> list[str]:
    """Return the groups asked for, all by default, in the order in which they are stored."""
    if group is None:
        return list(available)
    asked = [group] if isinstance(group, str) else [str(name) for name in group]
    unknown = [name for name in asked if name not in available]
    if unknown or not asked:
        raise ValueError(
            f"`group` must name groups of the result {key!r}, found {listing(asked)}. "
            f"Unknown: {listing(unknown)}. Available: {listing(available, limit=50)}."
        )
    return [name for name in available if name in asked]


def check_positive(number: object, argument: str) -> None:
    """Raise ``ValueError`` unless this is None or a positive integer."""
    if number is not None and (not isinstance(number, int | np.integer) or number < 1):
        raise ValueError(f"`{argument}` must be a positive integer or None, found {number!r}.")
