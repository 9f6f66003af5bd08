"""Odd values, storage and shapes of the expression matrix."""

from __future__ import annotations

import numpy as np
from anndata import AnnData
from scipy import sparse

from ._case import Case, Inapplicable
from ._mutations import mutation


def some(values: np.ndarray, rng: np.random.Generator, n: int = 3) -> tuple[np.ndarray, ...]:
    """Positions of a few entries."""
    return np.unravel_index(rng.integers(values.size, size=n), values.shape)


# ------------------------------------------------------------------------- values


@mutation("values")
def no_values(case: Case, rng: np.random.Generator) -> None:
    case.adata.X = None


@mutation("values")
def odd_entries(case: Case, rng: np.random.Generator) -> str:
    values = case.counts()
    odd = rng.choice([np.nan, np.inf, -np.inf, -1.0, 0.5, 1e9, 1e30])
    values[some(values, rng)] = odd
    case.set_counts(values)
    return str(odd)


@mutation("values")
def all_zero(case: Case, rng: np.random.Generator) -> None:
    case.set_counts(np.zeros_like(case.counts()))


@mutation("values")
def all_one(case: Case, rng: np.random.Generator) -> None:
    case.set_counts(np.ones_like(case.counts()))


@mutation("values")
def empty_cells(case: Case, rng: np.random.Generator) -> None:
    values = case.counts()
    values[rng.random(len(values)) < rng.choice([0.1, 0.95])] = 0
    case.set_counts(values)


@mutation("values")
def empty_genes(case: Case, rng: np.random.Generator) -> None:
    values = case.counts()
    values[:, rng.random(values.shape[1]) < rng.choice([0.1, 0.95])] = 0
    case.set_counts(values)


@mutation("values")
def same_cell_all_over(case: Case, rng: np.random.Generator) -> None:
    values = case.counts()
    values[:] = values[0]
    case.set_counts(values)


@mutation("values")
def log_normalized_values(case: Case, rng: np.random.Generator) -> str:
    values = case.counts()
    total = np.maximum(values.sum(axis=1, keepdims=True), 1)
    case.set_counts(np.log1p(1e4 * values / total))
    if rng.random() < 0.5 or not case.takes("log_normalized"):
        return "not declared"
    case.kwargs["log_normalized"] = True
    return "declared"


@mutation("values")
def scaled_values(case: Case, rng: np.random.Generator) -> None:
    values = case.counts()
    case.set_counts((values - values.mean(axis=0)) / (values.std(axis=0) + 1e-3))


# ------------------------------------------------------------------------- storage


def unsorted(values: np.ndarray) -> sparse.csr_matrix:
    X = sparse.csr_matrix(values.astype(np.float32))
    for start, stop in zip(X.indptr[:-1], X.indptr[1:], strict=True):
        X.indices[start:stop] = X.indices[start:stop][::-1].copy()
        X.data[start:stop] = X.data[start:stop][::-1].copy()
    X.has_sorted_indices = False
    return X


def repeated(values: np.ndarray) -> sparse.csr_matrix:
    """Every count split in two entries of the same place."""
    X = sparse.csr_matrix(values.astype(np.float32))
    half = np.floor(X.data / 2)
    data = np.column_stack([half, X.data - half]).ravel()
    return sparse.csr_matrix((data, np.repeat(X.indices, 2), 2 * X.indptr), shape=X.shape)


def with_stored_zeros(values: np.ndarray) -> sparse.csr_matrix:
    X = sparse.csr_matrix(np.ones_like(values, dtype=np.float32))
    X.data = values.astype(np.float32).ravel()
    return X


def long_indices(values: np.ndarray) -> sparse.csr_matrix:
    X = sparse.csr_matrix(values.astype(np.float32))
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


def read_only(values: np.ndarray) -> np.ndarray:
    X = values.astype(np.float32)
    X.flags.writeable = False
    return X


def read_only_sparse(values: np.ndarray) -> sparse.csr_matrix:
    X = sparse.csr_matrix(values.astype(np.float32))
    for part in (X.data, X.indices, X.indptr):
        part.flags.writeable = False
    return X


