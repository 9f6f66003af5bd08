"""What ``tl.srsa_vae`` writes, from which input, and what it leaves alone."""

from __future__ import annotations

import logging
import random
import warnings

import anndata as ad
import matplotlib.pyplot as plt
import mudata
import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from mudata import read_h5mu
from natsort import natsorted
from scipy import sparse

import sctools
from sctools.model import SRSAVAE, MultimodalSRSAVAE
from sctools.tl import srsa_vae

from .._compare import assert_same, assert_unchanged, snapshot
from .._vaes import (
    N_GENES,
    N_OBS,
    N_PROTEINS,
    PROTEINS,
    QUICK,
    QUICK_PROTEIN,
    cells,
    multimodal,
    quietly_joined,
)

LATENT, ATTENTION = "X_srsa_vae", "X_srsa_vae_attention"


@pytest.fixture(scope="module")
def trained():
    """Cells with a result, and the model."""
    adata = cells()
    vae = srsa_vae(adata, labels_key="cell_type", return_model=True, **QUICK)
    return adata, vae


@pytest.fixture(scope="module")
def with_proteins():
    """The same with proteins."""
    adata = cells()
    vae = srsa_vae(
        adata, protein_key=PROTEINS, denoised_protein_key="denoised", return_model=True,
        **QUICK_PROTEIN,
    )  # fmt: skip
    return adata, vae


def latent(*args, **kwargs):
    """Latents of a run on cells of its own."""
    adata = cells()
    srsa_vae(adata, *args, **{**QUICK, **kwargs})
    return adata.obsm[LATENT]


def same(found, expected, atol=1e-5):
    assert np.asarray(expected).std(axis=0).max() > 0.01  # a constant would pass
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


def different(found, expected):
    assert np.abs(np.asarray(found) - np.asarray(expected)).max() > 1e-3


# ----------------------------------------------------------------------------- what is written


def test_what_is_written(trained):
    adata, vae = trained
    assert isinstance(vae, SRSAVAE)
    module = vae.module
    assert adata.obsm[LATENT].shape == (N_OBS, module.n_latent)
    assert adata.obsm[LATENT].dtype == np.float32
    same(adata.obsm[LATENT], vae.get_latent_representation())
    weights = adata.obsm[ATTENTION]
    assert weights.shape == (N_OBS, module.block.n_tokens)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(weights, vae.get_attention(), atol=1e-6)
    component = adata.obs["srsa_vae"]
    best = vae.get_components().argmax(axis=1)
    assert component.tolist() == [str(k) for k in best]
    assert list(adata.uns["srsa_vae"]) == ["params", "versions", "history"]


def test_nothing_else_changes(trained):
    before = snapshot(cells())
    now = snapshot(trained[0])
    del now["obs"]["srsa_vae"], now["uns"]["srsa_vae"]
    del now["obsm"][LATENT], now["obsm"][ATTENTION]
    assert_same(now, before)


def test_components_are_natural_sorted_strings_without_unused_ones(trained, monkeypatch):
    _, vae = trained
    found = np.zeros((N_OBS, 30), np.float32)
    found[np.arange(N_OBS), np.resize([11, 2, 0, 29], N_OBS)] = 1
    monkeypatch.setattr(vae, "get_components", lambda *args, **kwargs: found)
    adata = cells()
    srsa_vae(adata, vae)
    component = adata.obs["srsa_vae"]
    assert component[:4].tolist() == ["11", "2", "0", "29"]
    categories = component.cat.categories
    assert categories.tolist() == ["0", "2", "11", "29"] == natsorted(categories)
    assert not component.cat.ordered


def test_params(trained):
    adata, vae = trained
    params = adata.uns["srsa_vae"]["params"]
    expected = {
        "method": "srsa_vae",
        "mode": "trained",
        "model": "SRSAVAE",
        "max_epochs": QUICK["max_epochs"],
        "train_kwargs": QUICK["train_kwargs"],
        "attention": "memory",
        "residual": "scaled",
        "prior": "mixture",
        "encoder": "srsa",
        "n_latent": vae.module.n_latent,
        "n_tokens": vae.module.block.n_tokens,
        "n_components": len(vae.module.prior.logits),
        "batch_key": "batch",
        "labels_key": "cell_type",
        "n_genes": N_GENES,
    }
    assert {name: params[name] for name in expected} == expected
    assert isinstance(params["seed"], int)
    assert {"layer", "protein_key", "size_factor_key"}.isdisjoint(params)
    for name, value in {**params, **params["train_kwargs"]}.items():
        if name != "train_kwargs":
            assert type(value) in (str, int, float, bool, list), name


def test_params_of_all_inputs():
    adata = cells()
    adata.layers["counts"] = adata.X
    adata.obs["size"] = np.asarray(adata.X.sum(axis=1)).ravel()
    adata.obs["score"] = np.linspace(0, 1, N_OBS)
    keys = {
        "layer": "counts",
        "size_factor_key": "size",
        "categorical_covariate_keys": ["lineage"],
        "continuous_covariate_keys": ["score"],
        "protein_key": PROTEINS,
        "attention": "induced",
        "residual": "plain",
        "prior": "normal",
        "n_latent": 7,
    }
    quick = {**QUICK_PROTEIN, "model_kwargs": {**QUICK_PROTEIN["model_kwargs"], "n_tokens": 6}}
    srsa_vae(adata, **keys, **quick)
    params = adata.uns["srsa_vae"]["params"]
    assert {name: params[name] for name in keys} == keys
    assert params["model"] == "MultimodalSRSAVAE"
    assert params["n_tokens"] == adata.obsm[ATTENTION].shape[1] == 6
    assert adata.obsm[LATENT].shape == (N_OBS, 7)
    assert "n_components" not in params


