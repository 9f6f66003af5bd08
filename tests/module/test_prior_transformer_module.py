"""What the network lets a gene hear, and what a cell's embedding is made of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from torch.nn import functional as F

from sctools.model._prior_start import principal_start
from sctools.module import EdgeIndex, PriorTransformerModule
from sctools.module._prior_transformer_module import CLIP

N_GENES, N_OBS, N_LABELS = 24, 9, 3
SIZES = {"n_hidden": 8, "n_heads": 2, "n_layers": 2}

# 0 → 1 → 2 → 3 → 4, a fork 5 → 2, a cycle 6 ⇄ 7, and 8 apart from all; the rest are random.
CHAIN = [(0, 1), (1, 2), (2, 3), (3, 4), (5, 2), (6, 7), (7, 6)]


def edges():
    rng = np.random.default_rng(0)
    more = {tuple(rng.choice(np.arange(9, N_GENES), 2, replace=False)) for _ in range(30)}
    ends = np.array([*CHAIN, *sorted(more)])
    return ends[:, 0], ends[:, 1], rng.choice([-1.0, 0.0, 1.0], len(ends))


def module(*, trained=True, **kwargs):
    """A module with random parameters: at the start, much of it is zero."""
    torch.manual_seed(0)
    found = PriorTransformerModule(EdgeIndex(*edges(), N_GENES), N_LABELS, **{**SIZES, **kwargs})
    if trained:
        with torch.no_grad():
            for parameter in found.parameters():
                parameter.copy_(torch.randn(parameter.shape) * 0.5)
            found.center.copy_(torch.rand(N_GENES))
    return found.eval()


@pytest.fixture(autouse=True)
def _torch_state():
    state = torch.random.get_rng_state()
    yield
    torch.random.set_rng_state(state)


def values(n_obs=N_OBS):
    rng = np.random.default_rng(1)
    found = np.log1p(rng.poisson(1.0, (n_obs, N_GENES)))
    return torch.from_numpy(found.astype(np.float32))


def ancestors(gene, n_hops):
    source, target, _ = edges()
    found = {gene}
    for _ in range(n_hops):
        found |= set(source[np.isin(target, list(found))])
    return found


@torch.no_grad()
def changed(network, gene):
    """Genes whose states change with the value of ``gene``, and the change of the embedding."""
    before = network.encode(values())
    other = values()
    other[:, gene] += 1.5
    after = network.encode(other)
    same = (before.states == after.states).all(2).all(0)
    return set(torch.nonzero(~same).flatten().tolist()), before, after


# ------------------------------------------------------------------------- what a gene can hear


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_a_gene_hears_its_ancestors_and_nobody_else(n_layers):
    network = module(n_layers=n_layers)
    for gene in range(N_GENES):
        hearers = {g for g in range(N_GENES) if gene in ancestors(g, n_layers)}
        found, before, after = changed(network, gene)
        assert found == hearers
        assert not torch.equal(before.latent, after.latent)


def test_the_chain_by_name():
    network = module()
    assert changed(network, 0)[0] == {0, 1, 2}
    assert changed(network, 5)[0] == {5, 2, 3}
    assert changed(network, 6)[0] == {6, 7}
    assert changed(network, 8)[0] == {8}


def test_hidden_values_are_not_told():
    """Neither to the gene itself, nor by the gene to others."""
    network = module()
    masked = torch.zeros(N_OBS, N_GENES, dtype=torch.bool)
    masked[:, 0] = True
    other = values()
    other[:, 0] += 1.5
    with torch.no_grad():
        one, two = (network.encode(v, masked) for v in (values(), other))
        assert torch.equal(one.states, two.states)
        assert not torch.equal(one.states, network.encode(values()).states)


@pytest.mark.parametrize("penalty", [0.0, 4.0])
def test_dense_transformers_hear_all(penalty):
    found, _, _ = changed(module(penalty=penalty), 8)
    assert found == set(range(N_GENES))


def test_cells_do_not_hear_each_other():
    network = module()
    with torch.no_grad():
        together, alone = network.encode(values()), network.encode(values()[3:4])
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one[3:4], other, rtol=0, atol=1e-6)


# -------------------------------------------------------------------------------- kinds of priors


def test_without_penalty_it_is_a_standard_transformer():
    """Which knows no network: written out here with none."""
    network = module(penalty=0.0)
    with torch.no_grad():
        for layer in network.layers:  # to be seen if they did anything
            layer.edge_bias.fill_(7.0)
            layer.kind_bias.normal_()
        x = values()
        centred = ((x - network.center) * network.scale).clamp(-CLIP, CLIP)
        tokens = network.tokens(x, centred)
        for layer in network.layers:
            normed = layer.norm(tokens)
            q, k, v = (
                part.view(N_OBS, N_GENES, 2, -1)
                for part in (layer.query(normed), layer.key(normed), layer.value(tokens))
            )
            logits = torch.einsum("bghd,bfhd->bhgf", q, k) / 2
            logits = logits + torch.einsum("bf,h->bhf", centred, layer.abundance)[:, :, None]
            weights = torch.softmax(logits, dim=-1)
            mixed = torch.einsum("bhgf,bfhd->bghd", weights, v).flatten(2)
            tokens = tokens + layer.output(mixed)
            if layer.feed_forward is not None:
                tokens = tokens + layer.feed_forward(tokens)
        torch.testing.assert_close(network.encode(x).states, tokens, rtol=1e-5, atol=1e-5)


def test_a_huge_penalty_is_the_hard_prior():
    hard, soft = module(), module(penalty=1e4)
    soft.load_state_dict(hard.state_dict())
    with torch.no_grad():
        one, other = hard.encode(values()), soft.encode(values())
    for name in ("latent", "read_out", "attention", "states"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=1e-5)


def summed(attention, index):
    shape = (len(attention), index.n_genes)
    return torch.zeros(shape).index_add(1, index.target, attention)


@pytest.mark.parametrize(("penalty", "whole"), [(None, True), (1e4, True), (0.0, False)])
def test_attention_along_edges(penalty, whole):
    network = module(penalty=penalty)
    with torch.no_grad():
        attention = network.encode(values()).attention
    assert attention.shape == (N_OBS, len(network.index.kind))
    total = summed(attention, network.index)
    if whole:
        torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-5)
    else:  # most of it is off the network
        assert total.max() < 0.999
        assert (attention > 0).all()


def test_attention_follows_how_much_of_a_regulator_there_is():
    """Where a gene's regulators are alike in all else: written out for one with two of them."""
    network = module(trained=False, n_layers=1)
    layer = network.layers[0]
    with torch.no_grad():
        layer.query.weight.zero_()
        layer.query.bias.zero_()
        layer.abundance.copy_(torch.tensor([0.5, -1.0]))
        x = values()
        masked = torch.zeros(x.shape, dtype=torch.bool)
        masked[4:, 5] = True
        found = network.encode(x, masked).attention
    amount = x.masked_fill(masked, 0.0)  # centre 0, scale 1
    members = torch.tensor([1, 5, 2])  # of gene 2: regulators 1 and 5, and itself
    heads = [torch.softmax(rate * amount[:, members], dim=1) for rate in (0.5, -1.0)]
    wanted = torch.stack(heads).mean(0)
    source, target = network.index.source, network.index.target
    for place, gene in enumerate(members):
        edge = torch.nonzero((source == gene) & (target == 2)).item()
        torch.testing.assert_close(found[:, edge], wanted[:, place], rtol=0, atol=1e-6)


