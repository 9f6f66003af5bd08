"""Bookkeeping, scores and tables of the classification benchmark, on results made by hand."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import sctools

TYPES = ("B", "CD14+ Mono", "NK", "T")


@pytest.fixture
def tasks(benchmarks, monkeypatch, tmp_path):
    """The tasks, with a data folder of the test's own, which is empty."""
    module = importlib.import_module("_classification_tasks")
    monkeypatch.setattr(module, "DATA", tmp_path / "data")
    return module


@pytest.fixture
def compared(monkeypatch):
    """Stand in for ``tl.compare_priors``: calls are kept, accuracy tells mode and split."""
    calls = []

    def compare_priors(adata, labels_key, net, *, modes, label_fractions, n_splits, rng, **kwargs):
        calls.append({"mode": modes[0], "fraction": label_fractions[0], "split": rng, **kwargs})
        assert (labels_key, len(modes), len(label_fractions), n_splits) == ("cell_type", 1, 1, 1)
        row = {
            "mode": modes[0],
            "label_fraction": label_fractions[0],
            "n_labels": round(100 * label_fractions[0]),
            "seed": 0,
            "accuracy": (0.5 if modes[0] == "hard" else 0.25) + 0.125 * rng,
            "macro_f1": 0.5,
            "ece": 0.25,
            "n_test": 40,
        }
        adata.uns["compare_priors"] = {"results": pd.DataFrame([row])}

    monkeypatch.setattr(sctools.tl, "compare_priors", compare_priors)
    return calls


@pytest.fixture
def nothing_runs(monkeypatch):
    """Fail where a model would be trained."""

    def run(*args, **kwargs):
        raise AssertionError("nothing was to be computed")

    for name in ("compare_priors", "prior_transformer"):
        monkeypatch.setattr(sctools.tl, name, run)


def small(n_obs=48, **obs):
    """Cells of four types, as a set is read from its file."""
    columns = {"cell_type": np.resize(TYPES, n_obs)} | obs
    return ad.AnnData(
        sparse.csr_matrix(np.ones((n_obs, 3), dtype=np.float32)),
        obs=pd.DataFrame(columns, index=[f"c{i}" for i in range(n_obs)]),
    )


def place(tasks, path, adata=None):
    """Write a file of the data folder: cells, or a network where there are none."""
    full = tasks.DATA / path
    full.parent.mkdir(parents=True, exist_ok=True)
    if adata is not None:
        adata.write_h5ad(full)
    else:
        pd.DataFrame({"source": ["a"], "target": ["b"], "weight": [1.0]}).to_csv(full, index=False)


NETWORK = "priors/collectri_human.csv.gz"
KANG = "classify/kang_pbmc_ifnb_muscat_1556.h5ad"
PBMC = "classify/pbmc_3tech_symphony_1200.h5ad"
BARON = "cluster/baron_human1_1937.h5ad"
PBMC3K = "cluster/pbmc3k_2638.h5ad"


# ---------------------------------------------------------------- bookkeeping


def run_compare(tasks, folder, mode="hard", n_splits=2, *, redo=False, name="Set", **kwargs):
    tasks.compare(folder, name, small(), None, mode, n_splits, redo=redo, **kwargs)
    return pd.read_csv(folder / tasks.RAW)


def test_finished_runs_are_not_computed_again(tasks, compared, tmp_path, capsys):
    run_compare(tasks, tmp_path)
    assert [call["split"] for call in compared] == [0, 1]
    raw = run_compare(tasks, tmp_path, n_splits=3)
    assert [call["split"] for call in compared] == [0, 1, 2]
    assert list(raw["seed"]) == [0, 1, 2]
    assert list(raw["accuracy"]) == [0.5, 0.625, 0.75]
    # The printed mean is over all splits, those of the file too.
    assert "0.625" in capsys.readouterr().out.splitlines()[-2]


