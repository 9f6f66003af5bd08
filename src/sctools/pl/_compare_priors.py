"""Prior transformers with and without their prior, over numbers of labels."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from .._docs import docs
from .._keys import PRIOR_COMPARISON
from .._validate import check_result, listing
from ._utils import (
    COLORS,
    Palette,
    finish,
    legend_below,
    legend_right,
    merge_kwargs,
    new_axes,
    resolve_palette,
)

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_METRICS = {
    "accuracy": "Accuracy",
    "macro_f1": "Macro-F1",
    "ece": "Expected calibration error",
}

# Mode -> its name and style. The model itself is prominent, the yardsticks are not.
_STYLES: dict[str, tuple[str, dict[str, Any]]] = {
    "hard": ("Hard prior", {"color": COLORS[0], "marker": "o", "linewidth": 2.2}),
    "soft": ("Soft prior", {"color": COLORS[2], "marker": "s"}),
    "none": ("No prior", {"color": COLORS[1], "marker": "^"}),
    "shuffled": ("Shuffled prior", {"color": COLORS[4], "marker": "v", "linestyle": "--"}),
    "logistic regression": (
        "Logistic regression",
        {"color": COLORS[7], "marker": "D", "linestyle": ":"},
    ),
}

_NUMBERS = ("label_fraction", "n_labels", "seed")


@docs.dedent
def compare_priors(
    adata: AnnData | pd.DataFrame,
    key: str = PRIOR_COMPARISON,
    *,
    metric: Literal["accuracy", "macro_f1", "ece"] = "accuracy",
    palette: Palette | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    **kwargs: Any,
) -> Axes | Figure | SubFigure | None:
    """Accuracy over the number of labels, with a line for each kind of prior.

    A point is the mean over the seeds, its bar one standard deviation (with the divisor n − 1) to
    each side. All kinds were trained and tested on the same cells. The shuffled prior is the
    control: a network with the same numbers of targets and regulators, but of no meaning.

    Parameters
    ----------
    adata
        Annotated data that ``sctools.tl.compare_priors`` was run on, or a table like its
        ``adata.uns[key]["results"]``: a row for each run with the columns ``mode``,
        ``label_fraction``, ``n_labels``, ``seed`` and the metric. It is left unchanged.
    %(key)s
        A table needs none.
    metric
        ``"accuracy"`` and ``"macro_f1"`` of the test cells, better if high; ``"ece"`` is the
        expected calibration error, better if low. Any other column of numbers of the table will
        do.
    palette
        Colours of the modes: the name of a palette, a list, or a mapping from mode to colour.
    %(plot)s
    **kwargs
        Passed to :meth:`matplotlib.axes.Axes.plot` for all lines.

    Returns
    -------
    %(plot_returns)s

    Raises
    ------
    KeyError
        If there is no result under ``key``, or the table lacks a column.
    ValueError
        If the table has no value of the metric, or numbers of labels that are not positive, or
        ``palette`` does not fit.

    Examples
    --------
    >>> import pandas as pd
    >>> import sctools
    >>> results = pd.DataFrame(
    ...     {
    ...         "mode": ["hard", "hard", "none", "none"],
    ...         "label_fraction": [0.05, 0.25, 0.05, 0.25],
    ...         "n_labels": [67, 337, 67, 337],
    ...         "seed": [0, 0, 0, 0],
    ...         "accuracy": [0.84, 0.96, 0.80, 0.95],
    ...     }
    ... )
    >>> ax = sctools.pl.compare_priors(results, show=False)
    """
    results = _check_results(adata, key, metric)
    modes = [mode for mode in _STYLES if mode in set(results["mode"])]
    modes += [mode for mode in dict.fromkeys(results["mode"]) if mode not in _STYLES]
    colors = {} if palette is None else resolve_palette(adata, "mode", modes, palette)
    given = ax is not None
    width = mpl.rcParams["figure.figsize"][0]
    # In a column of a journal, a legend at the side would take half of it.
    beside = given or width >= 5
    ax = new_axes(ax, (width, 0.6 * width if beside else 0.9 * width))
    spare = (COLORS[i % len(COLORS)] for i in count(3))

    handles, ticks = [], set()
    for number, mode in enumerate(modes):
        label, style = _STYLES.get(mode, (mode, {"color": next(spare), "marker": "X"}))
        table = _means(results[results["mode"] == mode], metric)
        # Side by side, else bars of one number of labels hide each other.
        x = table["n_labels"] * 1.025 ** (number - (len(modes) - 1) / 2)
        style = {"linewidth": 1.5, "markersize": 5, "zorder": 3, **style}
        style["color"] = colors.get(mode, style["color"])
        style = merge_kwargs(style, kwargs, Line2D)
        handles += ax.plot(x, table["mean"], label=label, **style)
        sd = table["sd"].fillna(0.0)
        low, high = table["mean"] - sd, table["mean"] + sd
        ax.vlines(x, low, high, color=handles[-1].get_color(), linewidth=1, zorder=2)
        ticks |= set(table["n_labels"].round().astype(int))

    _label_axes(ax, sorted(ticks), metric)
    legend = legend_right if beside else legend_below
    legend(ax, handles, title=_runs(results))
    return finish(ax, given=given, show=show, return_fig=return_fig)


def _runs(results: pd.DataFrame) -> str:
    """Tell how many runs a point stands for, and how many cells each was tested on."""
    n_seeds = results.groupby(["mode", "label_fraction"], observed=True)["seed"].nunique()
    fewest, n_most = int(n_seeds.min()), int(n_seeds.max())
    each = f"{fewest}–{n_most}" if fewest < n_most else n_most
    text = f"mean ± SD, {each} seeds" if n_most > 1 else "one seed"
    if "n_test" not in results.columns:
        return text
    least, most = int(results["n_test"].min()), int(results["n_test"].max())
    return f"{text}\n{least:,}{f'–{most:,}' if most > least else ''} test cells"


def _check_results(adata: AnnData | pd.DataFrame, key: str, metric: str) -> pd.DataFrame:
    """Return the rows with a value of the metric."""
    if isinstance(adata, pd.DataFrame):
        results, where = adata, "the table"
    else:
        stored = check_result(adata, key, tool="compare_priors")
        results, where = stored.get("results"), f"`adata.uns[{key!r}]['results']`"
        if not isinstance(results, pd.DataFrame):
            raise KeyError(
                f"`adata.uns[{key!r}]` has no table of results; it holds {listing(stored)}. Run "
                f"`sctools.tl.compare_priors(adata, …, key_added={key!r})` first, or pass the "
                "`key` it used."
            )
    missing = [name for name in ("mode", *_NUMBERS, metric) if name not in results.columns]
    if missing:
        raise KeyError(
            f"{where} lacks the columns {listing(missing)}. Available: {listing(results.columns)}."
        )
    wanted = [*_NUMBERS, metric, *(["n_test"] if "n_test" in results.columns else [])]
    numbers = {name: pd.to_numeric(results[name]) for name in wanted}
    table = pd.DataFrame({"mode": results["mode"].astype(object).map(str), **numbers})
    table = table[np.isfinite(table[metric].to_numpy(dtype="float64"))]
    if len(table) == 0:
        raise ValueError(f"{where} has no value of {metric!r} to draw.")
    if not (table["n_labels"] > 0).all():
        raise ValueError(f"`n_labels` of {where} must be positive: its axis is logarithmic.")
    return table


def _means(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Mean and standard deviation over seeds, by fraction: numbers of labels may vary a little."""
    by = runs.groupby("label_fraction")
    return pd.DataFrame(
        {"n_labels": by["n_labels"].mean(), "mean": by[metric].mean(), "sd": by[metric].std()}
    ).sort_values("n_labels")


def _label_axes(ax: Axes, ticks: list[int], metric: str) -> None:
    ax.set_xscale("log")
    # The numbers that were tried, unless they are too close to be read.
    kept: list[int] = []
    for tick in ticks:
        if not kept or tick > 1.35 * kept[-1]:
            kept.append(tick)
    ax.xaxis.set_major_locator(FixedLocator(kept))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.margins(x=0.08)
    if len(kept) == 1:
        ax.set_xlim(kept[0] / 1.5, kept[0] * 1.5)
    ax.set(xlabel="Labelled cells", ylabel=_METRICS.get(metric, metric))
