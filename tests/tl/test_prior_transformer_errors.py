"""Bad input: the message says what mends it, and the data are exactly as they were."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData

from sctools import datasets
from sctools.model import AgeClock, _prior_options
from sctools.tl import prior_transformer

from .._compare import assert_unchanged, snapshot
from .._priors import FAST, N_OBS, QUICK, SMALL, cells

KEY = "prior_transformer"
BRIEF = {"max_epochs": 1, "model_kwargs": SMALL, "train_kwargs": FAST}


@pytest.fixture(scope="module")
def model():
    return prior_transformer(cells(), "cell_type", "prior", return_model=True, **QUICK)


@pytest.fixture
def adata():
    """Cells with an earlier result and things of the user's own."""
    adata = cells()
    adata.obs[KEY] = "old"
    adata.obs[f"{KEY}_split"] = "old"
    adata.obsm[f"X_{KEY}"] = np.ones((N_OBS, 2), np.float32)
    adata.uns[KEY] = {"params": {"old": True}}
    adata.layers["mine"] = adata.X.copy()
    adata.obs["score"] = np.linspace(0, 1, N_OBS)
    adata.obs["label"] = adata.obs["cell_type"].astype(object)
    return adata


def refuse(adata, error, message, labels_key="cell_type", net="prior", **kwargs):
    """Assert the error, and that nothing changed; also for a copy and a returned model."""
    before = snapshot(adata)
    if "model" not in kwargs:
        kwargs = {**BRIEF, **kwargs}
    state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    for more in ({}, {"copy": True, "return_model": True}):
        with pytest.raises(error, match=message) as caught:
            prior_transformer(adata, labels_key, net, **kwargs, **more)
        assert type(caught.value) is error
        assert_unchanged(adata, before)
    np.testing.assert_array_equal(np.random.get_state()[1], state[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), state[1])


def refuse_applied(adata, error, message, model, **kwargs):
    refuse(adata, error, message, labels_key=None, net=None, model=model, **kwargs)


# -------------------------------------------------------------------------------------- network


def net(**changes):
    return pd.DataFrame(
        {"source": ["TF01", "TF02"], "target": ["TF03", "TF04"], "weight": [1.0, -1.0], **changes}
    )


@pytest.mark.parametrize(
    ("network", "error", "message"),
    [
        (pd.DataFrame({"from": ["TF01"], "to": ["TF02"]}), ValueError, "source.*target"),
        (pd.DataFrame({"source": ["TF01"]}), ValueError, "target"),
        (net()[:0], ValueError, "is empty"),
        (net(source=[None, None]), ValueError, "no name in 2 of 2 rows"),
        (net(weight=[np.inf, 1.0]), ValueError, "finite|infinite"),
        (net(weight=["up", "down"]), TypeError, "weight"),
        (net(source=["TF01", "TF02"], target=["TF01", "TF02"]), ValueError, "gene to itself"),
        ("nowhere", KeyError, "nowhere"),
        ("nowhere.csv", ValueError, "nowhere.csv"),
        (3, TypeError, "int"),
        (None, ValueError, "`net` is missing.*source.*decoupler"),
    ],
    ids=["columns", "target", "empty", "nan", "inf", "text", "loops", "key", "file", "int", "none"],
)
def test_networks(adata, network, error, message):
    refuse(adata, error, message, net=network)


def test_network_of_another_naming(adata):
    strange = net(source=["ENSG00000105369", "ENSG00000156738"], target=["ENSG00000177455"] * 2)
    refuse(adata, ValueError, r"Ensembl.*symbols|symbols.*Ensembl", net=strange)
    unknown = net(source=["Gata1", "Spi1"], target=["Hbb", "Cd14"])
    refuse(adata, ValueError, r"symbols", net=unknown)


def test_duplicated_edges_warn_and_the_strongest_stays(adata):
    prior = adata.uns["prior"]
    twice = pd.concat([prior, prior.iloc[:9].assign(weight=lambda df: df["weight"] * 0.5)])
    with pytest.warns(UserWarning, match=r"9 .*"):
        prior_transformer(adata, "cell_type", twice, **BRIEF)
    assert len(adata.uns[KEY]["edges"]) == len(prior)
    assert adata.uns[KEY]["coverage"]["n_duplicates"] == 9


