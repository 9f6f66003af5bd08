from __future__ import annotations

import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sctools.pp import match_genes

from .._compare import assert_unchanged, snapshot


def with_genes(names, **columns):
    var = pd.DataFrame(columns, index=pd.Index(list(names), dtype=object))
    return ad.AnnData(np.ones((2, len(var)), dtype="float32"), var=var)


def test_exact_names():
    match = match_genes(with_genes(["C", "A", "X", "B"]), ["A", "B", "C", "D"])
    np.testing.assert_array_equal(match.columns, [1, 3, 0, -1])
    assert match.columns.dtype == np.int64
    assert (match.n_genes, match.n_found, match.fraction) == (4, 3, 0.75)
    assert (match.id_type, match.source, match.missing) == ("symbol", "var_names", ["D"])


@given(
    st.permutations([f"GENE{i}" for i in range(12)]),
    st.lists(st.sampled_from([f"GENE{i}" for i in range(20)]), min_size=1, unique=True),
)
def test_columns_point_at_the_names(names, wanted):
    known = [gene for gene in wanted if gene in names]
    if not known:
        with pytest.raises(ValueError, match="Only 0 of the model's"):
            match_genes(with_genes(names), wanted, min_coverage=0)
        return
    match = match_genes(with_genes(names), wanted, min_coverage=0)
    for gene, column in zip(wanted, match.columns, strict=True):
        assert (names[column] == gene) if gene in names else (column == -1)
    assert match.missing == [gene for gene in wanted if gene not in names]
    assert match.n_found == len(known)


@pytest.mark.parametrize(
    ("available", "wanted"),
    [
        (["ENSG00000105369.9", "ENSG00000156738.17"], ["ENSG00000156738", "ENSG00000105369"]),
        (["ENSG00000105369", "ENSG00000156738"], ["ENSG00000156738.3", "ENSG00000105369.1"]),
        (
            ["ENSMUSG00000003379.2", "ENSMUSG00000026395"],
            ["ENSMUSG00000026395", "ENSMUSG00000003379"],
        ),
        (
            ["CD79A_ENSG00000105369", "X_ENSG00000156738"],
            ["ENSG00000156738.17", "ENSG00000105369.9"],
        ),
    ],
)
def test_ensembl_ids_match_whatever_their_version(available, wanted):
    match = match_genes(with_genes(available), wanted)
    np.testing.assert_array_equal(match.columns, [1, 0])
    assert match.id_type == "ensembl"
    assert match.fraction == 1


def test_tokens_serve_as_symbols_and_as_ids():
    tokens = ["CD79A_ENSG00000105369", "HLA-DRA_ENSG00000204287.14"]
    by_symbol = match_genes(with_genes(["HLA-DRA", "CD79A"]), tokens)
    by_id = match_genes(with_genes(["ENSG00000204287", "ENSG00000105369"]), tokens)
    np.testing.assert_array_equal(by_symbol.columns, [1, 0])
    np.testing.assert_array_equal(by_id.columns, [1, 0])
    assert (by_symbol.id_type, by_id.id_type) == ("symbol", "ensembl")


def test_the_two_copies_of_a_gene_on_x_and_y_are_told_apart():
    names = ["ENSG00000182378.13_PAR_Y", "ENSG00000182378.13"]
    match = match_genes(with_genes(names), ["ENSG00000182378.10", "ENSG00000182378.10_PAR_Y"])
    np.testing.assert_array_equal(match.columns, [1, 0])


def test_common_columns_are_tried_and_named_in_the_log(caplog):
    adata = with_genes(["CD79A", "MS4A1"], gene_ids=["ENSG00000105369", "ENSG00000156738"])
    with caplog.at_level(logging.INFO, "sctools"):
        match = match_genes(adata, ["ENSG00000156738", "ENSG00000105369"])
    np.testing.assert_array_equal(match.columns, [1, 0])
    assert (match.source, match.id_type) == ("gene_ids", "ensembl")
    assert "adata.var['gene_ids']" in caplog.text


