"""Find the genes of a regulatory network in an AnnData: naming, complexes, repeated edges."""

from __future__ import annotations

import re
import warnings
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from .._validate import listing
from ._match_genes import _KINDS, ID_COLUMNS, _best_positions, _id_type, _positions

COMPLEXES = {
    "AP1": ("FOS", "FOSB", "FOSL1", "FOSL2", "JUN", "JUNB", "JUND"),
    "NFKB": ("NFKB1", "NFKB2", "REL", "RELA", "RELB"),
}
"""Members of the complexes that public networks name like a gene."""

_MUCH = 2
"""Capitals are ignored where that finds more than this many times the names."""


class MatchedNetwork(NamedTuple):
    """A network in terms of the columns of an AnnData.

    Attributes
    ----------
    source, target
        Columns of the genes, below 0 for what is no gene of the data; int64, one per edge. No edge
        is repeated, none leads from a gene to itself.
    weight
        float64.
    coverage
        What was found and dropped.
    """

    source: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    coverage: dict[str, int | float | str]


class _Found(NamedTuple):
    columns: np.ndarray
    available: list[str]
    where: str
    folded: bool


def match_network(
    edges: pd.DataFrame,
    var: pd.DataFrame,
    *,
    complexes: Literal["expand", "drop"] = "expand",
    gene_key: str | None = None,
) -> MatchedNetwork:
    """Find the ends of all edges among the genes; expand complexes, drop repeated edges.

    Parameters
    ----------
    edges
        Columns ``source``, ``target`` and ``weight``, of :func:`read_network`.
    var
        ``adata.var``.
    complexes
        ``"expand"`` puts the members in the place of a complex, ``"drop"`` drops its edges.
    gene_key
        Column of ``var`` with the names, ``None`` tries ``var_names`` and the common ones.

    Raises
    ------
    KeyError
        ``gene_key`` is not a column of ``var``.
    ValueError
        No gene, or no regulator, of the network is in the data.
    """
    n_given = len(edges)
    ends = np.concatenate([edges["source"].to_numpy(), edges["target"].to_numpy()])
    inverse, unique = pd.factorize(ends)
    names = [str(name) for name in unique]
    found = _find(names, var, gene_key)
    if found.folded:
        pairs = zip(names, found.columns.tolist(), strict=True)
        a, b = next((a, found.available[c]) for a, c in pairs if c >= 0 and a != found.available[c])
        warnings.warn(
            f"The network's genes were matched ignoring capitals: it has names such as {a!r}, the "
            f"data {b!r}. If the network is of another species, orthologs of another name are "
            "lost: better translate it first, as with `decoupler.op.translate`.",
            UserWarning,
            stacklevel=4,
        )
    # Names that are no gene of the data stay apart from each other.
    code = np.where(found.columns >= 0, found.columns, -1 - np.arange(len(names)))
    source, target = code[inverse[:n_given]], code[inverse[n_given:]]
    weight = edges["weight"].to_numpy(dtype=np.float64)

    own = source == target
    if own.all():
        raise ValueError(
            f"All {n_given} edges of the network lead from a gene to itself, and tell nothing. "
            "Pass a network with edges from regulators to their targets."
        )
    source, target, weight = source[~own], target[~own], weight[~own]
    first = _strongest(source, target, weight)
    n_duplicates = len(source) - len(first)
    if n_duplicates:
        warnings.warn(
            f"The network has {n_duplicates} edges more than once (same source and target); of "
            "each, the one with the largest absolute weight was kept.",
            UserWarning,
            stacklevel=4,
        )
    source, target, weight = source[first], target[first], weight[first]

    members, n_missing = _complexes(names, code, found)
    lookup = np.zeros(len(names) + 1, dtype=bool)
    lookup[[-c for c in members]] = True
    complex_edge = lookup[np.maximum(-source, 0)] | lookup[np.maximum(-target, 0)]
    n_expanded = 0
    if complex_edge.any():
        plain = (source[~complex_edge], target[~complex_edge], weight[~complex_edge])
        more = (source[complex_edge], target[complex_edge], weight[complex_edge])
        source, target, weight = plain
        if complexes == "expand":
            source, target, weight = _expand(plain, more, members)
            n_expanded = len(source) - len(plain[0])

    if not (source >= 0).any():
        sources = edges["source"].unique()
        raise ValueError(
            f"None of the network's {len(sources)} regulators is a gene of `adata`: its sources "
            f"are named {listing(sources[:3])}, `adata` has {listing(var.index[:3])}. Gene sets "
            "of pathways are no network of regulators; in a .gmt file each set must bear the name "
            "of its transcription factor. Rename the sources, and pass the DataFrame."
        )
    coverage: dict[str, int | float | str] = {
        "n_edges_given": n_given,
        "n_self_loops": int(own.sum()),
        "n_duplicates": n_duplicates,
        "n_complexes": len(members),
        "n_members_missing": n_missing,
        "n_complex_edges": int(complex_edge.sum()),
        "n_edges_expanded": n_expanded,
        "naming_network": _KINDS[_id_type(names)],
        "naming_data": _KINDS[_id_type([str(name) for name in var.index])],
        "matched_by": found.where + (", ignoring case" if found.folded else ""),
    }
    return MatchedNetwork(source, target, weight, coverage)


