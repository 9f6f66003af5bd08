"""Do clocks tell the age by the genes that age? Planted genes against all others, per cell type.

Run from the repository root, for example::

    python benchmarks/age_genes.py --seeds 5 --out benchmarks/results/age_genes.csv

Cohorts of 60 donors (``sctools.datasets.aging_cohort`` with its defaults). All methods see the same
donor folds; the importance of a gene in a cell type is the mean over the fold models of

- the sctools age clock: ``score`` of ``uns["age_clock"]["genes"]``, and by integrated gradients
  over held-out donors (``AgeClock.gene_attribution``; needs the extra ``captum``);
- elastic net and PLS on the mean expression of donors, cell types side by side (their usual input):
  the coefficients.

``scale`` says per what: ``same`` is one standard deviation for all genes, as all of these methods
scale their input; ``gene`` multiplies by the standard deviation of the gene itself over donors,
which counting noise makes large. ``correlation`` of a gene's mean in each donor with age uses no
clock; it is what a gene by itself has to tell.

``auroc``: of the absolute importance, planted against all other genes. ``top_20``: share of planted
ones among the 20 largest. ``signs``: share of these whose direction is right. Seeds from 200 on had
no part in the choice of the importance, which was made on seeds 100 to 103.
"""

# ruff: noqa: E402 - the number of threads is fixed before any library starts them
from __future__ import annotations

import os

for _variable in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
    os.environ[f"{_variable}_NUM_THREADS"] = "1"

import argparse
import datetime
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import torch
from _machine import machine
from sklearn.metrics import roc_auc_score

import sctools
from sctools.model._clock_methods import clock_method
from sctools.model._clock_methods._inputs import kind_codes, pooled
from sctools.pp._clock_input import ClockInput
from sctools.tl._compare_clocks import DonorFolds, read_folds

TOOL, ATTRIBUTION = "sctools age clock", "sctools age clock, integrated gradients"
CORRELATION = "correlation with age"
BASELINES = {"elastic net": "elastic_net", "PLS": "pls"}
N_FOLDS = 5
N_STEPS = 20
N_TOP = 20
FIRST_SEED = 200

Importance = pd.DataFrame
"""Cell types × genes."""