def test_dense_attention_is_not_kept_in_training():
    network = module(penalty=4.0).train()
    assert network.encode(values()).attention is None
    assert module().train().encode(values()).attention is not None


@pytest.mark.parametrize("penalty", [None, 4.0, 0.0])
def test_the_read_out_sums_to_one(penalty):
    with torch.no_grad():
        found = module(penalty=penalty).encode(values()).read_out
    assert found.shape == (N_OBS, N_GENES)
    torch.testing.assert_close(found.sum(1), torch.ones(N_OBS), rtol=0, atol=1e-5)
    assert (found >= 0).all()
    assert found.std() > 0.001


def test_the_order_of_edges_changes_nothing():
    source, target, sign = edges()
    order = np.random.default_rng(5).permutation(len(source))
    shuffled = EdgeIndex(source[order], target[order], sign[order], N_GENES)
    network = module()
    for name in ("source", "target", "kind", "first"):
        assert torch.equal(getattr(shuffled, name), getattr(network.index, name))


# ------------------------------------------------------------------------------------- the loss


def forward(network, labels, n_obs=N_OBS):
    tensors = {"values": values(n_obs), "labels": torch.as_tensor(labels)}
    _, generated, losses = network(tensors)
    return generated["logits"], losses


def test_cross_entropy_of_labelled_cells_only():
    network = module()
    network.class_weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
    labels = np.array([0, 1, 2, -1, -1, 2, 1, 0, -1])
    logits, losses = forward(network, labels)
    known = labels >= 0
    weight = network.class_weight[labels[known]]
    each = -torch.log_softmax(logits[known], 1)[torch.arange(known.sum()), labels[known]]
    torch.testing.assert_close(losses.loss, (weight * each).sum() / weight.sum())
    other = labels.copy()
    other[1] = 0
    assert forward(network, other)[1].loss != losses.loss


@pytest.mark.parametrize("weight", [0.0, 10.0])
def test_a_batch_without_any_label_trains(weight):
    network = module(mask_rate=0.3, reconstruction_weight=weight).train()
    _, losses = forward(network, np.full(N_OBS, -1))
    assert torch.isfinite(losses.loss)
    losses.loss.backward()
    slopes = [p.grad for p in network.parameters() if p.grad is not None]
    assert all(torch.isfinite(slope).all() for slope in slopes)
    assert (losses.loss > 0) == (weight > 0)
    assert losses.extra_metrics["cross_entropy"].item() == 0.0


