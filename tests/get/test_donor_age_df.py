from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sctools.get import age_df, donor_age_df

from .._fake_results import fake_age_result


def test_table_of_the_result():
    adata = fake_age_result(6)
    df = donor_age_df(adata)
    pd.testing.assert_frame_equal(df, adata.uns["age_clock"]["donors"])
    bounded = donor_age_df(fake_age_result(6, radius=7.0))
    np.testing.assert_allclose(bounded["upper"] - bounded["lower"], 14)
    df["age"] = 0.0
    assert adata.uns["age_clock"]["donors"]["age"].gt(0).all()


def test_groupby_is_the_mean_of_the_cells():
    adata = fake_age_result(12)
    df = donor_age_df(adata, groupby="cell_type")
    columns = ["donor", "cell_type", "age", "predicted", "acceleration", "n_cells"]
    assert list(df.columns) == columns
    assert len(df) == 36
    assert df["n_cells"].sum() == adata.n_obs
    row = df[(df["donor"] == "D10") & (df["cell_type"] == "T cell")].iloc[0]
    cells = age_df(adata)
    cells = cells[(cells["donor"] == "D10") & (cells["cell_type"] == "T cell")]
    assert row["n_cells"] == len(cells)
    np.testing.assert_allclose(row["predicted"], cells["predicted"].mean())
    np.testing.assert_allclose(row["acceleration"], cells["acceleration"].mean())
    assert row["age"] == cells["age"].iloc[0]


def test_donors_and_groups_are_natural_sorted():
    adata = fake_age_result(12, cell_types=[f"c{i}" for i in range(11)], cells_per_donor=200)
    df = donor_age_df(adata, groupby="cell_type")
    assert list(df["donor"].unique()) == [f"D{i}" for i in range(1, 13)]
    assert list(df["cell_type"].cat.categories) == [f"c{i}" for i in range(11)]


def test_order_of_a_categorical_is_kept():
    adata = fake_age_result(4)
    order = ["T cell", "Monocyte", "unused", "B cell"]
    adata.obs["cell_type"] = adata.obs["cell_type"].cat.set_categories(order)
    df = donor_age_df(adata, groupby="cell_type")
    assert list(df["cell_type"].cat.categories) == ["T cell", "Monocyte", "B cell"]


def test_groupby_of_numbers_and_booleans():
    adata = fake_age_result(4)
    adata.obs["leiden"] = np.arange(adata.n_obs) % 12
    adata.obs["flag"] = np.arange(adata.n_obs) % 2 == 0
    leiden = donor_age_df(adata, groupby="leiden")["leiden"]
    assert list(leiden.cat.categories) == [str(i) for i in range(12)]
    assert set(donor_age_df(adata, groupby="flag")["flag"]) == {"True", "False"}


def test_samples_have_a_row_each():
    df = donor_age_df(fake_age_result(4, n_samples=2), groupby="cell_type")
    assert list(df.columns[:3]) == ["donor", "sample", "cell_type"]
    assert len(df) == 4 * 2 * 3
    assert df.groupby("donor")["age"].nunique().eq(2).all()


def test_unknown_ages():
    df = donor_age_df(fake_age_result(6, n_unknown=2), groupby="cell_type")
    unknown = df["donor"].isin(["D5", "D6"])
    assert df.loc[unknown, ["age", "acceleration"]].isna().all(axis=None)
    assert df.loc[unknown, "predicted"].notna().all()
    assert df.loc[~unknown].notna().all(axis=None)
    nobody = donor_age_df(fake_age_result(3, n_unknown=3), groupby="cell_type")
    assert list(nobody.columns) == ["donor", "cell_type", "predicted", "n_cells"]


def test_cells_without_donor_group_or_prediction_are_left_out():
    adata = fake_age_result(4)
    names = adata.obs_names
    adata.obs.loc[names[0], "cell_type"] = np.nan
    adata.obs.loc[names[1], "donor_id"] = np.nan
    adata.obs.loc[names[2], "age_clock"] = np.nan
    df = donor_age_df(adata, groupby="cell_type")
    assert df["n_cells"].sum() == adata.n_obs - 3
    assert df["predicted"].notna().all()


def test_one_donor():
    assert len(donor_age_df(fake_age_result(1), groupby="cell_type")) == 3


@pytest.mark.parametrize("groupby", [None, "cell_type"])
def test_no_donors(groupby):
    adata = fake_age_result(3, donor_key=None, applied=True)
    with pytest.raises(ValueError, match=r"without donors.*donor_key"):
        donor_age_df(adata, groupby=groupby)


def test_bad_groupby():
    adata = fake_age_result(3)
    with pytest.raises(KeyError, match=r"groupby='nope'.*Available.*'cell_type'"):
        donor_age_df(adata, groupby="nope")
    with pytest.raises(ValueError, match="tells the donors or samples apart"):
        donor_age_df(adata, groupby="donor_id")
    with pytest.raises(ValueError, match=r"Rename it"):
        donor_age_df(adata, groupby="age")


def test_cells_are_needed_for_groupby():
    adata = fake_age_result(3)
    del adata.obs["donor_id"]
    with pytest.raises(KeyError, match="no longer a column"):
        donor_age_df(adata, groupby="cell_type")
