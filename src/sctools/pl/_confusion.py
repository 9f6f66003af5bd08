"""True labels against predicted classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle
from natsort import natsorted

from .._docs import docs
from .._keys import PRIOR_TRANSFORMER, PriorKeys
from ._answered_cells import AnsweredCells, answered_cells, check_column
from ._heatmap import draw_heatmap, inches
from ._utils import finish, is_dark, letter_width, points, wrapped

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure, SubFigure

UNKNOWN = "Unknown"
"""The prediction of cells whose confidence is below ``min_confidence``."""

_ANNOTATED = 5.2
"""Letters that a cell must have room for, in width, to have its number written."""

_COLUMNS = 12
"""Columns of a new figure that have it."""

_LABELS = {
    "true": "Fraction of the true class",
    "pred": "Fraction of the prediction",
    None: "Cells",
}


@docs.dedent
def confusion(
    adata: AnnData,
    labels_key: str | None = None,
    *,
    key: str = PRIOR_TRANSFORMER,
    normalize: Literal["true", "pred"] | None = "true",
    split: Literal["validation", "train", "unlabeled", "all"] | None = None,
    cmap: str | Colormap | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    **kwargs: Any,
) -> Axes | Figure | SubFigure | None:
    """Table of true labels (rows) against predictions (columns), as a heatmap.

    Only cells that the model did not train on are counted: those of the validation set, or all of
    them where a given model was applied. Cells without a label are left out. The validation set
    chose the epoch and the temperature, so that it may still flatter the model; other data tell
    more.

    The title gives the number of cells, accuracy, and macro-F1, which is the mean over the true
    classes, rare and frequent ones alike. The prediction "Unknown" counts as wrong in both. Labels
    that are no class of the model have rows at the bottom, in parentheses, and enter neither.

    Draw into figures made with ``layout="constrained"``, which makes room for the names of classes.

    Parameters
    ----------
    adata
        Annotated data that :func:`sctools.tl.prior_transformer` was run on. It is left unchanged.
    labels_key
        Column of ``adata.obs`` with the true labels. By default the one that the model was trained
        with.
    %(key)s
    normalize
        ``"true"`` draws fractions of each row, ``"pred"`` of each column, ``None`` numbers of
        cells.
    split
        Cells to count, by ``adata.obs[key + "_split"]``. By default ``"validation"`` where this
        column is there, else ``"all"``.
    cmap
        Colour map, by default ``"Blues"``, or ``"Blues_r"`` in a dark style.
    %(plot)s
    **kwargs
        Passed to :func:`seaborn.heatmap`, such as ``annot`` (by default the numbers are written
        for up to 12 columns, if they fit given axes), ``fmt`` or ``cbar``.

    Returns
    -------
    %(plot_returns)s

    Raises
    ------
    KeyError
        If there is no result under ``key``, its predictions are gone, or ``labels_key`` is not a
        column of ``adata.obs``.
    ValueError
        If no cell was held out or is of the ``split``; if none of these has a label, or no column
        of labels is known; if ``normalize`` or ``split`` is unknown.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.regulated_cells(240, n_genes=150, n_tfs=20, n_targets=8)
    >>> quick = {"max_epochs": 2, "min_confidence": 0}  # for a quick example only
    >>> sctools.tl.prior_transformer(adata, "cell_type", "prior", progress_bar=False, **quick)
    >>> ax = sctools.pl.confusion(adata, show=False)
    """
    if normalize not in _LABELS:
        raise ValueError(f"`normalize` must be 'true', 'pred' or None, found {normalize!r}.")
    cells = answered_cells(adata, key, labels_key, split)
    prediction = check_column(adata, key, PriorKeys.of(key).prediction)
    answer = prediction.astype(object).map(str).to_numpy()[cells.number]
    table = _table(cells, answer)
    drawn = table.astype("float64")
    if normalize == "true":
        drawn = drawn.div(table.sum(axis="columns"), axis="index")
    elif normalize == "pred":
        drawn = drawn / table.sum(axis="index").clip(lower=1)

    known = set(cells.classes)
    n_cells = table.sum(axis="columns")
    rows = [
        f"{name if name in known else f'({name})'} ({n:,})"
        for name, n in zip(table.index, n_cells, strict=True)
    ]
    labelled = pd.DataFrame(
        drawn.to_numpy(),
        index=pd.Index(wrapped(rows), name="True label (cells)"),
        columns=pd.Index(wrapped(table.columns, 30), name="Prediction"),
    )
    style: dict[str, Any] = {"linewidths": 0.5, "annot_kws": {"fontsize": points("small")}}
    if kwargs.get("annot", _has_room(table.shape[1], ax)) is True:
        fmt = kwargs.get("fmt", ".0f" if normalize is None else ".2f")
        kwargs = {**kwargs, "annot": _numbers(drawn, fmt), "fmt": ""}
    if normalize is not None:
        style["vmax"] = 1.0
    title = [cells.title, *_metrics(cells, answer)]
    given = ax is not None
    ax = draw_heatmap(
        labelled,
        label=_LABELS[normalize],
        center=None,
        least=0.0,
        cmap=cmap if cmap is not None else "Blues_r" if is_dark() else "Blues",
        ax=ax,
        kwargs={**style, **kwargs},
        # The title may reach over the colour bar, and as far over the labels of rows.
        min_width=max(map(len, title)) * letter_width("medium") - 1.2,
    )
    _mark_right(ax, table)
    ax.set_title("\n".join(title), fontsize="medium")
    return finish(ax, given=given, show=show, return_fig=return_fig)


def _table(cells: AnsweredCells, answer: np.ndarray) -> pd.DataFrame:
    """Count cells; right answers lie on the diagonal, strange labels and "Unknown" at the end."""
    true, predicted = set(cells.label), set(answer)
    known = natsorted(set(cells.classes) & (true | predicted))
    strange = natsorted(true - set(cells.classes))
    # An answer that is no class can only be "Unknown".
    columns = known + natsorted(predicted - set(known))
    rows = [name for name in known if name in true] + strange
    counts = pd.crosstab(pd.Series(cells.label), pd.Series(answer))
    return counts.reindex(index=rows, columns=columns, fill_value=0)


def _has_room(n_columns: int, ax: Axes | None) -> bool:
    if ax is None:
        return n_columns <= _COLUMNS
    return inches(ax)[0] / n_columns >= _ANNOTATED * letter_width("small")


def _numbers(drawn: pd.DataFrame, fmt: str) -> np.ndarray:
    """Write the numbers; without zeros, the others stand out."""
    return np.array(
        [[format(value, fmt) if value else "" for value in row] for row in drawn.to_numpy()]
    )


def _mark_right(ax: Axes, table: pd.DataFrame) -> None:
    """Frame the right answers."""
    for row, name in enumerate(table.index):
        if name in table.columns:
            place = (table.columns.get_loc(name), row)
            ax.add_patch(Rectangle(place, 1, 1, fill=False, edgecolor="0.3", linewidth=0.8))


def _metrics(cells: AnsweredCells, answer: np.ndarray) -> list[str]:
    n_strange = int((~cells.known).sum())
    if n_strange == len(cells.known):
        return ["no label is a class of the model"]
    from sklearn.metrics import f1_score

    label, answer = cells.label[cells.known], answer[cells.known]
    accuracy = float((label == answer).mean())
    macro = f1_score(label, answer, labels=sorted(set(label)), average="macro", zero_division=0)
    lines = [f"accuracy {accuracy:.3f}, macro-F1 {macro:.3f}"]
    return [*lines, f"without {n_strange:,} of no class of the model"] if n_strange else lines