def test_history_and_versions(trained):
    adata, vae = trained
    result = adata.uns["srsa_vae"]
    history = result["history"]
    assert history["epoch"].tolist() == [0, 1]
    assert np.issubdtype(history["epoch"].dtype, np.integer)
    expected = {
        "elbo_train", "elbo_validation", "reconstruction_loss_train", "kl_local_train",
        "kl_weight", "alpha", "beta", "attention_entropy", "token_entropy",
    }  # fmt: skip
    assert expected <= set(history.columns)
    assert "fold" not in history
    values = history.drop(columns="epoch")
    assert (values.dtypes == np.float64).all()
    assert np.isfinite(values.to_numpy()).all()
    assert history["kl_weight"].iloc[-1] == vae.module.kl_z_weight
    assert history["attention_entropy"].between(0, 1).all()
    for column, name in (("elbo_train", "elbo_train"), ("alpha", "alpha_train")):
        np.testing.assert_allclose(history[column], vae.history[name].iloc[:, 0].astype(float))
    assert result["versions"]["scvi-tools"] == scvi.__version__
    assert {"sctools", "torch"} < set(result["versions"])
    assert {type(v) for v in result["versions"].values()} == {str}


@pytest.mark.parametrize("attention", ["none", "minibatch", "induced", "features"])
def test_kinds_of_attention(attention):
    adata = cells()
    srsa_vae(adata, attention=attention, prior="normal", **QUICK)
    # The cells that minibatch attends to differ from run to run.
    assert (ATTENTION in adata.obsm) == (attention in ("induced", "features"))
    assert "srsa_vae" not in adata.obs
    assert adata.uns["srsa_vae"]["params"]["attention"] == attention
    assert ("beta" in adata.uns["srsa_vae"]["history"]) == (attention != "none")
    different(adata.obsm[LATENT], latent(prior="normal"))


def test_the_encoder_of_scvi():
    adata = cells()
    options = {**QUICK["model_kwargs"], "encoder": "scvi"}
    plain = {"attention": "none", "residual": "plain", "prior": "normal"}
    srsa_vae(adata, **plain, **{**QUICK, "model_kwargs": options})
    assert adata.uns["srsa_vae"]["params"]["encoder"] == "scvi"
    assert {"alpha", "beta"}.isdisjoint(adata.uns["srsa_vae"]["history"].columns)
    assert ATTENTION not in adata.obsm


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
@pytest.mark.parametrize("what", ["trained", "with_proteins", "applied"])
def test_round_trip(request, tmp_path, suffix, what):
    if what == "applied":
        adata = cells()
        srsa_vae(adata, request.getfixturevalue("trained")[1])
    else:
        adata = request.getfixturevalue(what)[0].copy()
    path = tmp_path / f"result.{suffix}"
    getattr(adata, f"write_{suffix}")(path)
    back = (ad.read_h5ad if suffix == "h5ad" else ad.read_zarr)(path)
    pd.testing.assert_frame_equal(back.obs, adata.obs)
    names = (LATENT, ATTENTION, *(["denoised"] if what == "with_proteins" else []))
    for name in names:
        np.testing.assert_array_equal(back.obsm[name], adata.obsm[name])
    assert back.obsm[LATENT].dtype == back.obsm[ATTENTION].dtype == np.float32
    found, expected = back.uns["srsa_vae"], adata.uns["srsa_vae"]
    assert set(found) == set(expected)
    assert dict(found["versions"]) == expected["versions"]
    assert set(found["params"]) == set(expected["params"])
    for name, value in expected["params"].items():
        assert np.array_equal(found["params"][name], value), name
    if what != "applied":
        pd.testing.assert_frame_equal(
            found["history"], expected["history"], check_column_type=False, check_index_type=False
        )
        assert sctools.pl.training_history(back, "srsa_vae", show=False) is not None
    assert sctools.pl.srsa_vae(back, show=False) is not None


def test_plots_work_straight_after(trained):
    adata, _ = trained
    ax = sctools.pl.srsa_vae(adata, show=False)
    rows = [label.get_text() for label in ax.get_yticklabels()]
    assert len(rows) == adata.obs["cell_type"].nunique()  # by the labels of `labels_key`
    assert sctools.pl.training_history(adata, "srsa_vae", show=False) is not None


def test_copy_return_model_and_key_added(trained):
    adata, _ = trained
    plain = cells()
    before = snapshot(plain)
    copied = srsa_vae(plain, copy=True, **QUICK)
    both = srsa_vae(plain, copy=True, return_model=True, key_added="mine", **QUICK)
    assert_unchanged(plain, before)
    assert isinstance(copied, ad.AnnData)
    assert isinstance(both, tuple)
    assert isinstance(both[0], ad.AnnData)
    assert isinstance(both[1], SRSAVAE)
    assert srsa_vae(plain, key_added="mine", **QUICK) is None
    np.testing.assert_array_equal(copied.obsm[LATENT], adata.obsm[LATENT])
    for found in (plain, both[0]):
        assert set(found.obsm) == {PROTEINS, "X_mine", "X_mine_attention"}
        assert set(found.uns) == {"immune_mixture", "mine"}
        assert "srsa_vae" not in found.obs
        np.testing.assert_array_equal(found.obsm["X_mine"], adata.obsm[LATENT])
        assert found.obs["mine"].tolist() == adata.obs["srsa_vae"].tolist()


def test_results_under_two_keys_do_not_touch_each_other(trained):
    adata = trained[0].copy()
    before = snapshot(adata)
    srsa_vae(adata, key_added="other", n_latent=3, **QUICK)
    now = snapshot(adata)
    assert now["obsm"].pop("X_other").shape == (N_OBS, 3)
    del now["obsm"]["X_other_attention"], now["obs"]["other"], now["uns"]["other"]
    assert_same(now, before)


