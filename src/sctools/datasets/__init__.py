"""Simulated cohorts and cell mixtures with planted truth."""

from __future__ import annotations

from ._aging_cohort import aging_cohort
from ._immune_mixture import immune_mixture
from ._regulated_cells import regulated_cells

__all__ = ["aging_cohort", "immune_mixture", "regulated_cells"]
