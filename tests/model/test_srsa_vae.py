"""The RNA model: independence of batches, equality with scVI, and all that scvi-tools offers."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import scvi
import torch
from anndata import read_h5ad
from scipy import sparse
from torch.distributions import Normal

from sctools.datasets import immune_mixture
from sctools.model import SRSAVAE, _runner, _srsa_methods
from sctools.model._runner import EpochCounter, quiet, seeded

ATTENTION = ["memory", "induced", "features", "minibatch", "none"]
N_OBS = 150


@pytest.fixture(scope="module")
def data():
    """Counts; models of this module train on copies."""
    return immune_mixture(N_OBS, n_genes=120, rng=0)


def registered(adata, **kwargs):
    """A copy for one model: scvi-tools tells objects apart by an id that copies share."""
    adata = adata.copy()
    SRSAVAE.setup_anndata(adata, **{"batch_key": "batch", **kwargs})
    return adata


def fitted(adata, epochs=3, seed=0, **kwargs):
    with seeded(seed):
        vae = SRSAVAE(registered(adata), n_hidden=32, **kwargs)
    vae.train(epochs, rng=seed, batch_size=32, progress_bar=False)
    return vae


@pytest.fixture(scope="module")
def vae(data):
    return fitted(data)


@pytest.fixture(scope="module", params=ATTENTION)
def any_vae(request, data):
    return fitted(data, attention=request.param)


def query(n_obs=40, rng=1):
    adata = immune_mixture(n_obs, n_genes=120, rng=rng)
    adata.obs["batch"] = adata.obs["batch"].astype(str)
    return adata


# ------------------------------------------------------------------ a cell is encoded on its own


@pytest.mark.parametrize("batch_size", [1, 7, 128, N_OBS])
def test_batch_size_changes_nothing(any_vae, batch_size):
    whole = any_vae.get_latent_representation()
    assert whole.std(axis=0).max() > 0.02
    found = any_vae.get_latent_representation(batch_size=batch_size)
    np.testing.assert_allclose(found, whole, rtol=0, atol=1e-5)


def test_order_and_company_change_nothing(any_vae, data):
    whole = any_vae.get_latent_representation()
    order = np.random.default_rng(0).permutation(N_OBS)
    permuted = any_vae.get_latent_representation(data[order].copy())
    np.testing.assert_allclose(permuted, whole[order], rtol=0, atol=1e-5)
    subset = any_vae.get_latent_representation(indices=[5, 90, 3])
    np.testing.assert_allclose(subset, whole[[5, 90, 3]], rtol=0, atol=1e-5)


def test_latents_of_sparse_dense_and_unsorted_counts_agree(vae, data):
    expected = vae.get_latent_representation()
    dense = data.copy()
    dense.X = dense.X.toarray()
    unsorted = data.copy()
    matrix = sparse.csr_matrix(unsorted.X)
    reverse = np.concatenate(
        [
            np.arange(b - 1, a - 1, -1)
            for a, b in zip(matrix.indptr, matrix.indptr[1:], strict=False)
        ]
    )
    unsorted.X = sparse.csr_matrix(
        (matrix.data[reverse], matrix.indices[reverse], matrix.indptr), matrix.shape
    )
    assert not unsorted.X.has_sorted_indices
    for adata in (dense, unsorted):
        found = vae.get_latent_representation(adata)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_backed_file_with_unsorted_indices(vae, data, tmp_path):
    expected = vae.get_latent_representation()
    weights, components = vae.get_attention(), vae.get_components()
    data.copy().write_h5ad(tmp_path / "cells.h5ad")
    backed = read_h5ad(tmp_path / "cells.h5ad", backed="r")
    rows = [90, 3, 140, 3, 0]
    found = vae.get_latent_representation(backed, indices=rows, batch_size=2)
    np.testing.assert_allclose(found, expected[rows], rtol=0, atol=1e-5)
    mean, variance = vae.get_latent_representation(backed, indices=rows, return_dist=True)
    np.testing.assert_allclose(mean, expected[rows], rtol=0, atol=1e-5)
    assert variance.shape == mean.shape
    np.testing.assert_allclose(vae.get_attention(backed, rows), weights[rows], atol=1e-5)
    np.testing.assert_allclose(vae.get_components(backed, rows), components[rows], atol=1e-5)
    mask = np.isin(np.arange(N_OBS), rows)
    found = vae.get_latent_representation(backed, indices=mask)
    np.testing.assert_allclose(found, expected[mask], rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="ascending order"):
        vae.get_normalized_expression(backed, indices=[5, 2])
    backed.file.close()


# ----------------------------------------------------------------------------- equality with scVI


def test_without_our_parts_it_is_scvi(data):
    plan = {"eps": 0.01, "n_epochs_kl_warmup": 2}
    plain = data.copy()
    scvi.model.SCVI.setup_anndata(plain, batch_key="batch")
    kept, scvi.settings._seed = scvi.settings.seed, 0
    try:
        with seeded(5), quiet():
            reference = scvi.model.SCVI(plain, gene_likelihood="nb")
            reference.train(3, plan_kwargs=dict(plan), batch_size=32, enable_progress_bar=False)
        with seeded(5):
            vae = SRSAVAE(
                registered(data),
                attention="none",
                residual="plain",
                prior="normal",
                encoder="scvi",
            )
            vae.train(3, plan_kwargs=plan, batch_size=32, early_stopping=False, progress_bar=False)
        expected = reference.get_latent_representation()
        assert expected.std() > 0.01
        np.testing.assert_array_equal(vae.get_latent_representation(), expected)
        np.testing.assert_allclose(
            vae.history["train_loss"].to_numpy(float),
            reference.history["train_loss"].to_numpy(float),
        )
    finally:
        scvi.settings._seed = kept


# ------------------------------------------------------------------------------------- training


def test_alpha_and_beta_move_and_tokens_are_used(vae):
    block = vae.module.block
    assert (block.alpha - 1).abs().max() > 1e-3
    assert (block.beta - 0.1).abs().max() > 1e-3
    for name in ("alpha", "beta", "attention_entropy", "token_entropy", "kl_weight"):
        values = vae.history[f"{name}_train"].iloc[:, 0].to_numpy(float)
        assert len(values) == 3
        assert np.isfinite(values).all()
        assert values[0] != values[-1]
    assert vae.history["token_entropy_train"].iloc[-1, 0] > 0.5


def test_usage_penalty_counts_in_the_loss():
    """Collapsed tokens cost one nat per cell more than even ones."""
    from scvi.module.base import LossOutput

    from sctools.module import SRSAVAEModule

    module = SRSAVAEModule(5, prior="normal")
    output = LossOutput(
        loss=torch.tensor(3.0),
        reconstruction_loss=torch.ones(4),
        kl_local={"kl_divergence_z": torch.zeros(4)},
    )
    even = torch.full((4, 4, 32), 1 / 32)
    collapsed = torch.zeros(4, 4, 32)
    collapsed[..., 0] = 1
    found = [
        float(module._corrected(output, {}, {"attention": weights}, 1.0).loss)
        for weights in (even, collapsed)
    ]
    assert found == pytest.approx([3.0, 4.0])


def test_seed_and_global_state(data):
    torch.manual_seed(9)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = fitted(data, 2, seed=3)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    again, other = fitted(data, 2, seed=3), fitted(data, 2, seed=4)
    expected = first.get_latent_representation()
    np.testing.assert_array_equal(again.get_latent_representation(), expected)
    assert np.abs(other.get_latent_representation() - expected).max() > 1e-3


def test_early_stopping_waits_for_the_warmup(data):
    vae = SRSAVAE(registered(data), n_hidden=32)
    vae.train(8, rng=0, progress_bar=False, early_stopping_patience=1, early_stopping_min_delta=1e9)
    assert 5 <= len(vae.history["train_loss"]) < 8
    assert vae.history["kl_weight_train"].iloc[-1, 0] == vae.module.kl_z_weight


@pytest.mark.parametrize("shown", [True, False])
def test_progress_bar(data, capfd, monkeypatch, shown):
    # By default tqdm leaves out what comes within a tenth of a second.
    monkeypatch.setattr(_runner, "tqdm", functools.partial(_runner.tqdm, mininterval=0))
    seen = []
    vae = SRSAVAE(registered(data), n_hidden=16)
    capfd.readouterr()
    vae.train(2, rng=0, progress_bar=shown, callbacks=[EpochCounter([lambda: seen.append(1)])])
    printed = "".join(capfd.readouterr())
    assert ("SRSAVAE" in printed, "2/2" in printed) == (shown, shown)
    assert "v_num" not in printed
    assert seen == [1, 1]  # a callback of the caller stays


@pytest.mark.parametrize(
    ("n_obs", "batch_size", "train_size"),
    [(20, 128, None), (33, 32, 1.0), (65, 32, 1.0), (3, 8, None)],
)
def test_few_cells_and_one_left_over(n_obs, batch_size, train_size):
    adata = query(80)[:n_obs].copy()
    SRSAVAE.setup_anndata(adata)
    vae = SRSAVAE(adata, n_hidden=16)
    vae.train(2, rng=0, batch_size=batch_size, train_size=train_size, progress_bar=False)
    latent = vae.get_latent_representation()
    assert latent.shape == (n_obs, vae.module.n_latent)
    assert np.isfinite(latent).all()


def test_a_cell_without_counts_is_finite(data):
    adata = data.copy()
    counts = adata.X.toarray()
    counts[4] = 0
    adata.X = sparse.csr_matrix(counts)
    vae = fitted(adata, 2)
    assert np.isfinite(vae.get_latent_representation()).all()
    assert np.isfinite(vae.history["train_loss"].to_numpy(float)).all()


# --------------------------------------------------------------------------- attention, components


def test_attention_and_components(any_vae):
    attention = any_vae.module.block.attention
    if attention == "none":
        with pytest.raises(ValueError, match="attention='memory'"):
            any_vae.get_attention()
    else:
        weights = any_vae.get_attention(batch_size=7)
        n_tokens = min(256, int(0.9 * N_OBS)) if attention == "minibatch" else 32
        assert weights.shape == (N_OBS, n_tokens)
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
        assert weights.std(axis=0).max() > 0
    components = any_vae.get_components()
    assert components.shape == (N_OBS, 30)
    np.testing.assert_allclose(components.sum(axis=1), 1, atol=1e-5)


def test_a_normal_prior_has_no_components(data):
    with pytest.raises(ValueError, match="prior='mixture'"):
        SRSAVAE(registered(data), prior="normal").get_components()


# ------------------------------------------------------------------------ what scvi-tools offers


def test_save_and_load(any_vae, data, tmp_path):
    any_vae.save(tmp_path / "model", overwrite=True)
    loaded = SRSAVAE.load(tmp_path / "model", adata=data)
    np.testing.assert_allclose(
        loaded.get_latent_representation(), any_vae.get_latent_representation(), atol=1e-6
    )
    assert loaded.init_params_["non_kwargs"]["attention"] == any_vae.module.block.attention


def test_marginal_likelihood_uses_the_mixture(data):
    """With one standard component it is that of scVI's prior; moved away, it falls as computed."""
    vae = fitted(data, 2, n_components=1)
    normal = SRSAVAE(registered(data), n_hidden=32, prior="normal")
    prior = vae.module.prior
    with torch.no_grad():
        prior.mean.zero_()
        prior.log_scale.zero_()
    state = {k: v for k, v in vae.module.state_dict().items() if not k.startswith("prior.")}
    normal.module.load_state_dict(state)
    normal.module.eval()
    normal.is_trained_ = True

    def estimate(model):
        with seeded(0):
            return model.get_marginal_ll(n_mc_samples=20, return_mean=False, batch_size=200)

    expected = estimate(normal)
    np.testing.assert_allclose(estimate(vae), expected, atol=1e-2)
    with torch.no_grad():
        prior.mean.fill_(1.0)
    with seeded(0):
        tensors = next(iter(vae._make_data_loader(vae.adata, batch_size=200)))
        module, log_weights = vae.module, []
        with torch.inference_mode():
            for _ in range(20):
                inference, _, loss = module(tensors)
                z, qz = inference["z"], inference["qz"]
                log_p = -loss.reconstruction_loss["reconstruction_loss"]
                log_p = log_p + Normal(1.0, 1.0).log_prob(z).sum(-1) - qz.log_prob(z).sum(-1)
                log_weights.append(log_p)
    by_hand = torch.logsumexp(torch.stack(log_weights), 0) - np.log(20)
    found = estimate(vae)
    np.testing.assert_allclose(found, by_hand, atol=1e-2)
    assert (found < expected).float().mean() > 0.9


