"""The protocol, rows and tables of the clustering benchmark, on latents with a known answer."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

ARI = ("kmeans_ari", "leiden_ari", "leiden05_ari")


@pytest.fixture
def part(benchmarks):
    """Import a module of the benchmark by the end of its name."""
    return lambda name: importlib.import_module(f"_clustering_{name}")


@pytest.fixture
def blobs():
    """Four groups of cells far from each other, and their labels."""
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "c", "d"], 60)
    centres = 20 * np.eye(4, 6)
    return np.repeat(centres, 60, axis=0) + rng.normal(size=(240, 6)), labels


def counts(n_obs=80, n_vars=400, seed=0):
    """Raw counts of two groups of cells, as a set is read from its file."""
    rng = np.random.default_rng(seed)
    labels = np.resize(["one", "two"], n_obs)
    rate = np.tile(rng.uniform(1, 5, n_vars), (n_obs, 1))
    rate[:, :10] = np.where(labels == "one", 5.5, 0.5)[:, None]
    return ad.AnnData(
        sparse.csr_matrix(rng.poisson(rate).astype(np.float32)),
        obs=pd.DataFrame({"cell_type": labels}, index=[f"c{i}" for i in range(n_obs)]),
        var=pd.DataFrame(index=[f"g{i}" for i in range(n_vars)]),
    )


def test_separated_groups_are_found(part, blobs):
    scores = part("protocol").score(*blobs, seed=0)
    for name in ARI:
        assert scores[name] == 1
        assert scores[name.replace("ari", "nmi")] == pytest.approx(1)
    assert scores["leiden_clusters"] == scores["leiden05_clusters"] == 4
    assert scores["silhouette"] > 0.7


def test_a_random_latent_scores_nothing(part, blobs):
    latent = np.random.default_rng(1).normal(size=(240, 6))
    scores = part("protocol").score(latent, blobs[1], seed=0)
    assert all(abs(scores[name]) < 0.05 for name in ARI)
    assert abs(scores["silhouette"]) < 0.05


def test_labels_take_no_part_in_the_choice_of_resolution(part):
    # Overlapping groups, so that the resolutions of the grid differ.
    rng = np.random.default_rng(2)
    labels = np.repeat(["a", "b", "c", "d", "e"], 50)
    latent = np.repeat(rng.normal(size=(5, 5)) * 2.5, 50, axis=0) + rng.normal(size=(250, 5))
    score = part("protocol").score
    right, shuffled = score(latent, labels, 0), score(latent, rng.permutation(labels), 0)
    assert right["leiden_resolution"] == shuffled["leiden_resolution"]
    assert right["leiden_clusters"] == shuffled["leiden_clusters"]
    assert right["leiden_ari"] > 0.3 > 0.1 > shuffled["leiden_ari"]


def test_resolution_has_the_best_silhouette(part, blobs):
    latent, labels = blobs
    choose = part("protocol").choose_resolution
    true = np.unique(labels, return_inverse=True)[1]
    halves = true * 2 + np.arange(len(true)) % 2
    clusterings = {0.1: true // 2, 0.5: true, 1.0: halves}
    assert choose(latent, clusterings) == 0.5
    one = np.zeros(len(true), dtype=int)
    assert choose(latent, {0.1: one, 0.5: halves, 1.0: true}) == 1.0
    assert choose(latent, {0.1: one, 0.2: one}) == 0.1


def test_batch_scores_tell_mixed_from_separate(part, blobs):
    latent, labels = blobs
    batch = np.resize(["x", "y"], len(labels))
    score = part("protocol").score_batches
    mixed = score(latent, labels, batch)
    shifted = latent + np.where(batch == "x", 50, 0)[:, None]
    separate = score(shifted, labels, batch)
    assert abs(mixed["silhouette_batch_within"]) < 0.05
    assert separate["silhouette_batch_within"] > 0.9
    assert separate["silhouette_batch"] > 0.5 > mixed["silhouette_batch"]


def test_methods_see_raw_counts_of_variable_genes_and_no_labels(part):
    raw = counts()
    dataset = part("data").prepare("pbmc3k", raw, n_genes=12)
    adata = dataset.adata
    assert list(adata.obs) == ["depth"]  # over all genes, as PCA's log-normalised values are
    np.testing.assert_array_equal(adata.obs["depth"], np.asarray(raw.X.sum(axis=1)).ravel())
    assert adata.n_vars == 12
    assert np.array_equal(adata.X.toarray(), raw[:, adata.var_names].X.toarray())
    total = np.asarray(raw.X.sum(axis=1))
    expected = np.log1p(1e4 * raw[:, adata.var_names].X.toarray() / total)
    np.testing.assert_allclose(adata.layers["log_normalized"].toarray(), expected, rtol=1e-5)
    # Ten of 400 genes differ between the groups: most are among the 12.
    assert len({f"g{i}" for i in range(10)} & set(adata.var_names)) > 5
    assert dataset.scored.all()

    other = raw.copy()
    other.obs["cell_type"] = other.obs["cell_type"].to_numpy()[::-1]
    assert part("data").prepare("pbmc3k", other, 12).adata.var_names.equals(adata.var_names)


def test_cells_without_a_type_are_not_scored(part):
    raw = counts()
    raw.obs["cell_type"] = np.resize(["B", "Mouse", "Unknown", "NK"], raw.n_obs)
    raw.obsm["protein_expression"] = pd.DataFrame(
        np.ones((raw.n_obs, 3)), index=raw.obs_names, columns=["p", "q", "r"]
    )
    dataset = part("data").prepare("cbmc", raw, n_genes=12)
    assert dataset.adata.n_obs == raw.n_obs
    assert set(dataset.labels[dataset.scored]) == {"B", "NK"}
    assert dataset.scored.sum() == raw.n_obs // 2


def test_batches_of_kang_are_donor_and_condition(part):
    raw = counts()
    raw.obs["donor"] = pd.Categorical(np.resize(["101", "107"], raw.n_obs))
    raw.obs["condition"] = np.repeat(["ctrl", "stim"], raw.n_obs // 2)
    batch = part("data").prepare("kang", raw, 12).batch
    assert set(batch) == {"101_ctrl", "107_ctrl", "101_stim", "107_stim"}


def test_side_by_side_components_weigh_both_modalities_alike(part):
    raw = counts()
    rng = np.random.default_rng(0)
    proteins = rng.poisson(50, (raw.n_obs, 4)).astype(np.float32)
    raw.obsm["protein_expression"] = pd.DataFrame(proteins, index=raw.obs_names)
    methods = part("methods")
    adata = part("data").prepare("cbmc", raw, 40).adata
    fit = methods.METHODS["pca-both"].fit(adata, methods.Settings(), 0)
    assert fit.latent.shape == (raw.n_obs, 30 + 3)
    variance = fit.latent.var(axis=0)
    assert variance[:30].sum() == pytest.approx(1, rel=1e-4)
    assert variance[30:].sum() == pytest.approx(1, rel=1e-4)
    ratios = methods.centred_log_ratio(proteins)
    np.testing.assert_allclose(ratios.mean(axis=1), 0, atol=1e-5)


def row(settings, rows, **values):
    """A raw row with these values."""
    scores = {name: 0.5 for name in rows.COLUMNS if name not in (*rows.KEY, *rows.SETTINGS, "run")}
    base = {"data": "baron", "method": "scvi", "seed": 0, "run": "a"}
    return base | rows.described(settings) | scores | values


def test_rows_survive_a_run_that_was_cut_off(part, tmp_path):
    rows, settings = part("rows"), part("methods").Settings()
    path = tmp_path / "new" / "rows.csv"
    assert rows.read_rows(path, settings).empty
    rows.append_row(path, row(settings, rows, kmeans_ari=0.25))
    rows.append_row(path, row(settings, rows, seed=1))
    whole = path.read_bytes()
    last = whole.splitlines()[-1]
    path.write_bytes(whole[: -len(last) // 2])
    found = rows.read_rows(path, settings)
    assert list(found["seed"]) == [0]
    assert found["kmeans_ari"].item() == 0.25
    rows.append_row(path, row(settings, rows, seed=1))
    rows.append_row(path, row(settings, rows, seed=0, kmeans_ari=0.75))  # computed again
    found = rows.read_rows(path, settings).set_index("seed")
    assert list(found.index) == [1, 0]
    assert found.loc[0, "kmeans_ari"] == 0.75


def test_rows_of_other_settings_stay_apart(part, tmp_path):
    rows, Settings = part("rows"), part("methods").Settings
    path = tmp_path / "rows.csv"
    rows.append_row(path, row(Settings(), rows))
    rows.append_row(path, row(Settings(n_latent=20), rows, seed=1))
    rows.append_row(path, row(Settings(max_epochs=5), rows, seed=2))
    assert list(rows.read_rows(path, Settings())["seed"]) == [0]
    assert list(rows.read_rows(path, Settings(n_latent=20))["seed"]) == [1]


@pytest.fixture
def runs(part):
    """Rows of two methods on all six sets, two seeds, with a known difference by set."""
    rows, settings = part("rows"), part("methods").Settings()
    out = []
    for i, data in enumerate(part("data").RNA):
        for seed in (0, 1):
            value = 0.5 + 0.1 * seed
            common = {"data": data, "seed": seed, "seconds_training": 4.0}
            out.append(row(settings, rows, **common, kmeans_ari=value))
            other = {"method": "pca", "kmeans_ari": value + 0.01 * i - 0.01}
            out.append(row(settings, rows, **common | other | {"seconds_training": 1.0}))
    return pd.DataFrame(out)


def test_differences_are_paired_by_seed_and_their_error_is_over_sets(part, runs):
    table = part("tables").paired(runs)
    table = table[(table["score"] == "kmeans_ari") & (table["reference"] == "scvi")]
    table = table.set_index("data")
    assert set(table["method"]) == {"pca"}
    expected = 0.01 * np.arange(6) - 0.01
    whole = table.loc["all six"]
    assert whole["difference"] == pytest.approx(expected.mean())
    assert whole["standard_error"] == pytest.approx(expected.std(ddof=1) / np.sqrt(6))
    assert (whole["n_won"], whole["n_sets"]) == (4, 6)
    assert table.loc["tuning", "difference"] == pytest.approx(0)
    assert table.loc["confirmation", "difference"] == pytest.approx(0.03)
    assert table.loc["confirmation", "n_won"] == 3


def test_a_set_without_the_reference_is_left_out(part, runs):
    gone = (runs["data"] == "bladder") & (runs["method"] == "scvi")
    table = part("tables").paired(runs[~gone])
    table = table[(table["score"] == "kmeans_ari") & (table["data"] == "all six")]
    assert set(table["n_sets"]) == {5}


def test_summary_has_means_deviations_and_ratios(part, runs):
    table = part("tables").summary(runs).set_index(["data", "method"])
    pca = table.loc[("zeisel", "pca")]
    assert pca["kmeans_ari"] == pytest.approx(0.54)
    assert pca["kmeans_ari_sd"] == pytest.approx(np.std([0.49, 0.59], ddof=1))
    assert pca["relative_training"] == 0.25
    assert pca["n_seeds"] == 2
    whole = table.loc[("all six", "pca")]
    assert whole["kmeans_ari"] == pytest.approx(0.55 + 0.015)
    assert whole["kmeans_ari_sd"] == pytest.approx(np.std([0.0, 0.1], ddof=1))
    # Every bare number of seconds is gone.
    assert not [name for name in table if "seconds" in name]

    # A method that lacks a set has no mean over sets, the others keep theirs.
    gone = (runs["data"] == "bladder") & (runs["method"] == "pca")
    means = part("tables").summary(runs[~gone]).set_index(["data", "method"])
    assert ("all six", "pca") not in means.index
    assert ("all six", "scvi") in means.index


def test_seconds_of_another_process_are_not_compared(part, runs):
    runs.loc[(runs["method"] == "pca") & (runs["seed"] == 0), "run"] = "b"
    runs.loc[runs["seed"] == 1, "seconds_training"] *= 2
    ratios = part("tables").add_ratios(runs).set_index(["method", "seed"]).sort_index()
    assert ratios.loc[("pca", 0), "relative_training"].isna().all()
    assert (ratios.loc[("pca", 1), "relative_training"] == 0.25).all()


def test_figure(part, runs, tmp_path, monkeypatch):
    tables = part("tables")
    kept = []
    monkeypatch.setattr(tables.plt, "close", kept.append)
    tables.figure(tables.summary(runs), tmp_path / "docs" / "clustering.png")
    assert (tmp_path / "docs" / "clustering.png").stat().st_size
    left, right = kept[0].axes
    assert [text.get_text() for text in left.get_yticklabels()] == ["scVI", "PCA"]
    points = {path.get_label(): np.asarray(path.get_offsets()) for path in left.collections}
    assert points["zeisel"][:, 0] == pytest.approx([0.55, 0.54])
    assert points["mean of six"][1, 0] == pytest.approx(0.565)
    assert len(right.collections) == 7


def test_every_method_can_be_named_once(part):
    methods = part("methods")
    assert len(methods.METHODS) == len(methods.RNA_METHODS) + len(methods.CITE_METHODS)
    assert set(methods.RNA_REFERENCES) | set(methods.BATCH_METHODS) <= set(methods.RNA_METHODS)
    assert set(methods.CITE_REFERENCES) <= set(methods.CITE_METHODS)
    for family in (methods.RNA_METHODS, methods.CITE_METHODS):
        labels = [method.label for method in family.values()]
        assert len(set(labels)) == len(labels)


@pytest.mark.slow
def test_command_line_goes_on_where_it_stopped(part, root, tmp_path):
    cells = tmp_path / part("data").FILES["pbmc3k"]
    cells.parent.mkdir()
    counts(n_obs=120).write_h5ad(cells)

    def command(*arguments):
        script = root / "benchmarks" / "clustering.py"
        where = ["--results", tmp_path / "results", "--figure", tmp_path / "figure.png"]
        options = ["--data", "pbmc3k", "--methods", "scvi", "pca", "--max-epochs", "2"]
        return subprocess.run(
            [sys.executable, script, *options, *where, *arguments],
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | {"SCTOOLS_TEST_DATA": str(tmp_path)},
        ).stdout

    first = command("--seeds", "1")
    assert "pbmc3k scvi seed 0" in first
    assert "k-means ARI" in first
    second = command("--seeds", "2")
    assert "seed 0:" not in second
    assert "pbmc3k pca seed 1" in second
    raw = pd.read_csv(tmp_path / "results" / "clustering_runs.csv")
    assert list(raw["method"]) == ["scvi", "pca"] * 2
    assert list(raw["epochs"].dropna()) == [2, 2]
    table = pd.read_csv(tmp_path / "results" / "clustering.csv")
    assert list(table["n_seeds"]) == [2, 2]
    assert (tmp_path / "figure.png").stat().st_size
