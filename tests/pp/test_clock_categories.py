from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from sctools.pp._clock_categories import (
    COLUMNS,
    choose_columns,
    describe_unmatched,
    fold,
    match_categories,
    match_labels,
)

VOCABULARY = {
    "assay": ["10x 3' v1", "10x 3' v2", "10x 3' v3", "10x 5' v1", "10x 5' v2", "Smart-seq2",
              "Drop-seq", "10x 3' transcription profiling"],
    "cell_type": [
        "B cell", "CD4-positive, alpha-beta T cell", "CD8-positive, alpha-beta T cell",
        "natural killer cell", "CD14-positive monocyte", "non-classical monocyte", "unknown",
        "memory B cell", "naive B cell", "plasmacytoid dendritic cell", "hepatocyte",
        "type B pancreatic cell", "microglial cell", "regulatory T cell", "gamma-delta T cell",
        "CD16-positive, CD56-dim natural killer cell, human", "mast cell", "platelet",
        "neuroblast (sensu Vertebrata)", "oligodendrocyte precursor cell", "Mueller cell",
    ],
    "tissue_general": ["blood", "brain", "lung", "skin of body", "kidney", "vasculature",
                       "bone marrow", "esophagus"],
    "sex": ["female", "male", "unknown"],
}  # fmt: skip


def used(covariate, *labels):
    column = pd.Series(list(labels), name="x")
    table = match_labels(column, VOCABULARY[covariate], covariate, n_obs=len(labels)).table
    return dict(zip(table["label"], table["used"], strict=True)), set(table["how"])


@pytest.mark.parametrize(
    ("covariate", "target", "labels"),
    [
        ("assay", "10x 3' v3", ["10X 3' V3", "10x 3prime v3", "10x 3 prime v3", "10xv3", "10x v3",
                                "10x_3'_v3", "10x 3′ v3", "10x 3’ v3 (nuclei)", "10x 3' v3.1",
                                "Chromium v3", "3pv3"]),
        ("assay", "10x 5' v2", ["10x 5prime v2", "10X 5' v2", "5pv2"]),
        ("assay", "Smart-seq2", ["smartseq2", "SMART-Seq2", "Smart_seq2", "SS2"]),
        ("assay", "Drop-seq", ["dropseq", "Drop-Seq"]),
        ("cell_type", "B cell", ["B cells", "B_cell", "b cell", "B", "B lymphocytes", "Bcell"]),
        ("cell_type", "CD4-positive, alpha-beta T cell",
         ["CD4 T cells", "CD4+ T cell", "CD4 T", "T_CD4", "CD4-positive, αβ T cell", "CD4+ T",
          "CD4-positive alpha-beta T cells", "T cells CD4+"]),
        ("cell_type", "CD8-positive, alpha-beta T cell", ["CD8 T", "CD8+ T-cells", "T_CD8"]),
        ("cell_type", "natural killer cell", ["NK", "NK cells", "NK_cell", "Natural Killer Cells"]),
        ("cell_type", "CD14-positive monocyte",
         ["CD14+ Monocytes", "CD14+ Mono", "Mono_CD14", "CD14 Mono", "Monocytes (CD14+)"]),
        ("cell_type", "non-classical monocyte",
         ["FCGR3A+ Mono", "FCGR3A+ Monocytes", "CD16+ Mono", "Nonclassical Monocytes",
          "Mono_CD16"]),
        ("cell_type", "memory B cell", ["Memory B", "B memory", "memory B-cells"]),
        ("cell_type", "naive B cell", ["Naïve B cells", "B naive"]),
        ("cell_type", "plasmacytoid dendritic cell", ["pDC", "pDCs"]),
        ("cell_type", "hepatocyte", ["Hepatocytes", "HEPATOCYTE"]),
        ("cell_type", "type B pancreatic cell", ["beta", "beta cells", "Beta_cell"]),
        ("cell_type", "microglial cell", ["Microglia", "microglial cells"]),
        ("cell_type", "regulatory T cell", ["Treg", "Tregs", "T regs", "T regulatory cells"]),
        ("cell_type", "gamma-delta T cell", ["γδ T cells", "gdT", "gamma delta T"]),
        ("cell_type", "mast cell", ["mast", "Mast cells"]),
        ("cell_type", "platelet", ["Platelets"]),
        ("cell_type", "neuroblast (sensu Vertebrata)", ["Neuroblast", "neuroblasts"]),
        ("cell_type", "oligodendrocyte precursor cell", ["OPC", "OPCs"]),
        ("cell_type", "Mueller cell", ["Müller glia", "Muller"]),
        ("cell_type", "unknown", ["Unknown", "unassigned", "NA"]),
        ("tissue_general", "blood", ["PBMC", "PBMCs", "Blood", "peripheral blood", "blood (PBMC)"]),
        ("tissue_general", "brain", ["prefrontal cortex", "Cerebral Cortex", "hippocampus"]),
        ("tissue_general", "lung", ["lungs", "lung parenchyma", "Upper lobe of left lung"]),
        ("tissue_general", "skin of body", ["skin", "Skin"]),
        ("tissue_general", "kidney", ["Kidneys", "renal cortex", "cortex of kidney"]),
        ("tissue_general", "vasculature", ["blood vessel", "aorta"]),
        ("tissue_general", "bone marrow", ["bone_marrow", "BoneMarrow", "BM"]),
        ("tissue_general", "esophagus", ["oesophagus"]),
        ("sex", "male", ["M", "Male", "m", "man", "males"]),
        ("sex", "female", ["F", "FEMALE", "f", "woman"]),
        ("sex", "unknown", ["Unknown", "not reported", "NA", "n/a"]),
    ],
)  # fmt: skip
def test_common_labels(covariate, target, labels):
    found, how = used(covariate, *labels)
    assert found == dict.fromkeys(labels, target)
    assert "not found" not in how
    assert used(covariate, target) == (
        {target: target},
        {"unknown" if target == "unknown" else "exact"},
    )


