"""Acceleration of groups of donors, on predicted ages whose truth is known."""

from __future__ import annotations

import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests

from sctools.tl import age_acceleration
from sctools.tl._group_effect import weights_of

from .._compare import assert_same, assert_unchanged, snapshot
from .._fake_acceleration import duplicated, fake_acceleration
from .._fake_results import fake_age_result

EXACT = {"donor_sd": 0.0, "cell_sd": 0.0}


def run(adata, groupby="group", **kwargs):
    """Results by cell type, of one group."""
    kwargs = {"reference": "control", **kwargs}
    age_acceleration(adata, groupby, **kwargs)
    return adata.uns["age_acceleration"]["results"].set_index("cell_type")


def p_values(adata, **kwargs):
    return run(adata, **kwargs)["p"].drop("all cells").to_numpy()


# ----------------------------------------------------------------------- what is written


def test_planted_effect_without_noise():
    adata = fake_acceleration(effect={"T cell": 8.0, "Monocyte": -3.0}, **EXACT)
    results = run(adata)
    assert results.index.tolist() == ["B cell", "Monocyte", "T cell", "all cells"]
    np.testing.assert_allclose(results["effect"].iloc[:3], [0, -3, 8], atol=1e-8)
    np.testing.assert_allclose(results["slope"], 0.8)
    assert results["p"].tolist()[:3] == [1, 0, 0]
    assert (results["group"] == "case").all()
    assert (results["reference"] == "control").all()
    assert (results["note"] == "").all()

    donors = adata.uns["age_acceleration"]["donors"]
    expected = donors["cell_type"].astype(str).map({"T cell": 8.0, "Monocyte": -3.0, "B cell": 0.0})
    expected[donors["group"] == "control"] = 0.0
    types = donors["cell_type"] != "all cells"
    np.testing.assert_allclose(donors["acceleration"][types], expected[types], atol=1e-8)
    expected = 8.0 * ((adata.obs["cell_type"] == "T cell") & (adata.obs["group"] == "case"))
    expected -= 3.0 * ((adata.obs["cell_type"] == "Monocyte") & (adata.obs["group"] == "case"))
    np.testing.assert_allclose(adata.obs["age_acceleration"], expected, atol=1e-8)
    lines = adata.uns["age_acceleration"]["lines"].set_index("cell_type")
    np.testing.assert_allclose(lines.loc["T cell", ["intercept", "slope"]].astype(float), [10, 0.8])
    assert (lines["n_donors"] == 12).all()


def test_tables_by_hand():
    adata = fake_acceleration((9, 7), effect=4.0, seed=3)
    results = run(adata, covariates=["sex"], min_cells=8, equal_spread=True)
    cells = adata.obs[adata.obs["cell_type"] == "B cell"]
    by = cells.groupby("donor_id", observed=True)
    table = by.agg(
        n=("age", "size"), age=("age", "first"), y=("age_clock", "mean"), sex=("sex", "first"),
        group=("group", "first"),
    ).query("n >= 8")  # fmt: skip
    assert len(table) < 16
    X = sm.add_constant(
        np.column_stack([table["age"], table["sex"] == "male", table["group"] == "case"]).astype(
            float
        )
    )

    y = table["y"].to_numpy()
    weights = weights_of(y, X, 1 / table["n"].to_numpy())
    fit = sm.WLS(y, X, weights=weights).fit()
    row = results.loc["B cell"]
    assert row["effect"] == pytest.approx(fit.params[3])
    assert row["error"] == pytest.approx(fit.bse[3])
    assert row["p"] == pytest.approx(fit.pvalues[3])
    assert [row["lower"], row["upper"]] == pytest.approx(list(fit.conf_int()[3]))
    assert row["effect"] != pytest.approx(sm.OLS(y, X).fit().params[3], rel=1e-3)

    controls = table["group"] == "control"
    assert row["n_donors"] == (~controls).sum()
    assert row["n_donors_reference"] == controls.sum()
    assert row["n_cells"] == table["n"][~controls].sum()
    assert row["n_cells_reference"] == table["n"][controls].sum()
    donors = adata.uns["age_acceleration"]["donors"].query("cell_type == 'B cell'")
    donors = donors.set_index("donor")
    assert sorted(donors.index) == sorted(table.index)
    np.testing.assert_allclose(donors["predicted"].loc[table.index], table["y"])
    np.testing.assert_array_equal(donors["n_cells"].loc[table.index], table["n"])
    np.testing.assert_array_equal(donors["age"].loc[table.index], table["age"])
    adi = 1 / (1 + np.exp(-(table["y"] - table["age"]) / 25))
    np.testing.assert_allclose(donors["adi"].loc[table.index], adi)


