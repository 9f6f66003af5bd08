"""What `tl.prior_transformer` writes, and that everything reads it."""

from __future__ import annotations

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sctools import get, pl, pp
from sctools.model import PriorTransformer
from sctools.tl import prior_transformer

from .._compare import assert_same, assert_unchanged, snapshot
from .._priors import N_GENES, N_OBS, QUICK, cells

KEY = "prior_transformer"
SLASH = "immature/naive B cell"
TRAINED = {"prediction", "confidence", "split", "latent", "proba", "tf"}


def named(adata):
    """Cells with a class whose name files could take for a path."""
    adata.obs["cell_type"] = adata.obs["cell_type"].cat.rename_categories({"type2": SLASH})
    return adata


@pytest.fixture(scope="session")
def trained():
    """Cells with a result, the model, and the cells before."""
    adata = named(cells(n_batches=4))
    adata.obs["patient"] = np.where(np.arange(N_OBS) % 3 == 0, "p10", "p9")
    adata.obs.loc[adata.obs_names[:5], "patient"] = None
    before = snapshot(adata)
    model = prior_transformer(
        adata, "cell_type", "prior", batch_key="batch", min_confidence=0.4, return_model=True,
        **QUICK,
    )  # fmt: skip
    return adata, model, before


@pytest.fixture
def adata(trained):
    return trained[0].copy()


@pytest.fixture(scope="session")
def applied(trained):
    """Further cells, without labels, with the answers of the model."""
    query = cells(rng=0)[::2].copy()
    query.obs = query.obs[[]]
    prior_transformer(query, model=trained[1], min_confidence=0.4)
    return query


def accuracy(adata, truth=None):
    truth = adata.obs["cell_type"] if truth is None else truth
    return (adata.obs[KEY].astype(str).to_numpy() == np.asarray(truth, dtype=object)).mean()


# ---------------------------------------------------------------------------- what is written


def test_columns_and_arrays(trained):
    adata, model, _ = trained
    n_classes, n_tfs = 4, adata.uns[KEY]["edges"]["source"].nunique()
    assert isinstance(adata.obs[KEY].dtype, pd.CategoricalDtype)
    assert isinstance(adata.obs[f"{KEY}_split"].dtype, pd.CategoricalDtype)
    for name in ("confidence", "typicality"):
        assert adata.obs[f"{KEY}_{name}"].dtype == np.float32
    for name, width in ((f"X_{KEY}", 16), (f"{KEY}_proba", n_classes), (f"{KEY}_tf", n_tfs)):
        assert adata.obsm[name].shape == (N_OBS, width)
    assert adata.obsm[f"X_{KEY}"].dtype == adata.obsm[f"{KEY}_proba"].dtype == np.float32
    scores = adata.obsm[f"{KEY}_tf"]
    assert isinstance(scores, pd.DataFrame)
    assert (scores.dtypes == np.float32).all()
    assert scores.index.equals(adata.obs_names)
    assert set(scores.columns) == set(adata.uns[KEY]["edges"]["source"])
    assert list(scores.columns) == [name for name in model.genes if name in set(scores.columns)]


def test_training_is_recorded(trained):
    params = trained[0].uns[KEY]["params"]
    assert params["max_epochs"] == QUICK["max_epochs"]
    assert params["train_kwargs"] == QUICK["train_kwargs"]
    query = cells(rng=1)
    prior_transformer(query, model=trained[1])
    assert not {"seed", "max_epochs", "train_kwargs"} & set(query.uns[KEY]["params"])


