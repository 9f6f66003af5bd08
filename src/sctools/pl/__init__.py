"""Figures of what :mod:`sctools.tl` wrote."""

from __future__ import annotations

from ._age_acceleration import age_acceleration
from ._age_by_celltype import age_by_celltype
from ._age_clock import age_clock
from ._age_genes import age_genes
from ._attention_network import attention_network
from ._calibration import calibration
from ._compare_clocks import compare_clocks
from ._compare_priors import compare_priors
from ._confusion import confusion
from ._prior_coverage import prior_coverage
from ._prior_transformer import prior_transformer
from ._srsa_vae import srsa_vae
from ._tf_dotplot import tf_dotplot
from ._training_history import training_history

__all__ = [
    "age_acceleration",
    "age_by_celltype",
    "age_clock",
    "age_genes",
    "attention_network",
    "calibration",
    "compare_clocks",
    "compare_priors",
    "confusion",
    "prior_coverage",
    "prior_transformer",
    "srsa_vae",
    "tf_dotplot",
    "training_history",
]
