"""What users of a linear clock should know of their data."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._validate import listing

if TYPE_CHECKING:
    from ..pp._match_genes import GeneMatch

logger = logging.getLogger("sctools")

FEW_GENES = 5000
"""With fewer genes than these, data have been cut down, and the depth of a cell with them; unless
the clock knows how many there were in its training."""

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


def warn_of_genes(match: GeneMatch, coefficients: pd.DataFrame) -> None:
    """Warn of missing genes; ``coefficients`` are those of the cell types that are there."""
    if match.n_found == match.n_genes:
        return
    found = match.columns >= 0
    shares = [
        f"{name} {found[used].mean():.1%} of {used.sum()}"
        for name, used in (coefficients != 0).items()
    ]
    warnings.warn(
        f"{match.n_genes - match.n_found} of the clock's {match.n_genes} genes are missing "
        f"({listing(match.missing, 3)}) and count as not expressed, which shifts the ages. Found: "
        f"{', '.join(shares)}.",
        UserWarning,
        stacklevel=4,
    )


def warn_of_depth(
    depth: np.ndarray, n_vars: int, n_measured: int | None, *, log_normalized: bool
) -> None:
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
    few = n_vars < (n_measured or FEW_GENES)
    if few or uneven:
        trained = "" if n_measured is None else f" and the clock was trained on {n_measured:,}"
        warnings.warn(
            "These clocks expect expression relative to all genes that were measured, but "
            + (
                f"`adata` has {n_vars} genes{trained}."
                if few
                else "the log-normalised values of cells add up to different depths."
            )
            + " If genes were removed, the ages are shifted: pass the whole data "
            "(`adata.raw.to_adata()` may have them)."
            + (
                " If not, tell the clock how many there were in its training (`n_measured=`)."
                if few and n_measured is None
                else ""
            ),
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
