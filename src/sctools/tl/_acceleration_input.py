"""What :func:`sctools.tl.age_acceleration` reads: donors, their groups, covariates and cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from .._keys import AgeClockKeys
from .._validate import check_complete, check_obs_key, check_result, listing
from ..get._columns import as_float, as_groups
from ..pp._cohort import Cohort, check_age_range, read_cohort
from ._group_effect import independent_columns, is_combination

if TYPE_CHECKING:
    from anndata import AnnData

MIN_DONORS = 3
"""Donors that a group needs."""

REST = "rest"
"""Name of the reference where each group is compared with all the others."""


class Names(NamedTuple):
    """Columns of ``obs``: those given, else those that the clock's result was computed with."""

    age_key: str
    donor_key: str
    sample_key: str | None
    cell_type_key: str | None


class Comparison(NamedTuple):
    """One group against the reference, as units (donors or samples) of the cohort."""

    group: str
    reference: str
    case: np.ndarray
    control: np.ndarray


def choose_names(
    adata: AnnData,
    key: str,
    result: Mapping[str, Any],
    *,
    age_key: str | None,
    donor_key: str | None,
    sample_key: str | None,
    cell_type_key: str | None,
) -> Names:
    """Fill in the columns that were not given; raise where there is none."""
    params = result["params"]
    given = {
        "age_key": age_key,
        "donor_key": donor_key,
        "sample_key": sample_key,
        "cell_type_key": cell_type_key,
    }
    names: dict[str, Any] = {}
    for argument, name in given.items():
        recorded = params.get(argument)
        names[argument] = name
        if name is None and recorded is None:
            continue
        names[argument] = name or str(recorded)
        mend = (
            ""
            if name
            else f"The result {key!r} was computed with it; name another with `{argument}=`."
        )
        check_obs_key(adata, names[argument], argument=argument, mend=mend)
    for argument, what in (("donor_key", "donors"), ("age_key", "ages")):
        if names[argument] is None:
            raise ValueError(
                f"The result {key!r} was computed without {what}, which are needed here. Name "
                f"their column of `adata.obs` with `{argument}=`. Available: "
                f"{listing(adata.obs.columns)}."
            )
    if names["donor_key"] != params.get("donor_key") and sample_key is None:
        names["sample_key"] = None  # samples of other donors
    return Names(**names)


def read_units(adata: AnnData, names: Names) -> Cohort:
    """Donors or samples with their ages; raise where no age is known."""
    cohort = read_cohort(
        adata, age_key=names.age_key, donor_key=names.donor_key, sample_key=names.sample_key
    )
    if not np.isfinite(cohort.age).any():
        raise ValueError(
            f"`adata.obs[{names.age_key!r}]` has no known age. Acceleration is what a prediction "
            "differs from the known age."
        )
    return cohort


def read_predicted(adata: AnnData, key: str) -> np.ndarray:
    """Predicted age of every cell."""
    check_result(adata, key, tool="age_clock")
    name = AgeClockKeys.of(key).predicted
    check_obs_key(
        adata,
        name,
        argument="key",
        mend=f"Run `sctools.tl.age_clock(adata, key_added={key!r}, …)` again.",
    )
    ages = as_float(adata.obs[name]).to_numpy()
    check_age_range(ages, name)
    return ages


def read_groups(
    adata: AnnData, groupby: str, names: Names, cohort: Cohort
) -> tuple[np.ndarray, list[str]]:
    """Group of every unit (−1 where it has none) and the groups' names in their order."""
    check_obs_key(adata, groupby, argument="groupby")
    taken = {
        names.donor_key: "donors",
        names.sample_key: "samples",
        names.age_key: "ages",
        names.cell_type_key: "cell types",
    }
    if groupby in taken:
        raise ValueError(
            f"`groupby={groupby!r}` holds the {taken[groupby]}. Groups of donors are compared "
            "here: name a column such as the disease or the treatment. Available: "
            f"{listing(c for c in adata.obs.columns if c not in taken)}."
        )
    groups = as_groups(adata.obs[groupby])
    code = per_unit(groups.cat.codes.to_numpy(), cohort, groupby, names, "groupby")
    return code.astype(np.int64), [str(name) for name in groups.cat.categories]


def per_unit(
    values: np.ndarray, cohort: Cohort, column: str, names: Names, argument: str
) -> np.ndarray:
    """Value of every unit; raise where its cells have several."""
    by = pd.Series(values).groupby(cohort.unit)
    low, high = by.min().to_numpy(), by.max().to_numpy()
    mixed = np.flatnonzero(low != high)
    if len(mixed):
        what, mend = "samples", "Every cell of a sample must have the same value."
        if cohort.sample is None:
            what = "donors"
            mend = (
                "The values must be those of donors, since cells are no independent samples. If "
                "donors gave several samples, name the column that tells them apart with "
                "`sample_key=`."
            )
        raise ValueError(
            f"{len(mixed)} {what} (`{names.sample_key or names.donor_key}`) have more than one "
            f"value of `adata.obs[{column!r}]` (`{argument}`), for example "
            f"{cohort.names[mixed[0]]!r}. {mend}"
        )
    return low


