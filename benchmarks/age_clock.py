"""Compare ``sctools.tl.age_clock`` with simple models on the same donor folds.

Run from the repository root, for example::

    python benchmarks/age_clock.py --data simulated --seeds 3
    python benchmarks/age_clock.py --data all --out docs/_static/benchmarks/age_clock.csv

Errors are of donors: each is predicted by models that never saw its cells. ``ratio`` is the donor
MAE over that of the training donors' mean age; ``relative_time`` is processor time against ridge on
cells, tuning included. Real data are read from ``SCTOOLS_TEST_DATA`` (default ``../shared/data``
beside the repository) and skipped where absent.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from _machine import machine

import sctools
from sctools.model._clock_methods import clock_method
from sctools.pp._clock_input import ClockInput
from sctools.tl._clock_scores import MEAN_AGE
from sctools.tl._compare_clocks import DonorFolds, NamedMethod, read_folds, run_clocks

TOOL = "sctools age clock"
RIDGE = "ridge on cells"
DATA = Path(
    os.environ.get("SCTOOLS_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")
).resolve()
REAL = {
    "onek1k": "age/onek1k_bcells_100donors.h5ad",
    "velmeshev": "age/velmeshev2019_pfc_glia_23donors.h5ad",
    "liver": "age/tms_facs_liver_mini_16groups.h5ad",
}
N_PERMUTATIONS = 10
N_FOLDS = 5

BY_TYPE = {"input": "sums", "side_by_side": False}
LASSO = {"l1_ratio": 1.0}
# Each baseline: method and its arguments.
BASELINES: dict[str, tuple[str, dict]] = {
    "ridge on cells": ("ridge", {"input": "cells", "calibrated": False}),
    "elastic net on cells": ("elastic_net", {"input": "cells", "calibrated": False}),
    "PLS on pseudobulk": ("pls", {**BY_TYPE, "calibrated": False}),
    "PLS on pseudobulk (calibrated)": ("pls", BY_TYPE),
    "PLS, types side by side (calibrated)": ("pls", {"input": "sums"}),
    "LASSO on pseudobulk": ("elastic_net", {**BY_TYPE, **LASSO, "calibrated": False}),
    "LASSO on pseudobulk (calibrated)": ("elastic_net", {**BY_TYPE, **LASSO}),
    "LASSO, types side by side (calibrated)": ("elastic_net", {"input": "sums", **LASSO}),
}


def run_tool(adata: ad.AnnData, seed: int) -> tuple[pd.DataFrame, bool, float]:
    """Cross-fit the tool with its defaults: donor table, ``beats_mean``, processor time."""
    start = time.process_time()
    sctools.tl.age_clock(adata, n_folds=N_FOLDS, rng=seed)
    seconds = time.process_time() - start
    result = adata.uns["age_clock"]
    return result["donors"], bool(result["metrics"]["beats_mean"]), seconds


def run_baselines(adata: ad.AnnData, seed: int) -> tuple[DonorFolds, pd.DataFrame, dict]:
    """Every baseline on the tool's folds: the folds, predictions by baseline, seconds."""
    rng = np.random.default_rng(seed)
    names = ClockInput("age", "donor_id", None, "cell_type", [], None, log_normalized=False)
    folds = read_folds(adata, names, N_FOLDS, rng)
    clocks = {
        name: NamedMethod(method, clock_method(method, **arguments))
        for name, (method, arguments) in BASELINES.items()
    }
    predictions, _, seconds = run_clocks(folds, clocks, rng)
    return folds, predictions, seconds


def row(method: str, ages: np.ndarray, predicted: np.ndarray, seconds: float) -> dict:
    """Donor metrics of one method on one cohort."""
    true, guess = pd.Series(np.asarray(ages)), pd.Series(np.asarray(predicted))
    flat = guess.nunique() < 2
    return {
        "method": method,
        "n_donors": len(true),
        "mae": float((true - guess).abs().mean()),
        "r": np.nan if flat else true.corr(guess),
        "spearman": np.nan if flat else true.rank().corr(guess.rank()),
        "seconds": seconds,
    }


def compare(adata: ad.AnnData, data: str, seed: int, *, tool: bool) -> pd.DataFrame:
    """All methods on one cohort and one set of folds."""
    rows = []
    folds, predictions, seconds = run_baselines(adata, seed)
    if tool:
        donors, beats, taken = run_tool(adata, seed)
        if list(donors["fold"].astype(str)) != list(folds.donors["fold"].astype(str)):
            raise RuntimeError("The tool and the baselines had different folds.")
        rows.append(row(TOOL, donors["age"], donors["predicted"], taken) | {"beats_mean": beats})
    for name in (MEAN_AGE, *BASELINES):
        guess = predictions[name]
        rows.append(row(name.replace("_", " "), folds.donors["age"], guess, seconds[name]))
    table = pd.DataFrame(rows)
    mean = table.loc[table["method"] == "mean age", "mae"].item()
    ridge = table.loc[table["method"] == RIDGE, "seconds"].item()
    table.insert(3, "mae_mean", mean)
    table.insert(4, "ratio", table["mae"] / mean)
    table["relative_time"] = table["seconds"] / ridge
    table.insert(0, "seed", seed)
    table.insert(0, "data", data)
    return table


