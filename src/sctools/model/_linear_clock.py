"""Linear clocks of cell types, as published ones often are."""

from __future__ import annotations

import copy
import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from natsort import natsorted

from .._arguments import check_choice
from .._docs import docs
from .._validate import check_obs_key, listing
from ..pp._blood_types import blood_type
from ..pp._categories import as_labels
from ..pp._clock_categories import MISSING
from ..pp._clock_input import READ_ROWS
from ..pp._cohort import read_cohort
from ..pp._expression import describe, get_expression
from ..pp._map_blocks import Prepare, map_blocks
from ..pp._match_genes import GeneMatch, match_genes
from ..pp._whole_depth import WholeDepth
from ._glmnet import INTERCEPT, read_glmnet
from ._linear_block import AgedCells, LinearBlock
from ._linear_warnings import (
    NO_CLOCK,
    warn_of_depth,
    warn_of_few_cells,
    warn_of_genes,
    warn_of_labels,
)
from ._pseudocells import draw_pseudocells, mean_over_pseudocells
from ._saved_model import LINEAR_CLOCK, fitting_files, read_model, write_model

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger("sctools")

Labels = Literal["exact", "blood"]

_ENSEMBL = re.compile(r"ENS[A-Z]*G\d{6,}(?:\.\d+)?$")


