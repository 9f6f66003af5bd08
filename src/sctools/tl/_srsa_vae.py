"""Latents of cells from RNA, or RNA and protein, by a self-attention VAE."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .._arguments import (
    as_generator,
    check_columns,
    check_devices,
    check_flags,
    check_names,
    check_options,
    check_whole,
    read_checkpoint_dir,
)
from .._docs import docs
from .._keys import SRSA_VAE, SRSAVAEKeys
from .._settings import settings
from .._validate import check_key_added, listing
from ..pp._counts_input import CountsInput, count_empty, tell_empty
from ._params import plain, recorded_params
from ._srsa_blocks import encode_blocks, is_lazy
from ._srsa_input import Input, read_input
from ._srsa_model import DEFAULT_MASK, fit, make_ready
from ._srsa_record import encode, history_table, model_params, versions, write_result

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from ..model import SRSAVAE, MultimodalSRSAVAE


@docs.dedent
def srsa_vae(
    adata: AnnData | MuData,
    model: SRSAVAE | MultimodalSRSAVAE | str | os.PathLike[str] | None = None,
    *,
    batch_key: str | None = None,
    labels_key: str | None = None,
    protein_key: str | None = None,
    modalities: Mapping[str, str] | None = None,
    layer: str | None = None,
    mask_var: str | None = DEFAULT_MASK,
    size_factor_key: str | None = None,
    categorical_covariate_keys: Sequence[str] | None = None,
    continuous_covariate_keys: Sequence[str] | None = None,
    n_latent: int | None = None,
    attention: Literal["memory", "induced", "features", "minibatch", "none"] = "memory",
    residual: Literal["scaled", "plain", "none"] = "scaled",
    prior: Literal["mixture", "normal"] = "mixture",
    max_epochs: int | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    train_kwargs: Mapping[str, Any] | None = None,
    denoised_protein_key: str | None = None,
    batch_size: int | None = None,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    key_added: str = SRSA_VAE,
    rng: int | np.random.Generator | None = 0,
    progress_bar: bool | None = None,
    copy: bool = False,
    return_model: bool = False,
) -> Any:
    """Embed cells with a VAE whose encoder has residual self-attention, from raw counts.

    Without ``model`` a :class:`~sctools.model.SRSAVAE` is trained on ``adata``, or with proteins a
    :class:`~sctools.model.MultimodalSRSAVAE`. With ``model`` a trained one is applied. Continue
    with ``sc.pp.neighbors(adata, use_rep="X_srsa_vae")``, ``sc.tl.leiden`` and ``sc.tl.umap``.

    Parameters
    ----------
    adata
        Annotated data, cells × genes, with raw counts; or :class:`~mudata.MuData` with RNA and
        protein counts. With ``model``, counts of an AnnData may be in a backed file or a dask
        array, of which a block of cells is in memory at a time (but for denoised proteins).
    model
        A trained model, or the directory of a saved one (which is unpickled: load only files that
        you trust). ``None`` trains.
    batch_key
        Column of ``obs`` with batches to correct for. With a ``model`` the names of training are
        taken.
    labels_key
        Column of ``obs`` with groups, such as cell types. They do not enter training; figures use
        them.
    protein_key
        Key of ``obsm`` with protein counts, cells × proteins, best a DataFrame.
    modalities
        For MuData, the names of its modalities: ``{"rna_layer": "rna", "protein_layer": "prot"}``,
        as in :meth:`scvi.model.TOTALVI.setup_mudata`. By default ``"rna"`` and one of ``"prot"``,
        ``"protein"`` and ``"adt"``.
    layer
        Layer with counts. ``None`` reads ``X``.
    mask_var
        Column of ``var`` that tells which genes to train on, as in :func:`scanpy.pp.pca`. The
        default is taken where ``adata`` has it; ``None`` takes all genes.
    size_factor_key
        Column of ``obs`` with size factors.
    categorical_covariate_keys, continuous_covariate_keys
        Further columns of ``obs`` to correct for.
    n_latent
        Dimensions of the latent space; 30 by default.
    attention, residual, prior
        See :class:`~sctools.model.SRSAVAE`.
    max_epochs
        Passes through the data. By default 200 up to 20,000 cells, then fewer, at least 10.
    model_kwargs
        Further arguments for the model. Only without ``model``.
    train_kwargs
        Further arguments for its ``train``. Only without ``model``.
    denoised_protein_key
        Key of ``obsm`` to write denoised proteins to: a DataFrame, cells × proteins, means of the
        foreground. ``None`` does not compute them.
    batch_size
        Cells that are encoded at a time; it never changes results. For training see
        ``train_kwargs``.
    checkpoint_dir
        Directory to keep the state of the training in: a run that was cut off and is started again
        with the same arguments and data goes on from there, to the same result. See the user guide
        on scale. Only without ``model``, and with a seed.
    key_added
        Name of the result.
    %(rng)s
    progress_bar
        Show a progress bar while training. ``None`` follows ``sctools.settings.progress_bar``.
    copy
        Work on a copy and return it.
    return_model
        Return the model, for everything else that scvi-tools models do.

    Returns
    -------
    ``None``; the copy with ``copy=True``; the model with ``return_model=True``; ``(copy, model)``
    with both. Written to ``adata``, or to the RNA modality of a MuData:

    - ``obsm["X_" + key_added]``: latents, n_obs × n_latent, float32;
    - ``obsm["X_" + key_added + "_attention"]``: attention to each token, averaged over heads,
      n_obs × n_tokens, float32, rows sum to 1 (except with ``attention="none"`` and
      ``"minibatch"``);
    - ``obs[key_added]``: most probable component of the mixture prior, categorical strings (with
      ``prior="mixture"``);
    - ``obsm[denoised_protein_key]``: DataFrame, cells × proteins, float32, where asked for;
    - ``uns[key_added]``: ``params``, ``versions`` and, after training, ``history`` (one row per
      epoch: ELBO, reconstruction loss, KL divergence and its weight, alpha, beta, entropies of
      attention).

    Raises
    ------
    KeyError
        A column, a layer, a modality or ``protein_key`` is missing.
    TypeError
        ``model`` is no SRSA-VAE, a column does not hold numbers where it should, or an argument is
        of a wrong type.
    ValueError
        Values are not counts, or are a dask array and there is no ``model``; there are too few
        cells; names are repeated; protein counts do not match the cells or hold a protein without
        any count; a given model knows other genes, proteins or batches; an option is unknown or
        out of range; ``checkpoint_dir`` holds a damaged checkpoint or that of another run, or is
        given without a seed. ``adata`` is then as it was.
    OSError
        A checkpoint cannot be written; ``adata`` is as it was.
    RuntimeError
        Training diverged; ``adata`` is as it was.

    Notes
    -----
    After the abstract of *SRSA-VAE: Self-Attention-Based Feature Learning for Single-Cell
    Multimodal Clustering*, bioRxiv 2026, doi:10.64898/2026.05.06.723212; see the user guide for
    what of it is ours.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.immune_mixture(60, n_genes=150)
    >>> sctools.tl.srsa_vae(adata, batch_key="batch", max_epochs=2, progress_bar=False)
    >>> adata.obsm["X_srsa_vae"].shape
    (60, 30)
    """
    check_flags(progress_bar=progress_bar, copy=copy, return_model=return_model)
    check_names(batch_key=batch_key, labels_key=labels_key, protein_key=protein_key, layer=layer)
    check_names(mask_var=mask_var, size_factor_key=size_factor_key)
    check_names(denoised_protein_key=denoised_protein_key)
    check_options(modalities=modalities, model_kwargs=model_kwargs, train_kwargs=train_kwargs)
    names = CountsInput(
        layer=layer,
        batch_key=batch_key,
        labels_key=labels_key,
        size_factor_key=size_factor_key,
        categorical_covariate_keys=check_columns(
            categorical_covariate_keys, "categorical_covariate_keys"
        ),
        continuous_covariate_keys=check_columns(
            continuous_covariate_keys, "continuous_covariate_keys"
        ),
    )
    # Samples of denoised proteins depend on the batches that they are drawn in.
    lazy = model is not None and denoised_protein_key is None and is_lazy(adata, layer)
    where: dict[str, Any] = {"protein_key": protein_key, "modalities": modalities, "copy": copy}
    found = read_input(adata, **where, lazy=lazy)
    keys = SRSAVAEKeys.of(key_added)
    written = [keys.component, keys.latent, keys.attention]
    check_key_added(found.rna, key_added, written)
    _keep_inputs((*names.columns(), protein_key), written, key_added)
    if denoised_protein_key is not None:
        _check_denoised_key(denoised_protein_key, found, [protein_key, *written])
    from ..model._runner import seeded
    from ..model._scvi_stores import forget_data, forget_model

    if batch_size is not None:
        check_whole(batch_size, "batch_size")
    folder = read_checkpoint_dir(checkpoint_dir, rng)
    check_devices(train_kwargs, rng)
    seed = int(as_generator(rng).integers(2**31))
    if model is None:
        options: dict[str, Any] = {"attention": attention, "residual": residual, "prior": prior}
        if n_latent is not None:
            options["n_latent"] = n_latent
        vae, private = fit(
            found,
            names,
            mask_var=mask_var,
            model_kwargs={**options, **(model_kwargs or {})},
            train_kwargs={
                "max_epochs": max_epochs,
                "checkpoint_dir": folder,
                **(train_kwargs or {}),
            },
            seed=seed,
            progress_bar=settings.progress_bar if progress_bar is None else progress_bar,
        )
    else:
        training = {
            "model_kwargs": model_kwargs or None,
            "train_kwargs": train_kwargs or None,
            "n_latent": n_latent,
            "max_epochs": max_epochs,
            "checkpoint_dir": folder,
        }
        asked = [name for name, value in training.items() if value is not None]
        if asked:
            raise ValueError(
                f"Arguments for training ({listing(asked)}) do not go with a trained `model`. "
                "Leave them out, or leave `model` out to train."
            )

        def check(query: AnnData) -> None:
            _keep_inputs(query.obs.columns, written, key_added)

        if lazy:
            vae, n_genes, arrays = encode_blocks(
                model,
                found.rna,
                names,
                protein_key=protein_key,
                batch_size=batch_size,
                seed=seed,
                check=check,
            )
        else:
            vae, private = make_ready(model, found, names)
            tell_empty(count_empty(private.X), *private.shape)
            check(private)
    if not lazy:
        denoise = denoised_protein_key is not None
        arrays = encode(vae, private, batch_size, denoise=denoise, seed=seed)
        forget_data(vae, private)
        n_genes = private.n_vars
    params = recorded_params(
        method="srsa_vae",
        mode="trained" if model is None else "applied",
        layer=layer,
        labels_key=labels_key,
        protein_key=protein_key,
        n_genes=n_genes,
        seed=seed if model is None else None,
        max_epochs=max_epochs,
        train_kwargs=plain(train_kwargs or {}) or None,
        **model_params(vae),
    )
    record: dict[str, Any] = {"params": params, "versions": versions()}
    if model is None:
        record["history"] = history_table(vae)
    target = adata
    with seeded(seed):  # MuData draws names from the global state where it is copied
        if copy:  # a backed MuData was refused
            target = adata.to_memory() if adata.isbacked else adata.copy()
        write_result(target, found.modality, keys, arrays, record, denoised_protein_key)
    if not return_model and vae is not model:
        forget_model(vae)
    returned = [value for value, asked in ((target, copy), (vae, return_model)) if asked]
    return tuple(returned) if len(returned) == 2 else (returned[0] if returned else None)


def _keep_inputs(read: Iterable[str | None], written: list[str], key_added: str) -> None:
    clash = [name for name in read if name in written]
    if clash:
        raise ValueError(
            f"`key_added={key_added!r}` would overwrite {listing(clash)}, which is read here. "
            "Choose another name."
        )


def _check_denoised_key(key: str, found: Input, taken: list[str | None]) -> None:
    if found.proteins is None:
        raise ValueError(
            "`denoised_protein_key` needs protein counts. Name them with `protein_key=`."
        )
    if not key or "/" in key:
        raise ValueError(f"`denoised_protein_key` must be a name without '/', found {key!r}.")
    if key in taken:
        raise ValueError(
            f"`denoised_protein_key={key!r}` would overwrite what is read or written here. Choose "
            "another name."
        )