def test_var_names_come_before_columns():
    adata = with_genes(["A", "B"], gene_symbols=["B", "A"])
    match = match_genes(adata, ["A", "B"])
    np.testing.assert_array_equal(match.columns, [0, 1])
    assert match.source == "var_names"


def test_the_better_column_is_taken_where_none_covers_enough():
    adata = with_genes(["A", "x1", "x2", "x3"], symbol=["A", "B", "y1", "y2"])
    assert match_genes(adata, list("ABCDEFGH"), min_coverage=0.25).source == "symbol"


def test_named_column_alone_is_used():
    adata = with_genes(["A", "B"], mine=["B", "A"])
    match = match_genes(adata, ["A", "B"], gene_key="mine")
    np.testing.assert_array_equal(match.columns, [1, 0])
    assert match.source == "mine"
    with pytest.raises(KeyError, match=r"`gene_key='yours'`.*Available: 'mine'"):
        match_genes(adata, ["A", "B"], gene_key="yours")
    with pytest.raises(ValueError, match=r"looked in 'mine'"):
        match_genes(with_genes(["A", "B"], mine=["x", "y"]), ["A", "B"], gene_key="mine")


def test_categorical_column_with_repeats_gives_the_first():
    adata = with_genes(["g1", "g2", "g3"], feature_name=pd.Categorical(["A", "B", "A"]))
    np.testing.assert_array_equal(match_genes(adata, ["B", "A"]).columns, [1, 0])


def test_threshold_is_met_at_equality():
    adata = with_genes(["A", "B"])
    assert match_genes(adata, list("ABCD"), min_coverage=0.5).fraction == 0.5
    with pytest.raises(ValueError, match="expected at least 51%"):
        match_genes(adata, list("ABCD"), min_coverage=0.51)


def test_refusal_names_both_sides():
    adata = with_genes(["Cd79a", "Ms4a1"], biotype=["protein_coding"] * 2)
    message = (
        r"Only 0 of the model's 3 genes \(0.0%\).*at least 50%.*named as Ensembl ids "
        r"\('ENSG00000105369', .*`adata` has symbols \('Cd79a', 'Ms4a1'\).*looked in 'var_names'.*"
        r"`gene_key=` \(available in `adata.var`: 'biotype'\).*species"
    )
    genes = ["ENSG00000105369", "ENSG00000156738", "ENSG00000204287"]
    with pytest.raises(ValueError, match=message):
        match_genes(adata, genes)


def test_repeated_var_names():
    adata = with_genes(["A", "B"])
    adata.var_names = ["A", "A"]
    with pytest.raises(ValueError, match=r"1 names more than once \('A'\).*var_names_make_unique"):
        match_genes(adata, ["A"])


def test_bad_arguments():
    adata = with_genes(["A"])
    with pytest.raises(ValueError, match="`genes` is empty"):
        match_genes(adata, [])
    with pytest.raises(ValueError, match=r"`min_coverage` must lie between 0 and 1, found 1.5"):
        match_genes(adata, ["A"], min_coverage=1.5)
    for genes in (3, "A", b"A", None, object):
        with pytest.raises(TypeError, match=r"`genes` must list the names"):
            match_genes(adata, genes)
    for coverage in ("half", None, [0.5], float("nan")):
        with pytest.raises(ValueError, match=r"`min_coverage` must lie between 0 and 1"):
            match_genes(adata, ["A"], min_coverage=coverage)
    for gene_key in (3, ["gene_ids"], np.array([1, 2])):
        with pytest.raises(TypeError, match=r"`gene_key` must be a name"):
            match_genes(adata, ["A"], gene_key=gene_key)
    with pytest.raises(TypeError, match=r"Expected AnnData, found NoneType"):
        match_genes(None, ["A"])


def test_adata_stays_as_it_was():
    adata = with_genes(["A", "B"], gene_ids=["C", "D"])
    before = snapshot(adata)
    match_genes(adata, ["C", "D"])
    assert_unchanged(adata, before)
