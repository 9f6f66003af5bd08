"""``tl.age_clock(method=…)``: the clock methods cross-fitted in the place of the default."""

from __future__ import annotations

import logging
import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sctools.get import age_df, age_genes_df, donor_age_df
from sctools.model import _clock_methods
from sctools.model._clock_methods._donor_attention import DonorAttention
from sctools.model._clock_methods._tuned import TunedMethod
from sctools.pl import age_genes, training_history
from sctools.tl import age_acceleration, age_clock, compare_clocks

from .._clock_cells import QUICK
from .._clocks import QUICK as QUICK_CLOCK
from .._clocks import small_cohort, without_age
from .._compare import assert_same, assert_unchanged, snapshot

METHODS = [name for name in _clock_methods.METHODS if name != "gma"]
COLUMNS = {
    "age_clock", "age_clock_lower", "age_clock_upper", "age_clock_acceleration", "age_clock_fold",
}  # fmt: skip
RECORD = {"params", "age_unit", "metrics", "donors", "coverage", "acceleration"}


def predicted_by(adata, method, **kwargs):
    kwargs = {"n_folds": 3, "model_kwargs": QUICK[method], "progress_bar": False, **kwargs}
    return age_clock(adata, method=method, copy=True, **kwargs)


def unit_sums(adata, by="donor_id"):
    return adata.obs.groupby(by, observed=True)["age_clock_weight"].sum()


@pytest.fixture(scope="module")
def attention():
    """A cross-fitted cohort with two donors without an age, and who these are."""
    adata = small_cohort()
    unknown = without_age(adata, 2)
    return predicted_by(adata, "donor_attention"), unknown


# ------------------------------------------------------------------------- every method


@pytest.mark.parametrize("method", METHODS)
def test_every_method_predicts_donors_that_it_never_saw(method, monkeypatch):
    for package in {"xgboost", "catboost"} & {method}:
        pytest.importorskip(package)
    learned = []
    kind = DonorAttention if method == "donor_attention" else TunedMethod
    fit = kind.fit

    def spy(self, cells, *, rng):
        learned.append(cells)
        return fit(self, cells, rng=rng)

    monkeypatch.setattr(kind, "fit", spy)
    adata = small_cohort()
    unknown = without_age(adata, 2)
    before = snapshot(adata)
    result = predicted_by(adata, method)
    assert_unchanged(adata, before)

    told = {"age_clock_weight"} if method == "donor_attention" else set()
    assert set(result.obs) - set(adata.obs) == COLUMNS | told
    assert set(result.uns["age_clock"]) == RECORD
    donors = result.uns["age_clock"]["donors"]
    assert len(learned) == 3
    for k, cells in enumerate(learned):
        fold = donors["fold"].astype(object)
        here = donors.index[fold.notna() & (fold != str(k))]
        assert cells.donor.tolist() == here.tolist()
        np.testing.assert_array_equal(cells.age, donors.loc[here, "age"])
        of_others = result.obs["donor_id"].isin(here)
        assert cells.x.shape[0] == of_others.sum()

    params = result.uns["age_clock"]["params"]
    assert params["method"] == method
    assert (params["mode"], params["n_folds"], params["rng"]) == ("cross_fit", 3, 0)
    assert params["input"] in _clock_methods.INPUTS
    assert np.isfinite(result.obs["age_clock"]).all()
    no_age = result.obs["donor_id"].isin(unknown)
    assert (result.obs["age_clock_fold"].isna() == no_age).all()
    assert (result.obs["age_clock_acceleration"].isna() == no_age).all()
    of_cells = result.obs.groupby("donor_id", observed=True)["age_clock"].mean()
    np.testing.assert_allclose(of_cells[donors.index], donors["predicted"])
    coverage = result.uns["age_clock"]["coverage"]
    assert coverage["n_genes"] == coverage["n_found"] == 150
    assert result.uns["age_clock"]["metrics"]["beats_mean"]