def test_answers_follow_from_probabilities(trained):
    adata = trained[0]
    proba = adata.obsm[f"{KEY}_proba"]
    confidence = adata.obs[f"{KEY}_confidence"].to_numpy()
    np.testing.assert_allclose(proba.sum(1), 1, atol=1e-5)
    np.testing.assert_array_equal(confidence, proba.max(1))
    best = adata.uns[KEY]["classes"][proba.argmax(1)]
    typicality = adata.obs[f"{KEY}_typicality"].to_numpy()
    expected = np.where((confidence < 0.4) | (typicality < 0.05), "Unknown", best)
    np.testing.assert_array_equal(adata.obs[KEY].astype(object), expected)
    assert (expected == "Unknown").any()
    assert (expected == SLASH).any()
    assert adata.obs[KEY].cat.categories[-1] == "Unknown"
    assert accuracy(adata) > 0.5


def test_record(trained):
    adata, model, _ = trained
    result = adata.uns[KEY]
    assert set(result) == {
        "params", "genes", "classes", "groups", "edges", "attention", "lift", "gene_attention",
        "n_cells", "coverage", "history", "validation",
    }  # fmt: skip
    counted = adata.obs[KEY].value_counts()
    assert list(result["n_cells"]) == [counted[name] for name in result["groups"]]
    n_genes, n_edges, n_groups = len(model.genes), len(model.edges), len(result["groups"])
    assert list(result["classes"]) == [SLASH, "type1", "type3", "type4"]
    assert set(result["groups"]) == set(adata.obs[KEY].unique()) - {"Unknown"}
    assert list(result["genes"]) == model.genes == list(adata.var_names)
    assert n_genes == N_GENES
    assert_same(result["edges"], model.edges)
    assert list(result["edges"].columns) == ["source", "target", "weight"]
    for name, shape in (
        ("attention", (n_edges, n_groups)),
        ("lift", (n_edges, n_groups)),
        ("gene_attention", (n_genes, n_groups)),
    ):
        assert result[name].shape == shape
        assert result[name].dtype == np.float32
        assert np.isfinite(result[name]).all()
        assert (result[name] >= 0).all()
    np.testing.assert_allclose(result["gene_attention"].sum(0), 1, atol=1e-5)
    assert result["coverage"] == model.coverage
    assert result["validation"] == model.validation


def test_attention_of_a_target_leaves_a_share_for_itself(trained):
    result = trained[0].uns[KEY]
    edges = result["edges"]
    total = pd.DataFrame(result["attention"]).groupby(edges["target"].to_numpy()).sum()
    assert (total.to_numpy() < 1).all()
    degree = edges["target"].map(edges["target"].value_counts()).to_numpy() + 1
    np.testing.assert_allclose(result["lift"], result["attention"] * degree[:, None], rtol=1e-6)
    assert 0.5 < result["lift"].mean() < 1.5


def test_attention_is_the_mean_over_answered_cells(trained):
    adata, model, _ = trained
    result = adata.uns[KEY]
    for number, group in enumerate(result["groups"]):
        rows = (adata.obs[KEY] == group).to_numpy()
        attention, weights = model.get_attention(adata[rows].copy())
        np.testing.assert_allclose(attention[:, 0], result["attention"][:, number], atol=1e-6)
        np.testing.assert_allclose(weights[:, 0], result["gene_attention"][:, number], atol=1e-6)


def test_scores_of_regulators(trained):
    """By hand for one cell: targets beyond their means, weighted by embedding and attention."""
    adata, model, _ = trained
    cell = adata[7].copy()
    attention, weights = (part[:, 0] for part in model.get_attention(cell))
    module = model.module
    values = model.values(cell).toarray()[0]
    beyond = np.clip((values - module.center.numpy()) * module.scale.item(), -10, 10)
    share = pd.Series(weights * beyond, index=model.genes)
    sign = np.where(model.edges["weight"].to_numpy() < 0, -1, 1)
    assert set(sign) == {-1, 1}
    each = attention * sign * share[model.edges["target"]].to_numpy()
    expected = pd.Series(each).groupby(model.edges["source"].to_numpy()).sum()
    found = adata.obsm[f"{KEY}_tf"].iloc[7]
    np.testing.assert_allclose(found[expected.index], expected, rtol=1e-4, atol=1e-8)
    assert adata.obsm[f"{KEY}_tf"].std().min() > 0


