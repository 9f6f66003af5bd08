from __future__ import annotations

import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sctools.model import _clock_methods
from sctools.tl import age_clock, compare_clocks
from sctools.tl._clock_scores import resampled_errors, score_clocks

from .._clock_cells import QUICK
from .._clocks import small_cohort, without_age
from .._compare import assert_unchanged, snapshot

FAST = ["ridge", "pls"]
DRAWS = [(a, b, 3 - a - b) for a in range(4) for b in range(4 - a)]
"""How often each of three donors can be drawn."""
COLUMNS = [
    "method", "input", "mae", "mae_lower", "mae_upper", "rmse", "r", "spearman", "cell_mae",
    "difference", "difference_lower", "difference_upper", "time_ratio",
]  # fmt: skip


@pytest.fixture(scope="module")
def compared():
    return compare_clocks(
        small_cohort(),
        ["gma", "ridge", "pls"],
        n_folds=3,
        method_kwargs={"gma": QUICK["gma"]},
        copy=True,
    )


def test_what_is_written():
    adata = small_cohort()
    before = snapshot(adata)
    assert compare_clocks(adata, FAST, n_folds=3) is None
    result = adata.uns.pop("compare_clocks")
    assert_unchanged(adata, before)
    assert set(result) == {
        "params", "age_unit", "results", "predictions", "donors", "best_baseline",
    }  # fmt: skip
    results = result["results"]
    assert list(results.columns) == COLUMNS
    assert results.index.tolist() == ["ridge", "pls", "mean_age"]
    assert results["input"].tolist() == ["sums", "sums", "none"]
    assert result["predictions"].columns.tolist() == ["ridge", "pls", "mean_age"]
    assert result["predictions"].index.tolist() == result["donors"].index.tolist()
    assert len(result["predictions"]) == 18
    assert result["params"]["n_folds"] == 3
    assert result["params"]["methods"] == FAST


def test_scores_are_those_of_the_predictions(compared):
    result = compared.uns["compare_clocks"]
    results, age = result["results"], result["donors"]["age"]
    error = result["predictions"].sub(age, axis=0)
    pd.testing.assert_series_equal(results["mae"], error.abs().mean(), check_names=False)
    rmse = np.sqrt((error**2).mean())
    pd.testing.assert_series_equal(results["rmse"], rmse, check_names=False)
    for name in ("gma", "ridge", "pls"):
        r = np.corrcoef(result["predictions"][name], age)[0, 1]
        assert results.loc[name, "r"] == pytest.approx(r)
    assert results.loc["mean_age", ["r", "spearman", "time_ratio"]].isna().all()
    assert results.loc["ridge", "time_ratio"] == 1
    assert (results["time_ratio"].dropna() > 0).all()
    # The mean age is that of the other folds.
    fold = result["donors"]["fold"].astype(str)
    for k in fold.unique():
        found = result["predictions"].loc[fold == k, "mean_age"]
        np.testing.assert_allclose(found, age[fold != k].mean())


def test_difference_is_against_the_best_baseline(compared):
    result = compared.uns["compare_clocks"]
    results = result["results"]
    baselines = results.drop(index="gma")
    assert result["best_baseline"] == baselines["mae"].idxmin() != "mean_age"
    best = baselines.loc[result["best_baseline"], "mae"]
    np.testing.assert_allclose(results["difference"], results["mae"] - best)
    own = results.loc[result["best_baseline"], ["difference_lower", "difference_upper"]]
    assert own.tolist() == [0, 0]
    assert results.loc["mean_age", "difference_lower"] > 0  # clearly worse


def test_intervals_hold_the_estimate(compared):
    results = compared.uns["compare_clocks"]["results"]
    assert (results["mae_lower"] < results["mae"]).all()
    assert (results["mae"] < results["mae_upper"]).all()
    assert (results["difference_lower"] <= results["difference"]).all()
    assert (results["difference"] <= results["difference_upper"]).all()


def test_cells_are_scored_where_they_are_predicted(compared):
    results = compared.uns["compare_clocks"]["results"]
    assert results["cell_mae"].isna().tolist() == [False, True, True, False]
    ages = compared.obs["age"].to_numpy()
    fold = compared.uns["compare_clocks"]["donors"]["fold"].astype(str)
    known = compared.uns["compare_clocks"]["donors"]["age"]
    mean = {d: known[fold != fold[d]].mean() for d in known.index}
    error = np.abs(compared.obs["donor_id"].astype(str).map(mean).to_numpy(float) - ages)
    assert results.loc["mean_age", "cell_mae"] == pytest.approx(error.mean())
    assert results.loc["gma", "cell_mae"] < results.loc["mean_age", "cell_mae"]


