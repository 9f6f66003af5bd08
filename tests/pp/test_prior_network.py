from __future__ import annotations

import gzip
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy import sparse

from sctools.datasets import regulated_cells
from sctools.pp import prior_network
from sctools.pp._network_genes import match_network
from sctools.pp._prior_network import build_network
from sctools.pp._prior_network_input import read_network, select_network

from .._compare import assert_unchanged, snapshot

GENES = ["MYC", "SPI1", "FOS", "JUN", "NFKB1", "CD19", "LYZ", "CD14"]


def table(*rows):
    return pd.DataFrame(rows, columns=["source", "target", "weight"])


def blood(names=GENES, n_obs=40, **columns):
    """Cells in which every gene is found; the last gene is in two cells only."""
    X = np.random.default_rng(0).poisson(4, (n_obs, len(names))) + 1
    X[2:, -1] = 0
    var = pd.DataFrame(columns, index=list(names))
    return ad.AnnData(sparse.csr_matrix(X.astype(np.float32)), var=var)


def edges_of(adata, key="prior_network"):
    edges = adata.uns[key]["edges"]
    return list(zip(edges["source"], edges["target"], edges["weight"], strict=True))


def coverage_of(adata):
    return adata.uns["prior_network"]["coverage"]


@pytest.fixture(scope="module")
def simulated():
    return regulated_cells(300, n_genes=200, n_targets=10)


# --------------------------------------------------------------------- what comes out


def test_edges_are_matched_and_sorted():
    adata = blood()
    net = table(("SPI1", "LYZ", 1.0), ("MYC", "CD19", -0.5), ("MYC", "LYZ", 0.0))
    assert prior_network(adata, net) is None
    assert edges_of(adata) == [("MYC", "CD19", -0.5), ("MYC", "LYZ", 0.0), ("SPI1", "LYZ", 1.0)]
    edges = adata.uns["prior_network"]["edges"]
    assert edges["weight"].dtype == np.float64
    assert adata.var["prior_network"].dtype == bool
    # CD14 is in two cells only.
    assert list(adata.var_names[adata.var["prior_network"]]) == GENES[:-1]
    found = coverage_of(adata)
    expected = {
        "n_genes": 7, "n_variable": 7, "n_tfs": 2, "n_edges": 3, "n_regulated": 2,
        "regulated_share": 2 / 7, "median_in_degree": 1.5, "max_in_degree": 2, "n_edges_given": 3,
        "n_self_loops": 0, "n_duplicates": 0, "n_complexes": 0, "n_members_missing": 0,
        "n_complex_edges": 0, "n_edges_expanded": 0, "n_edges_outside": 0,
        "naming_network": "symbols", "naming_data": "symbols", "matched_by": "var_names",
    }  # fmt: skip
    assert found == expected
    assert all(type(value) in (int, float, str) for value in found.values())
    params = adata.uns["prior_network"]["params"]
    assert params["min_cells"] == 3
    assert None not in params.values()


def test_ends_outside_are_dropped_and_counted():
    adata = blood()
    prior_network(adata, table(("MYC", "LYZ", 1), ("MYC", "CD14", 1), ("X", "LYZ", 1)))
    assert edges_of(adata) == [("MYC", "LYZ", 1)]
    assert coverage_of(adata)["n_edges_outside"] == 2


def test_min_cells():
    adata = blood()
    prior_network(adata, table(("MYC", "CD14", 1)), min_cells=2)
    assert edges_of(adata) == [("MYC", "CD14", 1)]
    with pytest.raises(ValueError, match=r"No edge of the network is left: 1 have both ends"):
        prior_network(blood(), table(("MYC", "CD14", 1)), min_cells=3)
    with pytest.raises(ValueError, match=r"No gene is found in at least 41 of 40 cells"):
        prior_network(blood(), table(("MYC", "LYZ", 1)), min_cells=41)


@pytest.mark.parametrize(("n_obs", "expected"), [(2, 2), (100, 3), (601, 4), (10000, 50)])
def test_default_of_min_cells(n_obs, expected):
    adata = ad.AnnData(sparse.csr_matrix(np.ones((n_obs, 2), dtype=np.float32)))
    adata.var_names = ["A", "B"]
    prior_network(adata, table(("A", "B", 1)))
    assert adata.uns["prior_network"]["params"]["min_cells"] == expected


