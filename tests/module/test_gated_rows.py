"""The gated layer on CSR rows against the dense one, values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import nn

from sctools.module import PublishedNetwork, TrainablePublishedNetwork
from sctools.module._gated_rows import gated_rows

from .._scageclock import GENES, SIZES

TIGHT = {torch.float32: 1e-5, torch.float64: 1e-12}


def problem(dtype=torch.float64, n_rows=7, n_genes=40, width=5, seed=0):
    rng = np.random.default_rng(seed)
    x = sparse.random(n_rows, n_genes, 0.3, format="csr", rng=rng)
    x = x.astype(str(dtype).removeprefix("torch."))

    def drawn(*shape):
        return torch.from_numpy(rng.normal(size=shape)).to(dtype).requires_grad_()

    return x, drawn(n_rows, 3), drawn(n_genes + 3, width), drawn(n_genes + 3)


def dense(embedded, x, table, gate):
    rows = torch.from_numpy(x.toarray()).to(table)
    return (torch.cat([embedded, rows], dim=1) * gate) @ table


@pytest.mark.parametrize("dtype", TIGHT)
@pytest.mark.parametrize("n_rows", [1, 7])
def test_values_and_gradients_are_those_of_the_dense_layer(dtype, n_rows):
    x, *learned = problem(dtype, n_rows)
    learned[2].data[4] = 0.0  # a closed gate has a gradient all the same
    found = gated_rows(learned[0], x, *learned[1:])
    expected = dense(learned[0], x, *learned[1:])
    torch.testing.assert_close(found, expected, rtol=TIGHT[dtype], atol=TIGHT[dtype])
    weights = torch.randn(expected.shape, dtype=dtype)
    ours = torch.autograd.grad((found * weights).square().sum(), learned)
    theirs = torch.autograd.grad((expected * weights).square().sum(), learned)
    for name, a, b in zip(("embedded", "table", "gate"), ours, theirs, strict=True):
        assert b.abs().max() > 0
        assert float((a - b).norm() / b.norm()) < TIGHT[dtype], name
    assert theirs[2][4] != 0


def test_numeric_gradients():
    x, *learned = problem(n_rows=3, n_genes=6)
    learned = [part.detach().requires_grad_() for part in learned]
    assert torch.autograd.gradcheck(
        lambda embedded, table, gate: gated_rows(embedded, x, table, gate), learned
    )


def test_rows_without_values():
    x, embedded, table, gate = problem()
    empty = sparse.csr_matrix(x.shape, dtype=x.dtype)
    found = gated_rows(embedded, empty, table, gate)
    torch.testing.assert_close(found, (embedded * gate[:3]) @ table[:3])
    found.sum().backward()
    assert (table.grad[3:] == 0).all()


def gradients(network, loss):
    loss.backward()
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad
        for name, p in network.named_parameters()
    }


@pytest.mark.parametrize("generation", GENES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_training_step_at_published_size_has_the_published_gradients(generation, dtype):
    """Relative to the norm of each, with dropout on: masks are drawn alike."""
    torch.manual_seed(0)
    network = PublishedNetwork(GENES[generation], SIZES, generation=generation).to(dtype)
    nn.init.normal_(network.feature_gate.weights, 1, 0.3)
    rng = np.random.default_rng(0)
    x = sparse.random(40, GENES[generation], 0.07, format="csr", rng=rng)
    x = x.astype(str(dtype).removeprefix("torch."))
    codes = torch.from_numpy(np.stack([rng.integers(0, n, 40) for n in SIZES], axis=1))
    age = torch.from_numpy(rng.uniform(20, 80, 40)).to(dtype)
    ours = TrainablePublishedNetwork(network)

    network.train()
    torch.manual_seed(1)
    expected = gradients(
        network, nn.functional.mse_loss(network(torch.from_numpy(x.toarray()), codes), age)
    )
    ours.train()
    torch.manual_seed(1)
    found = gradients(ours, nn.functional.mse_loss(ours(x, codes), age))
    assert (found.pop(f"network.{_projection(generation)}.weight") == 0).all()  # it is the table
    found[f"network.{_projection(generation)}.weight"] = found.pop("table").T
    tolerance = {torch.float32: 3e-6, torch.float64: 1e-12}[dtype]
    queries_and_keys = slice(0, 2 * 512)
    for name, gradient in expected.items():
        mine = found.pop(f"network.{name}")
        if "in_proj" in name:
            assert gradient[queries_and_keys].abs().max() < tolerance * gradient.abs().max()
            assert (mine[queries_and_keys] == 0).all()
        assert float((mine - gradient).norm()) <= tolerance * float(gradient.norm()), name
    assert not found


def _projection(generation):
    return {"0.1.2": "projection", "0.1.3": "projection_layer"}[generation]


def test_unknown_categories_are_the_mean_of_all():
    torch.manual_seed(0)
    network = PublishedNetwork(30, (2, 3, 2, 2), width=8, widths=(4, 3)).eval()
    trainable = TrainablePublishedNetwork(network).eval()
    x = sparse.random(5, 30, 0.3, format="csr", dtype=np.float32, rng=np.random.default_rng(0))
    codes = torch.tensor([[2, 3, 2, 2]] * 5)
    found = trainable(x, codes)
    embedded = torch.cat([e.weight.mean(dim=0) for e in network.embeddings]).expand(5, -1)
    u = torch.cat([embedded, torch.from_numpy(x.toarray())], dim=1)
    z = network.norm(network.projection_(network.feature_gate(u)))
    torch.testing.assert_close(found, network.head_(network.attention(z)).squeeze(1))
