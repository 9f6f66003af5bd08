"""Edges of a regulatory network, laid out so that every sum over neighbours is a gather."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

KINDS = ("activator", "repressor", "unknown", "self")


class Bucket(NamedTuple):
    """Nodes with similar numbers of edges, padded to the same width.

    Attributes
    ----------
    nodes
        The nodes, int64 ``(n,)``.
    edges
        Their edges, int64 ``(n, width)``; a padded place holds edge 0.
    others
        The nodes at the other end, int64 ``(n, width)``; a padded place holds node 0.
    padding
        True in padded places, ``(n, width)``; ``None`` where there is none.
    """

    nodes: Tensor
    edges: Tensor
    others: Tensor
    padding: Tensor | None


class EdgeIndex(nn.Module):
    """Edges from regulators to targets, with every gene as a regulator of itself.

    Parameters
    ----------
    source, target
        Genes at both ends, integers ``(n_edges,)``, no self loops and no repetition.
    sign
        Positive for activators, negative for repressors, 0 where unknown; ``(n_edges,)``.
    n_genes
        Number of genes.

    Notes
    -----
    Edges are stored sorted by target, self edges among them. Buckets by target serve the forward
    pass on other devices than the CPU and buckets by source the backward pass: gathers and dense
    sums only, which give the same result on every run.
    """

    source: Tensor
    target: Tensor
    kind: Tensor
    first: Tensor
    network: Tensor

    def __init__(
        self, source: np.ndarray, target: np.ndarray, sign: np.ndarray, n_genes: int
    ) -> None:
        super().__init__()
        self.n_genes = n_genes
        self.n_edges = len(source)
        own = np.arange(n_genes)
        kinds = np.select([np.asarray(sign) > 0, np.asarray(sign) < 0], [0, 1], 2)
        near = np.concatenate([np.asarray(target, dtype=np.int64), own])
        far = np.concatenate([np.asarray(source, dtype=np.int64), own])
        kind = np.concatenate([kinds, np.full(n_genes, KINDS.index("self"))])
        order = np.lexsort((far, near))
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        near, far = near[order], far[order]
        self._keep("source", far)
        self._keep("target", near)
        self._keep("kind", kind[order])
        self._keep("first", np.searchsorted(near, np.arange(n_genes + 1)))
        # Where the edges of the network are, in the order given.
        self._keep("network", place[: self.n_edges])
        self._n_buckets: dict[str, int] = {}
        for side, ends in (("target", (near, far)), ("source", (far, near))):
            buckets = _buckets(*ends, n_genes)
            self._n_buckets[side] = len(buckets)
            for i, bucket in enumerate(buckets):
                for field, values in bucket._asdict().items():
                    self.register_buffer(f"_{side}_{i}_{field}", values, persistent=False)

    def _keep(self, name: str, values: np.ndarray) -> None:
        tensor = torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64))
        self.register_buffer(name, tensor, persistent=False)

    @property
    def degree(self) -> Tensor:
        """Number of genes that each gene attends to, itself included; int64 ``(n_genes,)``."""
        return self.first.diff()

    def by_target(self) -> list[Bucket]:
        """Buckets of targets with their regulators."""
        return self._side("target")

    def by_source(self) -> list[Bucket]:
        """Buckets of regulators with their targets."""
        return self._side("source")

    def _side(self, side: str) -> list[Bucket]:
        return [
            Bucket(*(getattr(self, f"_{side}_{i}_{field}") for field in Bucket._fields))
            for i in range(self._n_buckets[side])
        ]


def _buckets(near: np.ndarray, far: np.ndarray, n_nodes: int) -> list[Bucket]:
    """Group nodes by degree: one bucket per degree up to 4, then per quarter of a doubling."""
    order = np.argsort(near, kind="stable")
    degree = np.bincount(near, minlength=n_nodes)
    first = np.concatenate([[0], np.cumsum(degree)])
    width = _padded(degree)
    found = []
    for size in np.unique(width[degree > 0]):
        nodes = np.flatnonzero(width == size)
        place = first[nodes][:, None] + np.arange(size)
        padding = np.arange(size) >= degree[nodes][:, None]
        edges = order[np.where(padding, 0, place)]
        edges[padding] = 0
        others = np.where(padding, 0, far[edges])
        found.append(
            Bucket(
                torch.from_numpy(nodes),
                torch.from_numpy(edges),
                torch.from_numpy(others),
                torch.from_numpy(padding) if padding.any() else None,
            )
        )
    return found


def _padded(degree: np.ndarray) -> np.ndarray:
    steps = np.unique(np.ceil(2 ** np.arange(0, 32, 0.25)).astype(np.int64))
    return steps[np.searchsorted(steps, degree)]