def comparisons(
    code: np.ndarray,
    groups: Sequence[str],
    reference: str | None,
    cohort: Cohort,
    *,
    usable: np.ndarray,
    groupby: str,
) -> list[Comparison]:
    """Which units are compared with which; raise where a group is too small or absent."""
    where = f"`adata.obs[{groupby!r}]`"
    grouped = usable & (code >= 0)
    n_donors = {
        name: len(set(cohort.donor[grouped & (code == k)])) for k, name in enumerate(groups)
    }
    if reference is not None and str(reference) not in groups:
        raise ValueError(
            f"`reference={reference!r}` is not a group of {where}. Available: {listing(groups)}."
        )
    present = [name for name in groups if n_donors[name]]
    if len(present) < 2:
        raise ValueError(
            f"{where} must tell at least two groups of donors with a known age apart, found "
            f"{listing(present)}."
        )
    small = [name for name in groups if n_donors[name] < MIN_DONORS]
    if small:
        counts = ", ".join(f"{name!r} ({n_donors[name]})" for name in small[:12])
        raise ValueError(
            f"Every group of {where} needs at least {MIN_DONORS} donors with a known age and a "
            f"prediction, found fewer in {counts}. Merge such groups, or leave them out of it by a "
            f"missing value: `adata.obs[{groupby!r}] = adata.obs[{groupby!r}].replace("
            f"{{{small[0]!r}: None}})`."
        )
    index = {name: k for k, name in enumerate(groups)}
    if reference is None and len(groups) == 2:
        reference = groups[0]
    found = []
    for name in groups:
        if name == str(reference):
            continue
        case = grouped & (code == index[name])
        control = grouped & ~case
        if reference is not None:
            control = grouped & (code == index[str(reference)])
        found.append(Comparison(name, REST if reference is None else str(reference), case, control))
    return found


def covariate_columns(
    adata: AnnData, covariates: Sequence[str], names: Names, cohort: Cohort, usable: np.ndarray
) -> np.ndarray:
    """Covariates of every unit as columns: numbers as they are, labels as indicators.

    Units that are not ``usable`` may lack them.
    """
    blocks = [np.empty((cohort.n_units, 0))]
    needed = usable[cohort.unit]
    for name in covariates:
        check_obs_key(adata, name, argument="covariates")
        check_complete(adata[needed], name, argument="covariates")
        column = adata.obs[name]
        number = pd.api.types.is_numeric_dtype(column.dtype)
        if number and not pd.api.types.is_bool_dtype(column.dtype):
            cells = as_float(column).to_numpy()
            if not np.isfinite(cells[needed]).all():
                raise ValueError(f"`adata.obs[{name!r}]` (`covariates`) must be finite.")
        else:
            cells = as_groups(column).cat.codes.to_numpy()
        values = per_unit(np.where(needed, cells, 0), cohort, name, names, "covariates")
        found = np.unique(values[usable])
        if len(found) < 2:
            raise ValueError(
                f"`adata.obs[{name!r}]` (`covariates`) has the same value for all donors that are "
                "compared: there is nothing to adjust for. Leave it out."
            )
        if cells.dtype.kind == "f":
            blocks.append((values - values[usable].mean())[:, None])
        else:
            blocks.append((values[:, None] == found[1:]).astype(float))
    return np.hstack(blocks)


def check_separable(
    found: Sequence[Comparison],
    age: np.ndarray,
    columns: np.ndarray,
    covariates: Sequence[str],
    groupby: str,
) -> None:
    """Raise where a group cannot be told from age and covariates."""
    for comparison in found:
        rows = comparison.case | comparison.control
        group = comparison.case[rows].astype(float)
        base = np.column_stack([np.ones(rows.sum()), age[rows] - age[rows].mean()])
        X = independent_columns(np.column_stack([base, columns[rows], group]))[:, :-1]
        if not is_combination(X, group):
            continue
        what = f"the covariates {listing(covariates)}" if covariates else "age"
        raise ValueError(
            f"{comparison.group!r} and {comparison.reference!r} of `adata.obs[{groupby!r}]` cannot "
            f"be told from {what}: within these donors one follows from the other, so that no "
            "difference can be put down to the group. "
            + ("Leave such a covariate out." if covariates else "More donors are needed.")
        )
