"""A command that trains in two processes, launched as a user does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import anndata as ad
import numpy as np
import pytest

import sctools

from .._vaes import QUICK, cells

TRAINING = {**QUICK["train_kwargs"], "strategy": "ddp", "devices": 2, "accelerator": "cpu"}


def launchers() -> list[object]:
    script = Path(sysconfig.get_path("scripts"), "sctools")
    missing = pytest.mark.skipif(not script.is_file(), reason="the script is not installed")
    return [
        pytest.param([str(script)], "out.h5ad", marks=missing, id="script"),
        # Lightning starts a module in another way than a script.
        pytest.param([sys.executable, "-m", "sctools"], "in.h5ad", id="module"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("launcher", "output"), launchers())
def test_two_processes_write_one_file(folder: Path, launcher: list[str], output: str) -> None:
    adata = cells()
    adata.write_h5ad("in.h5ad")
    arguments = [
        "srsa-vae", "in.h5ad", "-o", output, "--force", "--save-model", "vae",
        "--batch-key", QUICK["batch_key"],
        "--max-epochs", str(QUICK["max_epochs"]),
        "--model-kwargs", json.dumps(QUICK["model_kwargs"]),
        "--train-kwargs", json.dumps(TRAINING),
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(Path(sctools.__file__).parents[1])}
    for variable in ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_PORT"):
        environment.pop(variable, None)
    done = subprocess.run(
        [*launcher, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("Running srsa_vae") == 2  # both have trained
    assert done.stderr.count("Writing ") == done.stderr.count(f"Wrote {output} ") == 1
    assert "Error" not in done.stderr
    found_files = sorted(path.name for path in folder.rglob("*"))  # hidden ones too
    assert found_files == sorted({"in.h5ad", output, "vae", "model.pt"})

    found = ad.read_h5ad(output)
    assert found.obs_names.equals(adata.obs_names)
    assert (found.X != adata.X).nnz == 0
    assert len(found.uns["srsa_vae"]["history"]) == QUICK["max_epochs"]
    sctools.tl.srsa_vae(adata, model="vae")  # of the process that wrote the result
    np.testing.assert_allclose(adata.obsm["X_srsa_vae"], found.obsm["X_srsa_vae"], atol=1e-5)
