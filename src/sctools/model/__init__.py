"""Models in the scvi-tools protocol: set up, train, predict, save, load."""

from __future__ import annotations

from ._age_clock import AgeClock
from ._clocks import clocks
from ._linear_clock import LinearClock
from ._load_clock import load_clock
from ._multimodal_srsa_vae import MultimodalSRSAVAE
from ._prior_transformer import PriorTransformer
from ._published_clock import PublishedClock
from ._srsa_vae import SRSAVAE

__all__ = [  # noqa: RUF022 - a name in capitals is no constant here
    "AgeClock",
    "LinearClock",
    "MultimodalSRSAVAE",
    "PriorTransformer",
    "PublishedClock",
    "SRSAVAE",
    "clocks",
    "load_clock",
]
