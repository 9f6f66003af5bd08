"""What a prior transformer promises, whatever the data."""

from __future__ import annotations

import random
import re
import shutil

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from sctools import datasets, settings
from sctools.model import AgeClock, PriorTransformer, _prior_options
from sctools.model._prior_options import check_dense_memory, default_epochs

from .._compare import assert_unchanged, snapshot
from .._priors import FAST, N_OBS, SMALL, cells

TOLERANCE = 1e-5


def untrained(adata, setup=None, **kwargs):
    PriorTransformer.setup_anndata(adata, "cell_type", **(setup or {}))
    return PriorTransformer(adata, "prior", **{**SMALL, **kwargs})


def fit(adata, setup=None, train=None, **kwargs):
    model = untrained(adata, setup, **kwargs)
    model.train(**{"max_epochs": 4, **FAST, **(train or {})})
    return model


@pytest.fixture(scope="session")
def model():
    return fit(cells(n_batches=4), {"batch_key": "batch"})


@pytest.fixture(scope="session")
def proba(model):
    return model.predict_proba(cells(n_batches=4))


@pytest.fixture
def adata():
    return cells(n_batches=4)


def close(found, expected):
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def test_predictions_can_differ(model, proba, adata):
    """Without a spread, the tests below would pass for a constant."""
    assert proba.shape == (N_OBS, 4)
    assert proba.dtype == np.float32
    np.testing.assert_allclose(proba.sum(1), 1, atol=1e-5)
    assert proba.std(0).min() > 0.02
    predicted = model.predict(adata)
    np.testing.assert_array_equal(predicted, np.array(model.classes, object)[proba.argmax(1)])
    assert (predicted == adata.obs["cell_type"].astype(object)).mean() > 0.6


# ------------------------------------------------------------------------- storage and order


@pytest.mark.parametrize("batch_size", [1, 7, 64, N_OBS, N_OBS + 1])
def test_batch_size_changes_nothing(model, adata, proba, batch_size):
    close(model.predict_proba(adata, batch_size=batch_size), proba)


def test_permuted_cells_and_genes(model, adata, proba):
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(N_OBS), rng.permutation(adata.n_vars)
    close(model.predict_proba(adata[rows].copy()), proba[rows])
    close(model.predict_proba(adata[:, columns].copy()), proba)
    view = adata[rows[:50], columns]
    close(model.predict_proba(view), proba[rows[:50]])
    assert view.is_view


def test_further_genes_change_nothing(model, adata, proba):
    """Nor do they count for the depth of a cell."""
    more = sparse.random(N_OBS, 30, 0.5, format="csr", random_state=0)
    more.data = np.ceil(1000 * more.data)
    wide = ad.AnnData(
        sparse.hstack([more, adata.X], format="csr"),
        var=pd.DataFrame(index=[*(f"extra{i}" for i in range(30)), *adata.var_names]),
    )
    close(model.predict_proba(wide), proba)


def test_missing_genes_are_said_and_count_as_absent(model, adata, proba):
    fewer = adata[:, 30:].copy()
    message = r"30 of the model's 150 genes \(20.0%\) are missing.*'TF01'"
    with pytest.warns(UserWarning, match=message):
        found = model.predict_proba(fewer)
    blank = adata.copy()
    X = blank.X.toarray()
    X[:, :30] = 0
    blank.X = X
    close(found, model.predict_proba(blank))
    assert np.abs(found - proba).max() > 0.01
    with pytest.raises(ValueError, match=r"Only 120 of the model's 150 genes"):
        model.predict_proba(fewer, min_coverage=0.9)


@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
def test_backed_file(model, adata, proba, tmp_path, form):
    adata.X = {"csr": adata.X, "csc": adata.X.tocsc(), "dense": adata.X.toarray()}[form]
    adata.write_h5ad(tmp_path / "cells.h5ad")
    content = (tmp_path / "cells.h5ad").read_bytes()
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    close(model.predict_proba(backed, batch_size=50), proba)
    backed.file.close()
    assert (tmp_path / "cells.h5ad").read_bytes() == content


@pytest.mark.parametrize("kind", [np.float64, np.int32, np.uint16])
def test_dtype_and_layer(model, adata, proba, kind):
    adata.layers["counts"] = adata.X.astype(kind)
    adata.X = None
    close(model.predict_proba(adata, layer="counts"), proba)


def log_normalised(adata):
    totals = np.asarray(adata.X.sum(axis=1))
    return sparse.csr_matrix(adata.X.multiply(1e4 / totals)).log1p()


def test_log_normalised_values_give_what_counts_give(model, adata, proba):
    adata.X = log_normalised(adata)
    close(model.predict_proba(adata, log_normalized=True), proba)
    adata.X = adata.X.astype(np.float32)
    close(model.predict_proba(adata, log_normalized=True), proba)
    with pytest.raises(ValueError, match="whole numbers"):
        model.predict_proba(adata)


