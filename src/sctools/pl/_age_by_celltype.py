"""Predicted age or age acceleration of groups of cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba

from .._arguments import check_choice
from .._docs import docs
from .._keys import AGE_CLOCK
from .._validate import check_obs_key, check_result, listing
from ..get import age_df, donor_age_df
from ..get._columns import as_groups
from ._utils import (
    Palette,
    finish,
    is_dark,
    letter_width,
    merge_kwargs,
    new_axes,
    points,
    resolve_palette,
)

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_MAX_COLUMNS = 6
"""More groups than these are drawn as rows."""

_MIN_BOX = 4
"""Quartiles of fewer points would say more than the data do."""


@docs.dedent
def age_by_celltype(
    adata: AnnData,
    key: str = AGE_CLOCK,
    *,
    groupby: str | None = None,
    value: Literal["age", "acceleration"] = "age",
    order: Sequence[str] | None = None,
    palette: Palette | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    **kwargs: Any,
) -> Axes | Figure | SubFigure | None:
    """Predicted age of each cell type, one point per donor.

    A point is the mean over the cells of one donor (one sample, if the result was computed with
    a ``sample_key``) in one group, so that a donor counts once however many cells it gave. Boxes
    show the quartiles over donors, whiskers reach to the outermost donor within 1.5 times their
    distance; groups of fewer than four donors get a line at the median instead. If the result was
    computed without donors, points are cells. The numbers of cells and donors stand with each
    group.

    Many or long group names turn the figure on its side, so that they stay readable.

    Parameters
    ----------
    adata
        Annotated data that :func:`sctools.tl.age_clock` was run on. It is left unchanged.
    %(key)s
    groupby
        Column of ``adata.obs`` with the groups; by default the cell types that the result was
        computed with (its ``cell_type_key``). Cells without a group are left out.
    value
        ``"age"`` draws predicted ages. ``"acceleration"`` draws the predicted age minus the one
        expected at the true age, with a line at zero; it needs known ages.
    order
        The groups to draw, in this order. By default all that have a value, natural-sorted unless
        ``groupby`` is a Categorical with an order of its own.
    palette
        Colours of the groups: the name of a palette, a list, or a mapping from group to colour.
        By default ``adata.uns[groupby + "_colors"]`` if there, else a colour-blind-safe palette;
        more groups than that has colours share one.
    %(plot)s
    **kwargs
        Passed to :meth:`matplotlib.axes.Axes.scatter`, which draws the points.

    Returns
    -------
    %(plot_returns)s

    Raises
    ------
    KeyError
        If there is no result under ``key``, or ``groupby`` is not a column of ``adata.obs``.
    ValueError
        If there are no groups: neither ``groupby`` nor cell types in the result, or none with a
        value; if ``value`` is unknown, or is ``"acceleration"`` where no ages are known; if
        ``order`` names an unknown group, or ``palette`` does not fit.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.aging_cohort(n_donors=12, n_genes=200, cells_per_donor=30)
    >>> few = {"max_epochs": 2}  # for a quick example only
    >>> sctools.tl.age_clock(adata, n_folds=2, train_kwargs=few)
    >>> ax = sctools.pl.age_by_celltype(adata, value="acceleration", show=False)
    """
    result = check_result(adata, key, tool="age_clock")
    check_choice(value, ("age", "acceleration"), "value")
    groupby = _check_groupby(adata, result["params"], groupby, key)
    table, unit = _table(adata, result["params"], key, groupby, value)
    names = _check_order(table["group"], order, groupby)
    colors = resolve_palette(adata, groupby, names, palette, named=True)

    counts = table.groupby("group", observed=False)["n_cells"].agg(["sum", "size"]).loc[names]
    given = ax is not None
    horizontal = _is_horizontal(names, ax)
    ax = new_axes(ax, _figsize(names, horizontal))
    _draw(ax, table, names, colors, horizontal, kwargs)
    _label_groups(ax, names, counts, unit, horizontal)

    years = str(result["age_unit"])
    if value == "acceleration":
        foreground = mpl.rcParams["text.color"]
        line = ax.axvline if horizontal else ax.axhline
        line(0, color=foreground, linewidth=1, linestyle="--", zorder=1)
        label = f"Age acceleration ({years})"
    else:
        label = f"Predicted age ({years})"
    ax.set(**{"xlabel" if horizontal else "ylabel": label})
    return finish(ax, given=given, show=show, return_fig=return_fig)


def _check_groupby(adata: AnnData, params: dict[str, Any], groupby: str | None, key: str) -> str:
    if groupby is not None:
        check_obs_key(adata, groupby, argument="groupby")
        return groupby
    known = params.get("cell_type_key")
    if known is None:
        raise ValueError(
            f"The result {key!r} was computed without cell types. Name a column of `adata.obs` to "
            f"group the cells by: `groupby=…`. Available: {listing(adata.obs.columns)}."
        )
    check_obs_key(
        adata,
        known,
        argument="cell_type_key",
        mend=f"The result {key!r} was computed with it. Name another column with `groupby=…`.",
    )
    return str(known)


def _table(
    adata: AnnData, params: dict[str, Any], key: str, groupby: str, value: str
) -> tuple[pd.DataFrame, str]:
    """Return one row per point (``group``, ``value``, ``n_cells``), and what a point stands for."""
    if params.get("donor_key") is None:
        unit = "cell"
        table = age_df(adata, key).assign(n_cells=1)
        table[groupby] = as_groups(adata.obs[groupby])
    else:
        unit = "donor" if params.get("sample_key") is None else "sample"
        table = donor_age_df(adata, key, groupby=groupby)
    column = "predicted" if value == "age" else "acceleration"
    if column not in table.columns or not (table[column].notna().any() or len(table) == 0):
        raise ValueError(
            f"`value={value!r}` needs true ages, and the result {key!r} was computed without any. "
            "Use `value='age'` to draw the predicted ages."
        )
    table = table[[groupby, column, "n_cells"]].set_axis(["group", "value", "n_cells"], axis=1)
    return table.dropna().reset_index(drop=True), unit


def _check_order(groups: pd.Series, order: Sequence[str] | None, groupby: str) -> list[str]:
    known = [str(name) for name in groups.cat.categories]
    if order is None:
        present = set(groups)
        names = [name for name in known if name in present]
        if not names:
            raise ValueError(
                f"No cell has both a group in `adata.obs[{groupby!r}]` and a value to draw. Name "
                "another column with `groupby=…`."
            )
        return names
    names = [order] if isinstance(order, str) else [str(name) for name in order]
    unknown = [name for name in names if name not in known]
    if unknown or not names or len(set(names)) < len(names):
        raise ValueError(
            f"`order` must name groups of {groupby!r}, each once; found {listing(names)}. "
            f"Unknown: {listing(unknown)}. Available: {listing(known)}."
        )
    return names


def _is_horizontal(names: Sequence[str], ax: Axes | None) -> bool:
    """Whether names side by side would be too many or would touch."""
    if len(names) > _MAX_COLUMNS:
        return True
    width = (
        _column_width() * len(names) if ax is None else ax.get_window_extent().width / ax.figure.dpi
    )
    letter = letter_width(mpl.rcParams["xtick.labelsize"])
    return max(map(len, names)) * letter > 0.95 * width / len(names)


def _column_width() -> float:
    """Inches that the counts below a group need."""
    return 0.1 * points(mpl.rcParams["xtick.labelsize"])


def _figsize(names: Sequence[str], horizontal: bool) -> tuple[float, float]:
    if not horizontal:
        return 0.9 + _column_width() * max(len(names), 2), 3.6
    row = 2.6 * points(mpl.rcParams["ytick.labelsize"]) / 72
    text = letter_width(mpl.rcParams["ytick.labelsize"]) * min(max(*map(len, names), 20), 60)
    inner = 0.5 * mpl.rcParams["figure.figsize"][0]
    return inner + text, 0.8 + row * max(len(names), 2)


def _draw(
    ax: Axes,
    table: pd.DataFrame,
    names: Sequence[str],
    colors: dict[str, Any],
    horizontal: bool,
    kwargs: dict[str, Any],
) -> None:
    foreground = mpl.rcParams["text.color"]
    many = table["group"].value_counts().max() > 200
    alpha = (0.7 if is_dark() else 0.3) if many else 0.8
    defaults = {"s": 4 if many else 14, "alpha": alpha, "linewidth": 0, "zorder": 3}
    style = merge_kwargs(defaults, {"rasterized": many, **kwargs}, PathCollection)
    median = {"color": foreground, "linewidth": 1.5, "zorder": 2}
    for position, name in enumerate(names):
        values = np.sort(table.loc[table["group"] == name, "value"].to_numpy(dtype="float64"))
        if len(values) >= _MIN_BOX:
            # Behind the points, or around them where they would hide it.
            face, zorder = ("none", 4) if many else (to_rgba(colors[name], 0.3), 2)
            _box(ax, values, position, face, zorder, horizontal)
        elif len(values) > 1:
            middle, ends = [np.median(values)] * 2, [position - 0.25, position + 0.25]
            ax.plot(*((middle, ends) if horizontal else (ends, middle)), **median)
        across = position + _spread(len(values))
        color = {} if {"c", "color", "facecolor"} & set(style) else {"color": colors[name]}
        ax.scatter(*((values, across) if horizontal else (across, values)), **color, **style)


def _box(
    ax: Axes, values: np.ndarray, position: int, face: Any, zorder: int, horizontal: bool
) -> None:
    foreground = mpl.rcParams["text.color"]
    line = {"color": foreground, "linewidth": 0.8}
    # `orientation` is new in matplotlib 3.10, `vert` is on its way out since.
    new = hasattr(mpl, "__version_info__") and mpl.__version_info__ >= (3, 10)
    turned: dict[str, Any] = (
        {"orientation": "horizontal" if horizontal else "vertical"}
        if new
        else {"vert": not horizontal}
    )
    ax.boxplot(
        values,
        positions=[position],
        widths=0.6,
        showfliers=False,
        patch_artist=True,
        manage_ticks=False,
        boxprops={"facecolor": face, "edgecolor": foreground, "linewidth": 0.8},
        medianprops={"color": foreground, "linewidth": 1.5},
        whiskerprops=line,
        capprops={"linewidth": 0},
        zorder=zorder,
        **turned,
    )


def _spread(n: int) -> np.ndarray:
    """Offsets across the group that keep neighbours in value apart; no randomness."""
    golden = 0.5 * (np.sqrt(5) - 1)
    return 0.36 * ((np.arange(1, n + 1) * golden) % 1 - 0.5) if n > 1 else np.zeros(n)


def _label_groups(
    ax: Axes, names: Sequence[str], counts: pd.DataFrame, unit: str, horizontal: bool
) -> None:
    """Name each group on its tick, with the numbers below in smaller print."""
    axis = ax.yaxis if horizontal else ax.xaxis
    size = points(mpl.rcParams["ytick.labelsize" if horizontal else "xtick.labelsize"])
    numbers = [
        (", " if horizontal else "\n").join(
            _count(n, of) for n, of in zip(row, ("cell", unit), strict=True)
        )
        if unit != "cell"
        else _count(row[0], "cell")
        for row in counts.itertuples(index=False)
    ]
    positions = range(len(names))
    # Minor ticks at the same places carry the numbers.
    axis.remove_overlapping_locs = False
    axis.set_ticks(positions, labels=names)
    axis.set_ticks(positions, labels=numbers, minor=True)
    axis.set_tick_params(which="both", length=0)
    axis.set_tick_params(which="minor", labelsize=0.8 * size)
    pad = mpl.rcParams["xtick.major.pad"]
    edge = (len(names) - 0.4, -0.6)
    if horizontal:
        axis.set_tick_params(which="both", pad=pad)
        for label in ax.get_yticklabels():
            label.set_verticalalignment("bottom")
        for label in ax.get_yticklabels(minor=True):
            label.set_verticalalignment("top")
        ax.set_ylim(*edge)  # the first group on top
    else:
        axis.set_tick_params(which="minor", pad=pad + 1.3 * size)
        ax.set_xlim(*edge[::-1])


def _count(n: int, of: str) -> str:
    return f"{n:,} {of}{'' if n == 1 else 's'}"
