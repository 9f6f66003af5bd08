"""Random networks in which every gene keeps its number of regulators and of targets."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd

logger = logging.getLogger("sctools")

_ROUNDS = 40
"""Swaps that are tried of each edge; at most half of them are made."""

_MOST_ROUNDS = 1000
"""After so many, what is still to be avoided cannot be."""


def rewire(
    edges: pd.DataFrame,
    rng: int | np.random.Generator | None = 0,
    *,
    avoid: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Shuffle the targets of a network by swaps between two edges (Maslov and Sneppen, 2002).

    Every gene keeps its in-degree and its out-degree; no edge is repeated or leads from a gene to
    itself. All other columns, as the weight, stay with the source, so that each keeps its numbers
    of activated and of repressed targets.

    Parameters
    ----------
    edges
        Columns ``source``, ``target`` and any others; no edge repeated, none from a gene to itself.
    rng
        Seed or generator.
    avoid
        Edges that the result must not have, such as ``edges`` itself.

    Returns
    -------
    A network of as many rows, sorted by target, then source, with a new index.

    Raises
    ------
    ValueError
        Edges are repeated or lead from a gene to itself, or there is no way to ``avoid``.
    """
    rng = np.random.default_rng(rng)
    columns = [edges["source"], edges["target"]]
    if avoid is not None:
        columns += [avoid["source"], avoid["target"]]
    code, genes = pd.factorize(
        np.concatenate([column.to_numpy(dtype=object) for column in columns])
    )
    n, size = len(edges), np.int64(max(len(genes), 1))
    source, target = code[:n].astype(np.int64), code[n : 2 * n].astype(np.int64)
    if (source == target).any() or len(np.unique(source * size + target)) < n:
        raise ValueError(
            "Edges that are repeated or lead from a gene to itself cannot be rewired. Prepare the "
            "network with `sctools.pp.prior_network`."
        )
    banned = np.empty(0, dtype=np.int64)
    if avoid is not None:
        half = len(avoid)
        banned = np.unique(
            code[2 * n : 2 * n + half].astype(np.int64) * size + code[2 * n + half :]
        )
    start = np.sort(source * size + target)

    for done in range(_MOST_ROUNDS):
        left = np.isin(source * size + target, banned)
        if done >= _ROUNDS and not left.any():
            break
        target = _swap(source, target, size, banned, rng)
    else:
        raise ValueError(
            f"{int(left.sum())} of {n} edges cannot be rewired into others than those to avoid: "
            "the network is too dense. Use fewer edges for as many genes."
        )
    unchanged = np.isin(source * size + target, start).mean() if n else 0.0
    if unchanged > 0.5:
        logger.warning(
            "%.0f %% of the edges are as before rewiring: with these numbers of regulators and "
            "targets there are few other networks.",
            100 * unchanged,
        )
    result = edges.reset_index(drop=True)
    result["target"] = np.asarray(genes, dtype=object)[target]
    return result.sort_values(["target", "source"], kind="stable", ignore_index=True)


def _swap(
    source: np.ndarray,
    target: np.ndarray,
    size: np.int64,
    banned: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Pair the edges at random and swap the targets of each pair where both new edges are new."""
    half = len(source) // 2
    order = rng.permutation(len(source))
    first, second = order[:half], order[half : 2 * half]
    one = source[first] * size + target[second]
    other = source[second] * size + target[first]
    allowed = (source[first] != target[second]) & (source[second] != target[first])
    present = np.concatenate([source * size + target, banned])
    both = np.concatenate([one, other])
    fresh = ~np.isin(both, present)
    # Of edges that two pairs would make, neither is made.
    _, inverse, counts = np.unique(both, return_inverse=True, return_counts=True)
    fresh &= counts[inverse] == 1
    # At random, else few edges would all swap in step and reach half of the networks.
    allowed &= fresh[:half] & fresh[half:] & (rng.random(half) < 0.5)
    target = target.copy()
    target[first[allowed]], target[second[allowed]] = (
        target[second[allowed]],
        target[first[allowed]],
    )
    return target
