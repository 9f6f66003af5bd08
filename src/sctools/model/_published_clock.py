"""The published clock of scAgeClock, on raw AnnData."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from torch import Tensor

from .._arguments import check_choice
from .._validate import check_obs_key, listing
from ..module import FoldedPublishedNetwork, Precision, PublishedNetwork
from ..pp._clock_categories import (
    COLUMNS,
    CategoryMatch,
    choose_columns,
    describe_unmatched,
    match_categories,
)
from ..pp._clock_input import READ_ROWS
from ..pp._expression import describe, get_expression, row_blocks
from ..pp._map_blocks import Prepare, map_blocks
from ..pp._match_genes import GeneMatch, match_genes
from ..pp._whole_depth import WholeDepth, median_depth
from ._further_training import FurtherTraining, read_further_training
from ._published_training import PublishedTraining
from ._saved_model import PUBLISHED_CLOCK, fitting_files, read_model, write_model
from ._scageclock_files import (
    Table,
    read_categories,
    read_gene_ids,
    read_genes,
    read_weights,
    write_tables,
)

if TYPE_CHECKING:
    from anndata import AnnData

TargetSum = float | Literal["median"]

PRECISIONS = ("float32", "float16")
WEIGHT_FILE = "weights.pth"


class PublishedClock(PublishedTraining):
    """The network that scAgeClock published, applied to raw counts with any names.

    Ages are those of the published network, to 1e-4 years, but genes are matched by symbol or
    Ensembl id, categories by label (case, common synonyms), every cell is predicted, and nothing
    depends on which other cells there are. Made by :meth:`AgeClock.from_scageclock` from the
    published files; to be given to :func:`sctools.tl.age_clock` as ``model``. :meth:`train` trains
    it further.

    Nothing of this network is to be read as attention. Its attention block sees one token per cell,
    and the softmax over a single key is 1: each cell attends to itself alone, with weight 1,
    whatever its genes. The block is an affine map, and it is evaluated as one.

    Parameters
    ----------
    weights
        Tensors by their published names: the state dict of either generation (0.1.2; 0.1.3 and
        later), told apart by names and shapes.
    genes
        Names of the genes in the network's order: symbols, Ensembl ids or ``SYMBOL_ENSG…``.
    categories
        Labels of ``assay``, ``cell_type``, ``tissue_general`` and ``sex`` in the order of their
        codes.
    gene_ids
        Ensembl id of every gene, ``None`` where it is not known; for data named by Ensembl ids.
    target_sum
        Depth that every cell is scaled to, in counts over all variables of the data. Stored with
        the clock. ``"median"`` reproduces the published normalisation, to the median total of the
        given cells: an age then depends on which other cells there are.

    Attributes
    ----------
    trained_on
        Hashes of the names of the donors that :meth:`train` has seen.
    trained_further
        Epochs, cells and donors of every :meth:`train` so far, as named tuples with ``n_epochs``,
        ``n_cells`` and ``n_donors`` (``None`` where not known); empty while the weights are those
        that were given.
    history
        Mean squared error in training, a row per epoch of the last :meth:`train`; else ``None``.

    Raises
    ------
    ValueError
        The weights are of neither generation or not finite, genes or categories are not as many as
        the weights have, genes repeat, or ``target_sum`` is not positive.

    Notes
    -----
    G. Xie, *scAgeClock*, npj Aging 2026, doi:10.1038/s41514-026-00379-5.

    A label that the clock does not know counts as the vocabulary's own ``"unknown"`` where it has
    one (cell type, sex). For assay and tissue, it counts as the mean of all embeddings, equally
    weighted: the gates and the projection are linear, so the cell enters the network half-way
    between all assays, favouring none. What was used is reported.

    Missing genes count as not expressed, as published.

    Examples
    --------
    A small network with random weights instead of the published ones:

    >>> import sctools, torch
    >>> from sctools.module import PublishedNetwork
    >>> adata = sctools.datasets.aging_cohort(12, n_genes=200, cells_per_donor=20)
    >>> adata.obs["tissue"] = "PBMC"
    >>> clock = sctools.model.PublishedClock(
    ...     PublishedNetwork(200, (1, 2, 1, 3)).state_dict(),
    ...     list(adata.var_names),
    ...     {
    ...         "assay": ["10x 3' v2"],
    ...         "cell_type": ["B cell", "unknown"],
    ...         "tissue_general": ["blood"],
    ...         "sex": ["female", "male", "unknown"],
    ...     },
    ... )
    >>> clock
    PublishedClock of generation 0.1.3: 200 genes, 2 cell types, ages in years
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # no assay here, and cell types it does not know
    ...     sctools.tl.age_clock(adata, model=clock)
    >>> adata.obs["age_clock"].notna().all()
    np.True_
    """

    age_unit = "years"

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        genes: Sequence[str],
        categories: Mapping[str, Sequence[str]],
        *,
        gene_ids: Sequence[str | None] | None = None,
        target_sum: TargetSum = 1e4,
    ) -> None:
        given: dict[str, Any] = dict(weights)
        own = {k: v.detach().cpu().clone() for k, v in given.items() if isinstance(v, Tensor)}
        self.network = PublishedNetwork.from_state(given | own)
        self.genes = [str(gene) for gene in genes]
        self.categories = {
            name: [str(label) for label in categories.get(name, ())] for name in COLUMNS
        }
        self.gene_ids = None if gene_ids is None else [i and str(i) for i in gene_ids]
        self.target_sum = _check_target_sum(target_sum)
        self.trained_on: list[str] = []
        self.trained_further: list[FurtherTraining] = []
        self.history: pd.DataFrame | None = None
        self._folded: dict[str, FoldedPublishedNetwork] = {}
        expected = self.network.projection_.in_features - sum(
            e.embedding_dim for e in self.network.embeddings
        )
        if len(self.genes) != expected:
            raise ValueError(
                f"The weights are for {expected} genes, the gene list has {len(self.genes)} (after "
                f"its {len(COLUMNS)} categories). Give the list that was published with these "
                f"weights (generation {self.generation}); the two generations have different ones."
            )
        if len(set(self.genes)) < len(self.genes):
            raise ValueError("`genes` must be unique, found some names more than once.")
        if self.gene_ids is not None and len(self.gene_ids) != expected:
            raise ValueError(
                f"Expected {expected} gene ids, one per gene; found {len(self.gene_ids)}."
            )
        for (name, labels), embedding in zip(
            self.categories.items(), self.network.embeddings, strict=True
        ):
            if len(labels) != embedding.num_embeddings:
                raise ValueError(
                    f"The weights have {embedding.num_embeddings} {name} categories, the table "
                    f"lists {len(labels)}. Give the table that was published with these weights."
                )

    @classmethod
    def from_scageclock(
        cls,
        weights: str | os.PathLike[str] | Mapping[str, Tensor],
        genes: Table,
        categories: str | os.PathLike[str] | Mapping[str, Table],
        *,
        gene_ids: Table | None = None,
        target_sum: TargetSum = 1e4,
    ) -> PublishedClock:
        """Read the published files; see :meth:`AgeClock.from_scageclock`.

        Parameters
        ----------
        weights, genes, categories, gene_ids, target_sum
            As there.

        Returns
        -------
        The clock.

        Raises
        ------
        FileNotFoundError, ValueError
            As there.
        """
        names = read_genes(genes)
        return cls(
            read_weights(weights),
            names,
            read_categories(categories),
            gene_ids=None if gene_ids is None else read_gene_ids(gene_ids, names),
            target_sum=target_sum,
        )

    def __repr__(self) -> str:
        further = ", trained further" if self.trained_further else ""
        return (
            f"PublishedClock of generation {self.generation}: {len(self.genes)} genes, "
            f"{len(self.categories['cell_type'])} cell types, ages in {self.age_unit}{further}"
        )

    @property
    def generation(self) -> str:
        """``"0.1.2"`` or ``"0.1.3"``: the version of ``scageclock`` that the weights belong to."""
        return self.network.generation

    @property
    def keys(self) -> dict[str, Any]:
        """Names of the clock's covariates."""
        return {
            "cell_type_key": "cell_type",
            "covariate_keys": [name for name in COLUMNS if name != "cell_type"],
        }

    # ------------------------------------------------------------------ prediction

    def predict(
        self,
        adata: AnnData,
        *,
        donor_key: str | None = None,
        sample_key: str | None = None,
        cell_type_key: str | None = "cell_type",
        covariate_keys: Sequence[str] | Mapping[str, str] | None = None,
        layer: str | None = None,
        log_normalized: bool = False,
        gene_key: str | None = None,
        min_coverage: float = 0.5,
        batch_size: int = READ_ROWS,
        target_sum: TargetSum | None = None,
        precision: Precision = "float32",
        return_specific: bool = False,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Predict the age of every cell, each on its own, as published.

        Ages depend on no other cell, no order and no batch size, except with
        ``target_sum="median"``. Memory holds one block of cells at a time.

        Parameters
        ----------
        adata
            Annotated data, in memory or backed, with all genes that were counted: depth is the
            total over all variables, as in the published training data. It is not changed.
        donor_key, sample_key
            Columns of ``obs`` for the sake of other clocks. Checked to be there, and not used.
        cell_type_key
            Column of ``obs`` with cell types. The default and ``None`` look for the usual names.
        covariate_keys
            Columns of ``obs`` with assay, tissue and sex: a mapping from ``"assay"``,
            ``"tissue_general"`` (or ``"tissue"``) and ``"sex"``, or the three columns in this
            order. What is not named is looked for under the usual names.
        layer
            Layer with counts. ``None`` reads ``adata.X``.
        log_normalized
            The values are log1p of depth-normalised counts, not counts. Never guessed.
        gene_key
            Column of ``var`` with gene names; see :func:`sctools.pp.match_genes`.
        min_coverage
            Least fraction of the clock's genes that must be found; the others count as zero.
        batch_size
            Rows read at a time; it changes memory and speed, never results.
        target_sum
            Depth to scale to; ``None`` takes the clock's. ``"median"`` is the median total of the
            given cells, as published: then ages change with the other cells in ``adata``.
        precision
            ``"float16"`` halves the table of genes and is faster, with errors of about a hundredth
            of a year.
        return_specific
            Return the ages twice: for clocks that borrow from other cell types they differ.

        Returns
        -------
        Ages in years, float64, shape (n_obs,); a pair of them with ``return_specific``.

        Raises
        ------
        KeyError
            A column or layer is missing.
        ValueError
            Too few genes are found, no cell has a known category, values are not what was declared,
            or an argument is out of range.
        """
        target_sum = self.target_sum if target_sum is None else _check_target_sum(target_sum)
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1, found {batch_size}.")
        check_choice(precision, PRECISIONS, "precision")
        if target_sum == "median" and log_normalized:
            raise ValueError(
                "`target_sum='median'` needs counts: the depth of log-normalised cells is lost. "
                "Pass the layer with counts (`layer=`), or a number as `target_sum`."
            )
        for argument, key in {"donor_key": donor_key, "sample_key": sample_key}.items():
            if key is not None:
                check_obs_key(adata, key, argument=argument)
        matrix = get_expression(adata, layer, lazy=True)
        match = self.match_genes(adata, gene_key=gene_key, min_coverage=min_coverage)
        categories = self._match(adata, cell_type_key, covariate_keys)
        where = describe(layer)
        if target_sum == "median":
            target_sum = median_depth(row_blocks(matrix, batch_size), where=where)
        columns, network = self._network(match, precision)
        normalize = WholeDepth(
            columns, adata.n_vars, target_sum=float(target_sum), log_normalized=log_normalized
        )
        ages = np.empty(adata.n_obs, dtype=np.float64)
        empty = 0
        codes = np.column_stack([found.codes for found in categories.values()])
        block = _PublishedBlock(Prepare(where, log_normalized, normalize), network)
        for rows, (of_block, n_empty) in map_blocks(block, matrix, batch_size, codes):
            ages[rows] = of_block
            empty += n_empty
        self._warn(match, categories, empty)
        return (ages, ages.copy()) if return_specific else ages

    def _network(
        self, match: GeneMatch, precision: Precision
    ) -> tuple[np.ndarray, FoldedPublishedNetwork]:
        """Columns of the data, ascending, and the network for their genes."""
        if precision not in self._folded:
            self._folded[precision] = FoldedPublishedNetwork(self.network, precision=precision)
        found = np.flatnonzero(match.columns >= 0)
        genes = found[np.argsort(match.columns[found])]
        return match.columns[genes], self._folded[precision].take(genes)

    def _warn(self, match: GeneMatch, categories: dict[str, CategoryMatch], empty: int) -> None:
        messages = [describe_unmatched(found.table) for found in categories.values()]
        if match.missing:
            messages.append(
                f"{len(match.missing)} of the clock's {match.n_genes} genes "
                f"({1 - match.fraction:.1%}) are missing and count as not expressed, as published: "
                f"{listing(match.missing, 5)}."
            )
        if empty:
            messages.append(
                f"{empty} cells have no counts; their ages rest on the categories alone. Consider "
                "`scanpy.pp.filter_cells`."
            )
        for message in filter(None, messages):
            warnings.warn(message, UserWarning, stacklevel=3)

    def match_genes(
        self, adata: AnnData, *, gene_key: str | None = None, min_coverage: float = 0.5
    ) -> GeneMatch:
        """Find the clock's genes in ``adata``; see :func:`sctools.pp.match_genes`.

        Tried are the published names and, if the clock knows them, the Ensembl ids. Of several
        genes that match one variable (two ids of one symbol), the first has it.

        Parameters
        ----------
        adata
            Annotated data.
        gene_key
            Column of ``var`` with gene names.
        min_coverage
            Least fraction of the genes that must be found.

        Returns
        -------
        The columns and the coverage.

        Raises
        ------
        ValueError
            Too few genes are found.
        """
        # Names of the form SYMBOL_ENSG… are matched by either.
        ids = self.gene_ids or [None] * len(self.genes)
        names = [
            gene if i is None or i in gene else f"{gene}_{i}"
            for gene, i in zip(self.genes, ids, strict=True)
        ]
        try:
            match = match_genes(adata, names, gene_key=gene_key, min_coverage=min_coverage)
        except ValueError as error:
            if self.gene_ids is not None or "genes" not in str(error):
                raise
            raise ValueError(
                f"{error} For data with Ensembl ids and no column of symbols, read the clock with "
                "`gene_ids=` (the published `protein_coding_genes.tsv`)."
            ) from error
        columns = match.columns.copy()
        once = np.unique(columns, return_index=True)[1]
        again = np.ones(len(columns), dtype=bool)
        again[once] = False
        columns[again] = -1
        n_found = int((columns >= 0).sum())
        return match._replace(
            columns=columns,
            n_found=n_found,
            fraction=n_found / len(columns),
            missing=[self.genes[i] for i in np.flatnonzero(columns < 0)],
        )

    def choose_columns(
        self,
        adata: AnnData,
        *,
        cell_type_key: str | None = "cell_type",
        covariate_keys: Sequence[str] | Mapping[str, str] | None = None,
    ) -> dict[str, str | None]:
        """Find the columns that assay, cell type, tissue and sex are read from.

        Parameters
        ----------
        adata
            Annotated data.
        cell_type_key, covariate_keys
            As in :meth:`predict`.

        Returns
        -------
        Column of ``adata.obs`` by covariate, ``None`` where there is none.

        Raises
        ------
        KeyError
            A named column is missing.
        """
        return choose_columns(adata, cell_type_key, covariate_keys)

    def match_categories(
        self,
        adata: AnnData,
        *,
        cell_type_key: str | None = "cell_type",
        covariate_keys: Sequence[str] | Mapping[str, str] | None = None,
    ) -> pd.DataFrame:
        """Show how the labels of ``adata`` are read.

        Parameters
        ----------
        adata
            Annotated data.
        cell_type_key, covariate_keys
            As in :meth:`predict`.

        Returns
        -------
        One row per covariate and label: ``covariate``, ``column`` (empty without one), ``label``,
        ``used`` (the published label; ``"(mean)"`` for the mean of all), ``how`` (``"exact"``;
        ``"spelling"``: equal but for case, spaces, punctuation and plural; ``"synonym"``;
        ``"unknown"``: said to be unknown; ``"not found"``) and ``n_cells``.

        Raises
        ------
        KeyError
            A named column is missing.
        ValueError
            No cell has a known category, in any covariate.
        """
        found = self._match(adata, cell_type_key, covariate_keys)
        return pd.concat([match.table for match in found.values()], ignore_index=True)

    def _match(
        self,
        adata: AnnData,
        cell_type_key: str | None,
        covariate_keys: Sequence[str] | Mapping[str, str] | None,
    ) -> dict[str, CategoryMatch]:
        columns = choose_columns(adata, cell_type_key, covariate_keys)
        return match_categories(adata, columns, self.categories)

    # ------------------------------------------------------------------ files

    def to_scageclock(self, path: str | os.PathLike[str]) -> None:
        """Write the published format back: the same tensors, bit by bit.

        The format has no place for what :meth:`train` did: a clock that was trained further and is
        read from it again counts as published.

        Parameters
        ----------
        path
            A file with the suffix ``.pth``, for the weights as a bare state dict. Or a folder,
            which is made if missing, for ``weights.pth``, ``h5ad_var.tsv`` and the four tables of
            categories. Files there are replaced.

        Raises
        ------
        OSError
            The files cannot be written.
        """
        path = Path(path)
        file = path if path.suffix in (".pth", ".pt") else path / WEIGHT_FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save(self._weights(), file)
        if file is not path:
            write_tables(path, self.genes, self.categories)

    def _weights(self) -> dict[str, Tensor]:
        return {name: tensor.detach() for name, tensor in self.network.state_dict().items()}

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
            "generation": self.generation,
            "age_unit": self.age_unit,
            "target_sum": self.target_sum,
            "categories": self.categories,
            "genes": self.genes,
            "gene_ids": self.gene_ids,
            "trained_on": self.trained_on,
            "trained_further": [training._asdict() for training in self.trained_further],
        }
        write_model(
            PUBLISHED_CLOCK, Path(dir_path), description, self._weights(), overwrite=overwrite
        )

    @classmethod
    def load(cls, dir_path: str | os.PathLike[str]) -> PublishedClock:
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
        description, tensors = read_model(PUBLISHED_CLOCK, folder)
        with fitting_files(folder):
            arguments = {name: description[name] for name in ("genes", "categories")}
            options = {name: description[name] for name in ("gene_ids", "target_sum")}
            clock = cls(tensors, **arguments, **options)
            clock.trained_on = [str(name) for name in description.get("trained_on", [])]
            clock.trained_further = read_further_training(
                description.get("trained_further"), len(clock.trained_on)
            )
        return clock


@dataclass(frozen=True)
class _PublishedBlock:
    """Ages of a block of cells, and how many have no counts; for :func:`map_blocks`."""

    prepare: Prepare
    network: FoldedPublishedNetwork

    def __call__(self, block: sp.csr_matrix, codes: np.ndarray) -> tuple[np.ndarray, int]:
        x, totals = self.prepare(block)
        ages = self.network.ages(x.indptr, x.indices, x.data, codes)
        return ages, int((totals == 0).sum())


def _check_target_sum(value: Any) -> TargetSum:
    if isinstance(value, str):
        if value == "median":
            return "median"
    elif 0 < value < np.inf:
        return float(value)
    raise ValueError(f"`target_sum` must be a positive number or 'median', found {value!r}.")