def test_every_method_has_the_same_folds(monkeypatch):
    """Seen by spies in place of the methods: same donors, cells and seed, no ages to predict."""
    calls = {}

    class Spy:
        input = "cells"

        def __init__(self, name):
            self.name = name

        def fit(self, cells, *, rng):
            self.learned = cells
            self.seed = rng
            return self

        def predict(self, cells):
            calls.setdefault(self.name, []).append((self.learned, cells, self.seed))
            return np.full(len(cells.donor), self.learned.age.mean())

        def predict_cells(self, cells):
            return None

    monkeypatch.setattr(_clock_methods, "clock_method", lambda name, **_: Spy(name))
    adata = small_cohort()
    names = list(_clock_methods.METHODS)
    compare_clocks(adata, names, n_folds=4)
    assert list(calls) == names
    donors = adata.uns["compare_clocks"]["donors"]
    ages = adata.obs.groupby("donor_id", observed=True)["age"].first()
    for k, (learned, asked, seed) in enumerate(calls["gma"]):
        fold = donors["fold"].astype(str) == str(k)
        assert asked.donor.tolist() == donors.index[fold].tolist()
        assert learned.donor.tolist() == donors.index[~fold].tolist()
        assert asked.age is None
        np.testing.assert_array_equal(learned.age, ages[learned.donor])
        for name in names:
            other_learned, other_asked, other_seed = calls[name][k]
            assert other_seed == seed
            for one, other in ((learned, other_learned), (asked, other_asked)):
                np.testing.assert_array_equal(one.donor, other.donor)
                np.testing.assert_array_equal(one.unit, other.unit)
                assert (one.x != other.x).nnz == 0
    assert len({seed for _, _, seed in calls["gma"]}) == 4
    everyone = adata.uns["compare_clocks"]["predictions"]
    for name in names:
        pd.testing.assert_series_equal(everyone[name], everyone["mean_age"], check_names=False)


def test_folds_and_clock_are_those_of_age_clock(compared):
    clock = QUICK["gma"]
    training = {"max_epochs", "lr"}
    alone = small_cohort()
    age_clock(
        alone,
        n_folds=3,
        model_kwargs={key: clock[key] for key in clock if key not in training},
        train_kwargs={key: clock[key] for key in training},
    )
    donors = alone.uns["age_clock"]["donors"]
    result = compared.uns["compare_clocks"]
    assert result["donors"]["fold"].tolist() == donors["fold"].tolist()
    np.testing.assert_allclose(result["predictions"]["gma"], donors["predicted"], rtol=2e-3)


def test_seed_decides_and_other_methods_do_not_matter():
    tables = [
        compare_clocks(small_cohort(), methods, rng=seed, copy=True).uns["compare_clocks"]
        for methods, seed in ((FAST, 0), (FAST, 0), (["pls"], 0), (FAST, 1))
    ]
    for a in ("predictions", "donors"):
        pd.testing.assert_frame_equal(tables[0][a], tables[1][a])
    timed = [table["results"].drop(columns="time_ratio") for table in tables]
    pd.testing.assert_frame_equal(timed[0], timed[1])
    pd.testing.assert_series_equal(tables[0]["predictions"]["pls"], tables[2]["predictions"]["pls"])
    assert tables[2]["results"]["time_ratio"].isna().all()  # nothing to compare with
    assert (tables[0]["donors"]["fold"] != tables[3]["donors"]["fold"]).any()


def test_donor_attention_is_one_row_whatever_the_inputs():
    adata = small_cohort()
    compare_clocks(adata, ["ridge", "donor_attention"], inputs=["cells", "sums"], n_folds=3)
    results = adata.uns["compare_clocks"]["results"]
    assert results.index.tolist() == [
        "ridge, cells", "ridge, sums", "donor_attention", "mean_age",
    ]  # fmt: skip
    assert results.loc["donor_attention", "input"] == "cells"
    assert results.loc["donor_attention", "mae"] < 0.7 * results.loc["mean_age", "mae"]
    assert np.isfinite(results.loc["donor_attention", "cell_mae"])
    with pytest.raises(TypeError, match="l1_ratio"):
        compare_clocks(
            adata, ["donor_attention"], method_kwargs={"donor_attention": {"l1_ratio": 0.5}}
        )


