"""Compare latent spaces of SRSA-VAE, scVI, LDVAE, totalVI and PCA by clustering.

Run from the repository root, for example::

    python benchmarks/clustering.py --data all
    python benchmarks/clustering.py --data pbmc3k --methods scvi pca srsa --seeds 2
    python benchmarks/clustering.py --table
    python benchmarks/clustering.py --kang
    python benchmarks/clustering.py --speed --data pbmc4k

All methods of a set see the same genes and counts, and every VAE trains for the same epochs; the
scores are those of ``_clustering_protocol.py``. Each finished set, method and seed is added to the
raw file at once, and rows that are there already are not computed again (``--redo`` does), so a run
that was cut off goes on where it stopped. Tables and figure come from the raw rows with the same
settings. Seconds (CPU, one thread) are given as ratios to scVI's (CBMC: totalVI's) of the same
process. Real data are read from ``SCTOOLS_TEST_DATA`` (default ``../shared/data`` beside the
repository) and skipped where absent. Leiden needs the ``test`` or ``doc`` extra.
"""

# ruff: noqa: E402 - the number of threads is fixed before any library starts them
from __future__ import annotations

import os

for _variable in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
    os.environ[f"{_variable}_NUM_THREADS"] = "1"

import argparse
import datetime
import logging
import warnings
from pathlib import Path

import pandas as pd
import scvi
import torch
from _clustering_data import CITE, CONFIRMATION, KANG, RNA, TUNING, Dataset, load
from _clustering_methods import BATCH_METHODS, CITE_METHODS, METHODS, RNA_METHODS, Settings
from _clustering_protocol import score, score_batches
from _clustering_rows import KEY, append_row, described, read_rows
from _clustering_speed import show_speed, speed
from _clustering_tables import figure, paired, show_paired, show_summary, summary
from _machine import machine

RESULTS = Path(__file__).parent / "results"
FIGURE = Path(__file__).parents[1] / "docs" / "_static" / "clustering.png"


def methods_of(data: str, chosen: list[str] | None) -> list[str]:
    """Methods of a set, in registered order, reduced to the chosen ones."""
    known = CITE_METHODS if data == CITE else RNA_METHODS
    if chosen is None:
        return [name for name in known if data != KANG or name in BATCH_METHODS]
    return [name for name in known if name in chosen]


def compute(dataset: Dataset, method: str, seed: int, settings: Settings) -> dict:
    """One row: fit, encode, score."""
    fit = METHODS[method].fit(dataset.adata, settings, seed)
    latent, labels = fit.latent[dataset.scored], dataset.labels[dataset.scored]
    scores = score(latent, labels, seed)
    if dataset.batch is not None:
        scores |= score_batches(latent, labels, dataset.batch[dataset.scored])
    return {
        "data": dataset.name,
        "method": method,
        "seed": seed,
        "n_cells": len(labels),
        "epochs": fit.epochs,
        "seconds_training": fit.seconds_training,
        "seconds_encoding": fit.seconds_encoding,
        **described(settings),
        **scores,
    }


def run(
    sets: list[str],
    methods: list[str] | None,
    n_seeds: int,
    settings: Settings,
    path: Path,
    *,
    redo: bool,
) -> None:
    """Compute what is missing, and add each row as soon as it is there."""
    started = f"{datetime.datetime.now():%Y-%m-%dT%H:%M:%S}-{os.getpid()}"
    done = set() if redo else set(read_rows(path, settings)[KEY].itertuples(index=False, name=None))
    for data in sets:
        missing = [
            (method, seed)
            for seed in range(n_seeds)
            for method in methods_of(data, methods)
            if (data, method, seed) not in done
        ]
        dataset = load(data, settings.n_genes) if missing else None
        if dataset is None:
            continue
        for method, seed in missing:
            row = compute(dataset, method, seed, settings)
            append_row(path, row | {"run": started})
            print(
                f"{data} {method} seed {seed}: ARI k-means {row['kmeans_ari']:.3f}, Leiden "
                f"{row['leiden_ari']:.3f} (resolution {row['leiden_resolution']}, "
                f"{row['leiden_clusters']} clusters), Leiden 0.5 {row['leiden05_ari']:.3f}",
                flush=True,
            )


