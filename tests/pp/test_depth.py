"""Depth over the genes of training, with all of them, some of them and further ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sctools.pp._depth import cell_depth, depth_genes

NAMES = pd.Index([f"gene_{i}" for i in range(6)])


@pytest.fixture
def counts():
    return np.random.default_rng(0).poisson(5.0, (50, 6)).astype(np.float32)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_all_genes(counts, kind):
    matrix = kind(counts)
    found = cell_depth(matrix, NAMES)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, counts.sum(axis=1))
    np.testing.assert_allclose(cell_depth(matrix, NAMES, depth_genes(matrix, NAMES)), found)


def test_order_and_further_genes_change_nothing(counts):
    genes = depth_genes(counts, NAMES)
    more = np.hstack([counts, np.full((50, 1), 1000.0)])[:, ::-1]
    names = NAMES.append(pd.Index(["other"]))[::-1]
    np.testing.assert_allclose(cell_depth(more, names, genes), counts.sum(axis=1))


def test_missing_genes_are_made_up_for(counts):
    genes = depth_genes(counts, NAMES)
    found = cell_depth(counts[:, :4], NAMES[:4], genes)
    assert found.sum() == pytest.approx(counts.sum())
    assert (counts[:, :4].sum(axis=1) < found).all()


def test_no_known_gene_leaves_no_depth(counts):
    genes = depth_genes(counts, NAMES)
    np.testing.assert_array_equal(cell_depth(counts, pd.Index(list("abcdef")), genes), 0)
