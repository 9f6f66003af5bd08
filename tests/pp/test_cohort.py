from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from sctools.pp._cohort import check_trainable, read_ages, read_cohort

from .._compare import assert_unchanged, snapshot


def with_obs(**columns):
    obs = pd.DataFrame(columns)
    obs.index = obs.index.astype(str)
    return ad.AnnData(np.ones((len(obs), 1), dtype="float32"), obs=obs)


@pytest.mark.parametrize("dtype", [np.int64, np.float32, "Int64", "Float64", np.uint8])
def test_ages_become_float64(dtype):
    ages = read_ages(with_obs(age=pd.array([30, 41], dtype=dtype)), "age")
    assert ages.dtype == np.float64
    np.testing.assert_array_equal(ages, [30, 41])


def test_missing_ages_are_nan():
    for values in ([30.5, np.nan], pd.array([30.5, pd.NA], dtype="Float64")):
        np.testing.assert_array_equal(read_ages(with_obs(age=values), "age"), [30.5, np.nan])


def test_categorical_numbers_are_ages_with_a_warning():
    adata = with_obs(age=pd.Categorical([30, None, 41, 30]))
    before = snapshot(adata)
    with pytest.warns(UserWarning, match=r"obs\['age'\]` is Categorical.*used as ages"):
        ages = read_ages(adata, "age")
    np.testing.assert_array_equal(ages, [30, np.nan, 41, 30])
    assert_unchanged(adata, before)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (["30", "41"], TypeError, r"must hold numbers, found dtype .* such as '30', '41'.*to_num"),
        (pd.Categorical(["30 years", "41"]), TypeError, r"must hold numbers.*category.*'30 years'"),
        ([True, False], TypeError, r"must hold numbers, found dtype bool"),
        ([30, np.inf], ValueError, r"must be finite"),
        ([30, -0.5], ValueError, r"must not be negative, found -0.5.*conception"),
        ([30, 1e300], ValueError, r"must hold ages, found 1e\+300, which is none in any unit"),
    ],
)
def test_what_cannot_be_an_age(values, error, message):
    with pytest.raises(error, match=message):
        read_ages(with_obs(age=values), "age")


def test_absent_age_column_names_both_ways():
    with pytest.raises(
        KeyError, match=r"`age_key='age'`.*Available: 'years'.*`age_key=`.*`model=`"
    ):
        read_ages(with_obs(years=[1, 2]), "age")


def test_units_are_donors():
    adata = with_obs(donor=["b", "a", "b", "c"], age=[40, 30, 40, np.nan])
    cohort = read_cohort(adata, age_key="age", donor_key="donor")
    assert cohort.names.tolist() == cohort.donor.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(cohort.unit, [1, 0, 1, 2])
    np.testing.assert_array_equal(cohort.age, [30, 40, np.nan])
    assert cohort.sample is None
    assert cohort.n_units == 3
    assert cohort.labelled_donors().tolist() == ["a", "b"]


def test_units_are_samples_and_donors_keep_their_code():
    adata = with_obs(
        donor=["b", "a", "b", "a", "b"], visit=[2, 1, 1, 1, 2], age=[45, 30, 40, 30, 45]
    )
    cohort = read_cohort(adata, age_key="age", donor_key="donor", sample_key="visit")
    assert cohort.names.tolist() == ["a|1", "b|1", "b|2"]
    assert cohort.donor.tolist() == ["a", "b", "b"]
    assert cohort.sample.tolist() == ["1", "1", "2"]
    np.testing.assert_array_equal(cohort.unit, [2, 0, 1, 0, 2])
    np.testing.assert_array_equal(cohort.age, [30, 40, 45])
    np.testing.assert_array_equal(cohort.donor_code, [0, 1, 1])


def test_unused_categories_make_no_donor():
    donors = pd.Categorical(["a", "b"], categories=["z", "b", "a"])
    cohort = read_cohort(with_obs(donor=donors), age_key=None, donor_key="donor")
    assert cohort.names.tolist() == ["a", "b"]
    assert np.isnan(cohort.age).all()


def test_numbers_name_donors():
    cohort = read_cohort(with_obs(donor=[7, 3, 7]), age_key=None, donor_key="donor")
    assert cohort.names.tolist() == ["3", "7"]
    np.testing.assert_array_equal(cohort.unit, [1, 0, 1])


def test_a_missing_age_does_not_make_a_second_one():
    adata = with_obs(donor=["a", "a"], age=[30, np.nan])
    np.testing.assert_array_equal(read_cohort(adata, age_key="age", donor_key="donor").age, [30])


def test_two_ages():
    adata = with_obs(donor=["a", "a", "b"], visit=[1, 1, 1], age=[30, 31.5, 40])
    with pytest.raises(
        ValueError, match=r"1 donors have more than one age.*'a' with 30 and 31.5.*`sample_key=`"
    ):
        read_cohort(adata, age_key="age", donor_key="donor")
    with pytest.raises(
        ValueError, match=r"1 samples have more than one age.*'a\|1' with 30 and 31.5"
    ):
        read_cohort(adata, age_key="age", donor_key="donor", sample_key="visit")


def test_nameless_donors():
    adata = with_obs(donor=["a", None, "b"], visit=[1, 1, 1])
    with pytest.raises(
        ValueError, match=r"obs\['donor'\]` \(`donor_key`\) is missing for 1 of 3 cells.*notna"
    ):
        read_cohort(adata, age_key=None, donor_key="donor")
    adata.obs["donor"] = ["a", "a", "b"]
    adata.obs["visit"] = pd.Categorical(["1", None, None])
    with pytest.raises(ValueError, match=r"\(`sample_key`\) is missing for 2 of 3"):
        read_cohort(adata, age_key=None, donor_key="donor", sample_key="visit")


@pytest.mark.parametrize("argument", ["donor_key", "sample_key"])
def test_absent_columns(argument):
    keys = {"donor_key": "donor", argument: "nobody"}
    with pytest.raises(KeyError, match=rf"`{argument}='nobody'`.*Available: 'donor'"):
        read_cohort(with_obs(donor=["a"]), age_key=None, **keys)


@pytest.mark.parametrize(
    ("ages", "message"),
    [
        ([np.nan] * 4, r"has no known age.*`age_key=`.*`model=`"),
        ([30, 40, np.nan, np.nan], r"at least 3 donors.*found 2 \('a', 'b'\).*`model=`"),
        ([30, 30, 30, np.nan], r"All donors have the same age \(30\).*nothing to learn"),
    ],
)
def test_too_little_to_learn_from(ages, message):
    cohort = read_cohort(with_obs(donor=list("abcd"), age=ages), age_key="age", donor_key="donor")
    with pytest.raises(ValueError, match=message):
        check_trainable(cohort, "age")


def test_samples_do_not_make_up_for_donors():
    adata = with_obs(donor=list("aabb"), visit=[1, 2, 1, 2], age=[30, 31, 40, 41])
    cohort = read_cohort(adata, age_key="age", donor_key="donor", sample_key="visit")
    with pytest.raises(ValueError, match="at least 3 donors with a known age, found 2"):
        check_trainable(cohort, "age")


def test_enough_to_learn_from():
    cohort = read_cohort(
        with_obs(donor=list("abc"), age=[30, 30, 31]), age_key="age", donor_key="donor"
    )
    check_trainable(cohort, "age")
