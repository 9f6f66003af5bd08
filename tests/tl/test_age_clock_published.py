"""The published clock through the tools and plots."""

from __future__ import annotations

import logging

import anndata as ad
import numpy as np
import pytest

import sctools
from sctools.model import AgeClock, PublishedClock

from .._compare import assert_unchanged, snapshot
from .._scageclock import category_tables, cells, gene_table, layers, tokens


@pytest.fixture
def clock():
    return AgeClock.from_scageclock(
        layers().state_dict(), gene_table(tokens(60)), category_tables()
    )


@pytest.fixture
def adata():
    adata = cells(tokens(60))
    adata.obs["label"] = adata.obs.pop("cell_type").replace({"natural killer cell": "NK"})
    adata.obs["tissue"] = adata.obs.pop("tissue_general").replace({"brain": "somewhere"})
    return adata


def apply(adata, model, **kwargs):
    with pytest.warns(UserWarning, match="labels in `adata.obs"):
        return sctools.tl.age_clock(adata, model, cell_type_key="label", **kwargs)


def test_from_raw_cells_to_figures(clock, adata, tmp_path):
    returned = apply(adata, clock, return_model=True)
    assert returned is clock
    with pytest.warns(UserWarning, match="somewhere"):
        ages = clock.predict(adata, cell_type_key="label")
    np.testing.assert_array_equal(adata.obs["age_clock"], ages)
    result = adata.uns["age_clock"]
    assert result["params"]["method"] == "scageclock"
    assert result["params"]["cell_type_key"] == "label"
    assert list(result["params"]["covariate_keys"]) == ["assay", "tissue", "sex"]
    assert result["age_unit"] == "years"
    assert result["coverage"]["n_found"] == 60
    table = result["coverage"]["categories"].set_index("label")
    assert table.loc["NK", ["used", "how"]].tolist() == ["natural killer cell", "synonym"]
    assert table.loc["somewhere", ["used", "how"]].tolist() == ["(mean)", "not found"]

    donors = result["donors"]
    means = adata.obs.groupby("donor_id", observed=True)["age_clock"].mean()
    np.testing.assert_allclose(donors.set_index("donor")["predicted"], means)
    assert "trained on these donors is not known" in result["metrics"]["message"]
    assert np.isfinite(adata.obs["age_clock_acceleration"]).all()

    adata.write_h5ad(tmp_path / "result.h5ad")
    read = ad.read_h5ad(tmp_path / "result.h5ad")
    again = read.uns["age_clock"]["coverage"]["categories"]
    assert again["used"].tolist() == result["coverage"]["categories"]["used"].tolist()
    for plot in (sctools.pl.age_clock, sctools.pl.age_by_celltype):
        assert plot(read, show=False).has_data()
    assert len(sctools.get.age_df(read)) == adata.n_obs


def test_saved_clocks_of_either_kind(clock, adata, tmp_path):
    clock.save(tmp_path / "published")
    apply(adata, tmp_path / "published")
    found = apply(adata, str(tmp_path / "published"), return_model=True)
    assert isinstance(found, PublishedClock)
    cohort = sctools.datasets.aging_cohort(12, n_genes=60, n_age_genes=10, cells_per_donor=8)
    AgeClock.setup_anndata(cohort)
    own = AgeClock(cohort, n_repeats=1)
    own.train(max_epochs=1)
    own.save(tmp_path / "own")
    sctools.tl.age_clock(cohort, tmp_path / "own")
    assert cohort.uns["age_clock"]["params"]["method"] == "gma"
    assert "categories" not in cohort.uns["age_clock"]["coverage"]


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_weights_that_are_not_the_published_ones_are_told(clock, adata, tmp_path, suffix):
    apply(adata, clock)
    assert "trained_further" not in adata.uns["age_clock"]["params"]
    with pytest.warns(UserWarning, match="labels in `adata.obs"):
        clock.train(adata, 2, cell_type_key="label", progress_bar=False)
    with pytest.warns(UserWarning, match="labels in `adata.obs"):
        clock.train(adata[:30].copy(), donor_key=None, cell_type_key="label", progress_bar=False)
    clock.save(tmp_path / "clock")
    apply(adata, tmp_path / "clock")
    n_donors = adata.obs["donor_id"].nunique()
    recorded = adata.uns["age_clock"]["params"]["trained_further"]
    assert recorded["n_epochs"] == [2, 1]
    assert recorded["n_cells"] == [adata.n_obs, 30]
    np.testing.assert_array_equal(recorded["n_donors"], [n_donors, np.nan])
    write, read = {
        "h5ad": (adata.write_h5ad, ad.read_h5ad), "zarr": (adata.write_zarr, ad.read_zarr),
    }[suffix]  # fmt: skip
    write(tmp_path / f"result.{suffix}")
    found = read(tmp_path / f"result.{suffix}").uns["age_clock"]["params"]["trained_further"]
    assert sorted(found) == sorted(recorded)
    for name, numbers in recorded.items():
        np.testing.assert_array_equal(found[name], numbers)


def test_without_donors_and_without_cell_types(clock, adata, caplog):
    del adata.obs["donor_id"], adata.obs["label"]
    with (
        caplog.at_level(logging.INFO, "sctools"),
        pytest.warns(UserWarning, match="no column for 'cell_type': the vocabulary's 'unknown'"),
    ):
        sctools.tl.age_clock(adata, clock)
    params = adata.uns["age_clock"]["params"]
    assert params.get("donor_key") is None
    assert params.get("cell_type_key") is None
    assert "every cell is aged on its own" in caplog.text
    assert sctools.pl.age_by_celltype(adata, groupby="sex", show=False).has_data()


def test_donors_do_not_change_ages(clock, adata):
    apply(adata, clock)
    apply(adata, clock, donor_key=None, key_added="alone")
    np.testing.assert_array_equal(adata.obs["age_clock"], adata.obs["alone"])


@pytest.mark.parametrize("copy", [True, False])
def test_bad_input_leaves_the_data_as_they_were(clock, adata, copy, tmp_path):
    import torch

    torch.save(layers().state_dict(), tmp_path / "w.pth")
    (tmp_path / "empty").mkdir()
    unlabelled = adata.copy()
    unlabelled.obs = unlabelled.obs[["donor_id", "age"]]
    before, unlabelled_before = snapshot(adata), snapshot(unlabelled)
    for model, message in (
        (tmp_path / "w.pth", "AgeClock.from_scageclock"),
        (tmp_path / "empty", "Expected a directory written by"),
        ("no such place", "is not a directory"),
    ):
        with pytest.raises(ValueError, match=message):
            sctools.tl.age_clock(adata, model, cell_type_key="label", copy=copy)
    with pytest.raises(TypeError, match=r"`PublishedClock`.*found int"):
        sctools.tl.age_clock(adata, 3, copy=copy)
    with pytest.raises(KeyError, match="column for cell_type='other'"):
        sctools.tl.age_clock(adata, clock, cell_type_key="other", copy=copy)
    with pytest.raises(ValueError, match="No cell has a known assay"):
        sctools.tl.age_clock(unlabelled, clock, copy=copy)
    assert_unchanged(adata, before)
    assert_unchanged(unlabelled, unlabelled_before)
