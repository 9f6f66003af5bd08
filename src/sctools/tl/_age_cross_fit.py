"""Cross-fitting of an age clock: every donor is predicted by a clock that never saw it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._arguments import as_generator, named_options
from .._validate import check_obs_key
from ..pp._clock_input import ClockInput
from ..pp._cohort import BOTH_WAYS, read_ages, read_cohort
from ..pp._expression import get_expression
from ..pp._match_genes import check_unique_genes
from ._age_folds import UNLABELLED, assign_folds
from ._age_genes import clock_genes
from ._age_intervals import cross_fitted_intervals
from ._age_record import (
    Result,
    assess,
    cross_fitted_tables,
    gene_coverage,
    training_table,
)
from ._params import plain, recorded_params

if TYPE_CHECKING:
    from anndata import AnnData

    from ..model import AgeClock


def cross_fit(
    adata: AnnData,
    *,
    age_key: str | None,
    donor_key: str | None,
    sample_key: str | None,
    cell_type_key: str | None,
    covariate_keys: list[str],
    layer: str | None,
    log_normalized: bool,
    n_folds: int,
    model_kwargs: dict[str, Any],
    train_kwargs: dict[str, Any],
    batch_size: int,
    level: float,
    folder: Path | None,
    rng: int | np.random.Generator | None,
    progress_bar: bool,
) -> Result:
    age_key, donor_key = check_trained_on(adata, age_key, donor_key)
    _check_n_folds(n_folds)
    from ..model import AgeClock
    from ..model._age_clock import MAX_EPOCHS
    from ..model._fold_checkpoints import FoldCheckpoints
    from ..model._runner import progress

    check_unique_genes(adata)
    optional = [("sample_key", sample_key), ("cell_type_key", cell_type_key)]
    for argument, name in [*optional, *(("covariate_keys", key) for key in covariate_keys)]:
        if name is not None:
            check_obs_key(adata, name, argument=argument)
    work = _light_copy(
        adata, [age_key, donor_key, sample_key, cell_type_key, *covariate_keys], layer
    )
    work.obs[age_key] = read_ages(work, age_key)
    names = ClockInput(
        age_key, donor_key, sample_key, cell_type_key, covariate_keys, None, log_normalized
    )
    names.check(work)
    cohort = read_cohort(work, age_key=age_key, donor_key=donor_key, sample_key=sample_key)
    generator = as_generator(rng)
    fold, n_folds = assign_folds(cohort, n_folds, generator)
    cell_fold = fold[cohort.unit]
    known = np.isfinite(cohort.age)

    seeds = [int(generator.integers(2**31)) for _ in range(n_folds)]
    kept = FoldCheckpoints(
        folder,
        arguments={
            **names._replace(layer=layer)._asdict(),
            "method": "gma",
            "n_folds": n_folds,
            "model_kwargs": model_kwargs,
            "train_kwargs": train_kwargs,
        },
        data=_read_by_training(work, fold),
        seeds=seeds,
    )
    predicted, specific = np.full((2, adata.n_obs), np.nan)
    clocks: list[AgeClock] = []
    max_epochs = int(train_kwargs.get("max_epochs", MAX_EPOCHS))
    with progress(progress_bar and n_folds * max_epochs, "age clock") as tick:
        for k in range(n_folds):
            clock = kept.clock(k)
            if clock is None:
                train = (cell_fold != k) & (cell_fold != UNLABELLED)
                clock = _train(
                    work[train & known[cohort.unit]].copy(),
                    names,
                    model_kwargs,
                    {"rng": seeds[k], **train_kwargs},
                    tick,
                    max_epochs,
                )
                kept.keep_clock(k, clock)
            elif tick is not None:
                for _ in range(max_epochs):
                    tick()
            clocks.append(clock)
            rows = np.flatnonzero(cell_fold == k)
            predicted[rows], specific[rows] = _predict(
                clock, work[rows], donor_key, sample_key, log_normalized, batch_size
            )
    final = AgeClock.average(clocks)
    warn_of_empty(work.X, "their ages rest on the donor and the covariates alone")
    rows = np.flatnonzero(cell_fold == UNLABELLED)
    if len(rows):
        predicted[rows], specific[rows] = _predict(
            final, work[rows], donor_key, sample_key, log_normalized, batch_size, unseen=True
        )
    columns, donors = cross_fitted_tables(cohort, fold, n_folds, predicted, specific)
    final.intervals = cross_fitted_intervals(
        work,
        columns,
        donors,
        cohort,
        fold=fold,
        by_fold=_predict_by_fold(final, work, donor_key, sample_key, log_normalized, batch_size),
        cell_type_key=cell_type_key,
        level=level,
    )
    record = {
        "params": recorded_params(
            **names._replace(layer=layer)._asdict(),
            method="gma",
            mode="cross_fit",
            n_folds=n_folds,
            level=float(level),
            rng=rng if isinstance(rng, int | np.integer) else None,
            model_kwargs=plain(model_kwargs),
            train_kwargs=plain(train_kwargs),
        ),
        "age_unit": final.age_unit,
        "coverage": gene_coverage(final, work, None, 0.0),
        "history": training_table(clocks),
        **clock_genes(
            final,
            work,
            donor_key=donor_key,
            sample_key=sample_key,
            log_normalized=log_normalized,
            batch_size=batch_size,
        ),
    }
    return final, *assess(columns, record, donors, cohort, held_out=True)


def check_trained_on(adata: AnnData, age_key: str | None, donor_key: str | None) -> tuple[str, str]:
    """Raise unless there are columns with ages and donors, without which there is no training."""
    if age_key is None:
        raise ValueError(f"Neither ages nor a trained clock were given. {BOTH_WAYS}")
    check_obs_key(adata, age_key, argument="age_key", mend=BOTH_WAYS)
    if donor_key is None:
        raise ValueError(
            "Cross-fitting needs donors: name their column with `donor_key=`. Without donors only "
            "a trained clock can be applied (`model=`)."
        )
    check_obs_key(adata, donor_key, argument="donor_key", mend=BOTH_WAYS)
    return age_key, donor_key


def _train(
    adata: AnnData,
    names: ClockInput,
    model_kwargs: dict[str, Any],
    train_kwargs: dict[str, Any],
    tick: Callable[[], None] | None,
    max_epochs: int,
) -> AgeClock:
    from ..model import AgeClock

    AgeClock._register(adata, names)
    with named_options("model_kwargs"):
        clock = AgeClock(adata, **model_kwargs)
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if tick is not None:
            tick()

    train_kwargs.setdefault("progress_bar", False)
    with named_options("train_kwargs"):
        clock.train(on_epoch=count, **train_kwargs)
    while done < max_epochs:  # stopped early: the bar goes on to the next fold
        count()
    return clock


def _predict(
    clock: AgeClock,
    adata: AnnData,
    donor_key: str,
    sample_key: str | None,
    log_normalized: bool,
    batch_size: int,
    *,
    unseen: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*have no counts in the clock's genes.*")
        if not unseen:  # a fold may lack a label that the cohort has: no news to the user
            warnings.filterwarnings("ignore", message=".*were not seen in training.*")
        return clock.predict(
            adata,
            donor_key=donor_key,
            sample_key=sample_key,
            log_normalized=log_normalized,
            batch_size=batch_size,
            return_specific=True,
        )


def _predict_by_fold(
    clock: AgeClock,
    adata: AnnData,
    donor_key: str,
    sample_key: str | None,
    log_normalized: bool,
    batch_size: int,
) -> np.ndarray:
    """Ages by every fold clock, seen donors too: only to tell how far these clocks differ."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # said before
        parts = clock._predict_parts(
            adata,
            donor_key=donor_key,
            sample_key=sample_key,
            log_normalized=log_normalized,
            batch_size=batch_size,
        )
    return np.array([ages.predicted for ages in parts])


