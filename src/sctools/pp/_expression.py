"""Reading of expression values: checks, row blocks and depth normalisation, sparse throughout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from .._validate import listing

if TYPE_CHECKING:
    from anndata import AnnData

LARGEST_LOG = 30.0
"""No log1p of depth-normalised counts is larger: e^30 is 10^13."""

_PART = 2**16
"""Values that are compared at a time, so that nothing of the size of a block is made for it."""


def get_expression(adata: AnnData, layer: str | None, *, lazy: bool = False) -> Any:
    """``adata.X`` or ``adata.layers[layer]``, as stored.

    ``lazy`` lets dask arrays through, for callers that read it by :func:`row_blocks` alone.
    """
    if adata.n_obs == 0 or adata.n_vars == 0:
        raise ValueError(
            f"Expected at least one cell and one gene, found {adata.n_obs} cells × "
            f"{adata.n_vars} genes. Was `adata` filtered down to nothing?"
        )
    layers = [name for name in adata.layers if name is not None]
    if layer is None:
        if adata.X is None:
            raise ValueError(
                f"`adata.X` is empty. Name the layer with counts: `layer=` (available: "
                f"{listing(layers)})."
            )
        return _readable(adata.X, layer, lazy=lazy)
    if layer not in layers:
        raise KeyError(
            f"`layer={layer!r}` is not in `adata.layers`. Available: {listing(layers)}. "
            "`layer=None` reads `adata.X`."
        )
    return _readable(adata.layers[layer], layer, lazy=lazy)


def _readable(matrix: Any, layer: str | None, *, lazy: bool) -> Any:
    if hasattr(matrix, "dask") and not lazy:
        raise ValueError(
            "Training needs the matrix in memory or in a backed file, found a dask array. Load it "
            "first: `adata = adata.to_memory()`. A trained model takes dask arrays as they are."
        )
    if matrix.dtype.kind not in "biuf":
        raise TypeError(f"{describe(layer)} must hold numbers, found dtype {matrix.dtype}.")
    return matrix


def check_values(values: np.ndarray, *, where: str, log_normalized: bool) -> None:
    """Raise ``ValueError`` unless ``values`` are counts (or log-normalised, where declared)."""
    if values.size == 0:
        return
    if not (np.issubdtype(values.dtype, np.number) or values.dtype == bool):
        raise TypeError(f"{where} must hold numbers, found dtype {values.dtype}.")
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int((~np.isfinite(values)).sum())
        raise ValueError(
            f"{where} must be finite, found {bad} NaN or infinite values. Set or remove them first."
        )
    kind = "log1p of depth-normalised counts" if log_normalized else "counts"
    if low < 0:
        raise ValueError(
            f"{where} must hold {kind}, which are never negative; found {low:.4g}. Scaled or "
            "regressed-out data cannot be used: pass the layer that holds the counts (`layer=`)."
        )
    whole = not np.issubdtype(values.dtype, np.floating) or all(
        (part == np.floor(part)).all()
        for part in (values[i : i + _PART] for i in range(0, len(values), _PART))
    )
    if log_normalized:
        if high > LARGEST_LOG or (whole and high > 1):
            raise ValueError(
                f"`log_normalized=True` declares log1p of depth-normalised counts, but {where} "
                f"looks like counts (largest value {high:.4g}"
                f"{', all whole numbers' if whole else ''}). Leave `log_normalized=False` for "
                "counts."
            )
    elif not whole:
        fraction = values[values != np.floor(values)][0]
        raise ValueError(
            f"{where} must hold raw counts (whole numbers), found {fraction:.4g} (largest value "
            f"{high:.4g}). If the counts are in a layer, name it with `layer=`; if `adata.raw` has "
            "them, use `adata.raw.to_adata()`; if the values are log1p of depth-normalised counts, "
            "say so with `log_normalized=True`. Any other normalisation cannot be used."
        )


def row_blocks(matrix: Any, size: int) -> Iterator[tuple[int, sp.csr_matrix]]:
    """Yield ``(first row, CSR block)`` of at most ``size`` rows, in order; one block in memory.

    Takes numpy arrays, scipy sparse matrices and backed HDF5/zarr matrices alike, and dask arrays,
    of which one chunk of rows is in memory.
    """
    if hasattr(matrix, "dask"):
        first = 0
        for chunk, n_rows in enumerate(matrix.chunks[0]):
            part = matrix.blocks[chunk].compute()
            yield from ((first + start, block) for start, block in row_blocks(part, size))
            first += n_rows
        return
    if sp.issparse(matrix):
        check_structure(matrix)  # whose slices would leave out what does not fit, in silence
        if matrix.format != "csr":
            matrix = sp.csr_matrix(matrix)  # row slices of CSC cost a pass over everything, each
    for start in range(0, matrix.shape[0], size):
        rows = matrix[start : start + size]
        if rows.dtype == np.float16:  # scipy has no sparse half precision
            rows = rows.astype(np.float32)
        if not rows.dtype.isnative:  # nor one of the other byte order
            rows = rows.astype(rows.dtype.newbyteorder("="))
        block = sp.csr_matrix(rows)
        check_structure(block)
        if not block.has_canonical_format:
            block = block.copy()
            block.sum_duplicates()
        yield start, block


def check_structure(matrix: Any) -> None:
    """Raise ``ValueError`` on a damaged CSR or CSC matrix: compiled loops do not look."""
    if matrix.format not in ("csr", "csc"):
        return
    pointers, places = matrix.indptr, matrix.indices
    n_places = matrix.shape[1 if matrix.format == "csr" else 0]
    what = "columns" if matrix.format == "csr" else "rows"
    if pointers[0] != 0 or pointers[-1] > len(places) or (np.diff(pointers) < 0).any():
        raise ValueError(
            "The sparse matrix is damaged: its pointers do not ascend from 0 to the number of its "
            "values. Read or make it again."
        )
    places = places[: pointers[-1]]
    if len(places) and not 0 <= places.min() <= places.max() < n_places:
        raise ValueError(
            f"The sparse matrix is damaged: it has values in {what} {places.min()} to "
            f"{places.max()}, and {n_places} {what}. Read or make it again."
        )


def describe(layer: str | None) -> str:
    """Name of the matrix for messages."""
    return "`adata.X`" if layer is None else f"`adata.layers[{layer!r}]`"


class Normalizer:
    """Turns CSR blocks of ``adata`` into log1p values of a model's genes, scaled to a fixed depth.

    Depth is the total over the model's genes, so that further genes in ``adata`` change nothing,
    and is scaled to ``target_sum`` whatever else is in the file.

    Parameters
    ----------
    columns
        Column of every model gene in ``adata``, −1 where missing.
    n_vars
        Number of variables of ``adata``.
    target_sum
        Depth that each cell is scaled to.
    log_normalized
        The values are log1p of depth-normalised counts; they are brought to ``target_sum`` too.
    """

    def __init__(
        self, columns: np.ndarray, n_vars: int, *, target_sum: float, log_normalized: bool
    ) -> None:
        self.n_genes = len(columns)
        self.target_sum = target_sum
        self.log_normalized = log_normalized
        self._gene_of = np.full(n_vars, -1, dtype=np.int32)
        self._gene_of[columns[columns >= 0]] = np.flatnonzero(columns >= 0)

    def __call__(self, block: sp.csr_matrix) -> tuple[sp.csr_matrix, np.ndarray]:
        """Return the normalised block (cells × model genes, float32) and each cell's total."""
        from ._scaled_rows import scaled_rows  # numba takes its time to load

        return scaled_rows(
            block,
            self._gene_of,
            self.n_genes,
            target_sum=self.target_sum,
            log_normalized=self.log_normalized,
            whole_depth=False,
        )