def _find(names: list[str], var: pd.DataFrame, gene_key: str | None) -> _Found:
    """Look the names up in each place; the one with the most of them counts."""
    if gene_key is not None and gene_key not in var.columns:
        raise KeyError(
            f"`gene_key={gene_key!r}` is not a column of `adata.var`. "
            f"Available: {listing(var.columns)}."
        )
    places = ["var_names", *(c for c in ID_COLUMNS if c in var.columns)]
    places = places if gene_key is None else [gene_key]
    best: list[_Found] = []
    for folded in (False, True):
        options = []
        for place in places:
            column = var.index if place == "var_names" else var[place]
            available = [str(name) for name in column]
            if folded:
                columns = _positions([n.upper() for n in names], [a.upper() for a in available])
                exact = _positions(names, available)
                columns = np.where(exact >= 0, exact, columns)
            else:
                columns, _ = _best_positions(names, available)
            options.append(_Found(columns, available, place, folded))
        best.append(max(options, key=_number))  # of equals the first
    exactly, ignoring = best
    found = ignoring if _number(ignoring) > _MUCH * _number(exactly) else exactly
    if not _number(found):
        data = [str(name) for name in var.index]
        raise ValueError(
            f"None of the network's {len(names)} genes is in `adata`. The network names genes by "
            f"{_KINDS[_id_type(names)]} ({listing(names[:3])}), `adata` by "
            f"{_KINDS[_id_type(data)]} ({listing(data[:3])}); looked in {listing(places)}. Name "
            f"the column of `adata.var` that has the network's names with `gene_key=` (available: "
            f"{listing(var.columns)}), or check the species."
        )
    return found


def _number(found: _Found) -> int:
    return int((found.columns >= 0).sum())


def _complexes(
    names: list[str], code: np.ndarray, found: _Found
) -> tuple[dict[int, np.ndarray], int]:
    """Members (columns of the data) of each code that is a complex, and how many are missing."""
    exact: dict[str, int] = {}
    upper: dict[str, int] = {}
    for column, name in enumerate(found.available):
        exact.setdefault(name, column)
        upper.setdefault(name.upper(), column)
    mentioned = {name.upper() for name in names}
    members: dict[int, np.ndarray] = {}
    n_missing = 0
    for name, number in zip(names, code.tolist(), strict=True):
        if number >= 0:
            continue
        parts = COMPLEXES.get(name.upper().replace("-", ""), ())
        if not parts:
            parts = tuple(re.split(r"[_:]", name.removeprefix("COMPLEX:")))
            if len(parts) < 2 or not all(
                p.upper() in upper or p.upper() in mentioned for p in parts
            ):
                continue
        columns = {exact.get(part, upper.get(part.upper(), -1)) for part in parts}
        n_missing += sum(part.upper() not in upper for part in set(parts))
        members[number] = np.array(sorted(columns - {-1}), dtype=np.int64)
    return members, n_missing


def _expand(
    plain: tuple[np.ndarray, np.ndarray, np.ndarray],
    more: tuple[np.ndarray, np.ndarray, np.ndarray],
    members: dict[int, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Add an edge for each member; edges that are there already keep their weight."""
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for s, t, w in zip(*(values.tolist() for values in more), strict=True):
        sources, targets = members.get(s, np.array([s])), members.get(t, np.array([t]))
        pairs = np.repeat(sources, len(targets)), np.tile(targets, len(sources))
        parts.append((*pairs, np.full(len(pairs[0]), w)))
    source, target, weight = (np.concatenate(values) for values in zip(*parts, strict=True))
    strongest = _strongest(source, target, weight)
    strongest = strongest[source[strongest] != target[strongest]]
    source = np.concatenate([plain[0], source[strongest]])
    target = np.concatenate([plain[1], target[strongest]])
    weight = np.concatenate([plain[2], weight[strongest]])
    pairs_table = pd.DataFrame({"source": source, "target": target})
    new = ~pairs_table.duplicated().to_numpy()  # what the network says itself comes first
    return source[new], target[new], weight[new]


def _strongest(source: np.ndarray, target: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Rows that remain of repeated pairs: the largest absolute weight, of equals the first."""
    order = np.lexsort((np.arange(len(source)), -np.abs(weight), target, source))
    s, t = source[order], target[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (s[1:] != s[:-1]) | (t[1:] != t[:-1])
    return np.sort(order[first])
