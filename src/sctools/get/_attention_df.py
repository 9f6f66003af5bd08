"""Attention of a prior transformer as a tidy data frame of edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._docs import docs
from .._keys import PRIOR_TRANSFORMER
from ._prior_result import check_groups, check_positive, prior_attention

if TYPE_CHECKING:
    from anndata import AnnData


@docs.dedent
def attention_df(
    adata: AnnData,
    group: str | Sequence[str] | None = None,
    *,
    key: str = PRIOR_TRANSFORMER,
    n_top: int | None = None,
) -> pd.DataFrame:
    """Attention of every edge of the prior network in every group of cells.

    Attention follows what the model found useful for telling cell types apart. It tracks
    co-expression and is no evidence of regulation; under the hard prior it lies on the network's
    edges by construction. Read the lift, which a target with a single regulator does not get for
    free, and compare with a model of the shuffled network (:func:`sctools.pl.compare_priors`).

    Parameters
    ----------
    adata
        Annotated data that :func:`sctools.tl.prior_transformer` was run on. It is left unchanged.
    group
        A group of cells, or several; by default all. Their names are in
        ``adata.uns[key]["groups"]``.
    %(key)s
    n_top
        Return only this many edges of each group, those with the highest score. By default all.

    Returns
    -------
    One row per group and edge: groups in the stored order, the edges of each by falling score.
    Numbers are float64. Columns:

    - ``group``: Categorical of the groups returned;
    - ``source``, ``target``: the regulator and the gene that attends to it;
    - ``weight``: of the prior network; above zero for activation, below for repression, zero or
      missing if unknown;
    - ``attention``: the share of its attention that the target gives to the source, from 0 to 1,
      mean over the cells of the group (and over heads and layers);
    - ``lift``: the attention times the number of genes that the target can attend to, itself
      among them; 1 is what evenly spread attention would give;
    - ``gene_attention``: the share that the target has in the read-out, from which the class is
      told; over all genes of the model they sum to 1;
    - ``score``: ``lift * gene_attention``.

    Raises
    ------
    KeyError
        If there is no result under ``key``.
    ValueError
        If a group is unknown, ``n_top`` is not a positive integer, the parts of the result do not
        fit each other, or there are no groups, as every cell was answered ``"Unknown"``: nothing
        was averaged then, and an empty table would look like an answer.

    See Also
    --------
    sctools.pl.attention_network : Draws the top edges of a group.
    sctools.pl.prior_transformer : Draws the mean lift of each regulator.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.regulated_cells(120, n_genes=150, n_tfs=20, n_targets=8)
    >>> quick = {"max_epochs": 2, "min_confidence": 0}  # for a quick example only
    >>> sctools.tl.prior_transformer(adata, "cell_type", "prior", progress_bar=False, **quick)
    >>> edges = sctools.get.attention_df(adata, n_top=10)
    >>> list(edges.columns)[:4]
    ['group', 'source', 'target', 'weight']
    """
    stored = prior_attention(adata, key)
    names = check_groups(group, stored.groups, key)
    check_positive(n_top, "n_top")

    parts = []
    for name in names:
        column = stored.groups.index(name)
        score = stored.lift[:, column] * stored.gene_attention[:, column]
        order = np.argsort(-score, kind="stable")[:n_top]
        parts.append(
            pd.DataFrame(
                {
                    "group": pd.Categorical([name] * len(order), categories=names),
                    "source": stored.source[order],
                    "target": stored.target[order],
                    "weight": stored.weight[order],
                    "attention": stored.attention[order, column],
                    "lift": stored.lift[order, column],
                    "gene_attention": stored.gene_attention[order, column],
                    "score": score[order],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