def test_elbo_has_the_mixture(data):
    vae = fitted(data, 2)
    before = float(vae.get_elbo())
    with torch.no_grad():
        vae.module.prior.mean += 20
    assert float(vae.get_elbo()) < before - 100


def test_minified(any_vae, data, tmp_path):
    any_vae.save(tmp_path / "model", overwrite=True)
    vae = SRSAVAE.load(tmp_path / "model", adata=data.copy())
    mean, variance = vae.get_latent_representation(return_dist=True)
    components = vae.get_components()
    expression = vae.get_normalized_expression(n_samples=1)
    vae.adata.obsm["X_latent_qzm"], vae.adata.obsm["X_latent_qzv"] = mean, variance
    vae.minify_adata()
    assert vae.minified_data_type is not None
    found = vae.get_latent_representation(return_dist=True)
    np.testing.assert_allclose(found[0], mean, atol=1e-6)
    np.testing.assert_allclose(found[1], variance, rtol=1e-5)
    np.testing.assert_allclose(vae.get_components(), components, atol=1e-5)
    assert vae.get_normalized_expression(n_samples=1).shape == expression.shape
    with pytest.raises(ValueError, match="minified"):
        vae.get_attention()


def test_normalised_expression_and_differential_expression(vae, data):
    expression = vae.get_normalized_expression(
        transform_batch=list(data.obs["batch"].unique()), n_samples=2
    )
    assert expression.shape == data.shape
    np.testing.assert_allclose(expression.sum(axis=1), 1, rtol=1e-4)
    table = vae.differential_expression(
        groupby="cell_type", group1="CD14 monocyte", batch_size=32, silent=True
    )
    assert set(table.index) == set(data.var_names)
    assert np.isfinite(table["scale1"]).all()


