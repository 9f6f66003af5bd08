"""SRSA-VAE for RNA: scVI with residual attention behind its encoder and a mixture prior."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from scvi.model import SCVI

from ..module import SRSAVAEModule
from ..pp._expression import check_structure
from ._datamodule import as_anndata_registry, check_datamodule, is_of_datamodule
from ._depth_field import register_depth
from ._srsa_methods import SRSAMethods
from ._srsa_options import check_options
from ._vae_training_plan import VAETrainingPlan

if TYPE_CHECKING:
    from anndata import AnnData
    from lightning.pytorch import LightningDataModule

CSR_CELLS = 1024
"""Cells that are encoded at a time where their counts stay sparse."""


class SRSAVAE(SRSAMethods, SCVI):
    """Variational autoencoder of RNA counts with scalable residual self-attention.

    A :class:`scvi.model.SCVI` whose encoder passes its hidden state through residual attention, and
    whose latent space has a learned Gaussian mixture as prior. Everything else is scvi-tools': set
    up the data with ``setup_anndata``, train, then ask for latents, normalised expression or
    differential expression, save and load, minify, map queries.

    Parameters
    ----------
    adata
        Annotated data registered with ``SRSAVAE.setup_anndata``: raw counts, cells × genes.
    registry
        Registry of a data module to train on, in place of ``adata``; see :meth:`train`.
    n_hidden
        Nodes per hidden layer.
    n_latent
        Dimensions of the latent space: 30, or 10 with ``encoder="scvi"``.
    n_layers
        Hidden layers of encoder and decoder.
    dropout_rate
        Dropout in the encoder.
    dispersion
        ``"gene"``, ``"gene-batch"``, ``"gene-label"`` or ``"gene-cell"``.
    gene_likelihood
        ``"nb"`` (default), ``"zinb"``, ``"poisson"`` or ``"normal"``.
    use_observed_lib_size
        Take a cell's total as its library size.
    latent_distribution
        ``"normal"``, or ``"ln"`` for a logistic normal (with ``prior="normal"`` only).
    attention
        What a cell attends to. ``"memory"``: learned tokens. ``"induced"``: tokens that attended
        to training cells. ``"features"``: tokens for groups of its own genes. ``"minibatch"``: the
        mini-batch while training, as published, and a stored bank of training cells afterwards.
        ``"none"``. In every mode a trained model encodes each cell on its own.
    residual
        ``"scaled"``: ``alpha · h + beta · attention`` with both scales learned per channel;
        ``"plain"``: both are 1; ``"none"``: attention alone.
    prior
        ``"mixture"``, or ``"normal"`` as in scVI.
    encoder
        ``"srsa"``, or ``"scvi"`` for the encoder of scVI as it is (with ``attention="none"``,
        ``residual="plain"``).
    n_tokens
        Number of tokens: 32 by default, 256 cells for ``"minibatch"``.
    n_heads
        Attention heads; ``n_hidden`` must be a multiple.
    n_components
        Components of the mixture.
    kl_z_weight
        Weight of the latent's KL divergence once it is warmed up: 2 with a mixture, else 1.
    linear_weight
        Weight of a linear view of log-normalised expression, a probabilistic PCA that shares the
        latent: it keeps distances there close to distances in log expression. 1, or 0 with
        ``encoder="scvi"``.
    **kwargs
        Passed to :class:`scvi.module.VAE`.

    Raises
    ------
    ValueError
        If an option is unknown, a size is out of range, or options exclude each other.

    Notes
    -----
    After the abstract of *SRSA-VAE: Self-Attention-Based Feature Learning for Single-Cell
    Multimodal Clustering*, bioRxiv 2026, doi:10.64898/2026.05.06.723212, and the authors' earlier
    scVISA; memory tokens and the mixture prior are ours. See the user guide. ``SRSAVAE.load``
    unpickles, as all models of scvi-tools: load only files that you trust.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.immune_mixture(60, n_genes=150)
    >>> sctools.model.SRSAVAE.setup_anndata(adata, batch_key="batch")
    >>> vae = sctools.model.SRSAVAE(adata)
    >>> vae.train(max_epochs=1, progress_bar=False)
    >>> adata.obsm["X_srsa_vae"] = vae.get_latent_representation()
    """

    _training_plan_cls = VAETrainingPlan
    _module_cls = SRSAVAEModule

    def __init__(
        self,
        adata: AnnData | None = None,
        registry: dict | None = None,
        n_hidden: int = 128,
        n_latent: int | None = None,
        n_layers: int = 1,
        dropout_rate: float = 0.1,
        dispersion: Literal["gene", "gene-batch", "gene-label", "gene-cell"] = "gene",
        gene_likelihood: Literal["zinb", "nb", "poisson", "normal"] = "nb",
        use_observed_lib_size: bool = True,
        latent_distribution: Literal["normal", "ln"] = "normal",
        attention: Literal["memory", "induced", "features", "minibatch", "none"] = "memory",
        residual: Literal["scaled", "plain", "none"] = "scaled",
        prior: Literal["mixture", "normal"] = "mixture",
        encoder: Literal["srsa", "scvi"] = "srsa",
        n_tokens: int | None = None,
        n_heads: int = 4,
        n_components: int = 30,
        kl_z_weight: float | None = None,
        linear_weight: float | None = None,
        **kwargs: Any,
    ) -> None:
        options = check_options(
            attention=attention,
            residual=residual,
            prior=prior,
            encoder=encoder,
            latent_distribution=latent_distribution,
            n_hidden=n_hidden,
            n_latent=n_latent,
            n_tokens=n_tokens,
            n_heads=n_heads,
            n_components=n_components,
            kl_z_weight=kl_z_weight,
            linear_weight=linear_weight,
            plain_n_latent=10,
        )
        n_latent, n_tokens, kl_z_weight, linear_weight = options
        if registry is not None and is_of_datamodule(registry):
            registry = as_anndata_registry(
                registry, self.setup_anndata, self._get_most_recent_anndata_manager
            )
        super().__init__(
            adata,
            registry,
            n_hidden=n_hidden,
            n_latent=n_latent,
            n_layers=n_layers,
            dropout_rate=dropout_rate,
            dispersion=dispersion,
            gene_likelihood=gene_likelihood,
            use_observed_lib_size=use_observed_lib_size,
            latent_distribution=latent_distribution,
            attention=attention,
            residual=residual,
            prior=prior,
            encoder=encoder,
            n_tokens=n_tokens,
            n_heads=n_heads,
            n_components=n_components,
            kl_z_weight=kl_z_weight,
            linear_weight=linear_weight,
            **kwargs,
        )
        self._model_summary_string = (
            f"SRSAVAE with attention: {attention}, residual: {residual}, prior: {prior}, "
            f"encoder: {encoder}, n_hidden: {n_hidden}, n_latent: {n_latent}, "
            f"n_layers: {n_layers}, gene_likelihood: {gene_likelihood}."
        )
        # The arguments that scvi-tools kept are those of its own constructor.
        self.init_params_ = self._get_init_params(locals())

    @classmethod
    def setup_anndata(
        cls,
        adata: AnnData,
        depth_key: str | None = None,
        depth_share: float | None = None,
        **kwargs: Any,
    ) -> None:
        """Register raw counts and covariates.

        Parameters
        ----------
        adata
            Annotated data, cells × genes.
        depth_key
            Column of ``obs`` with each cell's total count over all genes that were measured, for
            data reduced to variable genes: the encoder normalises by it, as log-normalisation
            before the choice of genes would. ``None`` takes the total over the genes here.
        depth_share
            Share of all counts that the genes here hold, between 0 and 1. With it, cells without
            the column ``depth_key`` get their total over these genes divided by it, written to
            that column.
        **kwargs
            Passed to :meth:`scvi.model.SCVI.setup_anndata`: ``layer``, ``batch_key``,
            ``labels_key``, ``size_factor_key``, ``categorical_covariate_keys``,
            ``continuous_covariate_keys``.

        Returns
        -------
        ``None``; the registration is kept by scvi-tools, and in ``adata.obs`` and ``adata.uns``.

        Raises
        ------
        KeyError
            A column is missing.
        ValueError
            The layer is missing, or the column ``depth_key`` is not finite or is negative.

        Examples
        --------
        >>> import sctools
        >>> adata = sctools.datasets.immune_mixture(60, n_genes=150)
        >>> sctools.model.SRSAVAE.setup_anndata(adata, batch_key="batch")
        """
        super().setup_anndata(adata, **kwargs)
        register_depth(cls, adata, depth_key, depth_share=depth_share, layer=kwargs.get("layer"))

    def train(
        self,
        max_epochs: int | None = None,
        *,
        rng: int | np.random.Generator | None = None,
        progress_bar: bool | None = None,
        batch_size: int = 128,
        early_stopping: bool = True,
        train_size: float | None = None,
        plan_kwargs: dict | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        datamodule: LightningDataModule | None = None,
        **kwargs: Any,
    ) -> None:
        """Train the model.

        The weight of the KL divergence grows to its full value over the first half of the epochs,
        and early stopping (on the ELBO of validation cells) comes after that.

        Parameters
        ----------
        max_epochs
            Passes through the data. By default 200 up to 20,000 cells, then fewer, at least 10.
        rng
            Seed or generator for this training; the global random state is left as it was.
            ``None`` draws from the global state, as scvi-tools does.
        progress_bar
            Show a progress bar. ``None`` follows ``sctools.settings.progress_bar``.
        batch_size
            Cells per mini-batch. One cell left over at the end joins the batch before it.
        early_stopping
            Stop when the ELBO of the validation cells no longer improves. Without such cells
            all epochs are trained.
        train_size
            Share of the cells to train on; the others validate. By default 0.9.
        plan_kwargs
            Arguments of the training plan, such as ``lr``, ``eps`` or ``n_epochs_kl_warmup``.
        checkpoint_dir
            Directory to save the state of the training to, after every epoch: a run that was cut
            off and is started again with the same arguments and data goes on from there, to the
            same result. It needs ``rng``. Delete it when it is not needed any more.
        datamodule
            Source of cells for a model made of its ``registry``, such as
            ``scvi.dataloaders.AnnbatchDataModule`` of scvi-tools 1.5 for cells that do not fit into
            memory. It deals the cells into batches, and into those to train on and to validate,
            by itself, and tells their number as ``n_obs``.
        **kwargs
            Passed to :meth:`scvi.model.SCVI.train`.

        Raises
        ------
        ValueError
            If there are fewer than three cells, no epochs, or the counts are a dask array; if
            ``checkpoint_dir`` holds a damaged checkpoint or that of another run, or is given
            without ``rng``; if there is a ``datamodule`` for a model with data, or none for a model
            without, or one that something else does not go with.
        OSError
            A checkpoint cannot be written.
        RuntimeError
            If training diverges.

        Examples
        --------
        >>> import sctools
        >>> adata = sctools.datasets.immune_mixture(60, n_genes=150)
        >>> sctools.model.SRSAVAE.setup_anndata(adata)
        >>> vae = sctools.model.SRSAVAE(adata)
        >>> vae.train(max_epochs=2, rng=0, progress_bar=False)
        >>> float(vae.history["kl_weight_train"].iloc[-1, 0])  # 2 with a mixture prior
        2.0
        """
        check_datamodule(
            datamodule,
            self.adata,
            attention=None if self.module.block is None else self.module.block.attention,
            train_size=train_size,
            checkpoint_dir=checkpoint_dir,
        )
        arguments = self._training_arguments(
            max_epochs=max_epochs,
            early_stopping=early_stopping,
            train_size=train_size,
            lr=1e-3,
            plan_kwargs=plan_kwargs,
            datamodule=datamodule,
        )
        arguments = {**arguments, "batch_size": batch_size, "datamodule": datamodule, **kwargs}
        with self._training(arguments, rng, progress_bar, checkpoint_dir) as settled:
            super().train(**settled)

    @contextlib.contextmanager
    def _loading(self, adata: AnnData, batch_size: int | None) -> Iterator[dict[str, Any]]:
        with contextlib.ExitStack() as stack:
            loading = stack.enter_context(super()._loading(adata, batch_size))
            # Entries that are there twice are logged as their sum only where they are dense.
            matrix = self.get_anndata_manager(adata, required=True).get_from_registry("X")
            summed = isinstance(matrix, sp.csr_matrix) and matrix.has_canonical_format
            if summed:
                check_structure(matrix)
            if summed and stack.enter_context(self.module.reading_csr()):
                stack.enter_context(warnings.catch_warnings())
                for notice in ("CSR tensor support is in beta", "invariant checks are implicitly"):
                    warnings.filterwarnings("ignore", message=f"Sparse {notice}")
                loading = {"batch_size": batch_size or CSR_CELLS, "load_sparse_tensor": True}
            yield loading

    def _unused_parameters(self) -> Iterator[torch.nn.Parameter]:
        module, decoder = self.module, self.module.decoder
        unused: list[Any] = []
        if module.use_observed_lib_size:
            unused.append(module.l_encoder)
        if module.dispersion != "gene-cell":
            unused.append(decoder.px_r_decoder)
        if module.gene_likelihood != "zinb":
            unused.append(decoder.px_dropout_decoder)
        yield from (parameter for part in unused for parameter in part.parameters())
        if module.gene_likelihood == "poisson":
            yield module.px_r
        yield from (parameter for parameter in module.parameters() if not parameter.numel())
