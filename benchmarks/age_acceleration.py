"""Does ``sctools.tl.age_acceleration`` find planted acceleration, and nothing where there is none.

Run from the repository root, for example::

    python benchmarks/age_acceleration.py
    python benchmarks/age_acceleration.py --repeats 50 --nulls 20
    python benchmarks/age_acceleration.py --clock default --repeats 20

Cohorts of 30 cases and 30 controls (``sctools.datasets.aging_cohort``, three cell types, 60 cells a
donor), whose cases are ``--years`` ahead in T cells. The clock is cross-fitted on each cohort.

``found``: share of cohorts with q < 0.05 in T cells. ``p < 0.05 elsewhere``: share of the other
cell types, where nothing was planted. ``effect``: mean, in years. ``default`` is the tool with its
defaults, ``borrowed`` with what cells borrow from their donor left in (``specific=False``),
``straight`` with ``age_degree=1``, ``equal spread`` with ``equal_spread=True``, ``ten times`` with
every cell repeated ten times (and ``min_cells`` as well). ``cells`` is the t test with cells as the
unit, for comparison.

Null cohorts have no acceleration. Their donors are also dealt into ``random groups``, forty times
each, which costs no training; ``shuffled`` lets predictions change places within each donor.

``--clock quick`` trains small clocks on 300 genes, a few seconds each; ``default`` the clock and
the cohort with their defaults, a minute or more each.
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import torch
from _machine import machine
from scipy import stats

import sctools

PLANTED = "T cell"
N_DONORS = 60
LEVEL = 0.05
N_RELABELLED = 40
CLOCKS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "quick": (
        {"n_genes": 300},
        {
            "n_folds": 3,
            "model_kwargs": {"n_repeats": 1, "n_hidden": 32, "head": (16,)},
            "train_kwargs": {"max_epochs": 20},
        },
    ),
    "default": ({}, {}),
}


def fitted(clock: str, years: float, seed: int) -> ad.AnnData:
    """Simulate a cohort with a cross-fitted clock."""
    cohort, settings = CLOCKS[clock]
    adata = sctools.datasets.aging_cohort(
        N_DONORS,
        group_acceleration=years,
        accelerated_cell_types=[PLANTED],
        rng=seed,
        **cohort,
    )
    sctools.tl.age_clock(adata, rng=seed, progress_bar=False, **settings)
    del adata.X  # the tests need the predictions alone
    return adata


def tested(adata: ad.AnnData, **kwargs: Any) -> pd.DataFrame:
    """Results of the comparison, by cell type."""
    sctools.tl.age_acceleration(adata, "group", reference="control", **kwargs)
    return adata.uns["age_acceleration"]["results"].set_index("cell_type")


def relabelled(adata: ad.AnnData, rng: np.random.Generator) -> ad.AnnData:
    """Give the groups to other donors."""
    donors = adata.obs["donor_id"].cat.categories
    case = pd.Series(rng.permutation(np.arange(len(donors)) % 2 == 0), index=donors)
    other = adata.copy()
    mine = case.loc[adata.obs["donor_id"].astype(str)].to_numpy()
    other.obs["group"] = np.where(mine, "case", "control")
    return other


def shuffled(adata: ad.AnnData, rng: np.random.Generator) -> ad.AnnData:
    """Let the predictions of a donor's cells change places."""
    other = adata.copy()
    by = other.obs.groupby("donor_id", observed=True)["age_clock"]
    other.obs["age_clock"] = by.transform(lambda values: rng.permutation(values.to_numpy()))
    return other


def cells_as_unit(adata: ad.AnnData, cell_type: str) -> float:
    """P of the t test over cells, on their acceleration."""
    cells = adata.obs[adata.obs["cell_type"] == cell_type]
    case = cells["group"] == "case"
    values = cells["age_acceleration"]
    return float(stats.ttest_ind(values[case], values[~case]).pvalue)


def rows(adata: ad.AnnData, data: str, seed: int, test: str, **kwargs: Any) -> Iterator[dict]:
    """One row per cell type."""
    for cell_type, row in tested(adata, **kwargs).iterrows():
        figures = row[["effect", "error", "slope", "p", "q"]].to_dict()
        yield {"data": data, "seed": seed, "test": test, "cell_type": cell_type, **figures}