def test_the_line_is_that_of_the_reference():
    adata = fake_acceleration((10, 10), effect=20.0, seed=1)
    age_acceleration(adata, "group", reference="control")
    donors = adata.uns["age_acceleration"]["donors"]
    mean = donors.groupby("group", observed=True)["acceleration"].mean()
    assert mean["control"] == pytest.approx(0, abs=1)
    assert mean["case"] > 15
    age_acceleration(adata, "group")
    donors = adata.uns["age_acceleration"]["donors"]
    mean = donors.groupby("group", observed=True)["acceleration"].mean()
    assert mean["control"] < -5
    assert mean["case"] > 5


def test_cells_average_to_their_donors():
    adata = fake_acceleration(borrowed_sd=6.0)
    run(adata)
    donors = adata.uns["age_acceleration"]["donors"].query("cell_type == 'T cell'")
    cells = adata.obs[adata.obs["cell_type"] == "T cell"]
    mean = cells.groupby("donor_id", observed=True)["age_acceleration"].mean()
    np.testing.assert_allclose(donors.set_index("donor")["acceleration"], mean[donors["donor"]])


def test_q_is_benjamini_hochberg_over_cell_types():
    groups = ["control", "mild", "severe"]
    adata = fake_acceleration([8, 8, 8], groups=groups, cell_types=6, effect={"type 2": 9.0})
    age_acceleration(adata, "group", reference="control")
    results = adata.uns["age_acceleration"]["results"]
    assert results["group"].cat.categories.tolist() == ["mild", "severe"]
    for group in ("mild", "severe"):
        rows = results[results["group"] == group]
        types = rows[rows["cell_type"] != "all cells"]
        np.testing.assert_allclose(types["q"], multipletests(types["p"], method="fdr_bh")[1])
        whole = rows[rows["cell_type"] == "all cells"]
        assert whole["q"].item() == whole["p"].item()
    assert not np.allclose(results["p"], results["q"])


def test_who_is_compared_with_whom():
    groups = ["a", "b", "c"]
    adata = fake_acceleration([6, 7, 8], groups=groups, cell_types=["T"])
    age_acceleration(adata, "group")
    results = adata.uns["age_acceleration"]["results"].query("cell_type == 'T'")
    assert results["group"].tolist() == groups
    assert results["reference"].tolist() == ["rest"] * 3
    assert results["n_donors_reference"].tolist() == [15, 14, 13]
    assert adata.uns["age_acceleration"]["lines"]["n_donors"].tolist() == [21, 21]
    two = fake_acceleration([6, 7], groups=["a", "b"], cell_types=["T"])
    age_acceleration(two, "group")
    results = two.uns["age_acceleration"]["results"].query("cell_type == 'T'")
    assert results[["group", "reference"]].to_numpy().tolist() == [["b", "a"]]
    age_acceleration(two, "group", reference="b")
    other = two.uns["age_acceleration"]["results"].query("cell_type == 'T'")
    assert other["effect"].item() == pytest.approx(-results["effect"].item())
    assert other["p"].item() == pytest.approx(results["p"].item())


def test_a_comparison_knows_nothing_of_other_groups():
    adata = fake_acceleration([8, 8, 8], groups=["control", "mild", "severe"], seed=4)
    age_acceleration(adata, "group", reference="control")
    all_three = adata.uns["age_acceleration"]["results"].query("group == 'mild'")
    two = adata[adata.obs["group"] != "severe"].copy()
    age_acceleration(two, "group", reference="control")
    figures = ["effect", "lower", "upper", "p", "q"]
    np.testing.assert_allclose(
        two.uns["age_acceleration"]["results"][figures], all_three[figures], rtol=1e-6
    )


def test_params_and_storage(tmp_path):
    adata = fake_acceleration(n_samples=2)
    adata.obs.loc[adata.obs["donor_id"] == "D3", "group"] = np.nan
    age_acceleration(adata, "group", reference="control", covariates=["sex"], level=0.9)
    params = adata.uns["age_acceleration"]["params"]
    assert None not in params.values()
    expected = {
        "groupby": "group", "reference": "control", "key": "age_clock", "covariates": ["sex"],
        "age_key": "age", "donor_key": "donor_id", "sample_key": "sample",
        "cell_type_key": "cell_type", "specific": False, "equal_spread": False,
        "min_cells": 5, "level": 0.9,
    }  # fmt: skip
    assert {name: params[name] for name in expected} == expected
    assert adata.uns["age_acceleration"]["age_unit"] == "years"
    for kind in ("h5ad", "zarr"):
        path = tmp_path / f"result.{kind}"
        getattr(adata, f"write_{kind}")(path)
        back = getattr(ad, f"read_{kind}")(path)
        for name in ("results", "donors", "lines"):
            before, after = (a.uns["age_acceleration"][name] for a in (adata, back))
            pd.testing.assert_frame_equal(
                after.astype(object), before.astype(object), check_index_type=False
            )
        np.testing.assert_array_equal(back.obs["age_acceleration"], adata.obs["age_acceleration"])