def test_query_mapping(any_vae, tmp_path):
    if any_vae.module.block.attention == "features":
        pytest.skip("as memory, and slow")
    new = query()
    new.obs["batch"] = "elsewhere"
    any_vae.save(tmp_path / "model", overwrite=True)
    mapped = SRSAVAE.load_query_data(new, str(tmp_path / "model"))
    before = {n: p.detach().clone() for n, p in mapped.module.named_parameters() if "attn" in n}
    buffers = {n: b.clone() for n, b in mapped.module.named_buffers() if "attn" in n}
    mapped.train(2, rng=0, plan_kwargs={"weight_decay": 0.0}, progress_bar=False)
    for name, value in mapped.module.named_parameters():
        if name in before:
            assert torch.equal(value, before[name]), name
    for name, value in mapped.module.named_buffers():
        if name in buffers:
            assert torch.equal(value, buffers[name]), name
    assert mapped.get_latent_representation().shape == (40, mapped.module.n_latent)


def test_covariates_size_factors_and_layers():
    adata = query(60)
    adata.layers["counts"] = adata.X.copy()
    adata.X = adata.X * 0.5
    adata.obs["size"] = np.asarray(adata.layers["counts"].sum(axis=1)).ravel()
    adata.obs["score"] = np.linspace(0, 1, 60)
    adata.obs["plate"] = np.where(np.arange(60) % 2, "a", "b")
    SRSAVAE.setup_anndata(
        adata,
        layer="counts",
        batch_key="batch",
        size_factor_key="size",
        categorical_covariate_keys=["plate"],
        continuous_covariate_keys=["score"],
    )
    vae = SRSAVAE(adata, n_hidden=32, encode_covariates=True, attention="features")
    vae.train(2, rng=0, progress_bar=False)
    latent = vae.get_latent_representation()
    assert np.isfinite(latent).all()
    moved = adata.copy()
    moved.obs["score"] += 1
    assert np.abs(vae.get_latent_representation(moved) - latent).max() > 1e-4


