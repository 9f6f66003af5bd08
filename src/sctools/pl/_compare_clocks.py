"""Errors of several clocks on the same donors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from .._docs import docs
from .._keys import CLOCK_COMPARISON
from .._validate import check_result, listing
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
)

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_NAMES = {
    "gma": "Gated network",
    "elastic_net": "Elastic net",
    "ridge": "Ridge",
    "pls": "PLS",
    "mlp": "Perceptron",
    "autoencoder": "Autoencoder",
    "xgboost": "XGBoost",
    "catboost": "CatBoost",
    "donor_attention": "Donor attention",
}
_MEAN_AGE = "mean_age"
_CLOCK, _BASELINE = COLORS[0], COLORS[7]
"""The clock is prominent, the yardsticks are not."""

_COLUMNS = ("method", "input", "mae", "mae_lower", "mae_upper")


@docs.dedent
def compare_clocks(
    adata: AnnData,
    key: str = CLOCK_COMPARISON,
    *,
    palette: Palette | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    **kwargs: Any,
) -> Axes | Figure | SubFigure | None:
    """Error of every clock on held-out donors, with its interval.

    A point is the mean absolute error over donors (samples, if the comparison was made with a
    ``sample_key``), its bar the bootstrap interval over donors; the best stands on top. All were
    made on the same donor folds. The dashed line is the error of the mean age, which needs no
    clock. Intervals of methods overlap more than their paired difference, which is in
    ``adata.uns[key]["results"]``. The legend stands below the axes: draw into figures made with
    ``layout="constrained"``, which makes room for it.

    Parameters
    ----------
    adata
        Annotated data that :func:`sctools.tl.compare_clocks` was run on. It is left unchanged.
    %(key)s
    palette
        Colours of the methods: the name of a palette, a list, or a mapping from method (as in the
        column ``method`` of the results) to colour. By default the clock is blue and the others
        are grey.
    %(plot)s
    **kwargs
        Passed to :meth:`matplotlib.axes.Axes.plot`, which draws the points.

    Returns
    -------
    %(plot_returns)s

    Raises
    ------
    KeyError
        If there is no such result under ``key``.
    ValueError
        If ``palette`` does not fit.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.aging_cohort(12, n_genes=200, n_age_genes=20, cells_per_donor=20)
    >>> sctools.tl.compare_clocks(adata, ["ridge", "pls"], n_folds=3, progress_bar=False)
    >>> ax = sctools.pl.compare_clocks(adata, show=False)
    """
    result = check_result(adata, key, tool="compare_clocks")
    results = _check_results(result, key)
    mean_age = results[results["method"] == _MEAN_AGE]
    clocks = results[results["method"] != _MEAN_AGE].sort_values("mae", kind="stable")
    names = _row_names(clocks)
    methods = list(dict.fromkeys(clocks["method"].astype(str)))
    colors = {method: _CLOCK if method == "gma" else _BASELINE for method in methods}
    if palette is not None:
        colors = resolve_palette(adata, "method", methods, palette)

    given = ax is not None
    ax = new_axes(ax, _figsize(names))
    foreground = mpl.rcParams["text.color"]
    style = {"marker": "o", "markersize": 6, "linestyle": "", "zorder": 3}
    style = merge_kwargs(style, kwargs, Line2D)
    for row, (_, clock) in enumerate(clocks.iterrows()):
        own = {} if "color" in style else {"color": colors[str(clock["method"])]}
        (point,) = ax.plot(clock["mae"], row, **style, **own)
        ends = clock["mae_lower"], clock["mae_upper"]
        ax.hlines(row, *ends, color=point.get_color(), linewidth=1.8, zorder=2)

    unit, level = str(result["age_unit"]), 100 * float(result["params"]["level"])
    handles = [Line2D([], [], color=foreground, marker="o", markersize=5, linewidth=1.8)]
    handles[0].set_label(f"With {level:.0f} % bootstrap interval")
    for value in mean_age["mae"]:
        handles.append(ax.axvline(value, color=foreground, linewidth=1, linestyle="--", zorder=1))
        handles[-1].set_label(f"Mean age: {value:.1f} {unit}")
    ax.set_yticks(range(len(names)), labels=names)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(names) - 0.5, -0.5)  # the best on top
    right = max(clocks["mae_upper"].max(), *mean_age["mae"], clocks["mae"].max())
    ax.set_xlim(0, 1.05 * right)
    # To the right: what is too long for narrow axes has room below the names.
    ax.set_xlabel(f"Mean absolute error of donors ({unit})", loc="right")
    legend_below(ax, handles, title=_size(result))
    return finish(ax, given=given, show=show, return_fig=return_fig)


def _check_results(result: dict[str, Any], key: str) -> pd.DataFrame:
    results = result.get("results")
    missing = [name for name in _COLUMNS if name not in getattr(results, "columns", [])]
    if missing:
        raise KeyError(
            f"`adata.uns[{key!r}]` is no comparison of clocks: its 'results' lack "
            f"{listing(missing)}; it holds {listing(result)}. Run "
            f"`sctools.tl.compare_clocks(adata, key_added={key!r})` first, or pass the `key` it "
            "used."
        )
    return pd.DataFrame(results)


def _row_names(clocks: pd.DataFrame) -> list[str]:
    """Name of every row, with its input."""
    return [
        f"{_NAMES.get(method, method)}, {read}"
        for method, read in zip(clocks["method"].astype(str), clocks["input"], strict=True)
    ]


def _size(result: dict[str, Any]) -> str:
    """How many donors, samples and folds there were."""
    donors = result["donors"]
    numbers = {"donor": donors["donor"].nunique()}
    if "sample" in donors.columns:
        numbers["sample"] = len(donors)
    numbers["fold"] = int(np.asarray(result["params"]["n_folds"]))
    return ", ".join(f"{n:,} {of}{'' if n == 1 else 's'}" for of, n in numbers.items())


def _figsize(names: list[str]) -> tuple[float, float]:
    label = mpl.rcParams["ytick.labelsize"]
    inner = 0.55 * mpl.rcParams["figure.figsize"][0]
    width = inner + letter_width(label) * max(map(len, names))
    return width, 1.5 + 2.0 * points(label) / 72 * max(len(names), 2)