def test_model_and_record_agree(trained):
    adata, model, _ = trained
    np.testing.assert_array_equal(model.predict_proba(adata), adata.obsm[f"{KEY}_proba"])
    np.testing.assert_array_equal(model.get_latent_representation(adata), adata.obsm[f"X_{KEY}"])


def test_split_holds_whole_batches(trained):
    adata, model, _ = trained
    split = adata.obs[f"{KEY}_split"]
    assert set(split.cat.categories) == {"train", "validation"}
    held = adata.obs["batch"][split == "validation"].unique()
    assert len(held) == 1
    assert (split[adata.obs["batch"].isin(held)] == "validation").all()
    np.testing.assert_array_equal(np.flatnonzero(split == "train"), model.train_indices)
    assert model.validation["n_cells"] == (split == "validation").sum()


def test_history(trained):
    history = trained[0].uns[KEY]["history"]
    assert list(history["epoch"]) == [0, 1, 2, 3]
    assert list(history.columns) == [
        "epoch", "loss_train", "loss_validation", "accuracy_validation", "macro_f1_validation",
    ]  # fmt: skip
    assert np.isfinite(history.to_numpy()).all()
    assert history["loss_train"].iloc[-1] < history["loss_train"].iloc[0]


def test_params(trained):
    adata, model, _ = trained
    params = adata.uns[KEY]["params"]
    expected = {
        "method": "prior_transformer", "mode": "trained", "labels_key": "cell_type",
        "batch_key": "batch", "log_normalized": False, "min_confidence": 0.4,
        "min_typicality": 0.05, "prior": "hard",
        "n_hidden": 8, "n_heads": 2, "n_layers": 2,
    }  # fmt: skip
    assert expected.items() <= params.items()
    assert params["temperature"] == float(model.module.temperature) != 1.0
    assert None not in params.values()
    assert not {"layer", "groupby", "unlabeled_category"} & set(params)
    assert isinstance(params["seed"], int)


def test_nothing_else_is_touched(trained):
    adata, _, before = trained
    after = adata.copy()
    for name in (KEY, f"{KEY}_confidence", f"{KEY}_typicality", f"{KEY}_split"):
        del after.obs[name]
    for name in (f"X_{KEY}", f"{KEY}_proba", f"{KEY}_tf"):
        del after.obsm[name]
    del after.uns[KEY]
    assert_unchanged(after, before)


# ---------------------------------------------------------------------------------- other modes


def test_applied(trained, applied):
    adata, _, _ = trained
    model = trained[1]
    assert f"{KEY}_split" not in applied.obs
    assert {"history", "validation"}.isdisjoint(applied.uns[KEY])
    params = applied.uns[KEY]["params"]
    assert params["mode"] == "applied"
    assert not {"labels_key", "seed", "batch_key"} & set(params)
    np.testing.assert_array_equal(
        applied.obsm[f"{KEY}_proba"], model.predict_proba(cells(rng=0)[::2].copy())
    )
    assert list(applied.uns[KEY]["classes"]) == list(adata.uns[KEY]["classes"])


def test_applied_from_a_directory(trained, applied, tmp_path):
    trained[1].save(tmp_path / "model")
    for path in (tmp_path / "model", str(tmp_path / "model")):
        query = cells(rng=0)[::2].copy()
        prior_transformer(query, model=path, min_confidence=0.4)
        assert_same(query.uns[KEY], applied.uns[KEY])
        np.testing.assert_array_equal(query.obsm[f"{KEY}_proba"], applied.obsm[f"{KEY}_proba"])


