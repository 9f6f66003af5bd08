from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_score

from sctools.datasets import regulated_cells

SMALL = {"n_obs": 120, "n_genes": 150, "n_tfs": 12, "n_targets": 10}
PAIR = ["source", "target"]


@pytest.fixture(scope="module")
def cells():
    return regulated_cells()


@pytest.fixture(scope="module")
def logged(cells):
    """Log-normalised values, dense, as a data frame."""
    adata = cells.copy()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    return adata.to_df()


def correlations(activity, values, edges):
    """Correlation over cells of a column of each of the two tables, for each edge."""
    a, b = (
        (table - table.mean()) / (table.std() * np.sqrt(len(table)))
        for table in (activity[edges["source"]], values[edges["target"]])
    )
    return (a.to_numpy() * b.to_numpy()).sum(axis=0)


def test_same_seed_same_cells():
    a, b, c = (regulated_cells(rng=seed, **SMALL) for seed in (1, 1, 2))
    assert (a.X != b.X).nnz == 0
    pd.testing.assert_frame_equal(a.obs, b.obs)
    for key in ("network", "decoy_network", "prior"):
        pd.testing.assert_frame_equal(a.uns[key], b.uns[key])
        assert not a.uns[key].equals(c.uns[key])
    assert (a.X != c.X).nnz > 0
    d = regulated_cells(rng=np.random.default_rng(1), **SMALL)
    assert (a.X != d.X).nnz == 0


def test_global_random_state_is_untouched():
    before = np.random.get_state()  # noqa: NPY002
    regulated_cells(**SMALL)
    after = np.random.get_state()  # noqa: NPY002
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]


def test_layout(cells):
    assert cells.shape == (1000, 600)
    assert cells.X.format == "csr"
    assert cells.X.dtype == np.float32
    np.testing.assert_array_equal(cells.X.data, np.round(cells.X.data))
    assert list(cells.obs["cell_type"].cat.categories) == [f"type{i}" for i in range(1, 7)]
    assert list(cells.obs["batch"].value_counts(sort=False)) == [500, 500]
    assert list(cells.var_names[cells.var["is_tf"]]) == [f"TF{i:02d}" for i in range(1, 31)]
    assert cells.var_names[-1] == "gene_570"
    activity = cells.obsm["tf_activity"]
    assert list(activity.columns) == list(cells.var_names[:30])
    assert list(activity.index) == list(cells.obs_names)
    assert (activity.dtypes == np.float32).all()
    params = cells.uns["regulated_cells"]["params"]
    assert params["n_tfs"] == 30
    assert "rng" not in params


def test_categories_are_natural_sorted():
    adata = regulated_cells(200, n_types=11, n_batches=2, n_genes=200, n_targets=8)
    assert list(adata.obs["cell_type"].cat.categories)[-2:] == ["type10", "type11"]
    assert (adata.obs.groupby(["batch", "cell_type"], observed=False).size() >= 1).all()


def test_types_differ_by_a_few_tfs(cells):
    active = cells.uns["regulated_cells"]["active"]
    assert active.shape == (6, 30)
    assert active.sum(axis=1).between(3, 5).all()
    assert not active.duplicated().any()
    assert (active.sum() > 1).any()
    assert not active.any().all()
    mean = cells.obsm["tf_activity"].groupby(cells.obs["cell_type"].to_numpy()).mean()
    assert (mean.to_numpy()[active] > 0.85).all()
    assert (mean.to_numpy()[~active] < 0.25).all()


def test_networks(cells):
    network, decoys, prior = (cells.uns[key] for key in ("network", "decoy_network", "prior"))
    assert len(network) == len(decoys) > 600
    assert len(prior) == len(prior.drop_duplicates(PAIR)) == 2 * len(network)
    assert len(network.merge(decoys, on=PAIR)) == 0
    assert (prior["source"] != prior["target"]).all()
    assert set(prior["source"]) == set(cells.var_names[:30])
    assert set(prior["target"]) <= set(cells.var_names)
    for end in PAIR:
        a, b = (table[end].value_counts().sort_index() for table in (network, decoys))
        pd.testing.assert_series_equal(a, b)
    assert network["weight"].abs().between(0.5, 1.5).all()
    assert 0.2 < (network["weight"] < 0).mean() < 0.3
    # Neither rows nor weights give the decoys away.
    true = prior.merge(network[PAIR], how="left", on=PAIR, indicator=True)["_merge"] == "both"
    assert 0.4 < roc_auc_score(true, np.arange(len(prior))) < 0.6
    assert 0.4 < roc_auc_score(true, prior["weight"]) < 0.6


def test_counts_look_like_counts(cells):
    totals = np.asarray(cells.X.sum(axis=1)).ravel()
    assert 2700 < np.median(totals) < 3300
    assert 0.3 < np.log(totals).std() < 0.5
    assert 0.1 < 1 - cells.X.nnz / np.prod(cells.shape) < 0.5
    assert (cells.X > 0).sum(axis=0).min() > 30


@pytest.mark.parametrize("dispersion", [0.0, 0.5])
def test_dispersion(dispersion):
    adata = regulated_cells(
        2000, n_types=1, n_batches=1, n_genes=100, n_targets=5, n_tfs=5, effect_size=0, depth_sd=0,
        dispersion=dispersion,
    )  # fmt: skip
    X = adata.X[:, 5:].toarray()
    mean, variance = X.mean(axis=0), X.var(axis=0)
    high = mean > 3
    estimate = np.median((variance[high] - mean[high]) / mean[high] ** 2)
    assert estimate == pytest.approx(dispersion, abs=0.06)


