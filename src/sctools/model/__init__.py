"""Models in the scvi-tools protocol: set up, train, predict, save, load."""

from __future__ import annotations

from ._age_clock import AgeClock
from ._multimodal_srsa_vae import MultimodalSRSAVAE
from ._prior_transformer import PriorTransformer
from ._srsa_vae import SRSAVAE

__all__ = ["AgeClock", "MultimodalSRSAVAE", "PriorTransformer", "SRSAVAE"]  # noqa: RUF022 - a name in capitals is no constant here
