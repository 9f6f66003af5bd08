"""Networks: tensors in, tensors out. No AnnData here, no pandas."""

from __future__ import annotations

from ._age_clock_module import CLIP, AgeClockModule, ClockPart, FoldedPart
from ._gated_network import FoldedNetwork, GatedNetwork

__all__ = [
    "CLIP",
    "AgeClockModule",
    "ClockPart",
    "FoldedNetwork",
    "FoldedPart",
    "GatedNetwork",
]
