"""Cell types through a transformer whose attention follows known gene regulation."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager
from scvi.data.fields import CategoricalObsField, LayerField
from scvi.model.base import BaseModelClass

from .._arguments import (
    check_devices,
    check_one_device,
    is_on_several_devices,
    read_checkpoint_dir,
)
from .._settings import settings
from .._validate import check_complete
from ..module import EdgeIndex, PriorTransformerModule
from ..pp._expression import (
    Normalizer,
    check_values,
    describe,
    get_expression,
    row_blocks,
)
from ..pp._labels import read_labels
from ..pp._prior_network import build_network
from ..pp._rewire import rewire
from ._cell_batches import CellBatches
from ._checkpoint import CHECKPOINT, Checkpoint
from ._fingerprint import fingerprint
from ._keep_best import KeepBest
from ._prior_options import check_dense_memory, check_options, default_epochs
from ._prior_outputs import run
from ._prior_prediction import READ_ROWS, TARGET_SUM, PriorPredictionMixin
from ._prior_start import principal_start
from ._prior_storage import PriorStorageMixin
from ._prior_training_plan import MONITOR, PriorTrainingPlan, macro_f1
from ._resumable_training import ResumableTraining
from ._runner import EpochCounter, progress, run_training, seeded
from ._temperature import fit_temperature
from ._typicality import Typicality, fit_typicality
from ._validation_split import validation_split

if TYPE_CHECKING:
    from anndata import AnnData

SETUP = ("labels_key", "unlabeled_category", "batch_key", "layer", "log_normalized")


class _Outputs(NamedTuple):
    latent: np.ndarray
    proba: np.ndarray


class PriorTransformer(PriorPredictionMixin, PriorStorageMixin, BaseModelClass):
    """Transformer over genes, whose attention is confined to a network of gene regulation.

    Every gene of a cell is a token that attends to its regulators in the network, and to itself. A
    read-out attends to all genes and gives the cell's embedding, which a linear classifier turns
    into class probabilities. Cost and memory grow with the edges, not with the square of the genes.

    Parameters
    ----------
    adata
        Annotated data registered by :meth:`setup_anndata`. ``None`` makes an empty model, for
        loading.
    net
        The network, in any form that :func:`sctools.pp.prior_network` takes, or the key of its
        result, whose choice of genes is then used.
    prior
        ``"hard"`` confines attention to the network. ``"soft"`` lets every gene attend to every
        gene, with ``soft_penalty`` taken from the logits off the network; ``"none"`` is a standard
        transformer, which knows no network; their cost grows with the square of the genes.
        ``"shuffled"`` is ``"hard"`` on a rewired network, in which every gene keeps its numbers of
        regulators and targets: what is as good with it owes nothing to the regulation.
    n_top_genes, min_cells, complexes, gene_key
        Choice of genes and matching of the network; see :func:`sctools.pp.prior_network`.
    n_hidden
        Width of a gene's token.
    n_heads
        Attention heads, and queries of the read-out.
    n_layers
        Layers of attention: a gene hears of regulators so many steps upstream.
    mask_rate
        Share of the genes whose values are hidden from the network in each training step.
    dropout_rate
        Dropout of the embedding in training.
    label_smoothing
        Share of the label's weight that is spread over all classes in training.
    reconstruction_weight
        Weight of the error with which hidden values are predicted from what a gene has heard.
    soft_penalty
        See ``prior``; in units of logits.
    rng
        Seed for the start of the parameters and for rewiring.

    Attributes
    ----------
    genes
        Names of the model's genes, in its order.
    classes
        Names of the classes, natural-sorted.
    edges
        The network among these genes: ``source``, ``target``, ``weight``.
    coverage
        What the network covers; see :func:`sctools.pp.prior_network`.
    validation
        Accuracy, macro-F1, expected calibration error and number of the validation cells; empty
        where too few were labelled.
    typicality
        What cells are usually like; ``None`` where too few validate. See
        :meth:`~sctools.model.PriorTransformer.get_typicality`.

    Raises
    ------
    ValueError
        The network does not fit the data, an option is unknown or out of range, or a dense
        transformer would not fit in memory.

    Notes
    -----
    In the manner of scTransformer (Milia et al., *Integrating gene regulatory priors into
    Transformer attention with scTransformer for interpretable scRNA-seq analysis*,
    arXiv:2606.09558, 2026), of which only the abstract was available: it is no reproduction.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.regulated_cells(200, n_genes=200)
    >>> sctools.model.PriorTransformer.setup_anndata(adata, labels_key="cell_type")
    >>> model = sctools.model.PriorTransformer(adata, "prior", n_hidden=16)
    >>> model.train(max_epochs=2, progress_bar=False)
    >>> model.predict_proba().shape
    (200, 6)
    """

    _module_cls = PriorTransformerModule

    def __init__(
        self,
        adata: AnnData | None = None,
        net: pd.DataFrame | str | os.PathLike[str] | None = None,
        *,
        prior: Literal["hard", "soft", "none", "shuffled"] = "hard",
        n_top_genes: int | None = None,
        min_cells: int | None = None,
        complexes: Literal["expand", "drop"] = "expand",
        gene_key: str | None = None,
        n_hidden: int = 32,
        n_heads: int = 4,
        n_layers: int = 2,
        mask_rate: float = 0.3,
        dropout_rate: float = 0.3,
        label_smoothing: float = 0.05,
        reconstruction_weight: float = 10.0,
        soft_penalty: float = 4.0,
        rng: int | np.random.Generator | None = 0,
    ) -> None:
        super().__init__(adata, registry=_bare_registry() if adata is None else None)
        self.options: dict[str, Any] = {
            "prior": prior,
            "n_hidden": n_hidden,
            "n_heads": n_heads,
            "n_layers": n_layers,
            "mask_rate": mask_rate,
            "dropout_rate": dropout_rate,
            "label_smoothing": label_smoothing,
            "reconstruction_weight": reconstruction_weight,
            "soft_penalty": soft_penalty,
        }
        check_options(self.options)
        # Plain numbers, which can be saved, whatever kind was given.
        whole = ("n_hidden", "n_heads", "n_layers")
        self.options = {
            name: value if name == "prior" else (int(value) if name in whole else float(value))
            for name, value in self.options.items()
        }
        self.keys: dict[str, Any] = {}
        self.genes: list[str] = []
        self.classes: list[str] = []
        self.edges = pd.DataFrame({"source": [], "target": [], "weight": []})
        self.coverage: dict[str, Any] = {}
        self.validation: dict[str, float] = {}
        self.typicality: Typicality | None = None
        self.train_indices = self.validation_indices = np.array([], dtype=np.int64)
        if adata is None:
            self.init_params_: Any = None
            return
        self.keys = {name: self.registry["setup_args"][name] for name in SETUP}
        if net is None:
            raise ValueError(
                "`net` is missing: pass a network of gene regulation, a DataFrame with the columns "
                "'source', 'target' and 'weight'. decoupler fetches some: "
                "`decoupler.op.collectri(organism='human')`."
            )
        seed = int(np.random.default_rng(rng).integers(2**31))
        selected = build_network(
            adata,
            net,
            n_top_genes=n_top_genes,
            min_cells=min_cells,
            complexes=complexes,
            gene_key=gene_key,
            layer=self.keys["layer"],
            log_normalized=self.keys["log_normalized"],
        )
        labels = read_labels(adata, self.keys["labels_key"], self.keys["unlabeled_category"])
        self.genes = [str(name) for name in adata.var_names[selected.mask]]
        self.classes = labels.classes
        self.edges = selected.edges
        if prior == "shuffled":
            self.edges = rewire(selected.edges, seed)
        self.coverage = dict(selected.coverage)
        self._build(seed)
        self.init_params_ = self._get_init_params(locals())

    def _build(self, seed: int) -> None:
        place = pd.Index(self.genes)
        index = EdgeIndex(
            place.get_indexer(pd.Index(self.edges["source"])),
            place.get_indexer(pd.Index(self.edges["target"])),
            self.edges["weight"].to_numpy(),
            len(self.genes),
        )
        options = dict(self.options)
        prior, penalty = options.pop("prior"), options.pop("soft_penalty")
        with seeded(seed):
            self.module = PriorTransformerModule(
                index,
                len(self.classes),
                penalty={"soft": penalty, "none": 0.0}.get(prior),
                **options,
            )

    @classmethod
    def setup_anndata(
        cls,
        adata: AnnData,
        labels_key: str,
        *,
        unlabeled_category: str | None = None,
        batch_key: str | None = None,
        layer: str | None = None,
        log_normalized: bool = False,
    ) -> None:
        """Register ``adata`` for training; it must not be a view.

        Parameters
        ----------
        adata
            Annotated data, cells × genes, with all genes that were measured.
        labels_key
            Column of ``obs`` with the classes to learn.
        unlabeled_category
            Label of cells whose class is not known; missing values then count as unknown too. They
            are not learned from. ``None`` where every cell has a class.
        batch_key
            Column of ``obs`` with batches. They are no input: with three or more, whole batches
            are held out for validation.
        layer
            Layer with counts. ``None`` reads ``adata.X``.
        log_normalized
            The values are log1p of depth-normalised counts, not counts. Never guessed.

        Returns
        -------
        ``None``. Written to ``adata``, as every scvi-tools model does: ``uns["_scvi_uuid"]``,
        ``uns["_scvi_manager_uuid"]`` and ``obs["_scvi_batch"]``.

        Raises
        ------
        KeyError
            A column or layer is missing.
        ValueError
            Labels are missing without ``unlabeled_category``, there are fewer than two classes, a
            class has one cell, or the values are not what was declared.
        """
        read_labels(adata, labels_key, unlabeled_category)
        if batch_key is not None:
            check_complete(adata, batch_key, argument="batch_key")
        matrix = get_expression(adata, layer)
        for _, block in row_blocks(matrix, READ_ROWS):
            check_values(block.data, where=describe(layer), log_normalized=log_normalized)
        fields = [
            LayerField(REGISTRY_KEYS.X_KEY, layer, is_count_data=False),
            CategoricalObsField(REGISTRY_KEYS.BATCH_KEY, batch_key),
        ]
        arguments = cls._get_setup_method_args(
            cls=cls,
            adata=adata,
            labels_key=labels_key,
            unlabeled_category=unlabeled_category,
            batch_key=batch_key,
            layer=layer,
            log_normalized=log_normalized,
        )
        manager = AnnDataManager(fields=fields, setup_method_args=arguments)
        with warnings.catch_warnings():
            # A small batch is no trouble here: batches are no input.
            warnings.filterwarnings("ignore", message=".*has fewer than 3 cells.*")
            manager.register_fields(adata)
        cls.register_manager(manager)

    # ------------------------------------------------------------------ training

    def train(
        self,
        max_epochs: int | None = None,
        *,
        batch_size: int = 64,
        lr: float = 1e-5,
        lr_direct: float = 1e-2,
        weight_decay: float = 1e-2,
        train_size: float = 0.9,
        early_stopping: bool = True,
        patience: int = 20,
        rng: int | np.random.Generator | None = 0,
        progress_bar: bool | None = None,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        checkpoint_dir: str | os.PathLike[str] | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        """Train the model, and calibrate its probabilities on the validation cells.

        Parameters
        ----------
        max_epochs
            Passes through the labelled cells. By default as many as make 500 steps, at least 15
            and at most 100.
        batch_size
            Cells per step, about: batches are of equal size.
        lr, lr_direct
            Highest learning rate of what all genes share, and of what belongs to one edge, gene or
            class alone: biases of edges, the decoder of hidden values, the classifier.
        weight_decay
            Weight decay of AdamW.
        train_size
            Share of the labelled cells to train on; the others validate. With three batches or
            more these are whole batches. With fewer than 20 of them all cells train, and the
            probabilities stay uncalibrated.
        early_stopping
            Stop when macro-F1 on validation cells no longer rises, and return to the best epoch.
        patience
            Epochs without improvement before that.
        rng
            Seed or generator of this training; the global random state is left as it was.
        progress_bar
            Show a progress bar. ``None`` follows ``sctools.settings.progress_bar``.
        accelerator, devices
            As in scvi-tools.
        checkpoint_dir
            Directory to save the state of the training to, after every epoch: a run that was cut
            off and is started again with the same arguments and data goes on from there, to the
            same result. It needs ``rng``. Delete it when it is not needed any more.
        **trainer_kwargs
            Passed to the trainer of scvi-tools.

        Raises
        ------
        ValueError
            An argument is out of range, or the counts are a dask array; ``checkpoint_dir`` holds a
            damaged checkpoint or that of another run, or is given without ``rng``.
        OSError
            A checkpoint cannot be written.
        RuntimeError
            If training diverges.

        Examples
        --------
        >>> import sctools
        >>> adata = sctools.datasets.regulated_cells(200, n_genes=200)
        >>> sctools.model.PriorTransformer.setup_anndata(adata, labels_key="cell_type")
        >>> model = sctools.model.PriorTransformer(adata, "prior", n_hidden=16)
        >>> model.train(max_epochs=2, rng=0, progress_bar=False)
        >>> sorted(model.validation)
        ['accuracy', 'ece', 'macro_f1', 'n_cells']
        """
        if max_epochs is not None and max_epochs < 1:
            raise ValueError(f"`max_epochs` must be at least 1, found {max_epochs}.")
        if batch_size < 2:
            raise ValueError(f"`batch_size` must be at least 2, found {batch_size}.")
        if not 0 < train_size <= 1:
            raise ValueError(f"`train_size` must lie in (0, 1], found {train_size}.")
        folder = read_checkpoint_dir(checkpoint_dir, rng)
        check_devices(trainer_kwargs, rng)
        if is_on_several_devices(trainer_kwargs):
            check_one_device(folder)
        check_dense_memory(
            self.options["prior"], len(self.genes), self.options["n_heads"], batch_size
        )
        rng = np.random.default_rng(rng)
        labels = read_labels(self.adata, self.keys["labels_key"], self.keys["unlabeled_category"])
        batch = None
        if self.keys["batch_key"] is not None:
            batch = pd.factorize(self.adata.obs[self.keys["batch_key"]])[0]
        train, validation = validation_split(labels.codes, batch, share=1 - train_size, rng=rng)
        values = self.values()
        seed = int(rng.integers(2**31))
        # Cells that shape the start are unlike others in the embedding. Where new cells are to be
        # compared with validation cells, only those that are trained on may shape it.
        shown = values[train] if len(validation) else values
        start = principal_start(shown, self.options["n_hidden"], seed)
        weight = np.bincount(labels.codes[train], minlength=len(self.classes)) ** -0.5
        self.module.start_from(start.center, start.scale, start.loadings)
        self.module.class_weight.copy_(torch.from_numpy(weight / weight.mean()))
        data = CellBatches(values, labels.codes, train, validation, batch_size=batch_size, rng=rng)
        n_epochs = default_epochs(len(train), batch_size) if max_epochs is None else max_epochs
        plan = PriorTrainingPlan(
            self.module,
            lr=lr,
            lr_direct=lr_direct,
            weight_decay=weight_decay,
            n_steps=n_epochs * max(1, len(train) // batch_size),
        )
        bar = settings.progress_bar if progress_bar is None else progress_bar
        callbacks = list(trainer_kwargs.pop("callbacks", None) or [])
        if folder is not None:
            arguments = {
                "max_epochs": n_epochs,
                "batch_size": batch_size,
                "lr": lr,
                "lr_direct": lr_direct,
                "weight_decay": weight_decay,
                "train_size": train_size,
                "early_stopping": early_stopping,
                "patience": patience,
                "accelerator": accelerator,
                "devices": devices,
                "callbacks": callbacks,
                **self.options,
                **trainer_kwargs,
            }
            read = {
                "the values of the genes": values,
                "the labels": [self.classes, labels.codes.tolist()],
                "the cells to train on": train,
                "the start of the model": self.module.state_dict(),
            }
            known = fingerprint(arguments=arguments, data=read, seed=seed)
            callbacks.insert(0, ResumableTraining(Checkpoint(folder / CHECKPOINT, known)))
        if early_stopping and len(validation):
            callbacks.append(KeepBest(patience=patience, window=1, monitor=MONITOR))
        with seeded(seed), progress(bar and n_epochs, type(self).__name__) as tick:
            run_training(
                self,
                plan,
                data,
                max_epochs=n_epochs,
                accelerator=accelerator,
                devices=devices,
                check_val_every_n_epoch=1 if len(validation) else None,
                gradient_clip_val=1.0,
                callbacks=[*callbacks, EpochCounter([tick])],
                **trainer_kwargs,
            )
        if not all(torch.isfinite(value).all() for value in self.module.state_dict().values()):
            raise RuntimeError("Training diverged. Train again with a lower `lr`.")
        self.train_indices, self.validation_indices = train, validation
        self._calibrate(values, labels.codes)

    def values(self, adata: AnnData | None = None) -> Any:
        """Return log-normalised values of the model's genes, as the network reads them.

        Parameters
        ----------
        adata
            Annotated data with values as those registered, with all the model's genes under the
            same names. ``None`` takes the registered data.

        Returns
        -------
        CSR matrix, cells × genes of the model, float32: log1p of counts scaled to a total of
        10,000 over the model's genes.

        Raises
        ------
        KeyError
            The layer of training is missing.
        ValueError
            There are no values.
        """
        adata = self.adata if adata is None else adata
        normalize = Normalizer(
            adata.var_names.get_indexer(pd.Index(self.genes)),
            adata.n_vars,
            target_sum=TARGET_SUM,
            log_normalized=self.keys["log_normalized"],
        )
        matrix = get_expression(adata, self.keys["layer"])
        return sp.vstack(
            [normalize(block)[0] for _, block in row_blocks(matrix, READ_ROWS)], format="csr"
        )

    def _calibrate(self, values: sp.csr_matrix, labels: np.ndarray) -> None:
        """Fit temperature and typicality, and say how good the answers are, on validation cells."""
        from .._calibration_error import expected_calibration_error

        self.validation, self.typicality = {}, None
        self.module.temperature.fill_(1.0)
        cells = self.validation_indices
        if not len(cells):
            return
        found = self._outputs(values[cells])
        proba = found.proba
        logits = np.log(np.maximum(proba, np.finfo(np.float32).tiny))
        temperature = fit_temperature(logits, labels[cells])
        self.module.temperature.fill_(temperature)
        scaled = np.exp((logits - logits.max(1, keepdims=True)) / temperature)
        proba = scaled / scaled.sum(1, keepdims=True)
        trained = self.train_indices
        self.typicality = fit_typicality(
            self._outputs(values[trained]).latent,
            labels[trained],
            found.latent,
            len(self.classes),
        )
        predicted = proba.argmax(1)
        correct = predicted == labels[cells]
        self.validation = {
            "accuracy": float(correct.mean()),
            "macro_f1": macro_f1(labels[cells], predicted),
            "ece": expected_calibration_error(np.minimum(proba.max(1), 1.0), correct),
            "n_cells": float(len(cells)),
        }

    def _outputs(self, values: sp.csr_matrix) -> _Outputs:
        """Embeddings and probabilities of values of the model's genes."""
        parts: list[_Outputs] = []
        run(
            self.module,
            values,
            64,
            lambda _, outputs: parts.append(_Outputs(outputs.latent, outputs.proba)),
        )
        return _Outputs(*(np.concatenate(found) for found in zip(*parts, strict=True)))


def _bare_registry() -> dict[str, Any]:
    return {"model_name": "PriorTransformer", "setup_args": {}, "field_registries": {}}