def test_each_run_is_written_at_once(tasks, compared, tmp_path, monkeypatch):
    whole = sctools.tl.compare_priors

    def stopped(*args, rng, **kwargs):
        if rng == 2:
            raise KeyboardInterrupt
        whole(*args, rng=rng, **kwargs)

    monkeypatch.setattr(sctools.tl, "compare_priors", stopped)
    with pytest.raises(KeyboardInterrupt):
        run_compare(tasks, tmp_path, n_splits=4)
    assert list(pd.read_csv(tmp_path / tasks.RAW)["seed"]) == [0, 1]


def test_redo_replaces_these_runs_and_no_others(tasks, compared, tmp_path, monkeypatch):
    run_compare(tasks, tmp_path, "shuffled")
    run_compare(tasks, tmp_path, name="Other")
    run_compare(tasks, tmp_path, label_fraction=0.1)
    run_compare(tasks, tmp_path, n_splits=3)
    before = pd.read_csv(tmp_path / tasks.RAW)
    first = sctools.tl.compare_priors

    def better(adata, *args, **kwargs):
        first(adata, *args, **kwargs)
        adata.uns["compare_priors"]["results"]["accuracy"] += 0.0625

    monkeypatch.setattr(sctools.tl, "compare_priors", better)
    raw = run_compare(tasks, tmp_path, redo=True)
    assert len(raw) == len(before) == 9
    joined = before.merge(raw, on=tasks.RUN, suffixes=("", "_again"))
    changed = joined["accuracy_again"] - joined["accuracy"]
    again = (joined["data"] == "Set") & (joined["mode"] == "hard") & (joined["label_fraction"] == 1)
    again &= joined["seed"] < 2
    assert again.sum() == 2
    assert (changed == np.where(again, 0.0625, 0)).all()


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.25, 1 / 3])
def test_shares_of_labels_are_found_in_the_file_again(tasks, compared, tmp_path, fraction):
    run_compare(tasks, tmp_path, label_fraction=fraction)
    raw = run_compare(tasks, tmp_path, label_fraction=fraction)
    assert len(compared) == len(raw) == 2


def test_rows_of_another_process_are_kept(tasks, compared, tmp_path, monkeypatch):
    first = sctools.tl.compare_priors

    def meanwhile(adata, *args, rng, **kwargs):
        first(adata, *args, rng=rng, **kwargs)
        path = tmp_path / tasks.RAW
        other = adata.uns["compare_priors"]["results"].assign(data="Elsewhere", seed=rng)
        there = [pd.read_csv(path)] if path.is_file() else []
        pd.concat([*there, other]).to_csv(path, index=False)

    monkeypatch.setattr(sctools.tl, "compare_priors", meanwhile)
    raw = run_compare(tasks, tmp_path)
    assert sorted(zip(raw["data"], raw["seed"], strict=True)) == [
        ("Elsewhere", 0),
        ("Elsewhere", 1),
        ("Set", 0),
        ("Set", 1),
    ]


def test_arguments_of_a_task_reach_the_comparison(tasks, compared, tmp_path):
    run_compare(
        tasks, tmp_path, "soft", 1, label_fraction=0.25, test_key="test", log_normalized=True
    )
    expected = {"mode": "soft", "fraction": 0.25, "split": 0, "test_key": "test"}
    expected |= {"log_normalized": True, "progress_bar": False}
    assert compared == [expected]


# ---------------------------------------------------------------- tasks


@pytest.mark.parametrize("name", ["batches", "labels", "biology", "unseen"])
@pytest.mark.parametrize("cells", [False, True])
def test_missing_files_are_named_and_skipped(tasks, nothing_runs, tmp_path, capsys, name, cells):
    if cells:  # and no network
        for path in (KANG, PBMC, BARON, PBMC3K):
            place(tasks, path, small(donor="101", condition="ctrl", technology="5p"))
    found = tasks.TASKS[name](tmp_path, n_splits=1, modes=["hard"], redo=True)
    assert found is None
    assert f"skipped: no file {NETWORK}" in capsys.readouterr().out
    assert not (tmp_path / tasks.RAW).exists()


