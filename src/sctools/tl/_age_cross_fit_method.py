"""Cross-fitting of the clock methods other than the gated network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arguments import as_generator, named_options
from .._validate import check_obs_key, listing
from ..pp._clock_input import ClockInput
from ..pp._match_genes import match_genes
from ._age_cells import read_clock_cells
from ._age_cross_fit import _check_n_folds, check_trained_on, warn_of_empty
from ._age_folds import assign_folds
from ._age_intervals import cross_fitted_intervals
from ._age_record import assess, cross_fitted_tables, match_coverage
from ._params import plain, recorded_params

if TYPE_CHECKING:
    from anndata import AnnData

    from ..model._clock_methods import ClockCells, ClockMethod, FittedClock

DEFAULT_METHOD = "gma"
"""The method of :class:`~sctools.model.AgeClock`, which is cross-fitted elsewhere."""


def make_method(
    method: str,
    *,
    has_model: bool,
    covariate_keys: Any,
    model_kwargs: dict[str, Any],
    train_kwargs: Any,
    return_model: bool,
) -> ClockMethod | None:
    """Clock method by its name, ``None`` for the default; raise on what it cannot take."""
    if method == DEFAULT_METHOD:
        return None
    from ..model._clock_methods import METHODS, clock_method

    if method not in METHODS:
        raise ValueError(f"`method` must be one of {listing(METHODS)}, found {method!r}.")
    if has_model:
        raise ValueError(
            f"`method={method!r}` is for training, but a trained `model` was given. Leave out one "
            "of the two."
        )
    only = f"is for `method={DEFAULT_METHOD!r}` only, found `method={method!r}`."
    if covariate_keys:
        raise ValueError(
            f"`covariate_keys` {only} The other methods predict from expression (and some from "
            "cell types) alone: leave it out."
        )
    if train_kwargs:
        raise ValueError(f"`train_kwargs` {only} Give its arguments as `model_kwargs`.")
    if return_model:
        raise ValueError(
            f"`return_model=True` {only} The other methods have no clock that could be saved."
        )
    with named_options("model_kwargs"):
        return clock_method(method, **model_kwargs)


def cross_fit_method(
    adata: AnnData,
    clock: ClockMethod,
    method: str,
    *,
    age_key: str | None,
    donor_key: str | None,
    sample_key: str | None,
    cell_type_key: str | None,
    layer: str | None,
    log_normalized: bool,
    n_folds: int,
    model_kwargs: dict[str, Any],
    level: float,
    folder: Path | None,
    rng: int | np.random.Generator | None,
    progress_bar: bool,
) -> tuple[None, dict[str, Any], dict[str, Any]]:
    """Predict every donor by clocks that never saw it; folds are those of all other tools."""
    from tqdm.auto import tqdm

    from ..model._fold_checkpoints import FoldCheckpoints

    age_key, donor_key = check_trained_on(adata, age_key, donor_key)
    _check_n_folds(n_folds)
    for argument, key in (("sample_key", sample_key), ("cell_type_key", cell_type_key)):
        if key is not None:
            check_obs_key(adata, key, argument=argument)
    names = ClockInput(age_key, donor_key, sample_key, cell_type_key, [], layer, log_normalized)
    cells, cohort = read_clock_cells(adata, names)
    generator = as_generator(rng)
    fold, n_folds = assign_folds(cohort, n_folds, generator)
    known = np.isfinite(cohort.age)

    asked = cells.without_ages()
    seeds = [int(generator.integers(2**31)) for _ in range(n_folds)]
    kept = FoldCheckpoints(
        folder,
        arguments={**names._asdict(), "method": method, "model_kwargs": model_kwargs},
        data={"the cells": cells._asdict(), "`var_names`": adata.var_names, "the folds": fold},
        seeds=seeds,
    )
    parts, genes = [], np.zeros(adata.n_vars, bool)
    for k in tqdm(range(n_folds), desc=method, unit="fold", disable=not progress_bar, leave=False):
        told = kept.arrays(k)
        if told is None:
            train = cells.of_units(np.flatnonzero((fold != k) & known))
            told = _predict(clock.fit(train, rng=seeds[k]), asked)
            kept.keep_arrays(k, told)
        genes[told["genes"]] = True
        parts.append(told)
    warn_of_empty(cells.x, "they count as cells that express nothing")

    by_fold = np.array([part["predicted"] for part in parts])
    cell_fold = fold[cohort.unit]
    predicted = _held_out(by_fold, cell_fold)
    specific = _join([part.get("specific") for part in parts], cell_fold)
    if specific is None:
        specific = np.full(adata.n_obs, np.nan)
    columns, donors = cross_fitted_tables(cohort, fold, n_folds, predicted, specific)
    weight = _join([part.get("weight") for part in parts], cell_fold)
    if weight is not None:
        columns["weight"] = weight
    cross_fitted_intervals(
        adata,
        columns,
        donors,
        cohort,
        fold=fold,
        by_fold=by_fold,
        cell_type_key=cell_type_key,
        level=level,
    )
    # Folds whose training donors tell nothing read no genes; then all were there to be read.
    used = adata.var_names[genes if genes.any() else slice(None)]
    record = {
        "params": recorded_params(
            **names._asdict(),
            method=method,
            input=clock.input,
            mode="cross_fit",
            n_folds=n_folds,
            level=float(level),
            rng=rng if isinstance(rng, int | np.integer) else None,
            model_kwargs=plain(model_kwargs),
        ),
        "age_unit": str(adata.uns.get("age_unit", "years")),
        "coverage": match_coverage(match_genes(adata, used.tolist(), min_coverage=0.0)),
    }
    return None, *assess(columns, record, donors, cohort, held_out=True)


def _predict(fitted: FittedClock, cells: ClockCells) -> dict[str, np.ndarray]:
    """Return what one fold clock says of every cell, and the positions of the genes that it reads.

    ``"specific"`` and ``"weight"`` are missing where it says nothing of them.
    """
    of_cells = fitted.predict_cells(cells)
    weights = getattr(fitted, "weights", None)
    found = {
        "predicted": fitted.predict(cells)[cells.unit] if of_cells is None else of_cells,
        "specific": fitted.predict_specific(cells),
        "weight": None if weights is None else weights(cells),
        "genes": np.asarray(getattr(fitted, "genes", []), dtype=np.int64),
    }
    return {name: values for name, values in found.items() if values is not None}


def _join(parts: Sequence[np.ndarray | None], cell_fold: np.ndarray) -> np.ndarray | None:
    told = [part for part in parts if part is not None]
    return _held_out(np.array(told), cell_fold) if len(told) == len(parts) else None


def _held_out(by_fold: np.ndarray, cell_fold: np.ndarray) -> np.ndarray:
    """Values by the clock that never saw the cell, the mean where none did (fold −1)."""
    own = by_fold[cell_fold, np.arange(len(cell_fold))]
    return np.where(cell_fold < 0, by_fold.mean(axis=0), own)
