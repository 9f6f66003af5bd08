"""Training of one model: a panel for each quantity, or some metrics in one axes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D

from ._history_axes import known_metrics, label_epochs, metric_title
from ._utils import COLORS, letter_width, merge_kwargs, new_axes, points

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# What an axis shows -> the metrics of it -> their names in the legend.
_QUANTITIES = {
    "Negative ELBO\n(nats per cell)": {"elbo_train": "Train", "elbo_validation": "Validation"},
    "KL weight": {"kl_weight": "KL weight"},
    "Learned scale": {"alpha": "Alpha (residual)", "beta": "Beta (attention)"},
    "Entropy\n(1 = even)": {
        "attention_entropy": "Attention of a cell",
        "token_entropy": "Use of the tokens",
    },
    "Loss\n(cross-entropy)": {"loss_train": "Train", "loss_validation": "Validation"},
    "Validation cells": {"accuracy_validation": "Accuracy", "macro_f1_validation": "Macro-F1"},
}


def draw_panels(history: pd.DataFrame, kwargs: dict[str, Any]) -> list[Axes]:
    """Draw the known quantities one under the other in a new figure; what is absent is left out."""
    known = known_metrics(history)
    found = {
        ylabel: {name: label for name, label in labels.items() if name in known}
        for ylabel, labels in _QUANTITIES.items()
    }
    panels = {ylabel: labels for ylabel, labels in found.items() if labels}
    panels = panels or {metric_title(name): {name: metric_title(name)} for name in known}

    # Labels must fit beside a panel, also where a style makes them large.
    scale = max(points(mpl.rcParams["axes.labelsize"]) / 10, 1)
    heights = [2.0 * scale] + [1.25 * scale] * (len(panels) - 1)
    longest = max(len(label) for labels in panels.values() for label in labels.values())
    legend = 0.5 + longest * letter_width("small")
    figure, grid = plt.subplots(
        len(panels),
        sharex=True,
        squeeze=False,
        height_ratios=heights,
        figsize=(mpl.rcParams["figure.figsize"][0] + legend, sum(heights) + 0.5 * scale),
        layout="constrained",
    )
    axes = [new_axes(ax, (0, 0)) for ax in grid[:, 0]]
    for ax, (ylabel, labels) in zip(axes, panels.items(), strict=True):
        handles = _plot(ax, history, labels, kwargs)
        ax.set_ylabel(ylabel)
        if len(_QUANTITIES.get(ylabel, labels)) > 1:  # else the axis says it
            ax.legend(
                handles=handles,
                loc="upper left",
                bbox_to_anchor=(1, 1),
                borderaxespad=0,
                frameon=False,
                fontsize="small",
            )
        if ylabel.startswith("Entropy"):
            ax.set_ylim(0, 1.04)
        elif ylabel == "KL weight":
            ax.set_ylim(bottom=0)
    axes[-1].set_xlabel("Epoch")
    axes[-1].xaxis.get_major_locator().set_params(integer=True)
    figure.align_ylabels(axes)
    return axes


def draw_metrics(
    history: pd.DataFrame, names: Sequence[str], ax: Axes | None, kwargs: dict[str, Any]
) -> Axes:
    """Draw some metrics in one axes, a new one by default."""
    ax = new_axes(ax, tuple(mpl.rcParams["figure.figsize"]))
    ylabel, labels = _one_quantity(names)
    label_epochs(ax, _plot(ax, history, labels, kwargs), ylabel)
    return ax


def _one_quantity(names: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Name the axis and each metric: by the quantity that they share, if they do."""
    for ylabel, labels in _QUANTITIES.items():
        if set(names) <= set(labels):
            return ylabel.replace("\n", " "), {name: labels[name] for name in names}
    titles = {name: metric_title(name) for name in names}
    return titles[names[0]] if len(names) == 1 else "Value", titles


def _plot(
    ax: Axes, history: pd.DataFrame, labels: dict[str, str], kwargs: dict[str, Any]
) -> list[Line2D]:
    handles = []
    for (name, label), color in zip(labels.items(), cycle(COLORS), strict=False):
        # Validation may not have been computed after every epoch.
        values = history.set_index("epoch")[name].dropna()
        style: dict[str, Any] = {"color": color, "linewidth": 1.8}
        if len(values) == 1:
            style["marker"] = "o"
        style = merge_kwargs(style, kwargs, Line2D)
        handles += ax.plot(values.index, values, label=label, **style)
    return handles