def test_copy_and_key_added():
    adata = fake_acceleration()
    before = snapshot(adata)
    copied = age_acceleration(adata, "group", key_added="mine", copy=True)
    assert_unchanged(adata, before)
    assert "mine" in copied.obs
    assert "mine" in copied.uns
    assert age_acceleration(adata, "group", key_added="mine") is None
    assert_same(dict(copied.uns["mine"]), dict(adata.uns["mine"]))
    adata.uns["mine"]["params"]["level"] = 0.5
    age_acceleration(adata, "group", key_added="mine", level=0.8)  # again, under the same name
    assert adata.uns["mine"]["params"]["level"] == 0.8


def test_order_of_cells_and_views_do_not_matter():
    adata = fake_acceleration(seed=2, borrowed_sd=3.0)
    order = np.random.default_rng(0).permutation(adata.n_obs)
    shuffled = adata[order]
    first = run(adata).select_dtypes("number")
    with pytest.warns(ad.ImplicitModificationWarning):
        second = run(shuffled).select_dtypes("number")
    np.testing.assert_allclose(second, first, rtol=1e-8)
    np.testing.assert_allclose(
        shuffled.obs["age_acceleration"], adata.obs["age_acceleration"].iloc[order]
    )


def test_ages_in_months():
    adata = fake_acceleration(unit="months")
    run(adata)
    donors = adata.uns["age_acceleration"]["donors"]
    older = (donors["predicted"] - donors["age"]) / (12 * 25)
    np.testing.assert_allclose(donors["adi"], 1 / (1 + np.exp(-older)))
    adata = fake_acceleration(unit="moons")
    run(adata)
    assert "adi" not in adata.uns["age_acceleration"]["donors"]


def test_the_published_index_is_confounded_by_age_and_ours_is_not():
    adata = fake_acceleration((40, 40), slope=0.5, donor_sd=2.0)
    run(adata)
    donors = adata.uns["age_acceleration"]["donors"].query("cell_type == 'all cells'")
    assert donors["adi"].corr(donors["age"]) < -0.9
    assert abs(donors["acceleration"].corr(donors["age"])) < 0.3


# --------------------------------------------------------------------------- calibration


def test_false_positives_are_at_the_nominal_level():
    """400 comparisons of groups that do not differ; 10 000 cells are no 10 000 donors."""
    p = np.concatenate(
        [
            p_values(fake_acceleration((8, 8), cell_types=20, cells=(5, 60), seed=seed))
            for seed in range(20)
        ]
    )
    assert len(p) == 400
    for level in (0.05, 0.2):
        low, high = stats.binom(400, level).interval(0.999)
        assert low <= (p < level).sum() <= high
    assert stats.kstest(p, "uniform").pvalue > 1e-3
    # The same test with cells as the unit, to see that the donors' deviations are there.
    adata = fake_acceleration((8, 8), cell_types=20, cells=(5, 60), seed=0)
    case = adata.obs["group"] == "case"
    naive = [
        stats.ttest_ind(*(adata.obs["age_clock"][mask & of].to_numpy() for of in (case, ~case)))
        for mask in (adata.obs["cell_type"] == name for name in adata.obs["cell_type"].unique())
    ]
    assert np.mean([test.pvalue < 0.05 for test in naive]) > 0.3


def test_intervals_cover_the_effect():
    covered, p = [], []
    for seed in range(20):
        adata = fake_acceleration((10, 6), cell_types=20, effect=8.0, cells=(5, 60), seed=seed)
        results = run(adata, covariates=["sex"], level=0.8).drop("all cells")
        covered += ((results["lower"] < 8) & (results["upper"] > 8)).tolist()
        p += results["p"].tolist()
    low, high = stats.binom(400, 0.8).interval(0.999)
    assert low <= sum(covered) <= high
    assert np.mean(np.array(p) < 0.05) > 0.6