@pytest.mark.parametrize(
    ("covariate", "label"),
    [
        ("assay", "MERFISH"), ("assay", "10x"), ("cell_type", "3"), ("cell_type", "T/NK"),
        ("cell_type", "+"), ("cell_type", "CD8-"), ("cell_type", "cell"), ("sex", "0"),
        ("tissue_general", "vessels of blood"), ("tissue_general", "lungfish"),
    ],
)  # fmt: skip
def test_nothing_is_guessed(covariate, label):
    fallback = "unknown" if "unknown" in VOCABULARY[covariate] else "(mean)"
    assert used(covariate, label) == ({label: fallback}, {"not found"})


def test_a_name_means_the_first_label_there_is():
    both = ["classical monocyte", "CD14-positive monocyte"]
    for vocabulary, target in ((both, both[1]), (both[:1], both[0])):
        match = match_labels(pd.Series(["CD14+ Mono"]), vocabulary, "cell_type", n_obs=1)
        assert match.table["used"].tolist() == [target]


def test_plus_and_minus_are_kept_apart():
    assert fold("CD16+ NK") == fold("CD16-positive NK") != fold("CD16- NK")
    assert fold("CD16- NK") == fold("CD16-negative NK") != fold("CD16 NK")


@pytest.mark.parametrize("dtype", ["category", "object", "string"])
def test_codes_and_counts(dtype):
    labels = pd.Series(["NK", None, "B cells", "odd", "NK", "Unknown"], dtype=dtype, name="ct")
    match = match_labels(labels, VOCABULARY["cell_type"], "cell_type", n_obs=6)
    assert match.codes.dtype == np.int64
    assert match.codes.tolist() == [3, 6, 0, 6, 3, 6]
    table = match.table.set_index("label")
    assert table["how"].to_dict() == {
        "NK": "synonym", "B cells": "spelling", "odd": "not found", "Unknown": "unknown",
        "(missing)": "not found",
    }  # fmt: skip
    assert table["n_cells"].sum() == 6
    assert table.loc["NK", "n_cells"] == 2
    message = describe_unmatched(match.table)
    assert "2 of 5 labels in `adata.obs['ct']` (2 of 6 cells)" in message
    assert "'unknown' is used instead: 'odd', '(missing)'" in message