def run(clock: str, years: float, repeats: int, nulls: int) -> pd.DataFrame:
    """All comparisons, one row per cohort, kind of test and cell type."""
    table: list[dict] = []
    for number in range(repeats + nulls):
        null = number >= repeats
        data, seed = ("null", number - repeats) if null else ("planted", number)
        start = time.perf_counter()
        adata = fitted(clock, 0.0 if null else years, 1000 + number)
        rng = np.random.default_rng(number)
        table += rows(adata, data, seed, "default")
        for cell_type in adata.obs["cell_type"].cat.categories:
            p = cells_as_unit(adata, cell_type)
            table.append(
                {"data": data, "seed": seed, "test": "cells", "cell_type": cell_type, "p": p}
            )
        table += rows(adata, data, seed, "borrowed", specific=False)
        table += rows(adata, data, seed, "straight", age_degree=1)
        table += rows(adata, data, seed, "equal spread", equal_spread=True)
        many = adata[np.repeat(np.arange(adata.n_obs), 10)].copy()
        table += rows(many, data, seed, "ten times", min_cells=50)
        if null:
            table += rows(shuffled(adata, rng), data, seed, "shuffled")
            for _ in range(N_RELABELLED):
                other = relabelled(adata, rng)
                table += rows(other, data, seed, "random groups")
                table += rows(other, data, seed, "random groups, borrowed", specific=False)
        print(f"  {data} {seed}: {time.perf_counter() - start:.0f} s", flush=True)
    return pd.DataFrame(table)


def share(hits: pd.Series) -> str:
    """Share with its 95 % interval."""
    if not len(hits):
        return ""
    interval = stats.binomtest(int(hits.sum()), len(hits)).proportion_ci(method="wilson")
    return f"{hits.mean():.2f} ({interval.low:.2f} to {interval.high:.2f}, n = {len(hits)})"


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Count what the tests found, by kind of test."""
    out = []
    types = table[table["cell_type"] != "all cells"]
    planted = types[types["data"] == "planted"]
    for test, part in planted.groupby("test", sort=False):
        here = part["cell_type"] == PLANTED
        found = part.loc[here, "q"] < LEVEL if part["q"].notna().any() else part.loc[[], "p"] < 0
        out.append(
            {
                "data": "planted",
                "test": test,
                "found": share(found),
                "p < 0.05 elsewhere": share(part.loc[~here, "p"] < LEVEL),
                "effect": part.loc[here, "effect"].mean(),
                "effect elsewhere": part.loc[~here, "effect"].mean(),
                "slope": part.loc[here, "slope"].mean(),
            }
        )
    for test, part in types[types["data"] == "null"].groupby("test", sort=False):
        row = {"data": "null", "test": test, "effect elsewhere": part["effect"].mean()}
        out.append(row | {"p < 0.05 elsewhere": share(part["p"] < LEVEL)})
    return pd.DataFrame(out)


def change_by_duplicates(table: pd.DataFrame) -> float:
    """Largest factor between the p of all cells and of the same cells ten times."""
    both = table[table["test"].isin(["default", "ten times"])]
    wide = both.set_index(["data", "seed", "cell_type", "test"])["p"].unstack("test")
    return float(np.exp(np.abs(np.log(wide["ten times"] / wide["default"])).max()))


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=20, help="cohorts with an acceleration")
    parser.add_argument("--nulls", type=int, default=8, help="cohorts without one")
    parser.add_argument("--years", type=float, default=8.0, help="planted acceleration")
    parser.add_argument("--clock", choices=list(CLOCKS), default="quick")
    parser.add_argument("--out", type=Path, help="write every single row to this CSV")
    arguments = parser.parse_args()
    logging.getLogger("sctools").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    print(f"{datetime.date.today()}: {machine('one thread')}\n", flush=True)
    table = run(arguments.clock, arguments.years, arguments.repeats, arguments.nulls)
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(arguments.out, index=False, float_format="%.5g")
    with pd.option_context("display.width", 200, "display.max_columns", None):
        print("\n" + summary(table).to_string(index=False, float_format="%.2f", na_rep=""))
    print(
        f"\nten times every cell changes p by a factor of {change_by_duplicates(table):.3f} at most"
    )
    if arguments.out is not None:
        print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
