"""What users of a linear clock should know of their data."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from .._validate import listing

logger = logging.getLogger("sctools")

FEW_GENES = 5000
"""With fewer genes than these, data have been cut down, and the depth of a cell with them."""

NO_CLOCK = "(none)"
"""What stands for a clock in the table of labels where there is none."""


def warn_of_labels(table: pd.DataFrame, key: str, cell_types: Sequence[str]) -> None:
    left = table[table["used"] == NO_CLOCK]
    if len(left):
        labels = [f"{row.label!r} ({row.n_cells})" for row in left.itertuples()]
        warnings.warn(
            f"{left['n_cells'].sum()} cells are of types without a clock and get no age (NaN): "
            f"{', '.join(labels[:12])}{', …' if len(labels) > 12 else ''}. There are clocks for "
            f"{listing(cell_types)}; to place a label, make a column of `adata.obs` with these "
            f"names and pass it as `cell_type_key=` (now {key!r}).",
            UserWarning,
            stacklevel=4,
        )


def warn_of_depth(depth: np.ndarray, n_vars: int, *, log_normalized: bool) -> None:
    empty = int((depth == 0).sum())
    if empty:
        warnings.warn(
            f"{empty} cells have no counts and get no age (NaN). Consider "
            "`scanpy.pp.filter_cells`.",
            UserWarning,
            stacklevel=4,
        )
    known = depth[depth > 0]
    # After normalisation over all genes, all cells have one depth.
    uneven = log_normalized and len(known) > 0 and np.ptp(known) > 0.1 * np.median(known)
    if n_vars < FEW_GENES or uneven:
        warnings.warn(
            "These clocks expect expression relative to all genes that were measured, but "
            + (
                f"`adata` has {n_vars} genes."
                if n_vars < FEW_GENES
                else "the log-normalised values of cells add up to different depths."
            )
            + " If genes were removed, the ages are shifted: pass the whole data "
            "(`adata.raw.to_adata()` may have them).",
            UserWarning,
            stacklevel=4,
        )


def warn_of_few_cells(
    unit: np.ndarray, cell_type: np.ndarray, known: np.ndarray, size: int
) -> None:
    counts = pd.Series(cell_type[known]).groupby([unit[known], cell_type[known]]).size()
    few = int((counts < size).sum())
    if few:
        logger.warning(
            "%d of %d donors' cell types have fewer than %d cells, the size of a pseudocell; their "
            "ages are noisy.",
            few,
            len(counts),
            size,
        )
