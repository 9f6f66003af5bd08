"""Networks: tensors in, tensors out. No AnnData here, no pandas."""

from __future__ import annotations

from ._age_clock_module import CLIP, AgeClockModule, ClockPart, FoldedPart
from ._edge_index import KINDS, EdgeIndex
from ._gated_network import FoldedNetwork, GatedNetwork
from ._multimodal_srsa_vae_module import MultimodalSRSAVAEModule
from ._prior_transformer_module import PriorTransformerModule
from ._published_network import FoldedPublishedNetwork, Precision, PublishedNetwork
from ._published_rows import TrainablePublishedNetwork
from ._residual_attention import ATTENTION, RESIDUAL
from ._srsa_parts import DEPTH
from ._srsa_vae_module import SRSAVAEModule

__all__ = [
    "ATTENTION",
    "CLIP",
    "DEPTH",
    "KINDS",
    "RESIDUAL",
    "AgeClockModule",
    "ClockPart",
    "EdgeIndex",
    "FoldedNetwork",
    "FoldedPart",
    "FoldedPublishedNetwork",
    "GatedNetwork",
    "MultimodalSRSAVAEModule",
    "Precision",
    "PriorTransformerModule",
    "PublishedNetwork",
    "SRSAVAEModule",
    "TrainablePublishedNetwork",
]
