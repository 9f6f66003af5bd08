"""Every name that sctools writes into AnnData; writers and readers import it from here."""

from __future__ import annotations

from typing import NamedTuple

AGE_CLOCK = "age_clock"
SRSA_VAE = "srsa_vae"


class AgeClockKeys(NamedTuple):
    """Names written by :func:`sctools.tl.age_clock` for one ``key_added``."""

    uns: str
    predicted: str
    acceleration: str
    fold: str

    @classmethod
    def of(cls, key: str = AGE_CLOCK) -> AgeClockKeys:
        """Build the names that belong to ``key``."""
        return cls(uns=key, predicted=key, acceleration=f"{key}_acceleration", fold=f"{key}_fold")


class SRSAVAEKeys(NamedTuple):
    """Names written by :func:`sctools.tl.srsa_vae` for one ``key_added``."""

    uns: str
    latent: str
    attention: str
    component: str

    @classmethod
    def of(cls, key: str = SRSA_VAE) -> SRSAVAEKeys:
        """Build the names that belong to ``key``."""
        return cls(uns=key, latent=f"X_{key}", attention=f"X_{key}_attention", component=key)
