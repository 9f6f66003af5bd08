"""The command line called in this process, and a tool that costs nothing in place of training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from click.testing import CliRunner, Result
from scipy import sparse

from sctools._cli import main


def invoke(*arguments: object) -> Result:
    """Run ``sctools`` with these arguments; errors that it lets through are raised."""
    runner = CliRunner(env={"COLUMNS": "100"})
    texts = [str(argument) for argument in arguments]
    return runner.invoke(main, texts, prog_name="sctools", catch_exceptions=False)


def small_data(n_obs: int = 6, n_vars: int = 4) -> AnnData:
    """A few cells with something in each part."""
    names = [f"cell{i}" for i in range(n_obs)]
    obs = pd.DataFrame({"batch": pd.Categorical(["a", "b"] * (n_obs // 2))}, index=names)
    counts = np.arange(n_obs * n_vars, dtype=np.float32).reshape(n_obs, n_vars)
    adata = AnnData(counts, obs, layers={"counts": counts + 1})
    adata.obsm["X_pca"] = counts[:, :2]
    adata.varm["loadings"] = counts.T[:, :2]
    adata.uns["batch_colors"] = ["red", "blue"]
    adata.raw = adata.copy()
    return adata


class FakeModel:
    """Saves two files, as a clock does."""

    def save(self, folder: Any) -> None:
        folder.mkdir()
        for name in ("clock.json", "clock.safetensors"):
            (folder / name).write_text("saved")


class FakeTool:
    """Stands in for a function of ``sctools.tl``: remembers its arguments and writes a result."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.in_blocks: bool | None = None

    def __call__(self, adata: AnnData, **options: Any) -> FakeModel | None:
        self.options = options
        self.in_blocks = not (isinstance(adata.X, np.ndarray) or sparse.issparse(adata.X))
        key = options["key_added"]
        adata.obs[key] = np.arange(adata.n_obs, dtype=float)
        adata.obsm[f"X_{key}"] = np.ones((adata.n_obs, 2), np.float32)
        donors = pd.DataFrame({"donor": ["d1", "d2"], "predicted": [1.0, 2.0]})
        adata.uns[key] = {"params": {"donor_key": "donor"}, "donors": donors}
        return FakeModel() if options["return_model"] else None
