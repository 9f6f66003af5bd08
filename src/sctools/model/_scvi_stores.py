"""What scvi-tools keeps, by the class of a model, of all data that its models were given."""

from __future__ import annotations

from typing import Any


def forget_data(model: Any, adata: Any) -> None:
    """Let go of data that a model answered for; what it was made with stays."""
    if adata is not model.adata:
        known = type(model)._per_instance_manager_store.get(model.id, {})
        known.pop(adata.uns.get("_scvi_uuid"), None)


def forget_model(model: Any) -> None:
    """Let go of a model that is handed to nobody, and of the data that it was made with."""
    known = type(model)._per_instance_manager_store.pop(model.id, {})
    for uuid in known:
        type(model)._setup_adata_manager_store.pop(uuid, None)
