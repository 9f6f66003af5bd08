from __future__ import annotations

import pandas as pd
import pytest

from sctools.get import age_acceleration_df
from sctools.tl import age_acceleration

from .._fake_acceleration import fake_acceleration


@pytest.fixture(scope="module")
def adata():
    adata = fake_acceleration()
    age_acceleration(adata, "group", reference="control", key_added="mine")
    return adata


@pytest.mark.parametrize("table", ["results", "donors", "lines"])
def test_tables_are_copies(adata, table):
    found = age_acceleration_df(adata, "mine", table=table)
    pd.testing.assert_frame_equal(found, adata.uns["mine"][table])
    found["cell_type"] = "none"
    assert (adata.uns["mine"][table]["cell_type"] != "none").all()


def test_results_are_the_default(adata):
    found = age_acceleration_df(adata, "mine")
    pd.testing.assert_frame_equal(found, adata.uns["mine"]["results"])


def test_errors(adata):
    with pytest.raises(ValueError, match=r"'results', 'donors', 'lines', found 'cells'"):
        age_acceleration_df(adata, "mine", table="cells")
    with pytest.raises(KeyError, match=r"age_acceleration.*Available results: .*'mine'"):
        age_acceleration_df(adata)
    with pytest.raises(KeyError, match=r"'age_clock'.*no result of.*age_acceleration.*it holds"):
        age_acceleration_df(adata, "age_clock")
