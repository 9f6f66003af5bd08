"""Age acceleration of groups or of donors as a tidy data frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pandas as pd

from .._arguments import check_choice
from .._docs import docs
from .._keys import AGE_ACCELERATION
from .._validate import check_result, listing

if TYPE_CHECKING:
    from anndata import AnnData

_TABLES = ("results", "donors", "lines")


@docs.dedent
def age_acceleration_df(
    adata: AnnData,
    key: str = AGE_ACCELERATION,
    *,
    table: Literal["results", "donors", "lines"] = "results",
) -> pd.DataFrame:
    """Age acceleration of the groups, or of every donor, in each cell type.

    Parameters
    ----------
    adata
        Annotated data that :func:`sctools.tl.age_acceleration` was run on. It is left unchanged.
    %(key)s
    table
        ``"results"`` has a row for each cell type and group, with effect, interval, p and q;
        ``"donors"`` one for each donor (or sample) and cell type; ``"lines"`` one for each cell
        type, with the line of predicted on known age.

    Returns
    -------
    The table as :func:`sctools.tl.age_acceleration` describes it, with a row for each of the above;
    a copy. Ages are float64 in the unit of ``adata.uns[key]["age_unit"]``.

    Raises
    ------
    KeyError
        If there is no result of that tool under ``key``.
    ValueError
        If ``table`` is unknown.

    See Also
    --------
    sctools.pl.age_acceleration : Draws the results.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.aging_cohort(
    ...     16, n_genes=200, n_age_genes=20, cells_per_donor=30, group_acceleration=10
    ... )
    >>> few = {"max_epochs": 2}  # for a quick example only
    >>> sctools.tl.age_clock(adata, n_folds=2, train_kwargs=few, progress_bar=False)
    >>> sctools.tl.age_acceleration(adata, "group", reference="control")
    >>> results = sctools.get.age_acceleration_df(adata)
    >>> results[["cell_type", "group", "reference"]].iloc[0].tolist()
    ['B cell', 'case', 'control']
    """
    check_choice(table, _TABLES, "table")
    result = check_result(adata, key, tool="age_acceleration")
    if not isinstance(result.get(table), pd.DataFrame) or "lines" not in result:
        raise KeyError(
            f"`adata.uns[{key!r}]` is no result of `sctools.tl.age_acceleration`; it holds "
            f"{listing(result)}. Run that with `key_added={key!r}`, or pass the `key` it used."
        )
    return result[table].copy()
