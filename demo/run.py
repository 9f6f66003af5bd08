"""Simulate a cohort, run the age clock on it and draw the figures (`make demo`)."""

from __future__ import annotations

import time
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import sctools

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Run the demonstration; all files go beside this script."""
    start = time.perf_counter()
    print("Simulating 60 donors aged 20 to 90, three cell types each", flush=True)
    adata = sctools.datasets.aging_cohort(n_donors=60, rng=0)
    print(f"{adata.n_obs:,} cells, {adata.n_vars:,} genes", flush=True)

    print("Running the age clock: each donor is predicted by a model that never saw it", flush=True)
    sctools.tl.age_clock(adata)

    figures = {
        "age_clock": sctools.pl.age_clock,
        "age_by_celltype": sctools.pl.age_by_celltype,
        "training_history": sctools.pl.training_history,
    }
    for name, plot in figures.items():
        figure = plot(adata, show=False, return_fig=True)
        figure.savefig(HERE / f"{name}.png", dpi=150, bbox_inches="tight")
    adata.write_h5ad(HERE / "cohort.h5ad", compression="gzip")

    donors = sctools.get.donor_age_df(adata)
    print("\nDonors, with the predictions of models that never saw them:\n")
    print(donors.to_string(float_format="{:.1f}".format))

    result = adata.uns["age_clock"]
    metrics = result["metrics"]["donor"]
    verdict = "beats" if result["metrics"]["beats_mean"] else "does not beat"
    print(
        f"\nMean absolute error over {metrics['n']} donors: {metrics['mae']:.1f} "
        f"{result['age_unit']}, against {metrics['mae_mean']:.1f} for the mean age: "
        f"the clock {verdict} the mean."
    )
    print(f"\nDone in {time.perf_counter() - start:.0f} s. Written:")
    for path in ["cohort.h5ad", *(f"{name}.png" for name in figures)]:
        print(f"  {HERE.name}/{path}")


if __name__ == "__main__":
    main()
