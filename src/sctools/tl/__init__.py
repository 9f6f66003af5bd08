"""Tools: each trains or applies a model and writes its results into the AnnData."""

from __future__ import annotations

from ._age_clock import age_clock
from ._srsa_vae import srsa_vae

__all__ = ["age_clock", "srsa_vae"]