def test_several_inputs():
    adata = small_cohort()
    compare_clocks(adata, ["pls"], inputs=np.array(["cells", "sums"]), n_folds=3)
    result = adata.uns["compare_clocks"]
    assert result["params"]["inputs"] == ["cells", "sums"]
    assert result["results"].index.tolist() == ["pls, cells", "pls, sums", "mean_age"]
    assert result["results"]["input"].tolist() == ["cells", "sums", "none"]
    assert result["results"]["cell_mae"].isna().tolist() == [False, True, False]
    assert result["params"]["inputs"] == ["cells", "sums"]
    compare_clocks(adata, ["pls"], inputs="cells", n_folds=3)
    again = adata.uns["compare_clocks"]
    assert again["results"].index.tolist() == ["pls", "mean_age"]
    assert again["results"]["input"].tolist() == ["cells", "none"]
    np.testing.assert_array_equal(again["predictions"]["pls"], result["predictions"]["pls, cells"])


def test_donors_without_an_age_are_left_out():
    adata = small_cohort()
    unknown = without_age(adata, 3)
    compare_clocks(adata, FAST, n_folds=3)
    result = adata.uns["compare_clocks"]
    assert not set(unknown) & set(result["donors"]["donor"])
    assert len(result["predictions"]) == 15
    assert result["predictions"].notna().all().all()


def test_samples_of_a_donor_share_its_fold_and_its_draw():
    adata = small_cohort()
    adata.obs["sample"] = np.where(np.arange(adata.n_obs) % 2, "late", "early")
    adata.obs.loc[adata.obs["sample"] == "late", "age"] += 5
    compare_clocks(adata, FAST, sample_key="sample", n_folds=3)
    result = adata.uns["compare_clocks"]
    donors = result["donors"]
    assert len(donors) == 36
    assert (donors.groupby("donor")["fold"].nunique() == 1).all()
    assert set(donors["sample"]) == {"early", "late"}


