"""Figures over numbers of cells and genes: time of prediction and of an epoch, peak memory."""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import predict_memory
import published_clock as pc
import torch
from _clustering_speed import EpochTimer
from _side_by_side import (
    ROUNDS,
    Seconds,
    in_fresh_process,
    in_turns,
    linearity,
    power,
    row,
    table,
    with_peak,
)
from _speed_vae import counts
from scipy import sparse

import sctools
from sctools.model import AgeClock, PublishedClock
from sctools.module import PublishedNetwork

CELLS = (1_000, 10_000, 100_000, 1_000_000)
GENES = (1_000, 3_000, 8_000, 20_000)
MEMORY_CELLS = (100_000, 300_000, 1_000_000)
FEW_GENES = 300
"""Genes of a file or matrix with up to a million cells."""
GENES_CELLS = 512
SMALL = {"assay": 2, "cell_type": 5, "tissue_general": 2, "sex": 2}
"""Categories of the small published network."""


def cells(quick: bool) -> pd.DataFrame:
    """Time over cells: prediction, and one epoch of training.

    Cells repeat, so that simulating them takes neither long nor much memory.
    """
    sizes = [100, 300] if quick else list(CELLS)
    rounds = 2 if quick else ROUNDS
    block = counts(min(sizes[-1], 4_000), FEW_GENES)
    rows: list[dict[str, Any]] = []
    for figure, way in {
        "clock prediction": clock_prediction(block),
        "published clock, epoch of training": published_epoch(block),
        "SRSA-VAE, epoch of training": vae_epoch(block),
    }.items():
        way(sizes[0])  # compiles; the large ones need no warming
        # Those that take long are timed less often.
        few = min(rounds, 1 if "epoch" in figure else 3)
        ways = {str(n): functools.partial(way, n) for n in sizes}
        seconds = in_turns(ways, few, warm_up=False)
        rows += linearity(f"{figure} over cells", "", sizes, seconds)
    return table(rows)


def repeated(block: ad.AnnData, n_cells: int) -> ad.AnnData:
    """So many cells, with what every method reads in ``obs``."""
    times = -(-n_cells // block.n_obs)
    x = sparse.vstack([block.X] * times, format="csr")[:n_cells]
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical([f"cell_type {i}" for i in range(5)])[
                rng.integers(0, 5, n_cells)
            ],
            "donor_id": pd.Categorical([f"d{i}" for i in range(20)])[np.arange(n_cells) % 20],
            "depth": np.asarray(x.sum(axis=1), dtype=np.float32).ravel(),
        },
        index=np.arange(n_cells).astype(str),
    )
    obs["age"] = 20.0 + 3 * obs["donor_id"].cat.codes
    return ad.AnnData(x, obs=obs, var=block.var)


def cached(block: ad.AnnData) -> Callable[[int], ad.AnnData]:
    """Cells by number; made once."""
    found: dict[int, ad.AnnData] = {}
    return lambda n: found.get(n) or found.setdefault(n, repeated(block, n))


def clock_prediction(block: ad.AnnData) -> Callable[[int], Seconds]:
    """Seconds of predicting so many cells; the clock has two networks."""
    made = cached(block)
    training = made(min(1_000, block.n_obs)).copy()
    AgeClock.setup_anndata(training)
    clock = AgeClock(training, n_inner_folds=2, n_repeats=1)
    clock.train(max_epochs=1, progress_bar=False)

    def way(n: int) -> Seconds:
        adata = made(n)
        return seconds_of(lambda: clock.predict(adata))

    return way


def published_epoch(block: ad.AnnData) -> Callable[[int], Seconds]:
    """Seconds of one epoch of a published clock."""
    made = cached(block)

    def way(n: int) -> Seconds:
        torch.manual_seed(0)
        network = PublishedNetwork(block.n_vars, SMALL.values(), width=64, widths=(32, 16))
        vocabulary = {name: [f"{name} {i}" for i in range(k)] for name, k in SMALL.items()}
        clock = PublishedClock(network.state_dict(), list(block.var_names), vocabulary)
        adata = made(n)
        for name in SMALL:
            adata.obs[name] = adata.obs.get(name, pd.Categorical([f"{name} 0"] * n))
        return seconds_of(lambda: clock.train(adata, progress_bar=False))

    return way


def vae_epoch(block: ad.AnnData) -> Callable[[int], Seconds]:
    """Seconds of one epoch of SRSA-VAE; setting up and the first epoch are left out."""
    made = cached(block)

    def way(n: int) -> Seconds:
        adata = made(n).copy() if n < 100_000 else made(n)
        sctools.model.SRSAVAE.setup_anndata(adata, depth_key="depth")
        model = sctools.model.SRSAVAE(adata)
        timer = EpochTimer()
        model.train(
            1, rng=0, progress_bar=False, batch_size=1024, train_size=1.0, callbacks=[timer],
            accelerator="cpu",
        )  # fmt: skip
        return Seconds(timer.seconds[0])

    return way


