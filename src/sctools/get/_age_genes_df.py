"""Genes that tell an age clock the age, as a tidy data frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._docs import docs
from .._keys import AGE_CLOCK
from .._validate import check_result, listing
from ._columns import as_groups
from ._prior_result import check_positive

if TYPE_CHECKING:
    from anndata import AnnData

_COLUMNS = ("cell_type", "gene", "score", "score_sd", "agreement", "gene_sd")


@docs.dedent
def age_genes_df(
    adata: AnnData,
    key: str = AGE_CLOCK,
    *,
    group: str | Sequence[str] | None = None,
    n_top: int | None = None,
    wide: bool = False,
) -> pd.DataFrame:
    """Which genes of each cell type tell an age clock the age, and in which direction.

    A score is how many years the predicted age of a donor rises with a gene's mean expression in
    one cell type, everything else left alone: the sensitivity of the clock. It speaks of the clock,
    not of causes, and of two genes that rise and fall together the clock may take either.

    Enrichment tools take it as it is: ``decoupler.mt.ulm(age_genes_df(adata, wide=True), net)``
    and ``gseapy.prerank(age_genes_df(adata, group="T cell")[["names", "scores"]], gene_sets)``.

    Parameters
    ----------
    adata
        Annotated data that :func:`sctools.tl.age_clock` was run on. It is left unchanged.
    %(key)s
    group
        A cell type, or several; by default all. ``"all cells"`` for a clock without cell types.
    n_top
        Return only this many genes of each cell type, those with the largest absolute scores. By
        default all that the clock uses. Not with ``wide``.
    wide
        Return the scores alone, as a table of cell types × genes.

    Returns
    -------
    One row per cell type and gene, as :func:`scanpy.get.rank_genes_groups_df` has them: cell types
    natural-sorted, the genes of each from the largest score to the smallest. Numbers are float64.
    Columns:

    - ``group``: the cell type, Categorical;
    - ``names``: the gene, as the clock knows it;
    - ``scores``: years (or the unit of ``adata.uns[key]["age_unit"]``) by which a donor's predicted
      age rises with one standard deviation of the gene in that cell type. The clock scales all
      genes by one standard deviation, that of pseudocells pooled over genes; it is meant here;
    - ``scores_sd``: standard deviation of the score over the fold clocks, missing for one clock;
    - ``agreement``: share of the fold clocks whose score has the same sign, from 0 to 1;
    - ``effects``: years per standard deviation of this very gene over the donors:
      the score times how much the gene varies;
    - ``rank``: place among the genes of the cell type by absolute score, from 1.

    With ``wide``, cell types × genes: scores, float64.

    Raises
    ------
    KeyError
        If there is no result under ``key``, or it has no genes.
    ValueError
        If a cell type is unknown, ``n_top`` is not a positive integer, or is given with ``wide``.

    See Also
    --------
    sctools.pl.age_genes : Draws the top genes of each cell type.
    sctools.model.AgeClock.gene_attribution : Integrated gradients instead.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.aging_cohort(12, n_genes=200, n_age_genes=20, cells_per_donor=20)
    >>> few = {"max_epochs": 2}  # for a quick example only
    >>> sctools.tl.age_clock(adata, n_folds=2, train_kwargs=few, progress_bar=False)
    >>> genes = sctools.get.age_genes_df(adata, group="T cell", n_top=5)
    >>> list(genes.columns)
    ['group', 'names', 'scores', 'scores_sd', 'agreement', 'effects', 'rank']
    >>> sctools.get.age_genes_df(adata, wide=True).shape
    (3, 200)
    """
    stored = _stored_genes(adata, key)
    stored = stored.assign(cell_type=as_groups(stored["cell_type"]))
    known = [str(name) for name in stored["cell_type"].cat.categories]
    names = known if group is None else [group] if isinstance(group, str) else list(group)
    unknown = [name for name in names if name not in known]
    if unknown or not names or len(set(names)) < len(names):
        raise ValueError(
            f"`group` must name cell types of the result {key!r}, each once; found "
            f"{listing(unknown or names)}. Available: {listing(known)}."
        )
    check_positive(n_top, "n_top")
    if wide and n_top is not None:
        raise ValueError(
            f"`n_top={n_top}` picks other genes for each cell type, which a table of cell types × "
            "genes has no room for. Leave it out, or leave out `wide=True`."
        )
    if wide:
        gene = stored["gene"].astype(str)
        matrix = stored.assign(gene=gene, score=stored["score"].astype("float64")).pivot(
            index="cell_type", columns="gene", values="score"
        )
        matrix = matrix.loc[names, list(dict.fromkeys(gene))]
        return matrix.set_axis(pd.Index(names, name="group")).rename_axis(columns="names")

    parts = []
    for name in names:
        rows = stored[stored["cell_type"] == name]
        score = rows["score"].to_numpy(dtype=np.float64)
        rank = np.empty(len(rows), dtype=np.int64)
        rank[np.argsort(-np.abs(score), kind="stable")] = np.arange(1, len(rows) + 1)
        table = pd.DataFrame(
            {
                "group": pd.Categorical([name] * len(rows), categories=names),
                "names": rows["gene"].astype(str).to_numpy(dtype=object),
                "scores": score,
                "scores_sd": rows["score_sd"].to_numpy(dtype=np.float64),
                "agreement": rows["agreement"].to_numpy(dtype=np.float64),
                "effects": score * rows["gene_sd"].to_numpy(dtype=np.float64),
                "rank": rank,
            }
        )
        table = table[table["rank"] <= (n_top or len(table))]
        parts.append(table.sort_values("scores", ascending=False, kind="stable"))
    return pd.concat(parts, ignore_index=True)


def _stored_genes(adata: AnnData, key: str) -> pd.DataFrame:
    result = check_result(adata, key, tool="age_clock")
    genes = result.get("genes")
    missing = [name for name in _COLUMNS if name not in getattr(genes, "columns", [])]
    if missing:
        raise KeyError(
            f"The result `adata.uns[{key!r}]`, of the method {result['params'].get('method')!r}, "
            f"has no genes; it holds {listing(result)}. They are written by the default method "
            "for a clock that was cross-fitted, or for a given `sctools.model.AgeClock`, where at "
            "least 3 donors have a cell type: run "
            f"`sctools.tl.age_clock(adata, donor_key=…, key_added={key!r})` again."
        )
    return genes
