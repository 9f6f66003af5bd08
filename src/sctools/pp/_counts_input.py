"""A private AnnData for scvi-tools: checked counts, with only what the model reads."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._validate import check_complete, listing
from ._expression import check_values, describe, get_expression, row_blocks

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger("sctools")

READ_ROWS = 8192
PROTEINS = "protein_expression"
"""Key of ``obsm`` for proteins in the private AnnData."""

MEND_COUNTS = (
    "If the counts are in a layer, name it with `layer=`; if `adata.raw` has them, use "
    "`adata.raw.to_adata()`. Normalised, logged or scaled values cannot be used."
)
MEND_PROTEINS = "Put the raw counts there: normalised proteins (CLR, DSB) cannot be used."


class CountsInput(NamedTuple):
    """Where a model's input is found in an AnnData.

    Attributes
    ----------
    layer
        Layer with counts, ``None`` for ``X``.
    batch_key, labels_key, size_factor_key
        Columns of ``obs``, ``None`` where not used.
    categorical_covariate_keys, continuous_covariate_keys
        Further columns of ``obs``.
    """

    layer: str | None
    batch_key: str | None = None
    labels_key: str | None = None
    size_factor_key: str | None = None
    categorical_covariate_keys: Sequence[str] = ()
    continuous_covariate_keys: Sequence[str] = ()

    def arguments(self) -> list[tuple[str, str]]:
        """Columns of ``obs`` that are read, each with the argument that names it."""
        found = [
            (name, argument)
            for argument in ("batch_key", "labels_key", "size_factor_key")
            if (name := getattr(self, argument)) is not None
        ]
        for argument in ("categorical_covariate_keys", "continuous_covariate_keys"):
            found += [(name, argument) for name in getattr(self, argument)]
        return found

    def columns(self) -> list[str]:
        """Columns of ``obs`` that are read, each once."""
        return list(dict.fromkeys(name for name, _ in self.arguments()))


def counts_adata(
    adata: AnnData,
    names: CountsInput,
    *,
    var_names: Sequence[str] | None = None,
    mask: np.ndarray | None = None,
    proteins: pd.DataFrame | None = None,
) -> tuple[AnnData, Any]:
    """Check the input; return a private AnnData, and the counts of all genes.

    Counts are shared where they can be.

    Parameters
    ----------
    adata
        Annotated data in memory, cells × genes.
    names
        Where the input is.
    var_names
        Genes of a trained model, in its order. ``None`` takes the genes of ``adata``.
    mask
        Genes to take, boolean, where ``var_names`` is ``None``.
    proteins
        Protein counts, cells × proteins; they are put into ``obsm["protein_expression"]``.
    """
    from anndata import AnnData

    matrix = get_expression(adata, names.layer)
    _check_names(adata.var_names, "var_names")
    for column, argument in names.arguments():
        _check_column(adata, column, argument)
    for _, block in row_blocks(matrix, READ_ROWS):
        _check_counts(block.data, describe(names.layer), MEND_COUNTS)
    columns = None
    if var_names is not None:
        columns = gene_columns(adata.var_names, var_names)
    elif mask is not None:
        columns = np.flatnonzero(mask)
    taken = adata.var_names if columns is None else adata.var_names[columns]
    whole = columns is None or np.array_equal(columns, np.arange(adata.n_vars))
    every = _plain(matrix)
    matrix = every if whole else every[:, columns]
    obs = adata.obs[names.columns()].copy()
    half = obs.columns[obs.dtypes == "float16"]
    obs[half] = obs[half].astype("float32")  # pandas has no categories of the other
    private = AnnData(
        X=matrix,
        obs=obs,
        var=pd.DataFrame(index=taken.copy()),
    )
    if proteins is not None:
        private.obsm[PROTEINS] = proteins
    return private, every


def count_empty(matrix: Any) -> int:
    """Return how many cells have no count."""
    return int((np.asarray(matrix.sum(axis=1)).ravel() == 0).sum())


def tell_empty(n_empty: int, n_obs: int, n_genes: int) -> None:
    """Warn of cells without counts, if there are any."""
    if n_empty:
        logger.warning(
            "%d of %d cells have no count in the %d genes used; their latents tell nothing. Filter "
            "them: `sc.pp.filter_cells(adata, min_counts=1)`.",
            n_empty, n_obs, n_genes,
        )  # fmt: skip


def gene_columns(found: pd.Index, wanted: Sequence[str]) -> np.ndarray:
    """Column of each wanted gene; raise where some are missing."""
    columns = pd.Index(found).get_indexer(pd.Index(wanted))
    missing = [name for name, column in zip(wanted, columns, strict=True) if column < 0]
    if missing:
        raise ValueError(
            f"The model was trained on {len(wanted)} genes, and {len(missing)} of them are not in "
            f"`adata.var_names`: {listing(missing, 6)}. `adata` has {len(found)} genes, for "
            f"example {listing(found[:3])}. Bring the same gene names (order and further genes do "
            "not matter), or map a query that lacks genes with the model's `prepare_query_anndata` "
            "and `load_query_data`."
        )
    return columns


def protein_counts(adata: AnnData, key: str, wanted: Sequence[str] | None = None) -> pd.DataFrame:
    """Read protein counts from ``obsm``; raise on what cannot be modelled.

    Parameters
    ----------
    adata
        Annotated data.
    key
        Key of ``obsm``.
    wanted
        Proteins of a trained model, in its order. ``None`` takes all.
    """
    if key not in adata.obsm:
        raise KeyError(
            f"`protein_key={key!r}` is not in `adata.obsm`. Available: {listing(adata.obsm)}. Put "
            "a DataFrame of protein counts there, cells × proteins, named by its columns."
        )
    values: Any = adata.obsm[key]
    where = f"`adata.obsm[{key!r}]`"
    if isinstance(values, pd.DataFrame):
        table = values
    else:
        array = values.toarray() if sp.issparse(values) else np.asarray(values)
        if array.ndim != 2:
            raise ValueError(f"{where} must be cells × proteins, found shape {array.shape}.")
        numbers = [str(i) for i in range(array.shape[1])]
        if wanted is None or list(wanted) != numbers:  # which are the names that scvi-tools gives
            numbers = [f"protein_{i}" for i in numbers]
        table = pd.DataFrame(array, columns=numbers)
    return check_proteins(table, adata.obs_names, where, wanted)


def check_proteins(
    table: pd.DataFrame, obs_names: pd.Index, where: str, wanted: Sequence[str] | None
) -> pd.DataFrame:
    """Return the table as float32 with string names, checked."""
    if table.shape[0] != len(obs_names) or table.shape[1] == 0:
        raise ValueError(
            f"{where} must have a row for each of the {len(obs_names)} cells and at least one "
            f"protein, found shape {table.shape}."
        )
    columns = table.columns.astype(str)
    _check_names(columns, f"columns of {where}")
    try:
        array = table.to_numpy(dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{where} must hold numbers, found dtypes {listing(table.dtypes)}.") from (
            error
        )
    _check_counts(array, where, MEND_PROTEINS)
    if wanted is not None:
        place = columns.get_indexer(pd.Index(wanted))
        missing = [name for name, column in zip(wanted, place, strict=True) if column < 0]
        if missing:
            raise ValueError(
                f"The model was trained on {len(wanted)} proteins, and {len(missing)} of them are "
                f"not in {where}: {listing(missing)}. Available: {listing(columns)}. Name the "
                "columns as in training."
            )
        array, columns = array[:, place], columns[place]
    if wanted is None and len(table):  # that there are no cells is told with the genes
        silent = columns[array.sum(axis=0) == 0]
        if len(silent):
            raise ValueError(
                f"{where} has no count of {listing(silent)} in any cell. Leave such proteins out: "
                f"they cannot be modelled."
            )
    return pd.DataFrame(array, index=obs_names, columns=columns)


def _plain(matrix: Any) -> Any:
    if sp.issparse(matrix):
        # Not a sparse array: scvi-tools knows matrices only.
        return matrix if isinstance(matrix, sp.csr_matrix) else sp.csr_matrix(matrix)
    return np.asarray(matrix)


def _check_counts(values: np.ndarray, where: str, mend: str) -> None:
    """Raise unless ``values`` are counts, with what mends it where nothing but counts will do."""
    if np.issubdtype(values.dtype, np.number) and np.isfinite(values).all():
        wrong = values[(values < 0) | (values != np.floor(values))]
        if wrong.size:
            raise ValueError(
                f"{where} must hold raw counts (whole numbers, none negative), found "
                f"{wrong[0]:.4g} (values from {values.min():.4g} to {values.max():.4g}). {mend}"
            )
    check_values(values, where=where, log_normalized=False)


def _check_names(names: pd.Index, what: str) -> None:
    if not names.is_unique:
        repeated = names[names.duplicated()].unique()
        raise ValueError(
            f"Expected unique {what}, found repeated {listing(repeated, 6)}. "
            "Make them unique first, for genes with `adata.var_names_make_unique()`."
        )


def _check_column(adata: AnnData, key: str, argument: str) -> None:
    check_complete(adata, key, argument=argument)
    column = adata.obs[key]
    if argument in ("size_factor_key", "continuous_covariate_keys"):
        if not pd.api.types.is_numeric_dtype(column.dtype):
            raise TypeError(
                f"`adata.obs[{key!r}]` (`{argument}`) must hold numbers, found dtype "
                f"{column.dtype}."
            )
        if not np.isfinite(column.to_numpy(dtype=float)).all():
            raise ValueError(f"`adata.obs[{key!r}]` (`{argument}`) must be finite.")
        if argument == "size_factor_key" and (column <= 0).any():
            raise ValueError(f"`adata.obs[{key!r}]` (`{argument}`) must be positive.")
    elif not all(isinstance(value, Hashable) for value in column):
        raise TypeError(
            f"`adata.obs[{key!r}]` (`{argument}`) must hold labels, found values such as "
            f"{listing(column[:3])}."
        )
