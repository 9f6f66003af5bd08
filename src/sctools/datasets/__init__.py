"""Simulated cohorts with planted truth."""

from __future__ import annotations

from ._aging_cohort import aging_cohort

__all__ = ["aging_cohort"]
