"""SRSA-VAE trained on cells that annbatch reads from disk (Python 3.12 and newer)."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from sctools import datasets, tl
from sctools.model import SRSAVAE

annbatch = pytest.importorskip("annbatch")
dataloaders = pytest.importorskip("scvi.dataloaders")

ROWS = {"chunk_size": 8, "preload_nchunks": 8}


@pytest.fixture(scope="module")
def adata():
    cells = datasets.immune_mixture(256, n_genes=150)
    cells.obs = cells.obs[["batch"]]
    return cells


@pytest.fixture(scope="module")
def stored(adata, tmp_path_factory):
    folder = tmp_path_factory.mktemp("annbatch")
    plain = adata.copy()
    plain.obsm.clear()
    plain.uns.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain.write_h5ad(folder / "cells.h5ad")
        collection = annbatch.DatasetCollection(folder / "cells.zarr")
        collection.add_adatas([folder / "cells.h5ad"], shuffle=True)
    return collection


def datamodule(stored, adata):
    loader = annbatch.Loader(
        batch_size=32, to="torch", preload_to_gpu=False, **ROWS
    ).use_collection(stored)
    module = dataloaders.AnnbatchDataModule(
        dataset=loader,
        batch_key="batch",
        var_names=adata.var_names.tolist(),
        preload_to_gpu=False,
        **ROWS,
    )
    module.set_split(train_size=0.75)
    return module


def trained(stored, adata, **kwargs):
    module = datamodule(stored, adata)
    vae = SRSAVAE(registry=module.registry, n_hidden=32, n_latent=8)
    vae.train(datamodule=module, rng=0, progress_bar=False, **kwargs)
    return vae


def test_trained_saved_and_applied_like_any_other(stored, adata, tmp_path):
    vae = trained(stored, adata, max_epochs=8)
    losses = vae.history["elbo_train"].iloc[:, 0].astype(float)
    assert len(losses) == len(vae.history["elbo_validation"]) == 8
    assert losses.iloc[-1] < 0.95 * losses.iloc[0]
    state = vae.registry["field_registries"]["batch"]["state_registry"]
    assert list(state["categorical_mapping"]) == sorted(adata.obs["batch"].astype(str).unique())
    vae.save(tmp_path / "vae")
    query = adata.copy()
    tl.srsa_vae(query, model=tmp_path / "vae")
    latent = query.obsm["X_srsa_vae"]
    assert latent.shape == (adata.n_obs, 8)
    assert np.isfinite(latent).all()
    assert len(np.unique(latent.round(3), axis=0)) > adata.n_obs / 2


def test_validation_cells_are_not_trained_on(stored, adata):
    module = datamodule(stored, adata)
    assert (module.n_train, module.n_val) == (192, 64)
    batches = {
        name: [module.on_before_batch_transfer(batch, 0)["X"] for batch in loader]
        for name, loader in (("train", module.train_dataloader()), ("val", module.val_dataloader()))
    }
    cells = {
        name: {row.tobytes() for x in found for row in x.numpy()} for name, found in batches.items()
    }
    assert sum(len(x) for x in batches["train"]) == 192
    assert sum(len(x) for x in batches["val"]) == 64
    assert not cells["train"] & cells["val"]
