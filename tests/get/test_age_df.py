from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sctools.get import age_df

from .._fake_results import fake_age_result


def test_columns_and_index():
    adata = fake_age_result()
    df = age_df(adata)
    assert list(df.columns) == ["donor", "cell_type", "age", "predicted", "acceleration", "fold"]
    pd.testing.assert_index_equal(df.index, adata.obs_names)
    np.testing.assert_array_equal(df["predicted"], adata.obs["age_clock"])
    np.testing.assert_array_equal(df["donor"], adata.obs["donor_id"])
    assert all(df[name].dtype == "float64" for name in ("age", "predicted", "acceleration"))


def test_intervals():
    adata = fake_age_result(4, radius=7.0)
    df = age_df(adata)
    assert list(df.columns) == [
        "donor", "cell_type", "age", "predicted", "lower", "upper", "acceleration", "fold"
    ]  # fmt: skip
    np.testing.assert_array_equal(df["lower"], adata.obs["age_clock_lower"])
    np.testing.assert_array_equal(df["upper"], adata.obs["age_clock_upper"])
    assert df["lower"].dtype == df["upper"].dtype == "float64"


def test_sample_key_and_other_key():
    df = age_df(fake_age_result(4, n_samples=2, key="mine"), "mine")
    assert df.groupby("sample", observed=True)["donor"].nunique().eq(1).all()
    assert df["sample"].nunique() == 8


def test_bare_result_has_predictions_only():
    adata = fake_age_result(2, n_unknown=2, cell_types=None, donor_key=None, applied=True)
    assert list(age_df(adata).columns) == ["predicted"]


@pytest.mark.parametrize("dtype", ["category", "Int64", "object"])
def test_ages_become_float(dtype):
    adata = fake_age_result(6, n_unknown=1)
    expected = adata.obs["age"].to_numpy()
    adata.obs["age"] = adata.obs["age"].astype(dtype)
    df = age_df(adata)
    assert df["age"].dtype == "float64"
    np.testing.assert_array_equal(df["age"], expected)
    unknown = (adata.obs["donor_id"] == "D6").to_numpy()
    assert df.loc[unknown, ["age", "acceleration", "fold"]].isna().all(axis=None)
    assert df.loc[unknown, "predicted"].notna().all()


def test_result_is_a_copy():
    adata = fake_age_result(3)
    before = adata.obs.copy()
    df = age_df(adata)
    df["predicted"] = 0.0
    df.index.name = "changed"
    pd.testing.assert_frame_equal(adata.obs, before)


def test_view():
    adata = fake_age_result(4)
    view = adata[adata.obs["donor_id"] == "D2"]
    assert set(age_df(view)["donor"]) == {"D2"}
    assert view.is_view


def test_no_result():
    adata = fake_age_result(3, key="mine")
    with pytest.raises(KeyError, match=r"'age_clock'.*'mine'.*tl\.age_clock"):
        age_df(adata)


@pytest.mark.parametrize("column", ["donor_id", "sample", "cell_type", "age"])
def test_recorded_column_is_gone(column):
    adata = fake_age_result(3, n_samples=2)
    del adata.obs[column]
    with pytest.raises(KeyError, match=rf"{column}.*no longer a column.*Available.*run `sctools"):
        age_df(adata)


def test_predictions_are_gone():
    adata = fake_age_result(3)
    del adata.obs["age_clock"]
    with pytest.raises(KeyError, match="no longer in"):
        age_df(adata)


@pytest.mark.parametrize("values", ["text", "durations"])
def test_column_that_no_longer_holds_numbers(values):
    adata = fake_age_result(3)
    made = {"text": "old", "durations": pd.to_timedelta(np.arange(adata.n_obs), unit="D")}
    adata.obs["age"] = made[values]
    with pytest.raises(ValueError, match=r"The column 'age' must hold numbers, found dtype"):
        age_df(adata)


def test_column_that_is_there_twice():
    adata = fake_age_result(3)
    adata.obs = pd.concat([adata.obs, adata.obs[["age"]]], axis=1)
    with pytest.raises(ValueError, match=r"must have one column 'age', found 2"):
        age_df(adata)
