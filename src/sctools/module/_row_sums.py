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
from numba.core import types
from numba.extending import intrinsic

_CACHE = 256 * 1024
"""Bytes of the table that are worked on at a time; most CPUs have more second-level cache."""

ROW_BYTES = 512
"""Bytes of a table's row with which sums are fastest: a wider table is better given in parts.

Then many rows of the table and the sums of many rows are in the cache together.
"""

_REGISTERS = 256
"""Bytes of a row's sum that are worked on at a time: half of what vector registers hold."""

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
    # One type each, so that few loops are compiled.
    indptr = indptr.astype(np.int64, copy=False)
    indices = indices.astype(np.int32, copy=False)
    values = values.astype(output.dtype, copy=False)
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


# How stored numbers become those of the sums: builder, vector of them and its length -> vector.


def _same(_: ir.IRBuilder, stored: Any, __: int) -> Any:
    return stored


def _by_instruction(builder: ir.IRBuilder, stored: Any, lanes: int) -> Any:
    halves = builder.bitcast(stored, ir.VectorType(ir.HalfType(), lanes))
    return builder.fpext(halves, ir.VectorType(ir.FloatType(), lanes))


def _by_shifting(builder: ir.IRBuilder, stored: Any, lanes: int) -> Any:
    # Sign to bit 31, exponent and fraction to where float32 has them: 2**-112 of the value.
    integers = ir.VectorType(ir.IntType(32), lanes)
    shift, mask = (ir.Constant(integers, [number] * lanes) for number in (13, -1879056384))
    bits = builder.and_(builder.shl(builder.sext(stored, integers), shift), mask)
    return builder.bitcast(bits, ir.VectorType(ir.FloatType(), lanes))


def _entries(widen: Callable, size: int) -> Callable:
    """Make the loop over entries of a row: adds their sum for some columns to the output.

    Written for LLVM itself: numba has no vectors, and would keep the sums in memory.

    Parameters
    ----------
    widen
        See above.
    size
        Bytes of the sums; at least one column.
    """

    @intrinsic
    def add(  # type: ignore[no-untyped-def]
        _, output, table, indices, values, factor, row, column, first, last
    ):
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            arrays = [
                context.make_array(kind)(context, builder, array)
                for kind, array in zip(signature.args[:4], arguments[:4], strict=True)
            ]
            sums, rows, places, weights = (array.data for array in arrays)
            factor, row, column, first, last = arguments[4:]
            number, index = sums.type.pointee, row.type
            lanes = max(1, size * 8 // output.dtype.bitwidth)
            vector = ir.VectorType(number, lanes)

            def pointer(data: Any, line: Any) -> Any:
                width = builder.extract_value(arrays[0].shape, 1)
                start = builder.gep(data, [builder.add(builder.mul(line, width), column)])
                kind = ir.VectorType(data.type.pointee, lanes)
                return builder.bitcast(start, kind.as_pointer())

            def load(data: Any, line: Any) -> Any:
                loaded = builder.load(pointer(data, line))
                loaded.align = 1
                return loaded

            before = builder.block
            loop, after = (builder.append_basic_block(name) for name in ("entries", "done"))
            builder.cbranch(builder.icmp_signed("<", first, last), loop, after)

            builder.position_at_end(loop)
            entry, total = builder.phi(index), builder.phi(vector)
            entry.add_incoming(first, before)
            total.add_incoming(ir.Constant(vector, [0.0] * lanes), before)
            weight = builder.fmul(builder.load(builder.gep(weights, [entry])), factor)
            empty = ir.Constant(vector, ir.Undefined)
            weight = builder.insert_element(empty, weight, ir.IntType(32)(0))
            everywhere = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
            weight = builder.shuffle_vector(weight, empty, everywhere)
            line = builder.zext(builder.load(builder.gep(places, [entry])), index)
            product = builder.fmul(
                weight, widen(builder, load(rows, line), lanes), flags=("contract",)
            )
            added = builder.fadd(total, product, flags=("contract",))
            following = builder.add(entry, index(1))
            total.add_incoming(added, loop)
            entry.add_incoming(following, loop)
            end = builder.append_basic_block("sum")
            builder.cbranch(builder.icmp_signed("<", following, last), loop, end)

            builder.position_at_end(end)
            stored = builder.store(builder.fadd(load(sums, row), added), pointer(sums, row))
            stored.align = 1
            builder.branch(after)
            builder.position_at_end(after)
            return context.get_dummy_value()

        place = types.int64
        kinds = output, table, indices, values, output.dtype, place, place, place, place
        return types.void(*kinds), generate

    return add


@intrinsic
def _fetch(_, table, row, column):  # type: ignore[no-untyped-def]
    """Have a place of the table brought into the cache, without waiting."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        width = builder.extract_value(array.shape, 1)
        place = builder.add(builder.mul(arguments[1], width), arguments[2])
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        # To be read; into the second level; as data.
        where = builder.bitcast(builder.gep(array.data, [place]), byte)
        builder.call(fetch, [where, number(0), number(2), number(1)])
        return context.get_dummy_value()

    return types.void(table, types.int64, types.int64), generate


def _kernel(widen: Callable, scale: float) -> Callable:
    """Compile the loop for tables whose stored numbers times ``scale`` are the widened ones."""
    factor = np.float32(scale)
    some, one = _entries(widen, _REGISTERS), _entries(widen, 0)

    @numba.njit(nogil=True, error_model="numpy")
    def add(indptr, indices, values, table, step, output):  # type: ignore[no-untyped-def]
        n_rows, width = output.shape
        columns = _REGISTERS // output.itemsize
        whole = width - width % columns
        per_line = max(1, _LINE // table.itemsize)
        each = step // n_rows + 1 if n_rows >= _MANY else 0
        position = indptr[:n_rows].copy()
        for first in range(0, len(table), step):
            stop = first + step
            ahead, ahead_stop = stop, min(stop + step, len(table))
            for i in range(n_rows):
                for j in range(ahead, min(ahead + each, ahead_stop)):
                    for w in range(0, width, per_line):
                        _fetch(table, j, w)  # type: ignore[call-arg]
                ahead += each
                p, end = position[i], indptr[i + 1]
                q = p
                while q + 8 <= end and indices[q + 7] < stop:
                    q += 8
                while q < end and indices[q] < stop:
                    q += 1
                position[i] = q
                for w in range(0, whole, columns):
                    some(output, table, indices, values, factor, i, w, p, q)
                for w in range(whole, width):
                    one(output, table, indices, values, factor, i, w, p, q)

    return add


def _has_half_instruction() -> bool:
    """Whether the CPU turns float16 into float32; where it cannot, LLVM would call a library."""
    features = llvm.get_host_cpu_features()
    return bool(features.get("f16c")) or llvm.get_process_triple().startswith(("aarch64", "arm64"))


_from_float = _kernel(_same, 1.0)
_from_half = (
    _kernel(_by_instruction, 1.0) if _has_half_instruction() else _kernel(_by_shifting, 2.0**112)
)
