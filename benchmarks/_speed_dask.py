"""Figure of a dask cluster: two worker processes against one."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import predict_memory
from _side_by_side import ROUNDS, controls, row, table
from anndata.experimental import read_elem_lazy
from anndata.io import read_elem

from sctools.model import AgeClock

CELLS, CHUNK = 240_000, 20_000
TURNS = 3 * ROUNDS
"""Wall time is noisy where other machines share the processor."""


def cluster(quick: bool) -> pd.DataFrame:
    """Predict a file with one and with two workers, in turns.

    Wall time is what counts here. The control is a product of matrices on every worker at once:
    where two workers do less than twice of that, the machine is not quiet and the figure says
    nothing.
    """
    n_cells, chunk = (2_000, 500) if quick else (CELLS, CHUNK)
    seconds: list[dict[str, float]] = []
    ages: dict[int, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        genes, cell_types = predict_memory.train(folder / "clock")
        predict_memory.write_cells(folder / "cells.h5ad", n_cells, genes, cell_types)
        clock = AgeClock.load(folder / "clock")
        with contextlib.ExitStack() as stack:
            clients = {n: stack.enter_context(_client(n)) for n in (1, 2)}
            file = stack.enter_context(h5py.File(folder / "cells.h5ad"))
            x = read_elem_lazy(file["X"], chunks=(chunk, len(genes)))
            adata = ad.AnnData(x, obs=read_elem(file["obs"]), var=read_elem(file["var"]))
            for number in range(1 + (2 if quick else TURNS)):
                found: dict[str, float] = {}
                for n_workers in (1, 2) if number % 2 == 0 else (2, 1):
                    client = clients[n_workers]
                    with client.as_current():
                        start = time.perf_counter()
                        ages[n_workers] = clock.predict(adata, donor_key=None)
                        found[f"prediction {n_workers}"] = time.perf_counter() - start
                        start = time.perf_counter()
                        client.gather([client.submit(_product, i, pure=False) for i in range(4)])
                        found[f"product {n_workers}"] = time.perf_counter() - start
                if number:  # the first one imports and compiles
                    seconds.append(found)
    table_ = pd.DataFrame(seconds)
    rows: list[dict[str, Any]] = []
    for what, asked in (("prediction", "≥ 1.7"), ("product", "2 where quiet")):
        label = {"prediction": "clock prediction", "product": "control: matrix products"}[what]
        speedup = table_[f"{what} 1"] / table_[f"{what} 2"]
        rows.append(row(f"{label}, two dask workers", "one", "times as fast", speedup, asked))
    difference = float(np.abs(ages[1] - ages[2]).max())
    rows.append(row("difference of the ages", "one", "years", [difference], "0"))
    return table(rows)


@contextlib.contextmanager
def _client(n_workers: int) -> Iterator[Any]:
    """Client of a local cluster; idle while the other one works."""
    from dask.distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=None) as local,
        Client(local, set_as_default=False) as client,
    ):
        yield client


def _product(_: int) -> float:
    import torch

    torch.set_num_threads(1)
    product = next(iter(controls().values()))
    for _repeat in range(60):
        product()
    return 0.0