def test_an_earlier_result_is_replaced_whole(trained):
    adata = trained[0].copy()
    adata.obsm["X_pca"] = np.ones((N_OBS, 2))
    adata.obs["srsa_vae_note"] = "mine"
    kept = snapshot(adata)
    srsa_vae(adata, attention="none", prior="normal", n_latent=4, **QUICK)
    assert adata.obsm[LATENT].shape == (N_OBS, 4)
    assert ATTENTION not in adata.obsm
    assert "srsa_vae" not in adata.obs
    assert "n_tokens" not in adata.uns["srsa_vae"]["params"]
    assert "labels_key" not in adata.uns["srsa_vae"]["params"]
    assert "beta" not in adata.uns["srsa_vae"]["history"]
    now = snapshot(adata)
    for parts in (now, kept):
        for name in (LATENT, ATTENTION):
            parts["obsm"].pop(name, None)
        parts["obs"] = parts["obs"].drop(columns="srsa_vae", errors="ignore")
        parts["uns"].pop("srsa_vae")
    assert_same(now, kept)
    srsa_vae(adata, trained[1])
    assert ATTENTION in adata.obsm
    assert "srsa_vae" in adata.obs
    assert "history" not in adata.uns["srsa_vae"]


# -------------------------------------------------------------------- seeds and what is global


def test_seeds(trained):
    expected = trained[0].obsm[LATENT]
    np.testing.assert_array_equal(latent(), expected)
    np.testing.assert_array_equal(latent(rng=np.random.default_rng(0)), expected)
    different(latent(rng=1), expected)
    different(latent(rng=None), latent(rng=None))


def test_a_seed_does_not_depend_on_the_global_state(trained):
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    np.testing.assert_array_equal(latent(), trained[0].obsm[LATENT])


def test_denoised_proteins_follow_the_seed(with_proteins):
    adata, vae = with_proteins
    drawn = []
    for seed in (5, 5, 6):
        query = cells()
        srsa_vae(query, vae, protein_key=PROTEINS, denoised_protein_key="denoised", rng=seed)
        drawn.append(query.obsm["denoised"].to_numpy())
        np.testing.assert_allclose(query.obsm[LATENT], adata.obsm[LATENT], atol=1e-5)
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()


