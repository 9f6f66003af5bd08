"""Training on a data module of scvi-tools, in place of an AnnData."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd


def is_of_datamodule(registry: Mapping[str, Any] | None) -> bool:
    """Whether a registry is that of a data module."""
    return registry is not None and registry.get("setup_method_name") == "setup_datamodule"


def as_anndata_registry(
    registry: Mapping[str, Any], setup_anndata: Callable[..., None], get_manager: Callable[..., Any]
) -> dict[str, Any]:
    """Turn a data module's registry into that of an AnnData with the same genes and categories.

    A model with such a registry is saved, loaded and applied to an AnnData like any other; with
    that of a data module scvi-tools needs the module itself, and forgets arguments of the model.

    Parameters
    ----------
    registry
        Registry of the data module.
    setup_anndata
        Of the model's class.
    get_manager
        Gives what ``setup_anndata`` left for an AnnData.
    """
    setup, fields = registry["setup_args"], registry["field_registries"]
    states = {name: field["state_registry"] for name, field in fields.items()}
    keys: dict[str, Any] = {"layer": setup.get("layer"), "batch_key": None, "labels_key": None}
    categories: dict[str, Any] = {}
    for argument, field in (("batch_key", "batch"), ("labels_key", "labels")):
        name, found = setup.get(argument), states[field].get("categorical_mapping")
        if name is not None and found is not None and len(found) > 0:
            keys[argument], categories[name] = name, found
    covariates = dict(states["extra_categorical_covs"].get("mapping", {}))
    numbers = list(setup.get("continuous_covariate_keys") or [])
    keys["categorical_covariate_keys"] = list(covariates) or None
    keys["continuous_covariate_keys"] = numbers or None
    categories |= covariates

    n_rows = 3 * max([1, *map(len, categories.values())])  # fewer of each draw a warning
    obs = pd.DataFrame(index=[str(row) for row in range(n_rows)])
    for name, values in categories.items():
        codes = np.arange(n_rows) % len(values)
        obs[name] = pd.Categorical.from_codes(codes, pd.Index(values, dtype=object))
    for name in numbers:
        obs[name] = 0.0
    genes = [str(name) for name in states["X"]["column_names"]]
    example = ad.AnnData(np.ones((n_rows, len(genes)), np.float32), obs)
    example.var_names = genes
    if keys["layer"] is not None:
        example.layers[keys["layer"]] = example.X
    setup_anndata(example, **keys)
    made = dict(get_manager(example, required=True).registry)
    made["field_registries"]["X"]["state_registry"]["n_obs"] = states["X"]["n_obs"]
    made["field_registries"]["X"]["summary_stats"]["n_cells"] = states["X"]["n_obs"]
    return made


def check_datamodule(
    datamodule: Any, adata: Any, *, attention: str | None, train_size: Any, checkpoint_dir: Any
) -> None:
    """Raise ``ValueError`` where a data module is missing, or does not go with the rest."""
    if datamodule is None:
        if adata is None:
            raise ValueError(
                "This model has no data: it was made of the registry of a data module. Pass that "
                "as `datamodule=`."
            )
        return
    if adata is not None:
        raise ValueError(
            "`datamodule` is for a model without data, found one that was made with an AnnData. "
            "Make it of the registry: `SRSAVAE(registry=datamodule.registry)`."
        )
    if not hasattr(datamodule, "n_obs"):
        raise ValueError(
            f"`datamodule` must tell its number of cells as `n_obs`, found {type(datamodule)} "
            "without it."
        )
    if train_size is not None:
        raise ValueError(
            f"`train_size={train_size!r}` does not go with `datamodule`, which parts the cells by "
            "itself. Set it there."
        )
    if checkpoint_dir is not None:
        raise ValueError(
            "`checkpoint_dir` does not go with `datamodule`, whose cells and their order cannot be "
            "told from those of another run. Leave it out."
        )
    if attention == "minibatch":
        raise ValueError(
            "`attention='minibatch'` takes its bank of cells from an AnnData. Choose another kind "
            "for training on a `datamodule`."
        )