def test_training_on_log_normalised_values(model, adata, proba):
    counts = adata.copy()
    adata.X = log_normalised(adata)
    other = fit(adata, {"batch_key": "batch", "log_normalized": True})
    np.testing.assert_allclose(other.predict_proba(counts), proba, atol=1e-3)
    np.testing.assert_array_equal(
        other.predict_proba(), other.predict_proba(adata, log_normalized=True)
    )


def test_inputs_are_not_changed(model, adata):
    before = snapshot(adata)
    model.predict(adata)
    model.get_latent_representation(adata)
    model.get_attention(adata)
    assert_unchanged(adata, before)


def test_embedding_and_attention(model, adata, proba):
    latent = model.get_latent_representation(adata, batch_size=33)
    assert latent.shape == (N_OBS, SMALL["n_hidden"] * SMALL["n_heads"])
    with torch.no_grad():
        logits = model.module.classifier(torch.from_numpy(latent)) / model.module.temperature
    close(torch.softmax(logits, 1).numpy(), proba)
    groups = np.arange(N_OBS) % 3 - 1
    attention, weights = model.get_attention(adata, groups)
    assert attention.shape == (len(model.edges), 2)
    assert weights.shape == (len(model.genes), 2)
    np.testing.assert_allclose(weights.sum(0), 1, atol=1e-5)
    one, _ = model.get_attention(adata[groups == 1].copy(), batch_size=5)
    np.testing.assert_allclose(one[:, 0], attention[:, 1], atol=1e-6)
    for wrong in (groups[:-1], np.full(N_OBS, -1)):
        with pytest.raises(ValueError, match="`groups` must have a number for each"):
            model.get_attention(adata, wrong)


# ------------------------------------------------------------------------------------ training


