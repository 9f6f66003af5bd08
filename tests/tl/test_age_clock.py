from __future__ import annotations

import functools
import logging
import random
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import sctools
from sctools.model import AgeClock
from sctools.tl import age_clock

from .._clocks import QUICK, small_cohort, without_age
from .._compare import assert_same, assert_unchanged, snapshot

METRICS = ["n", "mae", "rmse", "r", "spearman", "mae_mean", "coverage", "width"]


@pytest.fixture(scope="module")
def fitted():
    """A cross-fitted cohort with two donors without an age, and its clock."""
    adata = small_cohort()
    unknown = without_age(adata, 2)
    clock = age_clock(adata, **QUICK, return_model=True)
    return adata, clock, unknown


@pytest.fixture(scope="module")
def clock(fitted):
    return fitted[1]


# ------------------------------------------------------------------------- cross-fitting


def test_what_is_written(fitted):
    adata, _, unknown = fitted
    plain = small_cohort()
    assert set(adata.obs) - set(plain.obs) == {
        "age_clock", "age_clock_lower", "age_clock_upper", "age_clock_acceleration",
        "age_clock_fold",
    }  # fmt: skip
    assert set(adata.uns) - set(plain.uns) == {"age_clock"}
    assert set(adata.uns["age_clock"]) == {
        "params", "age_unit", "metrics", "donors", "coverage", "history", "acceleration",
        "genes",
    }  # fmt: skip
    no_age = adata.obs["donor_id"].isin(unknown)
    assert adata.obs["age_clock"].dtype == np.float64
    assert np.isfinite(adata.obs["age_clock"]).all()
    assert adata.obs["age_clock_acceleration"].dtype == np.float64
    assert (adata.obs["age_clock_acceleration"].isna() == no_age).all()
    fold = adata.obs["age_clock_fold"]
    assert fold.cat.categories.tolist() == ["0", "1", "2"]
    assert (fold.isna() == no_age).all()
    assert adata.obs.groupby("donor_id", observed=True)["age_clock_fold"].nunique().max() == 1


def test_params(fitted):
    params = fitted[0].uns["age_clock"]["params"]
    assert None not in params.values()
    expected = {
        "method": "gma", "mode": "cross_fit", "age_key": "age", "donor_key": "donor_id",
        "cell_type_key": "cell_type", "covariate_keys": [], "log_normalized": False,
        "n_folds": 3, "level": 0.9, "rng": 0,
    }  # fmt: skip
    assert {name: params[name] for name in expected} == expected
    assert params["train_kwargs"] == {"max_epochs": 3, "lr": 3e-3}
    assert "sample_key" not in params
    assert "layer" not in params


def test_donor_table(fitted):
    adata, _, unknown = fitted
    donors = adata.uns["age_clock"]["donors"]
    assert list(donors.columns) == [
        "donor", "age", "predicted", "lower", "upper", "borrowed", "mean_age", "acceleration",
        "fold", "n_cells",
    ]  # fmt: skip
    grouped = adata.obs.groupby("donor_id", observed=True)
    assert donors.index.tolist() == donors["donor"].tolist() == list(grouped.groups)
    for column, expected in {
        "age": grouped["age"].first(),
        "predicted": grouped["age_clock"].mean(),
        "n_cells": grouped.size(),
        "acceleration": grouped["age_clock_acceleration"].mean(),
    }.items():
        np.testing.assert_allclose(donors[column], expected, err_msg=column, rtol=1e-8, atol=1e-8)
    assert donors.loc[unknown, "fold"].isna().all()
    known = donors.drop(index=unknown)
    assert (known["fold"] == grouped["age_clock_fold"].first().loc[known.index]).all()
    for donor, row in known.iterrows():  # what a donor is compared with leaves out its fold
        others = known.loc[known["fold"] != row["fold"], "age"]
        assert row["mean_age"] == pytest.approx(others.mean()), donor
    np.testing.assert_allclose(donors.loc[unknown, "mean_age"], known["age"].mean())


