"""Predicted ages as a tidy data frame of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from .._docs import docs
from .._keys import AGE_CLOCK, AgeClockKeys
from .._validate import check_result, listing
from ._columns import as_float, recorded_column

if TYPE_CHECKING:
    from anndata import AnnData


@docs.dedent
def age_df(adata: AnnData, key: str = AGE_CLOCK) -> pd.DataFrame:
    """Predicted age of every cell, with what is known of it.

    Parameters
    ----------
    adata
        Annotated data that :func:`sctools.tl.age_clock` was run on. It is left unchanged.
    %(key)s

    Returns
    -------
    One row per cell, in the order and with the index of ``adata.obs_names``. Ages are float64 in
    the unit of ``adata.uns[key]["age_unit"]``. Columns:

    - ``donor``: the donor, unless the result was computed without donors;
    - ``sample``: the sample, if ``sample_key`` was used;
    - ``cell_type``: the cell type, if one was given;
    - ``age``: the true age, if known (NaN for cells without one);
    - ``predicted``: the predicted age;
    - ``lower``, ``upper``: the interval of the age of the cell's donor, if the clock gives one;
    - ``acceleration``: the predicted age minus the one expected at the true age, if ages are
      known (NaN for cells without one);
    - ``fold``: the cross-fitting fold that the cell was held out in, if it was cross-fitted;
    - ``weight``: the weight of the cell in the age of its donor (or sample), where they sum to 1,
      if the method has weights.

    Raises
    ------
    KeyError
        If there is no result under ``key``, or a column of ``adata.obs`` that belongs to it is
        gone.
    ValueError
        If a column of it no longer holds numbers, or is there twice.

    See Also
    --------
    sctools.get.donor_age_df : The same per donor.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.aging_cohort(n_donors=12, n_genes=200, cells_per_donor=30)
    >>> few = {"max_epochs": 2}  # for a quick example only
    >>> sctools.tl.age_clock(adata, n_folds=2, train_kwargs=few)
    >>> cells = sctools.get.age_df(adata)
    >>> list(cells.columns)
    ['donor', 'cell_type', 'age', 'predicted', 'lower', 'upper', 'acceleration', 'fold']
    """
    params = check_result(adata, key, tool="age_clock")["params"]
    names = AgeClockKeys.of(key)
    if names.predicted not in adata.obs.columns:
        raise KeyError(
            f"The predicted ages of the result {key!r} are no longer in "
            f"`adata.obs[{names.predicted!r}]`. Available: {listing(adata.obs.columns)}. Run "
            f"`sctools.tl.age_clock(adata, key_added={key!r}, …)` again."
        )

    columns = {}
    for name in ("donor", "sample", "cell_type"):
        column = recorded_column(adata, params, f"{name}_key", key)
        if column is not None:
            columns[name] = column
    age = recorded_column(adata, params, "age_key", key)
    if age is not None:
        columns["age"] = as_float(age)
    columns["predicted"] = as_float(adata.obs[names.predicted])
    for field in ("lower", "upper", "acceleration"):
        name = getattr(names, field)
        if name in adata.obs.columns:
            columns[field] = as_float(adata.obs[name])
    if names.fold in adata.obs.columns:
        columns["fold"] = adata.obs[names.fold]
    if names.weight in adata.obs.columns:
        columns["weight"] = as_float(adata.obs[names.weight])
    return pd.DataFrame(columns, index=adata.obs_names.copy(), copy=True)
