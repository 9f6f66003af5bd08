"""Losses over the epochs of training."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd
from matplotlib.lines import Line2D

from .._docs import docs
from .._keys import AGE_CLOCK, PRIOR_TRANSFORMER, SRSA_VAE
from .._validate import check_result
from ._history_axes import check_metrics, known_metrics, label_epochs, metric_title
from ._utils import COLORS, finish, merge_kwargs, new_axes
from ._vae_history import draw_metrics, draw_panels

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_LOSSES = ("train_loss", "validation_loss")
"""Losses of an age clock."""


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
) -> Axes | list[Axes] | Figure | SubFigure | None:
    """Losses and other metrics per epoch of training.

    An **age clock** has a thin line for each fold and a thick one for their mean, in one axes. A
    fold that stopped early enters the mean with its last value from there on, so that the mean
    does not jump where a fold ends. Its losses are in variances of age. In training it is the
    squared error of donors plus that of their pseudocells (2 for the mean age); in validation,
    what is left of the variance among donors held out from the networks, 1 − r² (1 for no
    relation).

    An **SRSA-VAE** has several panels, one under the other, of what its history holds:

    - the negative evidence lower bound (ELBO) in nats per cell, with the full weight of the KL
      term whatever the weight in training was: its reconstruction loss plus its KL divergence;
    - the weight of the KL term, which is raised during the warm-up;
    - the means of the learned scales of the block: ``alpha`` of the residual, ``beta`` of the
      attention;
    - entropies as fractions of the highest possible: of the attention of a cell, 1 if it is spread
      evenly over the tokens, and of the mean use of the tokens, 1 if all are used alike and 0 if
      one takes all attention.

    A **prior transformer** has two panels: the loss of training and validation, and, if it was
    trained with a validation set, accuracy and macro-F1 of its cells.

    With ``metrics`` or ``ax`` the lines of the latter two are drawn in one axes instead.

    Parameters
    ----------
    adata
        Annotated data with a result that a model was trained for, as by
        :func:`sctools.tl.age_clock`, :func:`sctools.tl.srsa_vae` or
        :func:`sctools.tl.prior_transformer`. It is left unchanged.
    %(key)s
    metrics
        Columns of ``adata.uns[key]["history"]`` to draw in one axes. By default the losses of
        training and validation of an age clock; of the other models the panels, or in one ``ax``
        the ELBO (of a prior transformer the loss) of training and validation.
    %(plot)s
    **kwargs
        Passed to :meth:`matplotlib.axes.Axes.plot` for the lines, of an age clock those of the
        means.

    Returns
    -------
    The :class:`~matplotlib.axes.Axes`, a list of them for several panels; the figure with
    ``return_fig=True``; ``None`` when shown.

    Raises
    ------
    KeyError
        If there is no result under ``key``, or the history has no such metric.
    ValueError
        If nothing was trained, because a given model was applied, or if the method of an age clock
        keeps no history.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.aging_cohort(n_donors=12, n_genes=200, cells_per_donor=30)
    >>> few = {"max_epochs": 2}  # for a quick example only
    >>> sctools.tl.age_clock(adata, n_folds=2, train_kwargs=few)
    >>> ax = sctools.pl.training_history(adata, show=False)

    >>> adata = sctools.datasets.immune_mixture(100, n_genes=100)
    >>> sctools.tl.srsa_vae(adata, max_epochs=2, progress_bar=False)
    >>> axes = sctools.pl.training_history(adata, "srsa_vae", show=False)
    """
    history = _check_history(adata, key)
    given = ax is not None
    drawn: Axes | list[Axes]
    if "fold" in history.columns:
        names = check_metrics(history, metrics, _LOSSES)
        drawn = _draw_folds(history, names, ax, kwargs)
    elif metrics is None and ax is None:
        drawn = draw_panels(history, kwargs)
    else:
        default = ("elbo_train", "elbo_validation", "loss_train", "loss_validation")
        names = check_metrics(history, metrics, default)
        drawn = draw_metrics(history, names, ax, kwargs)
    return finish(drawn, given=given, show=show, return_fig=return_fig)


def _check_history(adata: AnnData, key: str) -> pd.DataFrame:
    tools = (SRSA_VAE, PRIOR_TRANSFORMER)
    result = check_result(adata, key, tool=key if key in tools else AGE_CLOCK)
    method = result["params"].get("method")
    tool = method if method in tools else AGE_CLOCK
    history = result.get("history")
    if history is None and result["params"].get("mode") == "cross_fit":
        raise ValueError(
            f"The result {key!r} has no training history: it comes from the method {method!r}, "
            "which keeps none. The default method of `sctools.tl.age_clock` does."
        )
    if history is None or len(history) == 0 or not known_metrics(history):
        raise ValueError(
            f"The result {key!r} has no training history: it comes from a given model, which was "
            "applied and not trained. See the `history` of that model, or train one on these data "
            f"with `sctools.tl.{tool}(adata)`."
        )
    return history


def _draw_folds(
    history: pd.DataFrame, names: Sequence[str], ax: Axes | None, kwargs: dict[str, Any]
) -> Axes:
    """Draw a thin line for each fold and a thick one for their mean."""
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
        handles += ax.plot(mean.index, mean, label=metric_title(name), **style)
    if n_folds > 1:
        handles.append(Line2D([], [], color="0.5", linewidth=0.7, label=f"each of {n_folds} folds"))

    losses = all(name in _LOSSES for name in names)
    label = metric_title(names[0]) if len(names) == 1 else "Loss" if losses else "Value"
    label_epochs(ax, handles, f"{label} (variances of age)" if losses else label)
    return ax
