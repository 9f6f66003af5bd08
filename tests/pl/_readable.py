"""What can be read in a figure: nothing cut off, nothing over another."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def cut_off(fig: Figure) -> list[str]:
    """Texts that reach beyond the figure; tick labels that lie outside of an axis are not drawn."""
    fig.canvas.draw()
    hidden: set[Any] = set()
    for ax in fig.findobj(plt.Axes):
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not ax.axison or not low - 1e-9 <= tick.get_loc() <= high + 1e-9:
                    hidden |= {tick.label1, tick.label2}
    found = []
    for text in fig.findobj(plt.Text):
        if text in hidden or not text.get_visible() or not text.get_text():
            continue
        box = text.get_window_extent()
        if min(box.x0, box.y0) < -1 or box.x1 > fig.bbox.x1 + 1 or box.y1 > fig.bbox.y1 + 1:
            found.append(text.get_text())
    return found


def overlapping(texts: Iterable[Any]) -> list[tuple[str, str]]:
    """Pairs of visible texts that lie over each other."""
    boxes = [
        (text.get_text(), text.get_window_extent().padded(-0.5))
        for text in texts
        if text.get_visible() and text.get_text()
    ]
    return [(a, b) for (a, first), (b, second) in combinations(boxes, 2) if first.overlaps(second)]
