"""Ways to predict age, compared on the same donor folds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from .._arguments import (
    as_generator,
    check_flags,
    check_list,
    check_names,
    check_options,
    check_whole,
)
from .._docs import docs
from .._keys import CLOCK_COMPARISON
from .._settings import settings
from .._validate import check_adata, check_key_added, check_writable, listing
from ..pp._clock_input import ClockInput
from ._age_apply import DEFAULT_CELL_TYPE_KEY, DEFAULT_DONOR_KEY
from ._age_cells import read_clock_cells
from ._age_clock import _default_cell_type
from ._age_cross_fit import _check_n_folds
from ._age_folds import assign_folds
from ._clock_scores import LEVEL, MEAN_AGE, score_clocks
from ._params import plain, recorded_params

if TYPE_CHECKING:
    from anndata import AnnData

    from ..model._clock_methods import ClockCells, ClockMethod


@docs.dedent
def compare_clocks(
    adata: AnnData,
    methods: Sequence[str] = ("gma", "elastic_net", "ridge", "pls"),
    *,
    inputs: str | Sequence[str] | None = None,
    age_key: str = "age",
    donor_key: str = DEFAULT_DONOR_KEY,
    sample_key: str | None = None,
    cell_type_key: str | None = DEFAULT_CELL_TYPE_KEY,
    layer: str | None = None,
    log_normalized: bool = False,
    n_folds: int = 5,
    n_bootstrap: int = 1000,
    method_kwargs: Mapping[str, Mapping[str, Any]] | None = None,
    key_added: str = CLOCK_COMPARISON,
    rng: int | np.random.Generator | None = 0,
    progress_bar: bool | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Compare the age clock with simple models on the same donors, folds and genes.

    Every donor is predicted by models that saw none of its cells. What a method tunes, it tunes by
    inner folds over the training donors, whose held-out predictions also say how far its own are
    shrunk towards the mean age: the rule of :class:`~sctools.model.AgeClock`, for all. Donors count
    alike, however many cells they gave, unless single cells are the input.

    Parameters
    ----------
    adata
        Annotated data, cells × genes, with counts.
    methods
        What to compare: ``"gma"`` (:class:`~sctools.model.AgeClock`), ``"elastic_net"``,
        ``"ridge"``, ``"pls"`` (partial least squares), ``"mlp"`` (multilayer perceptron),
        ``"autoencoder"`` (whose latent numbers predict age), ``"donor_attention"`` (ridge
        regression on the mean over a donor's cells, weighted by how well cells of their kind tell
        the age; ours, after Ilse, Tomczak and Welling, *Attention-based Deep Multiple Instance
        Learning*, ICML 2018; it uses no cell types), and with the extra of the same name
        ``"xgboost"`` and ``"catboost"``. The mean age of the training donors is always added.
    inputs
        What the methods read: ``"cells"``; ``"pseudocells"``, means of 15 random cells of one donor
        and cell type; ``"sums"``, all cells of a donor and type pooled into one profile, the mean
        of their log-normalised values, with the types side by side for linear methods. Several
        inputs are tried one after the other. ``None``: sums for linear methods, cells for the
        others, which did best in trials on simulated cohorts. ``"gma"`` has pseudocells always, and
        ``"donor_attention"`` cells.
    age_key
        Column of ``obs`` with ages: numbers, NaN where unknown, one per donor (or sample). Donors
        without an age are left out.
    donor_key
        Column of ``obs`` that tells donors apart.
    sample_key
        Column of ``obs`` that tells a donor's samples apart, where donors gave several at different
        ages. Each sample is predicted; folds and bootstrap stay by donor.
    cell_type_key
        Column of ``obs`` with cell types. ``None`` for none. A missing column raises, unless it is
        the default.
    layer
        Layer with counts. ``None`` reads ``adata.X``.
    log_normalized
        The values are log1p of depth-normalised counts. Never guessed: by default counts are
        expected and checked.
    n_folds
        Number of donor folds, at least 2; never more than donors. With the same ``rng`` they are
        those of :func:`sctools.tl.age_clock`.
    n_bootstrap
        Number of resamples of the donors.
    method_kwargs
        Further arguments by method, such as ``{"gma": {"max_epochs": 20}, "elastic_net":
        {"l1_ratio": 1.0}}``: of :class:`~sctools.model.AgeClock` and its ``train`` for ``"gma"``;
        ``calibrated``, ``n_clusters``, which lists values to choose from, ``n_components``,
        ``n_inner_folds`` and ``n_top_genes`` for ``"donor_attention"``; for the others
        ``calibrated``, ``side_by_side``, ``pseudocell_size``, ``n_pseudocells``,
        ``n_inner_folds``, ``n_top_genes``, and ``l1_ratio`` (``"elastic_net"``), ``n_epochs``
        (networks), ``n_trees`` and ``depths`` (trees), which list values to choose from.
    key_added
        Name of the result.
    %(rng)s
    progress_bar
        Show a progress bar over methods and folds. ``None`` follows
        ``sctools.settings.progress_bar``.
    copy
        Work on a copy and return it.

    Returns
    -------
    ``None``, or the copy with ``copy=True``. Written to ``adata``: ``uns[key_added]`` with

    - ``results``: a DataFrame with one row per method and input and one for the mean age:
      ``method``, ``input``, errors of donors (or samples) ``mae`` with the 95 %% bootstrap interval
      over donors ``mae_lower`` to ``mae_upper``, ``rmse``, ``r``, ``spearman``; ``cell_mae``, NaN
      where a method does not predict cells; ``difference``, the mean paired difference in absolute
      error against the best baseline (negative where better), with ``difference_lower`` and
      ``difference_upper``; ``time_ratio``, processor time over that of ``"ridge"`` in the same run,
      NaN without it and for the mean age;
    - ``predictions``: a DataFrame of donors × methods;
    - ``donors``: a DataFrame with the same rows: donor, sample, age, fold, number of cells;
    - ``best_baseline``: the row of the lowest ``mae`` other than ``"gma"``; it is the best in
      hindsight, which flatters it;
    - ``age_unit`` and ``params``.

    Raises
    ------
    ImportError
        A method's library is missing; the message names the extra.
    KeyError
        A column or layer is missing.
    TypeError
        Ages are not numbers, a method has no such argument, or an argument is of a wrong type.
    ValueError
        A method or an input is unknown, an argument is out of range, values are not counts (or not
        log-normalised where that is declared), fewer than 3 donors have an age, or all have the
        same. ``adata`` is then as it was.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.aging_cohort(12, n_genes=200, n_age_genes=20, cells_per_donor=20)
    >>> sctools.tl.compare_clocks(adata, ["ridge", "pls"], n_folds=3, progress_bar=False)
    >>> adata.uns["compare_clocks"]["results"].index.tolist()
    ['ridge', 'pls', 'mean_age']
    >>> adata.uns["compare_clocks"]["predictions"].shape
    (12, 3)
    """
    check_adata(adata)
    check_flags(log_normalized=log_normalized, progress_bar=progress_bar, copy=copy)
    check_names(age_key=age_key, donor_key=donor_key, sample_key=sample_key)
    check_names(cell_type_key=cell_type_key, layer=layer)
    check_options(method_kwargs=method_kwargs)
    check_options(**(method_kwargs or {}))
    check_writable(adata, copy=copy)
    check_key_added(adata, key_added)
    _check_n_folds(n_folds)
    check_whole(n_bootstrap, "n_bootstrap")
    clocks = make_methods(methods, inputs, method_kwargs or {})
    cell_type_key = _default_cell_type(adata, cell_type_key)
    names = ClockInput(age_key, donor_key, sample_key, cell_type_key, [], layer, log_normalized)
    generator = as_generator(rng)
    folds = read_folds(adata, names, n_folds, generator)
    shown = settings.progress_bar if progress_bar is None else progress_bar
    predictions, cell_mae, seconds = run_clocks(folds, clocks, generator, shown=shown)
    ridge = next((name for name in clocks if clocks[name].name == "ridge"), None)
    table = pd.DataFrame(
        {
            "method": [*(clock.name for clock in clocks.values()), MEAN_AGE],
            "input": [*(clock.method.input for clock in clocks.values()), "none"],
            "cell_mae": [cell_mae[name] for name in (*clocks, MEAN_AGE)],
            "time_ratio": [
                *(seconds[name] / seconds[ridge] if ridge else np.nan for name in clocks),
                np.nan,
            ],
        },
        index=[*clocks, MEAN_AGE],
    )
    results, best = score_clocks(
        table, folds.donors, predictions, n_bootstrap=int(n_bootstrap), rng=generator
    )
    record = {
        "params": recorded_params(
            method="compare_clocks",
            methods=[str(name) for name in methods],
            inputs=inputs if inputs is None else [str(name) for name in np.atleast_1d(inputs)],
            **names._asdict(),
            n_folds=folds.n_folds,
            n_bootstrap=int(n_bootstrap),
            level=LEVEL,
            rng=rng if isinstance(rng, int | np.integer) else None,
            method_kwargs={name: plain(given) for name, given in (method_kwargs or {}).items()},
        ),
        "age_unit": str(adata.uns.get("age_unit", "years")),
        "results": results,
        "predictions": predictions,
        "donors": folds.donors,
        "best_baseline": best,
    }
    target = adata
    if copy:
        target = adata.to_memory() if adata.isbacked else adata.copy()
    target.uns[key_added] = record
    return target if copy else None


