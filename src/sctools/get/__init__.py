"""Tidy data frames out of what :mod:`sctools.tl` wrote."""

from __future__ import annotations

from ._age_acceleration_df import age_acceleration_df
from ._age_df import age_df
from ._age_genes_df import age_genes_df
from ._attention_df import attention_df
from ._donor_age_df import donor_age_df

__all__ = ["age_acceleration_df", "age_df", "age_genes_df", "attention_df", "donor_age_df"]
