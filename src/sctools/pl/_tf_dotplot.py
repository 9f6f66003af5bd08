"""Scores of regulators in groups of cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.collections import PathCollection
from matplotlib.lines import Line2D

from .._docs import docs
from .._keys import PRIOR_TRANSFORMER, PriorKeys
from .._validate import check_obs_key, listing
from ..get._columns import as_groups
from ..get._prior_result import check_positive, check_prior
from ..get._tf_lift import contrast, top_of_groups
from ._heatmap import fit_labels, inches, inner_size, outer_size
from ._prior_transformer import check_tfs
from ._utils import diverging_cmap, finish, letter_width, merge_kwargs, new_axes, points, wrapped

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure, SubFigure

_COLUMNS = 60
_MIN_LIMIT = 0.25
"""Least end of the colour scale in standard deviations: smaller differences stay pale."""

_LARGEST = 15.0
"""Diameter in points of a dot for all cells, where the grid leaves room for it."""

_SHARES = (0.25, 0.5, 0.75, 1.0)


@docs.dedent
def tf_dotplot(
    adata: AnnData,
    key: str = PRIOR_TRANSFORMER,
    *,
    groupby: str | None = None,
    tfs: Sequence[str] | None = None,
    n_top: int | None = None,
    cmap: str | Colormap | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    **kwargs: Any,
) -> Axes | Figure | SubFigure | None:
    """Dot plot of the TF scores of groups of cells.

    The score of a TF in a cell tells how far the TF's targets are above their means (below, for
    targets that it represses), each weighted by its attention to the TF and its share in the
    read-out. The **colour** of a dot is the mean over the group, minus the mean
    over all cells, in standard deviations of all cells. Its **area** is the share of the group's
    cells whose score is above that mean.

    By default a few TFs of each group are shown, those whose mean exceeds that of the other
    groups most. A TF stands with the group in which it does so most, so that TFs of single groups
    form a diagonal.

    Draw into figures made with ``layout="constrained"``, which makes room for the names of groups.

    Parameters
    ----------
    adata
        Annotated data that :func:`sctools.tl.prior_transformer` was run on. It is left unchanged.
    %(key)s
    groupby
        Column of ``adata.obs`` with the groups. By default the one that attention was averaged
        over, else that of the labels, else the predictions. Cells without a group count only in
        the mean and standard deviation of all. Groups are natural-sorted unless ``groupby`` is a
        Categorical with an order of its own.
    tfs
        The TFs to draw, in this order: columns of ``adata.obsm[key + "_tf"]``. By default those
        that tell groups apart.
    n_top
        TFs of each group. By default 5, fewer (at least 1) for more than 12 groups, so that about
        60 are drawn.
    cmap
        Diverging colour map, by default ``"RdBu_r"``, or ``"icefire"`` in a dark style. It
        reaches as far below zero as above, up to the highest absolute value, though not below
        ±0.25.
    %(plot)s
    **kwargs
        Passed to :meth:`matplotlib.axes.Axes.scatter`, which draws the dots, such as ``vmin`` and
        ``vmax``.

    Returns
    -------
    %(plot_returns)s

    Raises
    ------
    KeyError
        If there is no result under ``key``, its TF scores are missing from ``adata.obsm``, one of
        ``tfs`` is not among them, or ``groupby`` is not a column of ``adata.obs``.
    ValueError
        If no cell has a group, or ``n_top`` is not a positive integer.

    See Also
    --------
    sctools.pl.prior_transformer : Lift of the attention to the TFs.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.regulated_cells(120, n_genes=150, n_tfs=20, n_targets=8)
    >>> quick = {"max_epochs": 2, "min_confidence": 0}  # for a quick example only
    >>> sctools.tl.prior_transformer(adata, "cell_type", "prior", progress_bar=False, **quick)
    >>> ax = sctools.pl.tf_dotplot(adata, show=False)
    """
    params = check_prior(adata, key)["params"]
    check_positive(n_top, "n_top")
    scores = _check_scores(adata, key)
    groupby = _check_groupby(adata, params, groupby, key)
    mean, share, n_cells = _summaries(scores, as_groups(adata.obs[groupby]), groupby)
    if tfs is None:
        n_top = n_top or max(1, min(5, _COLUMNS // len(mean)))
        names = top_of_groups(contrast(mean.T), n_top)
    else:
        names = check_tfs(tfs, list(mean.columns), f"`adata.obsm[{PriorKeys.of(key).tf!r}]`")

    rows = wrapped(f"{name} ({n:,})" for name, n in zip(mean.index, n_cells, strict=True))
    kind = "Prediction" if groupby == PriorKeys.of(key).prediction else groupby
    label = "TF" if tfs is not None else f"TF ({len(names)} of {mean.shape[1]})"
    mean = pd.DataFrame(
        mean[names].to_numpy(),
        index=pd.Index(rows, name=f"{kind} (cells)"),
        columns=pd.Index(names, name=label),
    )
    given = ax is not None
    # The legend of sizes stands above the dots.
    size = inner_size(mean, 33 * letter_width("small"))
    width, height = outer_size(mean, size)
    ax = new_axes(ax, (width, height + 0.5))
    size = inches(ax) if given else size
    _draw(ax, mean, share[names].to_numpy(), size, diverging_cmap(cmap), kwargs)
    return finish(ax, given=given, show=show, return_fig=return_fig)


def _check_scores(adata: AnnData, key: str) -> pd.DataFrame:
    name = PriorKeys.of(key).tf
    if not isinstance(adata.obsm.get(name), pd.DataFrame):
        raise KeyError(
            f"`adata.obsm[{name!r}]` must be a data frame of TF scores, which the result {key!r} "
            f"comes with, and is not there. Available: {listing(adata.obsm)}. Run "
            f"`sctools.tl.prior_transformer(adata, …, key_added={key!r})` again."
        )
    scores = adata.obsm[name]
    return scores.set_axis([str(column) for column in scores.columns], axis=1)


def _check_groupby(adata: AnnData, params: dict[str, Any], groupby: str | None, key: str) -> str:
    if groupby is None:
        names = (params.get("groupby"), params.get("labels_key"), PriorKeys.of(key).prediction)
        groupby = next(str(name) for name in names if name is not None)
        mend = f"The result {key!r} was computed with it. Name another column with `groupby=…`."
    else:
        mend = ""
    check_obs_key(adata, groupby, argument="groupby", mend=mend)
    return groupby


def _summaries(
    scores: pd.DataFrame, groups: pd.Series, groupby: str
) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Return standardised means and shares above the mean (groups × TFs), and numbers of cells."""
    names = list(groups.cat.categories)
    if not names:
        raise ValueError(
            f"No cell has a group in `adata.obs[{groupby!r}]`. Name another column: `groupby=…`."
        )
    codes = groups.cat.codes.to_numpy()
    values = scores.to_numpy(dtype="float64")
    center, sd = values.mean(axis=0), values.std(axis=0)
    deviation = (values - center) / np.where(sd > 0, sd, 1.0)  # constant scores: zero everywhere
    parts = [deviation[codes == i] for i in range(len(names))]
    mean = np.stack([part.mean(axis=0) for part in parts])
    share = np.stack([(part > 0).mean(axis=0) for part in parts])
    frames = (pd.DataFrame(table, names, scores.columns) for table in (mean, share))
    return (*frames, np.bincount(codes[codes >= 0], minlength=len(names)))


