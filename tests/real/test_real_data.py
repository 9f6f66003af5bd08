"""The age clock with its default settings on real donors; skipped where the data are absent."""

from __future__ import annotations

import logging

import anndata as ad
import numpy as np
import pytest

import sctools

pytestmark = pytest.mark.slow


def run(data_dir, name, caplog):
    path = data_dir / "age" / f"{name}.h5ad"
    if not path.is_file():
        pytest.skip(f"no {path.name}")
    adata = ad.read_h5ad(path)
    with caplog.at_level(logging.INFO, "sctools"):
        sctools.tl.age_clock(adata, progress_bar=False)
    return adata, adata.uns["age_clock"]


def check(adata, result, caplog, *, n_donors, unit):
    assert np.isfinite(adata.obs["age_clock"]).all()
    assert adata.obs["age_clock_fold"].notna().all()
    assert adata.obs["age_clock_fold"].nunique() == 5
    assert adata.obs.groupby("donor_id", observed=True)["age_clock_fold"].nunique().max() == 1
    assert result["age_unit"] == unit
    assert len(result["donors"]) == n_donors
    metrics = result["metrics"]
    assert metrics["donor"]["n"] == n_donors
    assert metrics["cell"]["n"] == adata.n_obs
    for level in ("donor", "cell"):
        assert all(np.isfinite(metrics[level][name]) for name in ("mae", "rmse", "mae_mean"))
    assert metrics["donor"]["mae"] < 2 * metrics["donor"]["mae_mean"]
    verdict = "beats the mean age" if metrics["beats_mean"] else "does not beat the mean age"
    assert verdict in metrics["message"]
    assert f" {unit} " in metrics["message"]
    assert f"n = {n_donors}," in metrics["message"]
    assert metrics["message"] in caplog.text


def test_onek1k_b_cells(data_dir, caplog):
    adata, result = run(data_dir, "onek1k_bcells_100donors", caplog)
    check(adata, result, caplog, n_donors=100, unit="years")
    assert adata.n_obs == 3726
    donor = result["metrics"]["donor"]
    assert donor["mae"] < donor["mae_mean"]
    assert donor["r"] >= 0.25


def test_velmeshev_glia(data_dir, caplog):
    adata, result = run(data_dir, "velmeshev2019_pfc_glia_23donors", caplog)
    check(adata, result, caplog, n_donors=23, unit="years")
    donor = result["metrics"]["donor"]
    assert donor["mae"] <= 1.03 * donor["mae_mean"]


def test_mouse_liver_in_months(data_dir, caplog):
    adata, result = run(data_dir, "tms_facs_liver_mini_16groups", caplog)
    check(adata, result, caplog, n_donors=16, unit="months")
    assert set(result["donors"]["age"]) == {3, 18, 24}