def global_state():
    names = ("lightning", "lightning.pytorch", "lightning.fabric", "scvi", "sctools", None)
    loggers = [logging.getLogger(name) for name in names]
    options = ("seed", "batch_size", "verbosity", "dl_num_workers", "progress_bar_style",
               "warnings_stacklevel", "num_threads")  # fmt: skip
    return {
        "scvi": {name: getattr(scvi.settings, name, None) for name in options},
        "levels": [(logger.level, logger.disabled, logger.propagate) for logger in loggers],
        "handlers": [list(map(id, logger.handlers)) for logger in loggers],
        "filters": list(warnings.filters),
        "threads": torch.get_num_threads(),
        "dtype": str(torch.get_default_dtype()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "grad": torch.is_grad_enabled(),
        "python": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002
        "torch": torch.get_rng_state().tolist(),
        "progress_bar": sctools.settings.progress_bar,
    }


@pytest.mark.parametrize("seed", [0, None])
def test_global_state_is_left_alone(trained, seed):
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    before = global_state()
    srsa_vae(cells(), rng=seed, **QUICK)
    srsa_vae(cells(), protein_key=PROTEINS, rng=seed, **QUICK_PROTEIN)
    srsa_vae(cells(), trained[1], rng=seed)
    after = global_state()
    for name in before:
        assert after[name] == before[name], name


def test_it_is_quiet(trained, capfd, recwarn):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        srsa_vae(cells(), progress_bar=False, **QUICK)
        srsa_vae(cells(), protein_key=PROTEINS, progress_bar=False, **QUICK_PROTEIN)
        srsa_vae(cells(), trained[1])
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    own = [w for w in caught if "sctools" in w.filename or issubclass(w.category, UserWarning)]
    assert [str(w.message) for w in own] == []


def test_progress_bar_follows_the_settings(capfd):
    sctools.settings.progress_bar = True
    srsa_vae(cells(), progress_bar=False, **QUICK)
    assert "SRSAVAE" not in "".join(capfd.readouterr())
    srsa_vae(cells(), **QUICK)
    assert "SRSAVAE" in "".join(capfd.readouterr())


# ------------------------------------------------------------------------------- kinds of input


@pytest.mark.parametrize("form", ["csc", "dense", "float64", "int", "csr_array", "fortran"])
def test_storage_does_not_matter(trained, form):
    adata = cells()
    adata.X = {
        "csc": adata.X.tocsc(),
        "dense": adata.X.toarray(),
        "float64": adata.X.astype(np.float64),
        "int": adata.X.astype(np.int64),
        "csr_array": sparse.csr_array(adata.X),
        "fortran": np.asfortranarray(adata.X.toarray()),
    }[form]
    before = snapshot(adata)["X"]
    srsa_vae(adata, **QUICK)
    same(adata.obsm[LATENT], trained[0].obsm[LATENT], atol=1e-4)
    assert_same(snapshot(adata)["X"], before)


def test_view():
    whole = cells()
    rows = np.arange(N_OBS) % 3 > 0
    view, plain = whole[rows], whole[rows].copy()
    before = snapshot(whole)
    with pytest.warns(UserWarning, match="view"):
        srsa_vae(view, **QUICK)
    srsa_vae(plain, **QUICK)
    assert_unchanged(whole, before)
    np.testing.assert_array_equal(view.obsm[LATENT], plain.obsm[LATENT])
    assert "srsa_vae" in view.uns


@pytest.mark.parametrize("proteins", [False, True])
def test_backed_file(trained, with_proteins, tmp_path, proteins):
    adata, vae = with_proteins if proteins else trained
    keys = {**QUICK_PROTEIN, "protein_key": PROTEINS} if proteins else QUICK
    path = tmp_path / "cells.h5ad"
    cells().write_h5ad(path)
    content = path.read_bytes()
    backed = ad.read_h5ad(path, backed="r")
    copied = srsa_vae(backed, copy=True, **keys)
    assert "srsa_vae" not in backed.uns
    assert LATENT not in backed.obsm
    assert not copied.isbacked
    np.testing.assert_array_equal(copied.obsm[LATENT], adata.obsm[LATENT])
    with pytest.raises(ValueError, match=r"view of a backed file.*to_memory"):
        srsa_vae(backed[:50], **keys)
    srsa_vae(backed, **keys)
    assert backed.isbacked
    np.testing.assert_array_equal(backed.obsm[LATENT], adata.obsm[LATENT])
    keys = {"protein_key": PROTEINS} if proteins else {}
    srsa_vae(backed, vae, key_added="again", **keys)
    same(backed.obsm["X_again"], adata.obsm[LATENT])
    backed.file.close()
    assert path.read_bytes() == content


def test_layer(trained):
    adata = cells()
    adata.layers["counts"] = adata.X.copy()
    adata.X = np.full(adata.shape, np.nan, dtype="float32")
    srsa_vae(adata, layer="counts", **QUICK)
    np.testing.assert_array_equal(adata.obsm[LATENT], trained[0].obsm[LATENT])
    assert adata.uns["srsa_vae"]["params"]["layer"] == "counts"
    assert np.isnan(adata.X).all()
    srsa_vae(adata, trained[1], layer="counts", key_added="again")
    same(adata.obsm["X_again"], trained[0].obsm[LATENT])


def test_highly_variable_genes_are_taken_where_they_are_known(trained, caplog, tmp_path):
    adata = cells()
    adata.var["highly_variable"] = np.arange(N_GENES) % 2 == 0
    with caplog.at_level(logging.INFO, "sctools"):
        vae = srsa_vae(adata, return_model=True, **QUICK)
    assert "Training on the 60 genes of adata.var['highly_variable']" in caplog.text
    assert adata.uns["srsa_vae"]["params"]["n_genes"] == vae.adata.n_vars == 60
    assert vae.adata.var_names.tolist() == adata.var_names[::2].tolist()
    expected = adata.obsm[LATENT]
    different(expected, trained[0].obsm[LATENT])
    srsa_vae(adata, mask_var=None, **QUICK)
    np.testing.assert_array_equal(adata.obsm[LATENT], trained[0].obsm[LATENT])
    # A model takes the genes that it knows, whatever is marked in the query.
    query = cells()
    query.var["highly_variable"] = False
    vae.save(tmp_path / "model")
    for model in (vae, tmp_path / "model"):
        srsa_vae(query, model)
        assert query.uns["srsa_vae"]["params"]["n_genes"] == 60
        same(query.obsm[LATENT], expected)


def latent_of(adata, **kwargs):
    srsa_vae(adata, **{**QUICK, **kwargs})
    return adata.obsm[LATENT]


@pytest.mark.parametrize("kind", ["bool", "boolean", "object", "int", "category"])
def test_a_mask_of_ones_own(kind):
    adata, query = cells(), cells()
    mask = pd.Series(np.arange(N_GENES) < 80, index=adata.var_names)
    adata.var["highly_variable"], query.var["mine"] = mask, mask.astype(kind)
    expected = latent_of(adata)
    np.testing.assert_array_equal(latent_of(query, mask_var="mine"), expected)
    assert query.uns["srsa_vae"]["params"]["n_genes"] == 80


def test_a_size_factor_and_covariates_matter(trained):
    adata = cells()
    adata.obs["size"] = np.linspace(1, 1000, N_OBS)
    adata.obs["score"] = np.linspace(0, 1, N_OBS)
    for key, value in (
        ("size_factor_key", "size"),
        ("categorical_covariate_keys", ["lineage"]),
        ("continuous_covariate_keys", ["score"]),
    ):
        query = adata.copy()
        different(latent_of(query, **{key: value}), trained[0].obsm[LATENT])
        assert query.uns["srsa_vae"]["params"][key] == value


def test_labels_do_not_enter_training(trained):
    np.testing.assert_array_equal(latent(), trained[0].obsm[LATENT])


@pytest.mark.parametrize(
    ("n_obs", "batch_size", "train_size"),
    [(25, 128, None), (65, 64, 1.0), (33, 32, 1.0), (5, 8, None)],
)
@pytest.mark.parametrize("proteins", [False, True])
def test_few_cells_and_one_left_over(n_obs, batch_size, train_size, proteins):
    adata = cells(80, rng=4)[:n_obs].copy()
    counts = adata.obsm[PROTEINS]
    adata.obsm[PROTEINS] = counts.loc[:, counts.sum() > 0]
    keys = {**QUICK_PROTEIN, "protein_key": PROTEINS} if proteins else dict(QUICK)
    keys["train_kwargs"] = {"batch_size": batch_size, "train_size": train_size}
    srsa_vae(adata, **{**keys, "batch_key": None})
    assert np.isfinite(adata.obsm[LATENT]).all()
    if train_size == 1.0:
        assert "elbo_validation" not in adata.uns["srsa_vae"]["history"]


@pytest.mark.parametrize("proteins", [False, True])
def test_a_cell_without_counts_works_and_is_told(trained, with_proteins, caplog, proteins):
    adata = cells()
    counts = adata.X.toarray()
    counts[[4, 50, 51]] = 0
    adata.X = sparse.csr_matrix(counts)
    adata.obsm[PROTEINS].iloc[4] = 0
    keys = {"protein_key": PROTEINS} if proteins else {}
    with caplog.at_level(logging.WARNING, "sctools"):
        srsa_vae(adata, **keys, **(QUICK_PROTEIN if proteins else QUICK))
    told = [r.getMessage() for r in caplog.records if r.name.startswith("sctools")]
    assert len(told) == 1
    assert told[0].startswith("3 of 150 cells have no count in the 120 genes used")
    assert "sc.pp.filter_cells(adata, min_counts=1)" in told[0]
    assert np.isfinite(adata.obsm[LATENT]).all()
    assert adata.uns["srsa_vae"]["history"].notna().all(axis=None)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "sctools"):
        srsa_vae(adata, (with_proteins if proteins else trained)[1], **keys)
    assert "3 of 150 cells have no count" in caplog.text
    assert np.isfinite(adata.obsm[LATENT]).all()


