"""Tasks of the classification benchmark: data, splits, and what is measured."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from _classification_speed import speed
from sklearn.metrics import roc_auc_score

import sctools

DATA = Path(
    os.environ.get("SCTOOLS_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")
).resolve()
RAW = "classification_runs.csv"
RUN = ["data", "mode", "label_fraction", "seed"]
LOGISTIC = "logistic regression"
TEST_SIZE = 0.3
LABEL_FRACTIONS = (0.05, 0.1, 0.25)
N_TOP_GENES, MIN_SHARE = 200, 0.25
"""With the regulators that are found in so many of the cells, about 310 genes."""


def read(path: str) -> Any:
    """AnnData or table under the data folder; ``None``, with a word, where it is absent."""
    full = DATA / path
    if not full.is_file():
        print(f"skipped: no file {path} under SCTOOLS_TEST_DATA")
        return None
    return ad.read_h5ad(full) if path.endswith(".h5ad") else pd.read_csv(full)


def network() -> pd.DataFrame | None:
    """CollecTRI, human."""
    return read("priors/collectri_human.csv.gz")


def batch_splits() -> Iterator[tuple[str, ad.AnnData, np.ndarray, bool]]:
    """Name, data, test cells, and whether values are log-normalised."""
    kang = read("classify/kang_pbmc_ifnb_muscat_1556.h5ad")
    if kang is not None:
        donor, condition = kang.obs["donor"].astype(str), kang.obs["condition"].astype(str)
        yield "Kang 101 → 107", kang, (donor == "107").to_numpy(), False
        yield "Kang 107 → 101", kang, (donor == "101").to_numpy(), False
        yield "Kang ctrl → stim", kang, (condition == "stim").to_numpy(), False
    pbmc = read("classify/pbmc_3tech_symphony_1200.h5ad")
    if pbmc is not None:
        pbmc = pbmc[pbmc.obs["cell_type"] != "HSC"].copy()  # three cells
        technology = pbmc.obs["technology"].astype(str)
        for held in sorted(technology.unique()):
            yield f"PBMC, held out {held}", pbmc, (technology == held).to_numpy(), True


def batches(results: Path, *, n_splits: int | None, modes: Any, redo: bool) -> None:
    """Whole batches held out: donors, a condition, technologies."""
    net = network()
    if net is None:
        return
    for name, adata, test, log_normalized in batch_splits():
        adata.obs["test"] = test
        for mode in modes or ("hard", LOGISTIC, "shuffled"):
            compare(
                results, name, adata, net, mode, n_splits or 3, redo=redo,
                test_key="test", log_normalized=log_normalized,
            )  # fmt: skip


def labels(results: Path, *, n_splits: int | None, modes: Any, redo: bool) -> None:
    """Few labels: Baron, random splits."""
    adata, net = read("cluster/baron_human1_1937.h5ad"), network()
    if adata is None or net is None:
        return
    for mode in modes or ("hard", LOGISTIC, "shuffled", "none"):
        for fraction in LABEL_FRACTIONS:
            n_labels = fraction * (1 - TEST_SIZE) * adata.n_obs
            genes = {"n_top_genes": N_TOP_GENES, "min_cells": round(MIN_SHARE * n_labels)}
            compare(
                results, "Baron", adata, net, mode, n_splits or 20, redo=redo,
                label_fraction=fraction, test_size=TEST_SIZE, model_kwargs=genes,
            )  # fmt: skip


def compare(
    results: Path, name: str, adata: ad.AnnData, net: pd.DataFrame, mode: str, n_splits: int,
    *, redo: bool, label_fraction: float = 1.0, **kwargs: Any,
) -> None:  # fmt: skip
    """Run the splits of one mode that are missing; each is added to the raw file at once."""
    raw = results / RAW
    found = []
    for split in range(n_splits):
        done = pd.read_csv(raw) if raw.is_file() else pd.DataFrame(columns=RUN)
        same = (done[RUN] == [name, mode, label_fraction, split]).all(axis=1)
        if redo or not same.any():
            sctools.tl.compare_priors(
                adata, "cell_type", net, modes=[mode], label_fractions=[label_fraction],
                n_splits=1, rng=split, progress_bar=False, **kwargs,
            )  # fmt: skip
            row = adata.uns["compare_priors"]["results"].assign(data=name, seed=split)
            # Read again: another process may have added to it meanwhile.
            done = pd.read_csv(raw) if raw.is_file() else row[:0]
            same = (done[RUN] == [name, mode, label_fraction, split]).all(axis=1)
            pd.concat([done[~same], row], ignore_index=True).to_csv(raw, index=False)
        else:
            row = done[same]
        found.append(row[["n_labels", "accuracy", "macro_f1", "ece"]])
    means = pd.concat(found).mean().to_frame(f"{name}, {mode}")
    print(f"{means.T.to_string(float_format='%.3f')}\n", flush=True)


def planted(
    results: Path, *, n_splits: int | None, modes: Any, redo: bool, n_obs: int = 3000
) -> pd.DataFrame:
    """Edges of a simulated network against as many decoys, by lift and by plain correlation.

    The rewired network of ``"shuffled"`` holds true edges by chance: its share of them, and how
    many are among the edges of highest lift, say what ranking it is worth.
    """
    rows = []
    for seed in range(n_splits or 3):
        adata = sctools.datasets.regulated_cells(
            n_obs, n_genes=400, mrna_correlation=0.9, effect_size=1.0, rng=seed
        )
        true = set(zip(*(adata.uns["network"][end] for end in ("source", "target")), strict=True))
        active = adata.uns["regulated_cells"]["active"]
        moves = active.any()
        for mode in modes or ("hard", "shuffled"):
            model = sctools.tl.prior_transformer(
                adata, "cell_type", "prior", prior=mode, n_top_genes=400, rng=seed,
                progress_bar=False, return_model=True,
            )  # fmt: skip
            edges = sctools.get.attention_df(adata)
            lift = edges.groupby(["source", "target"], sort=False)["lift"].mean()
            is_true = np.array([pair in true for pair in lift.index])
            moving = moves.reindex(lift.index.get_level_values("source")).to_numpy(dtype=bool)
            top = np.argsort(-lift.to_numpy(), kind="stable")[: is_true.sum()]
            rows.append(
                {
                    "prior": mode,
                    "seed": seed,
                    "n_edges": len(lift),
                    "share_true": is_true.mean(),
                    "share_true_in_top": is_true[top].mean(),
                    "auroc": roc_auc_score(is_true, lift),
                    "auroc_active": roc_auc_score(is_true[moving], lift[moving]),
                    "auroc_correlation": roc_auc_score(is_true, correlations(adata, lift.index)),
                    **{
                        f"active_tfs_by_{name}": roc_auc_score(
                            active[scores.columns].to_numpy().ravel(),
                            by_type(scores, adata).loc[active.index].to_numpy().ravel(),
                        )
                        for name, scores in regulator_scores(adata).items()
                    },
                    "accuracy": model.validation["accuracy"],
                }
            )
            print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def seeds(
    results: Path, *, n_splits: int | None, modes: Any, redo: bool, n_obs: int = 1200
) -> pd.DataFrame:
    """How far the lift of edges repeats with another seed of training, on the same cells.

    Correlation with the first seed: of an edge's mean over groups, and of what is left of it in
    each group; and of the latter with the regulator's mean log expression in the group.
    """
    adata = sctools.datasets.regulated_cells(
        n_obs, n_genes=300, mrna_correlation=0.9, effect_size=1.0, rng=0
    )
    means, contrasts, mrna = [], [], []
    for seed in range(n_splits or 3):
        sctools.tl.prior_transformer(
            adata, "cell_type", "prior", n_top_genes=300, rng=seed, progress_bar=False
        )
        lift = np.log(np.maximum(adata.uns["prior_transformer"]["lift"], 1e-6))
        means.append(lift.mean(axis=1))
        contrasts.append((lift - lift.mean(axis=1, keepdims=True)).ravel())
        record = adata.uns["prior_transformer"]
        level = by_type(regulator_scores(adata)["mrna"], adata, scale=False)
        level = level.loc[list(record["groups"]), list(record["edges"]["source"])].to_numpy().T
        level = (level - level.mean(axis=1, keepdims=True)).ravel()
        mrna.append(np.corrcoef(contrasts[-1], level)[0, 1])
    return pd.DataFrame(
        {
            "seed": range(1, len(means)),
            "mean_lift": np.corrcoef(means)[0, 1:],
            "contrast": np.corrcoef(contrasts)[0, 1:],
            "contrast_and_mrna": mrna[1:],
        }
    )


def correlations(adata: ad.AnnData, edges: pd.MultiIndex) -> np.ndarray:
    """Absolute correlation of log expression between the ends of each edge, over all cells."""
    cells = adata.copy()
    sc.pp.normalize_total(cells, target_sum=1e4)
    sc.pp.log1p(cells)
    table = np.corrcoef(cells.X.toarray().T)
    source, target = (cells.var_names.get_indexer(edges.get_level_values(i)) for i in range(2))
    return np.abs(np.nan_to_num(table[source, target]))


def regulator_scores(adata: ad.AnnData) -> dict[str, pd.DataFrame]:
    """Scores of the regulators in cells, and two that need no model.

    ``"targets"`` is the sum of the centred log expression of a regulator's targets, with the signs
    of the edges; ``"mrna"`` is the log expression of the regulator itself.
    """
    scores = adata.obsm["prior_transformer_tf"]
    record = adata.uns["prior_transformer"]
    cells = ad.AnnData(adata.to_df()[list(record["genes"])])
    cells.X = cells.X.copy()  # pandas 3 lends its values for reading only
    sc.pp.normalize_total(cells, target_sum=1e4)
    sc.pp.log1p(cells)
    values = cells.to_df()
    edges = record["edges"]
    signs = pd.crosstab(
        edges["target"], edges["source"], np.where(edges["weight"] < 0, -1.0, 1.0), aggfunc="sum"
    ).fillna(0)
    targets = (values - values.mean())[signs.index] @ signs
    names = scores.columns
    return {"score": scores, "targets": targets[names], "mrna": values[names]}


def by_type(scores: pd.DataFrame, adata: ad.AnnData, *, scale: bool = True) -> pd.DataFrame:
    """Means of the cell types, by default in standard deviations from the mean of all cells."""
    if scale:
        scores = (scores - scores.mean()) / scores.std()
    return scores.groupby(adata.obs["cell_type"].to_numpy(), observed=True).mean()


KNOWN = {
    "B": ("RFX5", "CIITA"),
    "CD14+ Mono": ("SPI1", "CEBPA"),
    "NK": ("EOMES",),
}


def biology(results: Path, *, n_splits: int | None, modes: Any, redo: bool) -> pd.DataFrame | None:
    """Ranks of known regulators among all, by their score in a cell type against the others.

    Beside the scores of models stand two that need none; see :func:`regulator_scores`.
    """
    adata, net = read("cluster/pbmc3k_2638.h5ad"), network()
    if adata is None or net is None:
        return None
    rows = []
    for mode in modes or ("hard", "shuffled"):
        sctools.tl.prior_transformer(adata, "cell_type", net, prior=mode, progress_bar=False)
        found = regulator_scores(adata)
        if mode == "shuffled":  # what its edges tell without a model is of no interest
            found = {"score": found["score"]}
        for name, scores in found.items():
            rank = by_type(scores, adata).rank(axis=1, pct=True)
            for group, regulators in KNOWN.items():
                for regulator in regulators:
                    rows.append(
                        {
                            "prior": mode if name == "score" else f"none, {name}",
                            "cell_type": group,
                            "regulator": regulator,
                            "rank": rank.loc[group].get(regulator, np.nan),
                            "n_regulators": rank.shape[1],
                        }
                    )
    return pd.DataFrame(rows)


def unseen(results: Path, *, n_splits: int | None, modes: Any, redo: bool) -> pd.DataFrame | None:
    """Kang: each class left out of training; how many of its cells are answered "Unknown"."""
    adata, net = read("classify/kang_pbmc_ifnb_muscat_1556.h5ad"), network()
    if adata is None or net is None:
        return None
    donor = adata.obs["donor"].astype(str)
    classes = adata.obs["cell_type"].astype(str)
    rows = []
    for left_out in sorted(classes.unique()):
        train = adata[((donor == "101") & (classes != left_out)).to_numpy()].copy()
        test = adata[(donor == "107").to_numpy()].copy()
        model = sctools.tl.prior_transformer(
            train, "cell_type", net, progress_bar=False, return_model=True
        )
        sctools.tl.prior_transformer(test, model=model)
        answer, truth = (test.obs[name].astype(str) for name in ("prior_transformer", "cell_type"))
        new = (truth == left_out).to_numpy()
        known = (answer != "Unknown").to_numpy() & ~new
        rows.append(
            {
                "left_out": left_out,
                "n_cells": int(new.sum()),
                "unknown": float((answer[new] == "Unknown").mean()),
                "unknown_others": float((answer[~new] == "Unknown").mean()),
                "accuracy_others": float((answer[known] == truth[known]).mean()),
            }
        )
        print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def table(results: Path, figure: Path) -> None:
    """Print and write the table of all comparisons, and draw that over numbers of labels."""
    raw = results / RAW
    if not raw.is_file():
        return
    rows = pd.read_csv(raw)
    columns = ["accuracy", "macro_f1", "ece"]
    grouped = rows.groupby(["data", "n_labels", "mode"], sort=False)[columns]
    means, sds = grouped.mean(), grouped.std().add_suffix("_sd")
    summary = pd.concat([means, sds, grouped.size().rename("n_runs")], axis=1).reset_index()
    print(summary.to_string(index=False, float_format="%.3f"))
    summary.to_csv(results / "classification.csv", index=False, float_format="%.4f")
    differences = paired(rows)
    if len(differences):
        print(f"\nAccuracy of 'hard' less that of others\n{differences.to_string(index=False)}")
        differences.to_csv(results / "classification_paired.csv", index=False)
    baron = rows[rows["data"] == "Baron"]
    if len(baron):
        drawn = sctools.pl.compare_priors(baron, show=False, return_fig=True)
        figure.parent.mkdir(parents=True, exist_ok=True)
        drawn.savefig(figure, dpi=150, bbox_inches="tight")
        print(f"wrote {figure}")


def paired(rows: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of ``"hard"`` less that of every other mode on the same splits.

    Mean and standard error over the splits that both have; one split has no standard error.
    """
    found = []
    for (name, n_labels), part in rows.groupby(["data", "n_labels"], sort=False):
        wide = part.pivot(index="seed", columns="mode", values="accuracy")
        for mode in wide.columns.drop("hard", errors="ignore") if "hard" in wide else ():
            difference = (wide["hard"] - wide[mode]).dropna()
            found.append(
                {
                    "data": name,
                    "n_labels": n_labels,
                    "mode": mode,
                    "difference": round(difference.mean(), 4),
                    "standard_error": round(difference.sem(), 4),
                    "n_splits": len(difference),
                }
            )
    return pd.DataFrame(found)


TASKS: dict[str, Callable[..., pd.DataFrame | None]] = {
    "batches": batches,
    "labels": labels,
    "planted": planted,
    "seeds": seeds,
    "biology": biology,
    "unseen": unseen,
    "speed": speed,
}
