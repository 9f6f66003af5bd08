"""Published clocks from their own files, on real cells; skipped where the files are absent."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import sctools
from sctools.model import load_clock
from sctools.model._clock_files import sha256
from sctools.model._glmnet import INTERCEPT, read_glmnet
from sctools.model._pseudocells import draw_pseudocells
from sctools.model._registered_clocks import REGISTERED_CLOCKS

TYPES = {
    "Memory CD4 T": "CD4T",
    "Naive CD4 T": "CD4T",
    "CD8 T": "CD8T",
    "CD14+ Mono": "MONO",
    "FCGR3A+ Mono": "MONO",
    "NK": "NK",
    "B": "B",
}


def existing(data_dir, *names):
    pytest.importorskip("rdata")
    paths = [data_dir / name for name in names]
    for path in paths:
        if not path.is_file():
            pytest.skip(f"no {path.name}")
    return paths


@pytest.fixture(scope="module")
def published(data_dir):
    """Coefficients as converted by others, one row per clock and gene."""
    (path,) = existing(data_dir, "scimmuaging/lasso_coefficients.csv")
    return pd.read_csv(path, float_precision="round_trip")


@pytest.fixture(scope="module")
def clock(data_dir):
    model, gene_ids = existing(
        data_dir, "scimmuaging/all_model.RDS", "scageclock/protein_coding_genes.tsv"
    )
    return load_clock("scimmuaging", files={"model": model, "gene_ids": gene_ids})


@pytest.fixture(scope="module")
def pbmc(data_dir):
    return ad.read_h5ad(existing(data_dir, "cluster/pbmc3k_2638.h5ad")[0])


def quietly(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def test_coefficients_are_the_published_ones(data_dir, published):
    (path,) = existing(data_dir, "scimmuaging/all_model.RDS")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read_glmnet(path)
    assert list(found) == ["CD4T", "CD8T", "MONO", "NK", "B"]
    for name, expected in published.groupby("cell_type"):
        pd.testing.assert_series_equal(
            found[name], expected.set_index("gene")["coef"], check_names=False, check_exact=True
        )


def test_registered_files_are_those(data_dir):
    entry = REGISTERED_CLOCKS["scimmuaging"]
    for key, name in {
        "model": "scimmuaging/all_model.RDS",
        "gene_ids": "scageclock/protein_coding_genes.tsv",
    }.items():
        (path,) = existing(data_dir, name)
        assert sha256(path) == entry.files[key].sha256
        assert path.stat().st_size == entry.files[key].size
    entry = REGISTERED_CLOCKS["scageclock"]
    for name in ("assay", "cell_type", "tissue_general", "sex"):
        (path,) = existing(data_dir, f"scageclock/{entry.files[name].name}")
        assert sha256(path) == entry.files[name].sha256


def test_registered_numbers(clock, published):
    used = published[(published["gene"] != INTERCEPT) & (published["coef"] != 0)]
    entry = REGISTERED_CLOCKS["scimmuaging"]
    assert entry.n_genes == used["gene"].nunique() == len(clock.genes)
    assert clock.target_sum == entry.target_sum
    assert clock.age_unit == entry.age_unit
    assert ", ".join(clock.cell_types) == entry.cell_types


@pytest.fixture(scope="module")
def by_hand(data_dir, pbmc, published):
    """Prediction of each cell by itself (LogNormalize, symbols by the table), and its type."""
    (path,) = existing(data_dir, "scageclock/protein_coding_genes.tsv")
    table = pd.read_csv(path, sep="\t")
    ensembl = dict(zip(table["gene_name"], table["gene_id"], strict=True))
    genes = pd.Index([ensembl.get(name, name) for name in pbmc.var_names])
    total = np.asarray(pbmc.X.sum(axis=1), dtype=float)
    types = pbmc.obs["cell_type"].map(TYPES).astype(object)
    own = pd.Series(np.nan, index=pbmc.obs_names)
    for name, rows in published.groupby("cell_type"):
        weights = rows.set_index("gene")["coef"]
        shared = weights.index.intersection(genes)
        cells = np.flatnonzero(types == name)
        counts = pbmc.X[cells][:, genes.get_indexer(shared)].toarray()
        x = np.log1p(counts / total[cells] * 1e4)
        own.iloc[cells] = weights[INTERCEPT] + x @ weights[shared].to_numpy()
    return own, types


def test_pbmc3k(clock, pbmc, by_hand):
    adata = pbmc.copy()
    quietly(sctools.tl.age_clock, adata, model=clock)
    ages = adata.obs["age_clock"]
    own, types = by_hand
    assert ages.isna().equals(types.isna())
    assert set(adata.obs.loc[ages.isna(), "cell_type"]) == {"DC", "Platelet"}
    assert ages.dropna().between(0, 120).all()
    # One cell is a fifteenth of its pseudocell, random others of its type are the rest.
    group = own.groupby(types)
    n, total = group.transform("size"), group.transform("sum")
    expected = own / 15 + 14 / 15 * (total - own) / (n - 1)
    np.testing.assert_allclose(ages.dropna(), expected.dropna(), rtol=0, atol=1e-3)
    assert 0.7 < adata.uns["age_clock"]["coverage"]["fraction"] < 0.9
    by_type = ages.groupby(types).mean()
    assert by_type.between(30, 75).all()


def test_pbmc3k_pseudocells(clock, pbmc, by_hand):
    table = quietly(clock.predict_pseudocells, pbmc, donor_key=None, rng=1)
    assert table["predicted"].between(0, 120).all()
    assert (table.groupby("cell_type")["predicted"].size() == 100).all()
    own, types = by_hand
    seed = int(np.random.default_rng(1).integers(2**63))
    for name, drawn in table.groupby("cell_type"):
        cells = own[(types == name).to_numpy()].sort_index()
        members = draw_pseudocells(len(cells), 15, 100, (seed, "all cells", name))
        expected = cells.to_numpy()[members].mean(axis=1)
        np.testing.assert_allclose(drawn["predicted"], expected, rtol=0, atol=1e-3)


def test_ensembl_ids_of_real_donors(data_dir, clock):
    """Few genes, and donors the clock was trained on: matching only, no word on accuracy."""
    adata = ad.read_h5ad(existing(data_dir, "age/onek1k_bcells_100donors.h5ad")[0])
    match = clock.match_genes(adata, gene_key="ensembl_id", min_coverage=0)
    assert match.id_type == "ensembl"
    assert match.n_found > 200
    quietly(sctools.tl.age_clock, adata, model=clock, gene_key="ensembl_id", min_coverage=0)
    assert adata.obs["age_clock"].notna().all()
    assert set(adata.uns["age_clock"]["coverage"]["categories"]["used"]) == {"B"}
    assert len(sctools.get.donor_age_df(adata)) == 100


def test_scageclock_from_local_files(data_dir, tmp_path, monkeypatch):
    """The published tables with random weights of their generation, none of it downloaded."""
    monkeypatch.setenv("SCTOOLS_CACHE_DIR", str(tmp_path / "cache"))
    torch = pytest.importorskip("torch")
    from sctools.model import PublishedClock
    from sctools.module import PublishedNetwork

    entry = REGISTERED_CLOCKS["scageclock"]
    files = {"genes": existing(data_dir, "scageclock/h5ad_var.tsv")[0]}
    for name in ("assay", "cell_type", "tissue_general", "sex"):
        (files[name],) = existing(data_dir, f"scageclock/{entry.files[name].name}")
    torch.save(PublishedNetwork(19_179, generation="0.1.2", width=8).state_dict(), tmp_path / "w")
    clock = load_clock("scageclock", files={**files, "weights": tmp_path / "w"})
    assert isinstance(clock, PublishedClock)
    assert len(clock.genes) == 19_179
    assert clock.gene_ids is None
    assert not (tmp_path / "cache").exists()
