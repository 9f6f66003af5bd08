"""Do the intervals of ``sctools.tl.age_clock`` cover the ages of new donors as often as they say.

Run from the repository root, for example::

    python benchmarks/age_intervals.py
    python benchmarks/age_intervals.py --effect-size 0.04
    python benchmarks/age_intervals.py --clock default --out intervals.csv

Cohorts of 60 + 60 donors (``sctools.datasets.aging_cohort``, three cell types, 60 cells a donor). A
clock is cross-fitted on the first half, and its average applied to the other half, which is new.

``donors``: new donors by the average of the fold clocks. ``uncorrected``: the same, were the
average not better than the clocks whose errors it goes by. ``cells``: cells of new donors, whose
intervals are for the age of the donor; donors count alike. ``held out``: training donors by the
clock that never saw them, with intervals from the other donors; by construction this is close to
the level for any clock. ``half width`` is in years.

Figures are means over cohorts, with 95 % intervals from resampling cohorts: donors of one cohort
share a clock, and are not independent.

``--clock quick`` trains small clocks on 300 genes, several seconds each; ``default`` the clock and
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

import sctools
from sctools.model._conformal import HeldOutErrors, radii_from_others

N_TRAIN = 60
N_NEW = 60
LEVELS = (0.8, 0.9, 0.95)
N_RESAMPLED = 2000
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


def two_halves(clock: str, seed: int, effect_size: float | None) -> tuple[ad.AnnData, ad.AnnData]:
    """Simulate training donors and new donors of the same world."""
    cohort, _ = CLOCKS[clock]
    if effect_size is not None:
        cohort = {**cohort, "effect_size": effect_size}
    adata = sctools.datasets.aging_cohort(N_TRAIN + N_NEW, rng=seed, **cohort)
    new = adata.obs["donor_id"].cat.codes.to_numpy() >= N_TRAIN
    return adata[~new].copy(), adata[new].copy()


def rows(train: ad.AnnData, new: ad.AnnData, clock: sctools.model.AgeClock) -> Iterator[dict]:
    """Coverage and half width by level and kind of interval."""
    donors = train.uns["age_clock"]["donors"]
    error = (donors["predicted"] - donors["age"]).abs().to_numpy()
    codes = np.arange(len(donors))
    for level in LEVELS:
        radii = radii_from_others(error, codes, level)
        yield {"level": level, "of": "held out"} | figures(error, radii)
        sctools.tl.age_clock(new, model=clock, level=level)
        table = new.uns["age_clock"]["donors"]
        off = (table["predicted"] - table["age"]).abs().to_numpy()
        half = (table["upper"] - table["predicted"]).to_numpy()
        yield {"level": level, "of": "donors"} | figures(off, half)
        plain = np.full(len(off), HeldOutErrors.of(error, codes).radius(level))
        yield {"level": level, "of": "uncorrected"} | figures(off, plain)
        cells = new.obs
        off = (cells["age_clock"] - cells["age"]).abs()
        half = cells["age_clock_upper"] - cells["age_clock"]
        by_donor = (off <= half).groupby(cells["donor_id"], observed=True).mean()
        here = {"coverage": by_donor.mean(), "half width": half.median()}
        yield {"level": level, "of": "cells"} | here
        for name, part in cells.groupby("cell_type", observed=True):
            inside = off[part.index] <= half[part.index]
            by_donor = inside.groupby(part["donor_id"], observed=True).mean()
            here = {"coverage": by_donor.mean(), "half width": half[part.index].median()}
            yield {"level": level, "of": f"cells: {name}"} | here


def figures(error: np.ndarray, radius: np.ndarray) -> dict[str, float]:
    """Share covered and median half width."""
    return {"coverage": float((error <= radius).mean()), "half width": float(np.median(radius))}


def run(clock: str, repeats: int, effect_size: float | None) -> pd.DataFrame:
    """All cohorts, one row per cohort, level and kind of interval."""
    table: list[dict] = []
    for seed in range(repeats):
        start = time.perf_counter()
        train, new = two_halves(clock, 3000 + seed, effect_size)
        model = sctools.tl.age_clock(
            train, rng=seed, progress_bar=False, return_model=True, **CLOCKS[clock][1]
        )
        metrics = train.uns["age_clock"]["metrics"]["donor"]
        found = pd.DataFrame(rows(train, new, model))
        found.insert(0, "seed", seed)
        found["mae"], found["mae_mean"] = metrics["mae"], metrics["mae_mean"]
        table.append(found)
        here = found[(found["level"] == 0.9) & (found["of"] == "donors")].iloc[0]
        print(
            f"  {seed}: MAE {metrics['mae']:.1f} ({metrics['mae_mean']:.1f} for the mean age), "
            f"{here['coverage']:.2f} of new donors at 0.9, {time.perf_counter() - start:.0f} s",
            flush=True,
        )
    return pd.concat(table, ignore_index=True)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean coverage over cohorts with its interval, by level and kind."""
    rng = np.random.default_rng(0)
    out = []
    for (level, what), part in table.groupby(["level", "of"], sort=False):
        coverage = part["coverage"].to_numpy()
        drawn = rng.choice(coverage, (N_RESAMPLED, len(coverage))).mean(axis=1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        row = {"level": level, "of": what, "coverage": coverage.mean(), "from": low, "to": high}
        out.append(row | {"half width": part["half width"].mean()})
    return pd.DataFrame(out)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=20, help="cohorts")
    parser.add_argument("--clock", choices=list(CLOCKS), default="quick")
    parser.add_argument("--effect-size", type=float, help="of the age genes; see aging_cohort")
    parser.add_argument("--out", type=Path, help="write every single row to this CSV")
    arguments = parser.parse_args()
    logging.getLogger("sctools").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    print(f"{datetime.date.today()}: {machine('one thread')}\n", flush=True)
    table = run(arguments.clock, arguments.repeats, arguments.effect_size)
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(arguments.out, index=False, float_format="%.5g")
    with pd.option_context("display.width", 200, "display.max_columns", None):
        print("\n" + summary(table).to_string(index=False, float_format="%.3f"))
    if arguments.out is not None:
        print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