# ------------------------------------------------------------------------------------- proteins


def test_what_is_written_with_proteins(with_proteins, trained):
    adata, vae = with_proteins
    assert isinstance(vae, MultimodalSRSAVAE)
    assert adata.obsm[LATENT].shape == (N_OBS, vae.module.n_latent)
    assert adata.obsm[LATENT].dtype == adata.obsm[ATTENTION].dtype == np.float32
    same(adata.obsm[LATENT], vae.get_latent_representation())
    np.testing.assert_allclose(adata.obsm[ATTENTION].sum(axis=1), 1, atol=1e-5)
    assert adata.obs["srsa_vae"].dtype == "category"
    params = adata.uns["srsa_vae"]["params"]
    assert params["protein_key"] == PROTEINS
    assert params["model"] == "MultimodalSRSAVAE"
    assert {"alpha", "beta", "kl_weight", "elbo_train"} < set(adata.uns["srsa_vae"]["history"])
    plain = cells()
    before = snapshot(plain)
    assert_same(snapshot(adata)["obsm"][PROTEINS], before["obsm"][PROTEINS])
    different(adata.obsm[LATENT], trained[0].obsm[LATENT])


def test_denoised_proteins(with_proteins):
    adata, vae = with_proteins
    denoised = adata.obsm["denoised"]
    counts = adata.obsm[PROTEINS]
    assert isinstance(denoised, pd.DataFrame)
    assert denoised.columns.tolist() == counts.columns.tolist()
    assert denoised.index.tolist() == adata.obs_names.tolist()
    assert np.isfinite(denoised.to_numpy()).all()
    assert (denoised.to_numpy() >= 0).all()
    # Of the model, and not only of its shape: means of many draws are near.
    _, expected = vae.get_normalized_expression(n_samples=50)
    np.testing.assert_allclose(denoised.mean(), expected.mean(), rtol=0.3)
    plain = cells()
    srsa_vae(plain, protein_key=PROTEINS, **QUICK_PROTEIN)
    assert set(plain.obsm) == {PROTEINS, LATENT, ATTENTION}
    np.testing.assert_array_equal(plain.obsm[LATENT], adata.obsm[LATENT])


@pytest.mark.parametrize("form", ["array", "csr", "float64", "int", "numbered"])
def test_forms_of_proteins(with_proteins, form):
    adata = cells()
    table = adata.obsm[PROTEINS]
    adata.obsm["adt"] = {
        "array": table.to_numpy(),
        "csr": sparse.csr_matrix(table.to_numpy()),
        "float64": table.astype(np.float64),
        "int": table.astype(np.int32),
        "numbered": table.set_axis(range(N_PROTEINS), axis=1),
    }[form]
    vae = srsa_vae(
        adata, protein_key="adt", denoised_protein_key="denoised", return_model=True,
        **QUICK_PROTEIN,
    )  # fmt: skip
    np.testing.assert_array_equal(adata.obsm[LATENT], with_proteins[0].obsm[LATENT])
    names = {
        "numbered": [str(i) for i in range(N_PROTEINS)],
        "array": [f"protein_{i}" for i in range(N_PROTEINS)],
    }
    names["csr"] = names["array"]
    expected = names.get(form, table.columns.tolist())
    assert adata.obsm["denoised"].columns.tolist() == expected
    again = cells()
    again.obsm["adt"] = adata.obsm["adt"]
    srsa_vae(again, vae, protein_key="adt")
    same(again.obsm[LATENT], adata.obsm[LATENT])


def test_a_protein_missing_in_one_batch():
    adata = cells()
    second = (adata.obs["batch"] == "batch2").to_numpy()
    adata.obsm[PROTEINS].loc[second, "CD4"] = 0
    with pytest.warns(UserWarning, match="all 0 counts in some batches"):
        srsa_vae(adata, protein_key=PROTEINS, denoised_protein_key="denoised", **QUICK_PROTEIN)
    assert np.isfinite(adata.obsm[LATENT]).all()
    assert np.isfinite(adata.obsm["denoised"].to_numpy()).all()


# --------------------------------------------------------------------------------------- MuData


def test_mudata(with_proteins):
    expected, _ = with_proteins
    mdata = multimodal(cells())
    proteins = snapshot(mdata.mod["prot"])
    returned = srsa_vae(mdata, denoised_protein_key="denoised", return_model=True, **QUICK_PROTEIN)
    assert isinstance(returned, MultimodalSRSAVAE)
    rna = mdata.mod["rna"]
    np.testing.assert_array_equal(rna.obsm[LATENT], expected.obsm[LATENT])
    np.testing.assert_array_equal(rna.obsm[ATTENTION], expected.obsm[ATTENTION])
    pd.testing.assert_frame_equal(
        rna.obsm["denoised"], expected.obsm["denoised"], check_names=False
    )
    assert rna.obs["srsa_vae"].tolist() == expected.obs["srsa_vae"].tolist()
    assert "srsa_vae" in rna.uns
    assert_unchanged(mdata.mod["prot"], proteins)
    above = mdata.obs["rna:srsa_vae"]
    assert above.dtype == "category"
    assert above.tolist() == rna.obs["srsa_vae"].tolist()