# --------------------------------------------------------------------------------------- labels


def test_labels_key(adata):
    refuse(adata, KeyError, r"labels_key='nothing'.*Available: .*'cell_type'", "nothing")
    refuse(adata, ValueError, r"`labels_key` is missing.*'cell_type'", None)


def test_one_class_only(adata):
    adata.obs["label"] = "B"
    refuse(adata, ValueError, r"at least two classes, found 'B'", "label")
    adata.obs.loc[adata.obs_names[:9], "label"] = "?"
    refuse(adata, ValueError, r"found 'B' besides '\?'", "label", unlabeled_category="?")
    adata.obs["label"] = "?"
    refuse(adata, ValueError, r"found none besides '\?'", "label", unlabeled_category="?")


def test_a_class_with_one_cell(adata):
    adata.obs.loc[adata.obs_names[3], "label"] = "rare/one"
    refuse(adata, ValueError, r"two cells, found one of 'rare/one'.*adata.obs\['label'\]", "label")


@pytest.mark.parametrize("value", [None, np.nan, pd.NA])
def test_missing_labels_without_a_name_for_them(adata, value):
    adata.obs.loc[adata.obs_names[:5], "label"] = value
    refuse(adata, ValueError, r"found 5 missing.*unlabeled_category='Unknown'", "label")


def test_other_columns(adata):
    refuse(adata, KeyError, "batch_key='nothing'", batch_key="nothing")
    adata.obs.loc[adata.obs_names[:2], "label"] = None
    refuse(adata, ValueError, r"`batch_key`\) is missing for 2 of", batch_key="label")
    refuse(adata, KeyError, "groupby='nothing'", groupby="nothing")
    adata.obs["void"] = np.full(N_OBS, np.nan)
    refuse(adata, ValueError, "`groupby` holds no group", groupby="void")


# --------------------------------------------------------------------------------------- values


def test_log_normalised_values_where_counts_were_declared(adata, model):
    adata.X = adata.X.log1p()
    for kwargs in ({}, {"layer": None}):
        refuse(adata, ValueError, r"raw counts \(whole numbers\).*`?log_normalized=True", **kwargs)
    refuse_applied(adata, ValueError, r"raw counts \(whole numbers\)", model)


def test_counts_where_log_normalised_values_were_declared(adata, model):
    message = r"log_normalized"
    refuse(adata, ValueError, message, log_normalized=True)
    refuse(adata, ValueError, message, log_normalized=True, layer="mine")
    refuse_applied(adata, ValueError, message, model, log_normalized=True)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
@pytest.mark.parametrize("place", [None, "mine"])
def test_values(adata, model, value, place):
    X = adata.X.copy()
    X.data[-1] = value
    if place is None:
        adata.X = X
    else:
        adata.layers["mine"] = X
    message = "never negative; found -1" if value == -1 else "must be finite"
    refuse(adata, ValueError, message, layer=place)
    refuse_applied(adata, ValueError, message, model, layer=place)


def test_layers(adata, model):
    refuse(adata, KeyError, "nothing.*'mine'", layer="nothing")
    refuse_applied(adata, KeyError, "nothing.*'mine'", model, layer="nothing")
    adata.X = None
    refuse(adata, ValueError, "`adata.X`.*layer=")


def test_genes(adata, model):
    adata.var_names = ["same", "same", *adata.var_names[2:]]
    refuse(adata, ValueError, r"must be unique.*var_names_make_unique")
    refuse_applied(adata, ValueError, r"must be unique.*var_names_make_unique", model)


def test_a_query_without_any_gene_of_the_model(adata, model):
    adata.var_names = [f"ENSG{i:011d}" for i in range(adata.n_vars)]
    message = r"Only 0 of the model's 150 genes.*symbols.*Ensembl ids.*gene_key="
    refuse_applied(adata, ValueError, message, model)
    refuse_applied(adata, ValueError, message, model, min_coverage=0.0)
    refuse_applied(adata, KeyError, "gene_key='nothing'", model, gene_key="nothing")
    refuse_applied(adata, ValueError, "`min_coverage` must lie between", model, min_coverage=2)