def test_applied_to_log_normalised_cells_in_a_layer(trained, applied):
    query = cells(rng=0)[::2].copy()
    totals = np.asarray(query.X.sum(axis=1))
    query.layers["log"] = sparse.csr_matrix(query.X.multiply(1e4 / totals)).log1p()
    query.X = None
    prior_transformer(
        query, model=trained[1], layer="log", log_normalized=True, batch_size=7, labels_key="batch"
    )
    np.testing.assert_allclose(query.obsm[f"{KEY}_proba"], applied.obsm[f"{KEY}_proba"], atol=1e-5)
    params = query.uns[KEY]["params"]
    assert (params["layer"], params["log_normalized"]) == ("log", True)
    assert params["labels_key"] == "batch"


def test_applied_after_trained_leaves_nothing_stale(trained, adata):
    prior_transformer(adata, model=trained[1])
    assert f"{KEY}_split" not in adata.obs
    assert "history" not in adata.uns[KEY]
    assert adata.uns[KEY]["params"]["mode"] == "applied"


def test_rerun_under_the_same_key_and_groupby_of_the_result(trained, adata):
    """The prediction may be asked for by name, as what is there is replaced."""
    prior_transformer(adata, model=trained[1], min_confidence=0.4)
    first = adata.copy()
    prior_transformer(adata, model=trained[1], groupby=KEY, min_confidence=0.4)
    np.testing.assert_array_equal(adata.uns[KEY]["attention"], first.uns[KEY]["attention"])
    pd.testing.assert_series_equal(adata.obs[KEY], first.obs[KEY])


def test_other_key_keeps_the_first(trained, adata):
    before = snapshot(adata)
    prior_transformer(adata, model=trained[1], key_added="second")
    assert {"second", "second_confidence"} <= set(adata.obs)
    assert {"X_second", "second_proba", "second_tf"} <= set(adata.obsm)
    assert_same(adata.uns[KEY], before["uns"][KEY])
    pd.testing.assert_series_equal(adata.obs[KEY], before["obs"][KEY])


def test_groupby(trained, adata):
    model = trained[1]
    prior_transformer(adata, model=model, groupby="patient", key_added="by")
    result = adata.uns["by"]
    assert list(result["groups"]) == ["p9", "p10"]
    assert result["params"]["groupby"] == "patient"
    rows = (adata.obs["patient"] == "p10").to_numpy()
    attention, weights = model.get_attention(adata[rows].copy())
    np.testing.assert_allclose(result["attention"][:, 1], attention[:, 0], atol=1e-6)
    np.testing.assert_allclose(result["gene_attention"][:, 1], weights[:, 0], atol=1e-6)


def test_numbers_as_groups_and_empty_categories(trained, adata):
    adata.obs["leiden"] = pd.Categorical(np.arange(N_OBS) % 3, categories=[0, 1, 2, 10])
    prior_transformer(adata, model=trained[1], groupby="leiden", key_added="by")
    assert list(adata.uns["by"]["groups"]) == ["0", "1", "2"]
    assert np.isfinite(adata.uns["by"]["attention"]).all()


@pytest.mark.parametrize(("limit", "share"), [(0.0, 0.0), (1.0, 1.0)])
def test_unknown_below_min_confidence(trained, adata, limit, share):
    prior_transformer(
        adata, "cell_type", model=trained[1], min_confidence=limit, min_typicality=0.0
    )
    assert (adata.obs[KEY] == "Unknown").mean() == share
    result = adata.uns[KEY]
    assert len(result["groups"]) == result["attention"].shape[1] == (0 if share else 4)
    assert ("Unknown" in adata.obs[KEY].cat.categories) == bool(share)
    if share:
        for read in (get.attention_df, pl.prior_transformer):
            with pytest.raises(ValueError, match=r"every cell was answered 'Unknown'.*groupby="):
                read(adata)
        for name in ("tf_dotplot", "confusion", "calibration"):
            FIGURES[name](adata)