@pytest.mark.parametrize("name", ["prot", "protein", "adt"])
def test_modalities_by_default(name, with_proteins):
    mdata = multimodal(cells(), protein=name)
    srsa_vae(mdata, **QUICK_PROTEIN)
    np.testing.assert_array_equal(mdata.mod["rna"].obsm[LATENT], with_proteins[0].obsm[LATENT])


def test_named_modalities(with_proteins):
    mdata = multimodal(cells(), "expression", "surface")
    modalities = {"rna_layer": "expression", "protein_layer": "surface"}
    srsa_vae(mdata, modalities=modalities, **QUICK_PROTEIN)
    np.testing.assert_array_equal(
        mdata.mod["expression"].obsm[LATENT], with_proteins[0].obsm[LATENT]
    )
    assert "expression:srsa_vae" in mdata.obs
    assert mdata.mod["surface"].obsm.keys() == set()


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_cells_of_the_proteins_in_another_order(with_proteins, form):
    mdata = multimodal(cells())
    order = np.random.default_rng(0).permutation(N_OBS)
    protein = mdata.mod["prot"][order].copy()
    protein.X = form(protein.X)
    mdata = quietly_joined({"prot": protein, "rna": mdata.mod["rna"]})
    srsa_vae(mdata, **QUICK_PROTEIN)
    rna = mdata.mod["rna"]
    assert rna.obs_names.tolist() == cells().obs_names.tolist()
    np.testing.assert_array_equal(rna.obsm[LATENT], with_proteins[0].obsm[LATENT])
    assert mdata.mod["prot"].obs_names.tolist() == protein.obs_names.tolist()
    by_name = mdata.obs["rna:srsa_vae"].loc[rna.obs_names]
    assert by_name.tolist() == rna.obs["srsa_vae"].tolist()


def test_columns_at_the_top_of_mudata(with_proteins):
    adata = cells()
    mdata = multimodal(adata)
    order = mdata.obs_names[::-1]
    mdata = quietly_joined({"rna": mdata.mod["rna"][order].copy(), "prot": mdata.mod["prot"]})
    del mdata.mod["rna"].obs["batch"], mdata.mod["rna"].obs["cell_type"]
    mdata.obs["batch"] = adata.obs["batch"].loc[mdata.obs_names]
    mdata.obs["cell_type"] = adata.obs["cell_type"].loc[mdata.obs_names]
    vae = srsa_vae(mdata, labels_key="cell_type", return_model=True, **QUICK_PROTEIN)
    rna = mdata.mod["rna"]
    used = vae.adata.obs["batch"]
    assert used.astype(str).tolist() == adata.obs["batch"].loc[rna.obs_names].tolist()
    assert set(rna.obs.columns) == {"lineage", "srsa_vae"}
    # A model finds the columns of its training there too.
    before = rna.obsm[LATENT].copy()
    srsa_vae(mdata, vae)
    same(rna.obsm[LATENT], before)
    # The figure's error names the call that mends it.
    srsa_vae(mdata, vae, labels_key="cell_type")
    with pytest.raises(KeyError, match=r"adata\.obs\['cell_type'\] = mdata"):
        sctools.pl.srsa_vae(rna, show=False)
    rna.obs["cell_type"] = mdata.obs["cell_type"]
    ax = sctools.pl.srsa_vae(rna, show=False)
    assert len(ax.get_yticks()) == adata.obs["cell_type"].nunique()
    plt.close(ax.figure)


def pulling(pull):
    """How columns of modalities come to the top; ``None`` is the default of mudata 0.3."""
    if hasattr(mudata, "set_options"):
        return mudata.set_options(pull_on_update=pull)
    return mudata.settings.override(pull_on_update=pull is None)


@pytest.mark.parametrize("pull", [None, False])
def test_other_columns_of_mudata_are_left_alone(pull):
    with pulling(pull):
        mdata = multimodal(cells())
        mdata.obs["rna:batch"] = "mine"
        mdata.obs["mine"] = 1.0
        mdata.var["note"] = "mine"
        obs, var = mdata.obs.copy(), mdata.var.copy()
        srsa_vae(mdata, **QUICK_PROTEIN)
        pd.testing.assert_frame_equal(mdata.obs.drop(columns="rna:srsa_vae"), obs)
        pd.testing.assert_frame_equal(mdata.var, var)
        # What an earlier result had more goes there as well.
        srsa_vae(mdata, prior="normal", attention="none", **QUICK_PROTEIN)
        pd.testing.assert_frame_equal(mdata.obs, obs)
        assert set(mdata.mod["rna"].obsm) == {LATENT}


def test_mudata_copy_view_and_file(with_proteins, tmp_path):
    mdata = multimodal(cells())
    copied, vae = srsa_vae(mdata, copy=True, return_model=True, **QUICK_PROTEIN)
    assert "srsa_vae" not in mdata.mod["rna"].uns
    assert "rna:srsa_vae" not in mdata.obs
    np.testing.assert_array_equal(copied.mod["rna"].obsm[LATENT], with_proteins[0].obsm[LATENT])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        copied.write_h5mu(tmp_path / "cells.h5mu")
        back = read_h5mu(tmp_path / "cells.h5mu")
        view = mdata[:100]
        srsa_vae(view, vae)
        normal = mdata[:100]
        srsa_vae(normal, prior="normal", **QUICK_PROTEIN)
    np.testing.assert_array_equal(back.mod["rna"].obsm[LATENT], copied.mod["rna"].obsm[LATENT])
    assert back.mod["rna"].uns["srsa_vae"]["params"]["mode"] == "trained"
    assert back.obs["rna:srsa_vae"].tolist() == copied.obs["rna:srsa_vae"].tolist()
    same(view.mod["rna"].obsm[LATENT], with_proteins[0].obsm[LATENT][:100])
    assert view.obs["rna:srsa_vae"].notna().all()
    kept = view.copy()
    np.testing.assert_array_equal(kept.mod["rna"].obsm[LATENT], view.mod["rna"].obsm[LATENT])
    assert LATENT in normal.copy().mod["rna"].obsm
    assert "rna:srsa_vae" not in normal.obs
    assert kept.obs["rna:srsa_vae"].tolist() == view.obs["rna:srsa_vae"].tolist()
    assert "srsa_vae" not in mdata.mod["rna"].uns
    assert "rna:srsa_vae" not in mdata.obs


