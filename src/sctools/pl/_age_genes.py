"""Top genes by which an age clock tells the age, for each cell type."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.collections import PathCollection
from matplotlib.lines import Line2D

from .._docs import docs
from .._keys import AGE_CLOCK
from .._validate import check_result
from ..get import age_genes_df
from ..get._prior_result import check_positive
from ._utils import (
    COLORS,
    Palette,
    finish,
    legend_below,
    letter_width,
    merge_kwargs,
    new_axes,
    points,
    resolve_palette,
    wrapped,
)

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_UP, _DOWN = COLORS[3], COLORS[0]
_COLUMNS = 3
"""Cell types side by side."""
_TITLE = 24
"""Letters in a line of a title."""


@docs.dedent
def age_genes(
    adata: AnnData,
    key: str = AGE_CLOCK,
    *,
    groups: str | Sequence[str] | None = None,
    n_genes: int = 10,
    palette: Palette | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    **kwargs: Any,
) -> Axes | list[Axes] | Figure | SubFigure | None:
    """Top genes of each cell type by which the clock tells the age.

    A point is how many years a donor's predicted age rises with one standard deviation of a gene in
    one cell type (see :func:`sctools.get.age_genes_df`), its bar the standard deviation over the
    fold clocks. The genes with the largest absolute values are drawn, those that rise with age on
    top. Points are open where the fold clocks do not agree in the sign. All panels have one scale.

    Parameters
    ----------
    adata
        Annotated data that :func:`sctools.tl.age_clock` was run on. It is left unchanged.
    %(key)s
    groups
        The cell types to draw, in this order; all by default.
    n_genes
        Genes of each cell type.
    palette
        Colours of the genes that rise and of those that fall with age: a list of two, the name of a
        palette, or a mapping with ``"up"`` and ``"down"``.
    ax
        Axes to draw into, for a single cell type. By default a new figure is made, with a panel
        for each.
    show
        Show the figure. ``None`` follows ``scanpy.settings.autoshow``, except that a figure whose
        ``ax`` was given is never shown for you.
    return_fig
        Return the :class:`~matplotlib.figure.Figure` instead of the axes.
    **kwargs
        Passed to :meth:`matplotlib.axes.Axes.scatter`, which draws the points.

    Returns
    -------
    The :class:`~matplotlib.axes.Axes`, a list of them for several cell types; the figure with
    ``return_fig=True``; ``None`` when shown.

    Raises
    ------
    KeyError
        If there is no result under ``key``, or it has no genes.
    ValueError
        If ``groups`` names what the result does not have, ``n_genes`` is not a positive integer,
        ``palette`` does not fit, or ``ax`` is given for several cell types.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.aging_cohort(12, n_genes=200, n_age_genes=20, cells_per_donor=20)
    >>> few = {"max_epochs": 2}  # for a quick example only
    >>> sctools.tl.age_clock(adata, n_folds=2, train_kwargs=few, progress_bar=False)
    >>> axes = sctools.pl.age_genes(adata, show=False)
    """
    check_positive(n_genes or 0, "n_genes")
    table = age_genes_df(adata, key, group=groups, n_top=n_genes)
    names = [str(name) for name in table["group"].cat.categories]
    if ax is not None and len(names) > 1:
        raise ValueError(
            f"One `ax` has room for one cell type, found {len(names)}. Name it, for example "
            f"`groups={names[0]!r}`, or leave `ax` out."
        )
    colors = {"up": _UP, "down": _DOWN}
    if palette is not None:
        colors = resolve_palette(adata, "direction", list(colors), palette)
    table = table[table["scores"] != 0]  # of a clock that answers the mean age
    given = ax is not None
    axes = [new_axes(ax, (0, 0))] if ax is not None else _panels(names, table, n_genes)
    style = merge_kwargs({"s": 24, "linewidth": 1.2, "zorder": 3}, kwargs, PathCollection)
    for panel, name in zip(axes, names, strict=True):
        _draw(panel, table[table["group"] == name], colors, style)
        # To the right: what is too long for the axes has room above the names of genes.
        title = "\n".join(wrapped([name], _TITLE))
        panel.set_title(title, loc="right", fontsize="medium")
    low = float((table["scores"] - table["scores_sd"].fillna(0)).min()) if len(table) else -1.0
    high = float((table["scores"] + table["scores_sd"].fillna(0)).max()) if len(table) else 1.0
    low, high = min(low, 0.0), max(high, 0.0)
    for panel in axes:
        panel.set_xlim(low - 0.06 * (high - low), high + 0.06 * (high - low))

    unit = str(check_result(adata, key, tool="age_clock")["age_unit"])
    for panel in axes[-_COLUMNS:]:  # the lowest of each column
        panel.set_xlabel(f"{unit.capitalize()} per SD")
    handles = _handles(colors, table)
    if given:
        legend_below(axes[0], handles)
    else:
        style = {"ncols": min(len(axes), 2), "frameon": False, "fontsize": "small"}
        figure: Any = axes[0].figure
        figure.legend(handles=handles, loc="outside lower center", **style)
    drawn = axes[0] if len(axes) == 1 else axes
    return finish(drawn, given=given, show=show, return_fig=return_fig)


def _panels(names: Sequence[str], table: pd.DataFrame, n_genes: int) -> list[Axes]:
    """Axes of a new figure, one for each cell type."""
    columns = min(len(names), _COLUMNS)
    rows = math.ceil(len(names) / columns)
    longest = max((len(gene) for gene in table["names"]), default=0)
    titles = max(name.count("\n") + 1 for name in wrapped(names, _TITLE))
    size = points(mpl.rcParams["axes.labelsize"]) / 72
    width = 1.7 + letter_width("small") * longest
    height = _row_inches() * max(n_genes, 3) + 1.3 * size * (titles + 1.5)
    legend = letter_width("small") * (45 if columns == 1 else 75)
    figsize = (max(columns * width, legend), rows * height + 6 * size)
    if len(names) == 1:
        return [new_axes(None, figsize)]
    _, grid = plt.subplots(
        rows, columns, sharex=True, squeeze=False, figsize=figsize, layout="constrained"
    )
    axes = [new_axes(panel, figsize) for panel in grid.ravel()]
    for panel in axes[len(names) :]:
        panel.remove()
    for panel in axes[len(names) - columns : len(names)]:
        panel.tick_params(axis="x", labelbottom=True)
    return axes[: len(names)]


def _row_inches() -> float:
    return 1.5 * points("small") / 72


def _draw(
    ax: Axes, rows: pd.DataFrame, colors: Mapping[str, Any], style: Mapping[str, Any]
) -> None:
    background = mpl.rcParams["axes.facecolor"]
    y = np.arange(len(rows))
    score, spread = rows["scores"].to_numpy(), rows["scores_sd"].fillna(0).to_numpy()
    ax.axvline(0, color=mpl.rcParams["text.color"], linewidth=1, linestyle="--", zorder=1)
    for name, chosen in {"up": score > 0, "down": score < 0}.items():
        color = colors[name]
        ends = (score - spread)[chosen], (score + spread)[chosen]
        ax.hlines(y[chosen], *ends, color=color, linewidth=1.5, zorder=2)
        own = {"edgecolor": color, **style}
        if not {"c", "color", "facecolor"} & set(style):
            agree = rows["agreement"].to_numpy()[chosen] >= 1
            own["facecolor"] = [color if yes else background for yes in agree]
        ax.scatter(score[chosen], y[chosen], **own)
    ax.set_yticks(y, labels=rows["names"], fontsize="small")
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(max(len(rows), 3) - 0.4, -0.6)
    if rows.empty:
        ax.annotate(
            "the clock answers\nthe mean age",
            (0.5, 0.5),
            xycoords="axes fraction",
            ha="center",
            va="center",
            fontsize="small",
            fontstyle="italic",
        )


def _handles(colors: Mapping[str, Any], table: pd.DataFrame) -> list[Line2D]:
    """Tell what colours, bars and open points mean, as far as they occur."""
    line: dict[str, Any] = {"marker": "o", "markersize": 5}
    if table.empty:
        return []
    bars = table["scores_sd"].notna().any()
    told = {"up": "Older with more expression", "down": "Younger with more expression"}
    handles = [
        Line2D([], [], color=colors[name], linewidth=1.5 * bars, label=label, **line)
        for name, label in told.items()
    ]
    gray = "0.5"
    if bars:
        label = "Standard deviation over folds"
        handles.append(Line2D([], [], color=gray, linewidth=1.5, label=label))
    if (table["agreement"] < 1).any():
        face = mpl.rcParams["axes.facecolor"]
        line |= {"markerfacecolor": face, "linewidth": 0, "label": "Folds differ in sign"}
        handles.append(Line2D([], [], color=gray, **line))
    return handles
