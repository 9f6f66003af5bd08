"""What :func:`sctools.tl.prior_transformer` computes and writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import pandas as pd
from natsort import natsorted

from .._keys import PriorKeys

if TYPE_CHECKING:
    from anndata import AnnData

    from ..model import PriorTransformer
    from ..model._prior_outputs import GroupAttention

UNKNOWN = "Unknown"
HISTORY = ("loss_train", "loss_validation", "accuracy_validation", "macro_f1_validation")


class PriorResult(NamedTuple):
    """Arrays by field of the keys, and the parts of ``uns`` besides the parameters."""

    arrays: dict[str, Any]
    record: dict[str, Any]


def answer(
    network: PriorTransformer,
    adata: AnnData,
    *,
    groups: pd.Series | None,
    min_confidence: float,
    min_typicality: float,
    trained: bool,
    **reading: Any,
) -> PriorResult:
    """Run a trained model once over all cells and collect everything.

    Parameters
    ----------
    network
        Trained model.
    adata
        The cells.
    groups
        Groups to average attention over. ``None`` takes the answers.
    min_confidence, min_typicality
        Below either the answer is "Unknown".
    trained
        Whether ``adata`` is what the model was trained on just now.
    **reading
        Where the values are; see :meth:`PriorTransformer.predict_proba`.
    """
    from ..model._prior_outputs import RegulatorScores
    from ._prior_answers import KeepAnswers

    place = pd.Index(network.genes)
    ends = {end: place.get_indexer(pd.Index(network.edges[end])) for end in ("source", "target")}
    weight = network.edges["weight"].to_numpy(dtype=np.float32)
    scores = RegulatorScores(ends["source"], ends["target"], weight)
    if groups is None:
        names, codes = list(network.classes), np.full(adata.n_obs, -1)
    else:
        text = groups.astype("string")
        names = natsorted(text.dropna().unique())
        codes = pd.Index(names).get_indexer(pd.Index(text.fillna("").to_numpy(dtype=object)))
        codes[text.isna().to_numpy()] = -1
        if not names:
            raise ValueError("`groupby` holds no group: all its values are missing.")
    new = np.ones(adata.n_obs, dtype=bool)
    if trained:
        new[network.train_indices] = False
    keep = KeepAnswers(
        scores, network.typicality, min_confidence, min_typicality, len(names), groups is None
    )
    kept = network._read_cells(keep, adata, new, codes, **reading)
    means = cast("GroupAttention", kept.means)  # there is a cell, and so a mean
    joined = {name: kept.joined(name) for name in kept.arrays}
    predicted = np.array([*network.classes, UNKNOWN], dtype=object)[joined["code"]]
    present = natsorted(set(predicted) - {UNKNOWN})
    present += [UNKNOWN] if (predicted == UNKNOWN).any() else []
    regulators = place[scores.regulators]
    arrays: dict[str, Any] = {
        "prediction": pd.Categorical(predicted, categories=present),
        "confidence": joined["proba"].max(axis=1),
        "typicality": joined["typicality"],
        "latent": joined["latent"],
        "proba": joined["proba"],
        "tf": pd.DataFrame(joined["tf"], index=adata.obs_names, columns=regulators.astype(str)),
    }
    if trained:
        split = np.full(adata.n_obs, "unlabeled", dtype=object)
        split[network.train_indices], split[network.validation_indices] = "train", "validation"
        arrays["split"] = pd.Categorical(split)
    some = means.n_cells > 0
    attention = means.attention[:, some]
    degree = np.bincount(ends["target"], minlength=len(network.genes)) + 1
    record: dict[str, Any] = {
        "genes": np.array(network.genes, dtype=object),
        "classes": np.array(network.classes, dtype=object),
        "groups": np.array(names, dtype=object)[some],
        "n_cells": means.n_cells[some],
        "edges": network.edges.reset_index(drop=True),
        "attention": attention,
        "lift": (attention * degree[ends["target"]][:, None]).astype(np.float32),
        "gene_attention": means.gene_attention[:, some],
        "coverage": dict(network.coverage),
    }
    if trained:
        record["history"] = _history(network)
        if network.validation:
            record["validation"] = dict(network.validation)
    return PriorResult(arrays, record)


def _history(network: PriorTransformer) -> pd.DataFrame:
    history = network.history
    columns = {
        name: history[name].iloc[:, 0].astype(float).reset_index(drop=True)
        for name in HISTORY
        if name in history
    }
    table = pd.DataFrame(columns)
    table.insert(0, "epoch", np.arange(len(table)))
    return table


def write_result(
    adata: AnnData, keys: PriorKeys, result: PriorResult, record: dict[str, Any]
) -> None:
    """Write everything, and remove what an earlier result under the same name had more."""
    for field, name in keys._asdict().items():
        if field == "uns":
            continue
        home = adata.obsm if field in ("latent", "proba", "tf") else adata.obs
        if field in result.arrays:
            home[name] = result.arrays[field]
        elif name in home:
            del home[name]
    adata.uns[keys.uns] = record
