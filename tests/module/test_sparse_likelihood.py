"""The likelihood at nonzeros against that of scvi-tools, values and gradients."""

from __future__ import annotations

import pytest
import torch
from scvi.distributions import NegativeBinomial

from sctools.module._sparse_likelihood import SparseNegativeBinomial


def gradients(cls, counts, mu, theta):
    mu, theta = mu.clone().requires_grad_(), theta.clone().requires_grad_()
    found = cls(mu=mu, theta=theta).log_prob(counts)
    found.square().sum().backward()
    return found.detach(), mu.grad, theta.grad


@pytest.mark.parametrize("rate", [0.0, 0.2, 30.0])
def test_values_and_gradients(rate, monkeypatch):
    torch.manual_seed(0)
    counts = torch.poisson(torch.full((6, 9), rate, dtype=torch.float64))
    mu = torch.rand(6, 9, dtype=torch.float64) * (rate + 0.1) + 1e-3
    theta = torch.rand(9, dtype=torch.float64) * 3 + 0.01
    reference = gradients(NegativeBinomial, counts, mu, theta)
    monkeypatch.setattr(NegativeBinomial, "log_prob", None)  # nothing is left to it
    fast = gradients(SparseNegativeBinomial, counts, mu, theta)
    for found, expected in zip(fast, reference, strict=True):
        assert expected.abs().max() > 0
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shapes", [((2, 6, 9), (9,)), ((6, 9), (6, 9)), ((6, 9), (1, 9))])
def test_other_shapes_are_left_to_scvi_tools(shapes):
    torch.manual_seed(0)
    counts = torch.poisson(torch.ones(6, 9))
    mu, theta = torch.rand(shapes[0]) + 0.1, torch.rand(shapes[1]) + 0.1
    found = SparseNegativeBinomial(mu=mu, theta=theta).log_prob(counts)
    torch.testing.assert_close(found, NegativeBinomial(mu=mu, theta=theta).log_prob(counts))