def test_activity_shows_in_targets_by_its_sign(cells, logged):
    network, activity = cells.uns["network"], cells.obsm["tf_activity"]
    active = cells.uns["regulated_cells"]["active"].any()
    network = network[network["source"].map(active)]
    found = correlations(activity, logged, network)
    up = network["weight"].to_numpy() > 0
    assert found[up].mean() > 0.15
    assert found[~up].mean() < -0.1
    decoys = cells.uns["decoy_network"]
    decoys = decoys[decoys["source"].map(active)]
    assert abs(correlations(activity, logged, decoys).mean()) < 0.05


def test_true_edges_are_told_from_decoys_by_activity_not_by_mrna(cells, logged):
    active = cells.uns["regulated_cells"]["active"].any()
    tables = [cells.uns[key] for key in ("network", "decoy_network")]
    tables = [table[table["source"].map(active)] for table in tables]
    true = np.repeat([1, 0], [len(table) for table in tables])

    def auroc(values):
        found = [
            np.sign(table["weight"].to_numpy()) * correlations(values, logged, table)
            for table in tables
        ]
        return roc_auc_score(true, np.concatenate(found))

    by_activity, by_mrna = auroc(cells.obsm["tf_activity"]), auroc(logged)
    assert by_activity > 0.9
    assert 0.55 < by_mrna < by_activity - 0.1


def test_mrna_tells_little_of_the_activity(cells, logged):
    tfs = list(cells.obsm["tf_activity"].columns)
    own = pd.DataFrame({"source": tfs, "target": tfs})
    found = correlations(cells.obsm["tf_activity"], logged, own)
    assert 0.1 < found.mean() < 0.4


def test_types_can_be_learned_but_not_at_once(cells, logged):
    labels = cells.obs["cell_type"].to_numpy().astype(str)
    model = LogisticRegression(C=0.1, max_iter=500)
    assert cross_val_score(model, logged, labels, cv=3).mean() > 0.85
    few = pd.Series(labels).groupby(labels).head(5).index
    rest = np.setdiff1d(np.arange(len(labels)), few)
    score = model.fit(logged.iloc[few], labels[few]).score(logged.iloc[rest], labels[rest])
    assert 0.4 < score < 0.9


def test_without_effect_types_are_alike():
    adata = regulated_cells(600, effect_size=0, mrna_correlation=0)
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    score = cross_val_score(
        LogisticRegression(C=0.1, max_iter=500), adata.X, adata.obs["cell_type"].astype(str), cv=3
    ).mean()
    assert score < 0.3


def test_batch_effect():
    def distance(batch_effect):
        adata = regulated_cells(400, batch_effect=batch_effect, effect_size=0)
        X = adata.X.toarray()
        means = [X[adata.obs["batch"] == name].sum(axis=0) for name in ("batch1", "batch2")]
        return np.std(np.log(means[0] / means[1]))

    assert distance(0.4) > 3 * distance(0.0)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("sizes", [(5, 30, 5), (6, 150, 25), (40, 300, 50)], ids=str)
def test_decoys_are_found_at_any_density(sizes, seed):
    n_tfs, n_genes, n_targets = sizes
    adata = regulated_cells(
        12, n_types=3, n_tfs=n_tfs, n_genes=n_genes, n_targets=n_targets, rng=seed
    )
    assert len(adata.uns["network"].merge(adata.uns["decoy_network"], on=PAIR)) == 0


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_written_and_read_back(tmp_path, kind):
    adata = regulated_cells(**SMALL)
    getattr(adata, f"write_{kind}")(tmp_path / f"cells.{kind}")
    back = getattr(ad, f"read_{kind}")(tmp_path / f"cells.{kind}")
    assert back.uns["prior"].to_numpy().tolist() == adata.uns["prior"].to_numpy().tolist()
    np.testing.assert_array_equal(back.obsm["tf_activity"], adata.obsm["tf_activity"])
    np.testing.assert_array_equal(
        back.uns["regulated_cells"]["active"], adata.uns["regulated_cells"]["active"]
    )


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"n_obs": 10.0}, TypeError, r"`n_obs` must be an integer, found 10.0"),
        ({"n_tfs": 4}, ValueError, r"`n_tfs` must be at least 5, found 4"),
        ({"n_batches": 0}, ValueError, r"`n_batches` must be at least 1"),
        ({"n_obs": 11}, ValueError, r"`n_obs=11` is too few for 6 cell types in 2 batches"),
        ({"n_genes": 140}, ValueError, r"`n_genes=140` is too few.*at least 150"),
        ({"n_tfs": 5, "n_types": 40}, ValueError, r"`n_tfs=5` is too few for 40 types"),
        ({"effect_size": "large"}, TypeError, r"`effect_size` must be a number"),
        ({"dispersion": -1}, ValueError, r"`dispersion` must be finite and not negative"),
        ({"depth": 0}, ValueError, r"`depth` must be finite and above 0"),
        ({"depth_sd": np.inf}, ValueError, r"`depth_sd` must be finite"),
        ({"mrna_correlation": 1.5}, ValueError, r"`mrna_correlation` must lie between −1 and 1"),
    ],
)
def test_bad_arguments(kwargs, error, message):
    with pytest.raises(error, match=message):
        regulated_cells(**kwargs)