class LinearClock:
    """One linear regression of age per cell type, applied to pseudocells.

    The kind of clock that LASSO and elastic net give: an age is an intercept plus the sum of
    coefficients times log-normalised expression. Such clocks are trained on *pseudocells*, means of
    some random cells of one donor and cell type, since single cells are too sparse.

    Of the pseudocells that a donor's cells of one type can form, :meth:`predict` gives each cell
    the mean prediction of those it is part of. That is exact and needs no random draws, as the
    mean over all draws of a linear prediction has a closed form, so it depends on no seed, no order
    of cells and no batch size. The mean over the cells is the age of the donor's cell type.
    :meth:`predict_pseudocells` draws pseudocells, as the papers of such clocks do.

    Parameters
    ----------
    coefficients
        For each cell type the coefficients by gene: years (or the other unit of age) per unit of
        log1p expression. Zeros are dropped.
    intercepts
        For each cell type the age at no expression at all.
    labels
        How the cell types of data are recognised. ``"exact"`` takes the names of the clock's types,
        in any case; ``"blood"`` the common labels of blood cells as well, for clocks of types
        called CD4T, CD8T, MONO, NK and B (see :meth:`match_categories`).
    symbols
        Symbols of genes that are named by Ensembl ids, so that data with symbols can be matched.
    age_unit
        Unit of the ages.
    target_sum
        Depth that every cell is scaled to before log1p, over all genes of the data.
    pseudocell_size
        Cells per pseudocell.
    n_measured
        Number of genes in the data that the clock was trained on, over all of which each cell was
        scaled to ``target_sum``. Data with fewer are warned of, since cutting genes away shifts the
        ages. ``None`` if it is not known: fewer than 5,000 are warned of.
    name
        Name of the clock, kept with it.

    Raises
    ------
    ValueError
        ``coefficients`` and ``intercepts`` are of different cell types, empty or not finite, or a
        size or ``n_measured`` is not positive.

    Notes
    -----
    Pseudocells in ageing clocks: Buckley et al., *Cell-type-specific aging clocks to quantify aging
    and rejuvenation in neurogenic regions of the brain*, Nature Aging 2023,
    doi:10.1038/s43587-022-00335-4.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.aging_cohort(12, n_genes=200, cells_per_donor=30)
    >>> genes = list(adata.var_names)
    >>> clock = sctools.model.LinearClock(
    ...     {"B cell": {genes[0]: 2.0, genes[1]: -1.5}, "T cell": {genes[1]: 4.0}},
    ...     {"B cell": 50.0, "T cell": 40.0},
    ... )
    >>> clock.cell_types
    ['B cell', 'T cell']
    """

    method = "linear"
    """Name in the record of :func:`sctools.tl.age_clock`."""

    def __init__(
        self,
        coefficients: Mapping[str, Mapping[str, float] | pd.Series],
        intercepts: Mapping[str, float] | pd.Series,
        *,
        labels: Labels = "exact",
        symbols: Mapping[str, str] | None = None,
        age_unit: str = "years",
        target_sum: float = 1e4,
        pseudocell_size: int = 15,
        n_measured: int | None = None,
        name: str | None = None,
    ) -> None:
        check_choice(labels, ("exact", "blood"), "labels")
        for argument, value in {
            "target_sum": target_sum,
            "pseudocell_size": pseudocell_size,
            "n_measured": 1 if n_measured is None else n_measured,
        }.items():
            if not 0 < value < np.inf:
                raise ValueError(f"`{argument}` must be positive, found {value}.")
        types = [str(t) for t in coefficients]
        intercepts = {str(t): float(value) for t, value in dict(intercepts).items()}
        if not types or set(types) != set(intercepts):
            raise ValueError(
                "`coefficients` and `intercepts` must name the same cell types, at least one; "
                f"found {listing(types)} and {listing(intercepts)}."
            )
        columns = {
            str(t): pd.Series(dict(values), dtype="float64") for t, values in coefficients.items()
        }
        table = pd.DataFrame({t: column[column != 0] for t, column in columns.items()})
        # Genes in the order of the first clock that has them, not sorted as pandas aligns them.
        order = list(dict.fromkeys(g for column in columns.values() for g in column.index))
        table = table.reindex([gene for gene in order if gene in table.index]).fillna(0.0)
        table.index = table.index.map(str)
        values = np.array([intercepts[t] for t in types])
        finite = all(np.isfinite(column).all() for column in columns.values())
        if table.empty or not finite or not np.isfinite(values).all():
            raise ValueError(
                "`coefficients` and `intercepts` must be finite numbers, at least one coefficient "
                f"not zero; found {len(table)} genes with one."
            )
        self.coefficients: pd.DataFrame = table
        """Coefficients, genes × cell types, float64; zero where a cell type does not use a gene."""
        self.intercepts: pd.Series = pd.Series(values, index=types)
        """Intercept of each cell type, float64."""
        known = dict(symbols or {})
        self.symbols = {g: str(known[g]) for g in table.index if g in known and _ENSEMBL.match(g)}
        """Symbols of the genes, as far as they are known."""
        self.labels: Labels = labels
        self.age_unit = str(age_unit)
        self.target_sum = float(target_sum)
        self.pseudocell_size = int(pseudocell_size)
        self.n_measured = None if n_measured is None else int(n_measured)
        self.name = name
        self.keys: dict[str, Any] = {"donor_key": "donor_id", "cell_type_key": "cell_type"}

    @property
    def genes(self) -> list[str]:
        """Genes that any of the clocks uses."""
        return list(self.coefficients.index)

    @property
    def cell_types(self) -> list[str]:
        """Cell types that there is a clock for."""
        return list(self.coefficients.columns)

    def __repr__(self) -> str:
        name = "" if self.name is None else f"{self.name!r}, "
        return (
            f"LinearClock({name}{len(self.genes)} genes, {self.age_unit}, "
            f"cell types {listing(self.cell_types)})"
        )

    @classmethod
    def from_glmnet(cls, path: str | os.PathLike[str], **kwargs: Any) -> LinearClock:
        """Read clocks that were trained with the R package glmnet; nothing is executed.

        Parameters
        ----------
        path
            File written by R's ``saveRDS``: a list of ``cv.glmnet`` objects, named by cell type.
            The coefficients are those at ``lambda.min``. Needs the extra ``clocks``.
        **kwargs
            Passed on to :class:`~sctools.model.LinearClock`.

        Returns
        -------
        The clock.

        Raises
        ------
        ImportError
            The package rdata is missing.
        ValueError
            The file is not such a list, or is cut short.
        """
        read = read_glmnet(Path(path))
        return cls(
            {name: column.drop(INTERCEPT) for name, column in read.items()},
            {name: column[INTERCEPT] for name, column in read.items()},
            **kwargs,
        )

    # ------------------------------------------------------------------ prediction

    def predict(
        self,
        adata: AnnData,
        *,
        donor_key: str | None = "donor_id",
        sample_key: str | None = None,
        cell_type_key: str | None = None,
        covariate_keys: Sequence[str] | Mapping[str, str] | None = None,
        layer: str | None = None,
        log_normalized: bool = False,
        gene_key: str | None = None,
        min_coverage: float = 0.5,
        batch_size: int = READ_ROWS,
        return_specific: bool = False,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Predict the age of every cell: the mean over all pseudocells that it can be part of.

        With n cells of a donor and type, own predictions o and pseudocells of s cells
        (all n, if there are no more than s), a cell's age is o/s + (1 − 1/s) × the mean o of the
        other n − 1 cells. Cells of one type borrow nothing from those of others.

        Parameters
        ----------
        adata
            Annotated data with all genes that were measured, in memory or backed. It is not
            changed.
        donor_key
            Column of ``obs`` that tells donors apart. With ``None`` all cells count as one donor's,
            as single cells are too sparse to be aged by themselves.
        sample_key
            Column of ``obs`` that tells the samples of a donor apart.
        cell_type_key
            Column of ``obs`` with cell types. ``None`` takes ``"cell_type"``.
        covariate_keys
            For the sake of other clocks; this one has no covariates.
        layer
            Layer with counts. ``None`` reads ``adata.X``.
        log_normalized
            The values are log1p of depth-normalised counts, not counts. Never guessed.
        gene_key
            Column of ``var`` with gene names; see :func:`sctools.pp.match_genes`.
        min_coverage
            Least fraction of the clock's genes that must be found. Genes that are missing count as
            not expressed.
        batch_size
            Rows read at a time; it changes memory and speed, never results.
        return_specific
            Return the ages twice: for clocks that borrow from other cell types they differ.

        Returns
        -------
        Ages in the clock's ``age_unit``, float64, shape (n_obs,). NaN for cells whose type has no
        clock, or which have no counts.

        Raises
        ------
        KeyError
            A column or layer is missing.
        ValueError
            No cell is of a type that there is a clock for, genes do not match, covariates are
            given, or values are not what was declared.
        """
        if covariate_keys:
            raise ValueError(
                f"This clock has no covariates, found `covariate_keys={covariate_keys!r}`. Leave "
                "them out."
            )
        cells = self._read(
            adata,
            donor_key=donor_key,
            sample_key=sample_key,
            cell_type_key=cell_type_key,
            layer=layer,
            log_normalized=log_normalized,
            gene_key=gene_key,
            min_coverage=min_coverage,
            batch_size=batch_size,
        )
        ages = mean_over_pseudocells(
            cells.own, cells.unit * len(self.cell_types) + cells.cell_type, self.pseudocell_size
        )
        return (ages, ages.copy()) if return_specific else ages

    @docs.dedent
    def predict_pseudocells(
        self,
        adata: AnnData,
        *,
        n_pseudocells: int = 100,
        donor_key: str | None = "donor_id",
        sample_key: str | None = None,
        cell_type_key: str | None = None,
        layer: str | None = None,
        log_normalized: bool = False,
        gene_key: str | None = None,
        min_coverage: float = 0.5,
        batch_size: int = READ_ROWS,
        rng: int | np.random.Generator | None = 0,
    ) -> pd.DataFrame:
        """Predict the age of random pseudocells, as the papers of such clocks do.

        A pseudocell is drawn without replacement; where a donor has no more cells of the type than
        it takes, with replacement. The draws for a donor and type depend on the seed and the names
        of these cells alone, on no other cells and no order. The mean over the pseudocells of a
        donor and type tends to the mean age of its cells from :meth:`predict`; their spread is that
        of the draws, not of donors.

        Parameters
        ----------
        adata
            As in :meth:`predict`; ``obs_names`` must be unique.
        n_pseudocells
            Pseudocells of each donor and cell type.
        donor_key, sample_key, cell_type_key, layer, log_normalized, gene_key, min_coverage
            As in :meth:`predict`.
        batch_size
            Rows read at a time.
        %(rng)s

        Returns
        -------
        One row per pseudocell: ``donor`` (``donor|sample`` with a ``sample_key``), ``cell_type``
        (the clock's name for it), ``pseudocell`` (from 0), ``predicted`` (float64) and ``n_cells``
        of that donor and type.

        Raises
        ------
        KeyError
            A column or layer is missing.
        ValueError
            As in :meth:`predict`, or ``obs_names`` are not unique, or ``n_pseudocells`` is not
            positive.
        """
        if n_pseudocells < 1:
            raise ValueError(f"`n_pseudocells` must be at least 1, found {n_pseudocells}.")
        if not adata.obs_names.is_unique:
            raise ValueError(
                "`adata.obs_names` must be unique, as pseudocells are drawn by the names of cells. "
                "Call `adata.obs_names_make_unique()` first."
            )
        seed = int(np.random.default_rng(rng).integers(2**63))
        cells = self._read(
            adata,
            donor_key=donor_key,
            sample_key=sample_key,
            cell_type_key=cell_type_key,
            layer=layer,
            log_normalized=log_normalized,
            gene_key=gene_key,
            min_coverage=min_coverage,
            batch_size=batch_size,
        )
        rows = np.flatnonzero(np.isfinite(cells.own))
        names = adata.obs_names.to_numpy(dtype=object)[rows].astype(str)
        rows = rows[np.lexsort((names, cells.cell_type[rows], cells.unit[rows]))]
        group = cells.unit[rows] * len(self.cell_types) + cells.cell_type[rows]
        tables = []
        for members in np.split(rows, np.flatnonzero(np.diff(group)) + 1):
            donor = cells.names[cells.unit[members[0]]]
            cell_type = self.cell_types[cells.cell_type[members[0]]]
            drawn = draw_pseudocells(
                len(members), self.pseudocell_size, n_pseudocells, (seed, donor, cell_type)
            )
            tables.append(
                pd.DataFrame(
                    {
                        "donor": donor,
                        "cell_type": cell_type,
                        "pseudocell": np.arange(n_pseudocells),
                        # A linear prediction of a mean is the mean of the predictions.
                        "predicted": cells.own[members][drawn].mean(axis=1),
                        "n_cells": len(members),
                    }
                )
            )
        return pd.concat(tables, ignore_index=True)

    def _read(
        self,
        adata: AnnData,
        *,
        donor_key: str | None,
        sample_key: str | None,
        cell_type_key: str | None,
        layer: str | None,
        log_normalized: bool,
        gene_key: str | None,
        min_coverage: float,
        batch_size: int,
    ) -> AgedCells:
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1, found {batch_size}.")
        matrix = get_expression(adata, layer, lazy=True)
        cell_type_key = cell_type_key or self.keys["cell_type_key"]
        table = self.match_categories(adata, cell_type_key=cell_type_key)
        cell_type = self._cell_type_codes(adata, cell_type_key, table)
        match = self.match_genes(adata, gene_key=gene_key, min_coverage=min_coverage)
        unit, names = np.zeros(adata.n_obs, dtype=np.int64), ["all cells"]
        if donor_key is not None:
            cohort = read_cohort(adata, age_key=None, donor_key=donor_key, sample_key=sample_key)
            unit, names = cohort.unit, list(cohort.names)
        own, depth = self._own_predictions(
            matrix, cell_type, match, layer=layer, log_normalized=log_normalized, size=batch_size
        )
        if donor_key is None:
            logger.warning(
                "No donors are given: all cells of a type count as one donor's. If there are "
                "several, name their column of adata.obs with `donor_key=`."
            )
        warn_of_labels(table, cell_type_key, self.cell_types)
        warn_of_genes(match, self.coefficients.iloc[:, np.unique(cell_type[cell_type >= 0])])
        warn_of_depth(depth, adata.n_vars, self.n_measured, log_normalized=log_normalized)
        warn_of_few_cells(unit, cell_type, np.isfinite(own), self.pseudocell_size)
        return AgedCells(own, cell_type, unit, names)

    def _own_predictions(
        self,
        matrix: Any,
        cell_type: np.ndarray,
        match: GeneMatch,
        *,
        layer: str | None,
        log_normalized: bool,
        size: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Prediction of every cell by itself, and its depth over all genes."""
        found = match.columns >= 0
        columns, position = np.unique(match.columns[found], return_inverse=True)
        weights = np.zeros((len(columns), len(self.cell_types)))
        np.add.at(weights, position, self.coefficients.to_numpy()[found])
        scale = WholeDepth(
            columns, matrix.shape[1], target_sum=self.target_sum, log_normalized=log_normalized
        )
        own = np.full(matrix.shape[0], np.nan)
        depth = np.empty(matrix.shape[0])
        block = LinearBlock(
            Prepare(describe(layer), log_normalized, scale), weights, self.intercepts.to_numpy()
        )
        for rows, found in map_blocks(block, matrix, size, cell_type):
            own[rows], depth[rows] = found
        return own, depth

    # ------------------------------------------------------------------ what matches

    def match_genes(
        self, adata: AnnData, *, gene_key: str | None = None, min_coverage: float = 0.5
    ) -> GeneMatch:
        """Find the clock's genes in ``adata``, by name or by symbol.

        Parameters
        ----------
        adata
            Annotated data.
        gene_key
            Column of ``var`` with gene names; see :func:`sctools.pp.match_genes`.
        min_coverage
            Least fraction of the clock's genes that must be found.

        Returns
        -------
        Columns of the genes and the coverage, over all cell types together.

        Raises
        ------
        KeyError, TypeError, ValueError
            As :func:`sctools.pp.match_genes`.
        """
        # Names of the form SYMBOL_ENSG… are matched by either.
        names = [f"{self.symbols[g]}_{g}" if g in self.symbols else g for g in self.genes]
        try:
            return match_genes(adata, names, gene_key=gene_key, min_coverage=min_coverage)
        except ValueError as error:
            n_known = len(self.symbols)
            if "genes" not in str(error) or n_known == len(names):
                raise
            raise ValueError(
                f"{error} The clock knows the symbols of {n_known} of its genes; give the others "
                "with `symbols=`, or put Ensembl ids into a column of `adata.var`."
            ) from error

    def match_categories(
        self,
        adata: AnnData,
        *,
        cell_type_key: str | None = None,
        covariate_keys: Sequence[str] | Mapping[str, str] | None = None,
    ) -> pd.DataFrame:
        """Show which of the clock's cell types the labels of ``adata`` are taken for.

        With ``labels="blood"`` the names of common sources are known (the tutorials of scanpy and
        Seurat, Azimuth, CellTypist, the Cell Ontology of CELLxGENE). Labels that could be of
        several types, such as "T cells", and types that the clock was not made for (MAIT, γδ and
        NK T cells, dendritic and plasma cells, platelets) are left out. To decide otherwise, make a
        column with the clock's own names.

        Parameters
        ----------
        adata
            Annotated data.
        cell_type_key
            Column of ``obs`` with cell types. ``None`` takes ``"cell_type"``.
        covariate_keys
            For the sake of other clocks; this one has no covariates.

        Returns
        -------
        One row per label, in natural order: ``covariate`` (``"cell_type"``), ``column``, ``label``,
        ``used`` (the clock's cell type; ``"(none)"`` without one), ``how`` (``"exact"``: equal but
        for case; ``"synonym"``; ``"not found"``) and ``n_cells``. Cells without a label come last,
        as ``"(missing)"``.

        Raises
        ------
        KeyError
            There is no such column.
        """
        key = cell_type_key or self.keys["cell_type_key"]
        mend = (
            "The clock needs cell types: name their column with `cell_type_key=`. It has clocks "
            f"for {listing(self.cell_types)}."
        )
        check_obs_key(adata, key, argument="cell_type_key", mend=mend)
        column = as_labels(adata.obs[key])
        counts = column.value_counts()
        labels: list[str | None] = [*natsorted(map(str, counts.index))]
        if column.isna().any():
            labels.append(None)
        found = [self._type_of(label) for label in labels]
        return pd.DataFrame(
            {
                "covariate": "cell_type",
                "column": key,
                "label": [MISSING if label is None else label for label in labels],
                "used": [used for used, _ in found],
                "how": [how for _, how in found],
                "n_cells": [
                    int(column.isna().sum() if label is None else counts[label]) for label in labels
                ],
            }
        )

    def _type_of(self, label: str | None) -> tuple[str, str]:
        """Cell type of a label, and how it was found."""
        if label is not None:
            for name in self.cell_types:
                if label.strip().lower() == name.lower():
                    return name, "exact"
            found = blood_type(label) if self.labels == "blood" else None
            if found in self.cell_types:
                return str(found), "synonym"
        return NO_CLOCK, "not found"

    def _cell_type_codes(
        self, adata: AnnData, cell_type_key: str, table: pd.DataFrame
    ) -> np.ndarray:
        known = table[table["used"] != NO_CLOCK]
        if known.empty:
            raise ValueError(
                f"No label of `adata.obs[{cell_type_key!r}]` is of a cell type that there is a "
                f"clock for: found {listing(table['label'])}; there are clocks for "
                f"{listing(self.cell_types)}. Name another column with `cell_type_key=`, or make "
                "one with these names."
            )
        code = {name: i for i, name in enumerate(self.cell_types)}
        of_label = dict(zip(known["label"], known["used"].map(code), strict=True))
        labels = as_labels(adata.obs[cell_type_key])
        return np.array([of_label.get(label, -1) for label in labels], dtype=np.int64)

    def has_seen(self, donors: Iterable[object]) -> np.ndarray:
        """Whether donors of these names were trained on; not known for clocks from elsewhere.

        Parameters
        ----------
        donors
            Names of donors.

        Returns
        -------
        ``False`` for each name: bool, one entry per name.
        """
        return np.zeros(len(list(donors)), dtype=bool)

    # ------------------------------------------------------------------ files

    def save(self, dir_path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Save the clock to a directory: one JSON file, one safetensors file, no pickle.

        Parameters
        ----------
        dir_path
            Directory; it is made if missing.
        overwrite
            Replace a clock that is there.

        Raises
        ------
        FileExistsError
            There is a clock and ``overwrite`` is ``False``.
        """
        description = {
            "name": self.name,
            "cell_types": self.cell_types,
            "genes": self.genes,
            "symbols": self.symbols,
            "labels": self.labels,
            "age_unit": self.age_unit,
            "target_sum": self.target_sum,
            "pseudocell_size": self.pseudocell_size,
            "n_measured": self.n_measured,
        }
        tensors = {
            "coefficients": torch.from_numpy(self.coefficients.to_numpy(copy=True)),
            "intercepts": torch.from_numpy(self.intercepts.to_numpy(copy=True)),
        }
        write_model(LINEAR_CLOCK, Path(dir_path), description, tensors, overwrite=overwrite)

    @classmethod
    def load(cls, dir_path: str | os.PathLike[str]) -> LinearClock:
        """Load a clock saved with :meth:`save`; nothing in it is executed.

        Parameters
        ----------
        dir_path
            Directory of the clock.

        Returns
        -------
        The clock.

        Raises
        ------
        ValueError
            The directory is not a saved clock, or is damaged or from a newer version.
        """
        folder = Path(dir_path)
        description, tensors = read_model(LINEAR_CLOCK, folder)
        with fitting_files(folder):
            types, genes = description["cell_types"], description["genes"]
            table = pd.DataFrame(tensors["coefficients"].numpy(), index=genes, columns=types)
            intercepts = dict(zip(types, tensors["intercepts"].tolist(), strict=True))
            settings = ("name", "symbols", "labels", "age_unit", "target_sum", "pseudocell_size")
            return cls(
                {name: table[name] for name in types},
                intercepts,
                **{name: copy.deepcopy(description[name]) for name in settings},
                n_measured=description.get("n_measured"),  # older files lack it
            )