def test_unknown_below_min_typicality(trained, adata):
    _, model, _ = trained
    assert model.typicality is not None
    prior_transformer(adata, model=model, min_confidence=0.0, min_typicality=0.2)
    typicality = adata.obs[f"{KEY}_typicality"].to_numpy()
    assert 0 < (typicality < 0.2).sum() < N_OBS
    np.testing.assert_array_equal(adata.obs[KEY] == "Unknown", typicality < 0.2)
    np.testing.assert_array_equal(typicality, model.get_typicality(adata))
    # The groups that attention is averaged over are the answers.
    kept = adata[adata.obs[KEY] != "Unknown"].copy()
    prior_transformer(kept, model=model, groupby=KEY, key_added="kept")
    np.testing.assert_allclose(kept.uns["kept"]["lift"], adata.uns[KEY]["lift"], rtol=1e-5)


def test_training_cells_are_compared_with_each_other(trained):
    adata, model, _ = trained
    typicality = adata.obs[f"{KEY}_typicality"].to_numpy()
    np.testing.assert_array_equal(typicality, model.get_typicality())
    held = np.isin(np.arange(N_OBS), model.validation_indices)
    for cells_, n in ((held, held.sum()), (~held, (~held).sum())):
        # Each is as far as itself and those farther: the shares are 2, 3, ... of n + 1.
        np.testing.assert_allclose(
            np.sort(typicality[cells_]), np.arange(2, n + 2) / (n + 1), rtol=1e-5
        )
    as_new = model.get_typicality(adata)
    np.testing.assert_array_equal(as_new[held], typicality[held])
    assert (as_new[~held] != typicality[~held]).any()


def test_unlabelled_cells_are_new_to_the_model():
    adata = cells(480)
    unlabelled = np.arange(480) % 2 == 0
    adata.obs["label"] = adata.obs["cell_type"].astype(object).mask(unlabelled, "?")
    model = prior_transformer(
        adata, "label", "prior", unlabeled_category="?", return_model=True, **QUICK
    )
    typicality = adata.obs[f"{KEY}_typicality"].to_numpy()
    alone = cells(480)[unlabelled].copy()
    np.testing.assert_allclose(typicality[unlabelled], model.get_typicality(alone), atol=1e-6)
    # They did not shape the embedding, and lie in it as those held out do.
    assert 0.3 < np.median(typicality[unlabelled]) < 0.7


@pytest.mark.parametrize("missing", ["label", "nan"])
def test_unlabelled_cells_are_predicted_and_not_learned_from(missing):
    adata = cells()
    truth = adata.obs["cell_type"].astype(str).to_numpy(dtype=object)
    labels = truth.copy()
    unlabelled = np.arange(N_OBS) % 4 == 0
    labels[unlabelled] = "?" if missing == "label" else np.nan
    adata.obs["label"] = pd.Categorical(labels)
    model = prior_transformer(
        adata, "label", "prior", unlabeled_category="?", min_confidence=0.0, min_typicality=0.0,
        return_model=True, **QUICK,
    )  # fmt: skip
    assert model.classes == ["type1", "type2", "type3", "type4"]
    split = adata.obs[f"{KEY}_split"]
    np.testing.assert_array_equal(split == "unlabeled", unlabelled)
    assert not np.isin(np.flatnonzero(unlabelled), model.train_indices).any()
    assert not np.isin(np.flatnonzero(unlabelled), model.validation_indices).any()
    assert set(adata.obs[KEY]) <= set(model.classes)
    assert accuracy(adata[unlabelled], truth[unlabelled]) > 0.5
    assert adata.uns[KEY]["params"]["unlabeled_category"] == "?"