def test_a_set_that_is_there_is_run_without_the_other(tasks, compared, tmp_path, capsys):
    place(tasks, NETWORK)
    place(tasks, PBMC, small(technology=np.repeat(["3pv1", "3pv2", "5p"], 16)))
    tasks.batches(tmp_path, n_splits=1, modes=None, redo=False)
    assert f"skipped: no file {KANG}" in capsys.readouterr().out
    raw = pd.read_csv(tmp_path / tasks.RAW)
    assert list(raw["data"].unique()) == [f"PBMC, held out {t}" for t in ("3pv1", "3pv2", "5p")]
    assert set(raw["mode"]) == {"hard", "logistic regression", "shuffled"}
    assert len(raw) == 9
    assert all(call["log_normalized"] for call in compared)


def test_whole_batches_are_held_out(tasks):
    donor = np.resize(["101", "107"], 48)
    condition = np.repeat(["ctrl", "stim"], 24)
    place(tasks, KANG, small(donor=pd.Categorical(donor), condition=condition))
    technology = np.repeat(["3pv1", "3pv2", "5p"], 16)
    kind = np.resize(TYPES, 48)
    kind[[0, 20]] = "HSC"  # too few to learn
    place(tasks, PBMC, small(cell_type=kind, technology=technology))
    technology = technology[kind != "HSC"]
    splits = list(tasks.batch_splits())
    expected = {
        "Kang 101 → 107": (donor == "107", False),
        "Kang 107 → 101": (donor == "101", False),
        "Kang ctrl → stim": (condition == "stim", False),
        **{f"PBMC, held out {t}": (technology == t, True) for t in ("3pv1", "3pv2", "5p")},
    }
    assert [name for name, *_ in splits] == list(expected)
    for name, adata, test, log_normalized in splits:
        assert "HSC" not in set(adata.obs["cell_type"])
        np.testing.assert_array_equal(test, expected[name][0])
        assert log_normalized is expected[name][1]


def test_few_labels_come_with_few_genes(tasks, compared, tmp_path):
    place(tasks, NETWORK)
    place(tasks, BARON, small(400))
    tasks.labels(tmp_path, n_splits=1, modes=["none"], redo=False)
    assert [call["fraction"] for call in compared] == list(tasks.LABEL_FRACTIONS)
    for call in compared:
        assert call["test_size"] == tasks.TEST_SIZE
        assert call["model_kwargs"]["n_top_genes"] == tasks.N_TOP_GENES
        n_labels = call["fraction"] * (1 - tasks.TEST_SIZE) * 400
        share = call["model_kwargs"]["min_cells"] / n_labels
        assert share == pytest.approx(tasks.MIN_SHARE, abs=0.501 / n_labels)


# ---------------------------------------------------------------- what attention finds


@pytest.fixture
def simulated(monkeypatch):
    """Make the simulated cells few; the network has the size that the task asks for."""
    real = sctools.datasets.regulated_cells
    made = []

    def few(n_obs, **kwargs):
        made.append({"n_obs": n_obs, **kwargs})
        return real(n_obs, **{**kwargs, "n_genes": 150, "n_tfs": 12, "n_targets": 8})

    monkeypatch.setattr(sctools.datasets, "regulated_cells", few)
    return made


def in_network(edges, network):
    """Tell which edges are true."""
    true = set(zip(network["source"], network["target"], strict=True))
    return np.array([pair in true for pair in zip(edges["source"], edges["target"], strict=True)])


def truth_and_its_opposite(adata):
    """Scores that know which regulators are active in a cell's type, and that say the reverse.

    One regulator is not among the model's, and its scores are on scales of their own.
    """
    active = adata.uns["regulated_cells"]["active"].iloc[:, 1:].astype(float)
    scores = active.loc[adata.obs["cell_type"]].set_axis(adata.obs_names)
    noise = np.random.default_rng(0).normal(0, 1e-3, scores.shape)
    scales = np.geomspace(0.1, 10, scores.shape[1])
    return {"truth": (scores + noise) * scales, "opposite": -(scores + noise) * scales + 5}


