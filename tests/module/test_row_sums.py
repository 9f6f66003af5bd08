from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sctools.module import _row_sums
from sctools.module._row_sums import _CACHE, add_row_sums


def csr(rows, columns, *, density=0.3, seed=0):
    rng = np.random.default_rng(seed)
    x = sparse.random(rows, columns, density, format="csr", dtype=np.float32, rng=rng)
    return x, rng


def sums(x, table):
    output = np.zeros((x.shape[0], table.shape[1]), dtype=np.float32)
    add_row_sums(output, x.indptr, x.indices, x.data, table)
    return output


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 9), st.integers(1, 50), st.integers(1, 20), st.integers(0, 99))
def test_sums_are_those_of_a_product(rows, columns, width, seed):
    x, rng = csr(rows, columns, seed=seed)
    table = rng.normal(size=(columns, width)).astype(np.float32)
    np.testing.assert_allclose(sums(x, table), x @ table, rtol=1e-5, atol=1e-5)
    half = table.astype(np.float16)
    np.testing.assert_allclose(sums(x, half), x @ half.astype(np.float32), rtol=1e-5, atol=1e-5)


def test_a_table_larger_than_the_cache():
    width = 256
    x, rng = csr(30, 3 * _CACHE // (4 * width) + 7)
    table = rng.normal(size=(x.shape[1], width)).astype(np.float32)
    np.testing.assert_allclose(sums(x, table), x @ table, rtol=1e-4, atol=1e-4)
    # Indices in any order, and 64-bit ones.
    order = rng.permutation(x.shape[1])
    mixed = sparse.csr_matrix((x.data, order[x.indices], x.indptr), shape=x.shape)
    mixed.indices, mixed.indptr = mixed.indices.astype(np.int64), mixed.indptr.astype(np.int64)
    np.testing.assert_allclose(sums(mixed, table), mixed @ table, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rows", [3, 200])  # the table is fetched ahead for many
@pytest.mark.parametrize(
    "width", [15, 40, 64, 151]
)  # single columns, and as many as registers hold
@pytest.mark.parametrize("kinds", [("f2", "f4"), ("f4", "f4"), ("f8", "f8")])
def test_any_width_of_any_type(kinds, width, rows):
    stored, kind = kinds
    x, rng = csr(rows, 3000)
    x = x.astype(kind)
    table = rng.normal(size=(3000, width)).astype(stored)
    output = np.zeros((rows, width), dtype=kind)
    add_row_sums(output, x.indptr, x.indices, x.data, table)
    tolerance = 1e-3 if kind == "f4" else 1e-11
    np.testing.assert_allclose(output, x.astype("f8") @ table.astype("f8"), atol=tolerance)
    for row in (0, rows - 1):
        alone = np.zeros((1, width), dtype=kind)
        part = x[row]
        add_row_sums(alone, part.indptr, part.indices, part.data, table)
        np.testing.assert_array_equal(alone[0], output[row])


def test_other_orders_of_memory():
    x, rng = csr(20, 60)
    table = rng.normal(size=(60, 16)).astype(np.float32)
    strided = np.repeat(x.data, 2)[::2]
    output = np.zeros((20, 16), dtype=np.float32)
    add_row_sums(output, x.indptr, x.indices, strided, table)
    np.testing.assert_allclose(output, x @ table, rtol=1e-5, atol=1e-5)
    for arrays in ((np.asfortranarray(output), table), (output, np.asfortranarray(table))):
        with pytest.raises(ValueError, match="`output` and `table` in C order"):
            add_row_sums(arrays[0], x.indptr, x.indices, x.data, arrays[1])


def test_sums_are_added_and_rows_are_independent():
    x, rng = csr(200, 60)
    table = rng.normal(size=(60, 8)).astype(np.float32)
    output = np.ones((200, 8), dtype=np.float32)
    add_row_sums(output, x.indptr, x.indices, x.data, table)
    np.testing.assert_allclose(output, 1 + x @ table, rtol=1e-5, atol=1e-5)
    whole = sums(x, table)
    for rows in (slice(0, 1), slice(13, 90)):
        np.testing.assert_array_equal(sums(x[rows], table), whole[rows])


def test_threads_change_nothing():
    x, rng = csr(300, 60)
    table = rng.normal(size=(60, 8)).astype(np.float32)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = sums(x, table)
        torch.set_num_threads(3)
        np.testing.assert_array_equal(sums(x, table), one)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("width", [1, 16, 64])  # each has a loop of its own
@pytest.mark.parametrize("by", ["by_instruction", "by_shifting"])
def test_every_float16_is_read_exactly(by, width):
    """By shifting: for CPUs without an instruction for it."""
    if by == "by_instruction" and not _row_sums._has_half_instruction():
        pytest.skip("no such instruction")
    scale = {"by_instruction": 1.0, "by_shifting": 2.0**112}[by]
    kernel = _row_sums._kernel(getattr(_row_sums, by), scale)
    halves = np.arange(-(2**15), 2**15).astype(np.int16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    table = np.repeat(halves.view(np.int16)[:, None], width, axis=1)
    n = len(halves)
    output = np.zeros((n, width), dtype=np.float32)
    values = np.full(n, 2, dtype=np.float32)
    kernel(np.arange(n + 1), np.arange(n, dtype=np.int32), values, table, n, output)
    expected = np.repeat(2 * halves.astype(np.float32)[:, None], width, axis=1)
    np.testing.assert_array_equal(output, expected)