def test_variable_genes_and_expressed_regulators(simulated):
    """Regulators come in though none is variable; other genes do not."""
    adata = simulated.copy()
    variable = ~adata.var["is_tf"].to_numpy() & (np.arange(adata.n_vars) < 80)
    adata.var["highly_variable"] = variable
    prior_network(adata, "network")
    chosen = adata.var["prior_network"].to_numpy()
    np.testing.assert_array_equal(chosen, variable | adata.var["is_tf"])
    edges, net = adata.uns["prior_network"]["edges"], adata.uns["network"]
    inside = net["target"].isin(adata.var_names[chosen])
    pd.testing.assert_frame_equal(edges, net[inside].reset_index(drop=True))
    found = coverage_of(adata)
    assert found["n_variable"] == 50
    assert found["n_edges_outside"] == (~inside).sum() > 0
    assert found["n_regulated"] == edges["target"].nunique()
    assert found["max_in_degree"] == edges["target"].value_counts().max()


def test_number_asked_for_comes_before_the_column(simulated):
    adata = simulated.copy()
    adata.var["highly_variable"] = np.arange(adata.n_vars) < 5
    prior_network(adata, "network", n_top_genes=60)
    assert coverage_of(adata)["n_variable"] == 60
    copy = simulated.copy()
    sc.pp.normalize_total(copy, target_sum=1e4)
    sc.pp.log1p(copy)
    sc.pp.highly_variable_genes(copy, n_top_genes=60)
    chosen = copy.var["highly_variable"] | copy.var["is_tf"]
    np.testing.assert_array_equal(adata.var["prior_network"], chosen)


@pytest.mark.parametrize("form", ["csr", "csc", "dense", "backed", "logged"])
def test_form_of_the_values_changes_nothing(simulated, form, tmp_path):
    expected = prior_network(simulated, "prior", n_top_genes=60, copy=True)
    adata, kwargs = simulated.copy(), {}
    if form == "csc":
        adata.X = sparse.csc_matrix(adata.X)
    elif form == "dense":
        adata.X = adata.X.toarray()
    elif form == "logged":
        sc.pp.normalize_total(adata)
        sc.pp.log1p(adata)
        adata.layers["logged"] = adata.X
        adata.X = None
        kwargs = {"layer": "logged", "log_normalized": True}
    elif form == "backed":
        adata.write_h5ad(tmp_path / "cells.h5ad")
        adata = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    prior_network(adata, "prior", n_top_genes=60, **kwargs)
    pd.testing.assert_frame_equal(
        adata.uns["prior_network"]["edges"], expected.uns["prior_network"]["edges"]
    )
    np.testing.assert_array_equal(adata.var["prior_network"], expected.var["prior_network"])


def test_order_of_genes_and_edges_changes_nothing(simulated):
    expected = prior_network(simulated, "prior", n_top_genes=60, copy=True)
    rng = np.random.default_rng(0)
    adata = simulated[:, rng.permutation(simulated.n_vars)].copy()
    net = adata.uns["prior"].iloc[rng.permutation(len(adata.uns["prior"]))]
    prior_network(adata, net, n_top_genes=60)
    assert edges_of(adata) == edges_of(expected)
    assert coverage_of(adata) == coverage_of(expected)


def test_nothing_else_is_changed(simulated):
    adata = simulated.copy()
    before = snapshot(adata)
    copy = prior_network(adata, "prior", n_top_genes=60, copy=True)
    build_network(adata, "prior", n_top_genes=60)
    assert_unchanged(adata, before)
    del copy.uns["prior_network"], copy.var["prior_network"]
    assert_unchanged(copy, before)


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_written_and_read_back(simulated, tmp_path, kind):
    adata = simulated.copy()
    prior_network(adata, "prior", n_top_genes=60)
    getattr(adata, f"write_{kind}")(tmp_path / f"cells.{kind}")
    back = getattr(ad, f"read_{kind}")(tmp_path / f"cells.{kind}")
    assert edges_of(back) == edges_of(adata)
    assert dict(coverage_of(back)) == coverage_of(adata)
    np.testing.assert_array_equal(back.var["prior_network"], adata.var["prior_network"])
    # An earlier result is a network, too, and is replaced.
    before = edges_of(adata)
    prior_network(back, "prior_network", n_top_genes=60)
    assert edges_of(back) == before


# --------------------------------------------------------------------- what goes in


def test_columns_by_their_other_names():
    net = pd.DataFrame({"TF": ["MYC"], "target": ["LYZ"], "mor": ["-1"], "confidence": ["A"]})
    adata = blood()
    prior_network(adata, net)
    assert edges_of(adata) == [("MYC", "LYZ", -1.0)]
    prior_network(adata, net.drop(columns="mor").astype("category"))
    assert edges_of(adata) == [("MYC", "LYZ", 0.0)]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".TSV.gz"])