def test_planted_edges_are_told_from_decoys(tasks, simulated, monkeypatch, tmp_path):
    modes = []

    def trained(adata, labels_key, net, *, prior, rng, return_model, **kwargs):
        """Lift: high for the true edges, or, with the shuffled network, the same for all."""
        modes.append((prior, rng))
        edges = adata.uns[net]
        is_true = in_network(edges, adata.uns["network"])
        high = is_true if prior == "hard" else np.zeros(len(edges), dtype=bool)
        # The seed tells which of two groups shows it: the mean over groups counts.
        lift = np.ones((len(edges), 2), dtype=np.float32)
        lift[high, rng % 2] = 3
        genes = np.unique(edges[["source", "target"]])
        adata.uns["prior_transformer"] = {
            "params": {"method": "prior_transformer", "mode": "trained", "labels_key": labels_key},
            "genes": genes,
            "classes": np.array(["type1", "type2"]),
            "groups": np.array(["type1", "type2"]),
            "edges": edges,
            "attention": lift / 10,
            "lift": lift,
            "gene_attention": np.full((len(genes), 2), 1 / len(genes), dtype=np.float32),
        }
        assert return_model
        return SimpleNamespace(validation={"accuracy": 0.75 if prior == "hard" else 0.5})

    monkeypatch.setattr(sctools.tl, "prior_transformer", trained)
    monkeypatch.setattr(tasks, "regulator_scores", truth_and_its_opposite)
    rows = tasks.planted(tmp_path, n_splits=2, modes=None, redo=False, n_obs=30)
    assert (rows["active_tfs_by_truth"] == 1).all()
    assert (rows["active_tfs_by_opposite"] == 0).all()
    assert modes == [("hard", 0), ("shuffled", 0), ("hard", 1), ("shuffled", 1)]
    assert [made["rng"] for made in simulated] == [0, 1]
    assert {made["n_obs"] for made in simulated} == {30}
    by_mode = rows.groupby("prior")
    assert list(by_mode["auroc"].unique()["hard"]) == [1.0]
    assert list(by_mode["auroc_active"].unique()["hard"]) == [1.0]
    assert list(by_mode["auroc"].unique()["shuffled"]) == [0.5]
    assert (rows["share_true"] == 0.5).all()
    assert list(by_mode["share_true_in_top"].unique()["hard"]) == [1.0]
    assert list(rows["accuracy"]) == [0.75, 0.5, 0.75, 0.5]
    # Plain correlation knows nothing of the kind of prior.
    assert (by_mode["auroc_correlation"].nunique() == 2).all()
    assert rows["auroc_correlation"].nunique() == 2


def test_lift_is_compared_between_seeds(tasks, simulated, monkeypatch, tmp_path):
    of_edge = np.array([1.0, 2.0, 4.0, 8.0])[:, None]
    tilt = np.array([[2.0, 0.5], [0.5, 2.0], [2.0, 0.5], [0.5, 2.0]])

    def trained(adata, labels_key, net, *, rng, **kwargs):
        """Seed 1 turns the groups round, and seed 2 the edges."""
        lift = of_edge * (1 / tilt if rng == 1 else tilt)
        adata.uns["prior_transformer"] = {
            "lift": 1 / of_edge * tilt if rng == 2 else lift,
            "groups": np.array(["type2", "type1"], dtype=object),
            "edges": pd.DataFrame({"source": ["TF2", "TF1", "TF2", "TF1"]}),
        }

    def scores(adata):
        """Expression that goes with the tilt, around levels that count for nothing."""
        high = (adata.obs["cell_type"] == "type2").to_numpy().astype(float)
        return {"mrna": pd.DataFrame({"TF1": 7 - high, "TF2": high}, adata.obs_names)}

    monkeypatch.setattr(tasks, "regulator_scores", scores)
    monkeypatch.setattr(sctools.tl, "prior_transformer", trained)
    found = tasks.seeds(tmp_path, n_splits=3, modes=None, redo=False, n_obs=30)
    assert list(found["seed"]) == [1, 2]
    assert found["mean_lift"].tolist() == pytest.approx([1, -1])
    assert found["contrast"].tolist() == pytest.approx([-1, 1])
    assert found["contrast_and_mrna"].tolist() == pytest.approx([-1, 1])


