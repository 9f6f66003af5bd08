"""Top edges of a group of cells as a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, Patch
from matplotlib.ticker import MaxNLocator

from .._docs import docs
from .._keys import PRIOR_TRANSFORMER
from ..get import attention_df
from ..get._prior_result import cells_of_groups, check_positive, check_prior
from ._heatmap import inches
from ._network_layout import overlapping, place_nodes
from ._utils import (
    COLORS,
    Palette,
    finish,
    legend_right,
    letter_width,
    merge_kwargs,
    new_axes,
    points,
    resolve_palette,
    wrapped,
)

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.text import Text

# Sign of the weight -> its name, and the end of its arrows.
_SIGNS = {
    1: ("activation", "-|>"),
    -1: ("repression", "|-|,widthA=0,widthB=0.35"),
    0: ("sign unknown", "-|>"),
}
_COLORS = {"activation": COLORS[0], "repression": COLORS[3], "sign unknown": "0.55"}
_WIDTHS = (0.4, 4.5)
"""Width in points of an edge of lift zero and of the highest lift."""

_PAD = 0.3
"""Space around a label within its frame, in parts of its font size."""


@docs.dedent
def attention_network(
    adata: AnnData,
    group: str,
    *,
    key: str = PRIOR_TRANSFORMER,
    n_edges: int = 30,
    palette: Palette | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    **kwargs: Any,
) -> Axes | Figure | SubFigure | None:
    """Network of the edges that count most in a group of cells.

    Arrows lead from regulators (bold, on grey) to their targets. The edges drawn are those of
    highest score: lift of the attention times the share of the target in the read-out. Colour is
    the sign in the prior network, and repression ends in a bar instead of a head; width is the
    lift, the attention over that of evenly spread attention. Places are computed without
    randomness: connected genes are near each other, and labels do not lie over each other unless
    given axes are too small for them.

    Attention tracks co-expression and is no evidence of regulation; under the hard prior there is
    no edge but those of the network.

    Parameters
    ----------
    adata
        Annotated data that :func:`sctools.tl.prior_transformer` was run on. It is left unchanged.
    group
        A group of cells, one of ``adata.uns[key]["groups"]``.
    %(key)s
    n_edges
        Number of edges, at most. Above about 100 the network becomes hard to read.
    palette
        Colours of the edges: a mapping with ``"activation"``, ``"repression"`` and
        ``"sign unknown"``, a list of three in this order, or the name of a palette.
    %(plot)s
    **kwargs
        Passed to ``matplotlib.patches.FancyArrowPatch``, which draws the edges, such as
        ``alpha``.

    Returns
    -------
    %(plot_returns)s

    Raises
    ------
    KeyError
        If there is no result under ``key``.
    ValueError
        If the group is unknown, ``n_edges`` is not a positive integer, ``palette`` does not fit, or
        the parts of the result do not fit each other.

    See Also
    --------
    sctools.get.attention_df : The edges as a table.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.regulated_cells(120, n_genes=150, n_tfs=20, n_targets=8)
    >>> quick = {"max_epochs": 2, "min_confidence": 0}  # for a quick example only
    >>> sctools.tl.prior_transformer(adata, "cell_type", "prior", progress_bar=False, **quick)
    >>> group = adata.uns["prior_transformer"]["groups"][0]
    >>> ax = sctools.pl.attention_network(adata, group, show=False)
    """
    total = len(check_prior(adata, key).get("edges", ()))
    check_positive(n_edges, "n_edges")
    edges = attention_df(adata, str(group), key=key, n_top=n_edges)
    names = list(dict.fromkeys([*edges["source"], *edges["target"]]))
    colors: Mapping[str, Any] = _COLORS
    if palette is not None:
        colors = resolve_palette(adata, "sign", list(_COLORS), palette)

    given = ax is not None
    ax = new_axes(ax, _figsize(names))
    ax.set_axis_off()
    shown = f"{len(edges):,} of {total:,} edges" if len(edges) < total else f"{total:,} edges"
    n_cells = (cells_of_groups(adata, key) or {}).get(str(group))
    if n_cells is not None:
        shown = f"{n_cells:,} {'cell' if n_cells == 1 else 'cells'}, {shown}"
    ax.set_title("\n".join([*wrapped([str(group)]), shown]), fontsize="medium")
    texts = _label(ax, names, set(edges["source"]))
    widths = _widths(edges["lift"].to_numpy())
    legend_right(ax, _handles(edges, widths, colors))
    _place(ax, texts, edges, names)
    _draw_edges(ax, texts, edges, names, widths, colors, kwargs)
    return finish(ax, given=given, show=show, return_fig=return_fig)


def _figsize(names: Sequence[str]) -> tuple[float, float]:
    """Size at which labels take about a sixth of the area."""
    size = mpl.rcParams["font.size"]
    area = sum((len(name) + 1) * letter_width(size) * 1.8 * size / 72 for name in names)
    side = max(np.sqrt(6 * area), 0.36 * size)
    return float(1.15 * side + 1.7), float(0.9 * side + 0.5)


def _label(ax: Axes, names: Sequence[str], sources: set[str]) -> list[Text]:
    """Write the labels, to be placed later; their frames are the nodes."""
    back = mpl.rcParams["axes.facecolor"]
    edge = mpl.rcParams["axes.edgecolor"]
    return [
        ax.text(
            0,
            0,
            name,
            ha="center",
            va="center",
            zorder=4,
            fontsize=points(mpl.rcParams["font.size"], 0.9),
            fontweight="bold" if name in sources else "normal",
            bbox={
                "boxstyle": f"round,pad={_PAD}",
                "facecolor": _mixed(edge, back) if name in sources else back,
                "edgecolor": edge,
                "linewidth": 0.8 if name in sources else 0.4,
            },
        )
        for name in names
    ]


def _mixed(color: Any, background: Any) -> tuple[float, ...]:
    """Mix an opaque pale shade, which hides the edges behind it."""
    front, back = (np.array(mpl.colors.to_rgb(c)) for c in (color, background))
    return tuple(0.18 * front + 0.82 * back)


def _widths(lift: np.ndarray) -> Any:
    """Return the function from lift to width in points, which begins at lift zero."""
    thin, thick = _WIDTHS
    highest = max(float(lift.max()), 1e-9)
    return lambda value: thin + (thick - thin) * value / highest


def _handles(edges: pd.DataFrame, widths: Any, colors: Mapping[str, Any]) -> list[Any]:
    signs = _signs(edges)
    handles: list[Any] = [
        Line2D([], [], color=colors[name], linewidth=2, label=name.capitalize())
        for sign, (name, _) in _SIGNS.items()
        if sign in signs
    ]
    highest = float(edges["lift"].max())
    steps = [v for v in MaxNLocator(3).tick_values(0, highest) if 0 < v <= highest]
    gray = mpl.rcParams["text.color"]
    handles += [Line2D([], [], color=gray, linewidth=widths(v), label=f"Lift {v:g}") for v in steps]
    back, edge = mpl.rcParams["axes.facecolor"], mpl.rcParams["axes.edgecolor"]
    handles.append(Patch(facecolor=_mixed(edge, back), edgecolor=edge, label="Regulator"))
    handles.append(Patch(facecolor=back, edgecolor=edge, linewidth=0.4, label="Target only"))
    return handles


def _signs(edges: pd.DataFrame) -> np.ndarray:
    return np.sign(edges["weight"].fillna(0.0)).astype(int).to_numpy()


def _place(ax: Axes, texts: list[Text], edges: pd.DataFrame, names: Sequence[str]) -> None:
    """Move the labels to their places, in smaller print if they would overlap."""
    ax.figure.draw_without_rendering()  # now the layout has made room for the legend
    size = np.array(inches(ax))
    number = {name: i for i, name in enumerate(names)}
    pairs = np.array([[number[name] for name in edges[end]] for end in ("source", "target")]).T
    fontsize = texts[0].get_fontsize()
    while True:
        boxes = _boxes(texts)
        places = place_nodes(len(names), pairs, boxes, size)
        if fontsize <= 5 or not overlapping(places, boxes):
            break
        fontsize = max(0.9 * fontsize, 5)
        for text in texts:
            text.set_fontsize(fontsize)
    ax.set(xlim=(0, size[0]), ylim=(0, size[1]))
    for text, place in zip(texts, places, strict=True):
        text.set_position(place)


def _boxes(texts: list[Text]) -> np.ndarray:
    """Width and height of the labels with their frames in inches."""
    figure = texts[0].get_figure()
    extents = [text.get_window_extent() for text in texts]
    sizes = np.array([[box.width, box.height] for box in extents]) / figure.dpi
    return sizes + 2 * _PAD * texts[0].get_fontsize() / 72


def _draw_edges(
    ax: Axes,
    texts: list[Text],
    edges: pd.DataFrame,
    names: Sequence[str],
    widths: Any,
    colors: Mapping[str, Any],
    kwargs: dict[str, Any],
) -> None:
    boxes = dict(zip(names, _boxes(texts), strict=True))
    places = {text.get_text(): np.array(text.get_position()) for text in texts}
    pairs = set(zip(edges["source"], edges["target"], strict=True))
    for edge, sign in zip(edges.itertuples(), _signs(edges), strict=True):
        start, end = places[edge.source], places[edge.target]
        name, arrow = _SIGNS[int(sign)]
        width = float(widths(edge.lift))
        mutual = (edge.target, edge.source) in pairs
        style = {
            "arrowstyle": arrow,
            "connectionstyle": f"arc3,rad={0.2 if mutual else 0}",
            "mutation_scale": 8 + 2 * width,
            "shrinkA": _to_frame(boxes[edge.source], end - start),
            # Clear of the frame by half its own width, or a bar would be half hidden.
            "shrinkB": _to_frame(boxes[edge.target], end - start) + 2 + width / 2,
            "color": colors[name],
            "linewidth": width,
            "alpha": 0.8,
            "zorder": 2,
        }
        ax.add_patch(FancyArrowPatch(start, end, **merge_kwargs(style, kwargs, FancyArrowPatch)))


def _to_frame(box: np.ndarray, direction: np.ndarray) -> float:
    """Points from the centre of a label to its frame in that direction."""
    length = float(np.hypot(*direction))
    if length == 0:
        return 0.0
    parts = np.abs(direction) / length
    with np.errstate(divide="ignore"):
        return float(72 * np.min(box / 2 / parts))
