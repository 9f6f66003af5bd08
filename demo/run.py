"""Run the age clock and SRSA-VAE on simulated data and draw the figures (`make demo`)."""

from __future__ import annotations

import time
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import scanpy as sc

import sctools

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Run the demonstration; all files go beside this script."""
    start = time.perf_counter()
    written = [*age_clock(), *srsa_vae()]
    print(f"\nDone in {time.perf_counter() - start:.0f} s. Written:")
    for path in written:
        print(f"  {HERE.name}/{path}")


def age_clock() -> list[str]:
    """Predict the age of simulated donors; returns the names of the files written."""
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
    return ["cohort.h5ad", *(f"{name}.png" for name in figures)]


def srsa_vae() -> list[str]:
    """Embed simulated blood cells from RNA and proteins; returns the names of the files written."""
    print("\nSimulating 1,500 blood cells with RNA and surface proteins", flush=True)
    adata = sctools.datasets.immune_mixture(1500, n_genes=600, rng=0)
    print("Embedding them with SRSA-VAE, 120 epochs", flush=True)
    sctools.tl.srsa_vae(
        adata,
        batch_key="batch",
        labels_key="cell_type",
        protein_key="protein_expression",
        max_epochs=120,
    )
    sc.pp.neighbors(adata, use_rep="X_srsa_vae")
    sc.tl.umap(adata)
    figures = {
        "srsa_vae_umap": sc.pl.umap(
            adata, color=["cell_type", "batch"], wspace=0.4, show=False, return_fig=True
        ),
        "srsa_vae_attention": sctools.pl.srsa_vae(adata, show=False, return_fig=True),
    }
    for name, figure in figures.items():
        figure.savefig(HERE / f"{name}.png", dpi=150, bbox_inches="tight")
    adata.write_h5ad(HERE / "immune_cells.h5ad", compression="gzip")
    return ["immune_cells.h5ad", *(f"{name}.png" for name in figures)]


if __name__ == "__main__":
    main()