def on_dask(values: np.ndarray) -> object:
    import dask.array

    return dask.array.from_array(values.astype(np.float32), chunks=(20, -1))


STORAGE = {
    "csc": lambda x: sparse.csc_matrix(x.astype(np.float32)),
    "csr_array": lambda x: sparse.csr_array(x.astype(np.float32)),
    "csc_array": lambda x: sparse.csc_array(x.astype(np.float32)),
    "coo": lambda x: sparse.coo_matrix(x.astype(np.float32)),
    "dense": lambda x: x.astype(np.float32),
    "fortran": lambda x: np.asfortranarray(x.astype(np.float32)),
    "strided": lambda x: np.repeat(x.astype(np.float32), 2, axis=1)[:, ::2],
    "np.matrix": lambda x: np.asmatrix(x.astype(np.float32)),
    "masked": lambda x: np.ma.masked_less(x.astype(np.float32), 1),
    "unsorted": unsorted,
    "repeated": repeated,
    "stored zeros": with_stored_zeros,
    "int64 indices": long_indices,
    "read-only": read_only,
    "read-only sparse": read_only_sparse,
    "dask": on_dask,
    "big-endian": lambda x: x.astype(">f4"),
}
"""Ways to store a matrix."""


@mutation("form", stage=1)
def storage(case: Case, rng: np.random.Generator) -> str:
    name = rng.choice(list(STORAGE))
    case.adata.X = STORAGE[name](case.counts())
    return str(name)


DTYPES = ["object", "bool", "int8", "uint8", "uint16", "int64", "float16", "float64", "longdouble",
          "complex64", "str"]  # fmt: skip


@mutation("form", stage=1)
def dtype(case: Case, rng: np.random.Generator) -> str:
    name = str(rng.choice(DTYPES))
    values = case.counts()
    if name in ("int8", "uint8"):
        values = np.minimum(values, 100)
    values = values.astype(name)
    storable = name not in ("object", "float16", "str")
    if storable and rng.random() < 0.5:
        case.adata.X = sparse.csr_matrix(values)
        return f"{name}, sparse"
    case.adata.X = values
    return name


# ------------------------------------------------------------------------- shape


def take(case: Case, rows: object = slice(None), columns: object = slice(None)) -> None:
    case.replace(case.adata[rows, columns].copy())


@mutation("shape")
def few_cells(case: Case, rng: np.random.Generator) -> str:
    n = int(rng.choice([0, 1, 2, 3, 5]))
    if n >= case.adata.n_obs:
        raise Inapplicable
    take(case, rows=np.sort(rng.choice(case.adata.n_obs, n, replace=False)))
    return str(n)


@mutation("shape")
def half_of_the_cells(case: Case, rng: np.random.Generator) -> None:
    take(case, rows=np.flatnonzero(rng.random(case.adata.n_obs) < 0.5))


@mutation("shape")
def few_genes(case: Case, rng: np.random.Generator) -> str:
    n = int(rng.choice([0, 1, 2, 5]))
    if n >= case.adata.n_vars:
        raise Inapplicable
    take(case, columns=rng.choice(case.adata.n_vars, n, replace=False))
    return str(n)


@mutation("shape")
def half_of_the_genes(case: Case, rng: np.random.Generator) -> None:
    take(case, columns=rng.permutation(case.adata.n_vars)[: case.adata.n_vars // 2])


@mutation("shape")
def other_order(case: Case, rng: np.random.Generator) -> None:
    take(case, rng.permutation(case.adata.n_obs), rng.permutation(case.adata.n_vars))


@mutation("shape")
def further_genes(case: Case, rng: np.random.Generator) -> None:
    adata, values = case.adata, case.counts()
    more = AnnData(
        np.hstack([values, rng.poisson(0.5, (len(values), 7))]).astype(np.float32),
        obs=adata.obs,
        uns=adata.uns,
        obsm=dict(adata.obsm),
    )
    more.var_names = [*adata.var_names, *(f"further{i}" for i in range(7))]
    case.replace(more)