def test_tables_in_files(tmp_path, suffix):
    net = table(("MYC", "LYZ", 1.0), ("MYC", "NA", -1.0))
    path = tmp_path / f"net{suffix}"
    net.to_csv(path, sep="\t" if "tsv" in suffix.lower() else ",", index=False)
    for form in (path, str(path)):
        pd.testing.assert_frame_equal(
            read_network(form, blood()).astype({"source": object, "target": object}),
            net.astype({"source": object, "target": object}),
        )


@pytest.mark.parametrize("suffix", [".gmt", ".gmt.gz"])
def test_gene_sets(tmp_path, suffix):
    text = "SPI1\tits targets\tLYZ\tCD14\t\nSet with spaces\thttp://x\tLYZ\r\n\nMYC\t\tCD19\n"
    path = tmp_path / f"sets{suffix}"
    path.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())
    found = read_network(path, blood())
    assert found.to_numpy().tolist() == [
        ["SPI1", "LYZ", 0.0], ["SPI1", "CD14", 0.0], ["Set with spaces", "LYZ", 0.0],
        ["MYC", "CD19", 0.0],
    ]  # fmt: skip
    adata = blood()
    prior_network(adata, path)
    assert [edge[:2] for edge in edges_of(adata)] == [("MYC", "CD19"), ("SPI1", "LYZ")]


def test_self_loops_are_dropped():
    adata = blood()
    prior_network(adata, table(("MYC", "MYC", 1), ("X", "X", 1), ("MYC", "LYZ", 1)))
    assert edges_of(adata) == [("MYC", "LYZ", 1)]
    assert coverage_of(adata)["n_self_loops"] == 2


def test_largest_weight_of_repeated_edges():
    adata = blood()
    net = table(("MYC", "LYZ", 1), ("SPI1", "LYZ", 1), ("MYC", "LYZ", -2), ("MYC", "LYZ", 2))
    with pytest.warns(UserWarning, match="2 edges more than once") as caught:
        prior_network(adata, net)
    assert caught[0].filename == __file__
    assert edges_of(adata) == [("MYC", "LYZ", -2), ("SPI1", "LYZ", 1)]
    assert coverage_of(adata)["n_duplicates"] == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prior_network(adata, net.iloc[1:3])


def test_numbers_add_up(simulated):
    extra = table(("TF01", "TF01", 1), ("TF01", "nowhere", 1), ("nobody", "TF01", 1))
    net = pd.concat([simulated.uns["prior"], simulated.uns["network"][:5], extra])
    with pytest.warns(UserWarning, match="5 edges"):
        found = build_network(simulated, net, n_top_genes=50).coverage
    dropped = found["n_self_loops"] + found["n_duplicates"] + found["n_edges_outside"]
    assert found["n_edges"] == found["n_edges_given"] - dropped
    assert (found["n_self_loops"], found["n_duplicates"]) == (1, 5)


# --------------------------------------------------------------------- complexes


def test_complexes_are_expanded_to_members_that_are_there():
    adata = blood()
    net = table(("AP1", "LYZ", 1.0), ("FOS", "LYZ", -0.5), ("NFKB", "CD19", 1.0), ("AP1", "FOS", 1))
    prior_network(adata, net)
    assert edges_of(adata) == [
        ("NFKB1", "CD19", 1.0), ("JUN", "FOS", 1.0), ("FOS", "LYZ", -0.5), ("JUN", "LYZ", 1.0)
    ]  # fmt: skip
    found = coverage_of(adata)
    assert found["n_complexes"] == 2
    assert found["n_members_missing"] == 5 + 4
    assert found["n_complex_edges"] == 3
    assert found["n_edges_expanded"] == 3
    assert found["n_self_loops"] == found["n_duplicates"] == 0


def test_complexes_are_dropped():
    adata = blood()
    prior_network(adata, table(("AP1", "LYZ", 1.0), ("MYC", "LYZ", -0.5)), complexes="drop")
    assert edges_of(adata) == [("MYC", "LYZ", -0.5)]
    found = coverage_of(adata)
    assert (found["n_complexes"], found["n_complex_edges"]) == (1, 1)
    assert found["n_edges_expanded"] == 0