def test_layers_counts_and_log_values_agree():
    adata = small_cohort()
    depth = np.asarray(adata.X.sum(axis=1)).ravel()
    log = sparse.csr_matrix(sparse.diags(1e4 / depth) @ adata.X).log1p()
    adata.layers["log"] = log
    expected = compare_clocks(adata, FAST, copy=True).uns["compare_clocks"]["predictions"]
    adata.layers["counts"], adata.X = adata.X, adata.X * 0
    for arguments in ({"layer": "counts"}, {"layer": "log", "log_normalized": True}):
        found = compare_clocks(adata, FAST, copy=True, **arguments).uns["compare_clocks"]
        np.testing.assert_allclose(found["predictions"], expected, rtol=1e-3)


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_result_survives_writing(compared, tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    getattr(compared, f"write_{kind}")(path)
    back = getattr(ad, f"read_{kind}")(path).uns["compare_clocks"]
    for name in ("results", "predictions", "donors"):
        expected = compared.uns["compare_clocks"][name]
        pd.testing.assert_frame_equal(back[name], expected, check_dtype=False)
    assert str(back["best_baseline"]) == compared.uns["compare_clocks"]["best_baseline"]


def test_backed_data_and_views(tmp_path):
    adata = small_cohort()
    expected = compare_clocks(adata, FAST, copy=True).uns["compare_clocks"]["predictions"]
    adata.write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    found = compare_clocks(backed, FAST, copy=True).uns["compare_clocks"]["predictions"]
    pd.testing.assert_frame_equal(found, expected)
    backed.file.close()
    view = adata[np.arange(adata.n_obs)]
    found = compare_clocks(view, FAST, copy=True).uns["compare_clocks"]["predictions"]
    pd.testing.assert_frame_equal(found, expected)


def test_bootstrap_draws_donors_with_all_their_samples():
    donor = np.array(["a", "a", "b", "c"])
    errors = np.array([[1.0, 2.0], [3.0, 2.0], [8.0, 2.0], [5.0, 2.0]])
    drawn = resampled_errors(errors, donor, 4000, np.random.default_rng(0))
    assert drawn.shape == (4000, 2)
    np.testing.assert_allclose(drawn[:, 1], 2)
    possible = [(4 * a + 8 * b + 5 * c) / (2 * a + b + c) for a, b, c in DRAWS]
    assert set(drawn[:, 0].round(6)) == set(np.round(possible, 6))


def test_bootstrap_interval_has_the_width_of_the_standard_error():
    rng = np.random.default_rng(0)
    age = rng.uniform(20, 90, 200)
    names = [f"D{i}" for i in range(200)]
    donors = pd.DataFrame({"donor": names, "age": age}, index=names)
    noise = rng.normal(0, 10, 200)
    predictions = pd.DataFrame(
        {"gma": age + noise, "ridge": age + 1.1 * noise, "mean_age": np.full(200, age.mean())},
        index=names,
    )
    clocks = pd.DataFrame(
        {"method": predictions.columns, "input": "cells", "cell_mae": 1.0, "time_ratio": 1.0},
        index=predictions.columns,
    )
    table, best = score_clocks(
        clocks, donors, predictions, n_bootstrap=2000, rng=np.random.default_rng(1)
    )
    assert best == "ridge"
    error = np.abs(noise)
    half = 1.96 * error.std() / np.sqrt(200)
    width = table["mae_upper"] - table["mae_lower"]
    assert width["gma"] == pytest.approx(2 * half, rel=0.1)
    # Paired: the two err alike, so that a small difference is certain though intervals overlap.
    assert table.loc["gma", "mae_upper"] > table.loc["ridge", "mae"]
    assert table.loc["gma", "difference"] == pytest.approx(-0.1 * error.mean())
    assert table.loc["gma", "difference_upper"] < 0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"methods": ["svm"]}, ValueError, "`methods` must name some of 'gma'.*'svm'"),
        ({"methods": []}, ValueError, "`methods`"),
        ({"methods": ["pls", "pls"]}, ValueError, "each once"),
        ({"methods": "pls"}, TypeError, r"methods=\['pls'\]"),
        ({"methods": 0.5}, TypeError, "`methods` must be a list of names, found 0.5"),
        ({"methods": [["pls"]]}, TypeError, "`methods` must be a list of names"),
        ({"inputs": "counts"}, ValueError, "`inputs` must name some of 'cells'.*'counts'"),
        ({"inputs": []}, ValueError, "`inputs`"),
        ({"inputs": np.nan}, TypeError, "`inputs` must be a list of names, found nan"),
        ({"method_kwargs": {"gma": {}}}, ValueError, "`method_kwargs` is for 'gma'"),
        ({"method_kwargs": {"pls": {"depth": 3}}}, TypeError, "depth"),
        ({"n_folds": 1}, ValueError, "`n_folds`"),
        ({"n_bootstrap": 0}, ValueError, "`n_bootstrap`"),
        ({"n_bootstrap": "many"}, ValueError, "`n_bootstrap` must be a whole number"),
        ({"rng": 0.5}, TypeError, "`rng` must be a whole number"),
        ({"sample_key": ["visit"]}, TypeError, "`sample_key` must be a name"),
        ({"copy": "yes"}, TypeError, "`copy` must be True or False"),
        ({"method_kwargs": {"pls": 3}}, TypeError, "`pls` must map names"),
        ({"age_key": "absent"}, KeyError, "`age_key='absent'`"),
        ({"donor_key": "absent"}, KeyError, "`donor_key='absent'`"),
        ({"sample_key": "absent"}, KeyError, "`sample_key='absent'`"),
        ({"cell_type_key": "absent"}, KeyError, "`cell_type_key='absent'`"),
        ({"layer": "absent"}, KeyError, "`layer='absent'`"),
        ({"log_normalized": True}, ValueError, "looks like counts"),
        ({"key_added": "a/b"}, ValueError, "`key_added`"),
        ({"key_added": "age_unit"}, ValueError, "overwrite"),
    ],
)
def test_errors_leave_the_data_as_they_were(change, error, message):
    adata = small_cohort()
    before = snapshot(adata)
    with pytest.raises(error, match=message):
        compare_clocks(adata, **{"methods": FAST, **change})
    assert_unchanged(adata, before)


def test_too_few_donors():
    adata = small_cohort()
    adata = adata[adata.obs["donor_id"].isin(["D01", "D02"])].copy()
    with pytest.raises(ValueError, match="at least 3 donors with a known age, found 2"):
        compare_clocks(adata, FAST)


def test_three_donors_are_enough():
    adata = small_cohort()
    adata = adata[adata.obs["donor_id"].isin(["D01", "D02", "D03"])].copy()
    compare_clocks(adata, FAST, n_folds=2)
    predictions = adata.uns["compare_clocks"]["predictions"]
    np.testing.assert_allclose(predictions["ridge"], predictions["mean_age"])


@pytest.mark.parametrize("library", ["xgboost", "catboost"])
def test_a_missing_library_is_told_before_anything_is_fitted(library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    adata = small_cohort()
    before = snapshot(adata)
    with pytest.raises(ImportError, match=rf"sctools-ml\[{library}\]"):
        compare_clocks(adata, ["ridge", library])
    assert_unchanged(adata, before)
