"""Find a model's genes in an AnnData by name."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from .._arguments import check_names, check_share
from .._validate import check_adata, listing

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger("sctools")

_ENSEMBL = re.compile(r"(?:^|_)(ENS[A-Z]*G\d{6,})(?:\.\d+)?(_PAR_Y)?$")

ID_COLUMNS = (
    "ensembl_id",
    "gene_ids",
    "gene_id",
    "feature_id",
    "gene_symbols",
    "gene_symbol",
    "gene_name",
    "feature_name",
    "symbol",
)
"""``var`` columns tried when the ``var_names`` do not match; all common in public files."""

_KINDS = {"ensembl": "Ensembl ids", "symbol": "symbols"}


class GeneMatch(NamedTuple):
    """Where a model's genes are in an AnnData; see :func:`sctools.pp.match_genes`.

    Attributes
    ----------
    columns
        One entry per model gene: its column in ``adata``, −1 where it is missing. int64.
    n_genes
        Number of the model's genes.
    n_found
        How many of them are in ``adata``.
    fraction
        ``n_found / n_genes``.
    id_type
        ``"ensembl"`` or ``"symbol"``: what matched.
    source
        ``"var_names"`` or the ``var`` column that was used.
    missing
        Names of the model's genes that ``adata`` lacks.
    """

    columns: np.ndarray
    n_genes: int
    n_found: int
    fraction: float
    id_type: str
    source: str
    missing: list[str]


def _ensembl_ids(names: Sequence[str]) -> list[str | None]:
    """Ensembl id inside each name, version stripped; ``SYMBOL_ENSG…`` tokens included."""
    found = [_ENSEMBL.search(name) for name in names]
    return [None if m is None else m.group(1) + (m.group(2) or "") for m in found]


def _id_type(names: Sequence[str]) -> str:
    sample = list(names[:1000])
    hits = sum(i is not None for i in _ensembl_ids(sample))
    return "ensembl" if sample and hits > len(sample) / 2 else "symbol"


def _symbols(names: Sequence[str]) -> list[str]:
    """Names without a trailing ``_ENSG…``, so that published tokens match plain symbols."""
    return [re.sub(r"_ENS[A-Z]*G\d{6,}(?:\.\d+)?(_PAR_Y)?$", "", name) for name in names]


def _positions(wanted: Sequence[str | None], available: Sequence[str | None]) -> np.ndarray:
    """Column of each wanted name, −1 where absent; the first of several equal names counts."""
    lookup: dict[str, int] = {}
    for column, name in enumerate(available):
        if name is not None:
            lookup.setdefault(name, column)
    return np.array([-1 if n is None else lookup.get(n, -1) for n in wanted], dtype=np.int64)


def _best_positions(genes: Sequence[str], names: Sequence[str]) -> tuple[np.ndarray, str]:
    exact = _positions(genes, names)
    if (exact >= 0).all():
        return exact, _id_type(names)
    ensembl = _positions(_ensembl_ids(genes), _ensembl_ids(names))
    symbol = _positions(_symbols(genes), _symbols(names))
    options = [(exact, _id_type(names)), (ensembl, "ensembl"), (symbol, "symbol")]
    return max(options, key=lambda option: int((option[0] >= 0).sum()))


def match_genes(
    adata: AnnData,
    genes: Sequence[str],
    *,
    gene_key: str | None = None,
    min_coverage: float = 0.5,
) -> GeneMatch:
    """Find the genes of a model among the variables of ``adata``, by symbol or Ensembl id.

    Names are compared exactly, then as Ensembl ids with the version stripped, then as symbols;
    tokens of the form ``SYMBOL_ENSG…`` serve as both. Of several variables with the same id the
    first counts.

    Parameters
    ----------
    adata
        Annotated data; only ``var`` is read.
    genes
        Names of the model's genes, in the model's order.
    gene_key
        Column of ``adata.var`` that holds the names. By default ``var_names`` are used and, if
        these do not reach ``min_coverage``, the common columns for ids and symbols
        (``gene_ids``, ``feature_name``, …).
    min_coverage
        Least fraction of ``genes`` that must be found, between 0 and 1.

    Returns
    -------
    :class:`GeneMatch` with the column of every gene and the coverage. ``adata`` is not changed.

    Raises
    ------
    KeyError
        ``gene_key`` is not a column of ``adata.var``.
    TypeError
        ``genes`` is no list of names, or ``gene_key`` is no name.
    ValueError
        ``var_names`` are not unique, ``genes`` is empty, or too few genes are found.

    Examples
    --------
    >>> import anndata as ad, numpy as np, pandas as pd, sctools
    >>> var = pd.DataFrame(index=["ENSG00000105369.9", "ENSG00000156738.17"])
    >>> adata = ad.AnnData(np.ones((3, 2), dtype="float32"), var=var)
    >>> match = sctools.pp.match_genes(adata, ["ENSG00000156738", "ENSG00000105369"])
    >>> match.columns.tolist(), match.fraction, match.id_type
    ([1, 0], 1.0, 'ensembl')
    """
    check_adata(adata)
    if isinstance(genes, str | bytes) or not isinstance(genes, Iterable):
        raise TypeError(f"`genes` must list the names of the model's genes, found {genes!r}.")
    genes = [str(gene) for gene in genes]
    if not genes:
        raise ValueError("`genes` is empty: expected the names of the model's genes.")
    check_share(min_coverage, "min_coverage")
    check_names(gene_key=gene_key)
    check_unique_genes(adata)
    var: pd.DataFrame = adata.var
    if gene_key is not None:
        if gene_key not in var.columns:
            raise KeyError(
                f"`gene_key={gene_key!r}` is not a column of `adata.var`. "
                f"Available: {listing(var.columns)}."
            )
        sources = [gene_key]
    else:
        sources = ["var_names", *(c for c in ID_COLUMNS if c in var.columns)]

    best: tuple[np.ndarray, str, str] | None = None
    for source in sources:
        column = adata.var_names if source == "var_names" else var[source]
        columns, id_type = _best_positions(genes, [str(name) for name in column])
        if best is None or (columns >= 0).sum() > (best[0] >= 0).sum():
            best = columns, id_type, source
        if (columns >= 0).mean() >= max(min_coverage, np.finfo(float).eps):
            break
    if best is None:  # unreachable: `sources` is never empty
        raise ValueError("No gene names to compare.")
    columns, id_type, source = best
    n_found = int((columns >= 0).sum())
    fraction = n_found / len(genes)
    if fraction < min_coverage or n_found == 0:
        raise ValueError(
            f"Only {n_found} of the model's {len(genes)} genes ({fraction:.1%}) are in `adata`; "
            f"expected at least {min_coverage:.0%}. The model's genes are named as "
            f"{_KINDS[_id_type(genes)]} ({listing(genes[:3])}), `adata` has "
            f"{_KINDS[_id_type(list(adata.var_names))]} ({listing(adata.var_names[:3])}); looked "
            f"in {listing(sources)}. Name the right column with `gene_key=` "
            f"(available in `adata.var`: {listing(var.columns)}), or check the species, "
            "and that `adata` was not cut down to variable genes (`adata.raw.to_adata()` has them "
            "all)."
        )
    if source != "var_names" and gene_key is None:
        logger.info("Genes were matched through adata.var[%r].", source)
    missing = [gene for gene, column in zip(genes, columns, strict=True) if column < 0]
    return GeneMatch(columns, len(genes), n_found, fraction, id_type, source, missing)


def check_unique_genes(adata: AnnData) -> None:
    """Raise ``ValueError`` if ``var_names`` repeat."""
    if not adata.var_names.is_unique:
        repeated = adata.var_names[adata.var_names.duplicated()].unique()
        raise ValueError(
            f"`adata.var_names` must be unique, found {len(repeated)} names more than once "
            f"({listing(repeated, 5)}). Call `adata.var_names_make_unique()` first."
        )