@pytest.mark.parametrize("name", ["FOS_JUN", "FOS:JUN", "COMPLEX:FOS_JUN"])
def test_joined_names(name):
    adata = blood()
    prior_network(adata, table((name, "LYZ", 2.0)))
    assert edges_of(adata) == [("FOS", "LYZ", 2.0), ("JUN", "LYZ", 2.0)]
    assert coverage_of(adata)["n_complexes"] == 1


def test_joined_names_of_unknown_parts_are_no_complex():
    adata = blood()
    prior_network(adata, table(("FOS_X", "LYZ", 2.0), ("SPI1", "LYZ", 1)))
    assert edges_of(adata) == [("SPI1", "LYZ", 1)]
    assert coverage_of(adata)["n_complexes"] == 0
    # Known from elsewhere in the network, though not in the data.
    prior_network(adata, table(("FOS_X", "LYZ", 2.0), ("X", "LYZ", 1)))
    assert edges_of(adata) == [("FOS", "LYZ", 2.0)]
    assert coverage_of(adata)["n_members_missing"] == 1


def test_a_gene_with_an_underscore_is_a_gene():
    adata = blood(["FOS", "JUN", "FOS_JUN", "LYZ", "CD14"])
    prior_network(adata, table(("FOS_JUN", "LYZ", 2.0)))
    assert edges_of(adata) == [("FOS_JUN", "LYZ", 2.0)]


def test_mouse_complex():
    adata = blood(["Fos", "Jun", "Lyz", "Rare"])
    prior_network(adata, table(("Ap1", "Lyz", 1.0), ("Fos", "Jun", 1)))
    assert edges_of(adata) == [("Fos", "Jun", 1), ("Fos", "Lyz", 1), ("Jun", "Lyz", 1)]


# --------------------------------------------------------------------- naming

IDS = [f"ENSG{i:011d}" for i in range(len(GENES))]


@pytest.mark.parametrize("column", ["gene_symbols", "feature_name", "symbol"])
def test_symbols_in_a_column(column):
    adata = blood(IDS, **{column: GENES})
    prior_network(adata, table(("MYC", "LYZ", 1), ("AP1", "CD19", 1)))
    name = dict(zip(GENES, IDS, strict=True))
    assert edges_of(adata) == [
        (name["FOS"], name["CD19"], 1),
        (name["JUN"], name["CD19"], 1),
        (name["MYC"], name["LYZ"], 1),
    ]
    found = coverage_of(adata)
    assert found["naming_network"] == "symbols"
    assert found["naming_data"] == "Ensembl ids"
    assert found["matched_by"] == column


def test_ensembl_network_with_versions():
    adata = blood(gene_ids=[f"{name}.7" for name in IDS])
    prior_network(adata, table((IDS[0], f"{IDS[6]}.3", 1)))
    assert edges_of(adata) == [("MYC", "LYZ", 1)]
    assert coverage_of(adata)["matched_by"] == "gene_ids"


def test_gene_key():
    adata = blood([f"g{i}" for i in range(8)], mine=GENES)
    net = table(("MYC", "LYZ", 1))
    with pytest.raises(ValueError, match=r"None of the network's 2 genes"):
        prior_network(adata, net)
    prior_network(adata, net, gene_key="mine")
    assert edges_of(adata) == [("g0", "g6", 1)]
    with pytest.raises(KeyError, match=r"`gene_key='yours'` is not a column.*'mine'"):
        prior_network(adata, net, gene_key="yours")


def test_capitals_are_ignored_where_little_else_is_found():
    mouse = blood([name.capitalize() for name in GENES])
    with pytest.warns(UserWarning, match=r"ignoring capitals.*'MYC', the data 'Myc'"):
        prior_network(mouse, table(("MYC", "LYZ", 1), ("SPI1", "CD19", 1)))
    assert edges_of(mouse) == [("Spi1", "Cd19", 1), ("Myc", "Lyz", 1)]
    assert coverage_of(mouse)["matched_by"] == "var_names, ignoring case"


