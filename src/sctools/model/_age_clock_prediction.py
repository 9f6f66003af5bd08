"""What a trained age clock answers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._docs import docs
from .._validate import listing
from ..pp._clock_input import READ_ROWS
from ..pp._cohort import read_cohort
from ..pp._expression import Normalizer, describe, get_expression
from ..pp._map_blocks import Prepare
from ..pp._match_genes import GeneMatch, match_genes
from ._age_covariates import (
    choose_columns,
    encode_labels,
    forget_unseen,
    read_labels,
    warn_of_unseen,
)
from ._age_prediction import Ages, predict_parts

if TYPE_CHECKING:
    from anndata import AnnData

    from ..module import AgeClockModule


class AgePredictionMixin:
    """Predictions of an age clock, which adds training and storage."""

    adata: Any
    module: AgeClockModule
    keys: dict[str, Any]
    genes: list[str]
    categories: list[dict[str, list[str]]]
    target_sum: float
    is_trained_: bool

    @docs.dedent
    def predict(
        self,
        adata: AnnData | None = None,
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
        """Predict the age of every cell.

        With donors, the prediction for a donor (from its mean expression per cell type, calibrated)
        is shared by its cells, and each adds the deviation of its cell type in that donor and its
        own; the mean over a donor's cells is the donor's predicted age. It depends on no other
        donor, on no order and on no batch size. Without donors every cell stands on its own.

        Parameters
        ----------
        adata
            Annotated data, in memory or backed; genes are matched by name. ``None`` takes the
            training data. It is not changed.
        donor_key
            Column of ``obs`` that tells donors apart; ``None`` treats every cell on its own.
        sample_key
            Column of ``obs`` that tells the samples of a donor apart.
        cell_type_key
            Column of ``obs`` with cell types. ``None`` takes the name used in training.
        covariate_keys
            Columns of ``obs`` for the clock's covariates, in their order or as a mapping from the
            clock's name to the column. ``None`` takes the names used in training.
        layer, log_normalized
            As in :meth:`setup_anndata`.
        gene_key
            Column of ``var`` with gene names; see :func:`sctools.pp.match_genes`.
        min_coverage
            Least fraction of the clock's genes that must be found.
        batch_size
            Rows read at a time; it changes memory and speed, never results.
        return_specific
            Also return what the networks say of each cell type in each donor by itself.

        Returns
        -------
        Ages in the clock's ``age_unit``, float64, shape (n_obs,). With ``return_specific``, a pair
        of such arrays: the second borrows nothing from the donor's other cell types, so that a
        change in one type stays there. Without donors the two are the same.

        Raises
        ------
        KeyError
            A column or layer is missing.
        ValueError
            The clock is not trained, genes do not match, or values are not what was declared.
        """
        if not self.is_trained_:
            raise ValueError("The clock is not trained yet. Call `clock.train()` first.")
        if adata is None:
            adata = self.adata
            if adata is None:
                raise ValueError(
                    "This clock has no data of its own: it was loaded or averaged. Pass `adata`."
                )
            layer, log_normalized = self.keys["layer"], self.keys["log_normalized"]
            if donor_key is not None:
                donor_key, sample_key = self.keys["donor_key"], self.keys["sample_key"]
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1, found {batch_size}.")
        parts = self._predict_parts(
            adata,
            donor_key=donor_key,
            sample_key=sample_key,
            cell_type_key=cell_type_key,
            covariate_keys=covariate_keys,
            layer=layer,
            log_normalized=log_normalized,
            gene_key=gene_key,
            min_coverage=min_coverage,
            batch_size=batch_size,
        )
        ages = Ages(*np.mean(parts, axis=0))
        return (ages.predicted, ages.specific) if return_specific else ages.predicted

    def _predict_parts(
        self,
        adata: AnnData,
        *,
        donor_key: str | None,
        sample_key: str | None = None,
        cell_type_key: str | None = None,
        covariate_keys: Sequence[str] | Mapping[str, str] | None = None,
        layer: str | None = None,
        log_normalized: bool = False,
        gene_key: str | None = None,
        min_coverage: float = 0.5,
        batch_size: int = READ_ROWS,
    ) -> list[Ages]:
        """Ages of every cell by each of the clocks that this one is the average of."""
        matrix = get_expression(adata, layer, lazy=True)
        match = self.match_genes(adata, gene_key=gene_key, min_coverage=min_coverage)
        unit = None
        if donor_key is not None:
            unit = read_cohort(adata, age_key=None, donor_key=donor_key, sample_key=sample_key).unit
        columns = choose_columns(adata, self.keys, cell_type_key, covariate_keys)
        labels = read_labels(adata, columns)
        normalize = Normalizer(
            match.columns,
            adata.n_vars,
            target_sum=self.target_sum * self._depth_share(match),
            log_normalized=log_normalized,
        )
        parts, empty = predict_parts(
            self.module.parts,
            matrix,
            batch_size,
            [encode_labels(labels, categories, self.keys) for categories in self.categories],
            prepare=Prepare(describe(layer), log_normalized, normalize),
            present=match.columns >= 0,
            unit=unit,
            labels=forget_unseen(labels, self.categories),
        )
        if not np.isfinite(parts).all():
            raise ValueError(
                "The clock predicts ages that are not finite: its training went astray. Train it "
                "again with a smaller `lr`."
            )
        warn_of_unseen(labels, self.categories)
        if empty:
            warnings.warn(
                f"{empty} cells have no counts in the clock's genes; their ages rest on the donor "
                "and the covariates alone. Consider `scanpy.pp.filter_cells`.",
                UserWarning,
                stacklevel=3,
            )
        return parts

    def _depth_share(self, match: GeneMatch) -> float:
        """Share of a cell's counts that falls on the genes found; warns where some are missing."""
        if match.n_found < match.n_genes:
            warnings.warn(
                f"{match.n_genes - match.n_found} of the clock's {match.n_genes} genes "
                f"({1 - match.fraction:.1%}) are missing and count as average for the cell type: "
                f"{listing(match.missing, 5)}.",
                UserWarning,
                stacklevel=4,
            )
        found = match.columns >= 0
        shares = [part.share.cpu().numpy()[found].sum() for part in self.module.parts]
        return float(np.mean(shares)) or 1.0

    def match_genes(
        self, adata: AnnData, *, gene_key: str | None = None, min_coverage: float = 0.5
    ) -> GeneMatch:
        """Find the genes that the clock reads in ``adata``; see :func:`sctools.pp.match_genes`.

        Parameters
        ----------
        adata
            Annotated data.
        gene_key
            Column of ``var`` with gene names.
        min_coverage
            Least fraction of the genes that the networks use.

        Returns
        -------
        Columns of all genes that count for depth; the coverage is that of the networks' genes.

        Raises
        ------
        KeyError, TypeError, ValueError
            As :func:`sctools.pp.match_genes`.
        """
        used = np.unique(np.concatenate([p.genes.cpu().numpy() for p in self.module.parts]))
        match = match_genes(
            adata, [self.genes[i] for i in used], gene_key=gene_key, min_coverage=min_coverage
        )
        everything = match_genes(
            adata,
            self.genes,
            gene_key=None if match.source == "var_names" else match.source,
            min_coverage=0.0,
        )
        return match._replace(columns=everything.columns)