def random_states():
    return [
        *np.random.get_state()[1:3],  # noqa: NPY002
        random.getstate(),
        torch.random.get_rng_state().numpy().copy(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_num_threads(),
    ]


def test_same_seed_same_model_and_global_state_as_found(adata, proba):
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    torch.manual_seed(5)
    before = random_states()
    again = fit(adata, {"batch_key": "batch"})
    for found, expected in zip(random_states(), before, strict=True):
        np.testing.assert_array_equal(np.asarray(found, object), np.asarray(expected, object))
    np.testing.assert_array_equal(again.predict_proba(), proba)


def test_other_seeds(adata, proba):
    other = fit(adata.copy(), {"batch_key": "batch"}, {"rng": 1})
    assert np.abs(other.predict_proba(adata) - proba).max() > 1e-3
    other = fit(adata.copy(), {"batch_key": "batch"}, rng=1)
    assert np.abs(other.predict_proba(adata) - proba).max() > 1e-3


def test_training_leaves_the_data_alone(adata):
    before = snapshot(adata)
    fit(adata, {"batch_key": "batch"}, {"max_epochs": 1})
    adata.obs = adata.obs[[c for c in adata.obs if not c.startswith("_scvi")]]
    for name in [name for name in adata.uns if name.startswith("_scvi")]:
        del adata.uns[name]
    assert_unchanged(adata, before)


def test_class_weights_are_inverse_roots_of_training_counts(adata):
    rare = (adata.obs["cell_type"] == "type1").to_numpy()
    keep = ~rare | (np.cumsum(rare) <= 8)
    adata = adata[keep].copy()
    model = fit(adata, train={"max_epochs": 1})
    codes = pd.Index(model.classes).get_indexer(adata.obs["cell_type"])
    weight = np.bincount(codes[model.train_indices]) ** -0.5
    np.testing.assert_allclose(model.module.class_weight, weight / weight.mean(), rtol=1e-5)
    assert model.module.class_weight.argmax() == 0


def test_whole_batches_are_held_out(model, adata):
    batch = adata.obs["batch"].to_numpy()
    assert not set(batch[model.validation_indices]) & set(batch[model.train_indices])
    assert set(adata.obs["cell_type"].iloc[model.train_indices]) == set(model.classes)
    assert model.validation["n_cells"] == len(model.validation_indices) > 20


def test_validation_measures(model, adata, proba):
    cells_ = model.validation_indices
    right = model.predict(adata)[cells_] == adata.obs["cell_type"].astype(object).iloc[cells_]
    assert model.validation["accuracy"] == pytest.approx(right.mean())
    assert set(model.validation) == {"accuracy", "macro_f1", "ece", "n_cells"}
    assert 0 <= model.validation["ece"] <= 1


def test_the_temperature_is_the_best_on_validation_cells(model, adata):
    codes = pd.Index(model.classes).get_indexer(adata.obs["cell_type"])
    rows = model.validation_indices
    fitted = float(model.module.temperature)

    def loss(temperature):
        model.module.temperature.fill_(temperature)
        proba = model.predict_proba(adata[rows].copy())
        return -np.log(proba[np.arange(len(rows)), codes[rows]]).mean()

    try:
        best = loss(fitted)
        assert fitted != 1.0
        assert best < loss(1.0)
        assert best < min(loss(0.8 * fitted), loss(1.25 * fitted))
    finally:
        model.module.temperature.fill_(fitted)


def test_too_few_labels_to_validate(adata):
    few = adata[:90].copy()
    model = fit(few, train={"max_epochs": 2})
    assert model.validation == {}
    assert len(model.train_indices) == 90
    assert float(model.module.temperature) == 1.0
    np.testing.assert_array_equal(model.get_typicality(), 1.0)
    assert "loss_validation" not in model.history


def test_training_again_without_validation_forgets_the_temperature(adata):
    model = fit(adata, {"batch_key": "batch"})
    assert float(model.module.temperature) != 1.0
    model.train(max_epochs=1, train_size=1.0, **FAST)
    assert float(model.module.temperature) == 1.0
    assert model.validation == {}
    assert model.typicality is None


def test_the_best_epoch_is_kept(adata):
    """A learning rate that ruins what the first epochs found."""
    model = fit(adata, {"batch_key": "batch"}, {"max_epochs": 12, "patience": 2})
    history = model.history["misfit_validation"].iloc[:, 0].to_numpy()
    whole = model.history["macro_f1_validation"].iloc[:, 0].to_numpy()
    best = history.argmin()
    assert len(history) <= best + 3
    assert model.validation["macro_f1"] == pytest.approx(whole[best], abs=1e-5)


@pytest.mark.parametrize(("shown", "asked"), [(True, None), (False, True)])
def test_progress_bar(adata, monkeypatch, capsys, shown, asked):
    settings.progress_bar = shown
    fit(adata, train={"max_epochs": 2, "progress_bar": asked})
    assert "PriorTransformer" in capsys.readouterr().err


@pytest.mark.parametrize(("shown", "asked"), [(False, None), (True, False)])
def test_no_progress_bar(adata, capsys, shown, asked):
    settings.progress_bar = shown
    fit(adata, train={"max_epochs": 1, "progress_bar": asked})
    out = capsys.readouterr()
    assert "epoch" not in out.err + out.out


def test_default_epochs():
    assert default_epochs(64 * 20, 64) == 25
    assert default_epochs(100_000, 64) == 15
    assert default_epochs(70, 64) == 100
    assert default_epochs(10, 64) == 100


# ----------------------------------------------------------------------------------- the prior


def test_shuffled_network_keeps_degrees(model, adata):
    shuffled = untrained(adata, prior="shuffled")
    for end in ("source", "target"):
        counts = [m.edges[end].value_counts().sort_index() for m in (model, shuffled)]
        pd.testing.assert_series_equal(*counts)
    edges = [set(zip(m.edges["source"], m.edges["target"], strict=True)) for m in (model, shuffled)]
    assert len(edges[1]) == len(edges[0])
    assert len(edges[0] & edges[1]) < 0.5 * len(edges[0])
    np.testing.assert_allclose(
        model.edges.groupby("source")["weight"].sum(),
        shuffled.edges.groupby("source")["weight"].sum(),
    )
    other = untrained(adata, prior="shuffled", rng=1)
    assert not other.edges.equals(shuffled.edges)
    again = untrained(adata, prior="shuffled")
    pd.testing.assert_frame_equal(again.edges, shuffled.edges)


@pytest.mark.parametrize("prior", ["soft", "none"])
def test_dense_priors_predict_alike_in_all_batches(adata, prior):
    model = fit(adata, train={"max_epochs": 1}, prior=prior)
    close(model.predict_proba(batch_size=7), model.predict_proba(batch_size=64))
    assert model.module.penalty == (4.0 if prior == "soft" else 0.0)


def test_dense_memory():
    for prior in ("hard", "shuffled"):
        check_dense_memory(prior, 10**6, 4, 64)
    check_dense_memory("none", 1000, 4, 64)
    with pytest.raises(ValueError, match=r"prior='none'.*about 24 GiB for 2500 genes") as caught:
        check_dense_memory("none", 2500, 4, 64)
    largest = int(re.search(r"at most (\d+) genes", str(caught.value)).group(1))
    check_dense_memory("none", largest, 4, 64)
    with pytest.raises(ValueError, match="over the limit of 8 GiB"):
        check_dense_memory("soft", largest + 1, 4, 64)


def test_dense_memory_is_refused_before_training(adata, monkeypatch):
    model = untrained(adata, prior="none")
    monkeypatch.setattr(_prior_options, "DENSE_BYTES", 2**20)
    with pytest.raises(ValueError, match=r"GiB for 150 genes in batches of 16"):
        model.train(max_epochs=1, batch_size=16)
    assert not model.is_trained_


# --------------------------------------------------------------------------------------- files


@pytest.fixture
def saved(model, tmp_path):
    model.save(tmp_path / "model")
    return tmp_path / "model"


def test_saved_and_loaded_is_the_same(model, saved, adata, proba):
    loaded = PriorTransformer.load(saved)
    np.testing.assert_array_equal(loaded.predict_proba(adata), proba)
    pd.testing.assert_frame_equal(loaded.edges, model.edges)
    for name in ("genes", "classes", "coverage", "options", "keys", "validation"):
        assert getattr(loaded, name) == getattr(model, name), name
    assert loaded.is_trained_
    np.testing.assert_array_equal(loaded.get_attention(adata)[0], model.get_attention(adata)[0])
    loaded.save(saved.parent / "again")
    for path in saved.iterdir():
        assert (saved.parent / "again" / path.name).read_bytes() == path.read_bytes()
    np.testing.assert_array_equal(loaded.get_typicality(adata), model.get_typicality(adata))
    for read in (loaded.predict, loaded.get_attention, loaded.get_typicality):
        with pytest.raises(ValueError, match="no data of its own"):
            read()


@pytest.mark.parametrize("prior", ["soft", "none", "shuffled"])
def test_other_priors_are_saved(adata, prior, tmp_path):
    model = fit(adata, train={"max_epochs": 1}, prior=prior)
    model.save(tmp_path)
    loaded = PriorTransformer.load(str(tmp_path))
    np.testing.assert_array_equal(loaded.predict_proba(adata), model.predict_proba())
    pd.testing.assert_frame_equal(loaded.edges, model.edges)


def test_no_cell_is_in_the_files(saved, adata):
    for path in saved.iterdir():
        assert adata.obs_names[17].encode() not in path.read_bytes()
        assert b"batch1" not in path.read_bytes()


def test_a_saved_model_is_not_replaced_unasked(model, saved):
    with pytest.raises(FileExistsError, match="overwrite=True"):
        model.save(saved)
    model.save(saved, overwrite=True)


def test_models_that_are_refused(saved, tmp_path):
    for path in sorted(saved.iterdir()):
        whole = path.read_bytes()
        for keep in (0.0, 0.5, 0.999):
            path.write_bytes(whole[: int(keep * (len(whole) - 2))])
            with pytest.raises(ValueError, match=r"damaged or cut short|not a whole saved"):
                PriorTransformer.load(saved)
        path.unlink()
        with pytest.raises(ValueError, match=rf"lacks \['{path.name}'\]"):
            PriorTransformer.load(saved)
        path.write_bytes(whole)
    PriorTransformer.load(saved)
    text = (saved / "transformer.json").read_text()
    for old, new in (
        ('"genes"', '"gens"'),
        ('"n_hidden": 8', '"n_hidden": 16'),
        ('"n_layers": 2', '"n_lays": 2'),
        ('"type4"', '"type4", "type5"'),
        ('"gene_001",', ""),
    ):
        assert old in text
        (saved / "transformer.json").write_text(text.replace(old, new, 1))
        with pytest.raises(ValueError, match=r"not a whole saved model.*do not fit together"):
            PriorTransformer.load(saved)
    with pytest.raises(ValueError, match="not a directory"):
        PriorTransformer.load(tmp_path / "nothing")


def test_a_saved_model_of_another_class(saved, tmp_path):
    with pytest.raises(ValueError, match=r"by `sctools.model.AgeClock.save`.*lacks"):
        AgeClock.load(saved)
    for path in saved.iterdir():
        shutil.copy(path, tmp_path / path.name.replace("transformer", "clock"))
    with pytest.raises(ValueError, match="describes something else"):
        AgeClock.load(tmp_path)


def test_before_training(adata, tmp_path):
    model = untrained(adata)
    for call in (model.predict, model.get_attention, lambda: model.save(tmp_path / "x")):
        with pytest.raises(ValueError, match=r"not trained yet.*model.train\(\)"):
            call()
    assert not (tmp_path / "x").exists()


def test_no_network(adata):
    PriorTransformer.setup_anndata(adata, "cell_type")
    with pytest.raises(ValueError, match=r"`net` is missing.*decoupler"):
        PriorTransformer(adata)


def test_more_hidden_nodes_than_cells():
    adata = datasets.regulated_cells(
        20, n_types=2, n_tfs=10, n_genes=60, n_targets=4, n_batches=1, rng=0
    )
    model = fit(adata, train={"max_epochs": 1}, n_hidden=32, n_heads=4)
    assert np.isfinite(model.predict_proba()).all()