class NamedMethod(NamedTuple):
    """A clock method and the name it was asked for by."""

    name: str
    method: ClockMethod


class DonorFolds(NamedTuple):
    """Cells of donors with a known age, and the fold of each.

    Attributes
    ----------
    cells
        The cells, normalised.
    donors
        One row per donor or sample: ``donor``, (``sample``,) ``age``, ``fold``, ``n_cells``.
    fold
        Fold of every row.
    n_folds
        Number of folds.
    """

    cells: ClockCells
    donors: pd.DataFrame
    fold: np.ndarray
    n_folds: int


def make_methods(
    methods: Sequence[str],
    inputs: str | Sequence[str] | None,
    method_kwargs: Mapping[str, Mapping[str, Any]],
) -> dict[str, NamedMethod]:
    """Clock methods by the names of their rows; raise on whatever cannot be run."""
    from ..model._clock_methods import INPUTS, METHODS, OWN_INPUT, clock_method

    methods = check_list(methods, "methods")
    unknown = [name for name in methods if name not in METHODS]
    if unknown or not methods or len(set(methods)) < len(methods):
        raise ValueError(
            f"`methods` must name some of {listing(METHODS)}, each once; found "
            f"{listing(unknown or methods)}."
        )
    tried: list[str | None] = [inputs] if inputs is None or isinstance(inputs, str) else []
    tried = tried or [*check_list(inputs, "inputs")]
    unknown = [name for name in tried if name is not None and name not in INPUTS]
    if unknown or not tried or len(set(tried)) < len(tried):
        raise ValueError(
            f"`inputs` must name some of {listing(INPUTS)}, each once; found "
            f"{listing(unknown or tried)}."
        )
    strange = [name for name in method_kwargs if name not in methods]
    if strange:
        raise ValueError(
            f"`method_kwargs` is for {listing(strange)}, which `methods` does not name: "
            f"{listing(methods)}."
        )
    clocks = {}
    for name in methods:
        given = dict(method_kwargs.get(name, {}))
        own = name in OWN_INPUT
        for choice in [None] if own else tried:
            row = name if own or len(tried) == 1 else f"{name}, {choice}"
            clocks[row] = NamedMethod(name, clock_method(name, input=choice, **given))
    return clocks


