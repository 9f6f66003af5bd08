from __future__ import annotations

from types import SimpleNamespace

import anndata as ad
import h5py
import numpy as np
import pytest
from anndata.io import sparse_dataset, write_elem
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import sparse

from sctools.pp._expression import (
    Normalizer,
    check_values,
    describe,
    get_expression,
    row_blocks,
)

few = settings(max_examples=40, deadline=None)
counts = arrays(
    np.int64, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 60)
)


def expected_values(X, columns, target_sum=1e4):
    """Normalisation in plain numpy: cells × model genes, zero where a gene is missing."""
    picked = np.zeros((len(X), len(columns)))
    for i, column in enumerate(columns):
        if column >= 0:
            picked[:, i] = X[:, column]
    totals = picked.sum(axis=1)
    scaled = picked / np.where(totals > 0, totals, 1)[:, None] * target_sum
    return np.log1p(scaled), totals


def normalizer(columns, n_vars, **kwargs):
    settings = {"target_sum": 1e4, "log_normalized": False, **kwargs}
    return Normalizer(np.asarray(columns), n_vars, **settings)


@few
@given(counts, st.data())
def test_normalizer_agrees_with_numpy(X, data):
    n_vars = X.shape[1]
    wanted = data.draw(st.permutations(range(n_vars + 2)))[: data.draw(st.integers(1, n_vars + 2))]
    columns = np.array([g if g < n_vars else -1 for g in wanted])
    found, totals = normalizer(columns, n_vars)(sparse.csr_matrix(X))
    expected, expected_totals = expected_values(X, columns)
    assert found.dtype == np.float32
    assert found.shape == (len(X), len(columns))
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-6)
    np.testing.assert_allclose(totals, expected_totals)


@few
@given(counts, st.integers(0, 2**31))
def test_permuting_genes_permutes_the_result(X, seed):
    n_vars = X.shape[1]
    order = np.random.default_rng(seed).permutation(n_vars)
    a = normalizer(np.arange(n_vars), n_vars)(sparse.csr_matrix(X))[0]
    b = normalizer(order, n_vars)(sparse.csr_matrix(X))[0]
    np.testing.assert_allclose(b.toarray(), a.toarray()[:, order], rtol=1e-6)
    # Shuffled columns with the match that goes with them give the same values.
    c = normalizer(np.argsort(order), n_vars)(sparse.csr_matrix(X[:, order]))[0]
    np.testing.assert_allclose(c.toarray(), a.toarray(), rtol=1e-6)


@few
@given(counts, st.integers(1, 4), st.sampled_from([1e3, 1e4, 12345.0]))
def test_log_normalized_values_give_what_counts_give(X, digits, target):
    n_vars = X.shape[1]
    identity = np.arange(n_vars)
    totals = X.sum(axis=1, keepdims=True)
    logged = np.log1p(X / np.where(totals > 0, totals, 1) * target).astype(np.float32)
    a = normalizer(identity, n_vars)(sparse.csr_matrix(X))[0]
    b = normalizer(identity, n_vars, log_normalized=True)(sparse.csr_matrix(logged))[0]
    np.testing.assert_allclose(b.toarray(), a.toarray(), atol=2e-5)


@few
@given(counts, st.integers(1, 5))
def test_further_genes_change_nothing(X, n_more):
    n_vars = X.shape[1]
    more = np.full((len(X), n_more), 7)
    a = normalizer(np.arange(n_vars), n_vars)(sparse.csr_matrix(X))
    wide = sparse.csr_matrix(np.hstack([more, X]))
    b = normalizer(np.arange(n_vars) + n_more, n_vars + n_more)(wide)
    np.testing.assert_array_equal(a[0].toarray(), b[0].toarray())
    np.testing.assert_array_equal(a[1], b[1])


@few
@given(counts)
def test_depth_is_brought_to_the_target(X):
    assume(X.sum() > 0)
    n_vars = X.shape[1]
    found, totals = normalizer(np.arange(n_vars), n_vars, target_sum=500)(sparse.csr_matrix(X))
    depth = np.expm1(found.toarray().astype(float)).sum(axis=1)
    np.testing.assert_allclose(depth, np.where(totals > 0, 500, 0), rtol=1e-4)


