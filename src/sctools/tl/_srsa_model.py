"""Training an SRSA-VAE on an input, or making a trained one ready for it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .._validate import listing
from ..pp._counts_input import PROTEINS, CountsInput, counts_adata
from ._srsa_input import Input

if TYPE_CHECKING:
    from anndata import AnnData

    from ..model import SRSAVAE, MultimodalSRSAVAE

logger = logging.getLogger("sctools")

DEFAULT_MASK = "highly_variable"


def fit(
    found: Input,
    names: CountsInput,
    *,
    mask_var: str | None,
    model_kwargs: dict[str, Any],
    train_kwargs: dict[str, Any],
    seed: int,
    progress_bar: bool,
) -> tuple[SRSAVAE | MultimodalSRSAVAE, AnnData]:
    """Train a model on a private copy of the input; returns both."""
    from ..model import SRSAVAE, MultimodalSRSAVAE
    from ..model._runner import quiet, seeded

    proteins = None if found.proteins is None else found.proteins(None)
    mask = _mask(found.rna, mask_var)
    private = counts_adata(found.rna, names, mask=mask, proteins=proteins)
    setup = _setup_arguments(names)
    with quiet(), seeded(seed):
        vae: SRSAVAE | MultimodalSRSAVAE
        if proteins is None:
            SRSAVAE.setup_anndata(private, **setup)
            vae = SRSAVAE(private, **model_kwargs)
        else:
            MultimodalSRSAVAE.setup_anndata(private, PROTEINS, **setup)
            vae = MultimodalSRSAVAE(private, **model_kwargs)
        vae.train(**{"rng": seed, "progress_bar": progress_bar, **train_kwargs})
    return vae, private


def _mask(adata: AnnData, mask_var: str | None) -> np.ndarray | None:
    if mask_var is None or (mask_var == DEFAULT_MASK and mask_var not in adata.var.columns):
        return None
    if mask_var not in adata.var.columns:
        raise KeyError(
            f"`mask_var={mask_var!r}` is not a column of `adata.var`. Available: "
            f"{listing(adata.var.columns)}. `mask_var=None` takes all genes."
        )
    column = adata.var[mask_var]
    if column.isna().any() or not column.isin([True, False]).all() or not column.any():
        raise ValueError(
            f"`adata.var[{mask_var!r}]` must be boolean and true for some genes, found values "
            f"such as {listing(column.unique()[:3])}. `mask_var=None` takes all genes."
        )
    mask = column.to_numpy(dtype=bool)
    logger.info("Training on the %d genes of adata.var[%r].", mask.sum(), mask_var)
    return mask


def _setup_arguments(names: CountsInput) -> dict[str, Any]:
    found: dict[str, Any] = {
        "batch_key": names.batch_key,
        "size_factor_key": names.size_factor_key,
        "categorical_covariate_keys": list(names.categorical_covariate_keys) or None,
        "continuous_covariate_keys": list(names.continuous_covariate_keys) or None,
    }
    return {argument: value for argument, value in found.items() if value is not None}


def make_ready(
    model: Any, found: Input, names: CountsInput
) -> tuple[SRSAVAE | MultimodalSRSAVAE, AnnData]:
    """Load a model where it is a directory, and prepare the query as it was trained."""
    from ..model import SRSAVAE, MultimodalSRSAVAE
    from ..model._runner import quiet

    classes = {cls.__name__: cls for cls in (SRSAVAE, MultimodalSRSAVAE)}
    path = model if isinstance(model, str | os.PathLike) else None
    if path is not None:
        path = os.fspath(path)
        if not os.path.exists(os.path.join(path, "model.pt")):
            raise ValueError(
                f"`model={path!r}` is no directory of a saved model (no 'model.pt' in it). Save "
                "one with `model.save(directory)`."
            )
        with quiet():
            registry = SRSAVAE.load_registry(path)
        cls = classes.get(registry.get("model_name"))
        kind = registry.get("model_name")
    else:
        cls, kind = classes.get(type(model).__name__), type(model).__name__
        registry = getattr(model, "registry_", {})
    if cls is None:
        raise TypeError(
            f"`model` must be one of {listing(classes)}, or a directory of a saved one, found "
            f"{kind}."
        )
    if path is None and not model.is_trained:
        raise ValueError("`model` is not trained. Train it first: `model.train()`.")
    if registry.get("setup_method_name") == "setup_mudata":
        raise ValueError(
            "`model` was set up with `setup_mudata`. Apply it with its own methods: "
            "`model.get_latent_representation(mdata)`."
        )
    multimodal = cls is MultimodalSRSAVAE
    if multimodal != (found.proteins is not None):
        raise ValueError(
            f"`model` is a {cls.__name__}, "
            + (
                "which needs proteins. Name them with `protein_key=`."
                if multimodal
                else "which knows no proteins. Leave `protein_key=` out."
            )
        )
    with quiet():
        genes = cls.prepare_query_anndata(
            None, path if path is not None else model, return_reference_var_names=True
        )
    setup = registry["setup_args"]
    proteins = None
    if multimodal:
        state = registry["field_registries"]["proteins"]["state_registry"]
        proteins = found.proteins(list(state["column_names"]))
    own = _registered(setup, names)
    private = counts_adata(found.rna, own, var_names=list(genes), proteins=proteins)
    if multimodal and setup["protein_expression_obsm_key"] != PROTEINS:
        private.obsm[setup["protein_expression_obsm_key"]] = private.obsm[PROTEINS]
    if setup.get("layer") is not None:
        private.layers[setup["layer"]] = private.X
    _check_categories(private, own, registry)
    with quiet():
        return (model if path is None else cls.load(path, adata=private)), private


def _registered(setup: Mapping[str, Any], names: CountsInput) -> CountsInput:
    """Columns that the model was trained with; raise where others were named."""
    fields = ("batch_key", "size_factor_key", "labels_key")
    joint = ("categorical_covariate_keys", "continuous_covariate_keys")
    own: dict[str, Any] = {name: setup.get(name) for name in fields}
    own.update({name: list(setup.get(name) or []) for name in joint})
    for name in (*fields[:2], *joint):
        asked = getattr(names, name)
        if asked and asked != own[name]:
            raise ValueError(
                f"`{name}={asked!r}` differs from training, where it was {own[name]!r}. Leave it "
                "out: a trained model takes the columns of its training."
            )
    return CountsInput(layer=names.layer, **own)


def _check_categories(
    private: AnnData, names: CountsInput, registry: Mapping[str, Any]
) -> None:
    fields = registry["field_registries"]
    known = {}
    if names.batch_key is not None:
        known[names.batch_key] = fields["batch"]["state_registry"]["categorical_mapping"]
    if names.categorical_covariate_keys:
        known.update(fields["extra_categorical_covs"]["state_registry"]["mappings"])
    for column, categories in known.items():
        found = private.obs[column].astype(str).unique()
        new = sorted(set(found) - set(map(str, categories)))
        if new:
            raise ValueError(
                f"`adata.obs[{column!r}]` holds {listing(new)}, which the model was not trained "
                f"on. It knows: {listing(categories)}. Map new batches with "
                "`load_query_data(adata, model)` of its class and a short `train()`, then apply "
                "that model."
            )
