from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy import sparse

from sctools.model._age_statistics import cap_values
from sctools.module import AgeClockModule, ClockPart, FoldedNetwork, FoldedPart, GatedNetwork
from sctools.module._gated_network import SelfAttention

PUBLISHED = {"n_hidden": 512, "n_heads": 8, "embedding_dim": 4}
PUBLISHED_CODES = [21, 664, 52, 3]


def random_part(n_genes, n_categories, n_members, network, *, plain=False, seed=0):
    """A part whose every number is random, with outputs that spread like ages in years.

    ``plain`` keeps identity scaling and no capping, as published clocks have it.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        part = ClockPart(torch.arange(n_genes), n_categories, n_members, network).eval()
    with torch.no_grad():
        for name, value in part.named_parameters():
            if "gate" in name:  # some closed, some negative, as l1 leaves them
                value.normal_(0.5, 1.0, generator=generator)
                value[..., ::5] = 0
            elif "norm" in name:
                value.normal_(1.0 if name.endswith("weight") else 0.0, 0.3, generator=generator)
            elif name.endswith("bias"):
                value.normal_(0, 0.1, generator=generator)
        if not plain:
            part.center.uniform_(0, 2, generator=generator)
            part.scale.uniform_(0.5, 3, generator=generator)
            part.cap.uniform_(1, 3, generator=generator)
    return part


def cells(n_cells, part, n_categories, density=0.07, seed=0):
    """CSR log values (capped) and covariate codes, unknown included."""
    rng = np.random.default_rng(seed)
    x = sparse.random(n_cells, len(part.genes), density, format="csr", rng=rng)
    x.data = rng.gamma(2.0, 0.8, len(x.data))
    x = cap_values(x.astype(np.float32), part.cap.numpy())
    codes = np.column_stack([rng.integers(0, n, n_cells) for n in n_categories])
    codes[0] = np.array(n_categories) - 1
    return x, torch.from_numpy(codes)


def csr_tensors(x):
    return (
        torch.from_numpy(x.indptr.astype(np.int64)),
        torch.from_numpy(x.indices.astype(np.int64)),
        torch.from_numpy(x.data),
    )


@torch.inference_mode()
def layered(part, x, codes, dtype):
    part = copy.deepcopy(part).to(dtype)
    return part(torch.from_numpy(x.toarray()).to(dtype), codes).double().numpy()


@torch.inference_mode()
def folded(part, x, codes):
    fold = FoldedPart(part).eval()
    return fold.outputs(fold.project(*csr_tensors(x), codes), codes).double().numpy()


def assert_equal_in_years(part, x, codes):
    exact = layered(part, x, codes, torch.float64)
    scale = 20 / exact.std()  # outputs spread by 20 years, as they have in use
    for found in (folded(part, x, codes), layered(part, x, codes, torch.float32)):
        assert found.shape == exact.shape
        np.testing.assert_allclose(scale * found, scale * exact, rtol=0, atol=1e-4)


@pytest.mark.parametrize("head", [(128,), (256, 128)])
def test_folded_equals_layered_in_the_published_layout(head):
    part = random_part(2000, PUBLISHED_CODES, 1, {**PUBLISHED, "head": head}, plain=True)
    x, codes = cells(60, part, PUBLISHED_CODES)
    assert_equal_in_years(part, x, codes)


@pytest.mark.parametrize("gate_per_type", [False, True])
@pytest.mark.parametrize("n_heads", [0, 4])
@pytest.mark.parametrize("head", [(), (64,), (32, 16)])
def test_folded_equals_layered_for_ensembles(gate_per_type, n_heads, head):
    n_categories = [4, 3]
    network = {"n_hidden": 64, "head": head, "n_heads": n_heads, "gate_per_type": gate_per_type}
    part = random_part(300, n_categories, 3, network)
    x, codes = cells(80, part, n_categories, density=0.2)
    assert_equal_in_years(part, x, codes)
    a, b, c = folded(part, x, codes)
    assert np.abs(a - b).max() > 1e-2
    assert np.abs(a - c).max() > 1e-2


def test_rows_without_values_are_what_their_covariates_say():
    part = random_part(50, [4], 2, {"n_hidden": 16, "head": (8,)})
    x = sparse.csr_matrix((6, 50), dtype=np.float32)
    codes = torch.tensor([[0], [1], [2], [3], [0], [1]])
    found = folded(part, x, codes)
    np.testing.assert_allclose(found, layered(part, x, codes, torch.float64), atol=1e-5)
    np.testing.assert_allclose(found[:, :2], found[:, 4:], atol=1e-6)
    assert np.ptp(found[0, :4]) > 1e-3


@pytest.mark.parametrize("gate_per_type", [False, True])
def test_mean_of_projections_is_the_projection_of_the_mean(gate_per_type):
    """What lets a donor's output come out of the blocks of its cells."""
    n_categories = [3]
    network = {"n_hidden": 32, "head": (16,), "gate_per_type": gate_per_type}
    part = random_part(200, n_categories, 2, network)
    x, codes = cells(40, part, n_categories, density=0.2)
    codes[:] = 1
    fold = FoldedPart(part).eval()
    with torch.inference_mode():
        projected = fold.project(*csr_tensors(x), codes)
        found = fold.finish(projected.double().mean(dim=0, keepdim=True).float(), codes[:1])
    mean = sparse.csr_matrix(x.toarray().mean(axis=0, keepdims=True))
    exact = layered(part, mean, codes[:1], torch.float64).mean(axis=0)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), exact, atol=1e-5)


