"""AnnData with the keys that ``tl.prior_transformer`` writes, built by hand: no model, no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from natsort import natsorted
from scipy import sparse

TYPES = ("immature/naive B cell", "Monocyte", "T cell")
MODES = ("hard", "soft", "none", "shuffled", "logistic regression")


def fake_prior_result(
    cell_types: Sequence[str] = TYPES,
    *,
    n_cells: int = 40,
    tfs_per_type: int = 4,
    targets_per_tf: int = 6,
    applied: bool = False,
    validation: bool = True,
    accuracy: float = 0.9,
    min_confidence: float = 0.0,
    sharpness: float = 1.5,
    key: str = "prior_transformer",
    seed: int = 0,
) -> AnnData:
    """Build a result whose group ``i`` attends to the TFs ``TF<i>x0``, ``TF<i>x1``, ….

    ``sharpness`` is the log2 of their lift there; elsewhere lifts are about one. TF ``j`` of a
    type has ``targets_per_tf + j`` targets, of which some are shared and one is another TF; a last
    TF, ``LONER``, has one target only, with the highest lift of all in the first group. ``applied``
    is the result of a given model on other cells: no split, no history, no labels recorded.
    """
    rng = np.random.default_rng(seed)
    groups = natsorted(cell_types)
    k = len(groups)

    # Network: sorted by target then source, as the model keeps it.
    tfs = [f"TF{i}x{j}" for i in range(k) for j in range(tfs_per_type)]
    pool = [f"GENE{i}" for i in range(3 * k * tfs_per_type)]
    pairs = {("LONER", "LONETARGET")}
    for number, tf in enumerate(tfs):
        degree = targets_per_tf + number % tfs_per_type
        pairs |= {(tf, gene) for gene in rng.choice(pool, min(degree, len(pool)) - 1, False)}
        pairs.add((tf, tfs[(number + 1) % len(tfs)] if len(tfs) > 1 else "GENE0"))
    edges = pd.DataFrame(sorted(pairs, key=lambda pair: pair[::-1]), columns=["source", "target"])
    edges["weight"] = rng.choice([-1.0, 1.0, 0.0], len(edges), p=[0.3, 0.5, 0.2])
    genes = np.array(natsorted({*edges["source"], *edges["target"]}))

    lift = 2 ** rng.normal(0, 0.15, (len(edges), k))
    for i in range(k):
        own = edges["source"].str.startswith(f"TF{i}x").to_numpy()
        lift[own, i] *= 2**sharpness
    lift[edges["source"] == "LONER"] = [[9.0] + [1.0] * (k - 1)]
    regulators = edges.groupby("target")["source"].transform("size").to_numpy() + 1
    gene_attention = rng.dirichlet(np.ones(len(genes)), k).T

    # Cells
    truth = rng.permutation(np.repeat(np.arange(k), n_cells + np.arange(k)))
    n = len(truth)
    answer = np.where(rng.random(n) < accuracy, truth, rng.integers(0, k, n))
    confidence = np.clip(rng.beta(6, 1, n), 1 / k, 1) if k > 1 else np.ones(n)
    proba = np.zeros((n, k))
    proba += ((1 - confidence) / max(k - 1, 1))[:, None]
    proba[np.arange(n), answer] = confidence
    predicted = np.array(groups, dtype=object)[answer]
    predicted[confidence < min_confidence] = "Unknown"
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(n)])
    obs["cell_type"] = pd.Categorical(np.array(groups, dtype=object)[truth])
    obs["n_counts"] = rng.gamma(4.0, 500.0, n)
    obs[key] = pd.Categorical(predicted, categories=natsorted(set(predicted)))
    obs[f"{key}_confidence"] = confidence.astype("float32")
    if not applied:
        split = np.where(rng.random(n) < 0.3, "validation", "train") if validation else "train"
        obs[f"{key}_split"] = pd.Categorical(np.full(n, split) if np.ndim(split) == 0 else split)

    every = [*tfs, "LONER"]
    scores = rng.gamma(4.0, 0.01, (n, len(every)))
    for i in range(k):
        scores[np.ix_(truth == i, [tf.startswith(f"TF{i}x") for tf in every])] *= 2
    obsm = {
        f"X_{key}": rng.normal(size=(n, 8)).astype("float32"),
        f"{key}_proba": proba.astype("float32"),
        f"{key}_tf": pd.DataFrame(scores.astype("float32"), index=obs.index, columns=every),
    }

    params: dict[str, object] = {
        "method": "prior_transformer",
        "mode": "applied" if applied else "trained",
        "prior": "hard",
        "log_normalized": False,
        "min_confidence": min_confidence,
        "temperature": 1.2,
        "seed": seed,
    }
    if applied:
        params["groupby"] = key
    else:
        params |= {"labels_key": "cell_type", "groupby": "cell_type"}
    result: dict[str, object] = {
        "params": params,
        "genes": genes,
        "classes": np.array(groups),
        "groups": np.array(groups),
        "n_cells": np.bincount(truth, minlength=k),
        "edges": edges,
        "attention": (lift / regulators[:, None]).astype("float32"),
        "lift": lift.astype("float32"),
        "gene_attention": gene_attention.astype("float32"),
        "coverage": {"n_edges": len(edges), "n_tfs": len(every)},
    }
    if not applied:
        result["history"] = _history(30, validation, rng)
        if validation:
            result["validation"] = {"accuracy": accuracy, "macro_f1": 0.8, "ece": 0.03}
    counts = sparse.csr_matrix(rng.poisson(1.0, (n, 5)).astype("float32"))
    var = pd.DataFrame(index=[f"gene{i}" for i in range(5)])
    return AnnData(counts, obs=obs, var=var, obsm=obsm, uns={key: result})


def _history(n_epochs: int, validation: bool, rng: np.random.Generator) -> pd.DataFrame:
    epoch = np.arange(n_epochs)
    history = pd.DataFrame({"epoch": epoch, "loss_train": 0.3 + 1.5 * np.exp(-epoch / 5)})
    if validation:
        history["loss_validation"] = history["loss_train"] + rng.normal(0.1, 0.02, n_epochs)
        history["accuracy_validation"] = 0.95 - 0.6 * np.exp(-epoch / 4)
        history["macro_f1_validation"] = 0.9 - 0.7 * np.exp(-epoch / 5)
    return history


def fake_comparison(
    modes: Sequence[str] = MODES,
    fractions: Sequence[float] = (0.01, 0.05, 0.25, 1.0),
    n_seeds: int = 5,
    *,
    n_cells: int = 1351,
    seed: int = 0,
) -> pd.DataFrame:
    """Build the ``results`` of ``tl.compare_priors``; earlier modes are better."""
    rng = np.random.default_rng(seed)
    rows = []
    for number, mode in enumerate(modes):
        for fraction in fractions:
            for s in range(n_seeds):
                error = 0.02 + 0.2 / np.sqrt(100 * fraction) + 0.02 * number
                accuracy = 1 - error + rng.normal(0, 0.02) * (1 - fraction / 2)
                rows.append(
                    {
                        "mode": mode,
                        "label_fraction": fraction,
                        "n_labels": round(fraction * n_cells),
                        "seed": s,
                        "accuracy": accuracy,
                        "macro_f1": accuracy - 0.05,
                        "ece": error / 2,
                        "n_test": 400,
                    }
                )
    return pd.DataFrame(rows)
