"""Figures of what :mod:`sctools.tl` wrote."""

from __future__ import annotations

from ._age_by_celltype import age_by_celltype
from ._age_clock import age_clock
from ._srsa_vae import srsa_vae
from ._training_history import training_history

__all__ = ["age_by_celltype", "age_clock", "srsa_vae", "training_history"]
