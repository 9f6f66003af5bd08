"""Checks against the data: columns and results that are not there, or there twice."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from sctools._validate import check_adata, check_obs_key, check_result


@pytest.fixture
def adata():
    obs = pd.DataFrame({"age": [1.0, 2.0], "sex": ["a", "b"]}, index=["c1", "c2"])
    return ad.AnnData(np.ones((2, 3)), obs=obs)


@pytest.mark.parametrize("data", [None, "cells.h5ad", np.ones((2, 3)), pd.DataFrame()])
def test_what_is_no_anndata(data):
    with pytest.raises(TypeError, match=rf"Expected AnnData, found {type(data).__name__}\.$"):
        check_adata(data)


def test_a_mudata(adata):
    mudata = pytest.importorskip("mudata")
    with pytest.raises(TypeError, match=r"found MuData. Pass one of its modalities: `mdata.mod"):
        check_adata(mudata.MuData({"rna": adata}))
    check_adata(adata)
    check_adata(adata[:1])


def test_a_column_that_is_there_twice(adata):
    adata.obs = pd.concat([adata.obs, adata.obs[["age"]]], axis=1)
    message = r"must have one column 'age', found 2 of this name.*columns.duplicated\(\)"
    with pytest.raises(ValueError, match=message):
        check_obs_key(adata, "age", argument="age_key")
    check_obs_key(adata, "sex", argument="sex_key")
    adata.obs = adata.obs.loc[:, ~adata.obs.columns.duplicated()]  # as the message says
    check_obs_key(adata, "age", argument="age_key")


@pytest.mark.parametrize("key", ["absent", 3, None, ["age"], {"age": 1}, np.array(["age"])])
def test_what_is_no_column(adata, key):
    with pytest.raises(KeyError, match=r"is not a column of `adata.obs`. Available: 'age', 'sex'"):
        check_obs_key(adata, key, argument="age_key")


@pytest.mark.parametrize("key", ["absent", 3, ["mine"], {}, np.array(["mine"])])
def test_what_is_no_result(adata, key):
    adata.uns["mine"] = {"params": {}}
    with pytest.raises(KeyError, match=r"No result under .*Available results: 'mine'"):
        check_result(adata, key, tool="age_clock")
