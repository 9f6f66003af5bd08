"""Run the three methods on simulated data and draw the figures (`make demo`)."""

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
    written = [*age_clock(), *srsa_vae(), *prior_transformer()]
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


def prior_transformer() -> list[str]:
    """Learn simulated cell types along a network; returns the names of the files written."""
    print("\nSimulating 1,000 cells whose types differ by their active regulators", flush=True)
    cells = sctools.datasets.regulated_cells(
        1000, n_genes=300, effect_size=0.7, mrna_correlation=0.9, rng=0
    )
    first = (cells.obs["batch"] == "batch1").to_numpy()
    known, adata = cells[first].copy(), cells[~first].copy()
    print("Training the prior transformer on one batch, 30 epochs", flush=True)
    model = sctools.tl.prior_transformer(
        known, "cell_type", cells.uns["prior"], max_epochs=30, return_model=True
    )
    print("Applying it to the other batch", flush=True)
    sctools.tl.prior_transformer(adata, "cell_type", model=model)

    figures = {
        "prior_transformer_confusion": sctools.pl.confusion(adata, show=False, return_fig=True),
        "prior_transformer_lift": sctools.pl.prior_transformer(adata, show=False, return_fig=True),
        "prior_transformer_network": sctools.pl.attention_network(
            adata, "type1", show=False, return_fig=True
        ),
    }
    for name, figure in figures.items():
        figure.savefig(HERE / f"{name}.png", dpi=150, bbox_inches="tight")
    adata.write_h5ad(HERE / "regulated_cells.h5ad", compression="gzip")

    answer = adata.obs["prior_transformer"].astype(str)
    unknown = answer == "Unknown"
    right = answer[~unknown] == adata.obs["cell_type"].astype(str)[~unknown]
    print(
        f"\nOf {adata.n_obs:,} cells of the other batch, {unknown.mean():.1%} are answered "
        f'"Unknown"; of the others {right.mean():.1%} get their type.'
    )
    return ["regulated_cells.h5ad", *(f"{name}.png" for name in figures)]


if __name__ == "__main__":
    main()
