"""Weighted sums of table rows over CSR rows, on the CPU: sparse times dense, kept in the cache."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
import torch
from llvmlite import ir
from numba.extending import intrinsic

_CACHE = 384 * 1024
"""Bytes of the table that are worked on at a time; most CPUs have more second-level cache."""

# Sums may be reordered, so that they fill vector registers; NaN and infinity keep their meaning.
_FAST = {"contract", "reassoc", "arcp"}


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
    # One type each, so that few loops are compiled.
    indptr = indptr.astype(np.int64, copy=False)
    indices = indices.astype(np.int32, copy=False)
    values = values.astype(output.dtype, copy=False)
    half = table.dtype == np.float16
    kernel = _from_half if half else _from_float
    bits = table.view(np.int16) if half else table  # numba knows no float16
    step = max(1, _CACHE // max(1, table.shape[1] * table.itemsize))

    def work(first: int, last: int) -> None:
        kernel(indptr[first : last + 1], indices, values, bits, step, output[first:last])

    n_threads = min(torch.get_num_threads(), max(1, n_rows // 64))
    bounds = np.linspace(0, n_rows, n_threads + 1).astype(int)
    if n_threads == 1:
        work(0, n_rows)
    else:
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(work, bounds[:-1], bounds[1:]))


@intrinsic
def _bits_as_float(_context: Any, bits: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return numba.float32(numba.int32), generate


@intrinsic
def _half_as_float(_context: Any, bits: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return numba.float32(numba.int16), generate


@numba.njit
def _same(value):  # type: ignore[no-untyped-def]
    return value


@numba.njit
def _by_instruction(bits):  # type: ignore[no-untyped-def]
    return _half_as_float(bits)  # type: ignore[call-arg]


@numba.njit
def _by_shifting(bits):  # type: ignore[no-untyped-def]
    # Sign to bit 31, exponent and fraction to where float32 has them: 2**-112 of the value.
    wide = np.int32(np.int32(bits) << np.int32(13)) & np.int32(-1879056384)
    return _bits_as_float(wide)  # type: ignore[call-arg]


def _kernel(widen: Callable, scale: float) -> Callable:
    """Compile the loop for tables whose stored numbers times ``scale`` are ``widen(number)``."""
    factor = np.float32(scale)

    @numba.njit(fastmath=_FAST, nogil=True, error_model="numpy")
    def add(indptr, indices, values, table, step, output):  # type: ignore[no-untyped-def]
        n_rows, width = output.shape
        position = indptr[:n_rows].copy()
        for first in range(0, len(table), step):
            stop = first + step
            for i in range(n_rows):
                p, end = position[i], indptr[i + 1]
                q = p
                while q < end and indices[q] < stop:
                    q += 1
                position[i] = q
                row = output[i]
                while p + 4 <= q:  # four at a time, for fewer visits to the sums
                    v0, v1 = values[p] * factor, values[p + 1] * factor
                    v2, v3 = values[p + 2] * factor, values[p + 3] * factor
                    t0, t1 = table[np.uint32(indices[p])], table[np.uint32(indices[p + 1])]
                    t2, t3 = table[np.uint32(indices[p + 2])], table[np.uint32(indices[p + 3])]
                    for w in range(width):
                        row[w] += (v0 * widen(t0[w]) + v1 * widen(t1[w])) + (
                            v2 * widen(t2[w]) + v3 * widen(t3[w])
                        )
                    p += 4
                while p < q:
                    v0, t0 = values[p] * factor, table[np.uint32(indices[p])]
                    for w in range(width):
                        row[w] += v0 * widen(t0[w])
                    p += 1

    return add


def _has_half_instruction() -> bool:
    """Whether the CPU turns float16 into float32; where it cannot, LLVM would call a library."""
    features = llvm.get_host_cpu_features()
    return bool(features.get("f16c")) or llvm.get_process_triple().startswith(("aarch64", "arm64"))


_from_float = _kernel(_same, 1.0)
_from_half = (
    _kernel(_by_instruction, 1.0) if _has_half_instruction() else _kernel(_by_shifting, 2.0**112)
)
