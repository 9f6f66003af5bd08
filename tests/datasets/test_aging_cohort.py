from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sctools.datasets import aging_cohort

SMALL = {"n_genes": 200, "n_age_genes": 20, "n_marker_genes": 10, "cells_per_donor": 15}


@pytest.fixture(scope="module")
def cohort() -> ad.AnnData:
    return aging_cohort(cells_per_donor=120)


def pseudobulk(adata: ad.AnnData, cell_type: str) -> tuple[np.ndarray, np.ndarray]:
    """log1p of 10,000-scaled donor sums of one cell type, and the donors' ages."""
    cells = adata[(adata.obs["cell_type"] == cell_type).to_numpy()]
    donor = cells.obs["donor_id"].cat.codes.to_numpy()
    codes, row = np.unique(donor, return_inverse=True)
    member = sparse.csr_matrix((np.ones(len(row)), (row, np.arange(len(row)))))
    sums = (member @ cells.X).toarray()
    ages = cells.obs.groupby("donor_id", observed=True)["age"].first().to_numpy()
    assert len(codes) == len(ages)
    return np.log1p(1e4 * sums / sums.sum(axis=1, keepdims=True)), ages


def age_slopes(adata: ad.AnnData, cell_type: str) -> tuple[np.ndarray, np.ndarray]:
    """Correlation with age and slope per decade of every gene, over donors."""
    Y, ages = pseudobulk(adata, cell_type)
    Y = Y - Y.mean(axis=0)
    x = ages - ages.mean()
    spread = np.sqrt((Y**2).sum(axis=0) * (x @ x))
    product = x @ Y
    r = np.divide(product, spread, out=np.zeros_like(product), where=spread > 0)
    return r, 10 * product / (x @ x)


def test_same_seed_same_cohort():
    a, b, c = (aging_cohort(5, rng=seed, **SMALL) for seed in (1, 1, 2))
    assert (a.X != b.X).nnz == 0
    pd.testing.assert_frame_equal(a.obs, b.obs)
    np.testing.assert_array_equal(a.varm["age_effect"], b.varm["age_effect"])
    assert not np.array_equal(a.varm["age_effect"], c.varm["age_effect"])
    d = aging_cohort(5, rng=np.random.default_rng(1), **SMALL)
    assert (a.X != d.X).nnz == 0


def test_seeds_of_old_give_the_same_cohort():
    """New arguments must not shift the draws: figures of benchmarks rest on their seeds."""
    X = aging_cohort(5, rng=1, **SMALL).X
    assert (X.shape, X.nnz) == ((82, 200), 9647)
    assert X.data.sum() == 86089
    assert X.data[::7].sum() == 12865
    assert X.indices[::11].sum() == 86684


def test_cells_of_the_chosen_types_age():
    plain = aging_cohort(40, effect_size=0.3, cells_per_donor=90, rng=2)
    every = aging_cohort(
        40, effect_size=0.3, cells_per_donor=90, rng=2,
        aging_cell_types=["Monocyte", "T cell", "B cell"],
    )  # fmt: skip
    assert (plain.X != every.X).nnz == 0
    assert "aging_cell_types" not in plain.uns["truth"]["params"]
    adata = aging_cohort(
        40, effect_size=0.3, cells_per_donor=90, rng=2, aging_cell_types={"T cell"}
    )
    effect, all_effects = adata.varm["age_effect"], plain.varm["age_effect"]
    np.testing.assert_array_equal(effect[:, 1], all_effects[:, 1])
    assert not effect[:, [0, 2]].any()
    np.testing.assert_array_equal(adata.var["is_age_gene"], effect[:, 1] != 0)
    pd.testing.assert_frame_equal(adata.obs, plain.obs)
    # Genes that age in T cells rise and fall with age there, and nowhere else.
    seen = (effect[:, 1] != 0) & (np.asarray(adata.X.mean(axis=0)).ravel() > 0.5)
    for name in ("B cell", "T cell", "Monocyte"):
        r, _ = age_slopes(adata, name)
        agrees = (np.sign(r[seen]) == np.sign(effect[seen, 1])).mean()
        assert agrees > 0.95 if name == "T cell" else 0.2 < agrees < 0.8
    assert adata.uns["truth"]["params"]["aging_cell_types"] == ["T cell"]


def test_global_random_state_is_untouched():
    before = np.random.get_state()  # noqa: NPY002
    aging_cohort(3, **SMALL)
    after = np.random.get_state()  # noqa: NPY002
    assert before[0] == after[0]
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]