@pytest.mark.parametrize("method", ["ridge", "pls", "donor_attention"])
@pytest.mark.parametrize("seed", [0, 7])
def test_donors_are_predicted_as_in_compare_clocks(method, seed):
    adata = small_cohort()
    without_age(adata, 2)
    alone = predicted_by(adata, method, rng=seed).uns["age_clock"]["donors"]
    compare_clocks(adata, ["pls", method] if method != "pls" else [method], n_folds=3, rng=seed)
    result = adata.uns["compare_clocks"]
    known = alone[alone["age"].notna()]
    assert known["fold"].tolist() == result["donors"]["fold"].tolist()
    np.testing.assert_allclose(known["mean_age"], result["predictions"]["mean_age"])
    np.testing.assert_allclose(known["predicted"], result["predictions"][method], rtol=1e-7)


def test_folds_are_those_of_the_default():
    default = small_cohort()
    age_clock(default, **QUICK_CLOCK, rng=3)
    other = predicted_by(small_cohort(), "ridge", rng=3)
    pd.testing.assert_series_equal(other.obs["age_clock_fold"], default.obs["age_clock_fold"])
    for name in ("donor", "age", "fold", "mean_age", "n_cells"):
        one, two = (a.uns["age_clock"]["donors"][name] for a in (default, other))
        pd.testing.assert_series_equal(one, two)
    columns = list(default.uns["age_clock"]["donors"].columns)
    assert list(other.uns["age_clock"]["donors"].columns) == columns


def test_default_is_named_too():
    adata = small_cohort(9)
    age_clock(adata, **QUICK_CLOCK)
    named = small_cohort(9)
    age_clock(named, method="gma", **QUICK_CLOCK)
    pd.testing.assert_frame_equal(named.obs, adata.obs)
    assert "age_clock_weight" not in adata.obs


@pytest.mark.parametrize("method", ["ridge", "pls"])
def test_order_of_rows_changes_nothing(method):
    adata = small_cohort()
    without_age(adata, 2)
    order = np.random.default_rng(0).permutation(adata.n_obs)
    found = predicted_by(adata[order].copy(), method).obs.loc[adata.obs_names]
    expected = predicted_by(adata, method).obs
    assert found["age_clock_fold"].equals(expected["age_clock_fold"])
    for name in ("age_clock", "age_clock_lower", "age_clock_upper"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)


@pytest.mark.parametrize("method", ["pls", "donor_attention"])
def test_storage_and_seed(method, tmp_path):
    adata = small_cohort()
    expected = predicted_by(adata, method).obs
    adata.write_h5ad(tmp_path / "cohort.h5ad")
    backed = ad.read_h5ad(tmp_path / "cohort.h5ad", backed="r")
    dense = adata.copy()
    dense.X = sparse.csr_matrix(adata.X).toarray()
    layered = adata.copy()
    layered.layers["counts"] = layered.X.copy()
    layered.X = layered.X * 0
    for given, kwargs in ((backed, {}), (dense, {}), (layered, {"layer": "counts"})):
        found = predicted_by(given, method, **kwargs).obs
        for name in expected.columns.difference(adata.obs.columns).drop("age_clock_fold"):
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)
    backed.file.close()


# ------------------------------------------------------------------------- donors without an age


def test_donors_without_an_age_get_the_mean_of_the_fold_clocks(attention, monkeypatch):
    adata, unknown = attention
    fitted, fit = [], DonorAttention.fit

    def spy(self, cells, *, rng):
        fitted.append(fit(self, cells, rng=rng))
        return fitted[-1]

    monkeypatch.setattr(DonorAttention, "fit", spy)
    seen, fit_seen = [], _clock_methods._donor_attention.DonorAttentionClock.predict_cells

    def predict_cells(self, cells):
        seen.append((fit_seen(self, cells), self.weights(cells)))
        return seen[-1][0]

    monkeypatch.setattr(
        _clock_methods._donor_attention.DonorAttentionClock, "predict_cells", predict_cells
    )
    again = small_cohort()
    assert without_age(again, 2) == unknown
    again = predicted_by(again, "donor_attention")
    assert_same(again.obs["age_clock"].to_numpy(), adata.obs["age_clock"].to_numpy())
    assert len(seen) == len(fitted) == 3
    rows = adata.obs["donor_id"].isin(unknown).to_numpy()
    ages, weights = (np.array(parts) for parts in zip(*seen, strict=True))
    np.testing.assert_allclose(adata.obs["age_clock"][rows], ages.mean(axis=0)[rows])
    np.testing.assert_allclose(adata.obs["age_clock_weight"][rows], weights.mean(axis=0)[rows])
    for k in range(3):
        rows = (adata.obs["age_clock_fold"].astype(object) == str(k)).to_numpy()
        np.testing.assert_array_equal(adata.obs["age_clock"][rows], ages[k][rows])
        np.testing.assert_array_equal(adata.obs["age_clock_weight"][rows], weights[k][rows])
    assert np.ptp(ages[:, rows], axis=0).min() > 0  # the fold clocks differ
    table = adata.uns["age_clock"]["donors"].loc[unknown]
    known = adata.uns["age_clock"]["donors"]["age"].mean()
    np.testing.assert_allclose(table["mean_age"], known)


