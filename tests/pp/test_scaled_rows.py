from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from sctools.pp._scaled_rows import _REMEMBERED, scaled_rows

TARGET = 1e4


def expected(block, gene_of, n_genes, *, log_normalized, whole_depth):
    counts = block.toarray().astype(np.float64)
    if log_normalized:
        counts = np.expm1(counts)
    chosen = np.zeros((len(counts), n_genes))
    chosen[:, gene_of[gene_of >= 0]] = counts[:, gene_of >= 0]
    totals = (counts if whole_depth else chosen).sum(axis=1)
    scale = TARGET / np.where(totals > 0, totals, 1.0)
    return np.log1p(chosen * scale[:, None]).astype(np.float32), totals


@pytest.mark.parametrize("whole_depth", [True, False])
@pytest.mark.parametrize("log_normalized", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8, bool])
def test_values_are_those_of_the_formula(dtype, log_normalized, whole_depth):
    rng = np.random.default_rng(0)
    dense = rng.poisson(1.0, (40, 30))
    if dtype not in (np.uint8, bool):  # on both sides of what is remembered
        dense[dense > 3] = rng.integers(_REMEMBERED - 2, _REMEMBERED + 3, (dense > 3).sum())
        dense[5, :3] = 10 * _REMEMBERED
    dense[7] = 0
    if log_normalized:
        dense = np.log1p(dense).astype(dtype)
    block = sparse.csr_matrix(dense.astype(dtype))
    gene_of = np.full(30, -1, dtype=np.int32)
    gene_of[rng.choice(30, 12, replace=False)] = rng.choice(15, 12, replace=False)
    options = {"log_normalized": log_normalized, "whole_depth": whole_depth}
    found, totals = scaled_rows(block, gene_of, 15, target_sum=TARGET, **options)
    values, depth = expected(block, gene_of, 15, **options)
    assert found.dtype == np.float32
    assert found.shape == (40, 15)
    np.testing.assert_allclose(found.toarray(), values, rtol=3e-7)
    np.testing.assert_allclose(totals, depth, rtol=1e-12)
    assert totals[7] == 0


def test_rows_are_independent():
    """What is remembered of one row is not taken for another."""
    rng = np.random.default_rng(1)
    block = sparse.csr_matrix(rng.poisson(1.0, (50, 20)).astype(np.float32))
    gene_of = np.arange(20, dtype=np.int32)
    options = {"target_sum": TARGET, "log_normalized": False, "whole_depth": True}
    whole, _ = scaled_rows(block, gene_of, 20, **options)
    order = rng.permutation(50)
    other, _ = scaled_rows(block[order], gene_of, 20, **options)
    np.testing.assert_array_equal(other.toarray(), whole.toarray()[order])
    for i in range(50):
        alone, _ = scaled_rows(block[i], gene_of, 20, **options)
        np.testing.assert_array_equal(alone.toarray()[0], whole.toarray()[i])


def test_nothing_stored():
    gene_of = np.arange(4, dtype=np.int32)
    for shape in ((3, 4), (0, 4)):
        empty = sparse.csr_matrix(shape, dtype=np.float32)
        options = {"target_sum": TARGET, "log_normalized": False, "whole_depth": True}
        found, totals = scaled_rows(empty, gene_of, 4, **options)
        assert found.shape == shape
        assert found.nnz == 0
        assert totals.tolist() == [0.0] * shape[0]