def _draw(
    ax: Axes,
    mean: pd.DataFrame,
    share: np.ndarray,
    size: tuple[float, float],
    cmap: str | Colormap,
    kwargs: dict[str, Any],
) -> None:
    n_rows, n_columns = mean.shape
    reach = max(float(np.abs(mean.to_numpy()).max()), _MIN_LIMIT)
    largest = min(0.92 * 72 * min(size[0] / n_columns, size[1] / n_rows), _LARGEST)
    row, column = np.indices(mean.shape)
    style: dict[str, Any] = {
        "s": largest**2 * share.ravel(),
        "cmap": cmap,
        "linewidth": 0.4,
        "edgecolor": "0.5",
    }
    style = merge_kwargs(style, kwargs, PathCollection)
    if style.get("norm") is None:
        style = {"vmin": -reach, "vmax": reach, **style}
    dots = ax.scatter(column.ravel(), row.ravel(), c=mean.to_numpy().ravel(), **style)

    ax.grid(False)
    ax.spines[["top", "right"]].set_visible(True)
    ax.set_xticks(range(n_columns), labels=list(mean.columns))
    ax.set_yticks(range(n_rows), labels=list(mean.index))
    ax.set(xlim=(-0.5, n_columns - 0.5), ylim=(n_rows - 0.5, -0.5))
    ax.set(xlabel=mean.columns.name, ylabel=mean.index.name)
    fit_labels(ax, mean, size)

    length = min(size[1], 3.0)
    ax.figure.colorbar(
        dots,
        ax=ax,
        label="Mean TF score\n(SD from the mean)",
        shrink=length / size[1],
        aspect=length / 0.15,
        anchor=(0, 1),
        fraction=min(0.3 / size[0], 0.15),
    )
    handles = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker="o",
            markersize=largest * np.sqrt(value),
            markerfacecolor="0.6",
            markeredgecolor="none",
            label=f"{value:.0%}",
        )
        for value in _SHARES
    ]
    ax.legend(
        handles=handles,
        title="Cells above the mean",
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=len(handles),
        borderpad=0,
        frameon=False,
        fontsize="small",
        title_fontsize="small",
        alignment="left",
        handletextpad=0.2,
        columnspacing=1,
        handlelength=max(1.0, largest / points("small")),
    )
