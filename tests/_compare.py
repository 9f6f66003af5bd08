"""Comparison of AnnData and MuData down to stored arrays: what a function must leave alone."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

if TYPE_CHECKING:
    from mudata import MuData

PLAIN_SLOTS = ("layers", "obsm", "varm", "obsp", "varp")
JOINT_SLOTS = ("obsm", "varm", "obsp", "varp", "obsmap", "varmap")
KINDS = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix}
ARRAYS = {"csr": sparse.csr_array, "csc": sparse.csc_array}


def snapshot(data: AnnData | MuData) -> dict[str, Any]:
    """Deep copy of everything in ``data``, views and unsorted indices included.

    What lies in a file is read; a view of a file is not.
    """
    parts: dict[str, Any] = {
        "obs": data.obs.copy(deep=True),
        "var": data.var.copy(deep=True),
        "uns": copy.deepcopy(dict(data.uns)),
        "is_view": data.is_view,
    }
    if hasattr(data, "mod"):  # MuData, which is not installed wherever these tests run
        parts["mod"] = {name: snapshot(adata) for name, adata in data.mod.items()}
        slots = JOINT_SLOTS
    else:
        parts |= {"X": _copied(data.X), "raw": _raw(data)}
        slots = PLAIN_SLOTS
    for slot in slots:
        values = getattr(data, slot)
        parts[slot] = {name: _copied(values[name]) for name in values if name is not None}
    return parts


def assert_unchanged(data: AnnData | MuData, before: dict[str, Any]) -> None:
    """Raise ``AssertionError`` where ``data`` differs from its earlier :func:`snapshot`."""
    now = snapshot(data)
    assert now.keys() == before.keys()
    for name, value in before.items():
        assert_same(now[name], value, name)


def assert_same(found: Any, expected: Any, where: str = "value") -> None:
    """Compare nested values by type, dtype, storage and content; NaN equals NaN."""
    if isinstance(expected, Mapping):
        assert isinstance(found, Mapping), where
        assert list(found) == list(expected), where
        for name in expected:
            assert_same(found[name], expected[name], f"{where}[{name!r}]")
    elif isinstance(expected, list | tuple):
        assert type(found) is type(expected), where
        assert len(found) == len(expected), where
        for i, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert_same(a, b, f"{where}[{i}]")
    elif isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected, obj=where, check_exact=True)
    elif isinstance(expected, pd.Series):
        pd.testing.assert_series_equal(found, expected, obj=where, check_exact=True)
    elif sparse.issparse(expected):
        assert type(found) is type(expected), where
        assert found.shape == expected.shape, where
        for part in ("data", "indices", "indptr"):
            assert_same(getattr(found, part), getattr(expected, part), f"{where}.{part}")
    elif isinstance(expected, np.ma.MaskedArray):
        assert_same(found.data, expected.data, f"{where}.data")
        assert_same(np.ma.getmaskarray(found), np.ma.getmaskarray(expected), f"{where}.mask")
    elif isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype, where
        np.testing.assert_array_equal(found, expected, err_msg=where)
    else:
        assert type(found) is type(expected), where
        assert found == expected or (found != found and expected != expected), where


def _raw(adata: AnnData) -> dict[str, Any] | None:
    if adata.raw is None:
        return None
    return {"X": _copied(adata.raw.X), "var": adata.raw.var.copy(deep=True)}


def _copied(values: Any) -> Any:
    if isinstance(values, h5py.Dataset):
        return values[...]
    if hasattr(values, "dask"):
        return _copied(values.compute())
    if hasattr(values, "to_memory"):  # sparse, in a file
        return values.to_memory()
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.array(values, copy=True, subok=False)
    if isinstance(values, np.ndarray):
        return np.array(values)
    if isinstance(values, pd.DataFrame):
        return pd.DataFrame(values, copy=True)  # not `deepcopy`: of a view it takes all rows
    if sparse.issparse(values) and values.format in KINDS:
        # Not `.copy()` of a view of AnnData: it would keep that class.
        kind = (ARRAYS if isinstance(values, sparse.sparray) else KINDS)[values.format]
        arrays = (values.data.copy(), values.indices.copy(), values.indptr.copy())
        return kind(arrays, shape=values.shape)
    return copy.deepcopy(values)
