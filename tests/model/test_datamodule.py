"""SRSA-VAE trained on a data module: cells that come in batches, and no AnnData."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule

from sctools import datasets, tl
from sctools.model import SRSAVAE

QUICK = {"max_epochs": 2, "rng": 0, "progress_bar": False}
CATEGORIES, NUMBERS = ["donor"], ["quality"]


class Batches:
    """A loader as Lightning knows it."""

    def __init__(self, batches):
        self.batches = list(batches)

    def __iter__(self):
        return iter(self.batches)

    def __len__(self):
        return len(self.batches)


class StandIn(LightningDataModule):
    """What ``scvi.dataloaders.AnnbatchDataModule`` shows to a model, on an AnnData in memory."""

    def __init__(self, adata, *, n_val=40, covariates=False, batch_key="batch"):
        super().__init__()
        self.adata, self.batch_key, self.covariates = adata, batch_key, covariates
        self.n_obs, self.n_vars = adata.shape
        self.val_idx, self.train_idx = np.split(np.arange(self.n_obs), [n_val])
        self.n_val, self.n_train = len(self.val_idx), len(self.train_idx)

    def _batches(self, rows):
        return Batches(rows[start : start + 32] for start in range(0, len(rows), 32))

    def train_dataloader(self):
        return self._batches(self.train_idx)

    def val_dataloader(self):
        return self._batches(self.val_idx) if self.n_val else []

    def _codes(self, name, rows):
        return torch.tensor(self.adata.obs[name].cat.codes.to_numpy()[rows].astype(int))[:, None]

    def on_before_batch_transfer(self, rows, dataloader_idx):
        x = torch.from_numpy(self.adata.X[rows].toarray()).float()
        zeros = torch.zeros((len(rows), 1), dtype=torch.long)
        tensors = {"X": x, "batch": zeros, "labels": zeros, "sample": zeros}
        if self.batch_key is not None:
            tensors["batch"] = self._codes(self.batch_key, rows)
        if self.covariates:
            codes = [self._codes(name, rows) for name in CATEGORIES]
            numbers = self.adata.obs[NUMBERS].to_numpy(np.float32)[rows]
            tensors["extra_categorical_covs"] = torch.cat(codes, dim=1)
            tensors["extra_continuous_covs"] = torch.from_numpy(numbers)
        return tensors

    def inference_dataloader(self):
        batches = self._batches(np.arange(self.n_obs))
        return Batches(self.on_before_batch_transfer(rows, 0) for rows in batches)

    @property
    def registry(self):
        """Made by hand, after that of scvi-tools 1.5."""
        obs, names, numbers = self.adata.obs, None, None
        if self.covariates:
            names, numbers = CATEGORIES, NUMBERS
        batches = ["batch_0"] if self.batch_key is None else obs[self.batch_key].cat.categories
        empty = {"data_registry": {}, "state_registry": {}, "summary_stats": {}}
        genes = {
            "n_obs": self.n_obs,
            "n_vars": self.n_vars,
            "column_names": list(self.adata.var_names),
        }
        mapping = {name: np.array(obs[name].cat.categories) for name in names or []}
        return {
            "scvi_version": "1.5.0",
            "model_name": "SCVI",
            "setup_method_name": "setup_datamodule",
            "setup_args": {
                "layer": None,
                "batch_key": self.batch_key,
                "labels_key": None,
                "sample_key": None,
                "size_factor_key": None,
                "categorical_covariate_keys": names,
                "continuous_covariate_keys": numbers,
            },
            "field_registries": {
                "X": {**empty, "state_registry": genes},
                "batch": {
                    **empty,
                    "state_registry": {"categorical_mapping": np.array(batches)},
                },
                "labels": {
                    **empty,
                    "state_registry": {"categorical_mapping": np.array(["Unknown"], object)},
                },
                "ind_x": empty,
                "size_factor": empty,
                "extra_categorical_covs": {**empty, "state_registry": {"mapping": mapping}},
                "extra_continuous_covs": {
                    **empty,
                    "state_registry": {"columns": np.array(numbers or [], object)},
                },
            },
        }


@pytest.fixture(scope="module")
def adata():
    cells = datasets.immune_mixture(160, n_genes=150)
    # In an order that is not the alphabet's.
    kinds = ["b", "a", "c"]
    cells.obs["donor"] = [kinds[i % 3] for i in range(cells.n_obs)]
    cells.obs["donor"] = cells.obs["donor"].astype("category").cat.reorder_categories(kinds)
    cells.obs["quality"] = np.linspace(-1, 1, cells.n_obs)
    return cells


@pytest.mark.parametrize(
    ("covariates", "batch_key"), [(False, "batch"), (True, "batch"), (False, None)]
)
def test_trained_saved_and_applied_like_any_other(adata, tmp_path, covariates, batch_key):
    module = StandIn(adata, covariates=covariates, batch_key=batch_key)
    vae = SRSAVAE(registry=module.registry, n_hidden=32, n_latent=8)
    assert vae.summary_stats.n_cells == adata.n_obs
    vae.train(datamodule=module, **QUICK)
    assert len(vae.history["elbo_train"]) == len(vae.history["elbo_validation"]) == 2
    latent = vae.get_latent_representation(dataloader=module.inference_dataloader())
    assert latent.shape == (adata.n_obs, 8)
    assert len(np.unique(latent.round(3), axis=0)) > adata.n_obs / 2

    vae.save(tmp_path / "vae")
    loaded = SRSAVAE.load(tmp_path / "vae", adata=adata.copy())
    np.testing.assert_allclose(loaded.get_latent_representation(), latent, atol=1e-5)

    shuffled = adata[np.random.default_rng(0).permutation(adata.n_obs)].copy()
    tl.srsa_vae(shuffled, model=tmp_path / "vae")
    found = shuffled[adata.obs_names].obsm["X_srsa_vae"]
    np.testing.assert_allclose(found, latent, atol=1e-5)


def test_batches_reach_the_model(adata):
    """The decoder has a column for each category, in the order of the module."""
    module = StandIn(adata)
    vae = SRSAVAE(registry=module.registry)
    state = vae.registry["field_registries"]["batch"]["state_registry"]
    assert list(state["categorical_mapping"]) == list(adata.obs["batch"].cat.categories)
    assert vae.module.n_batch == adata.obs["batch"].nunique() > 1
    donors = SRSAVAE(registry=StandIn(adata, covariates=True).registry).registry
    mapping = donors["field_registries"]["extra_categorical_covs"]["state_registry"]["mappings"]
    assert list(mapping["donor"]) == ["b", "a", "c"]


def test_same_seed_same_model(adata):
    latents = []
    for _ in range(2):
        torch.manual_seed(0)
        module = StandIn(adata)
        vae = SRSAVAE(registry=module.registry, n_hidden=32)
        state = torch.get_rng_state()
        vae.train(datamodule=module, **QUICK)
        assert torch.equal(torch.get_rng_state(), state)
        latents.append(vae.get_latent_representation(dataloader=module.inference_dataloader()))
    np.testing.assert_array_equal(*latents)


def test_without_cells_to_validate_all_epochs_are_trained(adata):
    module = StandIn(adata, n_val=0)
    vae = SRSAVAE(registry=module.registry, n_hidden=32)
    vae.train(datamodule=module, **QUICK)
    assert len(vae.history["elbo_train"]) == 2
    assert "elbo_validation" not in vae.history


def test_what_does_not_go_together(adata, tmp_path):
    module = StandIn(adata)
    vae = SRSAVAE(registry=module.registry)

    def refused(model, message, **kwargs):
        with pytest.raises(ValueError, match=message):
            model.train(**{"datamodule": module, **QUICK, **kwargs})

    refused(vae, "This model has no data.*`datamodule=`", datamodule=None)
    refused(vae, r"`train_size=0.8` does not go with `datamodule`", train_size=0.8)
    refused(vae, "`checkpoint_dir` does not go with `datamodule`", checkpoint_dir=tmp_path)
    refused(vae, "must tell its number of cells as `n_obs`", datamodule=LightningDataModule())
    bank = SRSAVAE(registry=module.registry, attention="minibatch")
    refused(bank, "`attention='minibatch'` takes its bank of cells from an AnnData")
    data = adata.copy()
    SRSAVAE.setup_anndata(data)
    refused(SRSAVAE(data), r"is for a model without data.*registry=datamodule.registry")
    assert not list(tmp_path.iterdir())
