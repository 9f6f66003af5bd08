"""``sctools prior-transformer`` does what ``tl.prior_transformer`` does."""

from __future__ import annotations

import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from sctools import get, tl

from .._priors import FAST, QUICK, SMALL, cells
from ._cli import FakeTool, invoke

ALL = ["--min-confidence", 0, "--min-typicality", 0]
FEW = [
    "--labels-key", "cell_type",
    "--max-epochs", QUICK["max_epochs"],
    "--model-kwargs", json.dumps(SMALL),
    "--train-kwargs", json.dumps(FAST),
    *ALL,
]  # fmt: skip


def test_train_and_apply(folder: Path) -> None:
    adata = cells()
    adata.uns.pop("prior").to_csv("net.csv", index=False)
    adata.write_h5ad("in.h5ad")
    also = ["--edges", "edges.csv", "--save-model", "model"]
    done = invoke("prior-transformer", "in.h5ad", "-o", "out.h5ad", "--net", "net.csv", *FEW, *also)
    assert done.exit_code == 0, done.output
    tl.prior_transformer(adata, "cell_type", "net.csv", **QUICK, min_confidence=0, min_typicality=0)
    found = ad.read_h5ad("out.h5ad")
    assert found.obs["prior_transformer"].tolist() == adata.obs["prior_transformer"].tolist()
    for key in ("X_prior_transformer", "prior_transformer_proba"):
        np.testing.assert_array_equal(found.obsm[key], adata.obsm[key])
    edges, expected = pd.read_csv("edges.csv"), get.attention_df(adata)
    assert edges.columns.tolist() == expected.columns.tolist()
    np.testing.assert_allclose(edges["lift"], expected["lift"])

    arguments = ["--model", "model", "--key-added", "b", *ALL]
    done = invoke("prior-transformer", "out.h5ad", "-o", "again.zarr", *arguments)
    assert done.exit_code == 0, done.output
    again = ad.read_zarr("again.zarr")
    np.testing.assert_allclose(again.obsm["X_b"], found.obsm["X_prior_transformer"], atol=1e-5)


def test_a_network_in_the_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTool()
    monkeypatch.setattr(tl, "prior_transformer", fake)
    cells().write_h5ad("in.h5ad")
    net = ["--labels-key", "cell_type", "--net", "prior"]
    assert invoke("prior-transformer", "in.h5ad", "-o", "out.h5ad", *net).exit_code == 0
    assert fake.options["net"] == "prior"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Training needs --labels-key and --net."),
        (["--net", "prior"], "Training needs --labels-key."),
        (["--labels-key", "x"], "Training needs --net."),
        (["--labels-key", "x", "--net", "no.gmt.gz"], "There is no file 'no.gmt.gz'"),
        (["--labels-key", "x", "--net", "n.csv", "--edges", "n.csv", "--force"], "path of --net"),
        (["--model", "no"], "'no' does not exist"),
    ],
)
def test_wrong_usage(cells: Path, arguments: list[str], said: str) -> None:
    Path("n.csv").touch()
    done = invoke("prior-transformer", cells, "-o", "out.h5ad", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr.replace("\n", " ")
    assert "Reading" not in done.stderr


def test_data_that_cannot_be_used(cells: Path) -> None:
    arguments = ["--labels-key", "kind", "--net", "prior"]
    done = invoke("prior-transformer", cells, "-o", "out.h5ad", *arguments)
    assert done.exit_code == 1
    assert "`--labels-key='kind'` is not a column of `adata.obs`" in done.stderr