def test_metrics(fitted):
    adata, *_ = fitted
    metrics = adata.uns["age_clock"]["metrics"]
    assert set(metrics) == {"donor", "cell", "beats_mean", "p_value", "message"}
    assert list(metrics["donor"]) == list(metrics["cell"]) == METRICS
    donors = adata.uns["age_clock"]["donors"].dropna(subset="age")
    error = donors["predicted"] - donors["age"]
    gain = (donors["mean_age"] - donors["age"]).abs() - error.abs()
    assert metrics["donor"] == pytest.approx(
        {
            "n": 16,
            "mae": error.abs().mean(),
            "rmse": np.sqrt((error**2).mean()),
            "r": stats.pearsonr(donors["age"], donors["predicted"]).statistic,
            "spearman": stats.spearmanr(donors["age"], donors["predicted"]).statistic,
            "mae_mean": (donors["mean_age"] - donors["age"]).abs().mean(),
            "coverage": donors["age"].between(donors["lower"], donors["upper"]).mean(),
            "width": (donors["upper"] - donors["lower"]).median(),
        }
    )
    assert metrics["p_value"] == pytest.approx(
        stats.ttest_1samp(gain, 0, alternative="greater").pvalue
    )
    assert type(metrics["beats_mean"]) is bool
    cells = adata.obs.dropna(subset="age")
    assert metrics["cell"]["n"] == len(cells)
    assert metrics["cell"]["mae"] == pytest.approx((cells["age_clock"] - cells["age"]).abs().mean())


def test_acceleration_is_the_residual_of_a_line_over_donors(fitted):
    adata, *_ = fitted
    result = adata.uns["age_clock"]
    donors = result["donors"].dropna(subset="age")
    line = stats.linregress(donors["age"], donors["predicted"])
    assert result["acceleration"] == pytest.approx(
        {"intercept": line.intercept, "slope": line.slope}
    )
    expected = adata.obs["age_clock"] - (line.intercept + line.slope * adata.obs["age"])
    np.testing.assert_allclose(adata.obs["age_clock_acceleration"], expected, atol=1e-8)


def test_history(fitted):
    history = fitted[0].uns["age_clock"]["history"]
    assert list(history.columns[:2]) == ["fold", "epoch"]
    assert {"train_loss", "validation_loss"} <= set(history.columns)
    assert history.groupby("fold").size().to_dict() == {"0": 3, "1": 3, "2": 3}
    assert np.isfinite(history[["train_loss", "validation_loss"]].to_numpy()).all()


def test_a_strong_signal_is_found_and_told(caplog):
    adata = small_cohort(24)
    quick = {**QUICK, "train_kwargs": {"max_epochs": 8, "lr": 3e-3}}
    with caplog.at_level(logging.INFO, "sctools"):
        assert age_clock(adata, **quick) is None
    metrics = adata.uns["age_clock"]["metrics"]
    assert metrics["beats_mean"] is True
    assert metrics["donor"]["r"] > 0.85
    assert metrics["donor"]["mae"] < 0.6 * metrics["donor"]["mae_mean"]
    told = [record for record in caplog.records if record.getMessage() == metrics["message"]]
    assert [record.levelno for record in told] == [logging.INFO]


def test_no_signal_is_told_as_a_warning(caplog):
    adata = small_cohort()
    donors = adata.obs["donor_id"].cat.categories
    ages = adata.obs.groupby("donor_id", observed=True)["age"].first().to_numpy()
    shuffled = dict(zip(donors, np.random.default_rng(3).permutation(ages), strict=True))
    adata.obs["age"] = adata.obs["donor_id"].map(shuffled).astype(float)
    with caplog.at_level(logging.INFO, "sctools"):
        age_clock(adata, **QUICK)
    metrics = adata.uns["age_clock"]["metrics"]
    assert metrics["beats_mean"] is False
    assert metrics["donor"]["mae"] < 1.25 * metrics["donor"]["mae_mean"]
    told = [record for record in caplog.records if record.getMessage() == metrics["message"]]
    assert [record.levelno for record in told] == [logging.WARNING]
    assert "does not beat the mean age" in metrics["message"]


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
@pytest.mark.parametrize("what", ["cross_fit", "samples", "applied"])
def test_round_trip(fitted, tmp_path, suffix, what):
    adata = fitted[0].copy()
    if what == "applied":
        del adata.uns["age_clock"], adata.obs["age"]
        age_clock(adata, fitted[1])
    elif what == "samples":
        adata = two_visits()
        age_clock(adata, sample_key="visit", covariate_keys=["sex"], **QUICK)
    path = tmp_path / f"result.{suffix}"
    getattr(adata, f"write_{suffix}")(path)
    back = (ad.read_h5ad if suffix == "h5ad" else ad.read_zarr)(path)
    pd.testing.assert_frame_equal(back.obs, adata.obs)
    found, expected = back.uns["age_clock"], adata.uns["age_clock"]
    assert set(found) == set(expected)
    for name, value in expected.items():
        if isinstance(value, pd.DataFrame):
            pd.testing.assert_frame_equal(found[name], value, check_column_type=False)
    if what != "applied":
        for level in ("donor", "cell"):
            assert dict(found["metrics"][level]) == pytest.approx(expected["metrics"][level])
        assert bool(found["metrics"]["beats_mean"]) == expected["metrics"]["beats_mean"]
        assert found["metrics"]["message"] == expected["metrics"]["message"]
    assert found["age_unit"] == "years"
    # What comes back serves the readers and the plots.
    sctools.get.age_df(back)
    sctools.get.donor_age_df(back)
    sctools.pl.age_by_celltype(back, show=False)