def test_samples_do_not_make_up_for_donors():
    """Ten samples of each donor, all alike: false positives stay where they were."""
    p = np.concatenate(
        [
            p_values(
                fake_acceleration(
                    (5, 5), cell_types=20, n_samples=6, sample_sd=1.0, cells=(5, 10), seed=seed
                )
            )
            for seed in range(10)
        ]
    )
    low, high = stats.binom(200, 0.05).interval(0.999)
    assert low <= (p < 0.05).sum() <= high


def test_duplicated_cells_add_no_evidence():
    adata = fake_acceleration(effect=6.0, cells=(20, 60), seed=5)
    many = duplicated(adata, 10)
    once, often = run(adata), run(many)
    assert (often["n_cells"] == 10 * once["n_cells"]).all()
    figures = ["effect", "error", "lower", "upper", "p", "q"]
    np.testing.assert_allclose(often[figures], once[figures], rtol=1e-6)
    values = [a.obs["age_clock"][(a.obs["group"] == "case")] for a in (adata, many)]
    others = [a.obs["age_clock"][(a.obs["group"] != "case")] for a in (adata, many)]
    naive = [stats.ttest_ind(a, b).pvalue for a, b in zip(values, others, strict=True)]
    assert naive[1] < naive[0] ** 3  # what cells as the unit would make of it


def test_cells_that_change_places_within_a_donor_change_nothing():
    adata = fake_acceleration(effect={"T cell": 8.0}, seed=6)
    moved = adata.copy()
    rng = np.random.default_rng(0)
    by = moved.obs.groupby(["donor_id", "cell_type"], observed=True)["age_clock"]
    moved.obs["age_clock"] = by.transform(lambda values: rng.permutation(values.to_numpy()))
    assert (moved.obs["age_clock"] != adata.obs["age_clock"]).mean() > 0.9
    figures = ["effect", "error", "p", "q"]
    np.testing.assert_allclose(run(moved)[figures], run(adata)[figures], rtol=1e-9)


def test_shuffled_cell_types_make_nothing_significant():
    """Without a difference between groups, no shuffling of cells within donors makes one."""
    smallest = []
    for seed in range(8):
        adata = fake_acceleration((8, 8), cell_types=10, cells=(30, 60), seed=seed)
        rng = np.random.default_rng(seed)
        by = adata.obs.groupby("donor_id", observed=True)["age_clock"]
        adata.obs["age_clock"] = by.transform(lambda v, rng=rng: rng.permutation(v.to_numpy()))
        results = run(adata)
        # Every type now has the mean of the donor: they are one test.
        assert results["p"].drop("all cells").between(0, 1).all()
        smallest.append(results["p"]["all cells"])
    assert (np.array(smallest) < 0.05).sum() <= 2


# ------------------------------------------------------------------- donors and samples


def test_samples_of_a_donor_are_averaged():
    adata = fake_acceleration(
        (6, 6), n_samples=3, sample_sd=4.0, cell_sd=0.0, effect=5.0, cells=(9, 9)
    )
    results = run(adata, equal_spread=True)
    row = results.loc["T cell"]
    assert (row["n_donors"], row["n_donors_reference"]) == (6, 6)
    donors = adata.uns["age_acceleration"]["donors"].query("cell_type == 'T cell'")
    assert len(donors) == 36
    assert "sample" in donors
    mean = donors.groupby(["donor", "group"], observed=True)[["age", "predicted"]].mean()
    mean = mean.reset_index()
    X = sm.add_constant(np.column_stack([mean["age"], mean["group"] == "case"]).astype(float))
    fit = sm.OLS(mean["predicted"].to_numpy(), X).fit()
    assert row["effect"] == pytest.approx(fit.params[2])
    assert row["p"] == pytest.approx(fit.pvalues[2])


def test_donors_before_and_after_are_compared_with_themselves():
    groups = ["before", "after"]
    adata = fake_acceleration(
        (10, 10), groups=groups, paired=True, effect=3.0, donor_sd=12.0, sample_sd=1.0, cell_sd=4.0
    )
    paired = run(adata, reference="before")
    assert (paired["n_donors"] == 10).all()
    assert (paired["n_donors_reference"] == 10).all()
    types = paired.drop("all cells")  # whose cells are of several types
    assert (types["effect"] - 3).abs().max() < 2
    assert (types["p"] < 0.01).all()
    # The same cells as if of 20 donors: what differs between donors hides the effect.
    adata.obs["donor_id"] = adata.obs["donor_id"].astype(str) + adata.obs["group"].astype(str)
    assert (run(adata, reference="before")["p"] > 0.05).all()


