"""What an age clock reads from an AnnData to train on, and the checks of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .._validate import check_obs_key
from ._categories import as_labels
from ._cohort import check_trainable, read_cohort
from ._expression import check_values, describe, get_expression, row_blocks
from ._match_genes import check_unique_genes

if TYPE_CHECKING:
    from anndata import AnnData

READ_ROWS = 4096
"""Rows of a matrix that are worked on at a time."""


class ClockInput(NamedTuple):
    """Names of what a clock is trained on; see :meth:`sctools.model.AgeClock.setup_anndata`."""

    age_key: str
    donor_key: str
    sample_key: str | None
    cell_type_key: str | None
    covariate_keys: list[str]
    layer: str | None
    log_normalized: bool

    def check(self, adata: AnnData) -> None:
        """Raise on anything a clock cannot be trained on; ``adata`` is only read."""
        check_unique_genes(adata)
        matrix = get_expression(adata, self.layer)
        covariates = [(key, "covariate_keys") for key in self.covariate_keys]
        if self.cell_type_key is not None:
            covariates.append((self.cell_type_key, "cell_type_key"))
        for key, argument in covariates:
            check_obs_key(adata, key, argument=argument)
            as_labels(adata.obs[key])
        for _, block in row_blocks(matrix, READ_ROWS):
            check_values(block.data, where=describe(self.layer), log_normalized=self.log_normalized)
        cohort = read_cohort(
            adata, age_key=self.age_key, donor_key=self.donor_key, sample_key=self.sample_key
        )
        check_trainable(cohort, self.age_key)
