"""Which cells tell the age: ``"donor_attention"`` where a tenth of the cells carries it.

Run from the repository root, for example::

    python benchmarks/donor_attention.py --seeds 3
    python benchmarks/donor_attention.py --out benchmarks/results/donor_attention.csv

``tenth``: ten cell types, one of which ages, each a tenth of the cells on average; ``tenth, weak``:
the same with effects of the default size, two thirds of those; ``all``: the ordinary cohort, whose
three types all age. No method is told the cell types, except ``ridge, types told``. Errors are of
donors, each predicted by models that never saw its cells, all on the folds of
``sctools.tl.compare_clocks``. ``auroc`` says how well the weights of cells of held-out donors tell
the cells that age from the others, ``share`` how much of a donor's weight these get (``base`` is
their share of the cells), ``even`` the effective share of the cells, 1 with uniform weights.
"""

# ruff: noqa: E402 - the number of threads is fixed before any library starts them
from __future__ import annotations

import os

for _variable in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
    os.environ[f"{_variable}_NUM_THREADS"] = "1"

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

import sctools
from sctools.model._clock_methods import ClockCells, clock_method
from sctools.pp._clock_input import ClockInput
from sctools.tl._age_metrics import error_metrics
from sctools.tl._clock_scores import MEAN_AGE
from sctools.tl._compare_clocks import DonorFolds, NamedMethod, read_folds, run_clocks

TYPES = tuple(f"type {i}" for i in range(1, 11))
AGING = "type 5"
_TENTH = {
    "n_donors": 80,
    "cells_per_donor": 100,
    "cell_types": TYPES,
    "aging_cell_types": (AGING,),
}
COHORTS: dict[str, dict[str, Any]] = {
    "tenth": {**_TENTH, "effect_size": 0.15},
    "tenth, weak": _TENTH,
    "all": {},
}
ATTENTION = "donor_attention"
METHODS = (ATTENTION, "gma", "ridge", "pls", "elastic_net")
TOLD = "ridge, types told"
N_FOLDS = 5


class Keeper:
    """A clock method that keeps what it fitted, one clock per fold."""

    def __init__(self, method: Any) -> None:
        self.method, self.input = method, method.input
        self.clocks: list[Any] = []

    def fit(self, cells: ClockCells, *, rng: Any = 0) -> Any:
        """Fit, keep and give back."""
        self.clocks.append(self.method.fit(cells, rng=rng))
        return self.clocks[-1]


def deal(adata: Any, seed: int, cell_type_key: str | None) -> tuple[DonorFolds, Any]:
    """Cells and folds, the same for every ``cell_type_key``, and the generator after it."""
    rng = np.random.default_rng(seed)
    names = ClockInput("age", "donor_id", None, cell_type_key, [], None, log_normalized=False)
    return read_folds(adata, names, N_FOLDS, rng), rng


def held_out_weights(folds: DonorFolds, clocks: list[Any]) -> np.ndarray:
    """Weight of every cell by the clock that did not see its donor."""
    weights = np.full(len(folds.cells.unit), np.nan)
    for k, clock in enumerate(clocks):
        asked = np.flatnonzero(folds.fold == k)
        rows = np.isin(folds.cells.unit, asked)
        weights[rows] = clock.weights(folds.cells.of_units(asked).without_ages())
    return weights


def weight_figures(weights: np.ndarray, unit: np.ndarray, carries: np.ndarray) -> dict[str, float]:
    """How well weights find the cells that carry the age, and how even they are."""
    n_units = int(unit.max()) + 1
    n_cells = np.bincount(unit)
    figures = {"even": float((1 / np.bincount(unit, weights=weights**2) / n_cells).mean())}
    if not carries.all():
        # Weights relative to uniform ones: donors differ in their number of cells.
        figures["auroc"] = float(roc_auc_score(carries, weights * n_cells[unit]))
        figures["share"] = float(weights[carries].sum() / n_units)
        figures["base"] = float((np.bincount(unit, weights=carries) / n_cells).mean())
    return figures


def compare(data: str, seed: int, methods: tuple[str, ...] = METHODS, **changes: Any) -> Any:
    """All methods on one cohort and one set of folds."""
    arguments = COHORTS[data] | changes
    adata = sctools.datasets.aging_cohort(rng=seed, **arguments)
    folds, rng = deal(adata, seed, None)
    keeper = Keeper(clock_method(ATTENTION))
    clocks = {
        name: NamedMethod(name, keeper if name == ATTENTION else clock_method(name))
        for name in methods
    }
    predictions, _, seconds = run_clocks(folds, clocks, rng)
    told, rng = deal(adata, seed, "cell_type")
    if not np.array_equal(told.fold, folds.fold):
        raise RuntimeError("The cell types changed the folds.")
    ridge = {TOLD: NamedMethod("ridge", clock_method("ridge"))}
    predictions[TOLD] = run_clocks(told, ridge, rng)[0][TOLD]

    age, mean_age = folds.donors["age"].to_numpy(), predictions[MEAN_AGE].to_numpy()
    rows = []
    for name in (*methods, TOLD, MEAN_AGE):
        scores = error_metrics(age, predictions[name].to_numpy(), mean_age)
        row = {"data": data, "seed": seed, "method": name, "n_donors": len(age)}
        row |= {"mae": scores["mae"], "r": np.nan if name == MEAN_AGE else scores["r"]}
        row["seconds"] = seconds.get(name, np.nan)
        if name == ATTENTION:
            weights = held_out_weights(folds, keeper.clocks)
            aging = arguments.get("aging_cell_types") or adata.obs["cell_type"].unique()
            carries = adata.obs["cell_type"].isin(list(aging)).to_numpy()
            row |= weight_figures(weights, folds.cells.unit, carries)
        rows.append(row)
    table = pd.DataFrame(rows)
    table.insert(5, "ratio", table["mae"] / table["mae"].iloc[-1])
    return table


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds."""
    figures = [name for name in table if name not in ("data", "seed", "method")]
    return table.groupby(["data", "method"], sort=False)[figures].mean().reset_index()


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", choices=[*COHORTS], nargs="+", default=[*COHORTS])
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default 3)")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--methods", choices=METHODS, nargs="+", default=METHODS)
    parser.add_argument("--out", type=Path, help="write every single run to this CSV")
    arguments = parser.parse_args()
    tables = []
    for data in arguments.data:
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            tables.append(compare(data, seed, tuple(arguments.methods)))
        shown = summary(pd.concat(tables[-arguments.seeds :]))
        print(shown.to_string(index=False, float_format=lambda value: f"{value:.2f}"), end="\n\n")
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        # Processor time depends on the machine and on what else it does.
        table = pd.concat(tables, ignore_index=True).drop(columns="seconds")
        table.to_csv(arguments.out, index=False)
        print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