def test_capitals_count_where_they_agree():
    adata = blood(["MYC", "LYZ", "Spi1", "RARE"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prior_network(adata, table(("MYC", "LYZ", 1), ("SPI1", "LYZ", 1)))
    assert edges_of(adata) == [("MYC", "LYZ", 1)]


# --------------------------------------------------------------------- pure functions


def test_parts_work_without_values():
    var = pd.DataFrame(index=["B", "A", "C"])
    network = match_network(table(("C", "B", 1), ("C", "A", 2), ("A", "B", 3)), var)
    expressed = np.array([True, True, True])
    found = select_network(
        network, var.index.to_numpy(), variable=np.array([True, False, False]), expressed=expressed
    )
    np.testing.assert_array_equal(found.mask, [True, True, True])
    assert found.edges["target"].tolist() == ["A", "B", "B"]
    assert found.edges["source"].tolist() == ["C", "A", "C"]
    found = select_network(
        network,
        var.index.to_numpy(),
        variable=np.array([True, True, False]),
        expressed=np.array([True, True, False]),
    )
    assert found.edges.to_numpy().tolist() == [["A", "B", 3.0]]


def test_as_large_as_real_ones():
    """Twenty thousand genes and as many edges as CollecTRI go through vectorised code."""
    rng = np.random.default_rng(0)
    names = [f"G{i}" for i in range(20000)]
    net = pd.DataFrame(
        {
            "source": rng.choice(names[:1200], 45000),
            "target": rng.choice(names, 45000),
            "weight": rng.choice([-1.0, 1.0], 45000),
        }
    ).drop_duplicates(["source", "target"])
    adata = ad.AnnData(sparse.random(100, 20000, 0.05, format="csr", random_state=0).ceil())
    adata.var_names = names
    found = build_network(adata, net)
    assert found.coverage["n_edges"] > 1000
    assert not found.edges.duplicated(["source", "target"]).any()


# --------------------------------------------------------------------- bad input

NET = table(("MYC", "LYZ", 1.0), ("SPI1", "LYZ", 1.0))


@pytest.mark.parametrize(
    ("net", "error", "message"),
    [
        (NET.rename(columns={"source": "regulator"}), ValueError,
         r"lacks the column 'source'; its columns: 'regulator', 'target', 'weight'.*rename"),
        (NET[:0], ValueError, r"is empty: the network has no edge"),
        (pd.DataFrame(), ValueError, r"is empty"),
        (table(("A", "B", 1)), ValueError,
         r"None of the network's 2 genes.*symbols \('A', 'B'\), `adata` by symbols \('MYC'.*"
         r"looked in 'var_names'.*gene_key="),
        (table((IDS[0], IDS[1], 1)), ValueError, r"by Ensembl ids.*`adata` by symbols"),
        (table(("SET_OF_A", "LYZ", 1)), ValueError, r"None of the network's 1 regulators.*\.gmt"),
        (table(("MYC", "LYZ", np.nan)), ValueError, r"finite, found 1 NaN.*fillna"),
        (table(("MYC", "LYZ", np.inf), ("SPI1", "LYZ", -np.inf)), ValueError, r"found 2 NaN"),
        (table(("MYC", "LYZ", "activates")), TypeError, r"must hold numbers.*'activates'"),
        (table(("MYC", None, 1)), ValueError, r"'target' has no name in 1 of 1 rows"),
        ("absent", KeyError, r"not a key of `adata.uns` \(available: 'mine'\)"),
        ("nothing.csv", ValueError, r"there is no such file"),
        ("nothing.xlsx", ValueError, r"unknown suffix, expected one of '.csv'"),
        ("number", TypeError, r"`adata.uns\['number'\]` must hold a DataFrame, found int"),
        (7, TypeError, r"`net` is of type int.*Expected a DataFrame"),
        ([("MYC", "LYZ")], TypeError, r"`net` is of type list"),
    ],
)  # fmt: skip
def test_networks_that_are_none(net, error, message):
    adata = blood()
    adata.uns["number"] = 3
    adata.uns["mine"] = NET
    before = snapshot(adata)
    with pytest.raises(error, match=message):
        prior_network(adata, net)
    assert_unchanged(adata, before)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.gmt", b"SPI1 LYZ CD14\n", r"`a.gmt`, line 1: expected the name of a set.*'SPI1 LYZ"),
        ("a.gmt", b"", r"`a.gmt` is empty"),
        ("a.gmt", b"SPI1\tno gene\n", r"`a.gmt` is empty"),
        ("a.gmt.gz", b"not zipped", r"cannot be read"),
        ("a.csv", b"", r"`a.csv` is empty"),
        ("a.csv.gz", b"not zipped", r"cannot be read"),
        ("a.csv", b"MYC;LYZ;1\n", r"lacks the column 'source', 'target'; its columns: 'MYC;LYZ;1'"),
        ("a.csv", b"source,target\n", r"`a.csv` is empty"),
        ("a.csv", b"source,target,weight\nMYC,LYZ,\n", r"finite, found 1 NaN"),
        ("a.csv", b"source,target\nMYC,\n", r"'target' has no name in 1"),
    ],
)
def test_files_that_hold_none(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        prior_network(blood(), tmp_path / name)


def test_missing_file_lists_those_beside_it(tmp_path):
    (tmp_path / "other.gmt").write_text("")
    with pytest.raises(ValueError, match=r"no such file. Networks in its folder: 'other.gmt'"):
        prior_network(blood(), tmp_path / "net.gmt")


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"n_top_genes": 0}, ValueError, r"`n_top_genes` must be at least 1, found 0"),
        ({"n_top_genes": 2.5}, TypeError, r"`n_top_genes` must be an integer, found 2.5"),
        ({"min_cells": 0}, ValueError, r"`min_cells` must be at least 1, found 0"),
        ({"min_cells": True}, TypeError, r"`min_cells` must be an integer"),
        ({"complexes": "keep"}, ValueError, r"`complexes` must be 'expand' or 'drop'"),
        ({"layer": "raw"}, KeyError, r"`layer='raw'` is not in `adata.layers`"),
        ({"layer": ["raw"]}, TypeError, r"`layer` must be a name"),
        ({"gene_key": 3}, TypeError, r"`gene_key` must be a name"),
        ({"copy": "yes"}, TypeError, r"`copy` must be True or False, found 'yes'"),
        ({"log_normalized": True}, ValueError, r"looks like counts"),
        ({"key_added": "a/b"}, ValueError, r"without '/'"),
        ({"key_added": "mine"}, ValueError, r"would overwrite `adata.uns\['mine'\]`"),
        ({"key_added": "other"}, ValueError, r"overwrite `adata.uns\['other'\]`.*prior_network"),
        ({"key_added": "column"}, ValueError, r"would overwrite `adata.var\['column'\]`"),
    ],
)
def test_bad_arguments(kwargs, error, message):
    adata = blood(column=["x"] * 8)
    adata.uns["mine"] = NET
    adata.uns["other"] = {"params": {"method": "srsa_vae"}}
    before = snapshot(adata)
    with pytest.raises(error, match=message):
        prior_network(adata, NET, **kwargs)
    assert_unchanged(adata, before)


