"""Penalised regressions of the R package glmnet, read without R."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._extras import import_extra

INTERCEPT = "(Intercept)"
"""What R calls the intercept."""


def read_glmnet(path: Path) -> dict[str, pd.Series]:
    """Coefficients at ``lambda.min`` of every ``cv.glmnet`` object in a named list.

    The file is parsed, nothing in it is executed.

    Parameters
    ----------
    path
        An ``.RDS`` file with a named list of ``cv.glmnet`` objects.

    Returns
    -------
    For each name a series indexed by :data:`INTERCEPT` and the names of the variables, in their
    order, zeros included; float64.

    Raises
    ------
    ImportError
        The package rdata is missing.
    ValueError
        The file is not such a list, or is cut short.
    """
    rdata = import_extra("rdata", extra="clocks", purpose="Reading a clock from an R file")
    expected = f"Expected a named list of cv.glmnet objects (R, `saveRDS`) in {str(path)!r}"
    with path.open("rb") as file:
        try:
            found = rdata.read_rds(file, constructor_dict=_constructors(rdata))
        # The parser has no error class of its own: any may come of a damaged file.
        except Exception as error:
            raise ValueError(
                f"{expected}; it is not an R object, or is cut short ({error}). Download it again."
            ) from error
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{expected}, found a {type(found).__name__}.")
    try:
        return {str(name): _coefficients(model) for name, model in found.items()}
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{expected}; an element is something else ({error!r}).") from error


def _constructors(rdata: Any) -> dict[str, Any]:
    """Classes that are lists to us, and the sparse matrix of R's Matrix package."""
    lists = {name: lambda value, _: value for name in ("cv.glmnet", "glmnet", "elnet")}
    return {**rdata.conversion.DEFAULT_CLASS_MAP, **lists, "dgCMatrix": lambda _, slots: slots}


def _coefficients(model: dict[str, Any]) -> pd.Series:
    fit = model["glmnet.fit"]
    best = float(np.asarray(model["lambda.min"]).item())
    at = np.flatnonzero(np.asarray(fit["lambda"]) == best)
    if len(at) != 1:
        raise KeyError("lambda.min is not one of the lambdas")
    beta = fit["beta"]
    matrix = sp.csc_matrix(
        (np.asarray(beta["x"], dtype=np.float64), np.asarray(beta["i"]), np.asarray(beta["p"])),
        shape=tuple(int(n) for n in beta["Dim"]),
    )
    column = matrix[:, [int(at[0])]].toarray().ravel()
    genes = [str(gene) for gene in beta["Dimnames"][0]]
    intercept = float(np.asarray(fit["a0"])[at[0]])
    return pd.Series([intercept, *column], index=[INTERCEPT, *genes], dtype="float64")