# -------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"attention": "cells"}, "`attention` must be one of 'memory'"),
        ({"residual": "double"}, "`residual` must be one of"),
        ({"prior": "vamp"}, "`prior` must be 'mixture' or 'normal'"),
        ({"encoder": "linear"}, "`encoder` must be 'srsa' or 'scvi'"),
        ({"n_latent": 0}, "`n_latent` must be a whole number ≥ 1, found 0"),
        ({"n_tokens": 0}, "`n_tokens` must be a whole number"),
        ({"n_components": 2.5}, "`n_components` must be a whole number"),
        ({"n_heads": 3}, "multiple of `n_heads`"),
        ({"attention": "none", "residual": "none"}, "leaves nothing to encode"),
        ({"encoder": "scvi"}, "goes with"),
        ({"latent_distribution": "ln"}, "`prior='mixture'` needs"),
    ],
)
def test_options(data, kwargs, message):
    with pytest.raises(ValueError, match=message):
        SRSAVAE(registered(data), **kwargs)


def test_training_says_what_it_needs(data):
    with pytest.raises(ValueError, match="`max_epochs` must be at least 1"):
        SRSAVAE(registered(data)).train(0)
    few = query()[:2].copy()
    SRSAVAE.setup_anndata(few)
    with pytest.raises(ValueError, match="at least 3 cells"):
        SRSAVAE(few).train(1)


