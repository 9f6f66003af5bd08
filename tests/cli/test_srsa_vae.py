"""``sctools srsa-vae`` does what ``tl.srsa_vae`` does."""

from __future__ import annotations

import json
from pathlib import Path

import anndata as ad
import mudata
import numpy as np
import pytest

from sctools import tl

from .._vaes import QUICK, QUICK_PROTEIN, cells, multimodal
from ._cli import invoke


def few(quick: dict) -> list[object]:
    return [
        "--batch-key", quick["batch_key"],
        "--max-epochs", quick["max_epochs"],
        "--model-kwargs", json.dumps(quick["model_kwargs"]),
        "--train-kwargs", json.dumps(quick["train_kwargs"]),
    ]  # fmt: skip


def test_train_and_apply(folder: Path) -> None:
    adata = cells()
    adata.write_h5ad("in.h5ad")
    done = invoke("srsa-vae", "in.h5ad", "-o", "out.zarr", "--save-model", "vae", *few(QUICK))
    assert done.exit_code == 0, done.output
    tl.srsa_vae(adata, **QUICK)
    found = ad.read_zarr("out.zarr")
    np.testing.assert_array_equal(found.obsm["X_srsa_vae"], adata.obsm["X_srsa_vae"])
    assert found.obs["srsa_vae"].astype(str).tolist() == adata.obs["srsa_vae"].tolist()

    done = invoke("srsa-vae", "out.zarr", "-o", "again.h5ad", "--model", "vae", "--key-added", "b")
    assert done.exit_code == 0, done.output
    again = ad.read_h5ad("again.h5ad")
    np.testing.assert_allclose(again.obsm["X_b"], found.obsm["X_srsa_vae"], atol=1e-5)
    assert again.uns["b"]["params"]["mode"] == "applied"

    done = invoke("srsa-vae", "out.zarr", "-o", "blocks.zarr", "--model", "vae", "--key-added", "b")
    assert done.exit_code == 0, done.output
    blocks = ad.read_zarr("blocks.zarr")
    np.testing.assert_allclose(blocks.obsm["X_b"], again.obsm["X_b"], atol=1e-5)

    done = invoke("srsa-vae", "in.h5ad", "-o", "c.h5ad", "--model", "vae", "--max-epochs", 3)
    assert done.exit_code == 1
    assert "do not go with a trained `--model`" in done.stderr


@pytest.mark.filterwarnings("ignore:From 0.4 .update:FutureWarning")
def test_modalities(folder: Path) -> None:
    multimodal(cells(), protein="adt").write_h5mu("in.h5mu")
    arguments = few(QUICK_PROTEIN)
    done = invoke("srsa-vae", "in.h5mu", "-o", "out.h5mu", *arguments)
    assert done.exit_code == 0, done.output
    assert "features" in done.stderr
    found = mudata.read_h5mu("out.h5mu")
    assert found.mod["rna"].obsm["X_srsa_vae"].shape == (found.n_obs, 30)
    assert list(found.mod) == ["rna", "adt"]
    assert sorted(path.name for path in folder.iterdir()) == ["in.h5mu", "out.h5mu"]


def test_a_model_has_to_exist(folder: Path) -> None:
    cells().write_h5ad("in.h5ad")
    done = invoke("srsa-vae", "in.h5ad", "-o", "out.h5ad", "--model", "vae")
    assert done.exit_code == 2
    assert "'vae' does not exist" in done.stderr
    Path("vae").mkdir()
    done = invoke("srsa-vae", "in.h5ad", "-o", "out.h5ad", "--model", "vae")
    assert done.exit_code == 1
    assert "no directory of a saved model" in done.stderr
