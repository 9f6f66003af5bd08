"""Lift of the attention to regulators by group of cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from natsort import natsorted

from .._arguments import check_choice
from .._docs import docs
from .._keys import PRIOR_TRANSFORMER
from .._validate import listing
from ..get._prior_result import cells_of_groups, check_positive, check_prior
from ..get._tf_lift import contrast, tf_lift, top_of_groups
from ._heatmap import draw_heatmap
from ._utils import diverging_cmap, finish, wrapped

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure, SubFigure

_MIN_LIMIT = 0.25
"""Least end of the scale (19 % more): smaller differences stay pale."""

_MAX_LIMIT = 3.0
"""Greatest end of the scale (eightfold): single regulators do not make all others pale."""

_LEAST = 2.0**-10
"""Stands for a lift of zero, which has no logarithm."""

_COLUMNS = 60
"""TFs that fit a figure of ordinary width."""


@docs.dedent
def prior_transformer(
    adata: AnnData,
    key: str = PRIOR_TRANSFORMER,
    *,
    tfs: Sequence[str] | None = None,
    n_top: int | None = None,
    min_targets: int = 3,
    value: Literal["lift", "contrast"] = "lift",
    cmap: str | Colormap | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    **kwargs: Any,
) -> Axes | Figure | SubFigure | None:
    """Heatmap of how much more than evenly each group attends to each regulator.

    The lift of an edge is its attention over that of evenly spread attention; the lift of a
    regulator (TF) in a group is the mean over its targets, weighted by their share in the
    read-out. By default a few TFs of each group are shown, those of highest contrast: the log2
    of the lift in the group minus its mean over the other groups. A TF stands with the group in
    which its contrast is highest, so that TFs of single groups form a diagonal.

    Attention tracks co-expression and is no evidence of regulation. It differs between groups
    mostly as the regulator's own expression does: what its targets tell is in the scores that
    :func:`sctools.pl.tf_dotplot` draws.

    Draw into figures made with ``layout="constrained"``, which makes room for the names of groups.

    Parameters
    ----------
    adata
        Annotated data that :func:`sctools.tl.prior_transformer` was run on. It is left unchanged.
    %(key)s
    tfs
        The TFs to draw, in this order, however few targets they have. By default those of highest
        contrast.
    n_top
        TFs of each group. By default 5, fewer (at least 1) for more than 12 groups, so that about
        60 are drawn.
    min_targets
        TFs with fewer edges than this are not chosen: the mean over one or two is noise.
    value
        ``"lift"`` draws the log2 of the lift, 0 where attention is as if spread evenly.
        ``"contrast"`` draws it minus its mean over the other groups, which shows differences
        where a TF is attended to little or much in all groups.
    cmap
        Diverging colour map, by default ``"RdBu_r"``, or ``"icefire"`` in a dark style. It
        reaches as far below zero as above, up to the highest absolute value, though not below
        ±0.25 nor beyond ±3.
    %(plot)s
    **kwargs
        Passed to :func:`seaborn.heatmap`, such as ``vmax``, ``annot`` or ``cbar``.

    Returns
    -------
    %(plot_returns)s

    Raises
    ------
    KeyError
        If there is no result under ``key``, or one of ``tfs`` has no edge in it.
    ValueError
        If no TF has ``min_targets`` edges, ``value`` is unknown, ``n_top`` or ``min_targets`` is
        not a positive integer, or the parts of the result do not fit each other.

    See Also
    --------
    sctools.get.attention_df : The edges behind it.
    sctools.pl.tf_dotplot : Scores of the TFs in the cells.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.regulated_cells(120, n_genes=150, n_tfs=20, n_targets=8)
    >>> quick = {"max_epochs": 2, "min_confidence": 0}  # for a quick example only
    >>> sctools.tl.prior_transformer(adata, "cell_type", "prior", progress_bar=False, **quick)
    >>> ax = sctools.pl.prior_transformer(adata, show=False)
    """
    params = check_prior(adata, key)["params"]
    check_choice(value, ("lift", "contrast"), "value")
    check_positive(n_top, "n_top")
    check_positive(min_targets, "min_targets")
    found = tf_lift(adata, key)
    lift = np.log2(np.maximum(found.lift[natsorted(found.lift.columns)], _LEAST))
    contrasts = contrast(lift)
    label = "TF"
    if tfs is None:
        enough = found.n_targets >= (min_targets or 1)
        if not enough.any():
            raise ValueError(
                f"No TF of the result {key!r} has `min_targets={min_targets}` targets; the most "
                f"is {found.n_targets.max()}. Lower `min_targets`, or name the TFs: `tfs=…`."
            )
        n_top = n_top or max(1, min(5, _COLUMNS // lift.shape[1]))
        names = top_of_groups(contrasts[enough], n_top)
        label += f" ({len(names)} of {len(lift)})"
    else:
        names = check_tfs(tfs, lift.index, f"the result {key!r}")

    drawn = (lift if value == "lift" else contrasts).loc[names].T
    # Without `groupby`, attention was averaged over the answers, not over the labels.
    by = str(params.get("groupby", key))
    by = "Prediction" if by == key else by
    groups = list(drawn.index)
    n_cells = cells_of_groups(adata, key)
    if n_cells is not None:
        by += " (cells)"
        groups = [f"{name} ({n_cells[name]:,})" for name in groups]
    labelled = pd.DataFrame(
        drawn.to_numpy(),
        index=pd.Index(wrapped(groups), name=by),
        columns=pd.Index(names, name=label),
    )
    given = ax is not None
    ax = draw_heatmap(
        labelled,
        label="Attention lift of the TF\n" + _WHAT[value],
        center=0.0,
        least=_MIN_LIMIT,
        cmap=diverging_cmap(cmap),
        ax=ax,
        kwargs=_with_limits(drawn.to_numpy(), kwargs),
    )
    return finish(ax, given=given, show=show, return_fig=return_fig)


_WHAT = {"lift": "(log₂; 0 = even attention)", "contrast": "over that of other groups (log₂)"}


def _with_limits(values: np.ndarray, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Let the scale show lifts below one as well as above, unless the user chose its ends."""
    if kwargs.get("robust") or any(kwargs.get(n) is not None for n in ("vmin", "vmax", "norm")):
        return kwargs
    reach = float(np.clip(np.abs(values).max(), _MIN_LIMIT, _MAX_LIMIT))
    return {**kwargs, "vmin": -reach, "vmax": reach}


def check_tfs(tfs: str | Sequence[str], available: Sequence[str], where: str) -> list[str]:
    """Return the TFs asked for, each once; raise ``KeyError`` for an unknown one."""
    names = [tfs] if isinstance(tfs, str) else [str(name) for name in tfs]
    known = set(available)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise KeyError(
            f"`tfs` must name TFs of {where}, found {listing(names)}. Unknown: "
            f"{listing(unknown)}. Available: {listing(available)}."
        )
    return list(dict.fromkeys(names))
