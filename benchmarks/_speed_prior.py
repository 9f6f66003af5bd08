"""Figures of the prior transformer: a step against masked dense attention, and over edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from _classification_speed import DENSE, EDGES, N_EDGES, N_GENES, edge_index, steps
from _side_by_side import ROUNDS, in_fresh_process, in_turns, noise, ratio, row, table, with_peak

CELLS = 8
"""Cells of a step: the dense one is slow, and both are linear in cells."""
EDGE_NUMBERS = (7_000, 14_000, 28_000, 56_000)
EDGE_CELLS, MEMORY_CELLS = 16, 64
"""Cells of a step over edges; for its memory more, which stands out from what a process needs."""

RETURNED = {"MALLOC_MMAP_THRESHOLD_": "65536"}
"""glibc gives freed arrays back at once, so that the peak is that of arrays in use. Else what it
keeps for later hides them, and differs from run to run."""


def step(quick: bool) -> pd.DataFrame:
    """Forward and backward pass of the same model."""
    n_edges, n_genes, n_cells = (600, 200, 2) if quick else (N_EDGES, N_GENES, CELLS)
    ways = steps(edge_index(n_edges=n_edges, n_genes=n_genes), n_cells)
    seconds = in_turns(ways, 2 if quick else ROUNDS)
    name = f"prior transformer step, {n_genes:,} genes, {n_edges:,} edges"
    return table([ratio(name, seconds, EDGES, DENSE, "≥ 5")])


def edges(quick: bool) -> pd.DataFrame:
    """Seconds and peak memory of a step over four numbers of edges.

    A step has a part that the edges do not touch (tokens, feed-forward layers). So what is told is
    the correlation with a straight line, and what a further edge costs between neighbouring sizes
    against what it costs over all: 1 where it is linear.
    """
    numbers = [size // 50 for size in EDGE_NUMBERS] if quick else list(EDGE_NUMBERS)
    n_genes, n_cells, many = (100, 2, 2) if quick else (N_GENES, EDGE_CELLS, MEMORY_CELLS)
    ways = {str(n): steps(edge_index(n_edges=n, n_genes=n_genes), n_cells)[EDGES] for n in numbers}
    seconds = in_turns(ways, 2 if quick else ROUNDS)
    peaks = [in_fresh_process("edges", n, n_genes, many, **RETURNED) for n in numbers]
    memory = np.array([each["peak"] - each["before"] for each in peaks])
    rows: list[dict[str, Any]] = []
    time = seconds[[str(n) for n in numbers]].to_numpy()
    for name, lines, control in (
        ("time", time, noise(seconds)),
        ("memory", memory[None], {}),
    ):
        figure = f"prior transformer step, {name} over {numbers[0]:,} to {numbers[-1]:,} edges"
        straight = [np.corrcoef(numbers, line)[0, 1] ** 2 for line in lines]
        rows.append(row(figure, "straight line", "r²", straight, "1", control))
        whole = (lines[:, -1] - lines[:, 0]) / (numbers[-1] - numbers[0])
        for less, more, (i, j) in zip(numbers, numbers[1:], ((0, 1), (1, 2), (2, 3)), strict=False):
            each = (lines[:, j] - lines[:, i]) / (more - less) / whole
            label = f"{name} of a further edge, {less:,} to {more:,}"
            rows.append(row(label, "over all", "times the cost", each, "", control))
    return table(rows)


def edges_child(n_edges: int, n_genes: int, n_cells: int) -> dict[str, float]:
    """Peak memory of two steps; a step with few edges goes before, which compiles."""
    torch.set_num_threads(1)
    steps(edge_index(n_edges=100, n_genes=100), 2)[EDGES]()
    one = steps(edge_index(n_edges=n_edges, n_genes=n_genes), n_cells)[EDGES]
    return with_peak(lambda: (one(), one()))
