"""Public networks on real cells: what they cover; skipped where the data are absent."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import sctools
from sctools.pp._prior_network_input import read_network
from sctools.pp._rewire import rewire

COLLECTRI = "collectri_human.csv.gz"


def cells(data_dir, name):
    path = data_dir / "cluster" / f"{name}.h5ad"
    if not path.is_file():
        pytest.skip(f"no {path.name}")
    return ad.read_h5ad(path)


def prior(data_dir, name):
    path = data_dir / "priors" / name
    if not path.is_file():
        pytest.skip(f"no {path.name}")
    return path


@pytest.fixture(scope="module")
def baron(data_dir):
    return cells(data_dir, "baron_human1_1937")


def covered(adata, path, **kwargs):
    """Run on a silent network: none of these has repeated edges."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        copy = sctools.pp.prior_network(adata, path, copy=True, **kwargs)
    edges, coverage = (copy.uns["prior_network"][key] for key in ("edges", "coverage"))
    chosen = set(copy.var_names[copy.var["prior_network"]])
    assert set(edges["source"]) | set(edges["target"]) <= chosen
    assert not edges.duplicated(["source", "target"]).any()
    assert (edges["source"] != edges["target"]).all()
    return edges, coverage


def test_collectri_in_pancreas(data_dir, baron):
    edges, found = covered(baron, prior(data_dir, COLLECTRI))
    assert found["n_edges_given"] == 43178
    assert found["n_self_loops"] == 462
    assert found["n_complexes"] == 2
    assert found["n_members_missing"] == 0
    assert found["n_complex_edges"] == 1395
    assert found["n_variable"] == 2000
    assert 2400 < found["n_genes"] < 2800
    assert 650 < found["n_tfs"] < 850
    assert 12_000 < found["n_edges"] < 18_000
    assert 0.5 < found["regulated_share"] < 0.65
    assert found["max_in_degree"] > 100
    assert {"FOS", "JUN", "RELA"} < set(edges["source"])
    assert not {"AP1", "NFKB"} & set(edges["source"])
    assert set(edges["weight"]) == {-1.0, 1.0}


def test_expanding_complexes_adds_edges_only(data_dir, baron):
    path = prior(data_dir, COLLECTRI)
    more, _ = covered(baron, path)
    less, found = covered(baron, path, complexes="drop")
    assert found["n_edges_expanded"] == 0
    both = less.merge(more, on=["source", "target", "weight"])
    assert len(both) == len(less) < len(more)


def test_collectri_in_blood(data_dir):
    pbmc = cells(data_dir, "pbmc3k_2638")
    edges, found = covered(pbmc, prior(data_dir, COLLECTRI))
    assert 0.3 < found["regulated_share"] < 0.6
    assert 2300 < found["n_genes"] < 2700
    assert {"RFX5", "CIITA", "SPI1", "CEBPA", "EOMES"} < set(edges["source"])
    regulators = edges.groupby("target")["source"].agg(set)
    assert {"RFX5", "CIITA"} < regulators["HLA-DRA"]


@pytest.mark.parametrize(
    ("name", "n_given", "weights"),
    [
        ("dorothea_hs_ABCD.csv.gz", 29086, {-1.0, 1.0}),
        ("trrust_human.csv.gz", 8427, {-1.0, 0.0, 1.0}),
    ],
)
def test_other_networks(data_dir, baron, name, n_given, weights):
    edges, found = covered(baron, prior(data_dir, name))
    assert found["n_edges_given"] == n_given
    assert found["n_complexes"] == 0
    assert set(edges["weight"]) <= weights
    assert len(set(edges["weight"])) >= 2
    assert 0.25 < found["regulated_share"] < 0.7
    dropped = found["n_self_loops"] + found["n_duplicates"] + found["n_edges_outside"]
    assert found["n_edges"] + dropped == n_given


def test_mouse_network_on_human_cells(data_dir, baron):
    path = prior(data_dir, "collectri_mouse_1to1_orthologs.csv.gz")
    with pytest.warns(UserWarning, match="ignoring capitals"):
        mouse = sctools.pp.prior_network(baron, path, copy=True).uns["prior_network"]
    human, _ = covered(baron, prior(data_dir, COLLECTRI), complexes="drop")
    assert mouse["coverage"]["matched_by"] == "var_names, ignoring case"
    both = human.merge(mouse["edges"], on=["source", "target"])
    assert len(both) > 0.6 * len(human)


def test_ensembl_ids_give_the_same_network(data_dir, baron):
    """With other names for the genes, which are kept in a column."""
    expected, found = covered(baron, prior(data_dir, COLLECTRI))
    adata = baron.copy()
    adata.var["gene_symbols"] = adata.var_names.to_numpy()
    adata.var_names = [f"ENSG{i:011d}" for i in range(adata.n_vars)]
    edges, coverage = covered(adata, prior(data_dir, COLLECTRI))
    symbols = adata.var["gene_symbols"].astype(str)
    renamed = edges.assign(
        source=symbols[edges["source"]].to_numpy(), target=symbols[edges["target"]].to_numpy()
    ).sort_values(["target", "source"], ignore_index=True)
    assert renamed.to_numpy().tolist() == expected.to_numpy().tolist()
    assert coverage["matched_by"] == "gene_symbols"
    assert coverage["n_edges"] == found["n_edges"]


def test_pathways_are_read_but_are_no_network(data_dir, baron):
    path = prior(data_dir, "tosica_reactome.gmt")
    net = read_network(path, baron)
    assert net["source"].nunique() > 500
    assert net["source"].iloc[0] == "REACTOME_GLYCOGEN_BREAKDOWN_GLYCOGENOLYSIS"
    assert net["target"].iloc[0] == "AGL"
    assert not net["target"].str.startswith("http").any()
    net = net.drop_duplicates()
    with pytest.raises(ValueError, match=r"None of the network's .* regulators"):
        sctools.pp.prior_network(baron, net)


def test_rewired_collectri(data_dir):
    net = pd.read_csv(prior(data_dir, COLLECTRI))
    net = net[net["source"] != net["target"]]
    found = rewire(net, 0)
    for end in ("source", "target"):
        a, b = (table[end].value_counts().sort_index() for table in (found, net))
        pd.testing.assert_series_equal(a, b)
    assert not found.duplicated(["source", "target"]).any()
    # Hubs meet again by chance; more rounds do not make it fewer.
    shared = [len(found.merge(other, on=["source", "target"])) for other in (net, rewire(net, 1))]
    assert max(shared) < 0.2 * len(net)
    assert np.isclose(*shared, rtol=0.15)
