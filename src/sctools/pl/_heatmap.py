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
) -> Axes:
    """Draw ``data``, whose index and columns hold the labels and bear the names of the axes.

    Colours run from zero up, or as far below ``center`` as above, ``least`` at the least. What lies
    outside has the colour of the end, which the bar (named ``label``) then shows as an arrow.
    ``kwargs`` are those of :func:`seaborn.heatmap`.
    """
    given = ax is not None
    size = _size(data)
    ax = new_axes(ax, _figsize(data, size))
    ax.grid(False)  # styles such as scanpy's would draw one over the cells
    limits = _limits(data.to_numpy(), center, least, kwargs)
    height = _inches(ax)[1] if given else size[1]
    bar = {
        "label": label,
        **_bar(data.to_numpy(), limits, height),
        **(kwargs.get("cbar_kws") or {}),
    }
    if not given:  # its layout makes room for the labels of the bar, they need no share of the axes
        bar.setdefault("fraction", min(0.3 / size[0], 0.15))
    style = {"xticklabels": True, "yticklabels": True, **kwargs, **limits, "cbar_kws": bar}
    sns.heatmap(data, cmap=cmap, ax=ax, **style)
    _fit_labels(ax, data, _inches(ax) if given else size)
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


def _inches(ax: Axes) -> tuple[float, float]:
    box = ax.get_window_extent()
    return box.width / ax.figure.dpi, box.height / ax.figure.dpi


def _lines(data: pd.DataFrame) -> int:
    return max(row.count("\n") for row in data.index) + 1


def _size(data: pd.DataFrame) -> tuple[float, float]:
    """Width and height in inches that suit the cells of a new figure."""
    n_rows, n_columns = data.shape
    lines = _lines(data)
    height = (1.25 * lines + 0.35) * points(mpl.rcParams["ytick.labelsize"]) / 72 * n_rows
    width = min(max(5 / n_columns, 0.17), 0.45) * n_columns
    # Few of them still leave room for the labels of the axis and of the colour bar.
    label = mpl.rcParams["axes.labelsize"]
    return max(width, len(data.columns.name) * letter_width(label)), max(
        height, 0.26 * points(label)
    )


def _figsize(data: pd.DataFrame, size: tuple[float, float]) -> tuple[float, float]:
    longest = max(len(line) for row in data.index for line in row.split("\n"))
    text = longest * letter_width(mpl.rcParams["ytick.labelsize"])
    return size[0] + text + 1.5, size[1] + 0.6


def _fit_labels(ax: Axes, data: pd.DataFrame, size: tuple[float, float]) -> None:
    """Make the tick labels as large as the cells allow."""
    ax.tick_params(length=0)
    room = 72 * size[1] / data.shape[0] / (1.15 * _lines(data))
    for label in ax.get_yticklabels():
        label.set(rotation=0, fontsize=max(min(points(label.get_fontsize()), room), 5))

    labels = ax.get_xticklabels()
    column = 72 * size[0] / data.shape[1]
    letters = max((len(label.get_text()) for label in labels), default=1)
    room = column / (0.64 * (max(letters, 1) + 0.5))
    across = room >= 6
    room = room if across else max(0.95 * column, 5)
    every = 1 if across else math.ceil(1.2 * room / column)
    for i, label in enumerate(labels):
        fontsize = min(points(label.get_fontsize()), room)
        label.set(rotation=0 if across else 90, fontsize=fontsize, ha="center")
        label.set_visible(i % every == 0)