def test_cells_without_counts_stay_zero_and_finite():
    X = sparse.csr_matrix(np.array([[0, 0, 3], [1, 1, 0]]))
    found, totals = normalizer([0, 1], 3)(X)
    np.testing.assert_array_equal(totals, [0, 2])
    assert found.toarray()[0].tolist() == [0, 0]
    assert np.isfinite(found.data).all()


def test_block_is_not_changed():
    X = sparse.csr_matrix(np.array([[0.0, 2.0, 3.0], [1.0, 0.0, 4.0]]))
    before = X.copy()
    normalizer([2, 0], 3, log_normalized=True)(X)
    normalizer([2, 0], 3)(X)
    np.testing.assert_array_equal(X.data, before.data)
    np.testing.assert_array_equal(X.indices, before.indices)


@few
@given(counts, st.integers(1, 12))
def test_blocks_are_the_rows_whatever_the_storage(X, size):
    unsorted = sparse.csr_matrix(X)
    for i in range(len(X)):  # indices of every row backwards
        row = slice(unsorted.indptr[i], unsorted.indptr[i + 1])
        unsorted.indices[row] = unsorted.indices[row][::-1].copy()
        unsorted.data[row] = unsorted.data[row][::-1].copy()
    unsorted.has_sorted_indices = False
    before = unsorted.indices.copy()
    forms = [
        X,
        X.astype(np.float64),
        np.asfortranarray(X),
        sparse.csr_matrix(X),
        sparse.csc_matrix(X),
        sparse.csr_array(X),
        sparse.csc_array(X),
        sparse.coo_matrix(X),
        unsorted,
    ]
    for matrix in forms:
        starts, blocks = zip(*row_blocks(matrix, size), strict=True)
        assert list(starts) == list(range(0, len(X), size))
        assert all(block.format == "csr" and block.has_canonical_format for block in blocks)
        assert max(block.shape[0] for block in blocks) <= size
        np.testing.assert_array_equal(sparse.vstack(blocks).toarray(), X)
    np.testing.assert_array_equal(unsorted.indices, before)


def test_repeated_entries_are_summed():
    X = sparse.csr_matrix((np.ones(3), [0, 0, 1], [0, 3]), shape=(1, 2))
    (_, block), *_ = row_blocks(X, 10)
    np.testing.assert_array_equal(block.toarray(), [[2, 1]])
    assert X.nnz == 3


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
def test_blocks_of_a_backed_file(tmp_path, form):
    X = np.arange(21.0).reshape(7, 3)
    ad.AnnData(form(X)).write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    blocks = [block.toarray() for _, block in row_blocks(backed.X, 3)]
    assert [len(block) for block in blocks] == [3, 3, 1]
    np.testing.assert_array_equal(np.vstack(blocks), X)
    backed.file.close()


def adata_with_layers():
    X = np.ones((2, 2), dtype="float32")
    return ad.AnnData(X, layers={"counts": X * 2, "other": X})


def test_get_expression():
    adata = adata_with_layers()
    assert get_expression(adata, None) is adata.X
    np.testing.assert_array_equal(get_expression(adata, "counts"), np.full((2, 2), 2))
    with pytest.raises(KeyError, match=r"`layer='raw'`.*Available: 'counts', 'other'.*layer=None"):
        get_expression(adata, "raw")
    del adata.X
    with pytest.raises(ValueError, match=r"`adata.X` is empty.*`layer=`.*'counts', 'other'"):
        get_expression(adata, None)
    np.testing.assert_array_equal(get_expression(adata, "counts"), np.full((2, 2), 2))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_nothing_to_read(shape):
    with pytest.raises(ValueError, match=rf"found {shape[0]} cells × {shape[1]} genes"):
        get_expression(ad.AnnData(np.zeros(shape)), None)


@pytest.mark.parametrize(
    "values",
    [
        np.array([0.0, 3.0, 1e6]),
        np.array([1, 2]),
        np.array([1, 2], dtype=np.uint8),
        np.array([True, False]),
        np.array([]),
    ],
)
def test_counts_pass(values):
    check_values(values, where="`adata.X`", log_normalized=False)


def test_log_normalized_values_pass():
    values = np.log1p(np.array([0, 0.3, 5e3], dtype=np.float32))
    check_values(values, where="`adata.X`", log_normalized=True)
    # A cell with a single count in all: nothing can be told from it.
    check_values(np.array([0.0, 1.0]), where="`adata.X`", log_normalized=True)