def test_plots_work_straight_after(fitted):
    for name in ("age_clock", "age_by_celltype", "training_history"):
        assert getattr(sctools.pl, name)(fitted[0], show=False) is not None


def test_copy_and_return_model():
    adata = small_cohort(8)
    quick = {**QUICK, "n_folds": 2, "train_kwargs": {"max_epochs": 1}}
    before = snapshot(adata)
    copied = age_clock(adata, copy=True, **quick)
    both = age_clock(adata, copy=True, return_model=True, **quick)
    assert_unchanged(adata, before)
    assert isinstance(copied, ad.AnnData)
    assert isinstance(both, tuple)
    assert isinstance(both[0], ad.AnnData)
    assert isinstance(both[1], AgeClock)
    clock = age_clock(adata, return_model=True, **quick)
    assert isinstance(clock, AgeClock)
    assert age_clock(adata, key_added="again", **quick) is None
    pd.testing.assert_frame_equal(copied.obs, both[0].obs)
    np.testing.assert_array_equal(copied.obs["age_clock"], adata.obs["age_clock"])
    np.testing.assert_array_equal(adata.obs["again"], adata.obs["age_clock"])
    names = {"again", "again_fold", "again_acceleration", "again_lower", "again_upper"}
    assert names < set(adata.obs)
    assert "again" in adata.uns


def test_returned_clock_is_the_mean_of_the_fold_clocks(fitted):
    adata, clock, unknown = fitted
    parts = clock.split()
    assert len(parts) == 3
    ages = [part.predict(adata) for part in parts]
    np.testing.assert_allclose(clock.predict(adata), np.mean(ages, axis=0), atol=1e-9)
    # Out-of-fold predictions are those of the clock of the fold; donors without age get the mean.
    for k in range(3):
        rows = (adata.obs["age_clock_fold"] == str(k)).to_numpy()
        np.testing.assert_allclose(adata.obs["age_clock"][rows], ages[k][rows], atol=1e-4)
    rows = adata.obs["donor_id"].isin(unknown).to_numpy()
    np.testing.assert_allclose(adata.obs["age_clock"][rows], clock.predict(adata)[rows], atol=1e-4)


def test_no_donor_is_predicted_by_a_clock_that_saw_it(monkeypatch):
    adata = small_cohort(10)
    unknown = without_age(adata, 2)
    trained, predicted = {}, []
    train, predict = AgeClock.train, AgeClock.predict

    @functools.wraps(train)
    def spy_train(self, *args, **kwargs):
        trained[id(self)] = self, self.adata.obs_names.tolist()
        return train(self, *args, **kwargs)

    @functools.wraps(predict)
    def spy_predict(self, adata=None, **kwargs):
        predicted.append((self, adata.obs_names.tolist()))
        return predict(self, adata, **kwargs)

    monkeypatch.setattr(AgeClock, "train", spy_train)
    monkeypatch.setattr(AgeClock, "predict", spy_predict)
    age_clock(adata, **QUICK)

    donor = adata.obs["donor_id"].astype(str)
    labelled = set(adata.obs_names[~donor.isin(unknown)])
    assert len(trained) == 3
    done = []
    for clock, cells in predicted:
        if id(clock) in trained:
            seen = trained[id(clock)][1]
            assert set(seen) <= labelled
            assert not set(donor[cells]) & set(donor[seen])
            assert set(donor[cells]) | set(donor[seen]) == set(donor[sorted(labelled)])
            done += cells
        else:
            assert set(donor[cells]) == set(unknown)
    assert sorted(done) == sorted(labelled)  # each once


