"""Forest plot of age acceleration over cell types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.collections import PathCollection
from matplotlib.lines import Line2D

from .._docs import docs
from .._keys import AGE_ACCELERATION
from .._validate import check_result, listing
from ..get import age_acceleration_df
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

_ALL_CELLS = "all cells"

_COLUMNS = {"q": 8, "donors": 9, "cells": 9}
"""What stands beside the axes, with the width of each column in letters."""

_GAP = 0.5
"""Rows between cell types where each has several groups, and before the row of all cells."""


@docs.dedent
def age_acceleration(
    adata: AnnData,
    key: str = AGE_ACCELERATION,
    *,
    groups: Sequence[str] | None = None,
    order: Sequence[str] | None = None,
    q_max: float = 0.05,
    palette: Palette | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    **kwargs: Any,
) -> Axes | Figure | SubFigure | None:
    """Age acceleration of groups of donors in each cell type, with intervals.

    A point is the adjusted difference in predicted age between a group and the reference, in the
    unit of age, its line the interval. Points of effects with ``q`` up to ``q_max`` are filled and
    their q is bold; the others are open. Beside them stand q, the number of donors (group +
    reference) and of cells. The row of all cells comes last, as a diamond. Rows that could not be
    tested, for want of donors, say so.

    The numbers stand outside of the axes: draw into figures made with ``layout="constrained"``,
    which makes room for them.

    Parameters
    ----------
    adata
        Annotated data that :func:`sctools.tl.age_acceleration` was run on. It is left unchanged.
    %(key)s
    groups
        The groups to draw, in this order; all by default.
    order
        The cell types to draw, in this order; ``"all cells"`` is one of them. All by default.
    q_max
        Largest q that is marked.
    palette
        Colours of the groups: the name of a palette, a list, or a mapping from group to colour.
        By default ``adata.uns[groupby + "_colors"]`` if there, else a colour-blind-safe palette.
    %(plot)s
    **kwargs
        Passed to :meth:`matplotlib.axes.Axes.scatter`, which draws the points.

    Returns
    -------
    %(plot_returns)s

    Raises
    ------
    KeyError
        If there is no result under ``key``.
    ValueError
        If ``groups`` or ``order`` names what the result does not have, or ``palette`` does not fit.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.aging_cohort(
    ...     16, n_genes=200, n_age_genes=20, cells_per_donor=30, group_acceleration=10
    ... )
    >>> few = {"max_epochs": 2}  # for a quick example only
    >>> sctools.tl.age_clock(adata, n_folds=2, train_kwargs=few, progress_bar=False)
    >>> sctools.tl.age_acceleration(adata, "group", reference="control")
    >>> ax = sctools.pl.age_acceleration(adata, show=False)
    """
    table = age_acceleration_df(adata, key)
    result = check_result(adata, key, tool="age_acceleration")
    groups = _chosen(groups, table["group"], "groups")
    order = _chosen(order, table["cell_type"], "order")
    colors = _colors(adata, str(result["params"]["groupby"]), table["group"], groups, palette)
    table = table[table["group"].isin(groups) & table["cell_type"].isin(order)].copy()
    names = wrapped(order, 36)
    table["y"], height = _rows(table, order, names, groups)

    given = ax is not None
    ax = new_axes(ax, _figsize(names, height, len(groups)))
    style = merge_kwargs({"s": 36, "linewidth": 1.3, "zorder": 3}, kwargs, PathCollection)
    for group in groups:
        _draw(ax, table[table["group"] == group], colors[group], q_max, style)
    foreground = mpl.rcParams["text.color"]
    ax.axvline(0, color=foreground, linewidth=1, linestyle="--", zorder=1)
    ax.set_ylim(height - 0.4, -0.6)
    middle = table.groupby(table["cell_type"].astype(str))["y"].mean()
    ax.set_yticks([middle[name] for name in order], labels=names)
    ax.tick_params(axis="y", length=0)
    _numbers(ax, table, q_max)

    level = 100 * float(result["params"]["level"])
    ax.set_xlabel(f"Age acceleration ({result['age_unit']}, {level:g} % interval)")
    who = groups[0] if len(groups) == 1 else "Groups"
    against = " and ".join(table["reference"].astype(str).unique())
    ax.set_title("\n".join(wrapped([f"{who} against {against}"], 44)), fontsize="medium")
    if len(groups) > 1:
        handles = [
            Line2D([], [], color=colors[name], marker="o", markersize=5, linewidth=1.5, label=name)
            for name in groups
        ]
        legend_below(ax, handles)
    return finish(ax, given=given, show=show, return_fig=return_fig)


def _chosen(asked: Sequence[str] | None, column: pd.Series, argument: str) -> list[str]:
    """Names to draw: those asked for, else all in the order of the result."""
    present = set(column)
    known = [str(name) for name in column.cat.categories if name in present]
    if asked is None:
        return known
    names = [asked] if isinstance(asked, str) else [str(name) for name in asked]
    unknown = [name for name in names if name not in known]
    if unknown or not names or len(set(names)) < len(names):
        raise ValueError(
            f"`{argument}` must name some of {listing(known)}, each once; found {listing(names)}."
        )
    return names


def _colors(
    adata: AnnData, groupby: str, column: pd.Series, drawn: list[str], palette: Palette | None
) -> Mapping[str, Any]:
    if isinstance(palette, Mapping):
        return resolve_palette(adata, groupby, drawn, palette)
    # All groups, drawn or not: a group keeps its colour.
    names = [str(name) for name in column.cat.categories]
    if palette is None and groupby not in adata.obs.columns:
        palette = [COLORS[i % len(COLORS)] for i in range(len(names))]
    return resolve_palette(adata, groupby, names, palette)


def _rows(
    table: pd.DataFrame, order: Sequence[str], names: Sequence[str], groups: Sequence[str]
) -> tuple[np.ndarray, float]:
    """Place of every row of the table, counted from the top, and the height of all together."""
    first: dict[str, float] = {}
    at = 0.0
    for cell_type, name in zip(order, names, strict=True):
        if first and (len(groups) > 1 or cell_type == _ALL_CELLS):
            at += _GAP
        # A long name may need more lines than there are rows.
        room = max(0.0, 0.7 * (name.count("\n") + 1) - len(groups))
        first[cell_type] = at + room / 2
        at += len(groups) + room
    place = {group: i for i, group in enumerate(groups)}
    y = [first[t] + place[g] for t, g in zip(table["cell_type"], table["group"], strict=True)]
    return np.array(y), at


def _row_inches() -> float:
    return 1.9 * points(mpl.rcParams["ytick.labelsize"]) / 72


def _figsize(names: Sequence[str], height: float, n_groups: int) -> tuple[float, float]:
    letter = letter_width(mpl.rcParams["ytick.labelsize"])
    longest = max(len(line) for name in names for line in name.split("\n"))
    beside = letter_width("small") * sum(_COLUMNS.values())
    size = points(mpl.rcParams["axes.labelsize"])
    below = 1.3 * size / 72 * (4.5 + 1.3 * n_groups * (n_groups > 1))
    inner = 0.47 * mpl.rcParams["figure.figsize"][0]
    return inner + letter * longest + beside, below + _row_inches() * (height + 1.2)


def _draw(ax: Axes, rows: pd.DataFrame, color: Any, q_max: float, style: Mapping[str, Any]) -> None:
    background = mpl.rcParams["axes.facecolor"]
    tested = rows[rows["effect"].notna()]
    ax.hlines(tested["y"], tested["lower"], tested["upper"], color=color, linewidth=1.5, zorder=2)
    for whole, part in tested.groupby(tested["cell_type"] == _ALL_CELLS):
        own = {"marker": "D" if whole else "o", "edgecolor": color, **style}
        if not {"c", "color", "facecolor"} & set(style):
            own["facecolor"] = [color if q <= q_max else background for q in part["q"]]
        ax.scatter(part["effect"], part["y"], **own)
    for y in rows.loc[rows["effect"].isna(), "y"]:
        ax.annotate(
            "not tested",
            (0.5, y),
            xycoords=("axes fraction", "data"),
            ha="center",
            va="center",
            fontsize="small",
            fontstyle="italic",
            bbox={"facecolor": background, "edgecolor": "none", "pad": 1},
        )


def _numbers(ax: Axes, table: pd.DataFrame, q_max: float) -> None:
    """Columns to the right of the axes, under their names."""
    right = 0.0
    for name, width in _COLUMNS.items():
        right += 72 * letter_width("small") * width
        place: dict[str, Any] = {
            "xytext": (right, 0),
            "textcoords": "offset points",
            "ha": "right",
            "va": "center",
            "fontsize": "small",
            "annotation_clip": False,
        }
        for row in table.itertuples():
            marked = name == "q" and row.q <= q_max
            ax.annotate(
                _cell(name, row),
                (1, row.y),
                xycoords=("axes fraction", "data"),
                fontweight="bold" if marked else "normal",
                **place,
            )
        above = place | {"xytext": (right, 0.4 * points("small")), "va": "bottom"}
        ax.annotate(name, (1, 1), xycoords="axes fraction", **above)


def _cell(name: str, row: Any) -> str:
    if name == "donors":
        return f"{row.n_donors} + {row.n_donors_reference}"
    if name == "cells":
        return f"{row.n_cells + row.n_cells_reference:,}"
    if not np.isfinite(row.q):
        return "\N{EN DASH}"
    return "< 0.001" if row.q < 0.001 else f"{row.q:.3f}" if row.q < 0.1 else f"{row.q:.2f}"
