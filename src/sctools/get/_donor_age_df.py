"""Predicted ages as a tidy data frame of donors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from .._docs import docs
from .._keys import AGE_CLOCK
from .._validate import check_obs_key, check_result, listing
from ._age_df import age_df
from ._columns import as_groups

if TYPE_CHECKING:
    from anndata import AnnData

_OUTPUT = ("donor", "sample", "age", "predicted", "acceleration", "n_cells")


@docs.dedent
def donor_age_df(
    adata: AnnData, key: str = AGE_CLOCK, *, groupby: str | None = None
) -> pd.DataFrame:
    """Predicted age of every donor, or of every donor within each group of cells.

    The donor is the unit of replication: compare groups with this table rather than with that of
    the cells (:func:`sctools.get.age_df`), whose number says nothing about the number of people.
    If the result was computed with a ``sample_key``, a row stands for a sample of a donor.

    Parameters
    ----------
    adata
        Annotated data that :func:`sctools.tl.age_clock` was run on. It is left unchanged.
    %(key)s
    groupby
        Column of ``adata.obs`` to split the cells of each donor by, such as the cell type. By
        default the donor table of the result, ``adata.uns[key]["donors"]``, is returned.

    Returns
    -------
    Ages are float64 in the unit of ``adata.uns[key]["age_unit"]``.

    Without ``groupby``, one row per donor, indexed by its name: ``donor``, ``sample`` (if used),
    ``age``, ``predicted``, ``lower`` and ``upper`` (its interval, if the clock gives one),
    ``borrowed`` (see :func:`sctools.tl.age_clock`), ``mean_age`` (what the mean-age baseline
    predicts), ``acceleration``, ``fold`` (if cross-fitted) and ``n_cells``;
    those on age are missing if no age is known.

    With ``groupby``, one row per donor and group that have cells: ``donor``, ``sample`` (if
    used), the group in a Categorical named like ``groupby``, ``age`` (if known), ``predicted``
    and ``acceleration`` (if ages are known) as means over the cells, and ``n_cells``. Cells
    without donor, group or prediction are left out. Groups are natural-sorted, unless they are a
    Categorical with an order of its own.

    Raises
    ------
    KeyError
        If there is no result under ``key``, if a column of ``adata.obs`` that belongs to it is
        gone, or if ``groupby`` is not a column.
    ValueError
        If the result was computed without donors, if ``groupby`` is the donor or has the
        name of one of the columns above, or if a column no longer holds numbers.

    See Also
    --------
    sctools.pl.age_by_celltype : Draws it.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.aging_cohort(n_donors=12, n_genes=200, cells_per_donor=30)
    >>> few = {"max_epochs": 2}  # for a quick example only
    >>> sctools.tl.age_clock(adata, n_folds=2, train_kwargs=few)
    >>> len(sctools.get.donor_age_df(adata))
    12
    >>> by_type = sctools.get.donor_age_df(adata, groupby="cell_type")
    >>> list(by_type.columns)
    ['donor', 'cell_type', 'age', 'predicted', 'acceleration', 'n_cells']
    """
    result = check_result(adata, key, tool="age_clock")
    params = result["params"]
    if groupby is None:
        donors = result.get("donors")
        if donors is None:
            raise ValueError(_no_donors(key))
        return donors.copy()

    check_obs_key(adata, groupby, argument="groupby")
    if params.get("donor_key") is None:
        raise ValueError(_no_donors(key))
    units = [params["donor_key"], params.get("sample_key")]
    if groupby in units:
        raise ValueError(
            f"`groupby={groupby!r}` tells the donors or samples apart, of which each has a row "
            "anyway. Leave `groupby` out, or name a column that splits their cells."
        )
    if groupby in _OUTPUT:
        raise ValueError(
            f"`groupby={groupby!r}` has the name of a column of the returned table "
            f"({listing(_OUTPUT)}). Rename it: `adata.obs.rename(columns={{{groupby!r}: …}})`."
        )

    cells = age_df(adata, key)
    by = [name for name in ("donor", "sample") if name in cells.columns]
    for name in by:
        cells[name] = as_groups(cells[name])
    cells[groupby] = as_groups(adata.obs[groupby])
    cells = cells[cells["predicted"].notna()]
    by.append(groupby)

    # "first" skips missing values; the age of a donor or sample is one and the same anyway.
    how = {"age": "first", "predicted": "mean", "acceleration": "mean"}
    grouped = cells.groupby(by, observed=True, sort=True)
    table = grouped.agg({name: way for name, way in how.items() if name in cells.columns})
    table["n_cells"] = grouped.size().astype("int64")
    table = table.reset_index()
    for name in by[:-1]:
        table[name] = table[name].astype(str)
    return table


def _no_donors(key: str) -> str:
    return (
        f"The result {key!r} was computed without donors, so there is no table of them. Run "
        f"`sctools.tl.age_clock(adata, …, donor_key=…, key_added={key!r})` with the column of "
        "`adata.obs` that holds the donors, or use `sctools.get.age_df` for the cells."
    )
