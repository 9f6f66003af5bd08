"""What all figures share: a new or a given axes, colours, legends, and the end of a figure."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.cbook import normalize_kwargs
from matplotlib.colors import Colormap, LinearSegmentedColormap, is_color_like, to_rgb
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.transforms import ScaledTranslation

from .._validate import listing

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

# The colour-blind-safe palette of seaborn without its two pale colours, which are lost on white.
COLORS = ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#56b4e9", "#949494")

Palette = str | Sequence[Any] | Mapping[str, Any]


def new_axes(ax: Axes | None, figsize: tuple[float, float]) -> Axes:
    """Return ``ax``, or the axes of a new figure whose layout makes room for legends."""
    if ax is None:
        _, ax = plt.subplots(figsize=figsize, layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def finish(
    ax: Axes | list[Axes], *, given: bool, show: bool | None, return_fig: bool
) -> Axes | list[Axes] | Figure | SubFigure | None:
    """Show the figure or hand it back; one whose axes were ``given`` is never shown."""
    if show is None:
        from scanpy import settings

        show = settings.autoshow and not return_fig
    show = show and not given
    if show:
        plt.show()
    if return_fig:
        return (ax[0] if isinstance(ax, list) else ax).figure
    return None if show else ax


def resolve_palette(
    adata: AnnData,
    column: str,
    names: Sequence[str],
    palette: Palette | None,
    *,
    named: bool = False,
) -> dict[str, Any]:
    """Colour of each of ``names``, the categories of ``adata.obs[column]``.

    A given ``palette`` comes first, then the colours that scanpy keeps in
    ``adata.uns[column + "_colors"]``, then a palette that is safe for colour-blind readers. Where
    the categories are ``named`` in the figure anyway and too many for it, all have one colour.
    """
    if isinstance(palette, Mapping):
        missing = [name for name in names if name not in palette]
        if missing:
            raise ValueError(
                f"`palette` has no colour for {listing(missing)}. "
                f"Its names: {listing(palette)}; those of {column!r}: {listing(names)}."
            )
        return {name: palette[name] for name in names}
    if isinstance(palette, str):
        return dict(zip(names, sns.color_palette(palette, len(names)), strict=True))
    if palette is not None:
        if len(palette) < len(names):
            raise ValueError(
                f"`palette` has {len(palette)} colours, but {column!r} has {len(names)} "
                f"categories: {listing(names)}."
            )
        return dict(zip(names, palette, strict=False))

    stored = _stored_colors(adata, column)
    if all(name in stored for name in names):
        return {name: stored[name] for name in names}
    if len(names) <= len(COLORS):
        return dict(zip(names, COLORS, strict=False))
    # More hues cannot be told apart with every kind of colour vision.
    many = COLORS[:1] * len(names) if named else _shades(len(names))
    return dict(zip(names, many, strict=True))


def is_dark() -> bool:
    """Tell whether the style draws on a dark background."""
    return float(np.dot(to_rgb(mpl.rcParams["axes.facecolor"]), (0.3, 0.59, 0.11))) < 0.5


def diverging_cmap(cmap: str | Colormap | None) -> str | Colormap:
    """Return ``cmap``, by default a diverging one whose middle is like the background."""
    return cmap if cmap is not None else "icefire" if is_dark() else "RdBu_r"


def readable_viridis() -> Colormap:
    """Viridis without the end that is lost on the background: violet on black, yellow on white."""
    return LinearSegmentedColormap.from_list("readable_viridis", _shades(256))


def _shades(n: int) -> list[tuple[float, ...]]:
    low, high = (0.3, 1.0) if is_dark() else (0.0, 0.9)
    return [tuple(color) for color in mpl.colormaps["viridis"](np.linspace(low, high, n))]


def _stored_colors(adata: AnnData, column: str) -> dict[str, str]:
    values = adata.obs[column]
    colors = adata.uns.get(f"{column}_colors")
    if colors is None or not hasattr(values, "cat"):
        return {}
    colors = [str(color) for color in colors]
    categories = [str(name) for name in values.cat.categories]
    if len(colors) < len(categories) or not all(map(is_color_like, colors)):
        return {}
    return dict(zip(categories, colors, strict=False))


def merge_kwargs(
    defaults: dict[str, Any], kwargs: dict[str, Any], artist: type[Artist]
) -> dict[str, Any]:
    """Let ``kwargs`` override ``defaults`` under whichever alias (``lw``, ``linewidth``)."""
    return {**normalize_kwargs(defaults, artist), **normalize_kwargs(kwargs, artist)}


def points(size: str | float, scale: float = 1.0) -> float:
    """Size in points of a font size such as ``rcParams["axes.labelsize"]``, times ``scale``."""
    return float(FontProperties(size=size).get_size_in_points()) * scale


def letter_width(size: str | float) -> float:
    """Width of an average letter in inches."""
    return points(size, 0.55) / 72


def wrapped(names: Iterable[str], width: int = 40) -> list[str]:
    """Break long names of groups between words into lines of about that many letters."""
    return [
        textwrap.fill(name, width, break_long_words=False, break_on_hyphens=False) for name in names
    ]


def minus(number: float, digits: int) -> str:
    """Format with a true minus sign, as the tick labels have it."""
    return f"{number:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def legend_below(ax: Axes, handles: Sequence[Any], **kwargs: Any) -> Legend:
    """Legend under the axis label, which leaves the data and the place of the title free."""
    rc = mpl.rcParams
    depth = (
        rc["xtick.major.size"]
        + rc["xtick.major.pad"]
        + rc["axes.labelpad"]
        + 1.3 * points(rc["xtick.labelsize"])
        + 1.3 * points(rc["axes.labelsize"])
    )
    shift = ScaledTranslation(0, -depth / 72, ax.figure.dpi_scale_trans)
    defaults: dict[str, Any] = {
        "loc": "upper left",
        "bbox_to_anchor": (0, 0),
        "bbox_transform": ax.transAxes + shift,
        "borderaxespad": 0.4,
        "borderpad": 0,
        "frameon": False,
        "fontsize": "small",
        "title_fontsize": "small",
        "alignment": "left",
    }
    return ax.legend(handles=list(handles), **{**defaults, **kwargs})


def legend_right(ax: Axes, handles: Sequence[Any], **kwargs: Any) -> Legend:
    """Second legend, to the right of the axes, in columns of at most fifteen."""
    defaults: dict[str, Any] = {
        "ncols": math.ceil(len(handles) / 15),
        "loc": "upper left",
        "bbox_to_anchor": (1, 1),
        "borderpad": 0,
        "frameon": False,
        "fontsize": "small",
        "title_fontsize": "small",
        "alignment": "left",
    }
    labels = [str(handle.get_label()) for handle in handles]
    legend = Legend(ax, list(handles), labels, **{**defaults, **kwargs})
    ax.add_artist(legend)
    legend.set_clip_on(False)  # else the layout makes no room for it
    return legend
