"""One AnnData on which all tools have run, as in a workflow that uses them together."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from sctools import datasets, get, pl, pp, tl

CLOCK: dict[str, Any] = {
    "n_folds": 2,
    "model_kwargs": {"n_repeats": 1, "n_inner_folds": 2, "n_hidden": 8, "head": (4,)},
    "train_kwargs": {"max_epochs": 2},
}
VAE: dict[str, Any] = {
    "max_epochs": 2,
    "n_latent": 5,
    "model_kwargs": {"n_hidden": 16, "n_tokens": 6, "n_components": 3},
}
PRIOR: dict[str, Any] = {
    "max_epochs": 2,
    "min_confidence": 0.0,
    "min_typicality": 0.0,
    "model_kwargs": {"n_hidden": 8, "n_heads": 2},
    "train_kwargs": {"batch_size": 16},
}

WRITTEN = {
    "obs": (
        "age_clock", "age_clock_lower", "age_clock_upper", "age_clock_acceleration",
        "age_clock_fold", "age_acceleration", "srsa_vae", "prior_transformer",
        "prior_transformer_confidence", "prior_transformer_typicality", "prior_transformer_split",
    ),
    "obsm": (
        "X_srsa_vae", "X_srsa_vae_attention", "X_prior_transformer", "prior_transformer_proba",
        "prior_transformer_tf",
    ),
    "uns": (
        "age_clock", "age_acceleration", "srsa_vae", "prior_transformer", "prior_network",
        "compare_clocks", "compare_priors",
    ),
}  # fmt: skip
"""What the tools wrote."""

TABLES: dict[str, Callable[[AnnData], pd.DataFrame]] = {
    "age_df": get.age_df,
    "donor_age_df": get.donor_age_df,
    "donor_age_df by type": lambda adata: get.donor_age_df(adata, groupby="cell_type"),
    "age_genes_df": get.age_genes_df,
    "age_acceleration_df": get.age_acceleration_df,
    "attention_df": get.attention_df,
}

FIGURES: dict[str, Callable[..., Any]] = {
    "age_clock": pl.age_clock,
    "age_by_celltype": pl.age_by_celltype,
    "age_acceleration": pl.age_acceleration,
    "age_genes": pl.age_genes,
    "compare_clocks": pl.compare_clocks,
    "srsa_vae": pl.srsa_vae,
    "training_history": pl.training_history,
    "prior_transformer": pl.prior_transformer,
    "attention_network": functools.partial(pl.attention_network, group="T cell"),
    "tf_dotplot": pl.tf_dotplot,
    "confusion": functools.partial(pl.confusion, split="all"),
    "calibration": functools.partial(pl.calibration, split="all"),
    "prior_coverage": pl.prior_coverage,
    "compare_priors": pl.compare_priors,
}


def cohort() -> AnnData:
    """Cells of few donors, with a network of regulation."""
    adata = datasets.aging_cohort(
        14, n_genes=60, cells_per_donor=9, n_age_genes=20, n_marker_genes=5, n_sex_genes=4,
        effect_size=0.4, donor_sd=0.05, group_acceleration=10, rng=0,
    )  # fmt: skip
    rng, names = np.random.default_rng(0), adata.var_names.to_numpy()
    net = pd.DataFrame(
        {"source": np.repeat(names[:6], 8), "target": rng.choice(names[6:], 48), "weight": 1.0}
    )
    adata.uns = {"age_unit": "years", "prior": net.drop_duplicates(["source", "target"])}
    return adata


@functools.cache
def _composed() -> tuple[AnnData, dict[str, Any]]:
    adata = cohort()
    models = {
        "age_clock": tl.age_clock(adata, **CLOCK, return_model=True),
        "srsa_vae": tl.srsa_vae(adata, labels_key="cell_type", **VAE, return_model=True),
        "prior_transformer": tl.prior_transformer(
            adata, "cell_type", "prior", **PRIOR, return_model=True
        ),
    }
    tl.age_acceleration(adata, "group", reference="control")
    tl.compare_clocks(adata, ["ridge"], n_folds=2, n_bootstrap=5)
    pp.prior_network(adata, "prior")
    quick = {"model_kwargs": PRIOR["model_kwargs"], "train_kwargs": {"max_epochs": 1}}
    shares = {"label_fractions": [1.0], "n_splits": 1, "modes": ["hard", "logistic regression"]}
    tl.compare_priors(adata, "cell_type", "prior", **shares, **quick)
    adata.obsm["X_umap"] = np.random.default_rng(0).normal(size=(adata.n_obs, 2))
    return adata, models


def composed() -> AnnData:
    """Cells with all results, of one's own."""
    return _composed()[0].copy()


def models() -> dict[str, Any]:
    """The models that made them."""
    return _composed()[1]