def test_too_few_genes_of_the_model(adata, model):
    few = adata[:, :40].copy()
    refuse_applied(few, ValueError, r"Only 40 of the model's 150 genes \(26.7%\)", model)
    with pytest.warns(UserWarning, match=r"110 of the model's 150 genes \(73.3%\) are missing"):
        prior_transformer(few, model=model, min_coverage=0.2)


def test_no_cells(adata, model):
    empty = adata[:0].copy()
    refuse_applied(empty, ValueError, "at least one cell", model)


# -------------------------------------------------------------------------------------- options


@pytest.mark.parametrize("prior", ["soft", "none"])
def test_dense_attention_beyond_memory_is_refused_with_the_estimate(adata, prior, monkeypatch):
    monkeypatch.setattr(_prior_options, "DENSE_BYTES", 2**20)
    refuse(adata, ValueError, rf"prior='{prior}'.* GiB for 150 genes.*n_top_genes", prior=prior)
    before = snapshot(adata)
    prior_transformer(adata, "cell_type", "prior", prior="hard", copy=True, **BRIEF)
    assert_unchanged(adata, before)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"prior": "firm"}, ValueError, r"`prior` must be one of 'hard'.*'firm'"),
        ({"min_confidence": 1.2}, ValueError, r"`min_confidence` must lie between 0 and 1"),
        ({"min_typicality": -0.1}, ValueError, r"`min_typicality` must lie between 0 and 1"),
        ({"min_confidence": np.nan}, ValueError, r"`min_confidence` must lie between 0 and 1"),
        ({"batch_size": 0}, ValueError, r"`batch_size` must be at least 1"),
        ({"max_epochs": 0}, ValueError, r"`max_epochs` must be at least 1"),
        ({"n_top_genes": 0}, ValueError, r"`n_top_genes` must be at least 1"),
        ({"n_top_genes": 1.5}, TypeError, r"`n_top_genes` must be an integer"),
        ({"model_kwargs": {"n_hidden": 9}}, ValueError, r"`n_heads` must divide `n_hidden`"),
        ({"model_kwargs": {"n_hidden": 4}}, ValueError, r"divide `n_hidden` and be smaller"),
        ({"model_kwargs": {"n_layers": 0}}, ValueError, r"`n_layers` must be a whole number"),
        ({"model_kwargs": {"dropout_rate": 1}}, ValueError, r"`dropout_rate` must lie in"),
        ({"model_kwargs": {"soft_penalty": -1}}, ValueError, r"`soft_penalty` must not be neg"),
        ({"model_kwargs": {"n_lays": 0}}, TypeError, "n_lays"),
        ({"train_kwargs": {"train_size": 0}}, ValueError, r"`train_size` must lie in"),
        ({"train_kwargs": {"batch_size": 1}}, ValueError, r"`batch_size` must be at least 2"),
        ({"key_added": "a/b"}, ValueError, r"`key_added` must be a name without '/'"),
        ({"key_added": "score"}, ValueError, r"overwrite `adata.obs\['score'\]`"),
        ({"labels_key": KEY}, ValueError, r"would overwrite 'prior_transformer', which is read"),
        ({"batch_key": f"{KEY}_split"}, ValueError, r"would overwrite 'prior_transformer_split'"),
    ],
    ids=str,
)
def test_options(adata, kwargs, error, message):
    refuse(adata, error, message, **kwargs)


# ---------------------------------------------------------------------------------------- model


def test_arguments_for_training_with_a_trained_model(adata, model):
    message = r"Arguments for training \({}\) do not go with a trained `model`"
    refuse(adata, ValueError, message.format("'net'"), model=model)
    for name, value in {
        "max_epochs": 3, "batch_key": "batch", "model_kwargs": SMALL, "train_kwargs": FAST,
        "n_top_genes": 9, "unlabeled_category": "?",
    }.items():  # fmt: skip
        refuse_applied(adata, ValueError, message.format(f"'{name}'"), model, **{name: value})


