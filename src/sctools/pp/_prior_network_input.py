"""From what a user hands in as a network to edges among the genes of a model; nothing written."""

from __future__ import annotations

import gzip
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from .._validate import listing
from ._network_genes import MatchedNetwork

if TYPE_CHECKING:
    from anndata import AnnData

SUFFIXES = (".csv", ".tsv", ".gmt", ".csv.gz", ".tsv.gz", ".gmt.gz")
"""Files that hold networks."""

COLUMNS = {
    "source": ("source", "tf"),
    "target": ("target",),
    "weight": ("weight", "mor"),
}
"""Names that the columns of a network may have, the first one found counts."""

_EXPECTED = (
    "Expected a DataFrame with the columns 'source' (or 'tf'), 'target' and, where known, 'weight' "
    "(or 'mor'), the path of a file with them (.csv, .tsv) or of gene sets (.gmt), or a key of "
    "`adata.uns` that holds such a DataFrame."
)


class SelectedNetwork(NamedTuple):
    """Genes of a model and the edges among them.

    Attributes
    ----------
    mask
        Which genes are in the model, boolean, one entry per gene of the data.
    edges
        Columns ``source``, ``target`` (names of genes) and ``weight`` (float64), sorted by target,
        then source.
    coverage
        What the edges cover, ints and floats.
    """

    mask: np.ndarray
    edges: pd.DataFrame
    coverage: dict[str, int | float | str]


def read_network(net: Any, adata: AnnData) -> pd.DataFrame:
    """Return any form of network as text columns ``source``, ``target`` and float64 ``weight``.

    Rows stay as they were given; the weight is 0 where the network has none.

    Parameters
    ----------
    net
        Data frame, path, or key of ``adata.uns``.
    adata
        Annotated data; only ``uns`` is read.

    Raises
    ------
    KeyError
        There is no such key in ``adata.uns``.
    TypeError
        ``net`` is none of these, or its weights are no numbers.
    ValueError
        There is no such file, or its suffix is unknown; a column is missing; there is no edge; a
        name is missing; a weight is not finite.
    """
    if isinstance(net, pd.DataFrame):
        return _checked(net, "`net`")
    if isinstance(net, str) and net in adata.uns:
        found = adata.uns[net]
        if isinstance(found, Mapping) and "edges" in found:  # what `pp.prior_network` wrote
            found = found["edges"]
        if not isinstance(found, pd.DataFrame):
            raise TypeError(
                f"`adata.uns[{net!r}]` must hold a DataFrame, found {type(found).__name__}. "
                f"{_EXPECTED}"
            )
        return _checked(found, f"`adata.uns[{net!r}]`")
    if isinstance(net, str) and not Path(net).suffix and not os.path.exists(net):
        tables = [k for k, v in adata.uns.items() if isinstance(v, pd.DataFrame | Mapping)]
        raise KeyError(
            f"`net={net!r}` is not a key of `adata.uns` (available: {listing(tables)}), nor the "
            f"path of a file. {_EXPECTED}"
        )
    if isinstance(net, str | os.PathLike):
        return _checked(_read_file(Path(net)), f"`{Path(net).name}`")
    raise TypeError(f"`net` is of type {type(net).__name__}. {_EXPECTED}")


def _read_file(path: Path) -> pd.DataFrame:
    kind = next((s for s in SUFFIXES if path.name.lower().endswith(s)), None)
    if kind is None:
        raise ValueError(
            f"`net={str(path)!r}` has an unknown suffix, expected one of {listing(SUFFIXES)}. Read "
            "the file yourself and pass the DataFrame."
        )
    if not path.is_file():
        beside = sorted(p.name for p in path.parent.glob("*") if p.name.lower().endswith(SUFFIXES))
        raise ValueError(
            f"`net={str(path)!r}`: there is no such file. Networks in its folder: "
            f"{listing(beside)}."
        )
    if kind.startswith(".gmt"):
        return _read_gmt(path)
    try:
        # Text first: "NA" and "NAN" may be names.
        return pd.read_csv(
            path, sep="\t" if kind.startswith(".tsv") else ",", dtype=str, keep_default_na=False
        )
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"`net={str(path)!r}` cannot be read as a {kind} file: {error}") from error


def _read_gmt(path: Path) -> pd.DataFrame:
    """Read gene sets: name, description and genes, parted by tabs; the name is the source."""
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    sources: list[str] = []
    targets: list[str] = []
    with opener(path, "rt", encoding="utf-8") as file:
        try:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                fields = [field.strip() for field in line.rstrip("\r\n").split("\t")]
                if len(fields) < 2 or not fields[0]:
                    raise ValueError(
                        f"`{path.name}`, line {number}: expected the name of a set, a description "
                        f"and genes, parted by tabs; found {line.strip()[:60]!r}."
                    )
                genes = [field for field in fields[2:] if field]
                sources += [fields[0]] * len(genes)
                targets += genes
        except (OSError, EOFError, UnicodeDecodeError) as error:
            raise ValueError(f"`net={str(path)!r}` cannot be read: {error}") from error
    return pd.DataFrame({"source": sources, "target": targets})