def test_layout(cohort):
    n_types = 3
    assert cohort.n_vars == 1000
    assert 0.85 * 60 * 120 < cohort.n_obs < 1.15 * 60 * 120
    assert cohort.obs_names.is_unique
    assert list(cohort.obs["donor_id"].cat.categories[:2]) == ["D01", "D02"]
    assert cohort.obs["donor_id"].nunique() == 60
    assert cohort.obs["age"].dtype == np.float64
    assert cohort.obs["age"].between(20, 90).all()
    assert (cohort.obs.groupby("donor_id", observed=True)["age"].nunique() == 1).all()
    assert list(cohort.obs["sex"].cat.categories) == ["female", "male"]
    assert list(cohort.obs["cell_type"].cat.categories) == ["B cell", "Monocyte", "T cell"]
    assert "group" not in cohort.obs
    assert cohort.varm["age_effect"].shape == (1000, n_types)
    assert cohort.uns["age_unit"] == "years"
    assert cohort.uns["truth"]["cell_types"] == ["B cell", "T cell", "Monocyte"]
    assert cohort.uns["truth"]["params"]["cells_per_donor"] == 120
    effective = cohort.uns["truth"]["effective_age"]
    assert len(effective) == 60 * n_types
    assert effective["n_cells"].sum() == cohort.n_obs
    np.testing.assert_array_equal(effective["age"], effective["effective_age"])


def test_planted_genes_are_shared_as_asked(cohort):
    effect = cohort.varm["age_effect"]
    np.testing.assert_array_equal((effect != 0).sum(axis=0), [60, 60, 60])
    in_all = (effect != 0).all(axis=1)
    assert in_all.sum() == 18
    assert (effect[in_all] == effect[in_all][:, :1]).all()
    assert ((effect != 0).sum(axis=1)[~in_all] <= 1).all()
    np.testing.assert_array_equal(cohort.var["is_age_gene"], effect.any(axis=1))
    assert cohort.var["is_sex_gene"].sum() == 10
    assert (effect > 0).any()
    assert (effect < 0).any()


def test_counts_look_like_counts(cohort):
    X = cohort.X
    assert sparse.issparse(X)
    assert X.format == "csr"
    assert X.dtype == np.float32
    assert X.data.min() >= 1
    np.testing.assert_array_equal(X.data, np.round(X.data))
    assert 0.2 < X.nnz / np.prod(X.shape) < 0.45
    totals = np.asarray(X.sum(axis=1)).ravel()
    assert 850 < np.median(totals) < 1150
    assert 0.35 < np.log(totals).std() < 0.5
    means = np.asarray(X.mean(axis=0)).ravel()
    assert 1.2 < np.log(means[means > 0]).std() < 2.0
    n_cells = cohort.obs.groupby(["donor_id", "cell_type"], observed=False).size()
    assert n_cells.max() > 2 * n_cells.median()


@pytest.mark.parametrize("dispersion", [0.0, 0.5])
def test_dispersion(dispersion):
    adata = aging_cohort(
        2, n_genes=100, cell_types=["B cell"], cells_per_donor=3000, depth_sd=0, donor_sd=0,
        n_age_genes=0, n_sex_genes=0, dispersion=dispersion, rng=0,
    )  # fmt: skip
    X = adata.X.toarray()
    mean, variance = X.mean(axis=0), X.var(axis=0)
    high = mean > 2
    estimate = np.median((variance[high] - mean[high]) / mean[high] ** 2)
    assert estimate == pytest.approx(dispersion, abs=0.05)


def test_planted_effects_show_in_their_cell_type_only(cohort):
    for t, name in enumerate(cohort.uns["truth"]["cell_types"]):
        r, slope = age_slopes(cohort, name)
        effect = cohort.varm["age_effect"][:, t]
        planted = effect != 0
        cells = (cohort.obs["cell_type"] == name).to_numpy()
        expressed = np.asarray(cohort.X[cells].mean(axis=0)).ravel() > 0.2
        seen = planted & expressed
        assert (np.sign(r[seen]) == np.sign(effect[seen])).mean() > 0.95
        assert np.corrcoef(slope[seen], effect[seen])[0, 1] > 0.9
        silent = ~planted & expressed
        assert np.median(np.abs(r[seen])) > 4 * np.median(np.abs(r[silent]))
        # Chance: |r| above 0.33 in one of a hundred genes over 60 donors.
        assert (np.abs(r[silent]) > 0.33).mean() < 0.05


def test_markers_and_sex_genes_differ(cohort):
    sex = cohort.obs["sex"] == "male"
    log_ratio = np.log(
        np.asarray(cohort.X[sex.to_numpy()].mean(axis=0)).ravel()
        / np.asarray(cohort.X[~sex.to_numpy()].mean(axis=0)).ravel()
    )
    is_sex = cohort.var["is_sex_gene"].to_numpy()
    assert np.median(np.abs(log_ratio[is_sex])) > 0.35
    assert np.median(np.abs(log_ratio[~is_sex])) < 0.1