def test_error_of_hidden_genes():
    network = module(mask_rate=0.4, reconstruction_weight=3.0).train()
    torch.manual_seed(1)
    inferred = network.inference(values())
    masked = inferred["masked"]
    assert 0.2 < masked.float().mean() < 0.6
    tensors = {"values": values(), "labels": torch.full((N_OBS,), -1)}
    generated = network.generative(inferred["latent"])
    loss = network.loss(tensors, inferred, generated).loss
    guess = (inferred["states"] * network.decoder).sum(2)
    centred = ((values() - network.center) * network.scale).clamp(-CLIP, CLIP)
    torch.testing.assert_close(loss, 3.0 * F.mse_loss(guess[masked], centred[masked]))
    assert network.eval().inference(values())["masked"] is None


def test_every_parameter_learns():
    network = module(mask_rate=0.3, reconstruction_weight=1.0).train()
    forward(network, np.arange(N_OBS) % N_LABELS)[1].loss.backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_gradients_of_the_whole_module_in_double_precision():
    """Against finite differences, through layers, norms and read-out."""
    network = module(dropout_rate=0.0).double().eval()
    x, labels = values(3).double(), torch.tensor([0, 1, 2])

    def loss():
        return F.cross_entropy(network.classifier(network.encode(x).latent), labels)

    loss().backward()
    rng = np.random.default_rng(0)
    for name, parameter in network.named_parameters():
        if name == "decoder" or name == "tokens.hidden":
            continue
        place = tuple(rng.integers(n) for n in parameter.shape)
        with torch.no_grad():
            ends = []
            for step in (1e-5, -2e-5):
                parameter[place] += step
                ends.append(loss())
            parameter[place] += 1e-5
        slope = (ends[0] - ends[1]) / 2e-5
        torch.testing.assert_close(parameter.grad[place], slope, rtol=1e-4, atol=1e-8, msg=name)


# ------------------------------------------------------------------------------------- the start


def started(n_obs=60):
    x = values(n_obs)
    network = module(trained=False)
    start = principal_start(csr_matrix(x.numpy()), SIZES["n_hidden"], 0)
    network.start_from(*start)
    return network, x, start


def embedding(network, x):
    """Before the batch norm."""
    with torch.no_grad():
        return network.read_out(network.encode(x).states)[0].double().numpy()


@pytest.mark.parametrize("heard", [False, True])
def test_the_embedding_starts_linear_in_expression(heard):
    """Exactly where genes hear only themselves; nearly, with the little that regulators add."""
    network, x, start = started(200)
    if not heard:
        with torch.no_grad():
            for layer in network.layers:
                layer.output.weight.zero_()
    found = embedding(network, x)
    scores = ((x.numpy() - start.center) * start.scale) @ start.loadings.T
    assert np.abs((x.numpy() - start.center) * start.scale).max() < CLIP
    design = np.c_[x.numpy(), np.ones(len(x))].astype(np.float64)
    fit = np.linalg.lstsq(design[:150], found[:150], rcond=None)[0]
    left = design[150:] @ fit - found[150:]
    assert np.abs(left).max() < (0.05 if heard else 1e-5) * found.std()
    # All principal components are in it.
    fit = np.linalg.lstsq(np.c_[found, np.ones(len(x))], scores, rcond=None)[0]
    share = 1 - (np.c_[found, np.ones(len(x))] @ fit - scores).var(0) / scores.var(0)
    assert share.min() > (0.9 if heard else 0.9999)


def test_means_scale_and_directions():
    network, _, start = started()
    np.testing.assert_allclose(network.center, start.center, rtol=1e-6)
    assert float(network.scale) == pytest.approx(start.scale)
    directions = network.tokens.direction.detach().numpy()
    size = np.sqrt(N_GENES / SIZES["n_hidden"])
    np.testing.assert_allclose(directions, start.loadings.T * size, rtol=1e-5, atol=1e-6)
    assert torch.equal(network.decoder, network.tokens.direction)


def test_principal_start_finds_principal_components():
    x = values(80).double().numpy()
    x[:, 3] = 0.0
    start = principal_start(csr_matrix(x), 5, 0)
    np.testing.assert_allclose(start.center, x.mean(0))
    assert start.scale == pytest.approx(1 / np.sqrt(x.var(axis=0).mean()))
    _, _, axes = np.linalg.svd(x - x.mean(0), full_matrices=False)
    overlap = np.abs((start.loadings * axes[:5]).sum(1))
    np.testing.assert_allclose(overlap, 1.0, atol=1e-6)
    largest = np.abs(start.loadings).argmax(1)
    assert (start.loadings[np.arange(5), largest] > 0).all()


def test_principal_start_where_nothing_varies():
    for n_obs, value in ((6, 1.0), (40, np.float32(0.7)), (25, np.float32(0.7))):
        start = principal_start(csr_matrix(np.full((n_obs, 20), value)), 3, 0)
        assert start.scale == 1.0
        assert start.loadings.shape == (0, 20)
    few = principal_start(csr_matrix(values(3).numpy()), 8, 0)
    assert few.loadings.shape == (2, N_GENES)
    network = module(trained=False)
    for found in (few, principal_start(csr_matrix(np.ones((6, N_GENES))), 3, 0)):
        network.start_from(*found)
        assert torch.isfinite(network.encode(values()).latent).all()
