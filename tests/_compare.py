"""Comparison of AnnData objects down to stored arrays: what a function must leave alone."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

PLAIN_SLOTS = ("layers", "obsm", "varm", "obsp", "varp")


def snapshot(adata: AnnData) -> dict[str, Any]:
    """Deep copy of everything in ``adata`` (in memory), views and unsorted indices included."""
    parts: dict[str, Any] = {
        "is_view": adata.is_view,
        "X": _copied(adata.X),
        "obs": adata.obs.copy(deep=True),
        "var": adata.var.copy(deep=True),
        "uns": copy.deepcopy(dict(adata.uns)),
    }
    for slot in PLAIN_SLOTS:
        values = getattr(adata, slot)
        parts[slot] = {name: _copied(values[name]) for name in values if name is not None}
    return parts


def assert_unchanged(adata: AnnData, before: dict[str, Any]) -> None:
    """Raise ``AssertionError`` where ``adata`` differs from its earlier :func:`snapshot`."""
    now = snapshot(adata)
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
    elif isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected, obj=where, check_exact=True)
    elif sparse.issparse(expected):
        assert type(found) is type(expected), where
        assert found.shape == expected.shape, where
        for part in ("data", "indices", "indptr"):
            assert_same(getattr(found, part), getattr(expected, part), f"{where}.{part}")
    elif isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype, where
        np.testing.assert_array_equal(found, expected, err_msg=where)
    else:
        assert type(found) is type(expected), where
        assert found == expected or (found != found and expected != expected), where


def _copied(values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return np.array(values)
    if sparse.issparse(values):
        # Not `.copy()` of a view of AnnData: it would keep that class.
        kind = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix}[values.format]
        arrays = (values.data.copy(), values.indices.copy(), values.indptr.copy())
        return kind(arrays, shape=values.shape)
    return copy.deepcopy(values)
