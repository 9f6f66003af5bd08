"""Scores of one latent space: the same protocol for every method.

Three clusterings: k-means with the true number of clusters, Leiden at the resolution of a fixed
grid with the best silhouette on that latent (no label takes part), and Leiden at 0.5.
"""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from sklearn.cluster import KMeans
from sklearn.metrics import (
    adjusted_rand_score,
    normalized_mutual_info_score,
    silhouette_score,
)

RESOLUTIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2, 1.5)
FIXED_RESOLUTION = 0.5
N_NEIGHBORS = 15
# With 20, seeds differ by up to .26 ARI on one and the same latent.
N_INIT = 100


def score(latent: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, float]:
    """ARI and NMI of the three clusterings with the labels, and the silhouette of the labels.

    Parameters
    ----------
    latent
        Latent space, shape ``(n_obs, n_latent)``.
    labels
        True cell types, shape ``(n_obs,)``. Used for the number of clusters of k-means, and then
        only to score what was found.
    seed
        Seed of k-means and Leiden.

    Returns
    -------
    One number per score, and the chosen resolution and numbers of clusters of Leiden.
    """
    latent = np.asarray(latent, dtype=np.float32)
    kmeans = KMeans(len(np.unique(labels)), n_init=N_INIT, random_state=seed).fit_predict(latent)
    clusterings = leiden_grid(latent, seed)
    resolution = choose_resolution(latent, clusterings)
    chosen, fixed = clusterings[resolution], clusterings[FIXED_RESOLUTION]
    out = {}
    for name, clusters in {"kmeans": kmeans, "leiden": chosen, "leiden05": fixed}.items():
        out[f"{name}_ari"] = adjusted_rand_score(labels, clusters)
        out[f"{name}_nmi"] = normalized_mutual_info_score(labels, clusters)
    return out | {
        "silhouette": float(silhouette_score(latent, labels)),
        "leiden_resolution": resolution,
        "leiden_clusters": len(np.unique(chosen)),
        "leiden05_clusters": len(np.unique(fixed)),
    }


def leiden_grid(latent: np.ndarray, seed: int) -> dict[float, np.ndarray]:
    """Leiden clusters at every resolution of the grid."""
    graph = ad.AnnData(obs=pd.DataFrame(index=np.arange(len(latent)).astype(str)))
    graph.obsm["latent"] = latent
    # Exact neighbours whatever the number of cells.
    sc.pp.neighbors(
        graph,
        n_neighbors=N_NEIGHBORS,
        use_rep="latent",
        transformer="sklearn",
        random_state=seed,
    )
    out = {}
    for resolution in RESOLUTIONS:
        sc.tl.leiden(
            graph,
            resolution=resolution,
            flavor="igraph",
            n_iterations=2,
            directed=False,
            random_state=seed,
        )
        out[resolution] = graph.obs["leiden"].cat.codes.to_numpy(dtype=int)
    return out


def choose_resolution(latent: np.ndarray, clusterings: dict[float, np.ndarray]) -> float:
    """Return the resolution with the highest mean silhouette; the lowest of equals."""
    width = {
        resolution: float(silhouette_score(latent, clusters))
        if 1 < len(np.unique(clusters)) < len(clusters)
        else -1.0
        for resolution, clusters in clusterings.items()
    }
    return max(width, key=width.__getitem__)


def score_batches(latent: np.ndarray, labels: np.ndarray, batch: np.ndarray) -> dict[str, float]:
    """Silhouette by batch, over all cells and within each cell type; low means well mixed."""
    within = [
        silhouette_score(latent[members], batch[members])
        for members in (labels == label for label in np.unique(labels))
        if 1 < len(np.unique(batch[members])) < members.sum()
    ]
    return {
        "silhouette_batch": float(silhouette_score(latent, batch)),
        "silhouette_batch_within": float(np.mean(within)) if within else np.nan,
    }
