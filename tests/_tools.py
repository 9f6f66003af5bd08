"""The tools that train, each with small data and quick settings."""

from __future__ import annotations

from typing import Any

from anndata import AnnData

from sctools import tl

from . import _clocks, _priors, _vaes

NAMES = ("age_clock", "attention_clock", "srsa_vae", "multimodal_srsa_vae", "prior_transformer")

TRAINS_EPOCHS = ("srsa_vae", "multimodal_srsa_vae", "prior_transformer")
"""Those that keep their state after every epoch; the others after every fold."""


def data(name: str) -> AnnData:
    """Cells of one's own."""
    if name.endswith("clock"):
        return _clocks.small_cohort()
    return _priors.cells(n_batches=4) if name == "prior_transformer" else _vaes.cells()


def run(name: str, adata: AnnData, **kwargs: Any) -> Any:
    """Train on the cells, and write the result to them."""
    settings: dict[str, Any] = {
        "age_clock": _clocks.QUICK,
        "attention_clock": {
            "method": "donor_attention",
            "n_folds": 3,
            "model_kwargs": {"n_clusters": [2], "n_components": 4},
        },
        "srsa_vae": {**_vaes.QUICK, "max_epochs": 4},
        "multimodal_srsa_vae": {
            **_vaes.QUICK_PROTEIN,
            "protein_key": _vaes.PROTEINS,
            "max_epochs": 4,
        },
        "prior_transformer": {
            "labels_key": "cell_type",
            "net": "prior",
            "batch_key": "batch",
            **_priors.QUICK,
        },
    }[name]
    function = {
        "age_clock": tl.age_clock,
        "attention_clock": tl.age_clock,
        "srsa_vae": tl.srsa_vae,
        "multimodal_srsa_vae": tl.srsa_vae,
        "prior_transformer": tl.prior_transformer,
    }[name]
    return function(adata, progress_bar=False, **{**settings, **kwargs})
