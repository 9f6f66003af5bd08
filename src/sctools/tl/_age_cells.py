"""Cells as the clock methods see them, from an AnnData."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._validate import check_obs_key
from ..pp._categories import as_labels
from ..pp._clock_input import READ_ROWS, ClockInput
from ..pp._cohort import Cohort, read_ages, read_cohort
from ..pp._expression import Normalizer, row_blocks
from ._age_cross_fit import _light_copy

if TYPE_CHECKING:
    from anndata import AnnData

    from ..model._clock_methods import ClockCells

TARGET_SUM = 1e4
"""Depth of a cell in counts, as the clock's default."""


def read_clock_cells(adata: AnnData, names: ClockInput) -> tuple[ClockCells, Cohort]:
    """Check and normalise the cells; ``adata`` is only read.

    Parameters
    ----------
    adata
        Annotated data.
    names
        What to read; its covariates are left out.

    Returns
    -------
    Cells of all donors, those without an age too (NaN), in the order of ``adata``, and the donors
    or samples that they belong to.
    """
    from scipy import sparse

    from ..model._clock_methods import ClockCells

    keys = {name: getattr(names, name) for name in ("age_key", "donor_key")}
    keys |= {name: getattr(names, name) for name in ("sample_key", "cell_type_key")}
    for argument, key in keys.items():
        if key is not None or argument in ("age_key", "donor_key"):
            check_obs_key(adata, key, argument=argument)
    work = _light_copy(adata, list(keys.values()), names.layer)
    work.obs[names.age_key] = read_ages(work, names.age_key)
    names._replace(layer=None).check(work)
    cohort = read_cohort(
        work, age_key=names.age_key, donor_key=names.donor_key, sample_key=names.sample_key
    )
    normalize = Normalizer(
        np.arange(work.n_vars),
        work.n_vars,
        target_sum=TARGET_SUM,
        log_normalized=names.log_normalized,
    )
    blocks = [normalize(block)[0] for _, block in row_blocks(work.X, READ_ROWS)]
    labels = None
    if names.cell_type_key is not None:
        labels = as_labels(work.obs[names.cell_type_key]).to_numpy(dtype=object)
    x = sparse.vstack(blocks, format="csr")
    return ClockCells(x, cohort.unit, labels, cohort.donor, cohort.age), cohort
