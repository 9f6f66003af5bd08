"""SRSA-VAE for RNA and protein: totalVI with residual attention and a mixture prior."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scvi.model import TOTALVI

from ..module import MultimodalSRSAVAEModule
from ._depth_field import register_depth
from ._runner import quiet
from ._srsa_methods import SRSAMethods
from ._srsa_options import check_options
from ._vae_training_plan import MultimodalVAETrainingPlan

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


class MultimodalSRSAVAE(SRSAMethods, TOTALVI):
    """Variational autoencoder of RNA and protein counts with scalable residual self-attention.

    A :class:`scvi.model.TOTALVI` whose encoder passes its hidden state through residual attention,
    and whose latent space has a learned Gaussian mixture as prior. Everything else is scvi-tools':
    set up with ``setup_anndata`` or ``setup_mudata``, train, then ask for latents, denoised
    expression of genes and proteins, differential expression, save and load, minify, map queries.

    Parameters
    ----------
    adata
        :class:`~anndata.AnnData` registered with ``MultimodalSRSAVAE.setup_anndata``, or
        :class:`~mudata.MuData` registered with ``setup_mudata``: raw counts of both.
    n_latent
        Dimensions of the latent space: 30, or 20 with ``encoder="scvi"``.
    gene_dispersion
        ``"gene"``, ``"gene-batch"`` or ``"gene-label"``.
    protein_dispersion
        ``"protein"``, ``"protein-batch"`` or ``"protein-label"``.
    gene_likelihood
        ``"nb"`` (default) or ``"zinb"``.
    latent_distribution
        ``"normal"``, or ``"ln"`` for a logistic normal (with ``prior="normal"`` only).
    empirical_protein_background_prior
        Start the protein background from mixtures fitted to cells. By default with more than ten
        proteins.
    override_missing_proteins
        Take proteins without any count in a batch as measured.
    n_hidden
        Nodes per hidden layer.
    attention
        What a cell attends to: ``"memory"``, ``"induced"``, ``"features"`` (groups of its genes,
        and each protein), ``"minibatch"`` or ``"none"``; see :class:`~sctools.model.SRSAVAE`.
    residual
        ``"scaled"``, ``"plain"`` or ``"none"``.
    prior
        ``"mixture"``, or ``"normal"`` as in totalVI.
    encoder
        ``"srsa"``, or ``"scvi"`` for the encoder of totalVI as it is.
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
    **model_kwargs
        Passed to :class:`scvi.module.TOTALVAE`.

    Raises
    ------
    ValueError
        If an option is unknown, a size is out of range, or options exclude each other.

    Notes
    -----
    Source and what of it is ours: as in :class:`~sctools.model.SRSAVAE`. ``load`` unpickles, as all
    models of scvi-tools: load only files that you trust.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.immune_mixture(60, n_genes=150)
    >>> sctools.model.MultimodalSRSAVAE.setup_anndata(
    ...     adata, protein_expression_obsm_key="protein_expression", batch_key="batch"
    ... )
    >>> vae = sctools.model.MultimodalSRSAVAE(adata)
    >>> vae.train(max_epochs=1, progress_bar=False)
    >>> vae.get_latent_representation().shape
    (60, 30)
    """

    _training_plan_cls = MultimodalVAETrainingPlan
    _module_cls = MultimodalSRSAVAEModule

    def __init__(
        self,
        adata: AnnData | MuData,
        n_latent: int | None = None,
        gene_dispersion: Literal["gene", "gene-batch", "gene-label"] = "gene",
        protein_dispersion: Literal["protein", "protein-batch", "protein-label"] = "protein",
        gene_likelihood: Literal["zinb", "nb"] = "nb",
        latent_distribution: Literal["normal", "ln"] = "normal",
        empirical_protein_background_prior: bool | None = None,
        override_missing_proteins: bool = False,
        n_hidden: int = 256,
        attention: Literal["memory", "induced", "features", "minibatch", "none"] = "memory",
        residual: Literal["scaled", "plain", "none"] = "scaled",
        prior: Literal["mixture", "normal"] = "mixture",
        encoder: Literal["srsa", "scvi"] = "srsa",
        n_tokens: int | None = None,
        n_heads: int = 4,
        n_components: int = 30,
        kl_z_weight: float | None = None,
        linear_weight: float | None = None,
        **model_kwargs: Any,
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
            plain_n_latent=20,
        )
        n_latent, n_tokens, kl_z_weight, linear_weight = options
        with quiet():
            super().__init__(
                adata,
                n_latent=n_latent,
                gene_dispersion=gene_dispersion,
                protein_dispersion=protein_dispersion,
                gene_likelihood=gene_likelihood,
                latent_distribution=latent_distribution,
                empirical_protein_background_prior=empirical_protein_background_prior,
                override_missing_proteins=override_missing_proteins,
                n_hidden=n_hidden,
                attention=attention,
                residual=residual,
                prior=prior,
                encoder=encoder,
                n_tokens=n_tokens,
                n_heads=n_heads,
                n_components=n_components,
                kl_z_weight=kl_z_weight,
                linear_weight=linear_weight,
                **model_kwargs,
            )
        self._model_summary_string = (
            f"MultimodalSRSAVAE with attention: {attention}, residual: {residual}, "
            f"prior: {prior}, encoder: {encoder}, n_hidden: {n_hidden}, n_latent: {n_latent}, "
            f"gene_likelihood: {gene_likelihood}."
        )
        # The arguments that scvi-tools kept are those of its own constructor.
        self.init_params_ = self._get_init_params(locals())

    @classmethod
    def setup_anndata(
        cls,
        adata: AnnData,
        protein_expression_obsm_key: str,
        depth_key: str | None = None,
        depth_share: float | None = None,
        **kwargs: Any,
    ) -> None:
        """Register counts of RNA in ``X`` (or a layer) and of proteins in ``obsm``.

        Parameters
        ----------
        adata
            Annotated data, cells × genes.
        protein_expression_obsm_key
            Key of ``obsm`` with protein counts, cells × proteins; a DataFrame names them.
        depth_key
            Column of ``obs`` with each cell's total RNA count; see
            :meth:`sctools.model.SRSAVAE.setup_anndata`.
        depth_share
            Share of all counts that the genes here hold, between 0 and 1. With it, cells without
            the column ``depth_key`` get their total over these genes divided by it, written to
            that column.
        **kwargs
            Passed to :meth:`scvi.model.TOTALVI.setup_anndata`: ``layer``, ``batch_key``,
            ``size_factor_key``, ``categorical_covariate_keys``, ``continuous_covariate_keys`` ….

        Returns
        -------
        ``None``; the registration is kept by scvi-tools and in ``adata.uns``.

        Raises
        ------
        KeyError
            A column or the proteins is missing.
        ValueError
            The layer is missing, or the column ``depth_key`` is not finite or is negative.

        Examples
        --------
        >>> import sctools
        >>> adata = sctools.datasets.immune_mixture(60, n_genes=150)
        >>> sctools.model.MultimodalSRSAVAE.setup_anndata(adata, "protein_expression")
        """
        with quiet(), warnings.catch_warnings():
            # AnnData with proteins in obsm stays supported here.
            warnings.filterwarnings("ignore", message="We recommend using setup_mudata.*")
            super().setup_anndata(
                adata, protein_expression_obsm_key=protein_expression_obsm_key, **kwargs
            )
        register_depth(cls, adata, depth_key, depth_share=depth_share, layer=kwargs.get("layer"))

    @classmethod
    def setup_mudata(cls, mdata: MuData, depth_key: str | None = None, **kwargs: Any) -> None:
        """Register counts of an RNA and a protein modality.

        Parameters
        ----------
        mdata
            MuData with both modalities for the same cells.
        depth_key
            Column of ``obs`` of the RNA modality with each cell's total RNA count; see
            :meth:`sctools.model.SRSAVAE.setup_anndata`.
        **kwargs
            Passed to :meth:`scvi.model.TOTALVI.setup_mudata`: ``modalities``, ``rna_layer``,
            ``protein_layer``, ``batch_key`` ….

        Returns
        -------
        ``None``; the registration is kept by scvi-tools and in ``mdata.uns``.

        Raises
        ------
        KeyError
            A column is missing.
        ValueError
            A modality or layer is missing, or the column ``depth_key`` is not finite or is
            negative.

        Examples
        --------
        >>> import sctools
        >>> from anndata import AnnData
        >>> from mudata import MuData
        >>> adata = sctools.datasets.immune_mixture(60, n_genes=150)
        >>> protein = AnnData(adata.obsm["protein_expression"])
        >>> mdata = MuData({"rna": adata, "prot": protein})
        >>> modalities = {"rna_layer": "rna", "protein_layer": "prot"}
        >>> sctools.model.MultimodalSRSAVAE.setup_mudata(mdata, modalities=modalities)
        """
        with quiet():
            super().setup_mudata(mdata, **kwargs)
        modalities = kwargs.get("modalities") or {}
        register_depth(cls, mdata, depth_key, mod_key=modalities.get("rna_layer"))

    def train(
        self,
        max_epochs: int | None = None,
        lr: float = 4e-3,
        *,
        rng: int | np.random.Generator | None = None,
        progress_bar: bool | None = None,
        batch_size: int = 256,
        early_stopping: bool = True,
        train_size: float | None = None,
        n_epochs_kl_warmup: int | None = None,
        plan_kwargs: dict | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Train the model.

        The weight of the KL divergence grows to its full value over the first half of the epochs,
        and early stopping (on the ELBO of validation cells) comes after that.

        Parameters
        ----------
        max_epochs
            Passes through the data. By default 200 up to 20,000 cells, then fewer, at least 10.
        lr
            Learning rate. totalVI takes 4e-3, which its larger ``eps`` of Adam damps.
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
        n_epochs_kl_warmup
            Epochs until the KL divergence has its full weight. By default half of all.
        plan_kwargs
            Arguments of the training plan, such as ``weight_decay`` or ``eps``.
        checkpoint_dir
            Directory to save the state of the training to, after every epoch: a run that was cut
            off and is started again with the same arguments and data goes on from there, to the
            same result. It needs ``rng``. Delete it when it is not needed any more.
        **kwargs
            Passed to :meth:`scvi.model.TOTALVI.train`.

        Raises
        ------
        ValueError
            If there are fewer than three cells, no epochs, or the counts are a dask array; if
            ``checkpoint_dir`` holds a damaged checkpoint or that of another run, or is given
            without ``rng``.
        OSError
            A checkpoint cannot be written.
        RuntimeError
            If training diverges.

        Examples
        --------
        >>> import sctools
        >>> adata = sctools.datasets.immune_mixture(60, n_genes=150)
        >>> sctools.model.MultimodalSRSAVAE.setup_anndata(adata, "protein_expression")
        >>> vae = sctools.model.MultimodalSRSAVAE(adata)
        >>> vae.train(max_epochs=2, rng=0, progress_bar=False)
        >>> float(vae.history["kl_weight_train"].iloc[-1, 0])  # 2 with a mixture prior
        2.0
        """
        arguments = self._training_arguments(
            max_epochs=max_epochs,
            early_stopping=early_stopping,
            train_size=train_size,
            lr=lr,
            plan_kwargs=plan_kwargs,
        )
        warmup = arguments["plan_kwargs"].pop("n_epochs_kl_warmup")
        # totalVI counts steps unless it is given epochs, and takes 0 for not given.
        arguments["n_steps_kl_warmup"] = 0
        arguments["lr"] = lr
        arguments["n_epochs_kl_warmup"] = (
            warmup if n_epochs_kl_warmup is None else n_epochs_kl_warmup
        )
        if not arguments["early_stopping"]:
            # Both look at validation cells; without the one, the other would ask for them.
            arguments["reduce_lr_on_plateau"] = False
        arguments = {**arguments, "batch_size": batch_size, **kwargs}
        with self._training(arguments, rng, progress_bar, checkpoint_dir) as settled:
            super().train(**settled)
