"""Predicted ages of cells and donors."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._arguments import (
    check_devices,
    check_flags,
    check_names,
    check_options,
    check_share,
    check_whole,
    read_checkpoint_dir,
)
from .._docs import docs
from .._keys import AGE_CLOCK, AgeClockKeys
from .._settings import settings
from .._validate import check_adata, check_key_added, check_writable, listing
from ._age_apply import (
    DEFAULT_CELL_TYPE_KEY,
    DEFAULT_DONOR_KEY,
    apply_clock,
    covariate_columns,
)
from ._age_cross_fit import cross_fit
from ._age_cross_fit_method import DEFAULT_METHOD, cross_fit_method, make_method
from ._age_intervals import check_level
from ._age_record import write_result

if TYPE_CHECKING:
    from anndata import AnnData

    from ..model import AgeClock, LinearClock, PublishedClock

logger = logging.getLogger("sctools")


@docs.dedent
def age_clock(
    adata: AnnData,
    model: AgeClock | LinearClock | PublishedClock | str | os.PathLike[str] | None = None,
    *,
    method: str = DEFAULT_METHOD,
    age_key: str | None = "age",
    donor_key: str | None = DEFAULT_DONOR_KEY,
    sample_key: str | None = None,
    cell_type_key: str | None = DEFAULT_CELL_TYPE_KEY,
    covariate_keys: Sequence[str] | Mapping[str, str] | None = None,
    layer: str | None = None,
    log_normalized: bool = False,
    gene_key: str | None = None,
    min_coverage: float = 0.5,
    n_folds: int = 5,
    model_kwargs: Mapping[str, Any] | None = None,
    train_kwargs: Mapping[str, Any] | None = None,
    batch_size: int = 4096,
    level: float = 0.9,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    key_added: str = AGE_CLOCK,
    rng: int | np.random.Generator | None = 0,
    progress_bar: bool | None = None,
    copy: bool = False,
    return_model: bool = False,
) -> Any:
    """Predict the age of every cell and donor from raw counts.

    Without ``model`` a clock is trained on ``adata`` itself and *cross-fitted*: donors are split
    into folds, and every donor with a known age is predicted by a clock that saw none of its cells.
    Cells of donors without an age get the mean of the fold clocks. With ``model`` a trained clock
    is applied; ages are then not needed.

    A cell's value is the calibrated age of its donor plus the deviations of its cell type in that
    donor and of the cell itself, so the mean over a donor's cells is the donor's predicted age.
    Predictions are shrunk towards the mean age as far as held-out donors demand; a clock that does
    not beat the mean age says so.

    Parameters
    ----------
    adata
        Annotated data, cells × genes, with counts. With ``model``, they may be in a backed file or
        a dask array, of which a block of cells is in memory at a time.
    model
        :class:`~sctools.model.AgeClock`, :class:`~sctools.model.LinearClock` or
        :class:`~sctools.model.PublishedClock`; the directory of a saved one; or the name of a
        ready-made one, such as ``"scimmuaging"``, which is downloaded once (see
        :func:`sctools.model.load_clock`; a name wins over a directory called the same). ``None``
        cross-fits.
    method
        What is cross-fitted without ``model``. ``"gma"`` is :class:`~sctools.model.AgeClock`, to
        which all that follows applies. The others are those of :func:`sctools.tl.compare_clocks`,
        on the same folds: ``"elastic_net"``, ``"ridge"``, ``"pls"``, ``"mlp"``,
        ``"autoencoder"``, ``"donor_attention"``, and with the extra of the same name ``"xgboost"``
        and ``"catboost"``. They have neither ``covariate_keys`` nor a clock to return, no training
        history and no genes. ``"elastic_net"``, ``"ridge"`` and ``"pls"`` pool cells and give all
        cells of a donor its age, unless ``model_kwargs={"input": "cells"}``.
        ``"donor_attention"`` also tells how much each cell weighs in the age of its donor.
    age_key
        Column of ``obs`` with ages: numbers, NaN where unknown, one per donor (or sample). The unit
        is ``adata.uns["age_unit"]``, years where that is missing. With a ``model`` the column may
        be missing, and ``None`` leaves ages that are there out of it.
    donor_key
        Column of ``obs`` that tells donors apart. With a ``model`` it may be ``None`` (or the
        default column may be missing): every cell then stands on its own.
    sample_key
        Column of ``obs`` that tells a donor's samples apart, where donors gave several at different
        ages. Each sample is predicted; folds and tests stay by donor.
    cell_type_key
        Column of ``obs`` with cell types; expression is centred within each. ``None`` for none. A
        missing column raises, unless it is the default.
    covariate_keys
        Further categorical columns of ``obs`` to predict from, such as ``["sex"]``. With a
        ``model`` the names used in training are taken; a mapping names other columns for them.
        Only for ``"gma"``.
    layer
        Layer with counts. ``None`` reads ``adata.X``.
    log_normalized
        The values are log1p of depth-normalised counts. Never guessed: by default counts are
        expected and checked.
    gene_key
        Column of ``var`` with the gene names that a given ``model`` knows. By default
        ``var_names``, then common columns; see :func:`sctools.pp.match_genes`.
    min_coverage
        Least fraction of a given model's genes that must be found.
    n_folds
        Number of donor folds, at least 2; never more than donors.
    model_kwargs
        Arguments for :class:`~sctools.model.AgeClock`, or for another method those of
        ``method_kwargs`` in :func:`sctools.tl.compare_clocks`, and ``input``, what it reads. Only
        without ``model``.
    train_kwargs
        Arguments for :meth:`sctools.model.AgeClock.train`. Only without ``model``, and for
        ``"gma"``.
    batch_size
        Cells that are read at a time in prediction; it never changes results.
    level
        Share of new donors whose age the intervals should cover, above 0 and below 1.
    checkpoint_dir
        Directory to keep every finished fold in: a run that was cut off and is started again with
        the same arguments and data goes on from there, to the same result. See the user guide
        on scale. Only without ``model``, and with a seed.
    key_added
        Name of the result.
    %(rng)s
    progress_bar
        Show a progress bar while training. ``None`` follows ``sctools.settings.progress_bar``.
    copy
        Work on a copy and return it.
    return_model
        Return the clock: the given one, or one that predicts the mean of the fold clocks
        (:meth:`sctools.model.AgeClock.split` gives these back). Only for ``"gma"``.

    Returns
    -------
    ``None``; the copy with ``copy=True``; the clock with ``return_model=True``; ``(copy, clock)``
    with both. Written to ``adata``:

    - ``obs[key_added]``: predicted age, float64, in the unit of age;
    - ``obs[key_added + "_lower"]``, ``obs[key_added + "_upper"]``: interval of the age of the
      donor that the cell comes from, float64 (see Notes; after cross-fitting, or with an
      :class:`~sctools.model.AgeClock` and donors);
    - ``obs[key_added + "_acceleration"]``: residual of the predicted on the known age, from a line
      over donors, float64 (where ages are known);
    - ``obs[key_added + "_fold"]``: fold whose clock predicted the cell, categorical strings, NaN
      for donors without an age (after cross-fitting);
    - ``obs[key_added + "_weight"]``: weight of the cell in the age of its donor (of its sample,
      with ``sample_key``), float64, above 0; they sum to 1 over the donor's (or sample's) cells,
      and come from the clock or clocks that predicted it (``"donor_attention"`` only);
    - ``uns[key_added]``: ``params`` (with a published clock whose weights are not the published
      ones any more, ``trained_further``: ``n_epochs``, ``n_cells`` and ``n_donors``, one value per
      :meth:`sctools.model.PublishedClock.train`, NaN where not known), ``age_unit``, ``donors``
      (one row per donor or sample: age, predicted age, its interval ``lower`` to ``upper``,
      ``borrowed`` (the part of the predicted age that the donor's cells share beyond what is said
      of each cell type by itself; NaN where nothing is, with pooled cells as input and with
      ``"donor_attention"``), ``mean_age`` of the donors it was compared with, acceleration, fold,
      number of cells), ``metrics`` (``donor`` and ``cell``: n, mae, rmse, r, spearman, ``mae_mean``
      of the mean age, and of intervals, if any, ``coverage``, the share of the donors whose age
      they hold, and the median ``width``; ``beats_mean``, a one-sided test over donors at 5 %% with
      its ``p_value``; and a ``message`` in words; with a given model ``n_seen``, the donors whose
      names it was trained on), ``coverage`` of genes (and, with a published clock, ``categories``:
      how each label was read), ``history`` of training (of ``"gma"``), ``acceleration`` (intercept
      and slope of the line), and ``genes`` (with an :class:`~sctools.model.AgeClock` and donors;
      one row per cell type of at least 3 donors and gene that the clock uses: ``score``, the years
      by which a donor's predicted age rises per standard deviation of the gene in that type,
      ``score_sd`` over the fold clocks, ``agreement`` of their signs, and ``gene_sd``, how much the
      gene varies over donors in those standard deviations; see :func:`sctools.get.age_genes_df`).

    Raises
    ------
    KeyError
        A column or layer is missing, or there are neither ages nor a model.
    OSError
        A ready-made clock could not be downloaded, or needs local files; a checkpoint cannot be
        written; ``ImportError`` where the
        extra ``clocks``, or that of a ``method``, is missing.
    TypeError
        Ages are not numbers, ``model`` is not a clock, ``method`` has no such argument, or an
        argument is of a wrong type.
    ValueError
        ``method`` is unknown, or given with what it does not take (``model``, ``covariate_keys``,
        ``train_kwargs``, ``return_model``).
        Values are not counts (or not log-normalised where that is declared); fewer than 3 donors
        with an age, all ages equal, negative or unknown; a donor with two ages or without a name;
        repeated ``var_names``; too few of the model's genes; a directory that is not a saved
        clock; ``level`` outside (0, 1); ``checkpoint_dir`` holds a damaged checkpoint or that of
        another run, or is given without a seed. ``adata`` is then as it was.

    Notes
    -----
    The networks follow scAgeClock, without its inert attention block: G. Xie, *scAgeClock*,
    npj Aging 2026, doi:10.1038/s41514-026-00379-5. Gates per cell type, pseudocells, the ridge
    regression over donors, cross-fitting and calibration are ours; see the user guide. So is
    ``"donor_attention"``, after M. Ilse, J. Tomczak, M. Welling, *Attention-based Deep Multiple
    Instance Learning*, ICML 2018, PMLR 80:2127. Its weights say where the method looks, and prove
    nothing about a cell; where they are all equal, no cells were found to tell more than others.

    Intervals are conformal over donors (Lee et al. 2023, doi:10.48550/arXiv.2306.06342): a
    prediction plus or minus what the predictions for other donors, each by a clock that never saw
    it, were off. They cover the ages of a share ``level`` of new donors if these could as well have
    been among the training donors: the same kind of people, tissue and protocol. A donor's own age
    has no part in its interval. That of a cell is for the age of the donor it comes from: it covers
    a share ``level`` of donors for a cell drawn at random from each, and rests on errors of cells
    of its type where at least 20 donors have it, else of all cells. For donors that no fold clock
    saw, the mean of the fold clocks is used, which errs less than each of them; the intervals are
    narrower by that. Bounds are NaN where there are too few donors (9 others for 0.9, 19 for 0.95)
    or the clock does not come from cross-fitting. A :class:`~sctools.model.LinearClock` or
    :class:`~sctools.model.PublishedClock` knows no held-out donors: no intervals are written.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.aging_cohort(12, n_genes=200, n_age_genes=20, cells_per_donor=20)
    >>> few = {"max_epochs": 2}  # for a quick example only
    >>> sctools.tl.age_clock(adata, n_folds=2, train_kwargs=few, progress_bar=False)
    >>> adata.obs["age_clock"].notna().all()
    np.True_
    >>> sorted(adata.uns["age_clock"]["metrics"])
    ['beats_mean', 'cell', 'donor', 'message', 'p_value']

    >>> sctools.tl.age_clock(adata, method="donor_attention", n_folds=2, key_added="attention")
    >>> weight = adata.obs.groupby("donor_id", observed=True)["attention_weight"].sum()
    >>> weight.round(6).unique()
    array([1.])
    """
    check_adata(adata)
    check_flags(log_normalized=log_normalized, copy=copy, return_model=return_model)
    check_flags(progress_bar=progress_bar)
    check_names(method=method, age_key=age_key, donor_key=donor_key, sample_key=sample_key)
    check_names(cell_type_key=cell_type_key, layer=layer, gene_key=gene_key)
    check_options(model_kwargs=model_kwargs, train_kwargs=train_kwargs)
    check_share(min_coverage, "min_coverage")
    folder = read_checkpoint_dir(checkpoint_dir, rng)
    check_devices(train_kwargs, rng)
    keys = AgeClockKeys.of(check_key_added(adata, key_added))
    inputs = [
        age_key,
        donor_key,
        sample_key,
        cell_type_key,
        *covariate_columns(covariate_keys),
    ]
    _keep_inputs(keys, inputs)
    _keep_others(adata, keys)
    check_whole(batch_size, "batch_size")
    check_level(level)
    clock_method = make_method(
        method,
        has_model=model is not None,
        covariate_keys=covariate_keys,
        model_kwargs=dict(model_kwargs or {}),
        train_kwargs=train_kwargs,
        return_model=return_model,
    )
    check_writable(adata, copy=copy)
    shown = settings.progress_bar if progress_bar is None else progress_bar
    result: tuple[Any, dict[str, Any], dict[str, Any]]
    if clock_method is not None:
        result = cross_fit_method(
            adata,
            clock_method,
            method,
            age_key=age_key,
            donor_key=donor_key,
            sample_key=sample_key,
            cell_type_key=_default_cell_type(adata, cell_type_key),
            layer=layer,
            log_normalized=log_normalized,
            n_folds=n_folds,
            model_kwargs=dict(model_kwargs or {}),
            level=level,
            folder=folder,
            rng=rng,
            progress_bar=shown,
        )
    elif model is None:
        result = cross_fit(
            adata,
            age_key=age_key,
            donor_key=donor_key,
            sample_key=sample_key,
            cell_type_key=_default_cell_type(adata, cell_type_key),
            covariate_keys=_listed(covariate_keys),
            layer=layer,
            log_normalized=log_normalized,
            n_folds=n_folds,
            model_kwargs=dict(model_kwargs or {}),
            train_kwargs=dict(train_kwargs or {}),
            batch_size=batch_size,
            level=level,
            folder=folder,
            rng=rng,
            progress_bar=shown,
        )
    else:
        if model_kwargs or train_kwargs or folder is not None:
            raise ValueError(
                "`model_kwargs`, `train_kwargs` and `checkpoint_dir` are for training, but a "
                "trained `model` was given. Leave them out, or leave `model` out to train."
            )
        result = apply_clock(
            adata,
            model,
            age_key=age_key,
            donor_key=donor_key,
            sample_key=sample_key,
            cell_type_key=cell_type_key,
            covariate_keys=covariate_keys,
            layer=layer,
            log_normalized=log_normalized,
            gene_key=gene_key,
            min_coverage=min_coverage,
            batch_size=batch_size,
            level=level,
        )
    clock, columns, record = result
    target = adata
    if copy:
        target = adata.to_memory() if adata.isbacked else adata.copy()
    write_result(target, keys, columns, record)
    if "metrics" in record:
        honest = record["metrics"]["beats_mean"] and not record["metrics"].get("n_seen")
        level = logging.INFO if honest else logging.WARNING
        logger.log(level, record["metrics"]["message"])
    returned = [value for value, asked in ((target, copy), (clock, return_model)) if asked]
    return tuple(returned) if len(returned) == 2 else (returned[0] if returned else None)


def _keep_inputs(keys: AgeClockKeys, inputs: Sequence[str | None]) -> None:
    taken = [name for name in keys[1:] if name in inputs]
    if taken:
        raise ValueError(
            f"`key_added={keys.uns!r}` would overwrite {listing(taken)} in `adata.obs`, which is "
            "read here. Choose another name."
        )


def _keep_others(adata: AnnData, keys: AgeClockKeys) -> None:
    """Raise where ``obs`` holds something else than ages under this name."""
    column = adata.obs.get(keys.predicted)
    if column is not None and not pd.api.types.is_float_dtype(column.dtype):
        raise ValueError(
            f"`key_added={keys.uns!r}` would overwrite `adata.obs[{keys.predicted!r}]`, which "
            f"holds no ages (dtype {column.dtype}). Choose another name."
        )


def _default_cell_type(adata: AnnData, cell_type_key: str | None) -> str | None:
    if cell_type_key == DEFAULT_CELL_TYPE_KEY and cell_type_key not in adata.obs.columns:
        logger.warning(
            "No column 'cell_type' in adata.obs: the clock works without cell types. Name their "
            "column with `cell_type_key=` (available: %s), or pass None.",
            listing(adata.obs.columns),
        )
        return None
    return cell_type_key


def _listed(keys: Sequence[str] | Mapping[str, str] | None) -> list[str]:
    if isinstance(keys, Mapping):
        raise TypeError(
            "`covariate_keys` as a mapping is for a given `model`; to train, list the columns."
        )
    return covariate_columns(keys)