def test_samples_of_a_donor_stay_in_one_fold_and_one_may_lack_its_age():
    adata = small_cohort()
    donors = adata.obs["donor_id"].astype(str)
    visit = np.arange(adata.n_obs) % 2
    adata.obs["visit"] = np.where(visit == 1, "late", "early")
    adata.obs["age"] += visit
    first = donors == donors.iloc[0]
    adata.obs.loc[first & (visit == 1), "age"] = np.nan
    result = predicted_by(adata, "donor_attention", sample_key="visit")
    table = result.uns["age_clock"]["donors"]
    assert len(table) == 36
    assert table.groupby("donor")["fold"].nunique().eq(1).all()
    assert table["predicted"].notna().all()
    assert table["age"].isna().sum() == 1
    np.testing.assert_allclose(unit_sums(result, ["donor_id", "visit"]), 1)
    assert set(age_df(result)) >= {"sample", "weight"}


# ------------------------------------------------------------------------- weights


def test_weights_sum_to_one_over_the_cells_of_a_donor(attention):
    adata, _ = attention
    weight = adata.obs["age_clock_weight"]
    assert weight.dtype == np.float64
    assert (weight > 0).all()
    sums = unit_sums(adata)
    assert len(sums) == 18
    np.testing.assert_allclose(sums, 1)


def test_weights_are_removed_by_a_run_with_another_method(attention):
    for method in ("pls", "gma"):
        adata = attention[0].copy()
        kwargs = QUICK_CLOCK if method == "gma" else {"n_folds": 3}
        age_clock(adata, method=method, **kwargs)
        assert "age_clock_weight" not in adata.obs
        assert adata.uns["age_clock"]["params"]["method"] == method


def test_weights_have_the_name_of_the_result():
    adata = predicted_by(small_cohort(), "donor_attention", key_added="mine")
    assert "mine_weight" in adata.obs
    assert "age_clock_weight" not in adata.obs
    np.testing.assert_array_equal(age_df(adata, "mine")["weight"], adata.obs["mine_weight"])


def test_weights_overwrite_nothing_that_is_read():
    adata = small_cohort()
    adata.obs["age_clock_weight"] = adata.obs["cell_type"]
    before = snapshot(adata)
    with pytest.raises(ValueError, match=r"would overwrite 'age_clock_weight'.*read here"):
        age_clock(adata, method="donor_attention", cell_type_key="age_clock_weight")
    assert_unchanged(adata, before)


def test_cohort_without_signal_has_even_weights():
    adata = small_cohort(12)
    ages = adata.obs.groupby("donor_id", observed=True)["age"].first()
    shuffled = pd.Series(np.random.default_rng(5).permutation(ages), index=ages.index)
    adata.obs["age"] = adata.obs["donor_id"].astype(str).map(shuffled).to_numpy(float)
    adata = predicted_by(adata, "donor_attention")
    n_cells = adata.obs["donor_id"].map(adata.obs["donor_id"].value_counts()).to_numpy(float)
    np.testing.assert_allclose(adata.obs["age_clock_weight"], 1 / n_cells)
    assert not adata.uns["age_clock"]["metrics"]["beats_mean"]
    donors = adata.uns["age_clock"]["donors"]
    np.testing.assert_allclose(donors["predicted"], donors["mean_age"])