def report(rows: pd.DataFrame, results: Path, stem: str, figure_path: Path | None) -> None:
    """Print the tables and write them, and the figure."""
    if rows.empty:
        print("No rows with these settings yet.")
        return
    results.mkdir(parents=True, exist_ok=True)
    written = [results / f"{stem}.csv"]
    table = summary(rows)
    print()
    show_summary(table)
    table.to_csv(written[0], index=False, float_format="%.4f")
    differences = paired(rows)
    if len(differences):
        show_paired(differences)
        written.append(results / f"{stem}_paired.csv")
        differences.to_csv(written[-1], index=False, float_format="%.4f")
    if figure_path is not None:
        figure(table, figure_path)
        written.append(figure_path)
    print("wrote " + ", ".join(map(str, written)))


def quieten() -> None:
    """Keep scvi-tools' and Lightning's remarks out of the tables."""
    scvi.settings.verbosity = logging.ERROR
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for module in ("scvi", "lightning", "sklearn"):
        warnings.filterwarnings("ignore", module=module)


def parse() -> argparse.Namespace:
    """Read the command line."""
    groups = {"all": [*RNA, CITE], "rna": RNA, "tuning": TUNING, "confirmation": CONFIRMATION}
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", nargs="+", choices=[*RNA, CITE, *groups], help="default: all")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), help="default: all")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default 5)")
    parser.add_argument("--table", action="store_true", help="only print and write the tables")
    parser.add_argument("--kang", action="store_true", help="batches: donors and conditions")
    parser.add_argument("--speed", action="store_true", help="SRSA-VAE and scVI taking turns")
    parser.add_argument("--redo", action="store_true", help="compute rows again that are there")
    defaults = Settings()
    parser.add_argument("--n-genes", type=int, default=defaults.n_genes)
    parser.add_argument("--max-epochs", type=int, default=defaults.max_epochs)
    parser.add_argument("--batch-size", type=int, default=defaults.batch_size)
    parser.add_argument("--n-latent", type=int, help="of every VAE (default: each one's own)")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="folder of raw rows and tables"
    )
    parser.add_argument("--figure", type=Path, default=FIGURE)
    arguments = parser.parse_args()
    named = arguments.data or (["pbmc4k"] if arguments.speed else ["all"])
    arguments.data = list(dict.fromkeys(d for name in named for d in groups.get(name, [name])))
    return arguments


def main() -> None:
    """Parse the command line and run."""
    arguments = parse()
    torch.set_num_threads(1)
    quieten()
    settings = Settings(
        arguments.n_genes, arguments.max_epochs, arguments.batch_size, arguments.n_latent
    )
    results = arguments.results
    described = machine(packages=("torch", "scvi-tools"))
    print(f"{datetime.date.today()}: {described}\n{settings}\n", flush=True)
    if arguments.speed:
        datasets = [d for name in arguments.data if (d := load(name, settings.n_genes)) is not None]
        if datasets:
            table = pd.concat([speed(d, settings) for d in datasets], ignore_index=True)
            show_speed(table)
            results.mkdir(parents=True, exist_ok=True)
            table.to_csv(results / "clustering_speed.csv", index=False, float_format="%.4f")
        return
    sets = [KANG] if arguments.kang else arguments.data
    raw = results / "clustering_runs.csv"
    if not arguments.table:
        run(sets, arguments.methods, arguments.seeds, settings, raw, redo=arguments.redo)
    rows = read_rows(raw, settings)
    is_kang = rows["data"] == KANG
    if arguments.kang:
        report(rows[is_kang], results, "clustering_kang", None)
    else:
        report(rows[~is_kang], results, "clustering", arguments.figure)


if __name__ == "__main__":
    main()