def test_both_ways_of_being_unlabelled_are_one():
    found = []
    for value in ("?", None):
        adata = cells()
        adata.obs["label"] = adata.obs["cell_type"].astype(object)
        adata.obs.loc[adata.obs_names[::4], "label"] = value
        prior_transformer(adata, "label", "prior", unlabeled_category="?", **QUICK)
        found.append(adata.obsm[f"{KEY}_proba"])
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("form", ["frame", "stored", "csv"])
def test_forms_of_the_network(trained, form, tmp_path):
    adata = named(cells(n_batches=4))
    net = adata.uns.pop("prior")
    if form == "stored":
        pp.prior_network(adata, net)
        net = "prior_network"
    elif form == "csv":
        net.to_csv(tmp_path / "net.csv", index=False)
        net = tmp_path / "net.csv"
    prior_transformer(adata, "cell_type", net, batch_key="batch", min_confidence=0.4, **QUICK)
    np.testing.assert_allclose(
        adata.obsm[f"{KEY}_proba"], trained[0].obsm[f"{KEY}_proba"], atol=1e-5
    )
    pd.testing.assert_frame_equal(adata.uns[KEY]["edges"], trained[0].uns[KEY]["edges"])


def test_a_stored_network_keeps_its_choice_of_genes():
    adata = cells()
    pp.prior_network(adata, "prior", n_top_genes=60)
    prior_transformer(adata, "cell_type", "prior_network", **QUICK)
    assert list(adata.uns[KEY]["genes"]) == list(adata.var_names[adata.var["prior_network"]])
    assert len(adata.uns[KEY]["genes"]) < N_GENES


@pytest.mark.parametrize("prior", ["soft", "none", "shuffled"])
def test_other_priors(prior):
    adata = cells()
    prior_transformer(adata, "cell_type", "prior", prior=prior, **{**QUICK, "max_epochs": 1})
    result = adata.uns[KEY]
    assert result["params"]["prior"] == prior
    assert len(result["edges"]) == len(adata.uns["prior"])
    assert np.isfinite(result["attention"]).all()


# ------------------------------------------------------------------------------ what is returned


def test_returned(trained):
    model = trained[1]
    adata = cells()
    before = snapshot(adata)
    copied = prior_transformer(adata, model=model, copy=True)
    assert_unchanged(adata, before)
    assert f"X_{KEY}" in copied.obsm
    both = prior_transformer(adata, model=model, copy=True, return_model=True)
    assert both[1] is model
    assert_same(both[0].uns[KEY], copied.uns[KEY])
    assert_unchanged(adata, before)
    assert prior_transformer(adata, model=model, return_model=True) is model
    assert prior_transformer(adata, model=model) is None
    assert isinstance(model, PriorTransformer)


def test_copy_of_a_training_leaves_the_data_alone():
    adata = cells()
    before = snapshot(adata)
    copied = prior_transformer(adata, "cell_type", "prior", copy=True, **QUICK)
    assert_unchanged(adata, before)
    assert f"{KEY}_split" in copied.obs


def test_same_seed_same_result(trained):
    adata = named(cells(n_batches=4))
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    prior_transformer(adata, "cell_type", "prior", batch_key="batch", min_confidence=0.4, **QUICK)
    assert_same(adata.uns[KEY], trained[0].uns[KEY])
    np.testing.assert_array_equal(adata.obsm[f"{KEY}_proba"], trained[0].obsm[f"{KEY}_proba"])
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    other = prior_transformer(
        adata, "cell_type", "prior", batch_key="batch", rng=1, copy=True, **QUICK
    )
    assert np.abs(other.obsm[f"{KEY}_proba"] - adata.obsm[f"{KEY}_proba"]).max() > 1e-3


def test_counts_in_a_layer_train_the_same(trained):
    adata = named(cells(n_batches=4))
    adata.layers["counts"] = adata.X
    adata.X = None
    prior_transformer(
        adata, "cell_type", "prior", batch_key="batch", layer="counts", min_confidence=0.4, **QUICK
    )
    np.testing.assert_allclose(
        adata.obsm[f"{KEY}_proba"], trained[0].obsm[f"{KEY}_proba"], atol=1e-5
    )


