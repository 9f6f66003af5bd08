from __future__ import annotations

import numpy as np
import scanpy as sc
from anndata import AnnData
from scipy import sparse

from sctools.pp._expression import row_blocks
from sctools.pp._whole_depth import WholeDepth, median_depth


def counts(n_obs=30, n_vars=20, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.poisson(1.5, (n_obs, n_vars)).astype(np.float32)
    x[3] = 0
    return sparse.csr_matrix(x)


def scanpy_values(x, target_sum):
    adata = AnnData(x.copy())
    sc.pp.normalize_total(adata, target_sum=target_sum)
    sc.pp.log1p(adata)
    return adata.X.toarray()


def test_values_are_those_of_scanpy():
    x = counts()
    for columns in (np.arange(20), np.array([1, 4, 5, 19])):
        scale = WholeDepth(columns, 20, target_sum=1e4, log_normalized=False)
        values, totals = scale(x)
        assert values.dtype == np.float32
        assert values.has_sorted_indices
        np.testing.assert_allclose(values.toarray(), scanpy_values(x, 1e4)[:, columns], rtol=1e-6)
        np.testing.assert_allclose(totals, np.asarray(x.sum(axis=1)).ravel())


def test_the_median_is_that_of_scanpy():
    x = counts()
    depth = median_depth(row_blocks(x, 7), where="X")
    x = x[np.flatnonzero(x.sum(axis=1))]  # scanpy 1.11 counts empty cells if they are CSR
    assert depth == median_depth(row_blocks(x, 7), where="X")
    scale = WholeDepth(np.arange(20), 20, target_sum=depth, log_normalized=False)
    np.testing.assert_allclose(scale(x)[0].toarray(), scanpy_values(x, None), rtol=1e-6)


def test_log_values_are_brought_to_the_depth():
    x = counts()
    logged = sparse.csr_matrix(scanpy_values(x, 3000))
    scale = WholeDepth(np.arange(20), 20, target_sum=1e4, log_normalized=True)
    np.testing.assert_allclose(scale(logged)[0].toarray(), scanpy_values(x, 1e4), rtol=1e-5)


def test_cells_without_counts():
    empty = sparse.csr_matrix((2, 5), dtype=np.float32)
    scale = WholeDepth(np.arange(5), 5, target_sum=1e4, log_normalized=False)
    values, totals = scale(empty)
    assert values.nnz == 0
    assert totals.tolist() == [0, 0]
    assert median_depth([(0, empty)], where="X") == 1.0
