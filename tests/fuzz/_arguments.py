"""Arguments out of range, or of the wrong type."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ._case import Case, Inapplicable
from ._mutations import mutation

ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2, 0.5, 1.5, -0.5, float("nan"), float("inf"), "", "nonsense",
    "a/b", [], ["nonsense"], [3], {}, {"nonsense": 1}, {"nonsense": {"a": 1}}, (), b"bytes",
    object, 1j, np.int64(2), np.float32(0.5), np.array([1, 2]), pd.DataFrame(), Path("nowhere"),
]  # fmt: skip
"""Values that make sense for few arguments."""


WRITTEN_TO = ("checkpoint_dir",)
"""Most odd values of these are good paths, and draws would leave directories behind."""


def names_of(case: Case) -> list[str]:
    """Arguments that may be changed."""
    parameters = list(inspect.signature(case.subject.function).parameters.values())[1:]
    return [
        parameter.name
        for parameter in parameters
        if parameter.kind is not parameter.VAR_KEYWORD and parameter.name not in WRITTEN_TO
    ]


@mutation("arguments")
def argument(case: Case, rng: np.random.Generator) -> str:
    name = str(rng.choice(names_of(case)))
    value = ODD[rng.integers(len(ODD))]
    case.kwargs[name] = value
    return f"{name}={value!r}"


@mutation("keys")
def argument_names_a_column(case: Case, rng: np.random.Generator) -> str:
    """Any column in the place of another, or of a name for the result."""
    names = [n for n in names_of(case) if "key" in n or n in ("groupby", "reference", "layer")]
    if not names:
        raise Inapplicable
    name = str(rng.choice(names))
    value = str(rng.choice(case.adata.obs.columns.astype(str)))
    case.kwargs[name] = [value] if name.endswith("_keys") else value
    return f"{name}={case.kwargs[name]!r}"


@mutation("arguments")
def unknown_option(case: Case, rng: np.random.Generator) -> str:
    names = [name for name in names_of(case) if name in ("model_kwargs", "train_kwargs")]
    if not names:
        raise Inapplicable
    name = str(rng.choice(names))
    case.kwargs[name] = {**(case.kwargs.get(name) or {}), "nonsense": 1}
    return name