@pytest.mark.filterwarnings("ignore:Trying to modify attribute")
def test_a_view_becomes_an_object_of_its_own(trained):
    parent = cells()
    before = snapshot(parent)
    view = parent[::2]
    prior_transformer(view, model=trained[1])
    assert not view.is_view
    assert view.obsm[f"X_{KEY}"].shape[0] == N_OBS // 2
    assert_unchanged(parent, before)


def test_backed(trained, tmp_path):
    adata = named(cells(n_batches=4))
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    copied = prior_transformer(backed, model=trained[1], copy=True)
    assert not copied.isbacked
    prior_transformer(backed, "cell_type", "prior", batch_key="batch", min_confidence=0.4, **QUICK)
    for found in (copied, backed):
        np.testing.assert_allclose(
            found.obsm[f"{KEY}_proba"], trained[0].obsm[f"{KEY}_proba"], atol=1e-5
        )
    backed.file.close()


# --------------------------------------------------------------------------------- files, figures


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_round_trip(adata, form, tmp_path):
    path = tmp_path / f"cells.{form}"
    if form == "h5ad":
        adata.write_h5ad(path)
        found = ad.read_h5ad(path)
    else:
        adata.write_zarr(path)
        found = ad.read_zarr(path)
    before, after = adata.uns[KEY], found.uns[KEY]
    assert SLASH in list(after["classes"])
    assert SLASH in list(after["groups"])
    for name in ("genes", "classes", "groups"):
        assert list(after[name]) == list(before[name])
    for name in ("attention", "lift", "gene_attention", "n_cells"):
        assert_same(np.asarray(after[name]), before[name])
    assert set(after["params"]) == set(before["params"])
    assert list(found.obs[KEY]) == list(adata.obs[KEY])
    np.testing.assert_array_equal(found.obsm[f"{KEY}_tf"], adata.obsm[f"{KEY}_tf"])
    one, other = get.attention_df(found, SLASH), get.attention_df(adata, SLASH)
    np.testing.assert_allclose(one["score"], other["score"])
    for figure in FIGURES.values():
        figure(found)
        plt.close("all")


def slashed(adata):
    return pl.attention_network(adata, SLASH, show=False)


FIGURES = {
    "prior_transformer": lambda adata: pl.prior_transformer(adata, show=False),
    "contrast": lambda adata: pl.prior_transformer(adata, value="contrast", show=False),
    "attention_network": slashed,
    "tf_dotplot": lambda adata: pl.tf_dotplot(adata, show=False),
    "confusion": lambda adata: pl.confusion(adata, show=False),
    "calibration": lambda adata: pl.calibration(adata, show=False),
    "training_history": lambda adata: pl.training_history(adata, KEY, show=False),
    "prior_coverage": lambda adata: pl.prior_coverage(adata, KEY, show=False),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_draw_a_real_result(adata, name):
    before = snapshot(adata)
    drawn = FIGURES[name](adata)
    for ax in np.ravel(drawn):
        assert ax.has_data()
        ax.get_figure().canvas.draw()
    assert_unchanged(adata, before)


@pytest.mark.parametrize("name", ["prior_transformer", "tf_dotplot", "confusion", "calibration"])
def test_figures_of_applied_results(trained, name):
    query = named(cells())
    prior_transformer(query, model=trained[1], labels_key="cell_type", min_confidence=0.4)
    for ax in np.ravel(FIGURES[name](query)):
        ax.get_figure().canvas.draw()


def test_attention_df(trained):
    adata = trained[0]
    table = get.attention_df(adata, n_top=7)
    groups = list(adata.uns[KEY]["groups"])
    assert list(table["group"].cat.categories) == groups
    assert (table.groupby("group", observed=True).size() == 7).all()
    row = table.iloc[0]
    edges = adata.uns[KEY]["edges"]
    place = np.flatnonzero((edges["source"] == row["source"]) & (edges["target"] == row["target"]))
    lift = adata.uns[KEY]["lift"][place[0], groups.index(row["group"])]
    assert row["lift"] == pytest.approx(lift)
