"""Tools: each trains or applies a model and writes its results into the AnnData."""

from __future__ import annotations

from ._age_acceleration import age_acceleration
from ._age_clock import age_clock
from ._compare_clocks import compare_clocks
from ._compare_priors import compare_priors
from ._prior_transformer import prior_transformer
from ._srsa_vae import srsa_vae

__all__ = [
    "age_acceleration",
    "age_clock",
    "compare_clocks",
    "compare_priors",
    "prior_transformer",
    "srsa_vae",
]
