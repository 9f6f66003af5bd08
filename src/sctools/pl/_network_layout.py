"""Places of the labels of a small network: connected ones near each other, none over another."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array, csgraph
from scipy.spatial.distance import cdist

_APART = 3.0
"""Distance in edges of nodes that are not connected."""

_GAP = 0.14
"""Inches between two labels, which an arrow takes."""

_ROUNDS = 300


def place_nodes(n: int, edges: np.ndarray, boxes: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Place nodes within an area; no randomness.

    Parameters
    ----------
    n
        Number of nodes.
    edges
        Pairs of node numbers, shape (n_edges, 2).
    boxes
        Width and height of the label of each node in inches, shape (n, 2).
    size
        Width and height of the area in inches, shape (2,).

    Returns
    -------
    Centres of the labels in inches, shape (n, 2). Labels overlap only where the area is too small.
    """
    low, high = boxes / 2, np.maximum(size - boxes / 2, boxes / 2)
    places = _by_distance(n, edges)
    places = places - places.mean(axis=0)
    # The long side of the network goes along that of the area.
    _, _, axes = np.linalg.svd(places, full_matrices=False)
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    places = places @ axes.T
    if places.shape[1] == 1:
        places = np.column_stack([places, np.zeros(n)])
    places = places if size[0] >= size[1] else places[:, ::-1]
    span = np.ptp(places, axis=0)
    even = span > 1e-6
    share = np.where(even, (places - places.min(axis=0)) / np.where(even, span, 1.0), 0.5)
    return _spread(low + share * (high - low), boxes + _GAP, low, high)


def overlapping(places: np.ndarray, boxes: np.ndarray) -> bool:
    """Tell whether any two labels overlap."""
    gap = np.abs(places[:, None] - places[None]) - (boxes[:, None] + boxes[None]) / 2
    over = (gap < -1e-6).all(axis=-1)
    np.fill_diagonal(over, False)
    return bool(over.any())


def _by_distance(n: int, edges: np.ndarray) -> np.ndarray:
    """Make distances in the plane follow those along edges, by stress majorisation.

    Gansner, Koren and North, Graph Drawing by Stress Majorization (2004), with weights 1 / d².
    """
    ones = np.ones(len(edges))
    graph = coo_array((ones, (edges[:, 0], edges[:, 1])), shape=(n, n)).tocsr()
    wanted = csgraph.shortest_path(graph, directed=False, unweighted=True)
    wanted[np.isinf(wanted)] = _APART
    np.fill_diagonal(wanted, 1.0)
    weight = wanted**-2
    np.fill_diagonal(weight, 0.0)
    inverse = np.linalg.pinv(np.diag(weight.sum(axis=0)) - weight)

    # Begin on a circle on which neighbours stand together.
    angle = np.empty(n)
    angle[_in_depth(graph, n)] = 2 * np.pi * np.arange(n) / n
    places = np.column_stack([np.cos(angle), np.sin(angle)])
    for _ in range(_ROUNDS):
        ratio = weight * wanted / np.maximum(cdist(places, places), 1e-9)
        places = inverse @ ((np.diag(ratio.sum(axis=0)) - ratio) @ places)
    return places


def _in_depth(graph: object, n: int) -> list[int]:
    """Order nodes depth first, one component after the other."""
    order: dict[int, None] = {}
    for start in range(n):
        if start not in order:
            found = csgraph.depth_first_order(
                graph, start, directed=False, return_predecessors=False
            )
            order |= dict.fromkeys(int(node) for node in found)
    return list(order)


def _spread(places: np.ndarray, boxes: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Push overlapping labels apart, along whichever direction is shorter."""
    n = len(places)
    reach = (boxes[:, None] + boxes[None]) / 2
    # Labels at the same place part by their number.
    before = np.sign(np.arange(n)[:, None] - np.arange(n)[None])
    for _ in range(_ROUNDS):
        apart = places[:, None] - places[None]
        over = reach - np.abs(apart)
        colliding = (over > 1e-6).all(axis=-1)
        np.fill_diagonal(colliding, False)
        if not colliding.any():
            break
        side = np.where(np.abs(apart) > 1e-9, np.sign(apart), before[..., None])
        shorter = over[..., 0] <= over[..., 1]
        along = np.stack([shorter, ~shorter], axis=-1) & colliding[..., None]
        push = np.where(along, side * over / 2, 0.0)
        # At the edge of the area, only the other label can give way.
        places = np.clip(places + 0.7 * push.sum(axis=1), low, high)
    return places
