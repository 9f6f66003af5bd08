"""What each part of the age clock's default recipe is worth, on simulated cohorts.

Run from the repository root, for example::

    python benchmarks/clock_recipe.py
    python benchmarks/clock_recipe.py --variants "single cells" "one repeat" --seeds 200 201

Every variant changes the default in one place and is cross-fitted on the same donor folds of the
same cohorts. Printed is the donor MAE of each, and its mean paired difference to the default over
cohorts with the standard error (positive: worse than the default). Runs are kept in a CSV, and a
second call goes on from there.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from _machine import machine

import sctools
from sctools.model import _age_fit

RESULTS = Path(__file__).parent / "results"
RAW = "clock_recipe_runs.csv"
DEFAULT = "default"
SEEDS = range(100, 103)
"""Other cohorts than those of ``benchmarks/age_clock.py``."""

COHORTS: dict[str, dict[str, Any]] = {
    "60 donors": {},
    "40 donors, weaker": {"n_donors": 40, "effect_size": 0.06},
}


def silenced(place: int) -> AbstractContextManager[Any]:
    """Leave out one of the two outputs that are averaged: 0 the networks', 1 the ridge's."""
    real = _age_fit.calibrate

    def calibrate(*outputs: np.ndarray) -> Any:
        changed = list(outputs)
        changed[place] = np.zeros_like(changed[place])  # does not rise with age: counts nothing
        return real(*changed)

    return mock.patch.object(_age_fit, "calibrate", calibrate)


VARIANTS: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    "one set of gates for all cell types": {"gate_per_type": False},
    "gates start alike": {"gate_power": 0.0},
    "single cells for pseudocells": {"pseudocell_size": 1},
    "pseudocells of 30": {"pseudocell_size": 30},
    "no dropout of genes": {"input_dropout_rate": 0.0},
    "wider networks": {"n_hidden": 128, "head": (64,)},
    "one repeat": {"n_repeats": 1},
    "six repeats": {"n_repeats": 6},
    "networks alone": {},
    "ridge alone": {},
}
PATCHES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "networks alone": lambda: silenced(1),
    "ridge alone": lambda: silenced(0),
}


def run(cohort: str, variant: str, seed: int) -> dict[str, Any]:
    """Cross-fit one variant on one cohort."""
    adata = sctools.datasets.aging_cohort(rng=seed, **COHORTS[cohort])
    with PATCHES.get(variant, nullcontext)():
        sctools.tl.compare_clocks(
            adata,
            ["gma"],
            method_kwargs={"gma": VARIANTS[variant]},
            n_bootstrap=1,
            rng=seed,
            progress_bar=False,
        )
    row = adata.uns["compare_clocks"]["results"].loc["gma"]
    return {"cohort": cohort, "variant": variant, "seed": seed, **row[["mae", "r"]]}


def compute(raw: Path, variants: list[str], seeds: list[int]) -> pd.DataFrame:
    """Add the runs that are missing to the raw file, each at once."""
    for cohort in COHORTS:
        for seed in seeds:
            for variant in variants:
                done = pd.read_csv(raw) if raw.is_file() else pd.DataFrame()
                new = {"cohort": cohort, "variant": variant, "seed": seed}
                if len(done) and (done[list(new)] == list(new.values())).all(axis=1).any():
                    continue
                row = pd.DataFrame([run(cohort, variant, seed)])
                # Read again: another process may have added to it meanwhile.
                done = pd.read_csv(raw) if raw.is_file() else row[:0]
                pd.concat([done, row], ignore_index=True).to_csv(raw, index=False)
                print(row.to_string(index=False, header=False), flush=True)
    return pd.read_csv(raw)


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Means over cohorts, and paired differences in MAE to the default."""
    rows = []
    for (cohort, variant), part in runs.groupby(["cohort", "variant"], sort=False):
        default = runs[(runs["cohort"] == cohort) & (runs["variant"] == DEFAULT)]
        both = part.merge(default, on="seed", suffixes=("", "_default"))
        difference = both["mae"] - both["mae_default"]
        rows.append(
            {
                "cohort": cohort,
                "variant": variant,
                "mae": part["mae"].mean(),
                "r": part["r"].mean(),
                "difference": difference.mean(),
                "standard_error": difference.sem(),
                "n_cohorts": len(part),
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="only print and write the table")
    arguments = parser.parse_args()
    raw = arguments.results / RAW
    if arguments.table:
        if not raw.is_file():
            parser.error(f"--table: no file {raw}; run without it first")
        runs = pd.read_csv(raw)
    else:
        print(machine(), end="\n\n")
        arguments.results.mkdir(parents=True, exist_ok=True)
        runs = compute(raw, arguments.variants, arguments.seeds)
    table = summary(runs)
    print(table.to_string(index=False, float_format="%.2f"))
    table.to_csv(arguments.results / "clock_recipe.csv", index=False, float_format="%.4f")


if __name__ == "__main__":
    main()
