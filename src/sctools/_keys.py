"""Every ``obs`` and ``uns`` name that sctools writes; writers and readers import it from here."""

from __future__ import annotations

from typing import NamedTuple

AGE_CLOCK = "age_clock"


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