# -------------------------------------------------------------------------------- a given model


@pytest.fixture(params=["rna", "proteins"])
def result(request, trained, with_proteins):
    """A training result, its model and the argument that names the proteins."""
    if request.param == "rna":
        return *trained, {}
    return *with_proteins, {"protein_key": PROTEINS}


def test_applied_to_the_cells_of_training(result):
    adata, vae, keys = result
    state = {name: value.clone() for name, value in vae.module.state_dict().items()}
    own = vae.adata
    query = cells()
    returned = srsa_vae(query, vae, return_model=True, **keys)
    assert returned is vae
    same(query.obsm[LATENT], adata.obsm[LATENT])
    np.testing.assert_allclose(query.obsm[ATTENTION], adata.obsm[ATTENTION], atol=1e-5)
    assert query.obs["srsa_vae"].tolist() == adata.obs["srsa_vae"].tolist()
    assert vae.adata is own
    for name, value in vae.module.state_dict().items():
        assert torch.equal(value, state[name]), name
    found, expected = (a.uns["srsa_vae"] for a in (query, adata))
    assert list(found) == ["params", "versions"]
    assert found["params"]["mode"] == "applied"
    for name in ("model", "attention", "residual", "prior", "n_latent", "n_tokens", "batch_key"):
        assert found["params"][name] == expected["params"][name]
    assert not {"seed", "max_epochs", "train_kwargs"} & set(found["params"])


def test_applied_from_a_directory(result, tmp_path):
    adata, vae, keys = result
    vae.save(tmp_path / "model")
    for path in (tmp_path / "model", str(tmp_path / "model")):
        query = cells()
        loaded = srsa_vae(query, path, return_model=True, **keys)
        assert type(loaded) is type(vae)
        assert loaded is not vae
        same(query.obsm[LATENT], adata.obsm[LATENT])
        np.testing.assert_allclose(query.obsm[ATTENTION], adata.obsm[ATTENTION], atol=1e-5)
        assert query.uns["srsa_vae"]["params"]["mode"] == "applied"


@pytest.mark.parametrize("saved", [False, True])
def test_applied_to_permuted_cells_genes_and_proteins_and_further_ones(result, tmp_path, saved):
    adata, vae, keys = result
    if saved:
        vae.save(tmp_path / "model")
        vae = tmp_path / "model"
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(N_OBS)[:90], rng.permutation(N_GENES)
    query = cells()[rows, columns].copy()
    further = ad.AnnData(
        sparse.csr_matrix(rng.poisson(50, (90, 7)).astype(np.float32)), obs=query.obs[[]].copy()
    )
    further.var_names = [f"further_{i}" for i in range(7)]
    query = ad.concat([further, query], axis=1, merge="unique")
    assert query.var_names[0] == "further_0"
    proteins = query.obsm[PROTEINS].iloc[:, rng.permutation(N_PROTEINS)]
    query.obsm[PROTEINS] = proteins.assign(further=rng.poisson(50, 90))
    before = snapshot(query)
    srsa_vae(query, vae, **keys)
    same(query.obsm[LATENT], adata.obsm[LATENT][rows])
    np.testing.assert_allclose(query.obsm[ATTENTION], adata.obsm[ATTENTION][rows], atol=1e-5)
    assert query.obs["srsa_vae"].tolist() == adata.obs["srsa_vae"].iloc[rows].tolist()
    now = snapshot(query)
    assert_same(now["X"], before["X"])
    assert_same(now["obsm"][PROTEINS], before["obsm"][PROTEINS])
    assert_same(now["var"], before["var"])


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_the_batch_size_of_encoding_changes_nothing(result, batch_size):
    adata, vae, keys = result
    query = cells()
    srsa_vae(query, vae, batch_size=batch_size, **keys)
    same(query.obsm[LATENT], adata.obsm[LATENT])
    np.testing.assert_allclose(query.obsm[ATTENTION], adata.obsm[ATTENTION], atol=1e-5)


def test_applied_to_mudata(with_proteins):
    adata, vae = with_proteins
    order = np.random.default_rng(0).permutation(N_PROTEINS)
    mdata = multimodal(cells())
    mdata = quietly_joined({"rna": mdata.mod["rna"], "prot": mdata.mod["prot"][:, order].copy()})
    srsa_vae(mdata, vae)
    same(mdata.mod["rna"].obsm[LATENT], adata.obsm[LATENT])
    query = cells()
    own = srsa_vae(multimodal(cells()), return_model=True, **QUICK_PROTEIN)
    srsa_vae(query, own, protein_key=PROTEINS)
    same(query.obsm[LATENT], adata.obsm[LATENT])


def test_applied_to_other_cells(result):
    adata, vae, keys = result
    query = cells(45, rng=8)
    query.obsm[PROTEINS]["CD4"] = 0  # of a query's cells, none need have it
    query.obs["batch"] = "batch2"
    srsa_vae(query, vae, denoised_protein_key="denoised" if keys else None, **keys)
    assert query.obsm[LATENT].shape == (45, adata.obsm[LATENT].shape[1])
    assert np.isfinite(query.obsm[LATENT]).all()
    if keys:
        assert query.obsm["denoised"].columns.tolist() == query.obsm[PROTEINS].columns.tolist()
        assert query.obsm["denoised"].index.tolist() == query.obs_names.tolist()