def test_rows_stand_on_their_own():
    n_categories = [4, 3]
    part = random_part(150, n_categories, 2, {"n_hidden": 32, "head": (16,), "gate_per_type": True})
    x, codes = cells(30, part, n_categories, density=0.3)
    whole = folded(part, x, codes)
    order = np.random.default_rng(0).permutation(30)
    np.testing.assert_allclose(folded(part, x[order], codes[order]), whole[:, order], atol=1e-5)
    one_by_one = [folded(part, x[i], codes[[i]]) for i in range(30)]
    np.testing.assert_allclose(np.concatenate(one_by_one, axis=1), whole, atol=1e-5)


def test_values_are_centred_by_the_first_covariate_and_scaled():
    part = random_part(5, [3, 2], 1, {"n_hidden": 8})
    x, codes = torch.rand(4, 5), torch.tensor([[0, 1], [2, 0], [1, 1], [2, 1]])
    expected = (x - part.center[[0, 2, 1, 2]]) * part.scale
    torch.testing.assert_close(part.standardize(x, codes), expected)


def test_layers_are_those_of_the_formula():
    part = random_part(7, [3, 2], 1, {"n_hidden": 8, "head": (4,), "gate_per_type": True})
    net = part.members[0].double()
    x, codes = torch.rand(5, 7, dtype=torch.float64), torch.tensor([[0, 1], [2, 0], [1, 1]])
    x = x[:3]
    embedded = torch.cat([net.embeddings[k].weight[codes[:, k]] for k in (0, 1)], dim=1)
    u = torch.cat([embedded * net.covariate_gate, x * net.gate[codes[:, 0]]], dim=1)
    z = u @ net.projection.weight.T + net.projection.bias
    z = (z - z.mean(1, keepdim=True)) / torch.sqrt(z.var(1, keepdim=True, correction=0) + 1e-5)
    z = z * net.norm.weight + net.norm.bias
    hidden = torch.relu(z @ net.head[0].weight.T + net.head[0].bias)
    expected = (hidden @ net.head[3].weight.T + net.head[3].bias)[:, 0]
    torch.testing.assert_close(net(x, codes), expected)


def test_attention_over_one_token_is_an_affine_map():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        block = SelfAttention(64, 8).double().eval()
        torch.nn.init.normal_(block.attn.in_proj_bias)
        torch.nn.init.normal_(block.attn.out_proj.bias)
        z = torch.randn(20, 64, dtype=torch.float64)
    weight, bias = block.affine()
    with torch.no_grad():
        torch.testing.assert_close(block(z), z @ weight.T + bias)
    token = z.unsqueeze(1)
    _, attention = block.attn(token, token, token, need_weights=True)
    assert (attention == 1).all()


def test_queries_and_keys_learn_nothing():
    net = random_part(10, [2], 1, {"n_hidden": 16, "n_heads": 4, "head": (8,)}).members[0]
    net(torch.rand(6, 10), torch.zeros(6, 1, dtype=torch.int64)).sum().backward()
    gradient = net.attention.attn.in_proj_weight.grad
    assert gradient[:32].abs().max() == 0
    assert gradient[32:].abs().max() > 0


def test_folding_leaves_the_network_alone():
    part = random_part(40, [3], 2, {"n_hidden": 16, "head": (8,)})
    before = {name: value.clone() for name, value in part.state_dict().items()}
    fold = FoldedPart(part).eval()
    x, codes = cells(5, part, [3])
    fold.outputs(fold.project(*csr_tensors(x), codes), codes)
    assert part.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in part.state_dict().items())
    assert not any(value.requires_grad for value in fold.buffers())


