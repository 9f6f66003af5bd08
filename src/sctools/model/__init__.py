"""Models in the scvi-tools protocol: set up, train, predict, save, load."""

from __future__ import annotations

from ._age_clock import AgeClock

__all__ = ["AgeClock"]