def read_folds(
    adata: AnnData, names: ClockInput, n_folds: int, rng: np.random.Generator
) -> DonorFolds:
    """Check and normalise the cells of donors with a known age, and deal the donors out."""
    cells, cohort = read_clock_cells(adata, names)
    fold, n_folds = assign_folds(cohort, n_folds, rng)
    known = np.flatnonzero(np.isfinite(cohort.age))
    cells = cells.of_units(known)
    donors = pd.DataFrame({"donor": cohort.donor[known]}, index=cohort.names[known].astype(str))
    if cohort.sample is not None:
        donors["sample"] = cohort.sample[known]
    donors["age"] = cohort.age[known]
    donors["fold"] = pd.Categorical(fold[known].astype(str), [str(k) for k in range(n_folds)])
    donors["n_cells"] = np.bincount(cells.unit, minlength=len(known))
    return DonorFolds(cells, donors, fold[known], n_folds)


def run_clocks(
    folds: DonorFolds,
    clocks: Mapping[str, NamedMethod],
    rng: np.random.Generator,
    *,
    shown: bool = False,
) -> tuple[pd.DataFrame, dict[str, float], dict[str, float]]:
    """Held-out predictions of every donor, the error of cells, and processor time, by clock."""
    from tqdm.auto import tqdm

    cells, age = folds.cells, folds.donors["age"].to_numpy()
    columns = [*clocks, MEAN_AGE]
    predictions = pd.DataFrame(np.nan, index=folds.donors.index, columns=columns)
    of_cells = {name: np.full(len(cells.unit), np.nan) for name in columns}
    seconds = dict.fromkeys(columns, 0.0)
    with tqdm(
        total=folds.n_folds * len(clocks), desc="clocks", disable=not shown, leave=False
    ) as bar:
        for k in range(folds.n_folds):
            train, test = np.flatnonzero(folds.fold != k), np.flatnonzero(folds.fold == k)
            seen, asked = cells.of_units(train), cells.of_units(test).without_ages()
            rows = np.flatnonzero(folds.fold[cells.unit] == k)
            seed = int(rng.integers(2**31))
            predictions.iloc[test, columns.index(MEAN_AGE)] = age[train].mean()
            of_cells[MEAN_AGE][rows] = age[train].mean()
            for position, (name, clock) in enumerate(clocks.items()):
                start = time.process_time()
                fitted = clock.method.fit(seen, rng=seed)
                predictions.iloc[test, position] = fitted.predict(asked)
                seconds[name] += time.process_time() - start
                ages = fitted.predict_cells(asked)
                if ages is not None:
                    of_cells[name][rows] = ages
                bar.update()
    truth = age[cells.unit]
    cell_mae = {name: float(np.abs(values - truth).mean()) for name, values in of_cells.items()}
    return predictions, cell_mae, seconds
