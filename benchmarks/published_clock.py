"""Compare our evaluation of the published scAgeClock network with the published one.

Run from the repository root, ``python benchmarks/published_clock.py``. Weights are random, of the
published names and shapes, scaled so that ages spread by 15 years; cells are simulated counts of
which 7 % are not zero. Both ways get the same weights and the same normalised cells as CSR in one
process, on one thread, in turns: the published one makes them dense and goes layer by layer, ours
is :class:`sctools.module.FoldedPublishedNetwork`. Speeds are ratios of CPU seconds, so that other
processes count little. A third ratio is that of the whole of ``PublishedClock.predict`` from raw
counts (checks, genes, categories and normalisation included) to the published path without them.

For the memory, fresh processes predict simulated files of two sizes. The figures that the
documentation quotes are printed.
"""

# ruff: noqa: E402 - the number of threads is fixed before any library starts them
from __future__ import annotations

import os

for _variable in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
    os.environ[f"{_variable}_NUM_THREADS"] = "1"

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import torch
from _side_by_side import in_turns, machine
from predict_memory import peak_rss
from scipy import sparse
from torch import nn

from sctools.model import PublishedClock
from sctools.module import FoldedPublishedNetwork, PublishedNetwork
from sctools.pp._whole_depth import WholeDepth

N_CATEGORIES = {"assay": 21, "cell_type": 664, "tissue_general": 52, "sex": 3}
N_GENES = {"0.1.2": 19_179, "0.1.3": 19_234}
DENSITY = 0.07
SD_AGE = 15.0
N_CELLS = 4096  # the block that `predict` reads; the published path takes all cells at once
REPEATS = 9
SIZES = (8_000, 32_000)
PUBLISHED_SIZES = (1_000, 3_000)
FOLDED = "folded"
PUBLISHED = "published path"


class PublishedPath(nn.Module):
    """The published forward pass, with its attention over one token."""

    def __init__(self, network: PublishedNetwork) -> None:
        super().__init__()
        self.network = network
        self.attention = nn.MultiheadAttention(512, 8, batch_first=True)
        self.attention.load_state_dict(network.attention.attn.state_dict())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Ages from categories (the first four columns) and gene values, dense."""
        net, codes = self.network, x[:, :4].long()
        embedded = [e(codes[:, k]) for k, e in enumerate(net.embeddings)]
        z = net.norm(net.projection_(net.feature_gate(torch.cat([*embedded, x[:, 4:]], dim=1))))
        z = z.unsqueeze(1)
        return net.head_(self.attention(z, z, z)[0].squeeze(1))


def counts(n_cells: int, n_genes: int, rng: np.random.Generator) -> sparse.csr_matrix:
    """Random counts at the target density; beyond 4096 the cells repeat."""
    shape = (min(4096, n_cells), n_genes)
    block = sparse.csr_matrix(rng.random(shape, dtype=np.float32) < DENSITY, dtype=np.float32)
    block.data[:] = rng.geometric(0.4, block.nnz)
    return sparse.vstack([block] * -(-n_cells // shape[0]), format="csr")[:n_cells]


def labels(name: str) -> list[str]:
    """Made-up vocabulary of the published size."""
    return [f"{name} {i}" for i in range(N_CATEGORIES[name])]


def genes(generation: str) -> list[str]:
    """Made-up genes, as many as published."""
    return [f"GENE{i}" for i in range(N_GENES[generation])]


def cells(n_cells: int, generation: str, rng: np.random.Generator) -> ad.AnnData:
    """Simulate cells with labels of the vocabulary."""
    obs = {name: pd.Categorical(rng.choice(labels(name), n_cells)) for name in N_CATEGORIES}
    index = np.arange(n_cells).astype(str)
    var = pd.DataFrame(index=genes(generation))
    return ad.AnnData(
        counts(n_cells, N_GENES[generation], rng), obs=pd.DataFrame(obs, index=index), var=var
    )


def normalized(adata: ad.AnnData) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Normalised values and codes."""
    scale = WholeDepth(np.arange(adata.n_vars), adata.n_vars, target_sum=1e4, log_normalized=False)
    codes = [pd.Index(labels(name)).get_indexer(adata.obs[name]) for name in N_CATEGORIES]
    return scale(adata.X)[0], np.column_stack(codes)


def random_network(generation: str, adata: ad.AnnData) -> PublishedNetwork:
    """Random weights whose ages of ``adata`` have mean 50 and the target spread."""
    torch.manual_seed(0)
    network = PublishedNetwork(N_GENES[generation], generation=generation).eval()
    network.requires_grad_(False)
    network.feature_gate.weights.normal_(1, 0.3)
    x, codes = normalized(adata)
    ages = FoldedPublishedNetwork(network).ages(x.indptr, x.indices, x.data, codes)
    last = network.head_[-1]
    last.weight *= SD_AGE / ages.std()
    last.bias += 50 - float(last.bias) - (ages - float(last.bias)).mean() * SD_AGE / ages.std()
    return network