def test_the_mean_has_a_code_of_its_own():
    match = match_labels(pd.Series(["MERFISH", "Drop-seq"], name="a"), VOCABULARY["assay"],
                         "assay", n_obs=2)  # fmt: skip
    assert match.codes.tolist() == [8, 6]
    assert "the mean over all its assay categories is used" in describe_unmatched(match.table)
    for column in (None, pd.Series([np.nan, np.nan], name="a")):
        match = match_labels(column, VOCABULARY["assay"], "assay", n_obs=2)
        assert match.codes.tolist() == [8, 8]
        assert not match.known


def test_categories_that_no_cell_has_are_left_out():
    column = pd.Series(pd.Categorical(["NK"], ["NK", "B"]), name="x")
    assert len(match_labels(column, VOCABULARY["cell_type"], "cell_type", n_obs=1).table) == 1


def test_numbers_are_refused():
    with pytest.raises(ValueError, match="'x' holds floating-point numbers"):
        match_labels(pd.Series([1.5, 2.0], name="x"), VOCABULARY["sex"], "sex", n_obs=2)


def adata_with(**columns):
    return AnnData(np.ones((2, 3), dtype=np.float32), obs=pd.DataFrame(columns, index=["a", "b"]))


def test_columns_are_found_by_their_usual_names():
    adata = adata_with(**{"Cell.Type": ["B", "NK"], "Organ": "blood", "Gender": "M", "other": 1})
    expected = {"assay": None, "cell_type": "Cell.Type", "tissue_general": "Organ", "sex": "Gender"}
    assert choose_columns(adata, "cell_type", None) == expected
    assert choose_columns(adata, None, {}) == expected
    assert list(expected) == list(COLUMNS)
    assert choose_columns(adata, "other", {"tissue": "Gender", "assay": "Organ"}) == {
        "assay": "Organ", "cell_type": "other", "tissue_general": "Gender", "sex": "Gender",
    }  # fmt: skip
    named = choose_columns(adata, None, ["other", "Organ", "Gender"])
    assert list(named.values()) == ["other", "Cell.Type", "Organ", "Gender"]
    both = adata_with(tissue=["a", "b"], tissue_general=["lung", "lung"])
    assert choose_columns(both, None, None)["tissue_general"] == "tissue_general"


def test_bad_names_of_columns():
    adata = adata_with(sex=["M", "F"])
    with pytest.raises(KeyError, match="column for cell_type='label'"):
        choose_columns(adata, "label", None)
    with pytest.raises(KeyError, match=r"column for sex='gender'.*Available: 'sex'"):
        choose_columns(adata, None, {"sex": "gender"})
    with pytest.raises(KeyError, match=r"no covariates 'donor'.*'tissue_general', 'sex'"):
        choose_columns(adata, None, {"donor": "sex"})
    with pytest.raises(ValueError, match="Expected 3 covariate columns"):
        choose_columns(adata, None, ["sex"])
    with pytest.raises(TypeError, match="found the string 'sex'"):
        choose_columns(adata, None, "sex")


def test_nothing_known_anywhere():
    adata = adata_with(sex=["unknown", "?"], cell_type=["1", "2"])
    columns = choose_columns(adata, "cell_type", None)
    with pytest.raises(ValueError, match=r"No cell has a known assay \(in None\), cell_type "
                                         r"\(in 'cell_type'\).*covariate_keys="):  # fmt: skip
        match_categories(adata, columns, VOCABULARY)
    adata.obs["tissue"] = ["?", "blood"]
    columns = choose_columns(adata, "cell_type", None)
    found = match_categories(adata, columns, VOCABULARY)
    assert found["tissue_general"].codes.tolist() == [len(VOCABULARY["tissue_general"]), 0]