def test_donors_in_both_groups_without_samples():
    adata = fake_acceleration(paired=True)
    del adata.uns["age_clock"]["params"]["sample_key"]
    with pytest.raises(ValueError, match=r"12 donors \(`donor_id`\).*more than one.*`sample_key=`"):
        age_acceleration(adata, "group")
    age_acceleration(adata, "group", sample_key="sample")
    assert adata.uns["age_acceleration"]["params"]["sample_key"] == "sample"


# -------------------------------------------------------------------------- covariates


def confounded(seed=0):
    """Cases are mostly men, and men are predicted ten years older."""
    adata = fake_acceleration((24, 24), effect=0.0, donor_sd=2.0, seed=seed)
    number = adata.obs["donor_id"].astype(str).str[1:].astype(int)
    case = adata.obs["group"] == "case"
    male = (number % 4 != 0) == case.to_numpy()
    adata.obs["sex"] = pd.Categorical(np.where(male, "male", "female"))
    adata.obs["age_clock"] += 10.0 * male
    adata.obs["weight"] = np.where(male, 80.0, 60.0) + number % 4
    adata.obs["batch"] = (number % 3).map(str)
    return adata


def test_covariates_are_adjusted_for():
    adata = confounded()
    assert (run(adata)["p"] < 0.05).all()
    for covariates in (["sex"], ["sex", "batch"], ["weight"]):
        results = run(adata, covariates=covariates)
        assert (results["p"] > 0.01).all(), covariates
        assert (results["effect"].abs() < 3).all(), covariates
    assert (run(adata, covariates=["batch"])["p"] < 0.05).all()


def test_coding_of_covariates_does_not_matter():
    adata = confounded()
    expected = run(adata, covariates=["sex", "batch"])[["effect", "p"]]
    adata.obs["sex"] = adata.obs["sex"] == "male"
    adata.obs["batch"] = adata.obs["batch"].map({"0": "z", "1": "a", "2": "m"})
    np.testing.assert_allclose(run(adata, covariates=["sex", "batch"])[["effect", "p"]], expected)
    adata.obs["weight"] = 1000 * adata.obs["weight"] + 1e6
    np.testing.assert_allclose(
        run(adata, covariates=["weight"])[["effect", "p"]],
        run(confounded(), covariates=["weight"])[["effect", "p"]],
        rtol=1e-6,
    )


def test_predictions_that_level_off():
    """Old cases, controls of all ages, and a curve: a straight line takes it for an effect."""
    adata = fake_acceleration((30, 30), donor_sd=1.0, cell_sd=3.0, cell_types=["T"])
    ages = np.r_[np.linspace(20, 90, 30), np.linspace(60, 90, 30)]
    noise = adata.obs["age_clock"] - 10 - 0.8 * adata.obs["age"]
    adata.obs["age"] = ages[adata.obs["donor_id"].astype(str).str[1:].astype(int) - 1]
    adata.obs["age_clock"] = 55 + 20 * np.tanh((adata.obs["age"] - 55) / 12) + noise
    straight, curved = (run(adata, age_degree=degree).loc["T"] for degree in (1, 3))
    few = adata[adata.obs["donor_id"].isin([f"D{i}" for i in [*range(1, 15), *range(45, 60)]])]
    for cells, degree in ((adata, 3), (few.copy(), 1)):  # 60 donors, 29 donors
        assert run(cells).loc["T", "p"] == run(cells, age_degree=degree).loc["T", "p"]
    assert straight["p"] < 0.02
    assert curved["p"] > 0.05
    assert curved["error"] < straight["error"]


# ------------------------------------------------------- what may be missing or otherwise


def test_borrowed_years_are_left_out_of_the_cell_types():
    plain = fake_acceleration(effect={"T cell": 8.0}, seed=7)
    lent = fake_acceleration(effect={"T cell": 8.0}, seed=7, borrowed_sd=30.0)
    figures = ["effect", "error", "p"]
    # A donor's borrowed years are noise here, the same in all of its types.
    specific = run(lent)
    assert lent.uns["age_acceleration"]["params"]["specific"] is True
    cells = lent.obs["age_acceleration"].copy()
    whole = run(lent, specific=False)
    assert lent.uns["age_acceleration"]["params"]["specific"] is False
    assert (whole["error"] > 2 * specific["error"]).drop("all cells").all()
    assert whole.loc["all cells", figures].equals(specific.loc["all cells", figures])
    assert cells.std() < 0.8 * lent.obs["age_acceleration"].std()

    borrowed = lent.uns["age_clock"]["donors"]["borrowed"]
    lent.obs["age_clock"] -= borrowed.loc[lent.obs["donor_id"].astype(str)].to_numpy()
    del lent.uns["age_clock"]["donors"]["borrowed"]
    by_hand = run(lent)
    assert lent.uns["age_acceleration"]["params"]["specific"] is False
    types = ["B cell", "T cell", "Monocyte"]
    np.testing.assert_allclose(by_hand.loc[types, figures], specific.loc[types, figures], rtol=1e-6)
    assert "borrowed" not in plain.uns["age_clock"]["donors"]
    assert run(plain).loc["T cell", "p"] < 0.05


