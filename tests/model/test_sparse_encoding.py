"""Cells are encoded from sparse counts as they are: equal to dense, and never made dense."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import sparse

from sctools.model import SRSAVAE
from sctools.module._linear_view import log_normalized

from .. import _vaes

CASES = {
    "plain": ({}, {}),
    "batches": ({"batch_key": "batch"}, {}),
    "covariates": (
        {
            "batch_key": "batch",
            "categorical_covariate_keys": ["lane"],
            "continuous_covariate_keys": ["share"],
        },
        {"encode_covariates": True, "n_layers": 2, "deeply_inject_covariates": True},
    ),
    "depth": ({"depth_key": "depth"}, {"attention": "induced", "prior": "normal"}),
    "bank": ({"size_factor_key": "depth"}, {"attention": "minibatch", "n_layers": 2}),
    "own library": ({}, {"use_observed_lib_size": False}),
    "features": ({}, {"attention": "features"}),
    "scvi": (
        {},
        {"encoder": "scvi", "attention": "none", "residual": "plain", "prior": "normal"},
    ),
}


def cells(seed=0):
    adata = _vaes.cells(rng=seed)
    rng = np.random.default_rng(seed)
    adata.obs["lane"] = rng.choice(["one", "two", "three"], adata.n_obs)
    adata.obs["share"] = rng.normal(size=adata.n_obs)
    adata.obs["depth"] = np.asarray(adata.X.sum(axis=1)).ravel() * 1.5
    adata.X = sparse.csr_matrix(adata.X)
    return adata


def trained(setup, options):
    adata = cells()
    SRSAVAE.setup_anndata(adata, **setup)
    vae = SRSAVAE(adata, n_hidden=32, **options)
    vae.train(max_epochs=2, batch_size=64, rng=0, progress_bar=False)
    return vae


@pytest.fixture(scope="module", params=list(CASES))
def model(request):
    return request.param, trained(*CASES[request.param])


def answers(vae, adata, **kwargs):
    mean, variance = vae.get_latent_representation(adata, return_dist=True, **kwargs)
    found = [vae.get_latent_representation(adata, **kwargs), mean, variance]
    if vae.module.block is not None:
        found.append(vae.get_attention(adata, **kwargs))
    if vae.module.prior is not None:
        found.append(vae.get_components(adata, **kwargs))
    return found


def assert_equal(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-5)


def test_equal_to_dense(model):
    _, vae = model
    query = cells(seed=1)
    dense = query.copy()
    dense.X = dense.X.toarray()
    assert_equal(answers(vae, query), answers(vae, dense))


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_batches_change_nothing(model, batch_size):
    _, vae = model
    query = cells(seed=1)
    assert_equal(answers(vae, query, batch_size=batch_size), answers(vae, query))


def test_what_is_made_dense(model, monkeypatch):
    """Nothing, unless each cell's genes are tokens or a library size is encoded."""
    name, vae = model
    made = []
    whole = torch.Tensor.to_dense
    monkeypatch.setattr(
        torch.Tensor, "to_dense", lambda self, *args: made.append(len(self)) or whole(self, *args)
    )
    to_array = sparse.csr_matrix.toarray
    monkeypatch.setattr(
        sparse.csr_matrix,
        "toarray",
        lambda self, *args, **kwargs: made.append(self.shape) or to_array(self, *args, **kwargs),
    )
    answers(vae, cells(seed=1))
    assert bool(made) == (name in ("features", "own library", "scvi"))


def test_counts_that_are_there_twice_are_summed():
    vae = trained(*CASES["batches"])
    query = cells(seed=1)
    x = query.X
    half = sparse.csr_matrix(
        (np.repeat(x.data, 2) * np.tile([1, 0], x.nnz), np.repeat(x.indices, 2), x.indptr * 2),
        shape=x.shape,
    )
    half.data[:] = np.where(np.arange(half.nnz) % 2, 1, half.data - 1)
    assert not half.has_canonical_format
    twice = query.copy()
    twice.X = half
    assert_equal(answers(vae, twice), answers(vae, query))


def test_weights_are_read_anew():
    """A model that is trained on between two calls answers by its new weights."""
    vae = trained(*CASES["batches"])
    before = vae.get_latent_representation()
    vae.train(max_epochs=2, rng=1, progress_bar=False)
    after = vae.get_latent_representation()
    assert np.abs(after - before).max() > 1e-3
    dense = vae.adata.copy()
    dense.X = dense.X.toarray()
    np.testing.assert_allclose(after, vae.get_latent_representation(dense), rtol=1e-4, atol=2e-5)


def test_sparse_batches_outside_of_reading_are_made_dense():
    vae = trained(*CASES["batches"])
    x = vae.adata.X[:20]
    batch = torch.zeros(20, 1)
    tensor = torch.sparse_csr_tensor(
        torch.from_numpy(x.indptr), torch.from_numpy(x.indices), torch.from_numpy(x.data), x.shape
    )
    with torch.inference_mode():
        found = vae.module.inference(tensor.float(), batch)
        expected = vae.module.inference(tensor.to_dense().float(), batch)
        with vae.module.reading_csr() as reads:
            assert reads
            sparse_ = vae.module.inference(tensor.float(), batch)
    assert_equal([found["qz"].loc], [expected["qz"].loc])
    assert_equal([sparse_["qz"].loc], [expected["qz"].loc])
    np.testing.assert_allclose(sparse_["library"], expected["library"], rtol=1e-6)
    values = log_normalized(tensor.to_dense().float(), None)
    np.testing.assert_allclose(expected["log_normalized"], values)
    vae.module.train()
    with vae.module.reading_csr() as reads:
        assert not reads


def test_nothing_is_warned_of():
    """In a fresh process: torch gives its notices on sparse tensors once."""
    code = (
        "import warnings\n"
        "from tests.model.test_sparse_encoding import CASES, cells, trained\n"
        "vae = trained(*CASES['batches'])\n"
        "warnings.simplefilter('error')\n"
        "vae.get_latent_representation()\n"
        "vae.get_latent_representation(cells(seed=1))\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