def test_correlations_are_of_the_edges_asked_for(tasks):
    rng = np.random.default_rng(0)
    counts = rng.poisson(20, (200, 4)).astype(np.float32)
    counts[:, 0] = rng.integers(20, 80, 200)
    counts[:, 2] = 100 - counts[:, 0]  # the other way round counts as much
    adata = ad.AnnData(sparse.csr_matrix(counts), var=pd.DataFrame(index=list("abcd")))
    edges = pd.MultiIndex.from_tuples([("d", "b"), ("a", "c"), ("c", "a")])
    apart, one_way, other_way = tasks.correlations(adata, edges)
    assert one_way == other_way > 0.9 > 0.4 > apart >= 0
    assert (adata.X.toarray() == counts).all()


def test_edges_of_idle_regulators_count_only_in_the_first_score(
    tasks, simulated, monkeypatch, tmp_path
):
    few = sctools.datasets.regulated_cells

    def one_idle(*args, **kwargs):
        adata = few(*args, **kwargs)
        active = adata.uns["regulated_cells"]["active"]
        active.loc[:, :] = True
        active["TF01"] = False
        return adata

    def trained(adata, labels_key, net, **kwargs):
        edges = adata.uns[net]
        is_true = in_network(edges, adata.uns["network"])
        # Edges of the idle regulator are ranked the wrong way round.
        idle = edges["source"] == "TF01"
        adata.edges = pd.DataFrame(
            {
                "source": edges["source"],
                "target": edges["target"],
                "lift": np.where(idle, np.where(is_true, -1, 4), np.where(is_true, 3, 1)),
            }
        )
        return SimpleNamespace(validation={"accuracy": 1.0})

    monkeypatch.setattr(sctools.datasets, "regulated_cells", one_idle)
    monkeypatch.setattr(sctools.tl, "prior_transformer", trained)
    monkeypatch.setattr(sctools.get, "attention_df", lambda adata: adata.edges)
    monkeypatch.setattr(tasks, "regulator_scores", lambda adata: {})
    row = tasks.planted(tmp_path, n_splits=1, modes=["hard"], redo=False, n_obs=30).iloc[0]
    assert row["auroc_active"] == 1.0
    assert 0.5 < row["auroc"] < 1.0


def test_known_regulators_are_ranked_among_all(tasks, monkeypatch, tmp_path):
    place(tasks, NETWORK)
    place(tasks, PBMC3K, small())
    # SPI1 is known too, and missing among the model's genes.
    names = ["RFX5", "CIITA", "CEBPA", "EOMES", *(f"TF{i}" for i in range(6))]
    priors = []

    def trained(adata, labels_key, net, *, prior, **kwargs):
        priors.append(prior)
        types = adata.obs["cell_type"].to_numpy()
        scores = np.random.default_rng(0).normal(0, 1e-3, (adata.n_obs, len(names)))
        scores = pd.DataFrame(scores, adata.obs_names, names)
        scores["TF0"] += 100  # high everywhere, which tells no type
        scores.loc[types == "B", "RFX5"] += 2
        scores.loc[types == "B", "CIITA"] -= 2
        scores.loc[types == "NK", "EOMES"] += 2
        adata.obsm["prior_transformer_tf"] = scores

    def found(adata):
        scores = adata.obsm["prior_transformer_tf"]
        return {"score": scores, "mrna": -scores}

    monkeypatch.setattr(tasks, "regulator_scores", found)
    monkeypatch.setattr(sctools.tl, "prior_transformer", trained)
    rows = tasks.biology(tmp_path, n_splits=None, modes=None, redo=False)
    assert priors == ["hard", "shuffled"]
    rank = rows[rows["prior"] == "hard"].set_index(["cell_type", "regulator"])["rank"]
    assert rank["B", "RFX5"] == rank["NK", "EOMES"] == 1.0
    assert rank["B", "CIITA"] == pytest.approx(0.1)
    assert np.isnan(rank["CD14+ Mono", "SPI1"])
    assert set(rows["n_regulators"]) == {len(names)}
    assert list(rows["prior"].unique()) == ["hard", "none, mrna", "shuffled"]
    reverse = rows[rows["prior"] == "none, mrna"].set_index(["cell_type", "regulator"])["rank"]
    assert reverse["B", "CIITA"] == 1.0
    assert len(rows) == 3 * sum(map(len, tasks.KNOWN.values()))