def test_a_donor_does_not_touch_the_others_of_its_fold(fitted):
    adata, *_ = fitted
    changed = small_cohort()
    without_age(changed, 2)
    first = adata.obs["age_clock_fold"] == "0"
    victim = adata.obs["donor_id"] == adata.obs.loc[first, "donor_id"].iloc[0]
    X = changed.X.toarray()
    X[victim.to_numpy()] = X[victim.to_numpy()][:, ::-1]
    changed.X = X
    age_clock(changed, **QUICK)
    difference = (changed.obs["age_clock"] - adata.obs["age_clock"]).abs()
    assert difference[first & ~victim].max() < 1e-4
    assert difference[victim].max() > 1e-2
    assert difference[adata.obs["age_clock_fold"] == "1"].max() > 1e-2


def test_seed_and_global_random_state():
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    random.seed(3)
    states = np.random.get_state()[1].copy(), torch.get_rng_state(), random.getstate()  # noqa: NPY002
    runs = []
    for rng in (0, 0, 7, np.random.default_rng(0)):
        adata = small_cohort(10)
        age_clock(adata, rng=rng, **QUICK)
        runs.append(adata)
    np.testing.assert_array_equal(np.random.get_state()[1], states[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[1])
    assert random.getstate() == states[2]
    same, again, other, generator = (run.obs["age_clock"].to_numpy() for run in runs)
    np.testing.assert_array_equal(same, again)
    np.testing.assert_array_equal(same, generator)
    assert (same != other).any()
    assert "rng" not in runs[3].uns["age_clock"]["params"]


# ------------------------------------------------------------------------- kinds of cohorts


def two_visits(n_donors=9):
    """Every donor gave two samples, four years apart."""
    adata = small_cohort(n_donors)
    second = np.arange(adata.n_obs) % 2 == 1
    adata.obs["visit"] = np.where(second, "v2", "v1")
    adata.obs["age"] = adata.obs["age"].round() + 4.0 * second
    return adata


def test_samples_of_a_donor():
    adata = two_visits()
    age_clock(adata, sample_key="visit", **QUICK)
    result = adata.uns["age_clock"]
    donors = result["donors"]
    assert list(donors.columns[:2]) == ["donor", "sample"]
    assert donors.index.tolist()[:2] == [f"{donors['donor'].iloc[0]}|v1",
                                         f"{donors['donor'].iloc[0]}|v2"]  # fmt: skip
    assert len(donors) == result["metrics"]["donor"]["n"] == 18
    assert donors.groupby("donor")["fold"].nunique().max() == 1
    assert donors.groupby("donor")["age"].nunique().min() == 2
    assert adata.obs.groupby("donor_id", observed=True)["age_clock_fold"].nunique().max() == 1
    assert result["params"]["sample_key"] == "visit"
    means = adata.obs.groupby(["donor_id", "visit"], observed=True)["age_clock"].mean()
    np.testing.assert_allclose(donors["predicted"], means, atol=1e-8)


def test_without_cell_types(caplog):
    adata = small_cohort(9)
    del adata.obs["cell_type"]
    with caplog.at_level(logging.WARNING, "sctools"):
        age_clock(adata, **QUICK)
    assert "No column 'cell_type' in adata.obs" in caplog.text
    assert "cell_type_key" not in adata.uns["age_clock"]["params"]
    assert adata.obs["age_clock"].notna().all()
    declared = small_cohort(9)
    caplog.clear()
    with caplog.at_level(logging.INFO, "sctools"):
        age_clock(declared, cell_type_key=None, **QUICK)
    assert "No column" not in caplog.text
    np.testing.assert_array_equal(declared.obs["age_clock"], adata.obs["age_clock"])


@pytest.mark.parametrize("n_folds", [2, 5])
def test_three_donors(n_folds):
    adata = small_cohort(3)
    age_clock(adata, **{**QUICK, "n_folds": n_folds})
    result = adata.uns["age_clock"]
    assert adata.obs["age_clock_fold"].nunique() == min(n_folds, 3)
    assert result["params"]["n_folds"] == min(n_folds, 3)
    assert np.isfinite(adata.obs["age_clock"]).all()
    # Three donors show nothing: everyone gets the mean age of the others.
    np.testing.assert_allclose(result["donors"]["predicted"], result["donors"]["mean_age"])
    assert result["metrics"]["beats_mean"] is False


def test_covariates_and_other_names():
    adata = small_cohort(9)
    adata.obs = adata.obs.rename(
        columns={"age": "years", "donor_id": "person", "cell_type": "label"}
    )
    adata.layers["counts"] = adata.X
    adata.X = np.full(adata.shape, np.nan, dtype="float32")
    adata.uns["age_unit"] = "months"
    clock = age_clock(
        adata, age_key="years", donor_key="person", cell_type_key="label", covariate_keys=["sex"],
        layer="counts", return_model=True, **QUICK,
    )  # fmt: skip
    assert adata.uns["age_clock"]["age_unit"] == clock.age_unit == "months"
    assert " months " in adata.uns["age_clock"]["metrics"]["message"]
    params = adata.uns["age_clock"]["params"]
    assert params["covariate_keys"] == ["sex"]
    assert params["layer"] == "counts"
    assert np.isnan(adata.X).all()
    assert np.isfinite(adata.obs["age_clock"]).all()


def test_log_normalized_gives_what_counts_give():
    counts, logged = small_cohort(9), small_cohort(9)
    totals = np.asarray(logged.X.sum(axis=1))
    logged.X = np.log1p(logged.X.toarray() * (1e4 / totals)).astype(np.float64)
    age_clock(counts, **QUICK)
    age_clock(logged, log_normalized=True, **QUICK)
    np.testing.assert_allclose(logged.obs["age_clock"], counts.obs["age_clock"], atol=0.05)


@pytest.mark.parametrize("form", ["csc", "dense", "float64", "int"])
def test_storage_does_not_matter_in_training(form):
    plain, other = small_cohort(8), small_cohort(8)
    other.X = {
        "csc": other.X.tocsc(),
        "dense": other.X.toarray(),
        "float64": other.X.astype(np.float64),
        "int": other.X.astype(np.int64),
    }[form]
    X = snapshot(other)["X"]
    quick = {**QUICK, "n_folds": 2}
    age_clock(plain, **quick)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        age_clock(other, **quick)
    np.testing.assert_allclose(other.obs["age_clock"], plain.obs["age_clock"], atol=1e-3)
    assert_same(snapshot(other)["X"], X)


def test_backed_file(tmp_path):
    adata = small_cohort(8)
    adata.write_h5ad(tmp_path / "a.h5ad")
    age_clock(adata, **QUICK)
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    copied = age_clock(backed, copy=True, **QUICK)
    assert "age_clock" not in backed.obs
    np.testing.assert_array_equal(copied.obs["age_clock"], adata.obs["age_clock"])
    with pytest.raises(ValueError, match=r"view of a backed file.*to_memory"):
        age_clock(backed[:20], **QUICK)
    age_clock(backed, **QUICK)
    np.testing.assert_array_equal(backed.obs["age_clock"], adata.obs["age_clock"])
    backed.file.close()


def test_view_works():
    whole = small_cohort(12)
    keep = whole.obs["donor_id"].isin(whole.obs["donor_id"].unique()[:9]).to_numpy()
    view, plain = whole[keep], whole[keep].copy()
    before = snapshot(whole)
    with pytest.warns(UserWarning, match="view"):
        age_clock(view, **QUICK)
    age_clock(plain, **QUICK)
    assert_unchanged(whole, before)
    np.testing.assert_array_equal(view.obs["age_clock"], plain.obs["age_clock"])
    assert "age_clock" in view.uns


def test_categorical_ages_that_are_numbers():
    adata, plain = small_cohort(9), small_cohort(9)
    adata.obs["age"] = pd.Categorical(adata.obs["age"])
    with pytest.warns(UserWarning, match=r"is Categorical; its categories are numbers") as caught:
        age_clock(adata, **QUICK)
    assert sum("is Categorical" in str(w.message) for w in caught) == 1
    age_clock(plain, **QUICK)
    np.testing.assert_array_equal(adata.obs["age_clock"], plain.obs["age_clock"])
    assert adata.obs["age"].dtype == "category"


def test_cells_without_counts(clock):
    adata = small_cohort(9)
    X = adata.X.toarray()
    X[::20] = 0
    adata.X = X
    n_empty = len(X[::20])
    with pytest.warns(UserWarning, match=rf"^{n_empty} cells have no counts") as caught:
        age_clock(adata, **QUICK)
    assert sum("have no counts" in str(w.message) for w in caught) == 1
    assert np.isfinite(adata.obs["age_clock"]).all()
    with pytest.warns(UserWarning, match=rf"^{n_empty} cells have no counts"):
        age_clock(adata, clock)
    assert np.isfinite(adata.obs["age_clock"]).all()


def test_categories_never_seen(clock):
    adata = small_cohort(9)
    kinds = adata.obs["cell_type"].cat.rename_categories({"T cell": "NKT cell"})
    adata.obs["cell_type"] = kinds
    message = r"1 categories of 'cell_type' were not seen.*'NKT cell'.*Known: .*'T cell'"
    with pytest.warns(UserWarning, match=message):
        age_clock(adata, clock)
    assert np.isfinite(adata.obs["age_clock"]).all()


def test_a_cell_type_that_only_donors_without_age_have():
    adata = small_cohort(9)
    unknown = without_age(adata, 1)
    kinds = adata.obs["cell_type"].astype(str)
    adata.obs["cell_type"] = kinds.where(~adata.obs["donor_id"].isin(unknown), "Platelet")
    with pytest.warns(UserWarning, match=r"'cell_type' were not seen in training.*'Platelet'"):
        age_clock(adata, **QUICK)
    assert np.isfinite(adata.obs["age_clock"]).all()


def test_a_cell_type_of_one_donor_only_is_no_news():
    adata = small_cohort(9)
    kinds = adata.obs["cell_type"].astype(str)
    one = adata.obs["donor_id"] == adata.obs["donor_id"].iloc[0]
    adata.obs["cell_type"] = kinds.where(~one, "Rare")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        age_clock(adata, **QUICK)
    assert np.isfinite(adata.obs["age_clock"]).all()


# ------------------------------------------------------------------------- a given clock


def test_given_clock_needs_no_ages(fitted, clock):
    adata = small_cohort()
    expected = clock.predict(adata)
    del adata.obs["age"]
    returned = age_clock(adata, clock, return_model=True)
    assert returned is clock
    np.testing.assert_allclose(adata.obs["age_clock"], expected, atol=1e-8)
    assert "age_clock_fold" not in adata.obs
    assert "age_clock_acceleration" not in adata.obs
    result = adata.uns["age_clock"]
    assert set(result) == {"params", "age_unit", "coverage", "donors", "genes"}
    assert result["params"]["mode"] == "applied"
    assert "age_key" not in result["params"]
    assert result["coverage"] == {
        "n_genes": 150, "n_found": 150, "fraction": 1.0, "id_type": "symbol"
    }  # fmt: skip
    assert list(result["donors"].columns) == [
        "donor", "age", "predicted", "lower", "upper", "borrowed", "mean_age", "acceleration",
        "n_cells",
    ]  # fmt: skip
    assert result["donors"]["age"].isna().all()


def test_given_clock_with_ages(clock):
    adata = small_cohort()
    unknown = without_age(adata, 3)
    age_clock(adata, clock)
    result = adata.uns["age_clock"]
    known = result["donors"].drop(index=unknown)
    assert result["metrics"]["donor"]["n"] == 15
    assert "on these donors" in result["metrics"]["message"]
    for donor, row in known.iterrows():
        assert row["mean_age"] == pytest.approx(known["age"].drop(donor).mean())
    assert result["donors"].loc[unknown, "mean_age"].isna().all()
    missing = adata.obs["age_clock_acceleration"].isna()
    assert (missing == adata.obs["donor_id"].isin(unknown)).all()
    assert set(result) == {
        "params", "age_unit", "coverage", "donors", "metrics", "acceleration", "genes"
    }  # fmt: skip


def test_given_directory(fitted, tmp_path):
    adata, clock, _ = fitted
    clock.save(tmp_path / "clock")
    for path in (tmp_path / "clock", str(tmp_path / "clock")):
        other = small_cohort()
        loaded = age_clock(other, path, return_model=True)
        assert isinstance(loaded, AgeClock)
        np.testing.assert_array_equal(other.obs["age_clock"], clock.predict(adata))


@pytest.mark.parametrize("how", ["None", "missing column"])
def test_given_clock_without_donors(clock, how, caplog):
    adata = small_cohort()
    keys = {"donor_key": None} if how == "None" else {}
    if how == "missing column":
        del adata.obs["donor_id"]
    with caplog.at_level(logging.INFO, "sctools"):
        age_clock(adata, clock, **keys)
    assert ("every cell is aged on its own" in caplog.text) == (how == "missing column")
    np.testing.assert_array_equal(adata.obs["age_clock"], clock.predict(adata, donor_key=None))
    assert set(adata.uns["age_clock"]) == {"params", "age_unit", "coverage"}
    assert "donor_key" not in adata.uns["age_clock"]["params"]


def test_given_clock_finds_genes_by_column(clock):
    adata = small_cohort()
    expected = clock.predict(adata)
    adata.var["symbol"] = adata.var_names
    adata.var["mine"] = adata.var_names
    adata.var_names = [f"ENSG{i:011}" for i in range(adata.n_vars)]
    for keys in ({}, {"gene_key": "mine"}):
        age_clock(adata, clock, **keys)
        np.testing.assert_allclose(adata.obs["age_clock"], expected, atol=1e-8)


def test_given_clock_with_some_genes_missing(clock):
    adata = small_cohort()[:, :100].copy()
    age_clock(adata, clock)
    coverage = adata.uns["age_clock"]["coverage"]
    assert (coverage["n_genes"], coverage["n_found"]) == (150, 100)
    assert coverage["fraction"] == pytest.approx(2 / 3)


def test_a_second_run_leaves_nothing_of_the_first(fitted, clock):
    adata = fitted[0].copy()
    del adata.obs["age"]
    age_clock(adata, clock)
    assert "age_clock_fold" not in adata.obs
    assert "age_clock_acceleration" not in adata.obs
    assert "history" not in adata.uns["age_clock"]
    age_clock(adata, clock, donor_key=None)
    assert "donors" not in adata.uns["age_clock"]
    assert not {"age_clock_lower", "age_clock_upper"} & set(adata.obs)


def test_given_clock_with_other_column_names():
    adata = small_cohort(9)
    clock = age_clock(adata, covariate_keys=["sex"], return_model=True, **QUICK)
    expected = clock.predict(adata)
    other = small_cohort(9)
    other.obs = other.obs.rename(columns={"cell_type": "label", "sex": "gender"})
    with pytest.warns(UserWarning, match=r"lacks 'cell_type', 'sex'.*treated as unknown"):
        age_clock(other, clock)
    age_clock(other, clock, cell_type_key="label", covariate_keys={"sex": "gender"})
    np.testing.assert_allclose(other.obs["age_clock"], expected, atol=1e-8)
    assert other.uns["age_clock"]["params"]["covariate_keys"] == ["gender"]
    assert other.uns["age_clock"]["params"]["cell_type_key"] == "label"
    age_clock(other, clock, cell_type_key="label", covariate_keys=["gender"])
    np.testing.assert_allclose(other.obs["age_clock"], expected, atol=1e-8)


def test_a_clock_says_which_donors_it_has_seen(fitted, caplog):
    adata, clock, unknown = fitted
    adata = adata.copy()
    age_clock(adata, model=clock)
    metrics = adata.uns["age_clock"]["metrics"]
    n_donors = adata.obs["donor_id"].nunique() - len(unknown)
    assert metrics["n_seen"] == n_donors
    assert f"{n_donors} of these {n_donors} donors" in metrics["message"]
    assert "no error on held-out donors" in caplog.text

    adata.obs["donor_id"] = "new " + adata.obs["donor_id"].astype(str)
    age_clock(adata, model=clock)
    metrics = adata.uns["age_clock"]["metrics"]
    assert metrics["n_seen"] == 0
    assert "trained on" not in metrics["message"]
