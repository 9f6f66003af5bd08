"""A regulatory network made ready for a model: checked, matched to the genes, and reported on."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from .. import __version__
from .._arguments import check_choice, check_flags, check_names
from .._keys import PRIOR_NETWORK
from .._validate import check_adata, check_key_added, check_writable
from ._match_genes import check_unique_genes
from ._network_genes import match_network
from ._prior_network_input import SelectedNetwork, read_network, select_network
from ._variable_genes import default_min_cells, gene_masks

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger("sctools")


def prior_network(
    adata: AnnData,
    net: pd.DataFrame | str | os.PathLike[str],
    *,
    n_top_genes: int | None = None,
    min_cells: int | None = None,
    complexes: Literal["expand", "drop"] = "expand",
    gene_key: str | None = None,
    layer: str | None = None,
    log_normalized: bool = False,
    key_added: str = PRIOR_NETWORK,
    copy: bool = False,
) -> AnnData | None:
    """Match a network of gene regulation to the data, and choose the genes of a model by it.

    Chosen are the variable genes, and those regulators (transcription factors, TFs) of the network
    that are expressed and have a target among the genes of ``adata``: few TFs are variable, and
    without them most targets would have no regulator left. Kept are the edges among chosen genes.
    :func:`sctools.pl.prior_coverage` draws what the network covers.

    Parameters
    ----------
    adata
        Annotated data, cells × genes, with all genes that were measured: where only variable genes
        are left, their regulators are gone. May be backed by a file.
    net
        The network, in the form that decoupler has: a DataFrame with the columns ``source`` (or
        ``tf``), ``target`` and, where known, ``weight`` (or ``mor``); the path of such a table,
        ``.csv`` or ``.tsv``, or of gene sets named after their TF, ``.gmt`` (parted by tabs, the
        description is not read), each also with ``.gz``; or a key of ``adata.uns`` that holds such
        a DataFrame or an earlier result. The sign of a weight tells activation (above 0) from
        repression (below 0); 0 is unknown, as are all without the column. Further columns are not
        read.
    n_top_genes
        Number of variable genes to compute, by :func:`scanpy.pp.highly_variable_genes` on
        log-normalised values of the expressed genes, over all batches together. By default
        ``adata.var["highly_variable"]`` is taken where ``adata`` has it, else 2,000 are computed.
    min_cells
        Number of cells that a gene must be found in to be chosen, be it variable or a TF. By
        default 0.5 % of the cells, at least 3.
    complexes
        What to do with a source or target that is a complex: ``"AP1"`` and ``"NFKB"`` (CollecTRI),
        or gene names joined by ``_`` or ``:``. ``"expand"`` gives its edges to each member that
        ``adata`` has; an edge of a member in the network itself comes before one of the complex.
        ``"drop"`` drops them.
    gene_key
        Column of ``adata.var`` that holds gene names as the network has them. By default
        ``var_names`` and the common columns for ids and symbols (``gene_ids``, ``feature_name``, …)
        are tried, and the one with most of the names counts. Ensembl ids are compared without
        their version. Capitals are ignored where that finds more than twice the genes, as with a
        human network (``"MYC"``) and mouse genes (``"Myc"``); orthologs of another name are then
        lost, and a warning says so.
    layer
        Layer with the values. ``None`` reads ``X``.
    log_normalized
        The values are log1p of depth-normalised counts; otherwise raw counts are expected.
    key_added
        Name of the result.
    copy
        Work on a copy and return it.

    Returns
    -------
    ``None``, or the copy with ``copy=True``. Written to ``adata``:

    - ``var[key_added]``: whether the gene was chosen, bool;
    - ``uns[key_added]["edges"]``: DataFrame with ``source``, ``target`` (both ``var_names`` of
      chosen genes) and ``weight`` (float64). No edge is repeated (the largest absolute weight
      is kept) or leads from a gene to itself; sorted by target, then source;
    - ``uns[key_added]["coverage"]``, numbers and text:

      - of the chosen genes ``n_genes`` and ``n_variable`` (the variable ones); ``n_edges``,
        ``n_tfs`` (sources of these edges); ``n_regulated`` and ``regulated_share``: genes with at
        least one regulator, as a number and as a fraction of the chosen ones;
        ``median_in_degree`` (of the regulated genes) and ``max_in_degree``;
      - of the network ``n_edges_given``, and what was dropped of it: ``n_self_loops``,
        ``n_duplicates``, ``n_complex_edges`` (in their place come ``n_edges_expanded`` that were
        not there before) and, of what then was left, ``n_edges_outside`` with an end that was not
        chosen; ``n_complexes``, and ``n_members_missing`` in ``adata``;
      - ``naming_network`` and ``naming_data`` (``"symbols"`` or ``"Ensembl ids"``), and
        ``matched_by``: ``"var_names"`` or the column of ``var`` that had the names;

    - ``uns[key_added]["params"]``: the arguments of this call.

    Raises
    ------
    KeyError
        ``net`` is neither a key of ``adata.uns`` nor a path; ``layer`` or ``gene_key`` is missing.
    TypeError
        ``net`` is no network, its weights are no numbers, or another argument is of a wrong type.
    ValueError
        The file is missing or of an unknown kind; the network lacks a column, is empty, or has
        missing names or weights that are not finite; none of its genes, or none of its regulators,
        is in ``adata``, or no edge is left; ``var_names`` repeat; the values are not what
        ``log_normalized`` says. ``adata`` is then as it was.

    Warns
    -----
    UserWarning
        Edges are repeated, or capitals had to be ignored.

    Notes
    -----
    The genes and edges are for a transformer in the manner of scTransformer (Milia et al., 2026,
    arXiv:2606.09558), whose attention is confined to known regulation. sctools ships no network;
    decoupler fetches some, ``net = decoupler.op.collectri(organism="human")``.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.regulated_cells(200)
    >>> sctools.pp.prior_network(adata, "prior", n_top_genes=300)
    >>> coverage = adata.uns["prior_network"]["coverage"]
    >>> coverage["n_tfs"], coverage["matched_by"]
    (30, 'var_names')
    >>> list(adata.uns["prior_network"]["edges"].columns)
    ['source', 'target', 'weight']
    """
    check_adata(adata)
    check_flags(log_normalized=log_normalized, copy=copy)
    check_names(gene_key=gene_key, layer=layer)
    check_writable(adata, copy=copy)
    _check_key(adata, key_added)
    if min_cells is None:
        min_cells = default_min_cells(adata.n_obs)
    selected = build_network(
        adata,
        net,
        n_top_genes=n_top_genes,
        min_cells=min_cells,
        complexes=complexes,
        gene_key=gene_key,
        layer=layer,
        log_normalized=log_normalized,
    )
    params = {
        "method": "prior_network",
        "net": "DataFrame" if isinstance(net, pd.DataFrame) else str(net),
        "n_top_genes": n_top_genes,
        "min_cells": int(min_cells),
        "complexes": complexes,
        "gene_key": gene_key,
        "layer": layer,
        "log_normalized": bool(log_normalized),
        "sctools_version": __version__,
    }
    target = adata
    if copy:
        target = adata.to_memory() if adata.isbacked else adata.copy()
    target.var[key_added] = selected.mask
    target.uns[key_added] = {
        "edges": selected.edges,
        "coverage": selected.coverage,
        "params": {name: value for name, value in params.items() if value is not None},
    }
    return target if copy else None


def build_network(
    adata: AnnData,
    net: pd.DataFrame | str | os.PathLike[str],
    *,
    n_top_genes: int | None = None,
    min_cells: int | None = None,
    complexes: Literal["expand", "drop"] = "expand",
    gene_key: str | None = None,
    layer: str | None = None,
    log_normalized: bool = False,
) -> SelectedNetwork:
    """Do what :func:`prior_network` does, and write nothing."""
    for name, value in (("n_top_genes", n_top_genes), ("min_cells", min_cells)):
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise TypeError(f"`{name}` must be an integer, found {value!r}.")
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1, found {value}.")
    check_choice(complexes, ("expand", "drop"), "complexes")
    check_unique_genes(adata)
    stored = _stored(adata, net)
    if stored is not None:
        return stored
    network = match_network(
        read_network(net, adata), adata.var, complexes=complexes, gene_key=gene_key
    )
    variable, expressed = gene_masks(
        adata,
        n_top_genes=n_top_genes,
        min_cells=default_min_cells(adata.n_obs) if min_cells is None else min_cells,
        layer=layer,
        log_normalized=log_normalized,
    )
    names = adata.var_names.to_numpy()
    selected = select_network(network, names, variable=variable, expressed=expressed)
    found = selected.coverage
    logger.info(
        "Prior network: %d genes, %d of them with a regulator (%.0f %%); %d edges of %d TFs.",
        found["n_genes"],
        found["n_regulated"],
        100 * float(found["regulated_share"]),
        found["n_edges"],
        found["n_tfs"],
    )
    return selected


def _stored(adata: AnnData, net: Any) -> SelectedNetwork | None:
    """Return what :func:`prior_network` wrote under this key; its choice of genes stands."""
    if not (isinstance(net, str) and net in adata.var.columns):
        return None
    found = adata.uns.get(net)
    if not (isinstance(found, Mapping) and {"edges", "coverage"} <= set(found)):
        return None
    mask = adata.var[net].to_numpy(dtype=bool)
    edges = read_network(net, adata)
    kept = edges["source"].isin(adata.var_names[mask]) & edges["target"].isin(adata.var_names[mask])
    if not kept.all() or not len(edges):
        raise ValueError(
            f"`adata.uns[{net!r}]` no longer fits `adata.var[{net!r}]`: of its "
            f"{len(edges)} edges {int((~kept).sum())} lead to genes that are gone. "
            "Run `sctools.pp.prior_network` again."
        )
    return SelectedNetwork(mask, edges, dict(found["coverage"]))


def _check_key(adata: AnnData, key: Any) -> None:
    check_key_added(adata, key)
    found = adata.uns.get(key)
    method = found["params"].get("method") if isinstance(found, Mapping) else None
    taken = "uns" if found is not None and method != "prior_network" else None
    taken = "var" if found is None and key in adata.var.columns else taken
    if taken:
        raise ValueError(
            f"`key_added={key!r}` would overwrite `adata.{taken}[{key!r}]`, which is no result of "
            "`pp.prior_network`. Choose another name."
        )
