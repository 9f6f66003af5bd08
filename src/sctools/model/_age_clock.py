"""The age clock as a scvi-tools model."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager
from scvi.data.fields import CategoricalObsField, LayerField
from scvi.model.base import BaseModelClass

from .._arguments import check_devices
from .._settings import settings
from ..module import AgeClockModule
from ..pp._categories import categories_of
from ..pp._clock_input import READ_ROWS, ClockInput
from ..pp._cohort import Cohort, read_ages, read_cohort
from ..pp._expression import Normalizer, get_expression, row_blocks
from ._age_clock_prediction import AgePredictionMixin
from ._age_clock_storage import AgeStorageMixin, hash_name
from ._age_covariates import (
    covariate_names,
    encode_labels,
    n_codes,
    read_labels,
)
from ._age_fit import finish_part, new_part
from ._age_intervals import AgeIntervals
from ._age_statistics import count_shares, inner_splits, top_genes
from ._age_training_plan import AgeTrainingPlan
from ._donor_batches import DonorBatches, Strata
from ._keep_best import KeepBest
from ._runner import EpochCounter, progress, run_training, seeded

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from ._published_clock import PublishedClock

MAX_EPOCHS = 40
"""Epochs that a clock is trained for at most, by default."""


class AgeClock(AgePredictionMixin, AgeStorageMixin, BaseModelClass):
    """Clock that predicts the age of donors and cells from expression and covariates.

    An ensemble of gated networks (after scAgeClock) is trained on pseudocells of donors, beside a
    ridge regression on the donors' mean expression; each member leaves some donors out. The pooled
    predictions for the donors left out decide when to stop and how far predictions are shrunk
    towards the mean age, so that a clock without a signal answers the mean age.

    Most users want :func:`sctools.tl.age_clock`, which also predicts every donor by models that
    never saw it.

    Parameters
    ----------
    adata
        Annotated data registered with :meth:`setup_anndata`.
    n_hidden
        Width of the networks.
    head
        Widths of the hidden layers after it.
    gate_per_type
        Give the genes of each cell type gates of their own; ``False`` shares one set, as published.
    n_heads
        Heads of the attention block of the published layout; 0 (default) leaves it out. Over a
        sequence of one token it is an affine map; its weights mean nothing.
    embedding_dim
        Numbers per categorical covariate.
    dropout_rate
        Dropout inside the networks, between 0 and 1.
    input_dropout_rate
        Dropout of gene values, between 0 and 1.
    n_top_genes
        The genes with the highest mean log expression are used, at most so many.
    target_sum
        Depth that every cell is scaled to, in counts. Stored with the clock.
    n_inner_folds
        Donor folds inside the training donors; there is one network per fold and repeat.
    n_repeats
        Repeats of the inner folds, each with another split.

    Raises
    ------
    ValueError
        If ``adata`` was not registered, or a size is out of range.

    Notes
    -----
    Network: G. Xie, *scAgeClock*, npj Aging 2026, doi:10.1038/s41514-026-00379-5. Pseudocells,
    start of the gates, ensemble and calibration are ours; see the user guide.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.aging_cohort(12, n_genes=200, n_age_genes=20, cells_per_donor=20)
    >>> sctools.model.AgeClock.setup_anndata(adata)
    >>> clock = sctools.model.AgeClock(adata, n_repeats=1)
    >>> clock.train(max_epochs=2, progress_bar=False)
    >>> clock.predict(adata).shape == (adata.n_obs,)
    True
    """

    _module_cls = AgeClockModule

    @classmethod
    def from_scageclock(
        cls,
        weights: str | os.PathLike[str] | Mapping[str, torch.Tensor],
        genes: str | os.PathLike[str] | pd.DataFrame,
        categories: str | os.PathLike[str] | Mapping[str, str | os.PathLike[str] | pd.DataFrame],
        *,
        gene_ids: str | os.PathLike[str] | pd.DataFrame | None = None,
        target_sum: float | Literal["median"] = 1e4,
    ) -> PublishedClock:
        """Read the clock that scAgeClock published, from its own files.

        Parameters
        ----------
        weights
            File of weights (``.pth``), or their state dict. Both generations are read (0.1.2;
            0.1.3 and later), as a bare state dict or a training checkpoint. Nothing in the file is
            executed.
        genes
            The gene list published with these weights, ``h5ad_var.tsv``: a path or table with
            columns ``h5ad_var`` and ``index``, the four categories in its first rows.
        categories
            The tables of categories, with columns ``numeric_index`` and ``categorical_value``: a
            folder with the four ``…_numeric_index.tsv``, or a mapping from ``"assay"``,
            ``"cell_type"``, ``"tissue_general"`` and ``"sex"`` to paths or tables.
        gene_ids
            The published ``protein_coding_genes.tsv``, a path or table with columns ``gene_id`` and
            ``gene_name``: needed for data that have Ensembl ids and no symbols.
        target_sum
            Depth that cells are scaled to; see :class:`PublishedClock`.

        Returns
        -------
        A :class:`PublishedClock`, for :func:`sctools.tl.age_clock` or its own ``predict``.

        Raises
        ------
        FileNotFoundError
            A file is missing.
        ValueError
            The weights are of neither generation, hold pickled objects or are cut short; a table
            has other columns, or other lengths than the weights.
        """
        from ._published_clock import PublishedClock

        return PublishedClock.from_scageclock(
            weights, genes, categories, gene_ids=gene_ids, target_sum=target_sum
        )

    def __init__(
        self,
        adata: AnnData | None = None,
        *,
        n_hidden: int = 64,
        head: Sequence[int] = (32,),
        gate_per_type: bool = True,
        n_heads: int = 0,
        embedding_dim: int = 4,
        dropout_rate: float = 0.2,
        input_dropout_rate: float = 0.5,
        n_top_genes: int = 2000,
        target_sum: float = 1e4,
        n_inner_folds: int = 3,
        n_repeats: int = 3,
    ) -> None:
        super().__init__(adata, registry=_bare_registry() if adata is None else None)
        self.network_settings: dict[str, Any] = {
            "n_hidden": int(n_hidden),
            "head": [int(width) for width in head],
            "gate_per_type": gate_per_type,
            "n_heads": int(n_heads),
            "embedding_dim": int(embedding_dim),
            "dropout_rate": dropout_rate,
            "input_dropout_rate": input_dropout_rate,
        }
        for name, value in {
            "n_hidden": n_hidden,
            "n_top_genes": n_top_genes,
            "n_repeats": n_repeats,
            "target_sum": target_sum,
        }.items():
            if not 0 < value < np.inf:
                raise ValueError(f"`{name}` must be positive, found {value}.")
        if n_inner_folds < 2:
            raise ValueError(f"`n_inner_folds` must be at least 2, found {n_inner_folds}.")
        for name in ("dropout_rate", "input_dropout_rate"):
            if not 0 <= self.network_settings[name] < 1:
                raise ValueError(
                    f"`{name}` must lie in [0, 1), found {self.network_settings[name]}."
                )
        if n_heads and n_hidden % n_heads:
            raise ValueError(f"`n_heads` must divide `n_hidden`, found {n_heads} and {n_hidden}.")
        self.n_top_genes = int(n_top_genes)
        self.target_sum = float(target_sum)
        self.n_inner_folds = int(n_inner_folds)
        self.n_repeats = int(n_repeats)
        self.init_params_ = self._get_init_params(locals())
        self.genes: list[str] = []
        self.age_unit = "years"
        self.categories: list[dict[str, list[str]]] = []
        """Labels of the cell type (under its key, if any) and the covariates, for each part."""
        self.trained_on: list[list[str]] = []
        """Hashes of the names of the training donors, for each part; see :meth:`has_seen`."""
        self.intervals: AgeIntervals | None = None
        """Errors on held-out donors, where the clock is the average of cross-fitted ones."""
        self.keys: dict[str, Any] = {}
        self.module = AgeClockModule([])
        if adata is not None:
            self.keys = dict(self.registry["setup_args"])
            self.genes = [str(name) for name in adata.var_names]
            self.age_unit = str(adata.uns.get("age_unit", "years"))

    @classmethod
    def setup_anndata(
        cls,
        adata: AnnData,
        *,
        age_key: str = "age",
        donor_key: str = "donor_id",
        sample_key: str | None = None,
        cell_type_key: str | None = "cell_type",
        covariate_keys: Sequence[str] | None = None,
        layer: str | None = None,
        log_normalized: bool = False,
    ) -> None:
        """Register ``adata`` for training; it must not be a view.

        Parameters
        ----------
        adata
            Annotated data, cells × genes.
        age_key
            Column of ``obs`` with ages (numbers; NaN where unknown). The unit is that of
            ``adata.uns["age_unit"]``, years where that is missing.
        donor_key
            Column of ``obs`` that tells donors apart.
        sample_key
            Column of ``obs`` that tells the samples of a donor apart, for donors who gave samples
            at several ages.
        cell_type_key
            Column of ``obs`` with cell types: expression is centred within each. ``None`` for none.
        covariate_keys
            Further categorical columns of ``obs`` to predict from, such as ``["sex"]``.
        layer
            Layer with counts. ``None`` reads ``adata.X``.
        log_normalized
            The values are log1p of depth-normalised counts, not counts. Never guessed.

        Returns
        -------
        ``None``. Written to ``adata``, as every scvi-tools model does:
        ``uns["_scvi_uuid"]``, ``uns["_scvi_manager_uuid"]`` and ``obs["_scvi_donor"]``.

        Raises
        ------
        KeyError
            A column or layer is missing.
        TypeError
            Ages are not numbers.
        ValueError
            The values are not counts (or not log-normalised where that is declared), fewer than 3
            donors have an age, all ages are equal, a donor has two ages, donor names are missing or
            ``var_names`` repeat.
        """
        names = ClockInput(
            age_key,
            donor_key,
            sample_key,
            cell_type_key,
            list(covariate_keys or []),
            layer,
            log_normalized,
        )
        names.check(adata)
        cls._register(adata, names)

    @classmethod
    def _register(cls, adata: AnnData, names: ClockInput) -> None:
        """Register ``adata`` as :meth:`setup_anndata` does, without its checks."""
        fields = [
            LayerField(REGISTRY_KEYS.X_KEY, names.layer, is_count_data=False),
            CategoricalObsField("donor", names.donor_key),
        ]
        arguments = cls._get_setup_method_args(cls=cls, adata=adata, **names._asdict())
        manager = AnnDataManager(fields=fields, setup_method_args=arguments)
        with warnings.catch_warnings():
            # Said of donors with few cells, which is no trouble here: donors are not categories.
            warnings.filterwarnings("ignore", message=".*has fewer than 3 cells.*")
            manager.register_fields(adata)
        cls.register_manager(manager)

    # ------------------------------------------------------------------ training

    def train(
        self,
        max_epochs: int = MAX_EPOCHS,
        *,
        steps_per_epoch: int = 10,
        donors_per_batch: int = 48,
        pseudocell_size: int = 10,
        lr: float = 3e-4,
        weight_decay: float = 1e-2,
        gate_l1: float = 0.01,
        gate_power: float = 2.0,
        patience: int = 12,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        rng: int | np.random.Generator | None = 0,
        progress_bar: bool | None = None,
        on_epoch: Callable[[], None] | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        """Train on the cells with a known age.

        Parameters
        ----------
        max_epochs
            Most epochs; training stops earlier once donors held out are predicted no better.
        steps_per_epoch
            Batches per epoch.
        donors_per_batch
            Donors (or samples) per batch.
        pseudocell_size
            Random cells of one donor and cell type whose mean is one training example.
        lr
            Learning rate of AdamW.
        weight_decay
            Weight decay of AdamW.
        gate_l1
            Weight of the mean absolute gate in the loss.
        gate_power
            Gates start at the absolute correlation of a gene with age, to this power.
        patience
            Epochs without improvement before stopping.
        accelerator, devices
            As in scvi-tools.
        rng
            Seed or generator. The same seed gives the same clock on the same machine; the global
            random state is left as it was found.
        progress_bar
            Show a progress bar. ``None`` follows ``sctools.settings.progress_bar``.
        on_epoch
            Called after every epoch.
        **trainer_kwargs
            Passed on to :class:`scvi.train.Trainer`.

        Raises
        ------
        ValueError
            If the clock has no data to train on.
        """
        if self.adata is None:
            raise ValueError(
                "This clock has no data: it was loaded or averaged. Train a new one: "
                "`AgeClock.setup_anndata(adata); clock = AgeClock(adata); clock.train()`."
            )
        for name, value in {
            "max_epochs": max_epochs,
            "steps_per_epoch": steps_per_epoch,
            "donors_per_batch": donors_per_batch,
            "pseudocell_size": pseudocell_size,
            "patience": patience,
        }.items():
            if value < 1:
                raise ValueError(f"`{name}` must be at least 1, found {value}.")
        check_devices(trainer_kwargs, rng)
        rng = np.random.default_rng(rng)
        cohort, rows, x = self._training_data()
        labels = read_labels(self.adata, {name: name for name in covariate_names(self.keys)})
        labels = labels.iloc[rows]
        categories = {name: categories_of(labels[name]) for name in labels.columns}
        chosen = top_genes(x, self.n_top_genes)
        strata = Strata(x[:, chosen], cohort.unit, encode_labels(labels, categories, self.keys))
        learns = inner_splits(cohort.donor_code, self.n_inner_folds, self.n_repeats, rng)

        with seeded(int(rng.integers(2**31))):
            part = new_part(
                chosen,
                strata,
                cohort.age,
                learns,
                n_codes=n_codes(categories, self.keys),
                network=self.network_settings,
                pseudocell_size=pseudocell_size,
                gate_power=gate_power,
                share=count_shares(x),
                rng=rng,
            )
            self.module = AgeClockModule([part], gate_l1=gate_l1)
            self.categories = [categories]
            self.trained_on = [sorted(map(hash_name, set(cohort.donor)))]
            data = DonorBatches(
                strata,
                (cohort.age - part.age[0].item()) / part.age[1].item(),
                learns,
                pseudocell_size=pseudocell_size,
                donors_per_batch=donors_per_batch,
                steps_per_epoch=steps_per_epoch,
                rng=rng,
            )
            shown = settings.progress_bar if progress_bar is None else progress_bar
            with progress(shown and max_epochs, "age clock") as tick:
                run_training(
                    self,
                    AgeTrainingPlan(self.module, lr=lr, weight_decay=weight_decay),
                    data,
                    max_epochs=max_epochs,
                    accelerator=accelerator,
                    devices=devices,
                    check_val_every_n_epoch=1,
                    callbacks=[KeepBest(patience=patience), EpochCounter([on_epoch, tick])],
                    **trainer_kwargs,
                )
        finish_part(part, strata, cohort.age, learns, cohort.donor_code)

    def _training_data(self) -> tuple[Cohort, np.ndarray, sp.csr_matrix]:
        keys = self.keys
        ages = read_ages(self.adata, keys["age_key"])
        rows = np.flatnonzero(np.isfinite(ages))
        adata = self.adata[rows] if len(rows) < len(ages) else self.adata
        cohort = read_cohort(
            adata,
            age_key=keys["age_key"],
            donor_key=keys["donor_key"],
            sample_key=keys["sample_key"],
        )
        normalize = Normalizer(
            np.arange(adata.n_vars),
            adata.n_vars,
            target_sum=self.target_sum,
            log_normalized=keys["log_normalized"],
        )
        matrix = get_expression(adata, keys["layer"])
        blocks = [normalize(block)[0] for _, block in row_blocks(matrix, READ_ROWS)]
        return cohort, rows, sp.vstack(blocks, format="csr")

    def gene_attribution(
        self,
        adata: AnnData,
        *,
        donor_key: str = "donor_id",
        sample_key: str | None = None,
        cell_type_key: str | None = None,
        covariate_keys: Sequence[str] | Mapping[str, str] | None = None,
        layer: str | None = None,
        log_normalized: bool = False,
        gene_key: str | None = None,
        min_coverage: float = 0.5,
        held_out: bool = True,
        n_steps: int = 50,
    ) -> pd.DataFrame:
        """Attribute the predicted ages of donors to genes, by integrated gradients.

        What a gene in a cell type adds to a donor's predicted age, against a donor whose cells are
        average for their types; over all genes and types the attributions of a donor add up to the
        whole difference in age, but for the error of the integral. Cells are pooled by donor and
        cell type, which is what donors are predicted from. It needs the extra ``captum``.

        Parameters
        ----------
        adata
            Annotated data; it is not changed.
        donor_key, sample_key, cell_type_key, covariate_keys, layer, log_normalized, gene_key
            As in :meth:`predict`.
        min_coverage
            Least fraction of the clock's genes that must be found.
        held_out
            Let every part of the clock judge only donors that it was not trained on, told by their
            names. After :func:`sctools.tl.age_clock` with ``return_model=True`` these are the
            donors of its fold. ``False`` takes all donors.
        n_steps
            Steps of the integral. With 50 it is off by less than a year for most donors.

        Returns
        -------
        One row per cell type (of at least 3 donors) and gene, with the columns of
        ``uns[key]["genes"]`` (see :func:`sctools.tl.age_clock`) and ``mean_abs``, the mean absolute
        attribution to a donor's age, in the unit of age. ``score`` is here the slope of the
        attribution on the gene's expression, in the same unit as there. Written over
        ``adata.uns[key]["genes"]``, it is what :func:`sctools.get.age_genes_df` and
        :func:`sctools.pl.age_genes` read.

        Raises
        ------
        ImportError
            The extra ``captum`` is missing.
        KeyError
            A column or layer is missing.
        ValueError
            The clock is not trained, genes do not match, values are not what was declared, or a
            part of the clock has seen all donors.

        Notes
        -----
        M. Sundararajan, A. Taly, Q. Yan, *Axiomatic attribution for deep networks*, ICML 2017,
        doi:10.48550/arXiv.1703.01365, as implemented in captum.
        """
        from ._age_genes import read_profiles
        from ._gene_attribution import gene_attribution

        if not self.is_trained_:
            raise ValueError("The clock is not trained yet. Call `clock.train()` first.")
        if n_steps < 1:
            raise ValueError(f"`n_steps` must be at least 1, found {n_steps}.")
        profiles = read_profiles(
            self,
            adata,
            donor_key=donor_key,
            sample_key=sample_key,
            cell_type_key=cell_type_key,
            covariate_keys=covariate_keys,
            layer=layer,
            log_normalized=log_normalized,
            gene_key=gene_key,
            min_coverage=min_coverage,
        )
        return gene_attribution(self, profiles, held_out=held_out, n_steps=n_steps)


def _bare_registry() -> dict[str, Any]:
    return {"model_name": "AgeClock", "setup_args": {}, "field_registries": {}}
