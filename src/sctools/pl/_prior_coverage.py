"""What a regulatory network covers of the genes of a model."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.patches import Patch, Rectangle

from .._docs import docs
from .._keys import PRIOR_NETWORK
from .._validate import listing
from ._utils import COLORS, finish, legend_below, letter_width, merge_kwargs, new_axes, points

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_WITHOUT = "0.6"
"""Grey of the genes without a regulator."""

_DROPPED = {
    "n_self_loops": "{:,} from a gene to itself",
    "n_duplicates": "{:,} repeated",
    "n_complex_edges": "{:,} of complexes",
    "n_edges_outside": "{:,} to or from other genes",
}

_BAR = 0.27
"""Height of a bar in inches, with its share of the gap."""


@docs.dedent
def prior_coverage(
    adata: AnnData,
    key: str = PRIOR_NETWORK,
    *,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
    **kwargs: Any,
) -> Axes | Figure | SubFigure | None:
    """Histogram of the number of regulators of a gene, and what was dropped of the network.

    Bars are the genes of the model by the number of their regulators among them: none, 1, 2, 3–4,
    5–8, and so on. Genes without a regulator are grey: no edge of the network leads to them. Below
    are the share of genes with a regulator, and the edges that were kept and dropped.

    Parameters
    ----------
    adata
        Annotated data that :func:`sctools.pp.prior_network` was run on. It is left unchanged.
    key
        Name of a result with a network: the ``key_added`` of :func:`sctools.pp.prior_network`.
    %(plot)s
    **kwargs
        Passed to :meth:`matplotlib.axes.Axes.barh`.

    Returns
    -------
    %(plot_returns)s

    Raises
    ------
    KeyError
        If there is no result with a network under ``key``.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.regulated_cells(200)
    >>> sctools.pp.prior_network(adata, "prior", n_top_genes=300)
    >>> ax = sctools.pl.prior_coverage(adata, show=False)
    """
    edges, coverage = _check_network(adata, key)
    labels, numbers = _histogram(edges, int(coverage["n_genes"]))
    given = ax is not None
    width = mpl.rcParams["figure.figsize"][0]
    text_width = width - letter_width(mpl.rcParams["ytick.labelsize"]) * len(labels[-1]) - 0.5
    if ax is not None:
        text_width = ax.get_window_extent().width / ax.get_figure().dpi
    handles = _handles(coverage, text_width)
    n_lines = sum(str(handle.get_label()).count("\n") + 1 for handle in handles)
    line = 1.5 * points("small") / 72
    ax = new_axes(ax, (width, _BAR * len(labels) + line * n_lines + 0.8))
    colors = [_WITHOUT] + [COLORS[0]] * (len(labels) - 1)
    style = merge_kwargs({"color": colors, "height": 0.85}, kwargs, Rectangle)
    places = np.arange(len(labels))
    bars = ax.barh(places, numbers, **style)
    ax.bar_label(bars, [f"{number:,}" for number in numbers], fontsize="small", padding=2)
    ax.set_yticks(places, labels)
    ax.set_ylim(len(labels) - 0.5, -0.5)  # from above
    ax.margins(x=0.12)
    ax.set(xlabel="Genes", ylabel="Regulators of a gene")
    ax.grid(False, axis="y")
    for handle, bar in zip(handles, (bars[-1], bars[0]), strict=False):
        handle.set_color(bar.get_facecolor())
    legend_below(ax, handles, handlelength=1.2)
    return finish(ax, given=given, show=show, return_fig=return_fig)


def _check_network(adata: AnnData, key: str) -> tuple[pd.DataFrame, Mapping[str, Any]]:
    def has_network(value: Any) -> bool:
        return isinstance(value, Mapping) and "edges" in value and "coverage" in value

    result = adata.uns.get(key)
    if not has_network(result):
        found = [name for name, value in adata.uns.items() if has_network(value)]
        raise KeyError(
            f"No network under `adata.uns[{key!r}]`. Available: {listing(found)}. Run "
            f"`sctools.pp.prior_network(adata, net, key_added={key!r})` first, or pass the `key` "
            "it used."
        )
    return result["edges"], result["coverage"]


def _histogram(edges: pd.DataFrame, n_genes: int) -> tuple[list[str], list[int]]:
    """Count genes without a regulator, with 1, 2, 3–4, 5–8, … of them."""
    degree = edges["target"].value_counts().to_numpy()
    last = int(np.ceil(np.log2(degree.max(initial=1))))
    uppers = [2**i for i in range(last + 1)]
    lowers = [1, *(upper + 1 for upper in uppers[:-1])]
    labels = [
        f"{low}" if low == up else f"{low}–{up}" for low, up in zip(lowers, uppers, strict=True)
    ]
    numbers = [
        int(((degree >= low) & (degree <= up)).sum())
        for low, up in zip(lowers, uppers, strict=True)
    ]
    return ["0", *labels], [n_genes - len(degree), *numbers]


def _handles(coverage: Mapping[str, Any], width: float) -> list[Patch]:
    """Rows of the legend, wrapped: both kinds of genes, then plain text on the edges."""
    n_genes, n_regulated = int(coverage["n_genes"]), int(coverage["n_regulated"])
    share = n_regulated / n_genes
    dropped = [text.format(coverage[name]) for name, text in _DROPPED.items() if coverage.get(name)]
    added = int(coverage.get("n_edges_expanded", 0))
    texts = [
        f"{n_regulated:,} of {n_genes:,} genes with a regulator ({share:.0%})",
        f"{n_genes - n_regulated:,} without ({1 - share:.0%})",
        f"{coverage['n_edges']:,} edges of {coverage['n_tfs']:,} regulators; given: "
        f"{coverage['n_edges_given']:,}"
        + (f", and {added:,} of members of complexes" if added else ""),
        "Dropped: " + (", ".join(dropped) if dropped else "none"),
    ]
    letters = max(int(width / letter_width("small")) - 7, 20)
    texts = [textwrap.fill(text, letters, subsequent_indent="  ") for text in texts]
    return [
        *(Patch(label=text) for text in texts[:2]),
        *(Patch(visible=False, label=text) for text in texts[2:]),
    ]
