"""Weighted sums of table rows over CSR rows, on the CPU: sparse times dense, kept in the cache."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import llvmlite.binding as llvm
import numba
import numpy as np
import torch

from ._row_sums_loops import by_instruction, by_shifting, entries_loop, fetch, same

_CACHE = 256 * 1024
"""Bytes of the table that are worked on at a time; most CPUs have more second-level cache."""

ROW_BYTES = 512
"""Bytes of a table's row with which sums are fastest: a wider table is better given in parts.

Then many rows of the table and the sums of many rows are in the cache together.
"""

_REGISTERS, _REGISTER = 256, 64
"""Bytes of a row's sum that are worked on at a time: half of what vector registers hold, and fewer
for the columns left over."""

_ROWS = 512
"""Rows that are worked on at a time, so that their sums do not go to memory and back."""

_LINE = 64
"""Bytes that come from memory at a time."""

_MANY = 64
"""Rows from which on nearly all of the table is needed, so that it is fetched ahead."""


def add_row_sums(
    output: np.ndarray,
    indptr: np.ndarray,
    indices: np.ndarray,
    values: np.ndarray,
    table: np.ndarray,
) -> None:
    """Add ``csr @ table`` to ``output``.

    A row's sum is the same whichever other rows there are. Indices may stand in any order, and the
    sums are fastest where they ascend within a row. As many threads work as torch uses.

    Parameters
    ----------
    output
        Added to, rows × width, C-contiguous; float32, or float64 where the table is.
    indptr, indices, values
        The CSR matrix, rows × entries; values of the output's type.
    table
        Dense, entries × width, C-contiguous; float16, float32 or float64.
    """
    n_rows = len(indptr) - 1
    if not (output.flags.c_contiguous and table.flags.c_contiguous):
        raise ValueError("Expected `output` and `table` in C order, found them in another.")
    # One type each, so that few loops are compiled.
    indptr = np.ascontiguousarray(indptr, dtype=np.int64)
    indices = np.ascontiguousarray(indices, dtype=np.int32)
    values = np.ascontiguousarray(values, dtype=output.dtype)
    half = table.dtype == np.float16
    kernel = _from_half if half else _from_float
    bits = table.view(np.int16) if half else table  # numba knows no float16
    step = max(1, _CACHE // max(1, table.shape[1] * table.itemsize))

    def work(first: int, last: int) -> None:
        for start in range(first, last, _ROWS):
            stop = min(start + _ROWS, last)
            kernel(indptr[start : stop + 1], indices, values, bits, step, output[start:stop])

    n_threads = min(torch.get_num_threads(), max(1, n_rows // 64))
    bounds = np.linspace(0, n_rows, n_threads + 1).astype(int)
    if n_threads == 1:
        work(0, n_rows)
    else:
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(work, bounds[:-1], bounds[1:]))


def _kernel(widen: Callable, scale: float) -> Callable:
    """Compile the loop for tables whose stored numbers times ``scale`` are the widened ones."""
    factor = np.float32(scale)
    many, some, one = (entries_loop(widen, size) for size in (_REGISTERS, _REGISTER, 0))

    @numba.njit(nogil=True, error_model="numpy")
    def add(indptr, indices, values, table, step, output):  # type: ignore[no-untyped-def]
        n_rows, width = output.shape
        columns, fewer = _REGISTERS // output.itemsize, _REGISTER // output.itemsize
        whole, nearly = width - width % columns, width - width % fewer
        per_line = max(1, _LINE // table.itemsize)
        each = step // n_rows + 1 if n_rows >= _MANY else 0
        position = indptr[:n_rows].copy()
        for first in range(0, len(table), step):
            stop = min(first + step, len(table))
            ahead, ahead_stop = stop, min(stop + step, len(table))
            for i in range(n_rows):
                for j in range(ahead, min(ahead + each, ahead_stop)):
                    for w in range(0, width, per_line):
                        fetch(table, j, w)  # type: ignore[call-arg]
                ahead += each
                p, end = position[i], indptr[i + 1]
                q = p
                while q + 8 <= end and indices[q + 7] < stop:
                    q += 8
                while q < end and indices[q] < stop:
                    q += 1
                position[i] = q
                for w in range(0, whole, columns):
                    many(output, table, indices, values, factor, i, w, p, q)
                for w in range(whole, nearly, fewer):
                    some(output, table, indices, values, factor, i, w, p, q)
                for w in range(nearly, width):
                    one(output, table, indices, values, factor, i, w, p, q)

    return add


def _has_half_instruction() -> bool:
    """Whether the CPU turns float16 into float32; where it cannot, LLVM would call a library."""
    features = llvm.get_host_cpu_features()
    return bool(features.get("f16c")) or llvm.get_process_triple().startswith(("aarch64", "arm64"))


_from_float = _kernel(same, 1.0)
_from_half = (
    _kernel(by_instruction, 1.0) if _has_half_instruction() else _kernel(by_shifting, 2.0**112)
)