def test_borrowed_years_belong_to_the_donors_of_the_result():
    adata = fake_acceleration(borrowed_sd=5.0)
    adata.obs["person"] = "P" + adata.obs["donor_id"].astype(str)
    age_acceleration(adata, "group", donor_key="person")
    assert adata.uns["age_acceleration"]["params"]["specific"] is False
    assert adata.uns["age_acceleration"]["params"]["donor_key"] == "person"


def test_without_cell_types_there_is_one_row():
    adata = fake_acceleration(cell_types=None, effect=4.0)
    results = run(adata)
    assert results.index.tolist() == ["all cells"]
    donors = adata.uns["age_acceleration"]["donors"].set_index("donor")
    mean = adata.obs.groupby("donor_id", observed=True)["age_acceleration"].mean()
    np.testing.assert_allclose(donors["acceleration"], mean[donors.index])


def test_other_cell_types():
    adata = fake_acceleration()
    adata.obs["lineage"] = np.where(adata.obs["cell_type"] == "Monocyte", "myeloid", "lymphoid")
    results = run(adata, cell_type_key="lineage")
    assert results.index.tolist() == ["lymphoid", "myeloid", "all cells"]
    expected = run(adata).loc["Monocyte", ["effect", "p"]]
    assert results.loc["myeloid", ["effect", "p"]].tolist() == pytest.approx(expected.tolist())


def test_a_result_without_ages_and_donors_takes_them_from_here():
    adata = fake_age_result(16, applied=True, donor_key=None)
    del adata.uns["age_clock"]["params"]["age_key"]
    adata.obs["group"] = np.where(adata.obs["individual"].isin(["D1", "D2", "D3"]), "a", "b")
    with pytest.raises(
        ValueError, match=r"without donors.*`donor_key=`.*Available: .*'individual'"
    ):
        age_acceleration(adata, "group", age_key="age")
    with pytest.raises(ValueError, match=r"without ages.*`age_key=`"):
        age_acceleration(adata, "group", donor_key="individual")
    age_acceleration(adata, "group", donor_key="individual", age_key="age")
    results = adata.uns["age_acceleration"]["results"]
    assert results["n_donors"].tolist() == [13] * 4
    assert results["n_donors_reference"].tolist() == [3] * 4


def test_cells_and_donors_that_are_not_known():
    adata = fake_acceleration((8, 8))
    expected = run(adata[~adata.obs["donor_id"].isin(["D1", "D9"])].copy())
    adata.obs.loc[adata.obs["donor_id"] == "D1", "age"] = np.nan
    adata.obs.loc[adata.obs["donor_id"] == "D9", "group"] = np.nan
    results = run(adata)
    pd.testing.assert_frame_equal(results, expected)
    donors = adata.uns["age_acceleration"]["donors"].set_index("donor")
    assert donors.loc["D1", "acceleration"].isna().all()
    assert donors.loc["D9", "group"].isna().all()
    assert donors.loc["D9", "acceleration"].notna().all()
    assert adata.obs["age_acceleration"].isna().sum() == (adata.obs["donor_id"] == "D1").sum()

    # A cell without a prediction or a type counts in no type.
    adata = fake_acceleration((8, 8))
    gone = np.random.default_rng(0).random(adata.n_obs) < 0.1
    expected = run(adata[~gone].copy())
    adata.obs.loc[gone, "age_clock"] = np.nan
    pd.testing.assert_frame_equal(run(adata), expected)
    assert adata.obs["age_acceleration"].isna().to_numpy().tolist() == gone.tolist()
    adata = fake_acceleration((8, 8))
    adata.obs.loc[gone, "cell_type"] = np.nan
    pd.testing.assert_frame_equal(run(adata).iloc[:3], expected.iloc[:3])


def test_cell_types_of_few_donors_are_not_tested():
    adata = fake_acceleration((6, 6), cells=(10, 20))
    rare = (adata.obs["cell_type"] == "Monocyte") & (adata.obs["group"] == "case")
    few = rare & ~adata.obs["donor_id"].isin(["D7", "D8"])
    results = run(adata[~few].copy())
    row = results.loc["Monocyte"]
    assert row[["effect", "error", "lower", "upper", "p", "q"]].isna().all()
    assert row["note"] == "fewer than 3 donors with enough cells"
    assert (row["n_donors"], row["n_donors_reference"]) == (2, 6)
    assert np.isfinite(row["slope"])
    tested = results.loc[["B cell", "T cell"]]
    np.testing.assert_allclose(tested["q"], multipletests(tested["p"], method="fdr_bh")[1])
    # A type with few cells per donor.
    assert run(adata, min_cells=21).drop("all cells")["n_donors"].max() == 0


