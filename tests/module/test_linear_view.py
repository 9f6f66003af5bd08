"""The linear view against densities of torch; normalisation against scanpy."""

from __future__ import annotations

import anndata as ad
import numpy as np
import scanpy as sc
import torch
from torch.distributions import Normal

from sctools.module._linear_view import LinearView, centred_logs, log_normalized


def test_likelihood_is_that_of_a_normal():
    torch.manual_seed(0)
    view = LinearView(3, 7, [2, 4], 1)
    with torch.no_grad():
        view.log_variance.fill_(0.8)
    z, values = torch.randn(5, 3), torch.randn(5, 7)
    batch, plate = torch.randint(2, (5, 1)), torch.randint(4, (5, 1))
    age = torch.randn(5, 1)
    found = view(values, z, batch, age, plate)
    layer = view.layers.fc_layers[0][0]
    one_hot = torch.nn.functional.one_hot
    covariates = torch.cat([one_hot(batch[:, 0], 2), one_hot(plate[:, 0], 4)], 1)
    mean = torch.cat([z, age, covariates], 1) @ layer.weight.T + layer.bias
    density = Normal(mean, torch.tensor(0.8).exp().sqrt()).log_prob(values).sum(-1)
    constant = 7 * 0.5 * np.log(2 * np.pi)
    torch.testing.assert_close(found, -density - constant)


def test_it_finds_principal_components():
    """Trained alone, the view spans what PCA spans, and learns the variance left over."""
    torch.manual_seed(0)
    loadings = torch.linalg.qr(torch.randn(20, 2))[0] * torch.tensor([5.0, 3.0])
    values = torch.randn(400, 2) @ loadings.T + 0.5 * torch.randn(400, 20)
    view = LinearView(2, 20, [0], 0)
    encoder = torch.nn.Linear(20, 2)
    optimizer = torch.optim.Adam([*view.parameters(), *encoder.parameters()], lr=0.03)
    for _ in range(400):
        loss = view(values, encoder(values), torch.zeros(400, 1), None, None).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = torch.linalg.qr(view.layers.fc_layers[0][0].weight.detach())[0]
    expected = torch.linalg.svd(values - values.mean(0))[2][:2]
    assert torch.linalg.svdvals(expected @ found).min() > 0.99
    assert abs(float(view.log_variance.exp()) - 0.25) < 0.05


def test_log_normalised_values_are_those_of_scanpy():
    rng = np.random.default_rng(0)
    counts = rng.poisson(2.0, (6, 9)).astype(np.float32)
    adata = ad.AnnData(counts.copy())
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    found = log_normalized(torch.from_numpy(counts))
    np.testing.assert_allclose(found, adata.X, rtol=1e-5)
    # Some genes only, with the depth over all of them.
    depth = torch.from_numpy(counts.sum(axis=1, keepdims=True))
    found = log_normalized(torch.from_numpy(counts[:, :4]), depth)
    np.testing.assert_allclose(found, adata.X[:, :4], rtol=1e-5)


def test_a_cell_without_counts_is_zero():
    assert torch.equal(log_normalized(torch.zeros(2, 3)), torch.zeros(2, 3))
    assert torch.equal(log_normalized(torch.zeros(2, 3), torch.zeros(2, 1)), torch.zeros(2, 3))


def test_centred_logs_do_not_depend_on_depth():
    counts = torch.tensor([[10.0, 1000.0, 100.0]])
    found = centred_logs(counts)
    torch.testing.assert_close(found.sum(-1), torch.zeros(1))
    torch.testing.assert_close(found, centred_logs(counts * 50), atol=0.15, rtol=0)
