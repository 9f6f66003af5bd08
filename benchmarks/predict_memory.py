"""Peak memory of predicting a large file in blocks with a saved clock.

Run from the repository root, ``python benchmarks/predict_memory.py``. A clock trained on a small
simulated cohort is saved, then loaded in a fresh process for each size and applied to a simulated
file that is open in backed mode. If nothing but one block of rows is ever held, the peak grows only
by what is kept per cell (obs, row pointers, predictions): the slope printed at the end. Needs about
1.2 GB of disk for the largest file; files are deleted on the way.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from _machine import machine
from scipy import sparse

N_GENES = 19_000
DENSITY = 0.07
SIZES = (25_000, 50_000, 100_000)
BATCH_SIZE = 4096
WRITE_ROWS = 2000


def block(n_rows: int, n_genes: int, rng: np.random.Generator) -> sparse.csr_matrix:
    """Random counts at the target density, int32 indices and float32 values."""
    mask = rng.random((n_rows, n_genes), dtype=np.float32) < DENSITY
    out = sparse.csr_matrix(mask, dtype=np.float32)
    out.data[:] = rng.geometric(0.5, out.nnz)
    return out


def write_cells(path: Path, n_cells: int, var_names: list[str], cell_types: list[str]) -> None:
    """Write an uncompressed h5ad block by block."""
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {"cell_type": pd.Categorical(rng.choice(cell_types, n_cells), cell_types)},
        index=np.arange(n_cells).astype(str),
    )
    ad.AnnData(obs=obs, var=pd.DataFrame(index=var_names)).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        if "X" in file:
            del file["X"]
        # The first block sets the chunk sizes, so it must not be a small one.
        ad.io.write_elem(file, "X", block(min(WRITE_ROWS, n_cells), len(var_names), rng))
        stored = ad.io.sparse_dataset(file["X"])
        for start in range(WRITE_ROWS, n_cells, WRITE_ROWS):
            stored.append(block(min(WRITE_ROWS, n_cells - start), len(var_names), rng))


def peak_rss() -> int:
    """Peak resident memory of this process in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss of a child may start from its parent's value on Linux
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def predict(cells: Path, clock_dir: Path) -> None:
    """Child process: load the clock, predict, print peak before and after, and seconds."""
    from sctools.model import AgeClock

    clock = AgeClock.load(clock_dir)
    adata = ad.read_h5ad(cells, backed="r")
    before = peak_rss()
    start = time.perf_counter()
    predicted = clock.predict(adata, donor_key=None, batch_size=BATCH_SIZE)
    seconds = time.perf_counter() - start
    if len(predicted) != adata.n_obs or not np.isfinite(np.asarray(predicted, dtype=float)).all():
        raise RuntimeError("Expected one finite age per cell.")
    print(before, peak_rss(), seconds)


def train(clock_dir: Path) -> tuple[list[str], list[str]]:
    """Train and save a clock; return its genes and cell types.

    In haste: what it predicts and how many networks it has changes nothing about the memory.
    """
    import sctools

    cohort = sctools.datasets.aging_cohort(20, n_genes=1000, cells_per_donor=30)
    sctools.model.AgeClock.setup_anndata(cohort)
    clock = sctools.model.AgeClock(cohort, n_inner_folds=2, n_repeats=1)
    clock.train(max_epochs=2, progress_bar=False)
    clock.save(clock_dir)
    return list(cohort.var_names), list(cohort.obs["cell_type"].cat.categories)


def measure(
    sizes: tuple[int, ...], folder: Path, n_genes: int = N_GENES
) -> list[tuple[int, int, int, float]]:
    """Train once, then write, predict in a fresh process and delete for each size.

    A row per size: cells, peak before and after in bytes, seconds.
    """
    clock_dir, cells = folder / "clock", folder / "cells.h5ad"
    genes, cell_types = train(clock_dir)
    genes += [f"OTHER{i:05d}" for i in range(n_genes - len(genes))]
    rows = []
    for n_cells in sizes:
        write_cells(cells, n_cells, genes, cell_types)
        command = [sys.executable, __file__, "--child", str(cells), str(clock_dir)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        before, peak, seconds = output.strip().splitlines()[-1].split()
        rows.append((n_cells, int(before), int(peak), float(seconds)))
        cells.unlink()
        print(
            f"{n_cells:>8,} cells: peak RSS {int(peak) / 2**20:,.0f} MiB "
            f"({int(before) / 2**20:,.0f} before predict), {float(seconds):.1f} s",
            flush=True,
        )
    return rows


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of cells")
    parser.add_argument("--genes", type=int, default=N_GENES, help="at least 1000")
    parser.add_argument("--child", type=Path, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        predict(*arguments.child)
        return

    print(machine(threads=""))
    print(
        f"{arguments.genes:,} genes at {DENSITY:.0%} density, batch_size {BATCH_SIZE}", end="\n\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(tuple(arguments.sizes), Path(folder), arguments.genes)
    per_row = arguments.genes * DENSITY * 8  # float32 value and int32 index
    print(f"\nCSR block of {BATCH_SIZE} rows: {BATCH_SIZE * per_row / 2**20:.0f} MiB")
    if len(rows) > 1:
        n_cells, _, peak, _ = np.array(rows).T
        slope = np.polyfit(n_cells, peak, 1)[0]
        print(f"RSS slope: {slope:,.0f} bytes per cell (a cell's CSR row: {per_row:,.0f} bytes)")


if __name__ == "__main__":
    main()
