"""Every name that sctools writes into AnnData; writers and readers import it from here."""

from __future__ import annotations

from typing import NamedTuple

AGE_CLOCK = "age_clock"
AGE_ACCELERATION = "age_acceleration"
SRSA_VAE = "srsa_vae"
PRIOR_TRANSFORMER = "prior_transformer"
PRIOR_COMPARISON = "compare_priors"
CLOCK_COMPARISON = "compare_clocks"
PRIOR_NETWORK = "prior_network"


class AgeClockKeys(NamedTuple):
    """Names written by :func:`sctools.tl.age_clock` for one ``key_added``."""

    uns: str
    predicted: str
    lower: str
    upper: str
    acceleration: str
    fold: str
    weight: str

    @classmethod
    def of(cls, key: str = AGE_CLOCK) -> AgeClockKeys:
        """Build the names that belong to ``key``."""
        return cls(
            uns=key,
            predicted=key,
            lower=f"{key}_lower",
            upper=f"{key}_upper",
            acceleration=f"{key}_acceleration",
            fold=f"{key}_fold",
            weight=f"{key}_weight",
        )


class AgeAccelerationKeys(NamedTuple):
    """Names written by :func:`sctools.tl.age_acceleration` for one ``key_added``."""

    uns: str
    acceleration: str

    @classmethod
    def of(cls, key: str = AGE_ACCELERATION) -> AgeAccelerationKeys:
        """Build the names that belong to ``key``."""
        return cls(uns=key, acceleration=key)


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


class PriorKeys(NamedTuple):
    """Names written by :func:`sctools.tl.prior_transformer` for one ``key_added``."""

    uns: str
    prediction: str
    confidence: str
    typicality: str
    split: str
    latent: str
    proba: str
    tf: str

    @classmethod
    def of(cls, key: str = PRIOR_TRANSFORMER) -> PriorKeys:
        """Build the names that belong to ``key``."""
        return cls(
            uns=key,
            prediction=key,
            confidence=f"{key}_confidence",
            typicality=f"{key}_typicality",
            split=f"{key}_split",
            latent=f"X_{key}",
            proba=f"{key}_proba",
            tf=f"{key}_tf",
        )
