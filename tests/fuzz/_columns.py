"""Odd columns of ``obs``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ._case import Case, Inapplicable
from ._mutations import mutation


def codes(column: pd.Series) -> np.ndarray:
    return pd.factorize(column)[0]


def some_missing(column: pd.Series) -> pd.Series:
    values = column.copy()
    values.iloc[:: max(2, len(values) // 5)] = None
    return values


def as_objects(column: pd.Series, *odd: Any) -> np.ndarray:
    """The values as objects, the first ones replaced."""
    values = column.astype(object).to_numpy(dtype=object).copy()
    for i, value in enumerate(odd[: len(values)]):
        values[i] = value
    return values


def numbers(column: pd.Series) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy(dtype=float, na_value=np.nan)
    return codes(column).astype(float)


COLUMNS: dict[str, Callable[[pd.Series], Any]] = {
    "some missing": some_missing,
    "all NaN": lambda c: np.full(len(c), np.nan),
    "all None": lambda c: np.full(len(c), None, dtype=object),
    "no categories": lambda c: pd.Categorical([None] * len(c)),
    "unused categories": lambda c: c.astype("category").cat.add_categories(["unused", "αβ"]),
    "ordered": lambda c: c.astype("category").cat.as_ordered(),
    "categories of numbers": lambda c: pd.Categorical(numbers(c)),
    "categories of intervals": lambda c: pd.cut(numbers(c), 3),
    "mixed": lambda c: as_objects(c, 1, "a", None, 2.5),
    "text": lambda c: c.astype(str),
    "numbers as text": lambda c: numbers(c).astype(int).astype(str),
    "pandas strings": lambda c: c.astype("string"),
    "integers": lambda c: numbers(c).astype(int),
    "small integers": lambda c: codes(c).astype("int8"),
    "nullable integers": lambda c: pd.array([None, *codes(c)[1:]], dtype="Int64"),
    "nullable floats": lambda c: pd.array([None, *codes(c)[1:]], dtype="Float64"),
    "floats": lambda c: numbers(c) + 0.5,
    "float16": lambda c: numbers(c).astype(np.float16),
    "bool": lambda c: codes(c) % 2 == 0,
    "nullable bool": lambda c: pd.array([None, *(codes(c)[1:] % 2 == 0)], dtype="boolean"),
    "empty text": lambda c: as_objects(c.astype(str), "", " "),
    "slashes": lambda c: c.astype(str) + "/a|b",
    "dates": lambda c: pd.Timestamp("2020-01-01") + pd.to_timedelta(codes(c), unit="D"),
    "durations": lambda c: pd.to_timedelta(codes(c), unit="D"),
    "lists": lambda c: pd.Series([[i] for i in codes(c)], index=c.index),
    "bytes": lambda c: np.array([str(v).encode() for v in c], dtype=object),
    "complex": lambda c: numbers(c) + 1j,
    "sparse": lambda c: pd.arrays.SparseArray(numbers(c)),
    "constant": lambda c: pd.Series([c.iloc[0]] * len(c), index=c.index),
    "each its own": lambda c: [f"own{i}" for i in range(len(c))],
    "random": lambda c: c.to_numpy()[np.random.default_rng(0).permutation(len(c))],
    "negative": lambda c: -numbers(c) - 1,
    "infinite": lambda c: np.where(np.arange(len(c)) < 3, np.inf, numbers(c)),
    "huge": lambda c: numbers(c) * 1e300,
}
"""What becomes of a column."""


def choose(case: Case, rng: np.random.Generator) -> str:
    among = [name for name in case.subject.columns if name in case.adata.obs.columns]
    if not among or case.adata.n_obs == 0:
        raise Inapplicable
    return str(rng.choice(among))


@mutation("columns")
def column(case: Case, rng: np.random.Generator) -> str:
    name, kind = choose(case, rng), str(rng.choice(list(COLUMNS)))
    made = COLUMNS[kind](case.adata.obs[name])
    case.adata.obs[name] = made.to_numpy() if isinstance(made, pd.DatetimeIndex) else made
    case.data.copy()  # MuData cannot copy some
    return f"{name}, {kind}"


@mutation("columns")
def column_missing(case: Case, rng: np.random.Generator) -> str:
    name = choose(case, rng)
    del case.adata.obs[name]
    return name


@mutation("columns")
def no_columns(case: Case, rng: np.random.Generator) -> None:
    case.adata.obs = case.adata.obs[[]]


@mutation("columns")
def further_columns(case: Case, rng: np.random.Generator) -> str:
    obs = case.adata.obs
    kind = str(rng.choice(["number as name", "repeated", "tuple as name"]))
    if kind == "repeated":
        case.adata.obs = pd.concat([obs, obs.iloc[:, :2]], axis=1)
    else:
        case.adata.obs[3 if kind == "number as name" else ("a", "b")] = 1.0
    return kind


@mutation("columns")
def age_unit(case: Case, rng: np.random.Generator) -> str:
    units: list[Any] = ["months", "", 3, None, ["years"]]
    chosen = units[rng.integers(len(units))]
    case.adata.uns["age_unit"] = chosen
    return repr(chosen)


@mutation("columns")
def taken_names(case: Case, rng: np.random.Generator) -> str:
    """Something else is there under the names of the result."""
    key = case.key_added
    if not isinstance(key, str):
        raise Inapplicable
    where = str(rng.choice(["obs", "obsm", "uns", "an earlier run"]))
    adata = case.adata
    if where == "obs":
        adata.obs[key] = "mine"
    elif where == "obsm":
        adata.obsm[f"X_{key}"] = np.zeros((adata.n_obs, 2))
    elif where == "uns":
        adata.uns[key] = {"mine": 1}
    else:
        adata.uns[key] = {"params": {"method": "other"}}
    return where
