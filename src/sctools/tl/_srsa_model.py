"""Training an SRSA-VAE on an input, or making a trained one ready for it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arguments import named_options
from .._validate import check_complete, listing
from ..pp._counts_input import PROTEINS, CountsInput, count_empty, counts_adata, tell_empty
from ..pp._depth import DepthGenes, cell_depth, depth_genes
from ._srsa_input import Input

if TYPE_CHECKING:
    from anndata import AnnData

    from ..model import SRSAVAE, MultimodalSRSAVAE

logger = logging.getLogger("sctools")

DEPTH_COLUMN = "_depth"
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
    from ..model._srsa_options import check_enough_cells

    proteins = None if found.proteins is None else found.proteins(None)
    mask = _mask(found.rna, mask_var)
    private, counts = counts_adata(found.rna, names, mask=mask, proteins=proteins)
    tell_empty(count_empty(private.X), *private.shape)
    check_enough_cells(private.n_obs)  # scvi-tools looks at proteins before it trains
    setup = _setup_arguments(names)
    if mask is not None:
        # The model sees some genes and is normalised by all. Whoever uses it without `_depth`,
        # on these genes alone, gets it estimated from their share.
        depth = cell_depth(counts, found.rna.var_names)
        private.obs[DEPTH_COLUMN] = depth
        share = private.X.sum() / max(depth.sum(), 1.0)
        setup |= {"depth_key": DEPTH_COLUMN, "depth_share": float(share)}
    with quiet(), seeded(seed):
        vae: SRSAVAE | MultimodalSRSAVAE
        with named_options("model_kwargs"):
            if proteins is None:
                SRSAVAE.setup_anndata(private, **setup)
                vae = SRSAVAE(private, **model_kwargs)
            else:
                MultimodalSRSAVAE.setup_anndata(private, PROTEINS, **setup)
                vae = MultimodalSRSAVAE(private, **model_kwargs)
        with named_options("train_kwargs"):
            vae.train(**{"rng": seed, "progress_bar": progress_bar, **train_kwargs})
    # Names with an underscore at the end are saved with the model.
    vae.depth_genes_, vae.depth_shares_ = depth_genes(counts, found.rna.var_names)
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
    mask = column.isin([True]).to_numpy()
    if not (mask.any() and column.isin([True, False]).all()):
        raise ValueError(
            f"`adata.var[{mask_var!r}]` must be boolean and true for some genes, found values "
            f"such as {listing(column.unique()[:3])}. `mask_var=None` takes all genes."
        )
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
    model: Any, found: Input, names: CountsInput, *, held: int | None = None
) -> tuple[SRSAVAE | MultimodalSRSAVAE, AnnData]:
    """Load a model where it is a directory, and prepare the query as it was trained.

    A model that is loaded holds the query, or as many of its cells as ``held`` says.
    """
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
    _check_registry(registry)
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
        ).tolist()
    setup = registry["setup_args"]
    proteins = None
    if multimodal:
        state = registry["field_registries"]["proteins"]["state_registry"]
        proteins = found.proteins([str(name) for name in state["column_names"]])
    own = _registered(setup, names)
    if names.labels_key is not None:
        check_complete(found.rna, names.labels_key, argument="labels_key")
    private, counts = counts_adata(found.rna, own, var_names=genes, proteins=proteins)
    depth_key = setup.get("depth_key")
    if depth_key is not None:
        private.obs[depth_key] = (
            found.rna.obs[depth_key]
            if depth_key in found.rna.obs
            else cell_depth(counts, found.rna.var_names)
        )
    if multimodal:
        # An array: names have been matched, and scvi-tools cannot compare those that it numbered.
        private.obsm[setup["protein_expression_obsm_key"]] = private.obsm.pop(PROTEINS).to_numpy()
    if setup.get("layer") is not None:
        private.layers[setup["layer"]] = private.X
    _check_categories(private, own, registry)
    with quiet():
        vae = model
        if path is not None:
            vae = cls.load(path, adata=_held(private, held))
    if depth_key is not None and hasattr(vae, "depth_genes_"):  # it was trained here
        genes_counted = DepthGenes(vae.depth_genes_, vae.depth_shares_)
        private.obs[depth_key] = cell_depth(counts, found.rna.var_names, genes_counted)
    return vae, private


def _held(private: AnnData, n_cells: int | None) -> AnnData:
    """Cells to load a model with: two or more, since scvi-tools cannot do with one."""
    if private.n_obs > 1 and n_cells is None:
        return private
    cells = private[np.arange(n_cells or 2) % private.n_obs].copy()
    cells.obs_names = [str(row) for row in range(cells.n_obs)]
    return cells


def _check_registry(registry: Mapping[str, Any]) -> None:
    """Raise on models of its classes that can only be applied by their own methods."""
    panel = registry.get("setup_args", {}).get("panel_key")
    if registry.get("setup_method_name") == "setup_mudata" or panel is not None:
        what = "`setup_mudata`" if panel is None else f"`panel_key={panel!r}`"
        raise ValueError(
            f"`model` was set up with {what}. Apply it with its own methods: "
            "`model.get_latent_representation(data)`."
        )
    if "latent_qzm" in registry.get("field_registries", {}):
        raise ValueError(
            "`model` holds minified data and cannot encode others. Apply it as it was before "
            "`minify_adata()`."
        )


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


def _check_categories(private: AnnData, names: CountsInput, registry: Mapping[str, Any]) -> None:
    """Raise on unknown categories; the others, compared as text, become those of training."""
    fields = registry["field_registries"]
    known = {}
    for column, field in ((names.batch_key, "batch"), (names.labels_key, "labels")):
        if column is not None:
            known[column] = fields[field]["state_registry"]["categorical_mapping"]
    if names.categorical_covariate_keys:
        known.update(fields["extra_categorical_covs"]["state_registry"]["mappings"])
    for column, categories in known.items():
        found = private.obs[column].astype(str)
        trained = {str(category): category for category in categories}
        new = sorted(set(found) - set(trained))
        if new:
            raise ValueError(
                f"`adata.obs[{column!r}]` holds {listing(new)}, which the model was not trained "
                f"on. It knows: {listing(trained)}. Map new batches with "
                "`load_query_data(adata, model)` of its class and a short `train()`, then apply "
                "that model."
            )
        private.obs[column] = found.map(trained)
