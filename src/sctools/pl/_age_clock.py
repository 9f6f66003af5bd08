"""Predicted against true age."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.lines import Line2D

from .._docs import docs
from .._keys import AGE_CLOCK
from .._validate import check_obs_key, check_result, listing
from ..get import age_df, donor_age_df
from ..get._columns import as_float, as_groups
from ._utils import (
    COLORS,
    Palette,
    finish,
    legend_below,
    legend_right,
    letter_width,
    merge_kwargs,
    minus,
    new_axes,
    readable_viridis,
    resolve_palette,
)

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure, SubFigure

_MISSING = "0.6"
"""Colour of donors without a value, and of intervals: a grey that shows on white and on black."""

_MARKERS = "o^sDv"
"""Shapes of categories, of three in turn: of more colours, some look alike to colour-blind eyes."""


@docs.dedent
def age_clock(
    adata: AnnData,
    key: str = AGE_CLOCK,
    *,
    color: str | None = None,
    palette: Palette | None = None,
    intervals: bool = True,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    **kwargs: Any,
) -> Axes | Figure | SubFigure | None:
    """Predicted against true age of the donors.

    Every point is a donor (a sample, if the result was computed with a ``sample_key``) at the
    mean prediction of its cells. The solid line is where prediction and truth agree. The dashed
    line is the mean age, the prediction that needs no clock: its error stands in the legend next
    to that of the clock, and a clock that does not beat it is said not to. A pale bar is the
    interval of a donor's age. The legend stands below the axes: draw into figures made with
    ``layout="constrained"``, which makes room for it.

    Parameters
    ----------
    adata
        Annotated data with known ages that :func:`sctools.tl.age_clock` was run on. It is left
        unchanged.
    %(key)s
    color
        Column of ``adata.obs`` with one value per donor (or sample), such as the sex, to colour
        the donors by. Numbers are drawn with a colour bar, all else as categories: every three of
        them with another marker, so that more than three are told apart by colour-blind readers.
    palette
        Colours of the categories of ``color``: the name of a palette, a list, or a mapping from
        category to colour; for numbers, the name of a colour map. By default
        ``adata.uns[color + "_colors"]`` if there, else a colour-blind-safe palette.
    intervals
        Draw the donors' intervals, where the result has them.
    %(plot)s
    **kwargs
        Passed to :meth:`matplotlib.axes.Axes.scatter`, which draws the donors.

    Returns
    -------
    %(plot_returns)s

    Raises
    ------
    KeyError
        If there is no result under ``key``, or ``color`` is not a column of ``adata.obs``.
    ValueError
        If no ages are known or the result was computed without donors (use
        :func:`sctools.pl.age_by_celltype`), if ``color`` has several values within a donor, or if
        ``palette`` does not fit.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.aging_cohort(n_donors=12, n_genes=200, cells_per_donor=30)
    >>> few = {"max_epochs": 2}  # for a quick example only
    >>> sctools.tl.age_clock(adata, n_folds=2, train_kwargs=few)
    >>> ax = sctools.pl.age_clock(adata, color="sex", show=False)
    """
    result = check_result(adata, key, tool="age_clock")
    metrics = result.get("metrics")
    if not metrics:
        raise ValueError(
            f"The result {key!r} has no true ages to draw predictions against: no age was known "
            f"when it was computed. Use `sctools.pl.age_by_celltype(adata, {key!r})` to look at "
            "the predicted ages alone."
        )
    donors = donor_age_df(adata, key)
    donors = donors[donors["age"].notna() & donors["predicted"].notna()]
    values = None if color is None else _donor_values(adata, key, donors, color)
    # What does not fit fails before anything is drawn.
    cmap, colors = None, {}
    if values is not None and values.dtype == "float64":
        cmap = _cmap(palette)
    elif values is not None:
        colors = resolve_palette(adata, str(color), list(values.cat.categories), palette)

    # A square; what stands beside and below it comes on top.
    side = min(mpl.rcParams["figure.figsize"])
    beside = 0.0 if color is None else 0.9
    if colors:
        longest = max(map(len, [*colors, str(color)]))
        beside = math.ceil(len(colors) / 15) * (0.5 + longest * letter_width("small"))
    given = ax is not None
    ax = new_axes(ax, (side + beside, side + 0.35))
    foreground = mpl.rcParams["text.color"]
    line = {"color": foreground, "linewidth": 1, "zorder": 1}
    identity = ax.axline((0, 0), slope=1, label="Predicted = true age", **line)
    mean = ax.axhline(donors["mean_age"].mean(), linestyle="--", **line)

    defaults = {"s": 30 if len(donors) <= 100 else 14, "alpha": 0.85, "zorder": 2, "linewidth": 0}
    style = merge_kwargs(defaults, kwargs, PathCollection)
    markers = {name: style.get("marker", _MARKERS[i // 3 % 5]) for i, name in enumerate(colors)}
    drawn = _scatter(ax, donors, values, colors, markers, cmap, style)
    bars = _draw_intervals(ax, donors) if intervals and "lower" in donors.columns else None
    if cmap is not None:
        ax.figure.colorbar(drawn, ax=ax, label=str(color), shrink=0.8)
    _equal_limits(ax, donors, with_intervals=bars is not None)
    unit = str(result["age_unit"])
    ax.set(xlabel=f"Age ({unit})", ylabel=f"Predicted age ({unit})")

    at_donors = metrics["donor"]
    units = "sample" if "sample" in donors.columns else "donor"
    marker = Line2D([], [], linestyle="", marker="o", markersize=5)
    marker.set_color(
        foreground if values is not None or drawn is None else drawn.get_facecolor()[0]
    )
    marker.set_label(f"Clock, {_accuracy(at_donors, units, unit)}")
    mean.set_label(f"Mean age: MAE {at_donors['mae_mean']:.1f} {unit}")
    verdict = None if bool(metrics["beats_mean"]) else _failure(metrics)
    entries: list[Artist] = [marker, mean, identity]
    if bars is not None:
        bars.set_label(f"{100 * float(result['params']['level']):g} % interval")
        entries.append(bars)
    below = legend_below(ax, entries, title=verdict)
    if verdict is not None:
        below.get_title().set_fontweight("bold")
    if colors:
        handles = [
            Line2D([], [], linestyle="", marker=markers[name], markersize=5, color=c, label=name)
            for name, c in colors.items()
        ]
        if values is not None and values.isna().any():
            style = {"linestyle": "", "marker": "o", "markersize": 5}
            handles.append(Line2D([], [], color=_MISSING, label="unknown", **style))
        legend_right(ax, handles, title=color)
    return finish(ax, given=given, show=show, return_fig=return_fig)


def _donor_values(adata: AnnData, key: str, donors: pd.DataFrame, color: str) -> pd.Series:
    """Value of ``color`` for each row of ``donors``: float64 for numbers, else Categorical."""
    check_obs_key(adata, color, argument="color")
    cells = age_df(adata, key)
    by = [name for name in ("donor", "sample") if name in donors.columns]
    units = pd.MultiIndex.from_frame(cells[by].astype(str))
    column = adata.obs[color]
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    column = as_float(column) if numeric else as_groups(column)
    column = pd.Series(column.array, index=units)

    known = column[column.notna()]
    several = known.groupby(level=by, observed=True).nunique()
    several = several[several > 1]
    if len(several):
        names = [name if isinstance(name, str) else " / ".join(name) for name in several.index]
        raise ValueError(
            f"`color={color!r}` must have one value per {by[-1]}, since a point is a {by[-1]}. "
            f"It has several within {listing(names, limit=5)}. For values that differ between the "
            f"cells of a donor use `sctools.pl.age_by_celltype(adata, {key!r}, groupby={color!r})`."
        )
    first = known[~known.index.duplicated()]
    values = first.reindex(pd.MultiIndex.from_frame(donors[by].astype(str)))
    return pd.Series(values.array, index=donors.index)


def _scatter(
    ax: Axes,
    donors: pd.DataFrame,
    values: pd.Series | None,
    colors: dict[str, Any],
    markers: dict[str, Any],
    cmap: Colormap | None,
    style: dict[str, Any],
) -> PathCollection | None:
    x, y = donors["age"].to_numpy(), donors["predicted"].to_numpy()
    if values is None:
        default = {} if {"c", "color", "facecolor"} & set(style) else {"color": COLORS[0]}
        return ax.scatter(x, y, **default, **style)
    known = values.notna().to_numpy()
    if not known.all():
        ax.scatter(x[~known], y[~known], color=_MISSING, **style)
    if cmap is not None:
        return ax.scatter(x[known], y[known], c=values[known].to_numpy(), cmap=cmap, **style)
    for marker in dict.fromkeys(markers.values()):
        rows = known & values.map(markers).eq(marker).to_numpy()
        c = [colors[name] for name in values[rows]]
        ax.scatter(x[rows], y[rows], c=c, **{**style, "marker": marker})
    return None


def _draw_intervals(ax: Axes, donors: pd.DataFrame) -> LineCollection | None:
    """Draw a bar per donor beneath the points; ``None`` if no donor has an interval."""
    bounded = donors[donors["lower"].notna() & donors["upper"].notna()]
    if bounded.empty:
        return None
    few = len(donors) <= 100
    return ax.vlines(
        bounded["age"],
        bounded["lower"],
        bounded["upper"],
        color=_MISSING,
        alpha=0.6 if few else 0.35,
        linewidth=1.5 if few else 1.0,
        zorder=0.5,
    )


def _cmap(palette: Palette | None) -> Colormap:
    if palette is None:
        return readable_viridis()
    if not isinstance(palette, str):
        raise ValueError(
            "`color` is a column of numbers, for which `palette` must be the name of a colour map "
            f"such as 'viridis'; found {palette!r}."
        )
    return sns.color_palette(palette, as_cmap=True)


def _equal_limits(ax: Axes, donors: pd.DataFrame, *, with_intervals: bool) -> None:
    bounds = ["lower", "upper"] if with_intervals else []
    both = donors[["age", "predicted", "mean_age", *bounds]].to_numpy()
    low, high = np.nanmin(both), np.nanmax(both)
    margin = 0.05 * (high - low) or 1.0
    ax.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin))
    ax.set_aspect("equal", adjustable="box")


def _accuracy(metrics: dict[str, Any], units: str, unit: str) -> str:
    n = int(metrics["n"])
    text = f"{n:,} {units}{'' if n == 1 else 's'}: MAE {metrics['mae']:.1f} {unit}"
    # Undefined with one or two donors, or constant predictions.
    return text + (f", r = {minus(metrics['r'], 2)}" if np.isfinite(metrics["r"]) else "")


def _failure(metrics: dict[str, Any]) -> str:
    p = metrics.get("p_value", np.nan)
    return "Does not beat the mean age" + (f" (p = {p:.2g})" if np.isfinite(p) else "")