def test_scores_without_a_model(tasks):
    """Written out for two regulators, one of which represses a target, and a gene outside."""
    counts = np.random.default_rng(0).poisson(3, (20, 6)).astype(np.float32)
    genes = ["TF1", "TF2", "a", "b", "c", "outside"]
    adata = ad.AnnData(sparse.csr_matrix(counts), var=pd.DataFrame(index=genes))
    edges = [("TF1", "a", 2.0), ("TF1", "b", -1.0), ("TF2", "b", 0.0), ("TF2", "TF1", 1.0)]
    adata.uns["prior_transformer"] = {
        "genes": np.array(genes[:5], dtype=object),
        "edges": pd.DataFrame(edges, columns=["source", "target", "weight"]),
    }
    score = pd.DataFrame(0.0, adata.obs_names, ["TF1", "TF2"])
    adata.obsm["prior_transformer_tf"] = score
    found = tasks.regulator_scores(adata)
    assert list(found) == ["score", "targets", "mrna"]
    assert found["score"] is score
    logged = np.log1p(1e4 * counts[:, :5] / counts[:, :5].sum(axis=1, keepdims=True))
    beyond = logged - logged.mean(axis=0)
    expected = np.c_[beyond[:, 2] - beyond[:, 3], beyond[:, 3] + beyond[:, 0]]
    np.testing.assert_allclose(found["targets"][["TF1", "TF2"]], expected, atol=1e-4)
    np.testing.assert_allclose(found["mrna"][["TF1", "TF2"]], logged[:, :2], rtol=1e-5)
    assert (adata.X.toarray() == counts).all()


def test_unseen_classes_are_left_out_of_training_and_counted(tasks, monkeypatch, tmp_path):
    donor = np.repeat(["101", "107"], 40)
    place(tasks, NETWORK)
    place(tasks, KANG, small(80, donor=pd.Categorical(donor)))
    trainings = []

    def transformer(adata, labels_key=None, net=None, *, model=None, **kwargs):
        if model is None:
            assert labels_key == "cell_type"
            assert set(adata.obs["donor"]) == {"101"}
            trainings.append(set(adata.obs["cell_type"]))
            return trainings[-1]
        assert set(adata.obs["donor"]) == {"107"}
        truth = adata.obs["cell_type"].astype(str)
        # What is right for known classes; one of those is answered wrongly, one not at all.
        answer = truth.where(truth.isin(model), "Unknown").to_numpy(dtype=object)
        known = np.flatnonzero(answer != "Unknown")
        answer[known[0]] = next(name for name in sorted(model) if name != answer[known[0]])
        answer[known[1]] = "Unknown"
        # Of the new class, three cells get a known name.
        answer[np.flatnonzero(~truth.isin(model))[:3]] = sorted(model)[0]
        adata.obs["prior_transformer"] = pd.Categorical(answer)

    monkeypatch.setattr(sctools.tl, "prior_transformer", transformer)
    rows = tasks.unseen(tmp_path, n_splits=None, modes=None, redo=False).set_index("left_out")
    assert list(rows.index) == sorted(TYPES)
    assert trainings == [set(TYPES) - {name} for name in sorted(TYPES)]
    assert (rows["n_cells"] == 10).all()
    assert rows["unknown"].to_numpy() == pytest.approx(0.7)
    assert rows["unknown_others"].to_numpy() == pytest.approx(1 / 30)
    assert rows["accuracy_others"].to_numpy() == pytest.approx(28 / 29)


# ---------------------------------------------------------------- table


def runs(data="Baron", mode="hard", n_labels=50, accuracy=(0.5, 0.75)):
    """Rows of the raw file."""
    return pd.DataFrame(
        {
            "mode": mode,
            "label_fraction": n_labels / 1000,
            "n_labels": n_labels,
            "seed": range(len(accuracy)),
            "accuracy": accuracy,
            "macro_f1": np.array(accuracy) / 2,
            "ece": 0.125,
            "n_test": 40,
            "data": data,
        }
    )