# ------------------------------------------------------------------------- intervals and files


def test_intervals_are_there(attention):
    adata, unknown = attention
    obs, result = adata.obs, adata.uns["age_clock"]
    assert (obs["age_clock_lower"] < obs["age_clock"]).all()
    assert (obs["age_clock"] < obs["age_clock_upper"]).all()
    assert result["donors"].loc[unknown, ["lower", "upper"]].notna().all(axis=None)
    assert 0.8 <= result["metrics"]["donor"]["coverage"] <= 1
    narrow = predicted_by(small_cohort(), "pls", level=0.5).uns["age_clock"]
    wide = predicted_by(small_cohort(), "pls", level=0.9).uns["age_clock"]
    assert narrow["metrics"]["donor"]["width"] < wide["metrics"]["donor"]["width"]


@pytest.mark.parametrize("method", ["ridge", "donor_attention"])
def test_round_trip(method, tmp_path):
    adata = predicted_by(small_cohort(), method)
    adata.write_h5ad(tmp_path / "result.h5ad")
    again = ad.read_h5ad(tmp_path / "result.h5ad")
    pd.testing.assert_frame_equal(age_df(again), age_df(adata))
    pd.testing.assert_frame_equal(donor_age_df(again), donor_age_df(adata))
    assert again.uns["age_clock"]["params"]["method"] == method
    assert ("weight" in age_df(again)) == (method == "donor_attention")


# ------------------------------------------------------------------------- readers


def test_readers_of_what_is_missing_name_the_method(attention):
    adata = attention[0]
    with pytest.raises(ValueError, match=r"no training history.*method 'donor_attention'"):
        training_history(adata, show=False)
    for reader in (age_genes_df, age_genes):
        with pytest.raises(KeyError, match=r"method 'donor_attention'.* has no genes"):
            reader(adata)


def with_groups(adata):
    donors = adata.obs["donor_id"].astype(str)
    odd = {name: i % 2 for i, name in enumerate(sorted(set(donors)))}
    adata.obs["group"] = np.where(donors.map(odd).to_numpy() == 1, "case", "control")
    return adata


@pytest.mark.parametrize("method", ["ridge", "donor_attention"])
def test_acceleration_of_cell_types_is_not_made_up(method, caplog):
    adata = with_groups(predicted_by(small_cohort(), method))
    assert adata.uns["age_clock"]["donors"]["borrowed"].isna().all()
    before = snapshot(adata)
    with pytest.raises(ValueError, match=rf"{method!r}, which says nothing of a cell type by it"):
        age_acceleration(adata, "group", cell_type_key="cell_type")
    assert_unchanged(adata, before)
    with caplog.at_level(logging.WARNING, "sctools"):
        age_acceleration(adata, "group", reference="control")
    assert "Only all cells are compared" in caplog.text
    result = adata.uns["age_acceleration"]
    assert result["results"]["cell_type"].unique().tolist() == ["all cells"]
    assert result["results"]["p"].notna().all()
    assert "cell_type_key" not in result["params"]
    assert adata.obs["age_acceleration"].notna().all()
    alone = result["results"].set_index("cell_type").loc["all cells", "effect"]
    age_acceleration(adata, "group", reference="control", specific=False)
    results = adata.uns["age_acceleration"]["results"].set_index("cell_type")
    assert len(results) == 4
    assert results.loc["all cells", "effect"] == pytest.approx(alone)