@pytest.mark.parametrize(
    ("values", "log_normalized", "error", "message"),
    [
        ([1, np.nan, np.inf], False, ValueError, r"must be finite, found 2 NaN or infinite"),
        ([0.5, np.nan], True, ValueError, r"must be finite, found 1 NaN"),
        ([3, -1], False, ValueError, r"must hold counts.*never negative; found -1.*`layer=`"),
        ([0.3, -0.5], True, ValueError, r"log1p.*never negative; found -0.5"),
        ([1, 0.6931, 2], False, ValueError, r"raw counts.*found 0.6931 \(largest value 2\).*`layer="
                                            r"`.*adata\.raw\.to_adata\(\).*`log_normalized=True`"),
        ([1, 5], True, ValueError, r"looks like counts \(largest value 5, all whole numbers\)"),
        ([0.5, 31], True, ValueError, r"looks like counts \(largest value 31\)"),
        (["a"], False, TypeError, r"must hold numbers, found dtype <U1"),
    ],
)  # fmt: skip
def test_values_that_are_refused(values, log_normalized, error, message):
    with pytest.raises(error, match=message):
        check_values(np.array(values), where="`adata.X`", log_normalized=log_normalized)


def test_describe():
    assert describe(None) == "`adata.X`"
    assert describe("counts") == "`adata.layers['counts']`"


@pytest.mark.parametrize("layer", [None, "counts"])
def test_dask_arrays_are_for_those_who_read_blocks(layer):
    lazy = SimpleNamespace(dask={})
    adata = SimpleNamespace(n_obs=2, n_vars=2, X=lazy, layers={"counts": lazy})
    with pytest.raises(ValueError, match=r"found a dask array.*to_memory\(\)"):
        get_expression(adata, layer)
    lazy.dtype = np.dtype("float32")
    assert get_expression(adata, layer, lazy=True) is lazy


@pytest.mark.parametrize("dtype", [object, "U5", "complex64", "datetime64[s]"])
@pytest.mark.parametrize("layer", [None, "counts"])
def test_matrices_of_no_numbers(dtype, layer):
    adata = SimpleNamespace(n_obs=2, n_vars=2, X=np.ones((2, 2), int).astype(dtype))
    adata.layers = {"counts": adata.X}
    where = "adata.X" if layer is None else r"adata.layers\['counts'\]"
    with pytest.raises(TypeError, match=rf"`{where}` must hold numbers, found dtype"):
        get_expression(adata, layer)


def test_blocks_of_another_byte_order():
    values = np.arange(12.0).reshape(4, 3)
    blocks = [block for _, block in row_blocks(values.astype(">f4"), 3)]
    assert all(block.dtype.isnative for block in blocks)
    np.testing.assert_array_equal(np.vstack([block.toarray() for block in blocks]), values)


@pytest.mark.parametrize(
    "pointers", [[0, 40, 2, 40], [0, 41, 40, 40], [1, 2, 3, 40], [0, 1, 2, 99]]
)
@pytest.mark.parametrize("format", ["csr", "csc"])
def test_damaged_pointers_are_refused(pointers, format):
    made = {"csr": (3, 100), "csc": (100, 3)}
    matrix = getattr(sparse, f"{format}_matrix")(made[format])
    matrix.data, matrix.indices = np.ones(40, np.float32), np.arange(40, dtype=np.int32)
    matrix.indptr = np.array(pointers, dtype=np.int32)
    with pytest.raises(ValueError, match="damaged: its pointers do not ascend"):
        list(row_blocks(matrix, 2))


@pytest.mark.parametrize(("column", "found"), [(6, "0 to 6"), (-1, "-1 to 5")])
def test_damaged_matrices_are_refused(column, found):
    """Before a compiled loop reads beyond a table's end."""
    whole = sparse.csr_matrix(np.ones((3, 6)))
    whole.indices[-1 if column > 0 else 0] = column
    message = rf"damaged: it has values in columns {found}, and 6"
    with pytest.raises(ValueError, match=message):
        list(row_blocks(whole, 2))
    with h5py.File("cells.h5", "w", driver="core", backing_store=False) as file:
        write_elem(file, "X", sparse.csr_matrix(np.ones((3, 6))))
        file["X/indices"][-1 if column > 0 else 0] = column
        with pytest.raises(ValueError, match=message.replace("0 to 6", "[0-5] to 6")):
            list(row_blocks(sparse_dataset(file["X"]), 2))