def test_the_labels_of_a_query_are_its_own(trained):
    query = cells()
    query.obs["kind"] = np.resize(["a", "b"], N_OBS)
    srsa_vae(query, trained[1], labels_key="kind")
    assert query.uns["srsa_vae"]["params"]["labels_key"] == "kind"
    assert sctools.pl.srsa_vae(query, show=False) is not None
    srsa_vae(query, trained[1])
    assert "labels_key" not in query.uns["srsa_vae"]["params"]


@pytest.mark.parametrize("kind", [str, int, "category"])
def test_batches_are_compared_as_text(kind):
    """A column of numbers comes back from some files as text."""
    adata = cells()
    adata.obs["batch"] = (adata.obs["batch"] == "batch2").astype(int)
    vae = srsa_vae(adata, return_model=True, prior="normal", **QUICK)
    query = cells()
    query.obs["batch"] = adata.obs["batch"].astype(kind)
    dtype = query.obs["batch"].dtype
    srsa_vae(query, vae)
    same(query.obsm[LATENT], adata.obsm[LATENT])
    assert query.obs["batch"].dtype == dtype


def test_a_mapped_model_is_applied(trained, tmp_path):
    trained[1].save(tmp_path / "model")
    query = cells(60, rng=8)
    query.obs["batch"] = "elsewhere"
    before = snapshot(query)
    mapped = SRSAVAE.load_query_data(query.copy(), str(tmp_path / "model"))
    mapped.train(1, rng=0, progress_bar=False)
    srsa_vae(query, mapped)
    same(query.obsm[LATENT], mapped.get_latent_representation())
    assert_same(snapshot(query)["X"], before["X"])


def register(cls, adata, *args, **kwargs):
    """A model that was made without the tool."""
    adata = adata.copy()
    cls.setup_anndata(adata, *args, **kwargs)
    own = cls(adata, n_hidden=32)
    own.train(1, rng=0, progress_bar=False)
    return own


def test_a_model_made_by_hand():
    adata = cells()
    adata.layers["raw"] = adata.X
    adata.obs["score"] = np.linspace(0, 1, N_OBS)
    own = register(
        SRSAVAE, adata, layer="raw", batch_key="batch", labels_key="cell_type",
        continuous_covariate_keys=["score"], categorical_covariate_keys=["lineage"],
    )  # fmt: skip
    query = cells()
    query.obs["score"] = adata.obs["score"]
    srsa_vae(query, own)
    same(query.obsm[LATENT], own.get_latent_representation())
    assert query.uns["srsa_vae"]["params"]["categorical_covariate_keys"] == ["lineage"]
    query.layers["mine"] = query.X
    query.X = None
    srsa_vae(query, own, layer="mine", key_added="again")
    np.testing.assert_array_equal(query.obsm["X_again"], query.obsm[LATENT])


@pytest.mark.parametrize("form", ["array", "numbered", "named"])
def test_a_multimodal_model_made_by_hand(form):
    adata = cells()
    table = adata.obsm[PROTEINS]
    adata.obsm["adt"] = {
        "array": table.to_numpy(),
        "numbered": table.set_axis(range(N_PROTEINS), axis=1),
        "named": table,
    }[form]
    own = register(MultimodalSRSAVAE, adata, "adt", batch_key="batch")
    query = cells()
    query.obsm["mine"] = adata.obsm["adt"]
    srsa_vae(query, own, protein_key="mine")
    same(query.obsm[LATENT], own.get_latent_representation())


def test_depth_is_counted_over_all_genes(tmp_path):
    """Genes that are left out of training still tell how deep a cell was sequenced."""
    adata = cells()
    adata.var["highly_variable"] = np.arange(adata.n_vars) < 80
    vae = sctools.tl.srsa_vae(adata, max_epochs=2, progress_bar=False, return_model=True)
    total = np.asarray(adata.X.sum(axis=1)).ravel()
    np.testing.assert_allclose(vae.adata.obs["_depth"], total, rtol=1e-6)
    latent = adata.obsm["X_srsa_vae"]
    # Applied to the genes of the model alone, depth is estimated from their share of all counts.
    few = cells()[:, :80].copy()
    sctools.tl.srsa_vae(few, vae)
    assert np.corrcoef(few.obsm["X_srsa_vae"].ravel(), latent.ravel())[0, 1] > 0.95
    assert np.abs(few.obsm["X_srsa_vae"] - latent).max() > 1e-4
    # The model's own methods take such data too.
    np.testing.assert_allclose(
        vae.get_latent_representation(cells()[:, :80].copy()).mean(axis=0),
        few.obsm["X_srsa_vae"].mean(axis=0),
        atol=0.1,
    )
    vae.save(tmp_path / "model")
    mapped = type(vae).load_query_data(cells()[:, :80].copy(), str(tmp_path / "model"))
    mapped.train(1, progress_bar=False)
    assert np.isfinite(mapped.get_latent_representation()).all()


@pytest.mark.parametrize("lazy", [False, True])
def test_one_cell_with_proteins_and_a_saved_model(with_proteins, tmp_path, lazy):
    adata, vae = with_proteins
    vae.save(tmp_path / "vae")
    one = cells()[[3]].copy()
    if lazy:
        one.write_h5ad(tmp_path / "one.h5ad")
        one = ad.read_h5ad(tmp_path / "one.h5ad", backed="r")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        srsa_vae(one, model=tmp_path / "vae", protein_key=PROTEINS)
    np.testing.assert_allclose(one.obsm[LATENT][0], adata.obsm[LATENT][3], atol=1e-4)
    if lazy:
        one.file.close()
