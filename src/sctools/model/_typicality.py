"""How usual a cell is among those of the classes that were learned."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.covariance import LedoitWolf

TIE = 1e-5


class Typicality(NamedTuple):
    """Distances from the classes in the embedding, and what they usually are.

    Attributes
    ----------
    means
        Mean embedding of each class, ``(n_labels, n_latent)``.
    root
        Root of the precision that all classes share, ``(n_latent, n_latent)``: distances are
        Euclidean after multiplication by it.
    seen
        Sorted distances of the cells that shaped the embedding.
    new
        Sorted distances of labelled cells that did not.
    """

    means: np.ndarray
    root: np.ndarray
    seen: np.ndarray
    new: np.ndarray

    def distances(self, latent: np.ndarray) -> np.ndarray:
        """Mahalanobis distance from the nearest class, ``(n_obs,)``."""
        flat = latent.astype(np.float64) @ self.root
        centres = self.means @ self.root
        # A class at a time: cells × classes × width would be the largest array of all.
        squares = [np.square(flat - centre).sum(axis=1) for centre in centres]
        return np.sqrt(np.min(squares, axis=0))

    def __call__(self, latent: np.ndarray, *, seen: bool = False) -> np.ndarray:
        """Share of the reference cells that lie as far or farther, float32 ``(n_obs,)``.

        Parameters
        ----------
        latent
            Embeddings, ``(n_obs, n_latent)``.
        seen
            Whether the cells shaped the embedding: they are compared with cells that did, because
            an embedding spreads these more than others.
        """
        reference = self.seen if seen else self.new
        # A cell is as far as itself, whatever the last digit of its embedding.
        n_less = np.searchsorted(reference, self.distances(latent) * (1 - TIE), side="left")
        return ((1 + len(reference) - n_less) / (1 + len(reference))).astype(np.float32)


def typical(typicality: Typicality | None, latent: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Typicality of embeddings of cells that are ``new`` to the model or not; 1 without any."""
    if typicality is None:
        return np.ones(len(latent), dtype=np.float32)
    return np.where(new, typicality(latent), typicality(latent, seen=True))


def fit_typicality(
    seen: np.ndarray, labels: np.ndarray, new: np.ndarray, n_labels: int
) -> Typicality:
    """Fit means and precision to cells that were trained on, and keep usual distances.

    The distance of Lee et al., *A Simple Unified Framework for Detecting Out-of-Distribution
    Samples and Adversarial Attacks*, NeurIPS 2018; its share among held-out cells is a conformal
    p-value.

    Parameters
    ----------
    seen, labels
        Embeddings and classes of the training cells, ``(n_obs, n_latent)`` and ``(n_obs,)``.
    new
        Embeddings of the validation cells.
    n_labels
        Number of classes; each has training cells.
    """
    seen = seen.astype(np.float64)
    means = np.stack([seen[labels == label].mean(axis=0) for label in range(n_labels)])
    shared = LedoitWolf(assume_centered=True).fit(seen - means[labels])
    values, vectors = np.linalg.eigh(shared.covariance_)
    root = vectors / np.sqrt(np.maximum(values, np.finfo(np.float64).tiny))
    empty = np.zeros(0)
    fitted = Typicality(means, root, empty, empty)
    return fitted._replace(seen=np.sort(fitted.distances(seen)), new=np.sort(fitted.distances(new)))
