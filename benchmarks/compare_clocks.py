"""Every method of ``sctools.tl.compare_clocks`` on the same donor folds.

Run from the repository root, for example::

    python benchmarks/compare_clocks.py
    python benchmarks/compare_clocks.py --data onek1k --seeds 1 --methods gma ridge pls

Needs the extras ``xgboost`` and ``catboost``. A simulated cohort is another one for each seed, with
OneK1K the folds are. Printed are the means over seeds, and the difference in absolute error to the
default clock, first averaged over a donor's seeds, with its standard error over donors. OneK1K is
read from ``SCTOOLS_TEST_DATA`` (default ``../shared/data`` beside the repository) and skipped where
absent. Runs are kept in a CSV of donors, and a second call goes on from there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from _machine import machine
from age_clock import load

import sctools

RESULTS = Path(__file__).parent / "results"
RAW = "compare_clocks_donors.csv"
DEFAULT = "gma"
METHODS = (
    DEFAULT,
    "elastic_net",
    "ridge",
    "pls",
    "mlp",
    "autoencoder",
    "donor_attention",
    "xgboost",
    "catboost",
)
FIRST_SEED = 300
"""Other cohorts than those of the benchmarks that chose the defaults."""


def run(data: str, method: str, seed: int) -> pd.DataFrame | None:
    """Predictions of the donors; ``None`` where the data are absent."""
    adata = load(data, seed)
    if adata is None:
        return None
    sctools.tl.compare_clocks(adata, [method], n_bootstrap=1, rng=seed, progress_bar=False)
    record = adata.uns["compare_clocks"]
    donors = record["donors"][["donor", "age", "fold"]]
    name = next(name for name in record["predictions"] if name != "mean_age")
    return pd.concat(
        [
            donors.assign(data=data, method=method, seed=seed, cell_mae=cell_mae, predicted=guess)
            for method, guess, cell_mae in (
                (method, record["predictions"][name], record["results"].loc[name, "cell_mae"]),
                ("mean_age", record["predictions"]["mean_age"], np.nan),
            )
        ],
        ignore_index=True,
    )


def compute(raw: Path, names: list[str], methods: list[str], seeds: range) -> pd.DataFrame:
    """Add the runs that are missing to the raw file, each at once."""
    for data in names:
        for seed in seeds:
            for method in methods:
                done = pd.read_csv(raw) if raw.is_file() else None
                run_of = ["data", "method", "seed"]
                if done is not None and (done[run_of] == [data, method, seed]).all(axis=1).any():
                    continue
                rows = run(data, method, seed)
                if rows is None:
                    break
                # Read again: another process may have added to it meanwhile.
                done = pd.read_csv(raw) if raw.is_file() else rows[:0]
                joined = pd.concat([done, rows], ignore_index=True)
                joined = joined.drop_duplicates([*run_of, "donor"])  # the mean age comes each time
                joined.to_csv(raw, index=False)
                error = (rows["predicted"] - rows["age"]).abs().groupby(rows["method"]).mean()
                print(data, seed, error.round(2).to_dict(), flush=True)
    return pd.read_csv(raw)


def summary(donors: pd.DataFrame) -> pd.DataFrame:
    """One row per data and method."""
    donors = donors.assign(error=(donors["predicted"] - donors["age"]).abs())
    rows = []
    for data, part in donors.groupby("data", sort=False):
        # Cohorts are simulated anew for each seed; there a donor's name means another donor.
        unit = ["seed", "donor"] if data == "simulated" else ["donor"]
        errors = part.pivot_table(index=unit, columns="method", values="error")
        folds = part.groupby(["data", "seed", "donor"])["fold"].nunique()
        if (folds > 1).any():
            raise RuntimeError("The methods had different folds.")
        for method in part["method"].unique():
            own = part[part["method"] == method]
            per_seed = own.groupby("seed")
            difference = (errors[method] - errors[DEFAULT]).dropna()
            rows.append(
                {
                    "data": data,
                    "method": method,
                    "mae": per_seed["error"].mean().mean(),
                    "r": np.mean([g["predicted"].corr(g["age"]) for _, g in per_seed]),
                    "cell_mae": own["cell_mae"].mean(),
                    "difference": difference.mean(),
                    "standard_error": difference.sem(),
                    "n_donors": len(difference),
                    "n_seeds": own["seed"].nunique(),
                }
            )
    return pd.DataFrame(rows)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", nargs="+", default=["simulated", "onek1k"])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default 3)")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="only print and write the table")
    arguments = parser.parse_args()
    raw = arguments.results / RAW
    if not arguments.table:
        print(machine(), end="\n\n")
        arguments.results.mkdir(parents=True, exist_ok=True)
        seeds = range(FIRST_SEED, FIRST_SEED + arguments.seeds)
        compute(raw, arguments.data, arguments.methods, seeds)
    if not raw.is_file():
        parser.exit(message=f"no runs in {raw}\n")
    table = summary(pd.read_csv(raw))
    print(table.to_string(index=False, float_format="%.2f"))
    table.to_csv(arguments.results / "compare_clocks.csv", index=False, float_format="%.4f")


if __name__ == "__main__":
    main()
