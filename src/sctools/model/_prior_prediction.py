"""What a trained prior transformer answers."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from .._docs import docs
from .._validate import listing
from ..pp._expression import Normalizer, describe, get_expression
from ..pp._map_blocks import Prepare, map_blocks
from ..pp._match_genes import GeneMatch, match_genes
from ._prior_blocks import Keep, KeepAttention, KeepOutput, Kept, PriorBlock, join
from ._prior_options import check_dense_memory
from ._typicality import Typicality, typical

if TYPE_CHECKING:
    from anndata import AnnData

    from ..module import PriorTransformerModule
    from ._prior_outputs import GroupAttention

TARGET_SUM = 1e4
READ_ROWS = 2048


class PriorPredictionMixin:
    """Predictions of a prior transformer, which adds training and storage."""

    adata: Any
    module: PriorTransformerModule
    options: dict[str, Any]
    keys: dict[str, Any]
    genes: list[str]
    classes: list[str]
    edges: pd.DataFrame
    train_indices: np.ndarray
    typicality: Typicality | None
    is_trained_: bool

    def _read_cells(
        self,
        keep: Keep,
        adata: AnnData | None,
        *per_cell: np.ndarray,
        layer: str | None,
        log_normalized: bool,
        gene_key: str | None,
        min_coverage: float,
        batch_size: int,
    ) -> Kept:
        """Run the trained model over cells in their order; see `predict_proba`."""
        if not self.is_trained_:
            raise ValueError("The model is not trained yet. Call `model.train()` first.")
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1, found {batch_size}.")
        if adata is None:
            adata = self._own_data()
            layer, log_normalized = self.keys["layer"], self.keys["log_normalized"]
        check_dense_memory(self.options["prior"], len(self.genes), self.options["n_heads"], 1)
        matrix = get_expression(adata, layer, lazy=True)
        match = self.match_genes(adata, gene_key=gene_key, min_coverage=min_coverage)
        if match.n_found < match.n_genes:
            warnings.warn(
                f"{match.n_genes - match.n_found} of the model's {match.n_genes} genes "
                f"({1 - match.fraction:.1%}) are missing and count as not expressed: "
                f"{listing(match.missing, 5)}.",
                UserWarning,
                stacklevel=3,
            )
        normalize = Normalizer(
            match.columns, adata.n_vars, target_sum=TARGET_SUM, log_normalized=log_normalized
        )
        prepare = Prepare(describe(layer), log_normalized, normalize)
        function = PriorBlock(prepare, self.module, keep, batch_size)
        blocks = map_blocks(function, matrix, READ_ROWS, *per_cell, join=join)
        kept = join(part for _, part in blocks)
        if kept.n_empty:
            warnings.warn(
                f"{kept.n_empty} cells have no counts in the model's genes; their answers tell "
                "nothing. Filter them: `sc.pp.filter_cells(adata, min_counts=1)`.",
                UserWarning,
                stacklevel=3,
            )
        return kept

    def _own_data(self) -> AnnData:
        if self.adata is None:
            raise ValueError("This model has no data of its own: it was loaded. Pass `adata`.")
        return self.adata

    def match_genes(
        self, adata: AnnData, *, gene_key: str | None = None, min_coverage: float = 0.5
    ) -> GeneMatch:
        """Find the model's genes in ``adata``; see :func:`sctools.pp.match_genes`.

        Parameters
        ----------
        adata
            Annotated data.
        gene_key
            Column of ``var`` with gene names.
        min_coverage
            Least fraction of the model's genes that must be found.

        Returns
        -------
        :class:`sctools.pp.GeneMatch`.

        Raises
        ------
        KeyError, TypeError, ValueError
            As :func:`sctools.pp.match_genes`.
        """
        return match_genes(adata, self.genes, gene_key=gene_key, min_coverage=min_coverage)

    @docs.dedent
    def predict_proba(
        self,
        adata: AnnData | None = None,
        *,
        layer: str | None = None,
        log_normalized: bool = False,
        gene_key: str | None = None,
        min_coverage: float = 0.5,
        batch_size: int = 64,
    ) -> np.ndarray:
        """Return calibrated probabilities of the classes.

        Parameters
        ----------
        adata
            Annotated data, in memory, backed or a dask array; genes are matched by name, whatever
            their order and whatever else is there. ``None`` takes the training data. It is not
            changed.
        layer, log_normalized
            As in :meth:`setup_anndata`.
        gene_key
            Column of ``var`` with gene names; see :func:`sctools.pp.match_genes`.
        min_coverage
            Least fraction of the model's genes that must be found. Missing genes count as not
            expressed, with a warning.
        batch_size
            Cells at a time; it changes memory and speed, never results.

        Returns
        -------
        Array of shape ``(n_obs, n_classes)``, float32, columns as in ``classes``; rows sum to 1.

        Raises
        ------
        KeyError
            A layer is missing.
        ValueError
            The model is not trained, genes do not match, or values are not what was declared.
        """
        kept = self._read_cells(
            KeepOutput("proba"),
            adata,
            layer=layer,
            log_normalized=log_normalized,
            gene_key=gene_key,
            min_coverage=min_coverage,
            batch_size=batch_size,
        )
        return kept.joined("proba")

    def predict(self, adata: AnnData | None = None, **kwargs: Any) -> np.ndarray:
        """Return the most probable class of every cell.

        Parameters
        ----------
        adata, **kwargs
            As in :meth:`predict_proba`.

        Returns
        -------
        Names of classes, strings in an array of shape ``(n_obs,)``, dtype object.

        Raises
        ------
        KeyError, ValueError
            As :meth:`predict_proba`.
        """
        proba = self.predict_proba(adata, **kwargs)
        return np.array(self.classes, dtype=object)[proba.argmax(axis=1)]

    def get_latent_representation(
        self,
        adata: AnnData | None = None,
        *,
        layer: str | None = None,
        log_normalized: bool = False,
        gene_key: str | None = None,
        min_coverage: float = 0.5,
        batch_size: int = 64,
    ) -> np.ndarray:
        """Return the embedding of every cell, which the classifier reads.

        Parameters
        ----------
        adata, layer, log_normalized, gene_key, min_coverage, batch_size
            As in :meth:`predict_proba`.

        Returns
        -------
        Array of shape ``(n_obs, n_heads * n_hidden)``, float32.

        Raises
        ------
        KeyError, ValueError
            As :meth:`predict_proba`.
        """
        kept = self._read_cells(
            KeepOutput("latent"),
            adata,
            layer=layer,
            log_normalized=log_normalized,
            gene_key=gene_key,
            min_coverage=min_coverage,
            batch_size=batch_size,
        )
        return kept.joined("latent")

    def get_typicality(
        self,
        adata: AnnData | None = None,
        *,
        layer: str | None = None,
        log_normalized: bool = False,
        gene_key: str | None = None,
        min_coverage: float = 0.5,
        batch_size: int = 64,
    ) -> np.ndarray:
        """Return how usual each cell is among those of the classes that were learned.

        It is small for cells of a class that was never seen, which may well be given a known one
        with confidence.

        Parameters
        ----------
        adata, layer, log_normalized, gene_key, min_coverage, batch_size
            As in :meth:`predict_proba`.

        Returns
        -------
        Share of validation cells whose embedding lies as far or farther from the nearest class
        (Mahalanobis distance), float32 ``(n_obs,)``, above 0. About one in twenty ordinary cells is
        below 0.05. Cells that the model was trained on are compared with each other instead. All 1
        with fewer than 20 validation cells.

        Raises
        ------
        KeyError, ValueError
            As :meth:`predict_proba`.
        """
        latent = self.get_latent_representation(
            adata,
            layer=layer,
            log_normalized=log_normalized,
            gene_key=gene_key,
            min_coverage=min_coverage,
            batch_size=batch_size,
        )
        new = np.ones(len(latent), dtype=bool)
        if adata is None:
            new[self.train_indices] = False
        return typical(self.typicality, latent, new)

    def get_attention(
        self,
        adata: AnnData | None = None,
        groups: np.ndarray | None = None,
        *,
        layer: str | None = None,
        log_normalized: bool = False,
        gene_key: str | None = None,
        min_coverage: float = 0.5,
        batch_size: int = 64,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean attention along the edges and mean read-out of the genes, by group.

        Parameters
        ----------
        adata
            As in :meth:`predict_proba`.
        groups
            Number of each cell's group from 0, below 0 for none, ``(n_obs,)``. ``None`` takes all
            cells as one group.
        layer, log_normalized, gene_key, min_coverage, batch_size
            As in :meth:`predict_proba`.

        Returns
        -------
        Attention, float32 of shape ``(n_edges, n_groups)`` in the order of ``edges``, mean over
        heads and layers: what a target gives to itself and to all its regulators sums to 1. And
        weights of the genes in the embedding, float32 of shape ``(n_genes, n_groups)``; columns sum
        to 1.

        Raises
        ------
        KeyError
            A layer is missing.
        ValueError
            ``groups`` has not one entry per cell, or none in any group; else as
            :meth:`predict_proba`.
        """
        data = self._own_data() if adata is None else adata
        codes = np.zeros(data.n_obs, dtype=np.int64) if groups is None else np.asarray(groups)
        if codes.shape != (data.n_obs,) or codes.max(initial=-1) < 0:
            raise ValueError(
                f"`groups` must have a number for each of the {data.n_obs} cells, found shape "
                f"{codes.shape}, highest {codes.max(initial=-1)}."
            )
        kept = self._read_cells(
            KeepAttention(int(codes.max()) + 1),
            adata,
            codes,
            layer=layer,
            log_normalized=log_normalized,
            gene_key=gene_key,
            min_coverage=min_coverage,
            batch_size=batch_size,
        )
        means = cast("GroupAttention", kept.means)  # there is a cell in a group, and so a mean
        return means.attention, means.gene_attention