def test_a_clock_without_a_signal_is_warned_of(caplog):
    for beats_mean in (True, False):
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="sctools"):
            run(fake_acceleration(beats_mean=beats_mean))
        assert ("does not beat the mean age" in caplog.text) != beats_mean


def test_a_clock_that_answers_one_age():
    adata = fake_acceleration()
    adata.obs["age_clock"] = 50.0
    results = run(adata)
    np.testing.assert_allclose(results[["effect", "slope"]], 0, atol=1e-9)
    assert (results["p"] == 1).all()


# ------------------------------------------------------------------------------- errors


def refuse(adata, error, message, groupby="group", **kwargs):
    before = snapshot(adata)
    for copy in (False, True):
        with pytest.raises(error, match=message):
            age_acceleration(adata, groupby, copy=copy, **kwargs)
        assert_unchanged(adata, before)


@pytest.mark.parametrize("level", [0, 1, 95, -0.1, np.nan, "0.95", True])
def test_level(level):
    refuse(fake_acceleration(), ValueError, r"`level` must lie between 0 and 1", level=level)


@pytest.mark.parametrize("min_cells", [0, -1, 2.5, True])
def test_min_cells(min_cells):
    refuse(fake_acceleration(), ValueError, r"`min_cells` must be a whole", min_cells=min_cells)


@pytest.mark.parametrize("age_degree", [0, 4, 1.5, True, "3"])
def test_age_degree(age_degree):
    refuse(fake_acceleration(), ValueError, r"`age_degree` must be 1, 2", age_degree=age_degree)


def test_no_result():
    adata = fake_acceleration()
    refuse(adata, KeyError, r"No result.*'mine'.*Available results: 'age_clock'", key="mine")
    del adata.obs["age_clock"]
    refuse(adata, KeyError, r"'age_clock'.*not a column.*age_clock\(adata")


def test_columns_that_are_gone():
    refuse(fake_acceleration(), KeyError, r"`groupby='nope'`.*Available", groupby="nope")
    for name in ("donor_key", "age_key", "sample_key", "cell_type_key"):
        refuse(fake_acceleration(), KeyError, rf"`{name}='nope'`", **{name: "nope"})
    adata = fake_acceleration()
    del adata.obs["age"]
    refuse(adata, KeyError, r"`age_key='age'`.*computed with it; name another with `age_key=`")


def test_no_known_age():
    adata = fake_acceleration()
    adata.obs["age"] = np.nan
    refuse(adata, ValueError, r"no known age")


@pytest.mark.parametrize(
    ("groupby", "what"), [("donor_id", "donors"), ("age", "ages"), ("cell_type", "cell types")]
)
def test_groups_that_are_none(groupby, what):
    refuse(fake_acceleration(), ValueError, rf"holds the {what}.*Available: ", groupby=groupby)


def test_a_group_of_cells():
    adata = fake_acceleration()
    adata.obs["half"] = np.resize(["x", "y"], adata.n_obs)
    refuse(adata, ValueError, r"24 donors.*more than one value.*cells are no independent", "half")


def test_all_donors_in_one_group():
    adata = fake_acceleration()
    adata.obs["group"] = "control"
    refuse(adata, ValueError, r"at least two groups of donors.*found 'control'")
    adata.obs["group"] = np.nan
    refuse(adata, ValueError, r"at least two groups of donors.*found none")


def test_small_groups():
    adata = fake_acceleration((6, 2))
    refuse(adata, ValueError, r"at least 3 donors.*'case' \(2\).*missing value")
    adata = fake_acceleration((6, 5))
    adata.obs.loc[adata.obs["donor_id"].isin(["D7", "D8", "D9"]), "age"] = np.nan
    refuse(adata, ValueError, r"at least 3 donors.*'case' \(2\)")
    adata = fake_acceleration()
    adata.obs["own"] = adata.obs["donor_id"].astype(str)
    refuse(adata, ValueError, r"at least 3 donors.*'D1' \(1\)", "own")


def test_reference_that_is_absent():
    refuse(
        fake_acceleration(), ValueError, r"'healthy'.*Available: 'case', 'control'",
        reference="healthy",
    )  # fmt: skip