def donor_means(folds: DonorFolds, types: list[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Mean expression of the donors that have a cell type, and their ages, for each type."""
    cells = folds.cells
    means = pooled(cells.x, cells.unit, kind_codes(cells.cell_type, types, len(cells.unit)))
    age = folds.donors["age"].to_numpy()
    return [(means.x[means.kind == t], age[means.unit[means.kind == t]]) for t in range(len(types))]


def linear_coefficients(clock: Any, n_types: int, n_genes: int) -> np.ndarray:
    """Coefficients of a fitted linear clock: its output for one unit of each feature."""
    width = (n_types + 1) * len(clock.genes)
    path = clock._fitted.path
    zero = path(np.zeros((1, width)))[clock.best]
    unit = np.concatenate(
        [
            path(np.eye(width)[start : start + 500])[clock.best] - zero
            for start in range(0, width, 500)
        ]
    )
    out = np.zeros((n_types, n_genes))
    out[:, clock.genes] = unit.reshape(n_types + 1, -1)[:n_types]
    return out * clock._fitted.sd * clock._line[0]


def of_baseline(folds: DonorFolds, name: str, types: list[str], genes: pd.Index) -> Importance:
    """Mean coefficients over the folds."""
    coefs = []
    for k in range(folds.n_folds):
        train = folds.cells.of_units(np.flatnonzero(folds.fold != k))
        clock = clock_method(name).fit(train, rng=k)
        if hasattr(clock, "genes"):  # else the mean age
            coefs.append(linear_coefficients(clock, len(types), len(genes)))
    mean = np.mean(coefs, axis=0) if coefs else np.zeros((len(types), len(genes)))
    return pd.DataFrame(mean, index=types, columns=genes)


def importances(
    adata: ad.AnnData, seed: int, *, attribution: bool = True, **kwargs: Any
) -> tuple[dict[str, Importance], Importance]:
    """Compute the importance of every gene by every method, and its SD over donors."""
    rng = np.random.default_rng(seed)
    names = ClockInput("age", "donor_id", None, "cell_type", [], None, log_normalized=False)
    folds = read_folds(adata, names, N_FOLDS, rng)
    clock = sctools.tl.age_clock(
        adata, n_folds=N_FOLDS, rng=seed, progress_bar=False, return_model=True, **kwargs
    )
    result = adata.uns["age_clock"]
    if list(result["donors"]["fold"].astype(str)) != list(folds.donors["fold"].astype(str)):
        raise RuntimeError("The tool and the baselines had different folds.")
    wide = sctools.get.age_genes_df(adata, wide=True)
    types, genes = [str(name) for name in wide.index], adata.var_names
    found = {TOOL: wide.reindex(columns=genes, fill_value=0.0)}
    if attribution:
        result["genes"] = clock.gene_attribution(adata, n_steps=N_STEPS)
        wide = sctools.get.age_genes_df(adata, wide=True)
        found[ATTRIBUTION] = wide.reindex(columns=genes, fill_value=0.0)
    for label, name in BASELINES.items():
        found[label] = of_baseline(folds, name, types, genes)
    means = donor_means(folds, types)
    sd = [x.std(axis=0, ddof=1) for x, _ in means]
    products = [(x - x.mean(axis=0)).T @ (y - y.mean()) / (len(y) - 1) / y.std() for x, y in means]
    # Covariance: over the standard deviation of the gene it is the correlation.
    with np.errstate(invalid="ignore"):
        r = np.nan_to_num(np.array(products) / np.array(sd))
    found[CORRELATION] = pd.DataFrame(r, index=types, columns=genes)
    return found, pd.DataFrame(np.array(sd), index=types, columns=genes)


def rows(
    found: Mapping[str, Importance], sd: Importance, effect: pd.DataFrame, seed: int
) -> Iterator[dict[str, Any]]:
    """One row per method, scale and cell type."""
    for method, table in found.items():
        scales = {"same": table, "gene": table * sd}
        if method == CORRELATION:
            scales = {"none": table}
        for scale, importance in scales.items():
            for cell_type in importance.index:
                score = importance.loc[cell_type].to_numpy()
                true = effect[cell_type].to_numpy()
                top = np.argsort(-np.abs(score), kind="stable")[:N_TOP]
                hits = top[true[top] != 0]
                right = np.sign(score[hits]) == np.sign(true[hits])
                yield {
                    "seed": seed,
                    "method": method,
                    "scale": scale,
                    "cell_type": cell_type,
                    "auroc": roc_auc_score(true != 0, np.abs(score)),
                    f"top_{N_TOP}": len(hits) / N_TOP,
                    "signs": right.mean() if len(hits) else np.nan,
                }


def compare(adata: ad.AnnData, seed: int, **kwargs: Any) -> pd.DataFrame:
    """All methods on one simulated cohort."""
    types = [str(name) for name in adata.uns["truth"]["cell_types"]]
    effect = pd.DataFrame(adata.varm["age_effect"], index=adata.var_names, columns=types)
    found, sd = importances(adata, seed, **kwargs)
    return pd.DataFrame(rows(found, sd, effect, seed))


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds: AUROC by cell type and over all, with its standard error over seeds."""
    by = ["method", "scale"]
    out = table.pivot_table(index=by, columns="cell_type", values="auroc", sort=False)
    per_seed = table.groupby([*by, "seed"], sort=False)[["auroc", f"top_{N_TOP}", "signs"]].mean()
    grouped = per_seed.groupby(by, sort=False)
    out["all"] = grouped["auroc"].mean()
    out["error"] = grouped["auroc"].std(ddof=1) / np.sqrt(grouped["auroc"].size())
    for name in (f"top_{N_TOP}", "signs"):
        out[name] = grouped[name].mean()
    return out.reset_index()


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5, help="number of cohorts (default 5)")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--donors", type=int, default=60, help="donors of a cohort (default 60)")
    parser.add_argument("--out", type=Path, help="write every single row to this CSV")
    arguments = parser.parse_args()
    logging.getLogger("sctools").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    print(f"{datetime.date.today()}: {machine('one thread')}\n", flush=True)
    tables = []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        start = time.perf_counter()
        tables.append(compare(sctools.datasets.aging_cohort(arguments.donors, rng=seed), seed))
        print(f"  seed {seed}: {time.perf_counter() - start:.0f} s", flush=True)
    table = pd.concat(tables, ignore_index=True)
    with pd.option_context("display.width", 200, "display.max_columns", None):
        print("\n" + summary(table).to_string(index=False, float_format="%.3f", na_rep=""))
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(arguments.out, index=False, float_format="%.5g")
        print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
