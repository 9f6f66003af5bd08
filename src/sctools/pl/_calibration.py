"""Confidence against the share of right answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.lines import Line2D

from .._calibration_error import calibration_bins, expected_calibration_error
from .._docs import docs
from .._keys import PRIOR_TRANSFORMER, PriorKeys
from .._validate import listing
from ..get._prior_result import check_positive
from ._answered_cells import answered_cells, check_column
from ._utils import COLORS, finish, legend_below, merge_kwargs, new_axes, points

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_BINS = 15
"""Bins of the expected calibration error, whatever the figure shows."""

_LEAST_CELLS = 10


@docs.dedent
def calibration(
    adata: AnnData,
    labels_key: str | None = None,
    *,
    key: str = PRIOR_TRANSFORMER,
    split: Literal["validation", "train", "unlabeled", "all"] | None = None,
    n_bins: int = 10,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    **kwargs: Any,
) -> Axes | Figure | SubFigure | None:
    """Reliability diagram: how often answers of a certain confidence are right.

    Cells are cut by their confidence into bins of about as many cells each; a point is the share
    of right answers in a bin over its mean confidence, with a 95 %% Wilson interval. Below the
    diagonal the model is too sure of itself. Above the diagram stands a histogram of confidence.

    The answer of a cell is its most probable class, also where its prediction is "Unknown".
    Cells are chosen as in :func:`sctools.pl.confusion`; those whose label is no class of the model
    are left out, as no answer could be right. The validation set chose the temperature, so that
    calibration is at its best there; other data tell more.

    The title gives the number of cells, accuracy, and the expected calibration error (ECE): the
    distance of points and diagonal, mean over the cells, with 15 bins whatever ``n_bins`` is. Of
    few cells it is too high, since chance takes points off the diagonal too.

    Parameters
    ----------
    adata
        Annotated data that :func:`sctools.tl.prior_transformer` was run on. It is left unchanged.
    labels_key
        Column of ``adata.obs`` with the true labels. By default the one that the model was trained
        with.
    %(key)s
    split
        Cells to count, by ``adata.obs[key + "_split"]``. By default ``"validation"`` where this
        column is there, else ``"all"``.
    n_bins
        Number of points, at most: cells of equal confidence share a bin, and there are fewer
        bins where one would have less than ten cells.
    %(plot)s
    **kwargs
        Passed to :meth:`matplotlib.axes.Axes.plot` for the points, such as ``color``.

    Returns
    -------
    %(plot_returns)s

    Raises
    ------
    KeyError
        If there is no result under ``key``, its confidences or probabilities are gone, or
        ``labels_key`` is not a column of ``adata.obs``.
    ValueError
        If no cell was held out or is of the ``split``; if none of these has a label that is a
        class of the model, or no column of labels is known; if ``split`` is unknown, or ``n_bins``
        is not a positive integer.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.regulated_cells(240, n_genes=150, n_tfs=20, n_targets=8)
    >>> quick = {"max_epochs": 2, "min_confidence": 0}  # for a quick example only
    >>> sctools.tl.prior_transformer(adata, "cell_type", "prior", progress_bar=False, **quick)
    >>> ax = sctools.pl.calibration(adata, show=False)
    """
    check_positive(n_bins, "n_bins")
    cells = answered_cells(adata, key, labels_key, split)
    if not cells.known.any():
        raise ValueError(
            "No cell has a label that is a class of the model. Labels: "
            f"{listing(dict.fromkeys(cells.label))}. Classes: {listing(cells.classes)}. Name the "
            "column that has them: `labels_key=…`."
        )
    number = cells.number[cells.known]
    stored = check_column(adata, key, PriorKeys.of(key).confidence)
    confidence = stored.to_numpy(dtype="float64")[number]
    best = _proba(adata, key, cells.classes)[number].argmax(axis=1)
    right = np.array(cells.classes, dtype=object)[best] == cells.label[cells.known]

    given = ax is not None
    scale = max(points(mpl.rcParams["axes.labelsize"]) / 10, 0.8)
    ax = new_axes(ax, (4.0 * scale, 4.9 * scale))
    _draw(ax, confidence, right, n_bins, kwargs)
    histogram = ax.inset_axes((0, 1.03, 1, 0.18), sharex=ax)
    histogram.hist(confidence, bins=np.linspace(0, 1, 41), color=COLORS[-1])
    histogram.spines[["top", "right", "left"]].set_visible(False)
    histogram.tick_params(labelbottom=False, left=False, labelleft=False)
    histogram.grid(False)

    left_out = len(cells.number) - len(number)
    error = expected_calibration_error(confidence, right, _BINS)
    lines = [cells.title, f"accuracy {right.mean():.3f}, ECE {error:.3f}"]
    if left_out:
        lines.append(f"without {left_out:,} of no class of the model")
    ax.set_title("\n".join(lines), fontsize="medium")
    return finish(ax, given=given, show=show, return_fig=return_fig)


def _proba(adata: AnnData, key: str, classes: list[str]) -> np.ndarray:
    """Return the probabilities (n_obs, n_classes)."""
    name = PriorKeys.of(key).proba
    again = f"Run `sctools.tl.prior_transformer(adata, …, key_added={key!r})` again."
    if name not in adata.obsm:
        raise KeyError(
            f"`adata.obsm[{name!r}]` is missing, in which the result {key!r} keeps its "
            f"probabilities. Available: {listing(adata.obsm)}. {again}"
        )
    proba = np.asarray(adata.obsm[name])
    if proba.shape != (adata.n_obs, len(classes)):
        raise ValueError(
            f"`adata.obsm[{name!r}]` must have shape ({adata.n_obs}, {len(classes)}), one column "
            f"per class, found {proba.shape}. {again}"
        )
    return proba


def _draw(
    ax: Axes, confidence: np.ndarray, right: np.ndarray, n_bins: int, kwargs: dict[str, Any]
) -> None:
    bins = calibration_bins(confidence, right, max(1, min(n_bins, len(right) // _LEAST_CELLS)))
    low, high = _wilson(bins.accuracy, bins.n)
    foreground = mpl.rcParams["text.color"]
    ax.plot([0, 1], [0, 1], color=foreground, linewidth=1, linestyle="--", zorder=1)
    style: dict[str, Any] = {"color": COLORS[0], "marker": "o", "linewidth": 1.5, "zorder": 3}
    style = merge_kwargs(style, kwargs, Line2D)
    (drawn,) = ax.plot(bins.confidence, bins.accuracy, label="Bin of cells", **style)
    ax.vlines(bins.confidence, low, high, color=drawn.get_color(), linewidth=1, zorder=2)
    # Confidence of few classes starts far above zero.
    start = max(0.0, np.floor(10 * min(bins.confidence.min(), low.min())) / 10)
    ax.set(xlim=(start, 1.01), ylim=(start, 1.01))
    ax.set(xlabel="Confidence", ylabel="Share of right answers")
    per_bin = f"{bins.n.min():,}" if np.ptp(bins.n) == 0 else f"{bins.n.min():,}–{bins.n.max():,}"
    handles = [
        Line2D([], [], color=foreground, linewidth=1, linestyle="--", label="Calibrated"),
        Line2D([], [], **{**style, "label": f"Bins of {per_bin} cells, 95 % interval"}),
    ]
    legend_below(ax, handles)


def _wilson(share: np.ndarray, n: np.ndarray, z: float = 1.96) -> tuple[np.ndarray, np.ndarray]:
    """Interval of a share; unlike the normal one it is sensible near 0 and 1."""
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return middle - half, middle + half
