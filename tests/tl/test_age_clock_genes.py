"""The genes that ``tl.age_clock`` records, trained and applied."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from sctools import pl
from sctools.get import age_genes_df
from sctools.tl import age_clock

from .._clocks import QUICK, small_cohort, without_age

COLUMNS = ["cell_type", "gene", "score", "score_sd", "agreement", "gene_sd"]
TYPES = ["B/plasma cell", "CD4+ T", "Monocyte"]


@pytest.fixture(scope="module")
def fitted():
    """A cross-fitted cohort with awkward names of cell types and two donors without an age."""
    adata = small_cohort()
    adata.obs["cell_type"] = adata.obs["cell_type"].cat.rename_categories(
        {"B cell": "B/plasma cell", "T cell": "CD4+ T"}
    )
    without_age(adata, 2)
    clock = age_clock(adata, **QUICK, progress_bar=False, return_model=True)
    return adata, clock


def test_table_of_genes(fitted):
    adata, _ = fitted
    genes = adata.uns["age_clock"]["genes"]
    assert list(genes.columns) == COLUMNS
    assert list(genes["cell_type"].cat.categories) == TYPES
    assert genes.groupby("cell_type", observed=True)["gene"].nunique().tolist() == [150] * 3
    assert (genes.dtypes[COLUMNS[2:]] == "float32").all()
    assert np.isfinite(genes[COLUMNS[2:]]).all(axis=None)
    assert genes["agreement"].between(0, 1).all()
    assert genes["score"].abs().max() > 0.1


def test_the_same_seed_gives_the_same_genes(fitted):
    adata, _ = fitted
    again = adata.copy()
    del again.uns["age_clock"]
    age_clock(again, **QUICK, progress_bar=False)
    pd.testing.assert_frame_equal(again.uns["age_clock"]["genes"], adata.uns["age_clock"]["genes"])


def test_genes_of_a_given_clock(fitted):
    adata, clock = fitted
    other = adata[:, ::-1].copy()
    age_clock(other, clock, key_added="again", progress_bar=False)
    mine = age_genes_df(adata, wide=True)
    theirs = age_genes_df(other, "again", wide=True)
    # The donors were held out from the same parts, whoever asks.
    np.testing.assert_allclose(theirs[mine.columns], mine, rtol=1e-3, atol=1e-5)
    alone = adata[adata.obs["donor_id"] == "D05"].copy()
    for kwargs in ({"donor_key": None}, {"donor_key": "donor_id"}):
        age_clock(alone, clock, progress_bar=False, **kwargs)
        assert "genes" not in alone.uns["age_clock"]
        with pytest.raises(KeyError, match="has no genes"):
            age_genes_df(alone)


def test_clock_under_other_names(fitted):
    adata, clock = fitted
    other = adata.copy()
    other.obs = other.obs.rename(columns={"cell_type": "label", "donor_id": "person"})
    other.layers["counts"], other.X = other.X, None
    other.var["symbol"] = other.var_names
    other.var_names = [f"gene{i}" for i in range(other.n_vars)]
    age_clock(
        other, clock, cell_type_key="label", donor_key="person", layer="counts",
        gene_key="symbol", progress_bar=False,
    )  # fmt: skip
    np.testing.assert_allclose(
        age_genes_df(other, wide=True), age_genes_df(adata, wide=True), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_genes_after_writing(fitted, tmp_path, kind):
    adata, _ = fitted
    path = tmp_path / f"result.{kind}"
    getattr(adata, f"write_{kind}")(path)
    back = getattr(ad, f"read_{kind}")(path)
    for wide in (False, True):
        pd.testing.assert_frame_equal(
            age_genes_df(back, wide=wide),
            age_genes_df(adata, wide=wide),
            check_column_type=False,
            check_index_type=False,
        )
    assert len(pl.age_genes(back, show=False)) == 3


def test_attribution_takes_the_place_of_the_genes(fitted):
    pytest.importorskip("captum")
    adata, clock = fitted
    other = adata.copy()
    other.uns["age_clock"]["genes"] = clock.gene_attribution(other, n_steps=5)
    table = age_genes_df(other)
    assert table.columns.tolist() == age_genes_df(adata).columns.tolist()
    both = table.set_index(["group", "names"])["scores"].sort_index()
    first = age_genes_df(adata).set_index(["group", "names"])["scores"].sort_index()
    assert both.corr(first) > 0.8
    pl.age_genes(other, show=False)


def test_enrichment_tools_take_the_tables(fitted):
    adata, _ = fitted
    decoupler = pytest.importorskip("decoupler")
    wide = age_genes_df(adata, wide=True)
    net = pd.DataFrame(
        {"source": np.repeat(["a", "b"], 20), "target": wide.columns[:40], "weight": 1.0}
    )
    activity, _ = decoupler.mt.ulm(wide, net)
    assert activity.index.tolist() == TYPES