def test_values_that_are_no_counts():
    adata = blood()
    adata.X = adata.X.log1p()
    with pytest.raises(ValueError, match=r"raw counts.*log_normalized=True"):
        prior_network(adata, NET)
    prior_network(adata, NET, log_normalized=True)
    adata.X[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"must be finite"):
        prior_network(adata, NET, log_normalized=True)


def test_repeated_genes():
    adata = blood()
    adata.var_names = ["MYC"] * 2 + GENES[2:]
    with pytest.raises(ValueError, match=r"var_names_make_unique"):
        prior_network(adata, NET)


@pytest.mark.parametrize("values", [[False] * 8, ["yes"] * 8, [np.nan] * 8])
def test_column_of_variable_genes_that_is_no_mask(values):
    adata = blood(highly_variable=values)
    with pytest.raises(ValueError, match=r"must be boolean and true for some genes.*n_top_genes"):
        prior_network(adata, NET)
    prior_network(adata, NET, n_top_genes=8)


def test_view_is_left_to_its_parent(simulated):
    parent = simulated.copy()
    before = snapshot(parent)
    view = parent[:200]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prior_network(view, "prior", n_top_genes=50)
    assert "prior_network" in view.uns
    assert_unchanged(parent, before)


@pytest.mark.parametrize("column", ["source", "target", "weight"])
def test_two_columns_of_one_name(simulated, column):
    adata = simulated.copy()
    twice = pd.concat([adata.uns["prior"], adata.uns["prior"][[column]]], axis=1)
    before = snapshot(adata)
    message = rf"`net` has several columns named '{column}'. Keep one of each"
    with pytest.raises(ValueError, match=message):
        prior_network(adata, twice)
    assert_unchanged(adata, before)
    prior_network(adata, twice.loc[:, ~twice.columns.duplicated()])  # as the message says


def test_genes_that_do_not_vary(simulated):
    """Cells that are all alike have no variable genes."""
    adata = simulated.copy()
    adata.X = np.ones(adata.shape, dtype=np.float32)
    before = snapshot(adata)
    with pytest.raises(ValueError, match=r"No gene varies among the \d+ cells"):
        prior_network(adata, "prior", n_top_genes=20)
    assert_unchanged(adata, before)
    adata.var["highly_variable"] = True  # as the message says
    prior_network(adata, "prior")
