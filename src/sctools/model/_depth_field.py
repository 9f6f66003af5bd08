"""Registration of each cell's depth with scvi-tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scvi.data.fields import MuDataNumericalObsField, NumericalObsField

from .._validate import listing
from ..module import DEPTH

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData
    from scvi.model.base import BaseModelClass


def register_depth(
    cls: type[BaseModelClass],
    adata: AnnData | MuData,
    depth_key: str | None,
    *,
    depth_share: float | None = None,
    layer: str | None = None,
    mod_key: str | None = None,
) -> None:
    """Add a column of ``obs`` with totals to what ``setup_anndata`` just registered."""
    if depth_key is None:
        return
    if mod_key is None:
        add_depth(adata, depth_key, depth_share, layer)
    obs = adata.obs if mod_key is None else adata.mod[mod_key].obs
    if depth_key not in obs.columns:
        raise KeyError(
            f"`depth_key={depth_key!r}` is not a column of `obs`. Available: "
            f"{listing(obs.columns)}."
        )
    depth = np.asarray(obs[depth_key], dtype=float)
    if not np.isfinite(depth).all() or (depth < 0).any():
        raise ValueError(
            f"`obs[{depth_key!r}]` must hold each cell's total count, finite and not negative."
        )
    field: Any = (
        NumericalObsField(DEPTH, depth_key)
        if mod_key is None
        else MuDataNumericalObsField(DEPTH, depth_key, mod_key=mod_key)
    )
    manager = cls._get_most_recent_anndata_manager(adata, required=True)
    manager.register_new_fields([field])
    # Loading and query mapping set data up again, with these arguments.
    arguments: dict[str, Any] = {"depth_key": depth_key}
    if depth_share is not None:
        arguments["depth_share"] = depth_share
    manager.update_setup_method_args(arguments)


def add_depth(adata: AnnData, depth_key: str, depth_share: float | None, layer: str | None) -> None:
    """Estimate the column of totals where it is missing and the share of the genes is known."""
    if depth_share is None or depth_key in adata.obs.columns:
        return
    counts = adata.X if layer is None else adata.layers[layer]
    total = np.asarray(counts.sum(axis=1), dtype=np.float32).ravel()
    adata.obs[depth_key] = total / np.float32(depth_share)
