"""Names of metrics, and axes with epochs along them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.lines import Line2D

from .._validate import listing
from ._utils import legend_below, letter_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# scvi-tools calls the bound that it minimises "elbo".
_WORDS = {"elbo": "negative ELBO", "kl": "KL", "mae": "MAE", "rmse": "RMSE", "f1": "F1"}


def metric_title(name: str) -> str:
    """Spell a column of a history out: ``"validation_mae"`` is "Validation MAE"."""
    text = " ".join(_WORDS.get(word, word) for word in name.split("_"))
    return text[:1].upper() + text[1:]


def known_metrics(history: pd.DataFrame) -> list[str]:
    """Return the columns that have values, other than those that name the rows."""
    return [
        name
        for name in history.columns
        if name not in ("fold", "epoch") and history[name].notna().any()
    ]


def check_metrics(
    history: pd.DataFrame, metrics: str | Sequence[str] | None, default: Sequence[str]
) -> list[str]:
    """Return the metrics to draw in one axes: those asked for, those of ``default``, or all."""
    known = known_metrics(history)
    if metrics is None:
        return [name for name in default if name in known] or known
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    missing = [name for name in names if name not in known]
    if missing or not names:
        raise KeyError(f"`metrics` must be among {listing(known)}, found {listing(missing)}.")
    return names


def label_epochs(ax: Axes, handles: Sequence[Line2D], ylabel: str) -> None:
    """Label the axes and put the legend below."""
    ax.set(xlabel="Epoch", ylabel=ylabel)
    ax.xaxis.get_major_locator().set_params(integer=True)
    # Side by side if there is room: a handle and its gaps take about seven letters.
    letters = sum(len(str(handle.get_label())) + 7 for handle in handles)
    width = ax.get_window_extent().width / ax.get_figure().dpi
    wide = letters * letter_width("small") < width
    legend_below(ax, handles, ncols=len(handles) if wide else 1, columnspacing=1.2)
