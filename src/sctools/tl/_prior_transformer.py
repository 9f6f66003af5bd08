"""Cell types of cells by a transformer that follows known gene regulation."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from .._arguments import (
    as_generator,
    check_devices,
    check_flags,
    check_names,
    check_options,
    check_share,
    check_whole,
    named_options,
    read_checkpoint_dir,
)
from .._docs import docs
from .._keys import PRIOR_TRANSFORMER, PriorKeys
from .._validate import (
    check_adata,
    check_complete,
    check_key_added,
    check_obs_key,
    check_writable,
    listing,
)
from ..pp._expression import get_expression
from ._params import plain, recorded_params
from ._prior_record import PriorResult, answer, write_result

if TYPE_CHECKING:
    from anndata import AnnData

    from ..model import PriorTransformer

MIN_CONFIDENCE = 0.5
MIN_TYPICALITY = 0.05


@docs.dedent
def prior_transformer(
    adata: AnnData,
    labels_key: str | None = None,
    net: pd.DataFrame | str | os.PathLike[str] | None = None,
    *,
    model: PriorTransformer | str | os.PathLike[str] | None = None,
    unlabeled_category: str | None = None,
    batch_key: str | None = None,
    groupby: str | None = None,
    layer: str | None = None,
    log_normalized: bool = False,
    gene_key: str | None = None,
    prior: Literal["hard", "soft", "none", "shuffled"] = "hard",
    n_top_genes: int | None = None,
    min_confidence: float = MIN_CONFIDENCE,
    min_typicality: float = MIN_TYPICALITY,
    min_coverage: float = 0.5,
    max_epochs: int | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    train_kwargs: Mapping[str, Any] | None = None,
    batch_size: int = 64,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    key_added: str = PRIOR_TRANSFORMER,
    rng: int | np.random.Generator | None = 0,
    progress_bar: bool | None = None,
    copy: bool = False,
    return_model: bool = False,
) -> Any:
    """Predict cell types by attention along known gene regulation, and keep the attention.

    Without ``model`` a :class:`~sctools.model.PriorTransformer` is trained on the labelled cells of
    ``adata`` and then answers for all of them. With ``model`` a trained one is applied, which needs
    neither labels nor network.

    Parameters
    ----------
    adata
        Annotated data, cells × genes, with all genes that were measured. May be backed by a file;
        with ``model``, counts may be a dask array too, of which a block is in memory at a time.
    labels_key
        Column of ``obs`` with the classes to learn. With a ``model`` it is only recorded, for the
        figures that compare.
    net
        Network of gene regulation, in any form that :func:`sctools.pp.prior_network` takes, such as
        a DataFrame with the columns ``source``, ``target`` and ``weight``; or the key of its
        result.
    model
        A trained model, or the directory of a saved one. ``None`` trains.
    unlabeled_category
        Label of cells whose class is not known; missing values then count as unknown too. They are
        predicted.
    batch_key
        Column of ``obs`` with batches. They are no input: with three or more, whole batches are
        held out for validation.
    groupby
        Column of ``obs`` with the groups to average attention over. By default the predicted
        classes, without cells answered "Unknown".
    layer
        Layer with counts. ``None`` reads ``X``.
    log_normalized
        The values are log1p of depth-normalised counts, not counts. Never guessed.
    gene_key
        Column of ``var`` with gene names, as the network or the model has them.
    prior
        ``"hard"`` confines attention to the network; ``"soft"`` draws it there; ``"none"`` is a
        standard transformer; ``"shuffled"`` takes a rewired network. See
        :class:`~sctools.model.PriorTransformer`.
    n_top_genes
        Number of variable genes, to which the network's expressed regulators are added. By default
        ``var["highly_variable"]``, or 2,000 where there is none.
    min_confidence
        Cells whose highest probability is lower are answered "Unknown".
    min_typicality
        Cells that are less typical are answered "Unknown", whatever their probabilities: so may be
        those of a class that was not learned. With the default, so are about one in twenty ordinary
        cells; 0 takes every cell for typical.
    min_coverage
        Least fraction of a given model's genes that ``adata`` must have.
    max_epochs
        Passes through the labelled cells. By default as many as make 500 steps, at least 15 and at
        most 100.
    model_kwargs, train_kwargs
        Further arguments for the model and for its ``train``. Only without ``model``.
    batch_size
        Cells that are answered at a time; it never changes results. For training see
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
        Return the model, to save it or to apply it to other cells.

    Returns
    -------
    ``None``; the copy with ``copy=True``; the model with ``return_model=True``; ``(copy, model)``
    with both. Written to ``adata``:

    - ``obs[key_added]``: predicted class or "Unknown", categorical;
    - ``obs[key_added + "_confidence"]``: calibrated probability of the best class, float32;
    - ``obs[key_added + "_typicality"]``: share of known cells that lie, in the embedding, as far
      from their classes as this cell from the nearest; float32; 1 with fewer than 20 validation
      cells;
    - ``obs[key_added + "_split"]``: ``"train"``, ``"validation"`` or ``"unlabeled"``, categorical
      (after training);
    - ``obsm["X_" + key_added]``: embedding, float32;
    - ``obsm[key_added + "_proba"]``: probabilities, n_obs × n_classes, float32;
    - ``obsm[key_added + "_tf"]``: DataFrame, cells × regulators, float32: how far a regulator's
      targets are above their means in training (below, for targets that it represses), each by its
      attention to the regulator and its weight in the embedding, summed;
    - ``uns[key_added]``: ``params``; ``genes``, ``classes`` and ``groups``, names; ``n_cells`` of
      each group, int64; ``edges`` (``source``, ``target``, ``weight``); ``attention`` and ``lift``,
      edges × groups, float32: the mean over a group's cells, and its multiple of an even share
      among a target's regulators and itself; ``gene_attention``, genes × groups, weights of the
      genes in the embedding; ``coverage`` of the network; after training ``history`` and, with
      enough labels, ``validation``.

    Raises
    ------
    KeyError
        A column, a layer or the network's key is missing.
    TypeError
        ``model`` is no prior transformer, ``net`` is no network, or another argument is of a wrong
        type.
    RuntimeError
        Training diverged.
    ValueError
        ``labels_key`` or ``net`` is missing for training; labels, network or values cannot be used;
        too few genes of a given model are found; an option is unknown or out of range; a dense
        transformer would not fit in memory; ``checkpoint_dir`` holds a damaged checkpoint or that
        of another run, or is given without a seed. ``adata`` is then as it was.
    OSError
        A checkpoint cannot be written; ``adata`` is as it was.

    Notes
    -----
    In the manner of scTransformer (Milia et al., arXiv:2606.09558, 2026); no reproduction. High
    attention is not proof of regulation: it is confined to the network by construction. Compare
    with ``prior="shuffled"``, and look at ``lift`` rather than attention. Lift differs between
    groups nearly as the regulator's own expression does, for all its targets alike.

    Examples
    --------
    >>> import sctools
    >>> adata = sctools.datasets.regulated_cells(200, n_genes=200)
    >>> sctools.tl.prior_transformer(adata, "cell_type", "prior", max_epochs=2, progress_bar=False)
    >>> adata.obsm["prior_transformer_proba"].shape
    (200, 6)
    """
    check_adata(adata)
    check_flags(log_normalized=log_normalized, progress_bar=progress_bar, copy=copy)
    check_flags(return_model=return_model)
    check_names(labels_key=labels_key, unlabeled_category=unlabeled_category, batch_key=batch_key)
    check_names(groupby=groupby, layer=layer, gene_key=gene_key, key_added=key_added)
    check_options(model_kwargs=model_kwargs, train_kwargs=train_kwargs)
    for name, share in {
        "min_confidence": min_confidence,
        "min_typicality": min_typicality,
        "min_coverage": min_coverage,
    }.items():
        check_share(share, name)
    check_writable(adata, copy=copy)
    keys = PriorKeys.of(key_added)
    written = [name for field, name in keys._asdict().items() if field != "uns"]
    check_key_added(adata, key_added, written)
    clash = [name for name in (labels_key, batch_key, groupby) if name in written]
    if clash and not (groupby == keys.prediction and clash == [groupby]):
        raise ValueError(
            f"`key_added={key_added!r}` would overwrite {listing(clash)}, which is read here. "
            "Choose another name."
        )
    check_whole(batch_size, "batch_size")
    folder = read_checkpoint_dir(checkpoint_dir, rng)
    check_devices(train_kwargs, rng)
    if max_epochs is not None:
        check_whole(max_epochs, "max_epochs")
    if groupby is not None and groupby != keys.prediction:
        check_obs_key(adata, groupby, argument="groupby")
    if model is None:
        seed = int(as_generator(rng).integers(2**31))
        network = _fit(
            adata,
            labels_key,
            net,
            setup={
                "unlabeled_category": unlabeled_category,
                "batch_key": batch_key,
                "log_normalized": log_normalized,
            },
            layer=layer,
            model_kwargs={
                "prior": prior,
                "n_top_genes": n_top_genes,
                "gene_key": gene_key,
                "rng": seed,
                **(model_kwargs or {}),
            },
            train_kwargs={
                "max_epochs": max_epochs,
                "checkpoint_dir": folder,
                "rng": seed,
                "progress_bar": progress_bar,
                **(train_kwargs or {}),
            },
        )
    else:
        seed = None
        given = {
            "net": net,
            "unlabeled_category": unlabeled_category,
            "batch_key": batch_key,
            "n_top_genes": n_top_genes,
            "max_epochs": max_epochs,
            "model_kwargs": model_kwargs,
            "train_kwargs": train_kwargs,
            "checkpoint_dir": folder,
        }
        asked = [name for name, value in given.items() if value is not None]
        if asked:
            raise ValueError(
                f"Arguments for training ({listing(asked)}) do not go with a trained `model`. "
                "Leave them out, or leave `model` out to train."
            )
        if labels_key is not None:
            check_obs_key(adata, labels_key, argument="labels_key")
        network = _ready(model)
    from ..model._scvi_stores import forget_model

    result: PriorResult = answer(
        network,
        adata,
        groups=None if groupby in (None, keys.prediction) else adata.obs[groupby],
        min_confidence=min_confidence,
        min_typicality=min_typicality,
        trained=model is None,
        layer=layer,
        log_normalized=log_normalized,
        gene_key=gene_key if model is not None else None,
        min_coverage=min_coverage,
        batch_size=batch_size,
    )
    params = recorded_params(
        method="prior_transformer",
        mode="trained" if model is None else "applied",
        labels_key=labels_key,
        unlabeled_category=unlabeled_category,
        batch_key=batch_key,
        groupby=groupby,
        layer=layer,
        log_normalized=log_normalized,
        min_confidence=float(min_confidence),
        min_typicality=float(min_typicality),
        temperature=float(network.module.temperature),
        seed=seed,
        max_epochs=max_epochs,
        train_kwargs=plain(train_kwargs or {}) or None,
        **network.options,
    )
    target = adata
    if copy:
        target = adata.to_memory() if adata.isbacked else adata.copy()
    write_result(target, keys, result, {"params": params, **result.record})
    if not return_model and network is not model:
        forget_model(network)
    returned = [value for value, asked in ((target, copy), (network, return_model)) if asked]
    return tuple(returned) if len(returned) == 2 else (returned[0] if returned else None)


def _fit(
    adata: AnnData,
    labels_key: str | None,
    net: Any,
    *,
    setup: dict[str, Any],
    layer: str | None,
    model_kwargs: dict[str, Any],
    train_kwargs: dict[str, Any],
) -> PriorTransformer:
    """Train a model on a private AnnData that shares the values."""
    from ..model import PriorTransformer
    from ..model._runner import quiet

    if labels_key is None:
        raise ValueError(
            "`labels_key` is missing: name the column of `adata.obs` with the cell types to learn "
            f"(available: {listing(adata.obs.columns)}), or pass a trained `model`."
        )
    check_obs_key(adata, labels_key, argument="labels_key")
    columns = [labels_key]
    if setup["batch_key"] is not None:
        check_complete(adata, setup["batch_key"], argument="batch_key")
        columns.append(setup["batch_key"])
    private = private_copy(adata, columns, layer, net, adata.uns)
    with quiet():
        PriorTransformer.setup_anndata(private, labels_key, **setup)
        with named_options("model_kwargs"):
            network = PriorTransformer(private, net, **model_kwargs)
        with named_options("train_kwargs"):
            network.train(**train_kwargs)
    return network


def private_copy(
    adata: AnnData, columns: list[str], layer: str | None, net: Any, uns: Mapping[str, Any]
) -> AnnData:
    """AnnData of our own to register: it shares the values, and has what the model reads."""
    from anndata import AnnData

    memory = adata.to_memory() if adata.isbacked else adata
    private = AnnData(
        X=get_expression(memory, layer), obs=memory.obs[columns].copy(), var=memory.var.copy()
    )
    if isinstance(net, str) and net in uns:
        private.uns[net] = uns[net]
    return private


def _ready(model: Any) -> PriorTransformer:
    from ..model import PriorTransformer

    if isinstance(model, str | os.PathLike):
        model = PriorTransformer.load(model)
    if not isinstance(model, PriorTransformer):
        raise TypeError(
            "`model` must be a `sctools.model.PriorTransformer` or the directory of a saved one, "
            f"found {type(model).__name__}."
        )
    return model
