"""Losses over the epochs of training."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd
from matplotlib.lines import Line2D

from .._docs import docs
from .._keys import AGE_CLOCK
from .._validate import check_result, listing
from ._utils import COLORS, finish, legend_below, letter_width, merge_kwargs, new_axes

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


@docs.dedent
def training_history(
    adata: AnnData,
    key: str = AGE_CLOCK,
    *,
    metrics: str | Sequence[str] | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    **kwargs: Any,
) -> Axes | Figure | SubFigure | None:
    """Losses per epoch: a thin line for each fold, a thick one for their mean.

    A fold that stopped early enters the mean with its last value from there on, so that the mean
    does not jump where a fold ends.

    Parameters
    ----------
    adata
        Annotated data with a result that a model was trained for, as by
        :func:`sctools.tl.age_clock`. It is left unchanged.
    %(key)s
    metrics
        Columns of ``adata.uns[key]["history"]`` to draw. By default the losses of training and
        validation.
    %(plot)s
    **kwargs
        Passed to :meth:`matplotlib.axes.Axes.plot` for the lines of the means.

    Returns
    -------
    %(plot_returns)s

    Raises
    ------
    KeyError
        If there is no result under ``key``, or the history has no such metric.
    ValueError
        If nothing was trained, because a given model was applied.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.aging_cohort(n_donors=12, n_genes=200, cells_per_donor=30)
    >>> few = {"max_epochs": 2}  # for a quick example only
    >>> sctools.tl.age_clock(adata, n_folds=2, train_kwargs=few)
    >>> ax = sctools.pl.training_history(adata, show=False)
    """
    history = check_result(adata, key, tool="age_clock").get("history")
    if history is None or len(history) == 0:
        raise ValueError(
            f"The result {key!r} has no training history: it comes from a given model, which was "
            "applied and not trained. See the `history` of that model, or train one on these data "
            "with `sctools.tl.age_clock(adata)`."
        )
    names = _check_metrics(history, metrics)

    given = ax is not None
    ax = new_axes(ax, tuple(mpl.rcParams["figure.figsize"]))
    n_folds = history["fold"].nunique()
    handles = []
    for name, color in zip(names, cycle(COLORS), strict=False):
        folds = history.pivot(index="epoch", columns="fold", values=name).dropna(how="all")
        if n_folds > 1:
            for fold in folds.columns:
                values = folds[fold].dropna()
                ax.plot(values.index, values, color=color, linewidth=0.7, alpha=0.45)
        style = merge_kwargs({"color": color, "linewidth": 2.2, "zorder": 3}, kwargs, Line2D)
        mean = folds.ffill().mean(axis="columns")
        handles += ax.plot(mean.index, mean, label=_title(name), **style)
    if n_folds > 1:
        handles.append(Line2D([], [], color="0.5", linewidth=0.7, label=f"each of {n_folds} folds"))

    losses = all(name.endswith("loss") for name in names)
    label = _title(names[0]) if len(names) == 1 else "Loss" if losses else "Value"
    ax.set(xlabel="Epoch", ylabel=label)
    ax.xaxis.get_major_locator().set_params(integer=True)
    # Side by side if there is room: a handle and its gaps take about seven letters.
    letters = sum(len(str(handle.get_label())) + 7 for handle in handles)
    width = ax.get_window_extent().width / ax.get_figure().dpi
    wide = letters * letter_width("small") < width
    legend_below(ax, handles, ncols=len(handles) if wide else 1, columnspacing=1.2)
    return finish(ax, given=given, show=show, return_fig=return_fig)


def _check_metrics(history: pd.DataFrame, metrics: str | Sequence[str] | None) -> list[str]:
    known = [
        name
        for name in history.columns
        if name not in ("fold", "epoch") and history[name].notna().any()
    ]
    if metrics is None:
        return [name for name in ("train_loss", "validation_loss") if name in known] or known
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    missing = [name for name in names if name not in known]
    if missing or not names:
        raise KeyError(f"`metrics` must be among {listing(known)}, found {listing(missing)}.")
    return names


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize().replace(" mae", " MAE").replace(" rmse", " RMSE")