def clock_of(network: PublishedNetwork) -> PublishedClock:
    """Return the clock around a network."""
    return PublishedClock(
        network.state_dict(), genes(network.generation), {n: labels(n) for n in N_CATEGORIES}
    )


@torch.no_grad()
def published(path: PublishedPath, formatted: sparse.csr_matrix) -> np.ndarray:
    """Ages as ``scageclock.evaluation.prediction`` computes them from its own format."""
    inputs = torch.from_numpy(formatted.toarray()).to(torch.float32)
    return path(inputs).flatten().numpy()


def measure(
    generation: str, repeats: int, n_cells: int = N_CELLS
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Seconds of every way, a row per repeat, and its largest and mean error in years."""
    adata = cells(n_cells, generation, np.random.default_rng(0))
    network = random_network(generation, adata)
    x, codes = normalized(adata)
    formatted = sparse.csr_matrix(sparse.hstack([codes.astype(np.float32), x]), dtype=np.float32)
    path, clock = PublishedPath(network).eval(), clock_of(network)
    single = FoldedPublishedNetwork(network)
    half = FoldedPublishedNetwork(network, precision="float16")
    csr = (x.indptr, x.indices, x.data, codes)
    ways: dict[str, Callable[[], np.ndarray]] = {
        PUBLISHED: lambda: published(path, formatted),
        "float32": lambda: single.ages(*csr),
        "float16": lambda: half.ages(*csr),
        "predict, float32": lambda: clock.predict(adata),
        "predict, float16": lambda: clock.predict(adata, precision="float16"),
    }
    expected = ways[PUBLISHED]().astype(np.float64)
    errors = {name: np.abs(way() - expected) for name, way in ways.items()}
    summary = {name: {"most": e.max(), "mean": e.mean()} for name, e in errors.items()}
    return in_turns(ways, repeats), pd.DataFrame(summary).T


def speed(generation: str, repeats: int) -> None:
    """Print speeds and errors of a generation."""
    seconds, errors = measure(generation, repeats)
    per_second = N_CELLS / seconds[PUBLISHED].median()
    print(f"\nscAgeClock {generation}: {N_GENES[generation]:,} genes, {N_CELLS} cells a time")
    print(f"published path: {per_second:,.0f} cells per second of one thread")
    for name, error in errors.drop(PUBLISHED).iterrows():
        ratio = seconds[PUBLISHED] / seconds[name]
        print(
            f"{name}: {ratio.median():.1f} times as fast ({ratio.min():.1f}–{ratio.max():.1f}, "
            f"{repeats} repeats), {N_CELLS / seconds[name].median():,.0f} cells per second; "
            f"difference at most {error['most']:.1e} years, {error['mean']:.1e} on average"
        )


def child(way: str, file: Path, clock_dir: Path) -> None:
    """Predict in this process; print the peak before and after."""
    clock = PublishedClock.load(clock_dir)
    if way == FOLDED:
        adata = ad.read_h5ad(file, backed="r")
        before = peak_rss()
        ages = clock.predict(adata)
    else:
        adata = ad.read_h5ad(file)
        path = PublishedPath(clock.network).eval()
        x, codes = normalized(adata)
        formatted = sparse.csr_matrix(sparse.hstack([codes, x]), dtype=np.float32)
        before = peak_rss()
        ages = published(path, formatted)
    if len(ages) != adata.n_obs or not np.isfinite(ages).all():
        raise RuntimeError("Expected one finite age per cell.")
    print(before, peak_rss())


def memory(generation: str, sizes: tuple[int, ...], published_sizes: tuple[int, ...]) -> None:
    """Print the peak of fresh processes, and what a further cell adds."""
    print(f"\nPeak memory, scAgeClock {generation}")
    with tempfile.TemporaryDirectory() as folder:
        file, clock_dir = Path(folder) / "cells.h5ad", Path(folder) / "clock"
        rng = np.random.default_rng(1)
        clock_of(random_network(generation, cells(256, generation, rng))).save(clock_dir)
        for way, numbers in ((FOLDED, sizes), ("published", published_sizes)):
            peaks = []
            for n_cells in numbers:
                cells(n_cells, generation, rng).write_h5ad(file)
                command = [sys.executable, __file__, "--child", way, str(file), str(clock_dir)]
                output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                before, peak = map(int, output.stdout.split()[-2:])
                peaks.append(peak)
                print(
                    f"{way}: {n_cells:,} cells, peak {peak / 2**20:,.0f} MiB "
                    f"({before / 2**20:,.0f} before)"
                )
            slope = (peaks[-1] - peaks[0]) / (numbers[-1] - numbers[0])
            print(f"{way}: {slope / 1000:,.1f} kB per further cell")


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--sizes", type=int, nargs=2, default=SIZES, help="cells, for the memory")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.child:
        way, file, clock_dir = arguments.child
        child(way, Path(file), Path(clock_dir))
        return
    print(f"{machine()}; density {DENSITY:.0%}")
    for generation in N_GENES:
        speed(generation, arguments.repeats)
    memory("0.1.3", tuple(arguments.sizes), PUBLISHED_SIZES)


if __name__ == "__main__":
    main()