def test_what_is_said_of_a_cell_type_by_itself_is_kept_from_the_others():
    adata = small_cohort()
    method = {"n_folds": 3, "model_kwargs": {"input": "cells"}}
    before = predicted_by(adata, "ridge", **method)
    borrowed = before.uns["age_clock"]["donors"]["borrowed"]
    assert borrowed.notna().all()
    # A linear method on cells: the age of a cell, less what it borrows, is a line of its output.
    donor = before.obs["donor_id"].astype(str)
    changed = adata.copy()
    changed.obs["age"] = np.where(donor == donor.iloc[0], np.nan, changed.obs["age"])
    rows = ((donor == donor.iloc[0]) & (adata.obs["cell_type"] == "B cell")).to_numpy()
    unlike = changed.copy()
    shuffled = unlike.X.toarray()
    shuffled[rows] = shuffled[rows][:, ::-1]
    unlike.X = sparse.csr_matrix(shuffled)
    own = []
    for given in (changed, unlike):  # the donor is in no training fold of either
        result = predicted_by(given, "ridge", **method)
        part = result.uns["age_clock"]["donors"]["borrowed"]
        own.append(result.obs["age_clock"] - part[donor].to_numpy())
    others = ((donor == donor.iloc[0]) & ~rows).to_numpy()
    np.testing.assert_allclose(own[0][others], own[1][others], rtol=1e-6)
    assert np.abs(own[0] - own[1])[rows].max() > 0.1


# ------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("error", "message", "kwargs"),
    [
        (ValueError, r"`method` must be one of 'gma'.*'ridge'.*found 'rigde'", {"method": "rigde"}),
        (ValueError, r"`method` must be one of .*found None", {"method": None}),
        (ValueError, r"`covariate_keys` is for `method='gma'` only", {"covariate_keys": ["sex"]}),
        (ValueError, r"`train_kwargs` is for .*`model_kwargs`", {"train_kwargs": {"lr": 1e-3}}),
        (ValueError, r"`return_model=True` is for `method='gma'`", {"return_model": True}),
        (TypeError, r"unexpected keyword argument 'n_hidden'", {"model_kwargs": {"n_hidden": 3}}),
        (ValueError, r"`input` must be one of", {"model_kwargs": {"input": "rows"}}),
        (ValueError, r"`n_folds` must be a whole number", {"n_folds": 1}),
        (ValueError, r"`level`", {"level": 1.0}),
        (KeyError, r"`age_key='years'`|'years'", {"age_key": "years"}),
        (ValueError, r"Neither ages nor a trained clock", {"age_key": None}),
        (ValueError, r"Cross-fitting needs donors", {"donor_key": None}),
        (KeyError, r"visit", {"sample_key": "visit"}),
        (KeyError, r"kind", {"cell_type_key": "kind"}),
        (KeyError, r"raw", {"layer": "raw"}),
    ],
)
def test_errors_leave_adata_as_it_was(error, message, kwargs):
    adata = small_cohort(9)
    adata.obs["age_clock_weight"] = 1.0  # of an earlier run
    before = snapshot(adata)
    with pytest.raises(error, match=message):
        age_clock(adata, **{"method": "ridge", **kwargs})
    assert_unchanged(adata, before)


def test_method_or_model():
    adata = small_cohort(9)
    clock = age_clock(adata, **QUICK_CLOCK, return_model=True)
    before = snapshot(adata)
    with pytest.raises(ValueError, match=r"`method='ridge'` is for training.*`model` was given"):
        age_clock(adata, clock, method="ridge")
    assert_unchanged(adata, before)
    age_clock(adata, clock, method="gma")


@pytest.mark.parametrize("method", ["xgboost", "catboost"])
def test_missing_extra(method, monkeypatch):
    monkeypatch.setitem(sys.modules, method, None)
    adata = small_cohort(9)
    before = snapshot(adata)
    with pytest.raises(ImportError, match=rf"sctools-ml\[{method}\]"):
        age_clock(adata, method=method)
    assert_unchanged(adata, before)


def test_values_are_checked():
    adata = small_cohort(9)
    adata.X = adata.X * 0.5
    before = snapshot(adata)
    with pytest.raises(ValueError, match=r"must hold counts|raw counts"):
        age_clock(adata, method="pls")
    assert_unchanged(adata, before)


def test_cells_without_counts_are_told_of():
    adata = small_cohort()
    x = adata.X.toarray()
    x[:2] = 0
    adata.X = sparse.csr_matrix(x)
    with pytest.warns(UserWarning, match="2 cells have no counts; they count as cells that expr"):
        result = predicted_by(adata, "donor_attention")
    assert np.isfinite(result.obs["age_clock"]).all()
