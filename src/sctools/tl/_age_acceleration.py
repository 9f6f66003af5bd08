"""Who ages faster than the reference: groups compared with donors as the unit."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from .._arguments import check_columns, check_flags, check_names
from .._keys import AGE_ACCELERATION, AGE_CLOCK, AgeAccelerationKeys
from .._validate import check_adata, check_key_added, check_result, check_writable
from ..get._columns import as_groups
from ..pp._cohort import Cohort
from ._acceleration_input import (
    MIN_DONORS,
    Comparison,
    Names,
    check_separable,
    choose_names,
    comparisons,
    covariate_columns,
    read_groups,
    read_predicted,
    read_units,
)
from ._group_effect import group_effect, reference_line
from ._params import recorded_params

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger("sctools")

ALL_CELLS = "all cells"
"""Row of the tables that is about all cells of a donor."""

CURVE_DONORS = 30
"""Donors from which on tests adjust for a curve of age."""

ADI_SCALE = {"years": 25.0, "months": 300.0, "weeks": 1304.5, "days": 9131.0}
"""The 25 years of the published index, by unit of age."""


def age_acceleration(
    adata: AnnData,
    groupby: str,
    *,
    reference: str | None = None,
    key: str = AGE_CLOCK,
    covariates: Sequence[str] | None = None,
    age_key: str | None = None,
    donor_key: str | None = None,
    sample_key: str | None = None,
    cell_type_key: str | None = None,
    specific: bool = True,
    age_degree: int | None = None,
    equal_spread: bool = False,
    min_cells: int = 5,
    level: float = 0.95,
    key_added: str = AGE_ACCELERATION,
    copy: bool = False,
) -> AnnData | None:
    r"""Test whether groups of donors are predicted older than the reference at the same age.

    For every cell type, a donor's predicted age is the mean over its cells. A line of predicted on
    known age is fitted over the reference donors, and a donor's *acceleration* is its distance from
    that line. A plain difference of predicted and known age would make young donors look old and
    old ones young, since every honest prediction is drawn to the mean age.

    Groups are compared in a linear model of the donors' predicted ages with the known age, the
    group and the ``covariates``. **Donors are the unit**: the number of cells only says how
    precisely a donor is known, so that no number of cells makes up for few donors.

    Parameters
    ----------
    adata
        Annotated data that :func:`sctools.tl.age_clock` was run on, cross-fitted or with a given
        clock.
    groupby
        Column of ``obs`` with the group of every donor, such as the disease. Donors with a missing
        value take no part. With samples (``sample_key``) a donor may be in several groups, such as
        before and after a treatment.
    reference
        The group that others are compared with; the line is fitted on its donors. ``None`` fits the
        line on the donors of all groups, and compares the second of two groups with the first, or
        each of more groups with all the others.
    key
        Name under which :func:`sctools.tl.age_clock` stored its result (its ``key_added``).
    covariates
        Columns of ``obs`` to adjust for, one value per donor (or sample), such as ``["sex",
        "batch"]``; ``None`` for none. Columns of numbers are taken as they are, others as labels.
        Age is always adjusted for.
    age_key, donor_key, sample_key, cell_type_key
        Columns of ``obs``. ``None`` takes those that the result was computed with. Where the donors
        of the result gave several samples, these are recorded with it.
    specific
        Leave out of the cell types what a cell's predicted age borrows from the other cells of its
        donor (``borrowed`` in the clock's table of donors), so that a change in one cell type stays
        there. ``False`` takes ``obs[key]`` as it is: less noise, but part of a type's acceleration
        shows in the others. A result without that column is taken as it is. A clock that says
        nothing of a cell type by itself (``method="ridge"``, ``"donor_attention"`` and others of
        :func:`sctools.tl.age_clock`; ``borrowed`` is NaN) can be tested over all cells only, unless
        ``False``: its cell types have the age of the donor, whichever cells tell it.
    age_degree
        Degree of the polynomial of age that the tests adjust for, 1 to 3. Predictions often level
        off among the youngest and oldest. 3 allows for that, which matters where groups differ in
        age and makes intervals shorter, for two degrees of freedom more. ``None`` takes 3 where 30
        donors or more are compared, else 1.
    equal_spread
        Donors of all groups spread alike. By default they need not (as in Welch's test): patients
        often differ more from each other than the healthy do, and tests that take the spread for
        equal then find too much in small groups. Where it is equal, ``True`` finds more in groups
        of unequal size.
    min_cells
        Cells of a type that a donor must have to count in it.
    level
        Level of the intervals, between 0 and 1.
    key_added
        Name of the result.
    copy
        Work on a copy and return it.

    Returns
    -------
    ``None``, or the copy with ``copy=True``. Written to ``adata``:

    - ``obs[key_added]``: acceleration of every cell, its predicted age minus the line of its cell
      type at its age; float64, in the unit of age, NaN where the age or the line is missing;
    - ``uns[key_added]``: ``params``, ``age_unit`` and three tables:

      ``results``, one row per cell type (and ``"all cells"``) and group: ``cell_type``, ``group``,
      ``reference``, ``effect`` (adjusted difference in predicted age, in the unit of age),
      ``error`` (its standard error), ``lower`` and ``upper`` (the interval), ``p`` (two-sided),
      ``q`` (Benjamini-Hochberg over the cell types of a group; for ``"all cells"``, which is one
      test, ``p`` itself), ``slope`` (of the reference line: what a year of age changes in the
      prediction), ``n_donors``, ``n_donors_reference``, ``n_cells``, ``n_cells_reference`` and
      ``note`` (why a row could not be tested; its figures are NaN);

      ``donors``, one row per donor (or sample) and cell type: ``donor``, ``sample`` (if there are),
      ``cell_type``, ``group``, ``age``, ``predicted``, ``acceleration``, ``adi``, ``n_cells``;

      ``lines``, one row per cell type: ``intercept``, ``slope``, ``n_donors``.

    Raises
    ------
    KeyError
        There is no result under ``key``, or a column is missing.
    TypeError
        ``covariates`` is no list of columns, or another argument is of a wrong type.
    ValueError
        No ages or no donors are known; ``groupby`` holds the donors, tells fewer than two groups
        apart, or has a group of fewer than three donors; ``reference`` is no group; a donor is in
        several groups, or has several values of a covariate, without samples; a covariate is
        incomplete, the same for all donors, or not to be told from the group; ``level``,
        ``age_degree`` or ``min_cells`` is out of range; ``key_added`` is taken; ``cell_type_key``
        is given for a clock that says nothing of cell types. ``adata`` is then as it was.

    Notes
    -----
    *Weights.* A donor of many cells is known more precisely, and counts more in weighted least
    squares. How much more, the donors themselves tell: their variance is a sum of one part that is
    the same for all and one that goes as one over the number of cells, in the shares that the
    restricted likelihood finds plausible. The scatter of the cells is not used, since cells of a
    donor are no independent samples: to repeat every cell changes nothing.

    *Errors* are clustered by donor, with a correction for few donors and Satterthwaite's degrees of
    freedom (CR2; Pustejovsky and Tipton, doi:10.1080/07350015.2016.1247004). They do not need the
    variance above to be right, nor the groups to spread alike. With ``equal_spread`` they are the
    usual ones of statsmodels' ``WLS``, with donors minus parameters degrees of freedom.

    *Samples.* Those of one donor in one group are averaged: their number is then no number of
    donors, and no assumption on how alike they are is needed. If donors are in both groups, they
    are compared with themselves; the clustered errors hold for that. A mixed model takes the
    variance that it estimates from a few such donors for known: with four of them among twenty, it
    found 12 % of effects that are none at p < 0.05.

    *Age.* Accelerations of donors and cells are distances from a straight line, which holds for
    ages that the reference does not have. The tests have a slope (or curve) of their own, fitted on
    the donors of both groups.

    *Scale.* Predictions are drawn to the mean age, so an acceleration of one year shows as less:
    as about ``slope`` years.

    *ADI.* The ageing deviation index of G. Xie, *scAgeClock*, doi:10.1038/s41514-026-00379-5, is
    sigmoid((predicted − true) / 25 years). It is given because it was published. It is confounded
    by regression to the mean: the young have a high index and the old a low one with every clock,
    so that groups of different age differ in it. Use ``acceleration`` instead.

    A clock that was trained on the very donors that it is applied to knows their ages, and makes
    accelerations too small.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.aging_cohort(
    ...     16, n_genes=200, n_age_genes=20, cells_per_donor=30, group_acceleration=10
    ... )
    >>> few = {"max_epochs": 2}  # for a quick example only
    >>> sctools.tl.age_clock(adata, n_folds=2, train_kwargs=few, progress_bar=False)
    >>> sctools.tl.age_acceleration(adata, "group", reference="control", covariates=["sex"])
    >>> adata.uns["age_acceleration"]["results"]["cell_type"].tolist()
    ['B cell', 'Monocyte', 'T cell', 'all cells']
    """
    check_adata(adata)
    covariates = check_columns(covariates, "covariates")
    check_names(groupby=groupby, key=key, age_key=age_key)
    check_names(donor_key=donor_key, sample_key=sample_key, cell_type_key=cell_type_key)
    check_flags(specific=specific, equal_spread=equal_spread, copy=copy)
    keys = AgeAccelerationKeys.of(check_key_added(adata, key_added, [key_added]))
    result = check_result(adata, key, tool="age_clock")
    _check_numbers(min_cells, level, age_degree)
    check_writable(adata, copy=copy)
    names = choose_names(
        adata,
        key,
        result,
        age_key=age_key,
        donor_key=donor_key,
        sample_key=sample_key,
        cell_type_key=cell_type_key,
    )
    if key_added in (key, groupby, *covariates, *names):
        raise ValueError(
            f"`key_added={key_added!r}` would overwrite what is read here. Choose another name."
        )
    if specific and _tells_no_types(result) and names.cell_type_key is not None:
        if cell_type_key is not None:
            raise ValueError(f"{_no_types(result, key)} Leave out `cell_type_key`.")
        logger.warning("%s Only all cells are compared.", _no_types(result, key))
        names = names._replace(cell_type_key=None)
    predicted = read_predicted(adata, key)
    cohort = read_units(adata, names)
    code, groups = read_groups(adata, groupby, names, cohort)
    known = np.isfinite(predicted)
    n_known = np.bincount(cohort.unit[known], minlength=cohort.n_units)
    usable = np.isfinite(cohort.age) & (code >= 0) & (n_known >= min_cells)
    found = comparisons(code, groups, reference, cohort, usable=usable, groupby=groupby)
    columns = covariate_columns(adata, covariates, names, cohort, usable)
    check_separable(found, cohort.age, columns, covariates, groupby)
    on_line = usable
    if reference is not None:
        on_line = usable & (code == groups.index(str(reference)))
    if np.ptp(cohort.age[on_line]) == 0:
        raise ValueError(
            f"All donors of the reference have the same age ({cohort.age[on_line][0]:g}): there is "
            "no line of predicted on known age. Without `reference=` the line is fitted on the "
            "donors of all groups."
        )
    borrowed = _borrowed(result, names, cohort) if specific else None

    cell_types = _cell_types(adata, names.cell_type_key)
    own = predicted if borrowed is None else predicted - borrowed[cohort.unit]
    acceleration = np.full(adata.n_obs, np.nan)
    results, donors, lines = [], [], []
    for cell_type in [*cell_types.cat.categories, ALL_CELLS]:
        whole = cell_type == ALL_CELLS
        cells = np.ones(adata.n_obs, bool) if whole else (cell_types == cell_type).to_numpy()
        values = predicted if whole else own
        means = _unit_means(values, cells & known, cohort, min_cells)
        rows = on_line & means.enough
        line = reference_line(cohort.age[rows], means.mean[rows], 1 / means.n_cells[rows])
        intercept, slope = line or (np.nan, np.nan)
        lines.append((cell_type, intercept, slope, len(set(cohort.donor[rows]))))
        donors.append(_donor_rows(cell_type, means, cohort, intercept + slope * cohort.age))
        if not whole or len(cell_types.cat.categories) == 0:
            expected = intercept + slope * cohort.age[cohort.unit]
            acceleration[cells] = (values - expected)[cells]
        for comparison in found:
            row = _test(
                comparison,
                means,
                cohort,
                columns,
                age_degree=age_degree,
                equal_spread=equal_spread,
                level=level,
            )
            results.append({"cell_type": cell_type, **row, "slope": slope})

    order = [*cell_types.cat.categories, ALL_CELLS]
    unit = str(result.get("age_unit", "years"))
    record = {
        "params": recorded_params(
            groupby=groupby,
            reference=reference,
            key=key,
            covariates=covariates,
            **names._asdict(),
            specific=borrowed is not None,
            age_degree=age_degree,
            equal_spread=bool(equal_spread),
            min_cells=int(min_cells),
            level=float(level),
        ),
        "age_unit": unit,
        "results": _result_table(results, order, groups),
        "donors": _donor_table(pd.concat(donors), order, code, groups, unit),
        "lines": pd.DataFrame(
            lines, columns=["cell_type", "intercept", "slope", "n_donors"]
        ).assign(cell_type=lambda table: pd.Categorical(table["cell_type"], order)),
    }
    for name in ("results", "donors", "lines"):
        record[name].index = record[name].index.astype(str)
    _warn_of_no_signal(result)
    target = adata
    if copy:
        target = adata.to_memory() if adata.isbacked else adata.copy()
    target.obs[keys.acceleration] = acceleration
    target.uns[keys.uns] = record
    return target if copy else None


class _Means(NamedTuple):
    """Mean predicted age of every unit in one cell type."""

    n_cells: np.ndarray
    mean: np.ndarray
    enough: np.ndarray


def _check_numbers(min_cells: Any, level: Any, age_degree: Any) -> None:
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level < 1:
        raise ValueError(f"`level` must lie between 0 and 1, such as 0.95; found {level!r}.")
    if not _is_whole(min_cells) or min_cells < 1:
        raise ValueError(f"`min_cells` must be a whole number of at least 1, found {min_cells!r}.")
    if age_degree is not None and (not _is_whole(age_degree) or not 1 <= age_degree <= 3):
        raise ValueError(f"`age_degree` must be 1, 2 or 3, found {age_degree!r}.")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _cell_types(adata: AnnData, cell_type_key: str | None) -> pd.Series:
    if cell_type_key is None:
        return pd.Series(pd.Categorical([None] * adata.n_obs, categories=[]))
    cell_types = as_groups(adata.obs[cell_type_key])
    if ALL_CELLS in cell_types.cat.categories:
        raise ValueError(
            f"`adata.obs[{cell_type_key!r}]` has a cell type of the name {ALL_CELLS!r}, which the "
            "tables use for all cells of a donor. Rename it."
        )
    return cell_types


def _tells_no_types(result: Mapping[str, Any]) -> bool:
    """Whether all that the clock says of a cell type may come from the donor's other cells."""
    borrowed = result.get("donors", {}).get("borrowed")
    return borrowed is not None and len(borrowed) > 0 and bool(borrowed.isna().all())


def _no_types(result: Mapping[str, Any], key: str) -> str:
    return (
        f"The result {key!r} is of the method {result['params'].get('method')!r}, which says "
        "nothing of a cell type by itself: a donor's cells share what any of them tell "
        "(`specific=False` takes their ages as they are)."
    )


def _borrowed(result: Mapping[str, Any], names: Names, cohort: Cohort) -> np.ndarray | None:
    """Part of every unit's predicted ages that its cell types share; ``None`` where unknown."""
    params, donors = result["params"], result.get("donors")
    same = all(params.get(n) == getattr(names, n) for n in ("donor_key", "sample_key"))
    if not same or donors is None or "borrowed" not in donors or _tells_no_types(result):
        return None
    values = donors["borrowed"].reindex(cohort.names).fillna(0.0)  # donors without a prediction
    return values.to_numpy(dtype=np.float64)


def _unit_means(values: np.ndarray, cells: np.ndarray, cohort: Cohort, min_cells: int) -> _Means:
    unit, values = cohort.unit[cells], values[cells]
    n_cells = np.bincount(unit, minlength=cohort.n_units)
    total = np.bincount(unit, weights=values, minlength=cohort.n_units)
    mean = np.divide(total, n_cells, out=np.full(cohort.n_units, np.nan), where=n_cells > 0)
    return _Means(n_cells, mean, n_cells >= min_cells)


def _test(
    comparison: Comparison,
    means: _Means,
    cohort: Cohort,
    columns: np.ndarray,
    *,
    age_degree: int | None,
    equal_spread: bool,
    level: float,
) -> dict[str, Any]:
    """One row of the results."""
    case, control = comparison.case & means.enough, comparison.control & means.enough
    row: dict[str, Any] = {"group": comparison.group, "reference": comparison.reference}
    effect, note = None, ""
    counts = [len(set(cohort.donor[units])) for units in (case, control)]
    if min(counts) < MIN_DONORS:
        note = f"fewer than {MIN_DONORS} donors with enough cells"
    else:
        units = np.flatnonzero(case | control)
        # Samples of a donor in one group become one row: means of what is linear.
        pair = pd.Series(cohort.donor_code[units] * 2 + case[units])
        row_of = pair.groupby(pair).ngroup().to_numpy()
        share = 1.0 / np.bincount(row_of)[row_of]
        age = cohort.age[units] - cohort.age[units].mean()
        degree = age_degree or (3 if len(set(cohort.donor[units])) >= CURVE_DONORS else 1)
        powers = (age / (np.abs(age).max() or 1.0))[:, None] ** np.arange(degree + 1)
        X = np.column_stack([powers, columns[units], case[units]])
        averaged = [np.bincount(row_of, weights=share * x) for x in (means.mean[units], *X.T)]
        effect = group_effect(
            averaged[0],
            np.column_stack(averaged[1:]),
            np.bincount(row_of, weights=share**2 / means.n_cells[units]),
            np.sort(pair.unique()) // 2,
            level=level,
            equal_spread=equal_spread,
        )
        if effect is None:
            note = "the group cannot be told from age and covariates here"
    figures = effect._asdict() if effect else {}
    row |= {name: figures.get(name, np.nan) for name in ("effect", "error", "lower", "upper", "p")}
    return row | {
        "n_donors": counts[0],
        "n_donors_reference": counts[1],
        "n_cells": int(means.n_cells[case].sum()),
        "n_cells_reference": int(means.n_cells[control].sum()),
        "note": note,
    }


def _result_table(
    rows: Sequence[dict[str, Any]], order: Sequence[str], groups: Sequence[str]
) -> pd.DataFrame:
    from scipy import stats

    table = pd.DataFrame(rows)
    tested = table["p"].notna()
    table.insert(table.columns.get_loc("p") + 1, "q", table["p"])
    for group in table["group"].unique():
        family = tested & (table["group"] == group) & (table["cell_type"] != ALL_CELLS)
        if family.any():
            table.loc[family, "q"] = stats.false_discovery_control(table.loc[family, "p"])
    table.insert(table.columns.get_loc("q") + 1, "slope", table.pop("slope"))
    table["cell_type"] = pd.Categorical(table["cell_type"], order)
    table["group"] = pd.Categorical(table["group"], [g for g in groups if g in set(table["group"])])
    return table


def _donor_rows(
    cell_type: str, means: _Means, cohort: Cohort, expected: np.ndarray
) -> pd.DataFrame:
    table = pd.DataFrame({"donor": cohort.donor, "cell_type": cell_type})
    if cohort.sample is not None:
        table.insert(1, "sample", cohort.sample)
    table["age"] = cohort.age
    table["predicted"] = means.mean
    table["acceleration"] = means.mean - expected
    table["n_cells"] = means.n_cells
    return table[means.enough]


def _donor_table(
    table: pd.DataFrame, order: Sequence[str], code: np.ndarray, groups: Sequence[str], unit: str
) -> pd.DataFrame:
    """Table of all cell types; its index is the unit of a row so far."""
    table["cell_type"] = pd.Categorical(table["cell_type"], order)
    group = pd.Categorical.from_codes(code[table.index], groups)
    table.insert(table.columns.get_loc("age"), "group", group)
    scale = ADI_SCALE.get(unit)
    if scale is not None:
        older = (table["predicted"] - table["age"]) / scale
        table.insert(table.columns.get_loc("n_cells"), "adi", 1 / (1 + np.exp(-older)))
    return table.reset_index(drop=True)


def _warn_of_no_signal(result: Mapping[str, Any]) -> None:
    metrics = result.get("metrics", {})
    if not metrics.get("beats_mean", True):
        logger.warning(
            "The clock does not beat the mean age on these donors: what it says of their "
            "acceleration has little to do with age."
        )
