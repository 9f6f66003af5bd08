"""The mixture prior against densities of torch and sums by hand."""

from __future__ import annotations

import torch
from torch.distributions import Normal, kl_divergence

from sctools.module._mixture_prior import MixturePrior


def posterior(n=6, n_latent=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    loc = torch.randn(n, n_latent, generator=generator)
    return Normal(loc, torch.rand(n, n_latent, generator=generator) + 0.1)


def standard(n_components=4):
    prior = MixturePrior(n_components, 3)
    with torch.no_grad():
        prior.mean.zero_()
    return prior


def test_equal_components_are_the_standard_normal():
    z = torch.randn(5, 3)
    expected = Normal(0, 1).log_prob(z).sum(-1)
    torch.testing.assert_close(standard().distribution().log_prob(z), expected)


def test_kl_is_estimated_without_bias():
    torch.manual_seed(0)
    qz, prior = posterior(), standard()
    draws = torch.stack([prior.kl(qz, qz.rsample()) for _ in range(4000)])
    expected = kl_divergence(qz, Normal(0, 1)).sum(-1)
    error = draws.std(0) / 4000**0.5
    assert ((draws.mean(0) - expected).abs() < 4 * error).all()
    assert error.max() < 0.05


def test_kl_of_several_samples():
    qz, prior = posterior(), MixturePrior(4, 3)
    z = qz.rsample((2,))
    several = prior.kl(qz, z)
    assert several.shape == (2, 6)
    torch.testing.assert_close(several[1], prior.kl(qz, z[1]))


def test_responsibilities():
    prior = MixturePrior(2, 3)
    with torch.no_grad():
        prior.mean.copy_(torch.tensor([[5.0, 0, 0], [-5.0, 0, 0]]))
        prior.logits.copy_(torch.tensor([0.0, 1.0]))
    qz = Normal(torch.tensor([[5.0, 0, 0], [-5.0, 0, 0], [0.0, 0, 0]]), torch.full((3, 3), 0.2))
    found = prior.responsibilities(qz)
    torch.testing.assert_close(found.sum(-1), torch.ones(3))
    assert found[0, 0] > 0.99
    assert found[1, 1] > 0.99
    # Half way, the weights of the components decide.
    torch.testing.assert_close(found[2], prior.logits.softmax(0))


def test_uncertain_cells_prefer_wide_components():
    prior = MixturePrior(2, 1)
    with torch.no_grad():
        prior.mean.zero_()
        prior.log_scale.copy_(torch.tensor([[-1.0], [1.0]]))
    sure, unsure = Normal(torch.zeros(1, 1), 0.1), Normal(torch.zeros(1, 1), 2.0)
    assert prior.responsibilities(sure)[0, 0] > 0.5
    assert prior.responsibilities(unsure)[0, 0] < 0.5


def test_a_component_cannot_collapse():
    prior = MixturePrior(2, 3)
    with torch.no_grad():
        prior.mean.zero_()
        prior.log_scale.fill_(-200.0)
    qz = Normal(torch.zeros(1, 3), 0.01)
    assert torch.isfinite(prior.kl(qz, torch.zeros(1, 3))).all()
    assert prior.distribution().log_prob(torch.zeros(3)) < 10
    torch.testing.assert_close(prior.responsibilities(qz).sum(), torch.ones(()))
