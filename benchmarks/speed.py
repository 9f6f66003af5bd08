"""All side-by-side figures of speed and memory, in one table.

``make bench``, or from the repository root::

    python benchmarks/speed.py
    python benchmarks/speed.py --only prediction training
    python benchmarks/speed.py --quick      # tiny sizes: does it run?
    python benchmarks/speed.py --table      # only print what is there

Every figure is a ratio of CPU seconds of ways that take turns in one process, on one thread, the
median over rounds with least and most; a product of matrices and a copy of memory take turns with
them as controls. Peak memory is that of fresh processes. Data are simulated. Each figure is written
to ``benchmarks/results/speed_<name>.csv`` as soon as it is there.
"""

# ruff: noqa: E402 - the number of threads is fixed before any library starts them
from __future__ import annotations

import os

for _variable in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
    os.environ[f"{_variable}_NUM_THREADS"] = "1"

import argparse
import importlib
import json
import warnings
from pathlib import Path

import pandas as pd
import torch
from _side_by_side import machine, markdown

RESULTS = Path(__file__).parent / "results"
FIGURES = {
    "prediction": ("_speed_clock", "prediction"),
    "training": ("_speed_clock", "training"),
    "vae": ("_speed_vae", "few_genes"),
    "vae_genes": ("_speed_vae", "many_genes"),
    "prior": ("_speed_prior", "step"),
    "edges": ("_speed_prior", "edges"),
    "cells": ("_speed_scaling", "cells"),
    "genes": ("_speed_scaling", "genes"),
    "memory": ("_speed_scaling", "memory"),
    "dask": ("_speed_dask", "cluster"),
}
"""Module and function of every figure."""
CHILDREN = {
    "edges": ("_speed_prior", "edges_child"),
    "genes": ("_speed_scaling", "genes_child"),
    "published": ("_speed_scaling", "published_child"),
}
"""What fresh processes do."""


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=list(FIGURES), default=list(FIGURES))
    parser.add_argument("--quick", action="store_true", help="tiny sizes; writes no results")
    parser.add_argument("--table", action="store_true", help="only print what was measured before")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.child:
        name, given = arguments.child
        print(json.dumps(function(CHILDREN[name])(*json.loads(given))))
        return
    if not arguments.table:
        quieten()
    tables = []
    for name in arguments.only:
        file = arguments.results / f"speed_{name}.csv"
        if not arguments.table:
            found = function(FIGURES[name])(arguments.quick)
            found.insert(0, "machine", machine())
            if arguments.quick:
                tables.append(found)
                continue
            arguments.results.mkdir(parents=True, exist_ok=True)
            found.to_csv(file, index=False, float_format="%.4g")
        if file.exists():
            tables.append(pd.read_csv(file, dtype={"asked": str}))
    if not tables:
        print("Nothing was measured yet.")
        return
    whole = pd.concat(tables, ignore_index=True)
    for described, part in whole.groupby("machine", sort=False):
        print(f"\n{described}\n\n{markdown(part)}")


def function(where: tuple[str, str]):
    """Find a figure; its libraries are loaded now."""
    module, name = where
    return getattr(importlib.import_module(module), name)


def quieten() -> None:
    """Keep the remarks of the libraries out of the table."""
    from clustering import quieten as libraries

    libraries()
    warnings.simplefilter("ignore", UserWarning)


if __name__ == "__main__":
    main()