def load(data: str, seed: int) -> ad.AnnData | None:
    """Simulate a cohort, or read a real one; ``None`` where the file is absent."""
    if data == "simulated":
        return sctools.datasets.aging_cohort(rng=seed)
    path = DATA / REAL[data]
    if not path.exists():
        print(f"{data}: skipped, no file {REAL[data]} under SCTOOLS_TEST_DATA")
        return None
    return ad.read_h5ad(path)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds; ``beats_mean`` as the number of seeds where the tool says so."""
    figures = ["n_donors", "mae", "mae_mean", "ratio", "r", "spearman", "relative_time"]
    grouped = table.groupby(["data", "method"], sort=False)
    out = grouped[figures].mean()
    if "beats_mean" in table:
        total = grouped["beats_mean"].agg(lambda values: values.dropna().astype(int).sum())
        out["beats_mean"] = [
            f"{n} of {size}" if method == TOOL else ""
            for (_, method), n, size in zip(out.index, total, grouped.size(), strict=True)
        ]
    return out.reset_index()


def paired(table: pd.DataFrame) -> pd.DataFrame:
    """MAE of each baseline minus the tool's, over seeds; positive where the tool is better."""
    wide = table.pivot(index="seed", columns="method", values="mae")
    difference = wide.drop(columns=TOOL).sub(wide[TOOL], axis=0)
    return pd.DataFrame(
        {
            "difference": difference.mean(),
            "standard_error": difference.std(ddof=1) / np.sqrt(len(difference)),
            "n_seeds": len(difference),
        }
    ).rename_axis("baseline minus tool, donor MAE")


def permuted_ages() -> pd.DataFrame:
    """Cross-fit the tool on cohorts whose ages were permuted between donors."""
    rows = []
    for seed in range(N_PERMUTATIONS):
        adata = sctools.datasets.aging_cohort(rng=seed)
        ages = adata.obs.groupby("donor_id", observed=True)["age"].first()
        shuffled = np.random.default_rng(seed).permutation(ages.to_numpy())
        new = pd.Series(shuffled, index=ages.index.astype(str))
        adata.obs["age"] = adata.obs["donor_id"].astype(str).map(new).to_numpy(dtype=float)
        donors, beats, seconds = run_tool(adata, seed)
        out = row(TOOL, donors["age"], donors["predicted"], seconds)
        mean = float((donors["age"] - donors["mean_age"]).abs().mean())
        extra = {"mae_mean": mean, "ratio": out["mae"] / mean, "beats_mean": beats}
        rows.append({"data": "permuted", "seed": seed} | out | extra)
        print(f"  permutation {seed}: MAE {out['mae']:.2f}, mean {mean:.2f}, beats_mean {beats}")
    return pd.DataFrame(rows)


def show(table: pd.DataFrame, *, index: bool = False) -> None:
    """Print a table with two decimals."""
    print(table.to_string(index=index, float_format=lambda value: f"{value:.2f}"), end="\n\n")


def main() -> None:
    """Parse the command line and run."""
    names = ["simulated", "permuted", *REAL]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", choices=[*names, "all"], default="simulated")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default 3)")
    parser.add_argument("--out", type=Path, help="write every single run to this CSV")
    parser.add_argument(
        "--baselines-only", action="store_true", help="leave the tool out; the folds are the same"
    )
    arguments = parser.parse_args()
    tool = not arguments.baselines_only
    if not tool and arguments.data == "permuted":
        parser.error("--data permuted tests the tool alone; drop --baselines-only")
    print(machine(), end="\n\n")

    tables = []
    for data in names if arguments.data == "all" else [arguments.data]:
        if data == "permuted":
            if not tool:
                continue
            table = permuted_ages()
            silent = int((~table["beats_mean"]).sum())
            excess = 100 * (table["ratio"].mean() - 1)
            print(
                f"permuted: beats_mean False in {silent} of {len(table)}; "
                f"MAE {excess:+.2f} % of the mean's on average\n"
            )
            tables.append(table)
            continue
        runs = []
        for seed in range(arguments.seeds):
            adata = load(data, seed)
            if adata is None:
                break
            runs.append(compare(adata, data, seed, tool=tool))
        if not runs:
            continue
        table = pd.concat(runs, ignore_index=True)
        show(summary(table))
        if data == "simulated" and tool and len(runs) > 1:
            show(paired(table), index=True)
        tables.append(table)
    if arguments.out is not None and tables:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        pd.concat(tables, ignore_index=True).drop(columns="seconds").to_csv(
            arguments.out, index=False
        )
        print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