def test_folding_a_network_without_centres_and_scales():
    part = random_part(30, [3], 1, {"n_hidden": 16, "head": (8,)}, plain=True)
    x, codes = cells(10, part, [3], density=0.4)
    net = FoldedNetwork(part.members[0]).eval()
    kind = codes[:, 0].repeat_interleave(torch.from_numpy(np.diff(x.indptr)))
    with torch.inference_mode():
        found = net.finish(net.project(*csr_tensors(x), kind), codes)
    np.testing.assert_allclose(found, layered(part, x, codes, torch.float64)[0], atol=1e-5)


def test_dropout_only_in_training():
    part = random_part(30, [3], 1, {"n_hidden": 32, "head": (16,), "dropout_rate": 0.5})
    x, codes = torch.rand(8, 30), torch.zeros(8, 1, dtype=torch.int64)
    with torch.random.fork_rng(), torch.no_grad():
        assert torch.equal(part(x, codes), part(x, codes))
        part.train()
        assert not torch.equal(part(x, codes), part(x, codes))


def test_published_layout_has_the_published_shapes():
    net = GatedNetwork(100, PUBLISHED_CODES, **PUBLISHED, head=(256, 128))
    assert net.projection.weight.shape == (512, 116)
    assert net.gate.numel() + net.covariate_gate.numel() == 116
    assert net.attention.attn.in_proj_weight.shape == (1536, 512)
    assert [e.weight.shape for e in net.embeddings] == [(n, 4) for n in PUBLISHED_CODES]
    linear = [m.weight.shape for m in net.head if isinstance(m, torch.nn.Linear)]
    assert linear == [(256, 512), (128, 256), (1, 128)]


# ------------------------------------------------------------------------- loss


def test_loss_against_numpy():
    part = random_part(6, [2], 2, {"n_hidden": 8, "head": (4,)})
    module = AgeClockModule([part], gate_l1=0.3)
    unit = torch.tensor([0, 0, 1, 2, 2, 2])
    tensors = {
        "X": torch.rand(6, 6, generator=torch.Generator().manual_seed(0)),
        "codes": torch.tensor([[0], [1], [0], [0], [1], [1]]),
        "unit": unit,
        "weight": torch.tensor([1.0, 2, 1, 1, 1, 3]),
        "age": torch.tensor([-1.0, 0.5, 1.2]),
        "learns": torch.tensor([[1.0, 0, 1], [0, 1, 0]]),
    }
    _, generated, losses = module(tensors)
    cell = part(tensors["X"], tensors["codes"]).detach().numpy()
    weight, age, unit = (tensors[k].numpy() for k in ("weight", "age", "unit"))
    of_unit = np.array(
        [[np.average(row[unit == u], weights=weight[unit == u]) for u in range(3)] for row in cell]
    )
    np.testing.assert_allclose(generated["unit"].detach(), of_unit, rtol=1e-5)
    expected = 0.0
    for member, learns in enumerate(tensors["learns"].numpy().astype(bool)):
        expected += ((of_unit[member] - age)[learns] ** 2).mean()
        expected += ((cell[member] - age[unit])[learns[unit]] ** 2).mean()
    assert float(losses.extra_metrics["error"].detach()) == pytest.approx(expected / 2, rel=1e-5)
    penalty = sum(float(member.gate.abs().mean()) for member in part.members)
    assert float(losses.loss.detach()) == pytest.approx(expected + 0.3 * penalty, rel=1e-5)


def test_a_member_learns_nothing_from_what_is_held_out():
    part = random_part(6, [2], 2, {"n_hidden": 8, "head": (4,)})
    module = AgeClockModule([part], gate_l1=0.0)
    tensors = {
        "X": torch.rand(4, 6), "codes": torch.zeros(4, 1, dtype=torch.int64),
        "unit": torch.tensor([0, 1, 2, 3]), "weight": torch.ones(4),
        "age": torch.tensor([-1.0, 0.5, 1.2, 2.0]),
        "learns": torch.tensor([[1.0, 1, 0, 0], [0, 0, 0, 0]]),
    }  # fmt: skip

    def gradients(changed):
        module.zero_grad()
        module(tensors | changed)[2].loss.backward()
        return [
            [None if p.grad is None else p.grad.clone() for p in member.parameters()]
            for member in part.members
        ]

    first, second = gradients({})
    again, _ = gradients({"age": torch.tensor([-1.0, 0.5, 9.0, -9.0])})
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(g.abs().max() > 0 for g in first)
    assert all(g is None or g.abs().max() == 0 for g in second)
    other, _ = gradients({"age": torch.tensor([-1.0, 3.0, 1.2, 2.0])})
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
