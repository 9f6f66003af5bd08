"""The block against a plain implementation, and what every kind of context promises."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from sctools.module._attention_context import MOMENTUM
from sctools.module._residual_attention import (
    ATTENTION,
    START,
    ResidualAttention,
    mean_entropy,
    usage_entropy,
)

N_HIDDEN, N_GENES, N_TOKENS = 16, 10, 5
ATTENDING = [kind for kind in ATTENTION if kind != "none"]


def block(attention="memory", residual="scaled", n_heads=2, n_proteins=0, seed=0):
    torch.manual_seed(seed)
    return ResidualAttention(
        N_HIDDEN,
        attention=attention,
        residual=residual,
        n_tokens=N_TOKENS,
        n_heads=n_heads,
        n_genes=N_GENES,
        n_proteins=n_proteins,
    )


def inputs(n=7, n_features=N_GENES, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(n, N_HIDDEN, generator=generator),
        torch.rand(n, n_features, generator=generator),
    )


def fed(layer):
    """Let contexts that remember see some cells, then go to inference."""
    if layer.attention != "none":
        layer.train()
        layer(*inputs(n=9, seed=5))
    return layer.eval()


@pytest.mark.parametrize("residual", ["scaled", "plain", "none"])
def test_memory_attention_is_that_of_torch(residual):
    layer = block(residual=residual).eval()
    if residual == "scaled":
        torch.nn.init.normal_(layer.alpha)
        torch.nn.init.normal_(layer.beta)
    reference = torch.nn.MultiheadAttention(N_HIDDEN, 2, bias=False, batch_first=True)
    with torch.no_grad():
        reference.in_proj_weight.copy_(
            torch.cat([layer.query.weight, layer.key.weight, layer.value.weight])
        )
        reference.out_proj.weight.copy_(layer.out.weight)
    hidden, features = inputs()
    context = layer.context_norm(layer.context.tokens).expand(len(hidden), -1, -1)
    attended, weights = reference(
        layer.norm(hidden)[:, None], context, context, average_attn_weights=False
    )
    attended = attended[:, 0] + layer.out.bias
    expected = {
        "scaled": lambda: layer.alpha * hidden + layer.beta * attended,
        "plain": lambda: hidden + attended,
        "none": lambda: attended,
    }[residual]()
    torch.testing.assert_close(layer(hidden, features), expected)
    torch.testing.assert_close(layer.pop_weights(), weights[:, :, 0])


def test_weights_are_handed_over_once():
    layer = block()
    layer(*inputs())
    assert layer.pop_weights() is not None
    assert layer.pop_weights() is None
    copy.deepcopy(layer)  # an attention left inside could not be copied: it has a gradient


@pytest.mark.parametrize("attention", ATTENTION)
def test_a_cell_is_encoded_on_its_own(attention):
    layer = fed(block(attention))
    hidden, features = inputs()
    whole = layer(hidden, features)
    assert whole.std(dim=0).min() > 0.01
    alone = torch.cat([layer(hidden[i : i + 1], features[i : i + 1]) for i in range(len(hidden))])
    torch.testing.assert_close(alone, whole, rtol=0, atol=1e-6)
    order = torch.tensor([3, 0, 6])
    torch.testing.assert_close(layer(hidden[order], features[order]), whole[order])


@pytest.mark.parametrize("attention", ATTENDING)
def test_attention_sums_to_one(attention):
    layer = fed(block(attention))
    layer(*inputs())
    weights = layer.pop_weights()
    n_tokens = layer.n_tokens
    assert weights.shape == (7, 2, n_tokens)
    torch.testing.assert_close(weights.sum(-1), torch.ones(7, 2))


@pytest.mark.parametrize("attention", ATTENDING)
def test_every_parameter_learns(attention):
    layer = block(attention).train()
    hidden, features = inputs()
    layer(hidden, features).square().sum().backward()
    for name, parameter in layer.named_parameters():
        if name == "context.proteins":  # there are none
            continue
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_scales_start_near_no_attention():
    layer = block()
    torch.testing.assert_close(layer.alpha, torch.ones(N_HIDDEN))
    torch.testing.assert_close(layer.beta, torch.full((N_HIDDEN,), START))
    hidden, features = inputs()
    change = (layer(hidden, features) - hidden).norm() / hidden.norm()
    assert 0 < change < 0.2


def test_without_attention_the_plain_residual_changes_nothing():
    hidden, features = inputs()
    assert block("none", "plain")(hidden, features) is hidden
    scaled = block("none", "scaled")
    torch.nn.init.constant_(scaled.alpha, 2.0)
    torch.testing.assert_close(scaled(hidden, features), 2 * hidden)


def test_features_of_other_cells_and_groups_do_not_matter():
    layer = block("features", n_proteins=2).eval()
    hidden, features = inputs(n_features=N_GENES + 2)
    tokens = layer.context(hidden, features, False)
    assert tokens.shape == (7, N_TOKENS + 2, N_HIDDEN)
    changed = features.clone()
    changed[0, 3] += 1  # gene 3 is in group 3; protein 1 has the last token
    changed[0, -1] += 1
    moved = (layer.context(hidden, changed, False) - tokens).abs().amax(dim=-1) > 0
    assert moved.nonzero().tolist() == [[0, 3], [0, N_TOKENS + 1]]


def test_feature_tokens_hold_each_gene_once():
    layer = block("features").eval()
    hidden, _ = inputs(n=1)
    base = layer.context(hidden, torch.zeros(1, N_GENES), False)
    for gene in range(N_GENES):
        features = torch.zeros(1, N_GENES)
        features[0, gene] = 1.0
        change = layer.context(hidden, features, False) - base
        place = gene // N_TOKENS
        expected = layer.context.genes[gene % N_TOKENS, place]
        torch.testing.assert_close(change[0, gene % N_TOKENS], expected)
        assert change.abs().sum(-1).count_nonzero() == 1


def test_induced_tokens_average_over_batches():
    layer = block("induced").train()
    context = layer.context
    with torch.no_grad():
        first = context(inputs(seed=2)[0], None, True) - context.points
        torch.testing.assert_close(context.average, first)
        second = context(inputs(seed=3)[0], None, True) - context.points
        torch.testing.assert_close(context.average, (first + second) / 2)
        context.n_steps.fill_(10_000)
        before = context.average.clone()
        third = context(inputs(seed=4)[0], None, True) - context.points
        torch.testing.assert_close(context.average, MOMENTUM * before + (1 - MOMENTUM) * third)
        kept = context.average.clone()
        layer.eval()
        layer(*inputs(seed=6))
        assert torch.equal(context.average, kept)


def test_bank_keeps_the_newest_cells():
    context = block("minibatch").context
    cells = torch.arange(8.0)[:, None].expand(8, N_HIDDEN)
    context(cells[:3], None, True)
    torch.testing.assert_close(context(cells, None, False), cells[:3])
    context(cells[3:7], None, True)
    kept = sorted(context(cells, None, False)[:, 0].tolist())
    assert kept == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("attention", ["induced", "minibatch"])
def test_a_frozen_reference_keeps_its_context(attention):
    layer = fed(block(attention))
    before = {name: value.clone() for name, value in layer.named_buffers()}
    expected = layer(*inputs())
    layer.requires_grad_(False).train()
    torch.testing.assert_close(layer(*inputs()), expected)
    for name, value in layer.named_buffers():
        assert torch.equal(value, before[name]), name


def test_entropies():
    even = torch.full((4, 2, 8), 1 / 8)
    assert mean_entropy(even).item() == pytest.approx(1)
    assert usage_entropy(even).item() == pytest.approx(1)
    one = torch.nn.functional.one_hot(torch.tensor([[0, 1], [2, 3], [4, 5], [6, 7]]), 8).float()
    assert mean_entropy(one).item() == pytest.approx(0)
    assert usage_entropy(one).item() == pytest.approx(1)
    collapsed = torch.nn.functional.one_hot(torch.zeros(4, 2, dtype=torch.long), 8).float()
    assert usage_entropy(collapsed).item() == pytest.approx(0)
    half = torch.tensor([[[0.5, 0.5, 0, 0]]])
    assert mean_entropy(half).item() == pytest.approx(math.log(2) / math.log(4))


def test_a_token_that_nobody_uses_has_a_gradient():
    """Of weights that underflow to zero; the slope of the entropy is infinite there."""
    logits = torch.tensor([[[0.0, 1.0, -200.0]]]).repeat(4, 2, 1).requires_grad_()
    weights = logits.softmax(-1)
    assert (weights[..., 2] == 0).all()
    (usage_entropy(weights) + mean_entropy(weights.detach())).backward()
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[..., :2] != 0).all()