def seconds_of(work: Callable[[], Any]) -> Seconds:
    """CPU seconds of some work, without what made its data."""
    start = time.process_time()
    work()
    return Seconds(time.process_time() - start)


def genes(quick: bool) -> pd.DataFrame:
    """Time over genes at one density: published prediction, its training step, an epoch."""
    sizes = [100, 300] if quick else list(GENES)
    n_cells = 64 if quick else GENES_CELLS
    rounds = 2 if quick else ROUNDS
    predictions, epochs, vaes = {}, {}, {}
    for n in sizes:
        block = repeated(counts(n_cells, n), n_cells)
        predictions[str(n)], epochs[str(n)] = published_ways(block)
        vaes[str(n)] = functools.partial(vae_epoch(block), n_cells // 2)
    rows: list[dict[str, Any]] = []
    for figure, ways, few in (
        ("published clock, prediction", predictions, rounds),
        ("published clock, epoch of training", epochs, min(3, rounds)),
        ("SRSA-VAE, epoch of training", vaes, min(3, rounds)),
    ):
        rows += linearity(f"{figure} over genes", "", sizes, in_turns(ways, few))
    peaks = [in_fresh_process("genes", n, n_cells) for n in sizes]
    grown = [each["peak"] - each["before"] for each in peaks]
    figure = "SRSA-VAE, memory of an epoch over genes"
    rows.append(row(figure, "", "exponent", [power(sizes, grown)], "1"))
    per_gene = (peaks[-1]["peak"] - peaks[0]["peak"]) / (sizes[-1] - sizes[0]) / 1000
    rows.append(row("SRSA-VAE, memory of a further gene", "", "kB", [per_gene]))
    return table(rows)


def published_ways(block: ad.AnnData) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Prediction and an epoch of a published clock of full width."""
    torch.manual_seed(0)
    network = PublishedNetwork(block.n_vars, SMALL.values())
    vocabulary = {name: [f"{name} {i}" for i in range(k)] for name, k in SMALL.items()}
    clock = PublishedClock(network.state_dict(), list(block.var_names), vocabulary)
    for name in SMALL:
        if name not in block.obs:
            block.obs[name] = pd.Categorical([f"{name} 0"] * block.n_obs)
    clock.train(block, progress_bar=False)
    return (lambda: clock.predict(block)), (lambda: clock.train(block, progress_bar=False))


def genes_child(n_genes: int, n_cells: int) -> dict[str, float]:
    """Peak memory of an epoch of SRSA-VAE."""
    torch.set_num_threads(1)
    way = vae_epoch(repeated(counts(n_cells, n_genes), n_cells))
    return with_peak(lambda: way(n_cells // 2))


def memory(quick: bool) -> pd.DataFrame:
    """Peak of predicting a backed file with a clock, as a slope over cells."""
    sizes = (3_000, 6_000) if quick else MEMORY_CELLS
    with tempfile.TemporaryDirectory() as folder:
        found = predict_memory.measure(sizes, Path(folder), n_genes=1_000)
    n, before, peak, _ = np.array(found).T
    per_cell = 1_000 * predict_memory.DENSITY * 8
    span = f"clock prediction from a file, {sizes[0]:,} to {sizes[-1]:,} cells"
    against = f"{per_cell / 1000:.2f} kB of counts"
    rows = [
        row(f"{span}: memory per cell", against, "kB", [np.polyfit(n, peak, 1)[0] / 1000], "0"),
        row(
            f"{span}: without reading obs",
            against,
            "kB",
            [np.polyfit(n, peak - before, 1)[0] / 1000],
            "0",
        ),
    ]
    path = [in_fresh_process("published", size) for size in ((100, 200) if quick else (500, 2_000))]
    slope = (path[1]["peak"] - path[0]["peak"]) / (100 if quick else 1_500) / 1000
    rows.append(row("published path: memory per cell", "10.8 kB of counts", "kB", [slope]))
    return table(rows)


def published_child(n_cells: int) -> dict[str, float]:
    """Peak memory of the published path."""
    torch.set_num_threads(1)
    adata = pc.cells(n_cells, "0.1.3", np.random.default_rng(0))
    path = pc.PublishedPath(PublishedNetwork(pc.N_GENES["0.1.3"])).eval()
    x, codes = pc.normalized(adata)
    formatted = sparse.csr_matrix(sparse.hstack([codes, x]), dtype=np.float32)
    return with_peak(lambda: pc.published(path, formatted))
