"""What a run depends on, in a form that can be stored, compared and told."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any

import lightning
import numpy as np
import pandas as pd
import scipy.sparse as sp
import scvi
import torch

from .. import __version__
from ..pp._expression import row_blocks

ROWS = 20_000
"""Cells of a file that are in memory at a time."""


def fingerprint(
    *, arguments: Mapping[str, Any], data: Mapping[str, Any], seed: int
) -> dict[str, str]:
    """Return texts by name; two runs with the same texts have the same result on one machine.

    Parameters
    ----------
    arguments
        Arguments, also nested. Functions and objects are told apart by their names and classes.
    data
        Arrays, tables, names and tensors, of which a digest is kept.
    seed
        Seed of all that is drawn.
    """
    versions = {
        "sctools": __version__,
        "torch": str(torch.__version__),
        "lightning": lightning.__version__,
        "scvi-tools": scvi.__version__,
        "numpy": np.__version__,
    }
    return {
        "the seed": str(int(seed)),
        **_flat(arguments),
        **{name: f"#{digest(value)}" for name, value in data.items()},
        **{f"the version of {name}": version for name, version in versions.items()},
    }


def digest(value: Any) -> str:
    """Digest of an array, a table, a list of names, or a mapping of these."""
    found = hashlib.blake2b(digest_size=16)
    _update(found, value)
    return found.hexdigest()


def _update(found: Any, value: Any) -> None:
    found.update(f"{type(value).__name__} {getattr(value, 'shape', None)}\n".encode())
    if isinstance(value, Mapping):
        for name, part in value.items():
            found.update(f"{name}\n".encode())
            _update(found, part)
    elif isinstance(value, pd.DataFrame):
        _update(found, value.columns)
        for _, column in value.items():
            _update(found, column)
    elif isinstance(value, pd.Series) and isinstance(value.dtype, pd.CategoricalDtype):
        _update(found, value.cat.codes.to_numpy())
        _update(found, value.cat.categories)
    elif isinstance(value, pd.Series | pd.Index):
        _update(found, value.to_numpy())
    elif isinstance(value, torch.Tensor):
        _update(found, value.detach().cpu().numpy())
    elif sp.issparse(value):
        csr = value.tocsr()
        for part in (csr.indptr, csr.indices, csr.data):
            _update(found, part)
    elif isinstance(value, np.ndarray):
        found.update(str(value.dtype).encode())
        if value.dtype.hasobject:
            _update(found, [str(name) for name in value.ravel()])
        else:
            found.update(np.ascontiguousarray(value).view(np.uint8).data)
    elif isinstance(value, list | tuple):
        found.update("\n".join(f"{len(text)} {text}" for text in map(str, value)).encode())
    elif hasattr(value, "shape"):  # in a file
        for _, block in row_blocks(value, ROWS):
            _update(found, block)
    else:
        found.update(str(value).encode())


def _flat(arguments: Mapping[str, Any], before: str = "") -> dict[str, str]:
    texts: dict[str, str] = {}
    for name, value in arguments.items():
        if isinstance(value, Mapping):
            texts |= _flat(value, f"{before}{name}.")
        else:
            texts[f"`{before}{name}`"] = _text(value)
    return texts


def _text(value: Any) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | bool | int | float):
        return repr(value)
    if isinstance(value, os.PathLike):
        return repr(os.fspath(value))
    if isinstance(value, list | tuple | set | frozenset):
        texts = [_text(part) for part in value]
        return f"[{', '.join(sorted(texts) if isinstance(value, set | frozenset) else texts)}]"
    if hasattr(value, "shape"):
        return f"#{digest(value)}"
    kind = value if hasattr(value, "__qualname__") else type(value)
    return f"{kind.__module__}.{kind.__qualname__}"
