"""Compare prior transformers and logistic regression, and look at what attention finds.

Run from the repository root, for example::

    python benchmarks/classification.py --task batches
    python benchmarks/classification.py --task labels --splits 20
    python benchmarks/classification.py --task planted
    python benchmarks/classification.py --task seeds
    python benchmarks/classification.py --task biology
    python benchmarks/classification.py --task unseen
    python benchmarks/classification.py --task speed
    python benchmarks/classification.py --table

``batches``: Kang (donor to donor, control to stimulated) and PBMC over three technologies, each
held out in turn. ``labels``: Baron with 5, 10 and 25 % of the training labels, on about 310 genes,
so that the dense transformer is within reach. ``planted``: does lift tell the edges of a simulated
network from decoys. ``seeds``: does lift repeat with another seed. ``biology``: ranks of known
regulators in PBMC. ``unseen``: what is answered for a class that was left out of training.
``speed``: a training step against the same model on masked dense attention, in one run.

Finished comparisons are added to a raw file at once and are not computed again (``--redo`` does).
Real data and networks are read from ``SCTOOLS_TEST_DATA`` (default ``../shared/data`` beside the
repository) and skipped where absent.
"""

# ruff: noqa: E402 - the number of threads is fixed before any library starts them
from __future__ import annotations

import os

for _variable in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
    os.environ[f"{_variable}_NUM_THREADS"] = "1"

import argparse
import datetime
import warnings
from pathlib import Path

import pandas as pd
import torch
from _classification_tasks import TASKS, table
from _machine import machine

RESULTS = Path(__file__).parent / "results"
FIGURE = Path(__file__).parents[1] / "docs" / "_static" / "classification.png"


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--task", nargs="+", choices=list(TASKS), help="default: all")
    parser.add_argument("--splits", type=int, help="splits or seeds (default: the task's own)")
    parser.add_argument("--modes", nargs="+", help="kinds of prior (default: the task's own)")
    parser.add_argument("--table", action="store_true", help="only print and write the tables")
    parser.add_argument("--redo", action="store_true", help="compute runs again that are there")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--figure", type=Path, default=FIGURE)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*edges more than once.*")
    print(f"{datetime.date.today()}: {machine('one thread')}\n", flush=True)
    arguments.results.mkdir(parents=True, exist_ok=True)
    if not arguments.table:
        for name in arguments.task or list(TASKS):
            rows = TASKS[name](
                arguments.results,
                n_splits=arguments.splits,
                modes=arguments.modes,
                redo=arguments.redo,
            )
            if isinstance(rows, pd.DataFrame):
                print(rows.to_string(index=False, float_format="%.3f"), "\n", flush=True)
                rows.to_csv(
                    arguments.results / f"classification_{name}.csv",
                    index=False,
                    float_format="%.4f",
                )
    table(arguments.results, arguments.figure)


if __name__ == "__main__":
    main()