def test_things_that_are_no_model(adata, tmp_path):
    for thing in (3, object(), {"a": 1}, AgeClock):
        refuse_applied(adata, TypeError, r"must be a `sctools.model.PriorTransformer`", thing)
    refuse_applied(adata, ValueError, r"not a directory", tmp_path / "nothing")
    refuse_applied(adata, ValueError, r"Expected a directory written by", tmp_path)


def test_a_saved_model_of_another_class(adata, tmp_path):
    cohort = datasets.aging_cohort(12, n_genes=200, cells_per_donor=5, rng=0)
    AgeClock.setup_anndata(cohort)
    clock = AgeClock(cohort, n_repeats=1, n_hidden=8, head=(4,))
    clock.train(max_epochs=1, progress_bar=False)
    clock.save(tmp_path / "clock")
    message = r"written by `sctools.model.PriorTransformer.save`.*clock.json"
    refuse_applied(adata, ValueError, message, str(tmp_path / "clock"))
    refuse_applied(adata, TypeError, r"PriorTransformer.*found AgeClock", clock)


def test_a_damaged_model(adata, model, tmp_path):
    model.save(tmp_path / "model")
    path = tmp_path / "model" / "transformer.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    refuse_applied(adata, ValueError, r"damaged or cut short", tmp_path / "model")


def test_a_model_that_is_not_trained(adata):
    from sctools.model import PriorTransformer

    other = cells()
    PriorTransformer.setup_anndata(other, "cell_type")
    refuse_applied(adata, ValueError, r"not trained yet", PriorTransformer(other, "prior", **SMALL))


def test_view_of_a_backed_file(adata, model, tmp_path):
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    with pytest.raises(ValueError, match=r"view of a backed file.*to_memory"):
        prior_transformer(backed[:50], model=model)
    copied = prior_transformer(backed[:50], model=model, copy=True)
    assert copied.n_obs == 50
    backed.file.close()


def test_no_cell_with_counts_in_the_models_genes_is_said(model):
    adata = cells()
    X = adata.X.toarray()
    X[:3] = 0
    blank = AnnData(X, obs=adata.obs[[]], var=adata.var)
    with pytest.warns(UserWarning, match=r"3 cells have no counts in the model's genes"):
        prior_transformer(blank, model=model)
    assert np.isfinite(blank.obsm[f"{KEY}_proba"]).all()


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"batch_size": 2.5}, ValueError, r"`batch_size` must be a whole number"),
        ({"max_epochs": "many"}, ValueError, r"`max_epochs` must be a whole number"),
        ({"min_typicality": "low"}, ValueError, r"`min_typicality` must lie between 0 and 1"),
        ({"min_coverage": None}, ValueError, r"`min_coverage` must lie between 0 and 1"),
        ({"rng": "x"}, TypeError, r"`rng` must be a whole number"),
        ({"groupby": ["batch"]}, TypeError, r"`groupby` must be a name"),
        ({"model_kwargs": 3}, TypeError, r"`model_kwargs` must map names"),
        ({"model_kwargs": {"nonsense": 1}}, TypeError, r"`model_kwargs` has 'nonsense'"),
        ({"train_kwargs": {"nonsense": 1}}, TypeError, r"`train_kwargs` has 'nonsense'"),
    ],
)
def test_arguments_of_a_wrong_type(adata, kwargs, error, message):
    refuse(adata, error, message, **kwargs)


def test_flags_are_checked_before_anything_is_written(adata, model):
    before = snapshot(adata)
    for flag in ("copy", "return_model", "log_normalized", "progress_bar"):
        with pytest.raises(TypeError, match=rf"`{flag}` must be True or False"):
            prior_transformer(adata, model=model, **{flag: pd.DataFrame()})
        assert_unchanged(adata, before)
    with pytest.raises(TypeError, match=r"Expected AnnData, found NoneType"):
        prior_transformer(None, model=model)


def test_labels_in_two_columns_of_one_name(adata):
    adata.obs = pd.concat([adata.obs, adata.obs[["cell_type"]]], axis=1)
    refuse(adata, ValueError, r"must have one column 'cell_type', found 2")
