from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sctools.pp._categories import as_labels, categories_of, encode


def test_labels_are_natural_sorted():
    column = pd.Series(["t10", "t2", None, "t1", "t2"])
    assert categories_of(column) == ["t1", "t2", "t10"]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([2, 1, 10]),
        pd.Series([2, 1, 10], dtype="Int64"),
        pd.Series([2, 1, 10], dtype="category"),
        pd.Series(["2", "1", "10"], dtype="string"),
        pd.Series(["2", "1", "10"], dtype="category"),
        pd.Series(["2", "1", "10"], dtype="category").cat.add_categories(["unused"]),
    ],
    ids=["int", "Int64", "int category", "string", "category", "unused category"],
)
def test_labels_do_not_depend_on_the_dtype(column):
    assert as_labels(column).tolist() == ["2", "1", "10"]
    assert categories_of(column) == ["1", "2", "10"]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(["a", None, "b"]),
        pd.Series(["a", np.nan, "b"], dtype="category"),
        pd.Series(["a", pd.NA, "b"], dtype="string"),
    ],
    ids=["object", "category", "string"],
)
def test_missing_is_unknown_and_no_news(column):
    codes, unseen = encode(column, ["a", "b"])
    np.testing.assert_array_equal(codes, [0, 2, 1])
    assert unseen == []


@pytest.mark.parametrize("dtype", ["category", "Int64"])
def test_missing_among_numbers(dtype):
    if dtype == "category":
        column = pd.Series(pd.Categorical([3, None, 1], categories=[1, 3]))
    else:
        column = pd.Series([3, None, 1], dtype=dtype)
    codes, unseen = encode(column, ["1", "3"])
    np.testing.assert_array_equal(codes, [1, 2, 0])
    assert unseen == []


def test_unseen_labels_are_unknown_and_reported():
    codes, unseen = encode(pd.Series(["c10", "a", "c9", "c10"], dtype="category"), ["a", "b"])
    np.testing.assert_array_equal(codes, [2, 0, 2, 2])
    assert codes.dtype == np.int64
    assert unseen == ["c9", "c10"]


# Without NUL, which ends a string for `pandas.unique`, and which no file format holds.
labels_ = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3)


@given(st.lists(st.one_of(st.none(), labels_), max_size=30))
def test_codes_lead_back_to_the_labels(values):
    column = pd.Series(values, dtype=object)
    categories = categories_of(column)
    codes, unseen = encode(column, categories)
    assert unseen == []
    assert [None if c == len(categories) else categories[c] for c in codes] == values


def test_booleans_are_categories():
    assert categories_of(pd.Series([True, False, True])) == ["False", "True"]


@pytest.mark.parametrize(
    "column",
    [pd.Series([0.5, 1.0], name="bmi"), pd.Series([0.5, 1.0], name="bmi", dtype="category")],
    ids=["float", "category of floats"],
)
def test_continuous_numbers_are_refused(column):
    with pytest.raises(ValueError, match=r"Covariate 'bmi' holds floating-point.*pd\.cut"):
        as_labels(column)


def test_column_stays_as_it_was():
    column = pd.Series(pd.Categorical([1, 2, None]))
    before = column.copy(deep=True)
    encode(column, ["1"])
    pd.testing.assert_series_equal(column, before)
