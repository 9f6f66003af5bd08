"""Attention to each regulator, over its edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from ._prior_result import prior_attention

if TYPE_CHECKING:
    from anndata import AnnData

_LEAST = 1e-12
"""Weight of an edge whose target has none: a TF with only such targets gets their plain mean."""


class TFLift(NamedTuple):
    """Mean lift of the TFs (rows, sorted by name) in the groups (columns, as stored)."""

    lift: pd.DataFrame  # float64
    n_targets: pd.Series  # per TF


def tf_lift(adata: AnnData, key: str) -> TFLift:
    """Average the lift over the edges of each TF, weighted by the read-out share of the targets.

    Parameters
    ----------
    adata
        Annotated data with the result of a prior transformer.
    key
        Its name.

    Returns
    -------
    Σ lift·gene_attention / Σ gene_attention over the edges of a TF, for every group, and the
    number of its edges.
    """
    stored = prior_attention(adata, key)
    tf = pd.Index(stored.source, name="TF")
    weight = stored.gene_attention + _LEAST
    total = pd.DataFrame(stored.lift * weight, tf, stored.groups).groupby(level=0).sum()
    share = pd.DataFrame(weight, tf, stored.groups).groupby(level=0).sum()
    n_targets = pd.Series(np.ones(len(tf), dtype="int64"), tf).groupby(level=0).sum()
    return TFLift(total / share, n_targets)


def contrast(values: pd.DataFrame) -> pd.DataFrame:
    """Subtract from each group (column) the mean of the other ones; one group stays as it is."""
    n = values.shape[1]
    if n == 1:
        return values.copy()
    return (values * n).sub(values.sum(axis="columns"), axis="index") / (n - 1)


def top_of_groups(contrasts: pd.DataFrame, n_top: int) -> list[str]:
    """Choose the ``n_top`` rows of highest contrast of every group.

    They stand in the order of the groups in which their contrast is highest, falling within each:
    the figure then runs diagonally.
    """
    values = contrasts.to_numpy()
    chosen = np.unique(np.argsort(-values, axis=0, kind="stable")[:n_top])
    best = values[chosen]
    order = np.lexsort((-best.max(axis=1), best.argmax(axis=1)))
    return [str(contrasts.index[i]) for i in chosen[order]]
