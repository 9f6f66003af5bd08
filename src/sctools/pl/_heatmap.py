"""Heatmap of groups whose labels can be read, be they few or many, short or long."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns

from ._utils import letter_width, new_axes, points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap


def draw_heatmap(
    data: pd.DataFrame,
    *,
    label: str,
    center: float | None,
    least: float,
    cmap: str | Colormap,
    ax: Axes | None,
    kwargs: dict[str, Any],
    min_width: float = 0.0,
) -> Axes:
    """Draw ``data``, whose index and columns hold the labels and bear the names of the axes.

    Colours run from zero up, or as far below ``center`` as above, ``least`` at the least. What lies
    outside has the colour of the end, which the bar (named ``label``) then shows as an arrow.
    ``kwargs`` are those of :func:`seaborn.heatmap`. In a new figure the cells together are
    ``min_width`` inches wide at the least.
    """
    given = ax is not None
    size = inner_size(data, min_width)
    ax = new_axes(ax, outer_size(data, size))
    ax.grid(False)  # styles such as scanpy's would draw one over the cells
    limits = _limits(data.to_numpy(), center, least, kwargs)
    height = inches(ax)[1] if given else size[1]
    bar = {
        "label": label,
        **_bar(data.to_numpy(), limits, height),
        **(kwargs.get("cbar_kws") or {}),
    }
    if not given:  # its layout makes room for the labels of the bar, they need no share of the axes
        bar.setdefault("fraction", min(0.3 / size[0], 0.15))
    style = {"xticklabels": True, "yticklabels": True, **kwargs, **limits, "cbar_kws": bar}
    sns.heatmap(data, cmap=cmap, ax=ax, **style)
    fit_labels(ax, data, inches(ax) if given else size)
    return ax


def _limits(
    values: np.ndarray, center: float | None, least: float, kwargs: dict[str, Any]
) -> dict[str, float]:
    if kwargs.get("norm") is not None or kwargs.get("robust"):
        return {}
    asked = {name: kwargs[name] for name in ("vmin", "vmax") if kwargs.get(name) is not None}
    if center is None:
        return {"vmin": 0.0, **asked}
    if len(asked) == 2:
        return {"center": center, **asked}
    reach = max(float(values.max()) - center, least)
    reach = abs(next(iter(asked.values())) - center) if asked else reach
    return {"vmin": center - reach, "vmax": center + reach}


def _bar(values: np.ndarray, limits: dict[str, float], height: float) -> dict[str, Any]:
    """Size of the colour bar beside axes of that height in inches, and its arrows."""
    length = min(height, 3.0)
    below = bool(values.min() < limits.get("vmin", -np.inf))
    above = bool(values.max() > limits.get("vmax", np.inf))
    ends = {(True, False): "min", (False, True): "max", (True, True): "both"}
    return {
        "shrink": length / height,
        "aspect": length / 0.15,
        "anchor": (0, 1),
        "extend": ends.get((below, above), "neither"),
    }


def inches(ax: Axes) -> tuple[float, float]:
    """Width and height of the axes."""
    box = ax.get_window_extent()
    return box.width / ax.figure.dpi, box.height / ax.figure.dpi


def _lines(names: pd.Index) -> int:
    return max(name.count("\n") for name in names) + 1


def _letters(names: pd.Index) -> int:
    return max(len(line) for name in names for line in name.split("\n"))


def inner_size(data: pd.DataFrame, min_width: float = 0.0) -> tuple[float, float]:
    """Width and height in inches that suit the cells of a new figure."""
    n_rows, n_columns = data.shape
    lines = _lines(data.index)
    height = (1.25 * lines + 0.35) * points(mpl.rcParams["ytick.labelsize"]) / 72 * n_rows
    # In the small print of a journal, cells are as much smaller.
    scale = min(points(mpl.rcParams["xtick.labelsize"]) / 10, 1.0)
    width = scale * min(max(5 / n_columns, 0.17 * _lines(data.columns)), 0.45) * n_columns
    # Few of them still leave room for the labels of the axis and of the colour bar.
    label = mpl.rcParams["axes.labelsize"]
    return (
        max(width, len(data.columns.name) * letter_width(label), min_width),
        max(height, 0.26 * points(label)),
    )


def outer_size(data: pd.DataFrame, size: tuple[float, float]) -> tuple[float, float]:
    """Width and height in inches of a figure around cells of that size."""
    text = _letters(data.index) * letter_width(mpl.rcParams["ytick.labelsize"])
    below = _letters(data.columns) * letter_width(mpl.rcParams["xtick.labelsize"])
    return size[0] + text + 1.5, size[1] + max(0.6, 0.4 + below)


def fit_labels(ax: Axes, data: pd.DataFrame, size: tuple[float, float]) -> None:
    """Make the tick labels as large as the cells allow."""
    ax.tick_params(length=0)
    room = 72 * size[1] / data.shape[0] / (1.15 * _lines(data.index))
    for label in ax.get_yticklabels():
        label.set(rotation=0, fontsize=max(min(points(label.get_fontsize()), room), 5))

    labels = ax.get_xticklabels()
    column = 72 * size[0] / data.shape[1]
    letters = max(_letters(data.columns), 1)
    room = column / (0.64 * (letters + 0.5))
    # Short numbers can be read across in small print, names are turned sooner.
    across = room >= (6 if letters <= 3 else min(8, points(mpl.rcParams["xtick.labelsize"])))
    lines = _lines(data.columns)
    room = room if across else max(0.8 * column / lines, 5)
    for i, label in enumerate(labels):
        fontsize = min(points(label.get_fontsize()), room)
        every = 1 if across else math.ceil(1.2 * lines * fontsize / column)
        label.set(rotation=0 if across else 90, fontsize=fontsize, ha="center")
        label.set_visible(i % every == 0)