def test_case_donors_age_ahead_in_the_chosen_types():
    adata = aging_cohort(
        80,
        n_genes=300,
        n_age_genes=60,
        group_acceleration=30,
        accelerated_cell_types=["T cell"],
        effect_size=0.15,
        rng=3,
    )
    assert list(adata.obs["group"].cat.categories) == ["case", "control"]
    truth = adata.uns["truth"]["effective_age"]
    ahead = (truth["effective_age"] - truth["age"]).to_numpy()
    case_donors = adata.obs.loc[adata.obs["group"] == "case", "donor_id"].unique()
    assert len(case_donors) == 40
    expected = 30.0 * (truth["donor_id"].isin(case_donors) & (truth["cell_type"] == "T cell"))
    np.testing.assert_allclose(ahead, expected)

    # The planted direction, read as an age: cases are ahead by about 30 years in T cells alone.
    for t, name in enumerate(adata.uns["truth"]["cell_types"]):
        Y, ages = pseudobulk(adata, name)
        score = (Y - Y.mean(axis=0)) @ adata.varm["age_effect"][:, t]
        cells = adata.obs[adata.obs["cell_type"] == name]
        case = (cells.groupby("donor_id", observed=True)["group"].first() == "case").to_numpy()
        design = np.column_stack([np.ones_like(ages), ages, case])
        _, per_year, difference = np.linalg.lstsq(design, score, rcond=None)[0]
        assert difference / per_year == pytest.approx(30 if name == "T cell" else 0, abs=9)


def test_zero_acceleration_makes_groups_without_a_difference():
    adata = aging_cohort(6, group_acceleration=0, group_fraction=1 / 3, **SMALL)
    assert adata.obs.groupby("donor_id", observed=True)["group"].first().eq("case").sum() == 2
    truth = adata.uns["truth"]["effective_age"]
    np.testing.assert_array_equal(truth["age"], truth["effective_age"])


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_round_trip(tmp_path, suffix):
    adata = aging_cohort(
        4, group_acceleration=5, accelerated_cell_types={"B cell"}, cell_types=["B cell", "T/NK"],
        **SMALL,
    )  # fmt: skip
    path = tmp_path / f"cohort.{suffix}"
    getattr(adata, f"write_{suffix}")(path)
    back = (ad.read_h5ad if suffix == "h5ad" else ad.read_zarr)(path)
    assert (back.X != adata.X).nnz == 0
    pd.testing.assert_frame_equal(back.obs, adata.obs)
    assert list(back.uns["truth"]["cell_types"]) == ["B cell", "T/NK"]
    pd.testing.assert_frame_equal(
        back.uns["truth"]["effective_age"], adata.uns["truth"]["effective_age"]
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_donors": 1}, ValueError, "`n_donors` must be at least 2, found 1"),
        ({"n_donors": 5.0}, TypeError, "`n_donors` must be an integer, found 5.0"),
        ({"n_genes": 100}, ValueError, "144 age genes do not fit in `n_genes=100`"),
        ({"n_sex_genes": 2000}, ValueError, "2000 sex genes do not fit"),
        ({"cell_types": "B cell"}, TypeError, "found the string 'B cell'"),
        ({"cell_types": []}, ValueError, "one or more strings"),
        ({"cell_types": ["B", "B"]}, ValueError, "must not repeat"),
        ({"age_range": (90, 20)}, ValueError, "younger first"),
        ({"age_range": (20, np.nan)}, ValueError, "younger first"),
        ({"shared_fraction": 1.5}, ValueError, r"in \[0, 1\], found 1.5"),
        ({"donor_sd": -1}, ValueError, "`donor_sd` must be finite and not negative"),
        ({"depth": 0}, ValueError, "`depth` must be finite and above 0"),
        ({"group_acceleration": np.inf}, ValueError, "must be finite, found inf"),
        ({"group_acceleration": 5, "group_fraction": 1.0}, ValueError, "no case or no control"),
        ({"accelerated_cell_types": ["B cell"]}, ValueError, "needs `group_acceleration`"),
        ({"aging_cell_types": "B cell"}, TypeError, "`aging_cell_types` must be a list"),
        ({"aging_cell_types": []}, ValueError, "`aging_cell_types` must name cell types"),
        (
            {"aging_cell_types": ["NK cell"]},
            ValueError,
            "found 'NK cell'. Available: 'B cell', 'T cell', 'Monocyte'",
        ),
        (
            {"group_acceleration": 5, "accelerated_cell_types": ["NK cell"]},
            ValueError,
            "found 'NK cell'. Available: 'B cell', 'T cell', 'Monocyte'",
        ),
        ({"group_acceleration": 5, "accelerated_cell_types": "B cell"}, TypeError, "a list"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        aging_cohort(**arguments)
