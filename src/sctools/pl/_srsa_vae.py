"""Attention of groups of cells to the tokens of an SRSA-VAE."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from .._arguments import check_choice
from .._docs import docs
from .._keys import SRSA_VAE, SRSAVAEKeys
from .._validate import check_result
from ._attention_table import AttentionTable, attention_table, check_groupby, check_n_tokens
from ._heatmap import draw_heatmap
from ._utils import diverging_cmap, finish

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure, SubFigure

_MIN_LIMIT = 0.1
"""Least end of the scale of lifts (7 % more): smaller differences stay pale."""

_WRAP = 40
"""Letters of a group name in one line."""


@docs.dedent
def srsa_vae(
    adata: AnnData,
    key: str = SRSA_VAE,
    *,
    groupby: str | None = None,
    value: Literal["lift", "attention"] = "lift",
    n_tokens: int | None = None,
    cmap: str | Colormap | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    **kwargs: Any,
) -> Axes | Figure | SubFigure | None:
    """Heatmap of how much each group of cells attends to each token.

    A cell spreads its attention, one in all, over the tokens of the model; a row of the heatmap
    is the mean over the cells of a group, whose number stands with its name. Tokens bear the
    number of their column in ``adata.obsm["X_<key>_attention"]``, from 0, and stand in the order
    of the groups that they lift most, so that tokens of single groups form a diagonal. In this a
    group of a few cells counts less, as if it had ten average cells more. Tokens whose highest
    lift is below a tenth of that of any token come last.

    Draw into figures made with ``layout="constrained"``, which makes room for the names of groups.

    Parameters
    ----------
    adata
        Annotated data that :func:`sctools.tl.srsa_vae` was run on; of MuData, the modality with
        the RNA. It is left unchanged.
    %(key)s
    groupby
        Column of ``adata.obs`` with the groups: categories, text, or a few different numbers. By
        default the labels that the model was trained with (its ``labels_key``), else the mixture
        components of the cells, ``adata.obs[key]``. Cells without a group are left out of the
        rows. Groups are natural-sorted unless ``groupby`` is a Categorical with its own order.
    value
        ``"lift"`` draws the log2 of the mean attention of the group over that of all cells (with
        or without a group): 1 is twice as much, −1 half as much. ``"attention"`` draws the mean
        attention itself, a fraction from 0 to 1. The lift is the default because it shows what
        tells groups apart even where attention is spread nearly evenly. Its scale ends at the
        highest lift, though not below ±0.1; what lies lower than its lower end has the colour of
        that end.
    n_tokens
        Draw only the tokens with the highest mean attention over all cells, at most this many.
        Unused tokens are left out in any case, and their number is stated at the axis: those to
        which no group gives a tenth of an even share, ``0.1 / n`` for a model of ``n`` tokens.
    cmap
        Colour map. By default a diverging one for lifts, ``"RdBu_r"`` or in a dark style
        ``"icefire"``, and ``"viridis"`` for attention.
    %(plot)s
    **kwargs
        Passed to :func:`seaborn.heatmap`, such as ``vmax``, ``annot`` or ``cbar``.

    Returns
    -------
    %(plot_returns)s

    Raises
    ------
    KeyError
        If there is no result under ``key``, its attention is missing from ``adata.obsm``, or
        ``groupby`` is not a column of ``adata.obs``.
    ValueError
        If the result was computed without attention, or the rows of its attention are not shares
        that sum to one; if there is nothing to group by: neither ``groupby`` nor labels nor
        components; if the column has too many values to be groups, or none; if ``value`` is
        unknown, or ``n_tokens`` is not a positive integer.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.immune_mixture(100, n_genes=100)
    >>> sctools.tl.srsa_vae(adata, labels_key="cell_type", max_epochs=2, progress_bar=False)
    >>> ax = sctools.pl.srsa_vae(adata, show=False)
    """
    params = check_result(adata, key, tool="srsa_vae")["params"]
    check_choice(value, ("lift", "attention"), "value")
    check_n_tokens(n_tokens)
    groupby = check_groupby(adata, params, groupby, key)
    table = attention_table(adata, params, key, groupby, n_tokens)
    drawn = table.lift if value == "lift" else table.mean
    kind = "Mixture component" if groupby == SRSAVAEKeys.of(key).component else groupby
    labelled = drawn.set_axis(_row_labels(table.n_cells), axis=0)
    labelled = labelled.rename_axis(index=f"{kind} (cells)", columns=_token_label(table))

    given = ax is not None
    if value == "lift":
        label, center = "Mean attention\nover that of all cells (log₂)", 0.0
        cmap = diverging_cmap(cmap)
    else:
        label, center = "Mean attention\n(fraction)", None
        cmap = "viridis" if cmap is None else cmap
    ax = draw_heatmap(
        labelled, label=label, center=center, least=_MIN_LIMIT, cmap=cmap, ax=ax, kwargs=kwargs
    )
    return finish(ax, given=given, show=show, return_fig=return_fig)


def _row_labels(n_cells: pd.Series) -> list[str]:
    return [
        textwrap.fill(f"{name} ({n:,})", _WRAP, break_long_words=False, break_on_hyphens=False)
        for name, n in n_cells.items()
    ]


def _token_label(table: AttentionTable) -> str:
    n_shown = table.mean.shape[1]
    n_used = table.n_tokens - table.n_unused
    unused = f"{table.n_unused} unused left out" if table.n_unused else ""
    if n_shown < n_used:
        most = f"the {n_shown} most used of {table.n_tokens}"
        return f"Token ({most}, {unused})" if unused else f"Token ({most})"
    return f"Token ({n_shown} of {table.n_tokens}, {unused})" if unused else "Token"