def test_dask_is_refused(data):
    array = pytest.importorskip("dask.array")
    adata = query(20)
    SRSAVAE.setup_anndata(adata)
    vae = SRSAVAE(adata)
    vae.adata.X = array.from_array(adata.X.toarray(), chunks=10)
    with pytest.raises(ValueError, match="to_memory"):
        vae.train(1)


# ----------------------------------------------------------------------------------------- depth


def test_depth_over_all_genes(data, tmp_path):
    adata = data[:, :60].copy()
    adata.obs["total"] = np.asarray(data.X.sum(axis=1)).ravel()
    SRSAVAE.setup_anndata(adata, depth_key="total")
    vae = SRSAVAE(adata, n_hidden=32)
    vae.train(2, rng=0, progress_bar=False)
    latent = vae.get_latent_representation()
    # Twice the counts at twice the depth are the same cell.
    doubled = data[:, :60].copy()
    doubled.X = doubled.X * 2
    doubled.obs["total"] = 2 * adata.obs["total"]
    np.testing.assert_allclose(vae.get_latent_representation(doubled), latent, atol=1e-5)
    doubled.obs["total"] = adata.obs["total"].to_numpy()
    other = data[:, :60].copy()
    other.X = other.X * 2
    other.obs["total"] = adata.obs["total"]
    assert np.abs(vae.get_latent_representation(other) - latent).max() > 1e-3
    vae.save(tmp_path / "model")
    loaded = SRSAVAE.load(tmp_path / "model", adata=adata)
    np.testing.assert_allclose(loaded.get_latent_representation(), latent, atol=1e-6)
    mapped = SRSAVAE.load_query_data(adata[:40].copy(), str(tmp_path / "model"))
    mapped.train(1, progress_bar=False)
    assert np.isfinite(mapped.get_latent_representation()).all()


def test_depth_is_checked(data):
    adata = data.copy()
    with pytest.raises(KeyError, match="`depth_key='total'` is not a column"):
        SRSAVAE.setup_anndata(adata, depth_key="total")
    adata.obs["total"] = -1.0
    with pytest.raises(ValueError, match="total count"):
        SRSAVAE.setup_anndata(adata, depth_key="total")


def test_linear_view_follows_its_weight(data):
    vae = fitted(data, 2)
    before = vae.module.gene_view.log_variance.item()
    assert before != 0
    assert fitted(data, 1, linear_weight=0.0).module.gene_view is None
    assert fitted(data, 1, attention="none", residual="plain", prior="normal",
                  encoder="scvi").module.gene_view is None  # fmt: skip


def test_divergence_is_told(data):
    vae = SRSAVAE(registered(data), n_hidden=32)
    with pytest.raises(RuntimeError, match="lower learning rate"):
        vae.train(5, rng=0, plan_kwargs={"lr": 1e6}, batch_size=32, progress_bar=False)


def test_trains_on_one_thread_and_leaves_the_number_as_found(data):
    seen, before = [], torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        vae = SRSAVAE(registered(data), n_hidden=16)
        tick = EpochCounter([lambda: seen.append(torch.get_num_threads())])
        vae.train(1, rng=0, progress_bar=False, callbacks=[tick])
        assert (seen, torch.get_num_threads()) == ([1], 2)
        vae.get_latent_representation()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_fewer_cells_are_encoded_at_a_time_where_genes_are_many(monkeypatch):
    adata = immune_mixture(60, n_genes=150)
    adata.X = adata.X.toarray()
    SRSAVAE.setup_anndata(adata)
    vae = SRSAVAE(adata)
    vae.train(max_epochs=1, progress_bar=False)
    whole = vae.get_latent_representation()
    sizes = []
    make = vae._make_data_loader

    def making(*args, batch_size=None, **kwargs):
        sizes.append(batch_size)
        return make(*args, batch_size=batch_size, **kwargs)

    monkeypatch.setattr(vae, "_make_data_loader", making)
    monkeypatch.setattr(_srsa_methods, "ENCODING_CELLS", (7, 20))
    for values, size in ((150 * 50, 20), (150 * 11, 11), (150, 7)):
        monkeypatch.setattr(_srsa_methods, "ENCODING_VALUES", values)
        np.testing.assert_allclose(vae.get_latent_representation(), whole, atol=1e-5)
        assert vae.get_attention().shape[0] == 60
        assert sizes == [size, size]
        sizes.clear()
