from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from sctools.model._age_covariates import (
    choose_columns,
    covariate_names,
    encode_labels,
    n_codes,
    read_labels,
    warn_of_unseen,
)

KEYS = {"cell_type_key": "cell_type", "covariate_keys": ["sex", "assay"]}
WITHOUT_TYPE = {"cell_type_key": None, "covariate_keys": ["sex"]}
ALL_OWN = {"cell_type": "cell_type", "sex": "sex", "assay": "assay"}


@pytest.fixture(scope="module")
def adata():
    obs = pd.DataFrame(
        {
            "cell_type": ["T", "B", "T"],
            "sex": ["f", "m", None],
            "assay": ["v2", "v3", "v3"],
            "kind": ["a", "b", "c"],
            "gender": ["m", "m", "f"],
            "kit": ["x", "y", "x"],
        },
        index=["c0", "c1", "c2"],
    )
    return AnnData(np.zeros((3, 1), dtype=np.float32), obs=obs)


@pytest.mark.parametrize(
    ("cell_type_key", "covariate_keys", "expected"),
    [
        (None, None, ALL_OWN),
        ("kind", None, {**ALL_OWN, "cell_type": "kind"}),
        (None, ["gender", "kit"], {**ALL_OWN, "sex": "gender", "assay": "kit"}),
        (None, ("assay", "sex"), {**ALL_OWN, "sex": "assay", "assay": "sex"}),
        (None, {"assay": "kit"}, {**ALL_OWN, "assay": "kit"}),
        (None, {}, ALL_OWN),
        ("kind", {"assay": "kit", "sex": "gender"},
         {"cell_type": "kind", "sex": "gender", "assay": "kit"}),
    ],
)  # fmt: skip
def test_columns_that_are_chosen(adata, cell_type_key, covariate_keys, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = choose_columns(adata, KEYS, cell_type_key, covariate_keys)
    assert found == expected
    assert list(found) == ["cell_type", "sex", "assay"]  # in the clock's order


def test_a_clock_without_cell_types_takes_none(adata):
    assert choose_columns(adata, WITHOUT_TYPE, "kind", None) == {"sex": "sex"}
    assert choose_columns(adata, {}, "kind", []) == {}
    assert covariate_names({}) == []


@pytest.mark.parametrize("columns", [["gender"], ["gender", "kit", "kind"], []])
def test_as_many_columns_as_covariates(adata, columns):
    message = rf"Expected 2 covariate columns, for 'sex', 'assay'; found {len(columns)}"
    with pytest.raises(ValueError, match=message):
        choose_columns(adata, KEYS, None, columns)


def test_a_string_is_not_a_list_of_columns(adata):
    with pytest.raises(TypeError, match=r"found the string 'sex'.*covariate_keys=\['sex'\]"):
        choose_columns(adata, KEYS, None, "sex")


def test_covariates_that_the_clock_does_not_have(adata):
    message = r"no covariates 'tissue', 'cell_type'\. It has: 'sex', 'assay'"
    with pytest.raises(KeyError, match=message):
        choose_columns(adata, KEYS, None, {"tissue": "kit", "sex": "sex", "cell_type": "kind"})


@pytest.mark.parametrize(
    ("cell_type_key", "covariate_keys", "name"),
    [("nope", None, "cell_type"), (None, ["sex", "nope"], "assay"), (None, {"sex": "nope"}, "sex")],
)
def test_named_columns_must_be_there(adata, cell_type_key, covariate_keys, name):
    with pytest.raises(KeyError, match=rf"column for {name}='nope'.*not a column"):
        choose_columns(adata, KEYS, cell_type_key, covariate_keys)


def test_absent_columns_are_unknown_with_a_warning(adata):
    bare = adata[:, :].copy()
    del bare.obs["sex"], bare.obs["cell_type"]
    with pytest.warns(UserWarning, match=r"lacks 'cell_type', 'sex',.*unknown") as caught:
        found = choose_columns(bare, KEYS, None, None)
    assert len(caught) == 1
    assert found == {"cell_type": None, "sex": None, "assay": "assay"}
    with pytest.warns(UserWarning, match=r"lacks 'sex', which"):
        assert choose_columns(bare, KEYS, "kind", None)["cell_type"] == "kind"


def test_labels_are_strings_or_missing(adata):
    labels = read_labels(adata, {"sex": "sex", "assay": None})
    assert labels.index.equals(pd.RangeIndex(3))
    assert labels["sex"].tolist()[:2] == ["f", "m"]
    assert labels["sex"].isna().tolist() == [False, False, True]
    assert labels["assay"].isna().all()


def test_codes_are_those_of_the_categories(adata):
    categories = {"cell_type": ["B", "T"], "sex": ["f"]}
    labels = read_labels(adata, {"cell_type": "cell_type", "sex": "sex"})
    found = encode_labels(labels, categories, KEYS)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, [[1, 0], [0, 1], [1, 1]])  # unseen and missing alike
    assert n_codes(categories, KEYS) == [3, 2]


def test_a_clock_without_cell_types_has_one_code_for_them(adata):
    labels = read_labels(adata, {"sex": "sex"})
    found = encode_labels(labels, {"sex": ["f", "m"]}, WITHOUT_TYPE)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, [[0, 0], [0, 1], [0, 2]])
    assert n_codes({"sex": ["f", "m"]}, WITHOUT_TYPE) == [1, 3]


def test_a_clock_without_any_covariate(adata):
    labels = read_labels(adata, {})
    np.testing.assert_array_equal(encode_labels(labels, {}, {}), np.zeros((3, 1)))
    assert n_codes({}, {}) == [1]


def test_labels_that_no_part_has_seen(adata):
    labels = read_labels(adata, {"cell_type": "cell_type", "assay": "assay"})
    parts = [{"cell_type": ["T"], "assay": ["v2"]}, {"cell_type": ["B"], "assay": []}]
    with pytest.warns(UserWarning, match=r"1 categories of 'assay'.*'v3'\. Known: 'v2'") as caught:
        warn_of_unseen(labels, parts)
    assert len(caught) == 1