def warn_of_empty(x: Any, consequence: str) -> None:
    """Warn once of cells without counts, not once per fold."""
    empty = int((np.asarray(x.sum(axis=1)).ravel() == 0).sum())
    if empty:
        warnings.warn(
            f"{empty} cells have no counts; {consequence}. Consider `scanpy.pp.filter_cells`.",
            UserWarning,
            stacklevel=4,
        )


def _light_copy(adata: AnnData, columns: Sequence[str | None], layer: str | None) -> AnnData:
    """Private AnnData that shares the matrix, so that what scvi-tools writes stays out of sight."""
    import anndata as ad

    matrix = get_expression(adata, layer)
    if adata.isbacked:
        matrix = adata.to_memory().X if layer is None else adata.to_memory().layers[layer]
    if hasattr(matrix, "tocsr"):  # rows are what training takes; CSR stays as it is
        matrix = matrix.tocsr()
    names = list(dict.fromkeys(c for c in columns if c is not None))
    work = ad.AnnData(
        X=matrix, obs=adata.obs[names].copy(), var=pd.DataFrame(index=adata.var_names)
    )
    if "age_unit" in adata.uns:
        work.uns["age_unit"] = str(adata.uns["age_unit"])
    return work


def _read_by_training(work: AnnData, fold: np.ndarray) -> dict[str, Any]:
    """All that cross-fitting reads of the data, by names for messages."""
    columns = {f"`adata.obs[{name!r}]`": work.obs[name] for name in work.obs}
    return {
        "the matrix": work.X,
        "`var_names`": work.var_names,
        "`age_unit`": [work.uns.get("age_unit")],
        **columns,
        "the folds": fold,
    }


def _check_n_folds(n_folds: Any) -> None:
    if isinstance(n_folds, bool) or not isinstance(n_folds, int | np.integer) or n_folds < 2:
        raise ValueError(f"`n_folds` must be a whole number of at least 2, found {n_folds!r}.")
