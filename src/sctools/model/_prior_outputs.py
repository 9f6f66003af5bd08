"""Passes of a trained prior transformer over cells, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch

from ..module import PriorTransformerModule
from ._runner import one_thread


class CellOutputs(NamedTuple):
    """Outputs of some cells.

    Attributes
    ----------
    latent
        Embeddings, float32 ``(n_obs, n_latent)``.
    proba
        Calibrated probabilities, float32 ``(n_obs, n_labels)``.
    read_out
        Weight of each gene in the embedding, float32 ``(n_obs, n_genes)``.
    attention
        Attention along the network's edges, mean over heads and layers, float32
        ``(n_obs, n_edges)``.
    centred
        Centred values of the genes, float32 ``(n_obs, n_genes)``.
    """

    latent: np.ndarray
    proba: np.ndarray
    read_out: np.ndarray
    attention: np.ndarray
    centred: np.ndarray


@torch.inference_mode()
def run(
    module: PriorTransformerModule,
    values: sp.csr_matrix,
    batch_size: int,
    take: Callable[[slice, CellOutputs], None],
) -> None:
    """Call ``take(rows, outputs)`` for every batch of cells, in their order.

    Parameters
    ----------
    module
        Trained module.
    values
        Log-normalised values of the model's genes.
    batch_size
        Cells at a time.
    take
        What is done with each batch.
    """
    module.eval()
    device = module.center.device
    network = module.index.network
    with one_thread():
        for first in range(0, values.shape[0], batch_size):
            rows = values[first : first + batch_size]
            batch = torch.from_numpy(rows.toarray().astype(np.float32, copy=False)).to(device)
            encoded = module.encode(batch)
            logits = module.generative(encoded.latent)["logits"] / module.temperature
            if encoded.attention is None:
                raise RuntimeError("A trained module gives attention.")
            outputs = CellOutputs(
                encoded.latent.cpu().numpy(),
                torch.softmax(logits, dim=1).cpu().numpy(),
                encoded.read_out.cpu().numpy(),
                encoded.attention.index_select(1, network).cpu().numpy(),
                encoded.centred.cpu().numpy(),
            )
            take(slice(first, first + len(batch)), outputs)


class GroupAttention:
    """Means over the cells of groups, in memory that does not grow with the cells.

    Parameters
    ----------
    n_groups, n_edges, n_genes
        Sizes.
    """

    def __init__(self, n_groups: int, n_edges: int, n_genes: int) -> None:
        self.n_cells = np.zeros(n_groups, dtype=np.int64)
        self._attention = np.zeros((n_groups, n_edges))
        self._read_out = np.zeros((n_groups, n_genes))

    def add(self, codes: np.ndarray, outputs: CellOutputs) -> None:
        """Add cells; ``codes`` below 0 are in no group."""
        n_groups = len(self.n_cells)
        member = np.zeros((n_groups, len(codes)), dtype=np.float32)
        inside = np.flatnonzero(codes >= 0)
        member[codes[inside], inside] = 1.0
        self.n_cells += member.sum(axis=1).astype(np.int64)
        self._attention += member @ outputs.attention
        self._read_out += member @ outputs.read_out

    def merge(self, other: GroupAttention) -> None:
        """Add the cells of another."""
        self.n_cells += other.n_cells
        self._attention += other._attention
        self._read_out += other._read_out

    @property
    def attention(self) -> np.ndarray:
        """Mean attention, float32 ``(n_edges, n_groups)``; NaN for a group without cells."""
        return self._mean(self._attention)

    @property
    def gene_attention(self) -> np.ndarray:
        """Mean weight of the genes in the embedding, float32 ``(n_genes, n_groups)``."""
        return self._mean(self._read_out)

    def _mean(self, total: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return (total / self.n_cells[:, None]).T.astype(np.float32)


class RegulatorScores:
    """Score of each regulator in a cell: how much its targets are expressed beyond their means.

    Σ over targets of read-out × attention × sign × centred value, so that a target counts by how
    much it attends to the regulator and how much the cell's embedding attends to it.

    Parameters
    ----------
    source, target
        Genes at the ends of the network's edges, ``(n_edges,)``.
    weight
        Weights of the edges; a target with a negative one counts the other way round.
    """

    def __init__(self, source: np.ndarray, target: np.ndarray, weight: np.ndarray) -> None:
        self._order = np.argsort(source, kind="stable")
        self.regulators, self._first = np.unique(source[self._order], return_index=True)
        self._target = target[self._order]
        self._sign = np.where(weight[self._order] < 0, -1.0, 1.0).astype(np.float32)

    def __call__(self, outputs: CellOutputs) -> np.ndarray:
        """Scores, float32 ``(n_obs, n_regulators)``."""
        told = outputs.read_out * outputs.centred
        parts = told[:, self._target] * outputs.attention[:, self._order]
        return np.add.reduceat(parts * self._sign, self._first, axis=1)