def _checked(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return the three columns, checked; the index is new."""
    lower: dict[str, Any] = {}
    for column in table.columns:
        lower.setdefault(str(column).lower(), column)
    chosen = {
        name: lower[next(a for a in aliases if a in lower)]
        for name, aliases in COLUMNS.items()
        if any(a in lower for a in aliases)
    }
    twice = [name for name in chosen.values() if isinstance(table[name], pd.DataFrame)]
    if twice:
        raise ValueError(
            f"{where} has several columns named {listing(twice)}. Keep one of each: "
            "`net.loc[:, ~net.columns.duplicated()]`."
        )
    missing = [name for name in ("source", "target") if name not in chosen]
    if table.empty and len(table.columns) == 0:
        raise ValueError(f"{where} is empty: the network has no edge. {_EXPECTED}")
    if missing:
        raise ValueError(
            f"{where} lacks the column {listing(missing)}; its columns: {listing(table.columns)}. "
            f"{_EXPECTED} Rename them: `net.rename(columns={{…: {missing[0]!r}}})`."
        )
    if len(table) == 0:
        raise ValueError(f"{where} is empty: the network has no edge. {_EXPECTED}")
    result = {}
    for name in ("source", "target"):
        column = table[chosen[name]]
        text = column.astype(object).where(column.notna(), "").astype(str).str.strip()
        nameless = int((text == "").sum())
        if nameless:
            raise ValueError(
                f"{where}: column {chosen[name]!r} has no name in {nameless} of {len(table)} rows. "
                f"Remove them: `net.dropna(subset=[{chosen[name]!r}])`."
            )
        result[name] = text.to_numpy(dtype=object)
    weight = np.zeros(len(table))
    if "weight" in chosen:
        weight = _weights(table[chosen["weight"]], where)
    return pd.DataFrame({**result, "weight": weight})


def _weights(column: pd.Series, where: str) -> np.ndarray:
    values = column.astype(object).where(column.notna(), np.nan)
    values = values.where(values.astype(str).str.strip() != "", np.nan)
    try:
        weight = pd.to_numeric(values).to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{where}: column {column.name!r} must hold numbers (above 0 for activation, below 0 "
            f"for repression, 0 where it is unknown), found {listing(values.unique()[:5])}."
        ) from error
    bad = int((~np.isfinite(weight)).sum())
    if bad:
        raise ValueError(
            f"{where}: column {column.name!r} must be finite, found {bad} NaN or infinite weights "
            f"in {len(weight)} edges. Set them to 0 where the sign is unknown: "
            f"`net[{column.name!r}] = net[{column.name!r}].replace([np.inf, -np.inf], "
            "np.nan).fillna(0)`."
        )
    return weight


def select_network(
    network: MatchedNetwork, names: np.ndarray, *, variable: np.ndarray, expressed: np.ndarray
) -> SelectedNetwork:
    """Choose the genes of a model and keep the edges among them.

    Chosen are the variable genes and the regulators with at least one target among all genes, as
    far as they are expressed.

    Parameters
    ----------
    network
        The network, of :func:`match_network`.
    names
        Names of all genes of the data.
    variable, expressed
        Boolean masks over ``names``.

    Raises
    ------
    ValueError
        No edge has both ends among the chosen genes.
    """
    source, target = network.source, network.target
    inside = (source >= 0) & (target >= 0)
    regulator = np.zeros(len(names), dtype=bool)
    regulator[source[inside]] = True
    mask = (variable | regulator) & expressed
    kept = inside & mask[np.maximum(source, 0)] & mask[np.maximum(target, 0)]
    n_variable = int((variable & expressed).sum())
    if not kept.any():
        raise ValueError(
            f"No edge of the network is left: {int(inside.sum())} have both ends in `adata`, none "
            f"among the {int(mask.sum())} chosen genes, which are {n_variable} variable genes and "
            f"{int((regulator & expressed).sum())} of {int(regulator.sum())} regulators, those "
            "found in enough cells. Lower `min_cells`, raise `n_top_genes`, or "
            "bring data with more genes (`adata.raw.to_adata()` may have them all)."
        )
    names = np.asarray(names, dtype=object)
    rank = np.empty(len(names), dtype=np.int64)
    rank[np.argsort(names.astype(str), kind="stable")] = np.arange(len(names))
    source, target, weight = source[kept], target[kept], network.weight[kept]
    order = np.lexsort((rank[source], rank[target]))
    source, target, weight = source[order], target[order], weight[order]
    edges = pd.DataFrame({"source": names[source], "target": names[target], "weight": weight})

    degree = np.bincount(target, minlength=len(names))[mask]
    n_regulated = int((degree > 0).sum())
    coverage: dict[str, int | float | str] = {
        "n_genes": int(mask.sum()),
        "n_variable": n_variable,
        "n_tfs": len(np.unique(source)),
        "n_edges": len(edges),
        "n_regulated": n_regulated,
        "regulated_share": n_regulated / int(mask.sum()),
        "median_in_degree": float(np.median(degree[degree > 0])),
        "max_in_degree": int(degree.max()),
        **network.coverage,
        "n_edges_outside": int((~kept).sum()),
    }
    return SelectedNetwork(mask, edges, coverage)
