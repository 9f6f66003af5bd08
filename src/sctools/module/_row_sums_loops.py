"""Loops of :func:`add_row_sums`, written for LLVM: numba has no vectors to keep sums in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

# How stored numbers become those of the sums: builder, vector of them and its length -> vector.


def same(_: ir.IRBuilder, stored: Any, __: int) -> Any:
    return stored


def by_instruction(builder: ir.IRBuilder, stored: Any, lanes: int) -> Any:
    halves = builder.bitcast(stored, ir.VectorType(ir.HalfType(), lanes))
    return builder.fpext(halves, ir.VectorType(ir.FloatType(), lanes))


def by_shifting(builder: ir.IRBuilder, stored: Any, lanes: int) -> Any:
    # Sign to bit 31, exponent and fraction to where float32 has them: 2**-112 of the value.
    integers = ir.VectorType(ir.IntType(32), lanes)
    shift, mask = (ir.Constant(integers, [number] * lanes) for number in (13, -1879056384))
    bits = builder.and_(builder.shl(builder.sext(stored, integers), shift), mask)
    return builder.bitcast(bits, ir.VectorType(ir.FloatType(), lanes))


def entries_loop(widen: Callable, size: int) -> Callable:
    """Make the loop over entries of a row: adds their sum for some columns to the output.

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
            number, index = context.get_value_type(output.dtype), row.type
            lanes = max(1, size * 8 // output.dtype.bitwidth)
            vector = ir.VectorType(number, lanes)

            stored = context.get_value_type(table.dtype)

            def pointer(data: Any, line: Any, kind: Any) -> Any:
                width = builder.extract_value(arrays[0].shape, 1)
                start = builder.gep(data, [builder.add(builder.mul(line, width), column)])
                return builder.bitcast(start, ir.VectorType(kind, lanes).as_pointer())

            def load(data: Any, line: Any, kind: Any) -> Any:
                loaded = builder.load(pointer(data, line, kind))
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
            wide = widen(builder, load(rows, line, stored), lanes)
            product = builder.fmul(weight, wide, flags=("contract",))
            added = builder.fadd(total, product, flags=("contract",))
            following = builder.add(entry, index(1))
            total.add_incoming(added, loop)
            entry.add_incoming(following, loop)
            end = builder.append_basic_block("sum")
            builder.cbranch(builder.icmp_signed("<", following, last), loop, end)

            builder.position_at_end(end)
            complete = builder.fadd(load(sums, row, number), added)
            kept = builder.store(complete, pointer(sums, row, number))
            kept.align = 1
            builder.branch(after)
            builder.position_at_end(after)
            return context.get_dummy_value()

        place = types.int64
        kinds = output, table, indices, values, output.dtype, place, place, place, place
        return types.void(*kinds), generate

    return add


@intrinsic
def fetch(_, table, row, column):  # type: ignore[no-untyped-def]
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