def test_predictions_that_are_no_ages():
    adata = fake_acceleration()
    adata.obs["age_clock"] *= 1e300
    refuse(adata, ValueError, r"`adata.obs\['age_clock'\]` must hold ages, found .*e\+30")


def test_bad_covariates():
    adata = fake_acceleration()
    number = adata.obs["donor_id"].astype(str).str[1:].astype(int)
    refuse(adata, KeyError, r"`covariates='nope'`.*Available", covariates=["nope"])
    refuse(adata, TypeError, r"Write `covariates=\['sex'\]`", covariates="sex")
    refuse(adata, TypeError, r"`covariates` must be a list of columns, found 3", covariates=3)
    refuse(adata, TypeError, r"`donor_key` must be a name", donor_key=["donor_id"])
    refuse(adata, TypeError, r"`equal_spread` must be True or False", equal_spread="no")
    adata.obs["same"] = "x"
    refuse(adata, ValueError, r"'same'.*same value for all donors", covariates=["same"])
    adata.obs["site"] = np.where(adata.obs["group"] == "case", "here", "there")
    refuse(adata, ValueError, r"cannot be told from the covariates 'site'", covariates=["site"])
    adata.obs["site"] = number.map({k: f"s{k}" for k in range(1, 30)})  # more labels than donors
    refuse(adata, ValueError, r"cannot be told from the covariates 'site'", covariates=["site"])
    adata.obs["site"] = np.where(number > 3, "here", None)
    refuse(adata, ValueError, r"'site'.*missing for", covariates=["site"])
    adata.obs["site"] = np.where(number > 3, 1.0, np.inf)
    refuse(adata, ValueError, r"'site'.*must be finite", covariates=["site"])
    adata.obs["site"] = np.resize(["a", "b"], adata.n_obs)
    refuse(adata, ValueError, r"24 donors.*more than one value.*'site'", covariates=["site"])


def test_a_covariate_may_be_missing_for_donors_without_a_group():
    adata = fake_acceleration()
    adata.obs["site"] = np.where(adata.obs["sex"] == "male", "a", "b")
    gone = adata.obs["donor_id"] == "D2"
    adata.obs.loc[gone, "site"] = None
    adata.obs.loc[gone, "group"] = np.nan
    assert run(adata, covariates=["site"])["p"].notna().all()


def test_reference_of_one_age():
    adata = fake_acceleration()
    adata.obs.loc[adata.obs["group"] == "control", "age"] = 40.0
    refuse(adata, ValueError, r"reference have the same age \(40\)", reference="control")


def test_names_that_are_taken():
    adata = fake_acceleration()
    refuse(adata, ValueError, r"would overwrite", key_added="age_clock")
    refuse(adata, ValueError, r"would overwrite", key_added="sex")
    refuse(adata, ValueError, r"without '/'", key_added="a/b")
    adata.obs["cell_type"] = adata.obs["cell_type"].cat.rename_categories({"B cell": "all cells"})
    refuse(adata, ValueError, r"'all cells'.*Rename it")


# --------------------------------------------------------------------------- with a clock


@pytest.mark.parametrize("applied", [False, True], ids=["cross-fitted", "applied"])
def test_after_a_clock(applied):
    pytest.importorskip("torch")
    from sctools.tl import age_clock

    from .._clocks import QUICK, small_cohort

    adata = small_cohort()
    clock = age_clock(adata, **QUICK, return_model=True)
    if applied:
        age_clock(adata, clock)
        predicted, specific = clock.predict(adata, return_specific=True)
        np.testing.assert_allclose(adata.obs["age_clock"], predicted)
        by = pd.Series(predicted - specific, adata.obs_names).groupby(
            adata.obs["donor_id"], observed=True
        )
        donors = adata.uns["age_clock"]["donors"]
        np.testing.assert_allclose(donors["borrowed"], by.mean(), atol=1e-8)
        assert np.ptp(donors["borrowed"]) > 0.1
    number = adata.obs["donor_id"].astype(str).str[1:].astype(int)
    adata.obs["group"] = np.where(number % 2 == 0, "case", "control")
    results = run(adata, covariates=["sex"], min_cells=1)
    assert adata.uns["age_acceleration"]["params"]["specific"] is True
    assert results["p"].between(0, 1).all()
    assert (results["slope"].drop("all cells") > 0.2).all()
    donors = adata.uns["age_acceleration"]["donors"].query("cell_type == 'all cells'")
    expected = adata.uns["age_clock"]["donors"]["predicted"]
    np.testing.assert_allclose(donors.set_index("donor")["predicted"], expected[donors["donor"]])