def test_table_has_means_and_standard_deviations(tasks, tmp_path, capsys):
    rows = [runs(), runs(mode="none", accuracy=(0.25, 0.25, 1.0)), runs(n_labels=100)]
    pd.concat([*rows, runs("Kang", accuracy=(0.5,))]).to_csv(tmp_path / tasks.RAW, index=False)
    figure = tmp_path / "docs" / "classification.png"
    tasks.table(tmp_path, figure)
    table = pd.read_csv(tmp_path / "classification.csv").set_index(["data", "n_labels", "mode"])
    assert len(table) == 4
    first = table.loc[("Baron", 50, "hard")]
    assert first["accuracy"] == pytest.approx(0.625)
    assert first["accuracy_sd"] == pytest.approx(np.std([0.5, 0.75], ddof=1), abs=1e-4)
    assert first["macro_f1"] == pytest.approx(0.3125)
    assert (first["ece"], first["ece_sd"], first["n_runs"]) == (0.125, 0, 2)
    second = table.loc[("Baron", 50, "none")]
    assert (second["accuracy"], second["n_runs"]) == (0.5, 3)
    alone = table.loc[("Kang", 50, "hard")]
    assert (alone["accuracy"], alone["n_runs"]) == (0.5, 1)
    assert np.isnan(alone["accuracy_sd"])
    assert figure.stat().st_size
    assert "0.625" in capsys.readouterr().out


def test_differences_are_paired_by_split(tasks):
    hard = runs(accuracy=(0.5, 0.75, 1.0))
    # In another order, with a split more and one less: the same splits are to be compared.
    other = runs(mode="none", accuracy=(0.25, 0.25, 0.0, 0.0)).drop(index=2)[::-1]
    rows = pd.concat([hard, other, runs("Kang", mode="none"), runs("PBMC")])
    found = tasks.paired(rows)
    assert list(found["data"]) == ["Baron"]  # elsewhere there is nothing to compare
    row = found.iloc[0]
    assert (row["mode"], row["n_labels"], row["n_splits"]) == ("none", 50, 2)
    assert row["difference"] == pytest.approx((0.25 + 0.5) / 2)
    assert row["standard_error"] == pytest.approx(0.125)


def test_figure_shows_baron_alone(tasks, tmp_path, monkeypatch):
    drawn = []
    real = sctools.pl.compare_priors
    monkeypatch.setattr(
        sctools.pl, "compare_priors", lambda rows, **kw: drawn.append(rows) or real(rows, **kw)
    )
    figure = tmp_path / "classification.png"
    raw = tmp_path / tasks.RAW
    runs("Kang").to_csv(raw, index=False)
    tasks.table(tmp_path, figure)
    assert not drawn
    assert not figure.exists()
    pd.concat([runs(), runs("Kang"), runs(n_labels=100)]).to_csv(raw, index=False)
    tasks.table(tmp_path, figure)
    assert set(drawn[0]["data"]) == {"Baron"}
    assert len(drawn[0]) == 4
    assert figure.stat().st_size


def test_no_table_without_runs(tasks, tmp_path):
    tasks.table(tmp_path, tmp_path / "figure.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_command_line_skips_what_is_not_there_and_writes_the_table(tasks, root, tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    runs().to_csv(results / tasks.RAW, index=False)

    def command(*arguments):
        return subprocess.run(
            [
                *(sys.executable, root / "benchmarks" / "classification.py"),
                *("--results", results, "--figure", tmp_path / "figure.png"),
                *arguments,
            ],
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | {"SCTOOLS_TEST_DATA": str(tmp_path / "data")},
        ).stdout

    printed = command("--task", "labels", "biology")
    assert f"skipped: no file {BARON}" in printed
    assert f"skipped: no file {PBMC3K}" in printed
    table = pd.read_csv(results / "classification.csv")
    assert list(table["accuracy"]) == [0.625]
    assert not (results / "classification_biology.csv").exists()
    assert (tmp_path / "figure.png").stat().st_size
