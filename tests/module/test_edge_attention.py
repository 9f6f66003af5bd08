"""Edge attention against masked dense attention, which is slow and plain."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sctools.module import EdgeIndex
from sctools.module import _edge_attention as edge
from sctools.module._dense_attention import dense_attention, dense_weights
from sctools.module._edge_index import KINDS, _padded

WAYS = {"compiled": edge.CompiledAttention, "gathered": edge.GatheredAttention}
BOTH = pytest.mark.parametrize("way", WAYS)


def network(n_genes, n_edges, rng, hub=None):
    """Random edges in random order; gene 0 has no regulator, ``hub`` genes regulate gene 1."""
    codes = rng.permutation(n_genes * n_genes)[: 2 * n_edges]
    source, target = codes // n_genes, codes % n_genes
    keep = (source != target) & (target != 0)
    if hub:
        keep &= target != 1
    source, target = source[keep][:n_edges], target[keep][:n_edges]
    if hub:
        more = rng.permutation(np.arange(2, n_genes))[:hub]
        source, target = np.r_[source, more], np.r_[target, np.ones(hub, int)]
        order = rng.permutation(len(source))
        source, target = source[order], target[order]
    return source, target, rng.choice([-1.0, 0.0, 1.0], len(source))


def example(n_genes=30, n_edges=90, n_obs=5, n_heads=2, width=4, hub=None, dtype=torch.float64):
    rng = np.random.default_rng(0)
    index = EdgeIndex(*network(n_genes, n_edges, rng, hub), n_genes)
    shape = (n_obs, n_genes, n_heads, width)
    parts = [torch.from_numpy(rng.normal(size=shape)).to(dtype) for _ in range(3)]
    bias = torch.from_numpy(rng.normal(size=(len(index.kind), n_heads))).to(dtype)
    return [*parts, bias], index


def masked(query, key, value, bias, index):
    """Attention by the book: all pairs, everything off the edges at minus infinity."""
    logits = torch.einsum("bghd,bfhd->bhgf", query, key)
    add = torch.full(logits.shape[1:], -torch.inf, dtype=logits.dtype)
    add[:, index.target, index.source] = bias.T
    weights = torch.softmax(logits + add, dim=-1)
    output = torch.einsum("bhgf,bfhd->bghd", weights, value)
    return output, weights[:, :, index.target, index.source].permute(0, 2, 1)


def summed(attention, index):
    shape = (attention.shape[0], index.n_genes, attention.shape[2])
    return torch.zeros(shape, dtype=attention.dtype).index_add(1, index.target, attention)


def gradients(function, parts, index):
    parts = [part.detach().clone().requires_grad_() for part in parts]
    output, _ = function(*parts, index)
    probe = torch.from_numpy(np.random.default_rng(1).normal(size=output.shape)).to(output.dtype)
    return torch.autograd.grad((output * probe).sum(), parts)


# ----------------------------------------------------------------------------------- edge index


def test_index_finds_the_edges_in_their_order():
    source, target, sign = network(40, 120, np.random.default_rng(3))
    index = EdgeIndex(source, target, sign, 40)
    assert index.n_edges == len(source)
    assert len(index.kind) == len(source) + 40
    np.testing.assert_array_equal(index.source[index.network], source)
    np.testing.assert_array_equal(index.target[index.network], target)
    expected = np.select([sign > 0, sign < 0], [0, 1], 2)
    np.testing.assert_array_equal(index.kind[index.network], expected)
    own = index.kind == KINDS.index("self")
    np.testing.assert_array_equal(np.sort(index.source[own]), np.arange(40))
    np.testing.assert_array_equal(index.source[own], index.target[own])
    assert (index.target.diff() >= 0).all()


def test_degree_counts_the_gene_itself():
    source, target, sign = network(40, 120, np.random.default_rng(3))
    index = EdgeIndex(source, target, sign, 40)
    np.testing.assert_array_equal(index.degree, np.bincount(target, minlength=40) + 1)
    assert index.degree[0] == 1


@pytest.mark.parametrize("side", ["target", "source"])
def test_buckets_hold_every_edge_once(side):
    source, target, sign = network(60, 500, np.random.default_rng(3), hub=45)
    index = EdgeIndex(source, target, sign, 60)
    near, far = index.target, index.source
    if side == "source":
        near, far = far, near
    buckets = index.by_target() if side == "target" else index.by_source()
    nodes = torch.cat([bucket.nodes for bucket in buckets])
    assert sorted(nodes.tolist()) == list(range(60))
    seen = []
    assert any(bucket.padding is not None for bucket in buckets)
    for bucket in buckets:
        there = torch.ones(bucket.edges.shape, dtype=torch.bool)
        if bucket.padding is not None:
            assert bucket.padding.any()
            there = ~bucket.padding
        seen.append(bucket.edges[there])
        rows = bucket.nodes[:, None].expand_as(bucket.edges)
        assert torch.equal(near[bucket.edges[there]], rows[there])
        assert torch.equal(far[bucket.edges[there]], bucket.others[there])
        assert (bucket.edges[~there] == 0).all()
        assert (bucket.others[~there] == 0).all()
    assert sorted(torch.cat(seen).tolist()) == list(range(len(index.kind)))


def test_padding_is_little():
    degree = np.arange(1, 5000)
    width = _padded(degree)
    np.testing.assert_array_equal(width[:4], [1, 2, 3, 4])
    assert (width >= degree).all()
    assert (width <= np.ceil(1.2 * degree + 1)).all()


def test_index_without_edges():
    none = np.array([], dtype=int)
    index = EdgeIndex(none, none, none.astype(float), 3)
    value = torch.randn(2, 3, 1, 4, dtype=torch.float64)
    bias = torch.randn(3, 1, dtype=torch.float64)
    for function in WAYS.values():
        output, attention = function.apply(value + 1, value - 1, value, bias, index)
        assert torch.equal(output, value)
        assert torch.equal(attention, torch.ones(2, 3, 1, dtype=torch.float64))


def test_index_moves_with_the_module_but_is_not_saved():
    _, index = example()
    assert index.state_dict() == {}
    assert all(buffer.device.type == "meta" for buffer in index.to("meta").buffers())


# ------------------------------------------------------------------------------------- attention


@BOTH
@pytest.mark.parametrize("hub", [None, 25])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_equals_masked_dense_attention(way, hub, dtype, atol):
    parts, index = example(hub=hub, dtype=dtype)
    output, attention = WAYS[way].apply(*parts, index)
    expected, weights = masked(*parts, index)
    assert output.dtype == attention.dtype == dtype
    torch.testing.assert_close(output, expected, rtol=0, atol=atol)
    torch.testing.assert_close(attention, weights, rtol=0, atol=atol)
    assert attention.std() > 0.1


@BOTH
@pytest.mark.parametrize("hub", [None, 25])
def test_gradients_equal_those_of_masked_dense_attention(way, hub):
    parts, index = example(hub=hub)
    found = gradients(WAYS[way].apply, parts, index)
    expected = gradients(masked, parts, index)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
        assert other.abs().max() > 0.1


@BOTH
def test_gradcheck(way):
    parts, index = example(n_genes=7, n_edges=15, n_obs=2, width=3, hub=5)
    for part in parts:
        part.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda *args: WAYS[way].apply(*args, index)[0], parts, atol=1e-7, rtol=1e-5
    )


@BOTH
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_a_hub_of_400_regulators(way, dtype, atol):
    parts, index = example(n_genes=420, n_edges=600, n_obs=2, hub=400, dtype=dtype)
    assert index.degree[1] == 401
    output, attention = WAYS[way].apply(*parts, index)
    expected, weights = masked(*parts, index)
    torch.testing.assert_close(output, expected, rtol=0, atol=atol)
    torch.testing.assert_close(attention, weights, rtol=0, atol=atol)
    if dtype is torch.float64:
        found = gradients(WAYS[way].apply, parts, index)
        for one, other in zip(found, gradients(masked, parts, index), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=atol)


@BOTH
def test_a_gene_without_regulator_hears_itself(way):
    parts, index = example()
    output, attention = WAYS[way].apply(*parts, index)
    alone = (index.degree == 1).nonzero().flatten()
    assert 0 in alone
    assert torch.equal(output[:, alone], parts[2][:, alone])
    assert (attention[:, index.first[alone]] == 1).all()
    d_query, d_key, _, d_bias = gradients(WAYS[way].apply, parts, index)
    assert torch.equal(d_query[:, alone], torch.zeros_like(d_query[:, alone]))
    assert torch.equal(d_bias[index.first[alone]], torch.zeros_like(d_bias[index.first[alone]]))
    assert torch.isfinite(d_key).all()


@BOTH
def test_attention_of_every_target_sums_to_one(way):
    parts, index = example(hub=25)
    _, attention = WAYS[way].apply(*parts, index)
    total = summed(attention, index)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-12)
    assert (attention >= 0).all()


@BOTH
def test_huge_logits_stay_finite(way):
    (query, key, value, bias), index = example(dtype=torch.float32)
    parts = [query * 100, key * 100, value, bias - 1e4]
    output, attention = WAYS[way].apply(*parts, index)
    assert torch.isfinite(output).all()
    total = summed(attention, index)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-5)
    assert all(torch.isfinite(part).all() for part in gradients(WAYS[way].apply, parts, index))


@BOTH
def test_infinite_values_are_not_hidden(way):
    """A diverged network must be seen as such."""
    (query, key, value, bias), index = example()
    value[0, 3] = torch.nan
    output, _ = WAYS[way].apply(query, key, value, bias, index)
    hears = index.target[index.source == 3]
    assert torch.isnan(output[0, hears]).all()
    others = torch.ones(index.n_genes, dtype=torch.bool)
    others[hears] = False
    assert torch.isfinite(output[0, others]).all()
    assert torch.isfinite(output[1:]).all()


def test_both_ways_are_the_same():
    parts, index = example(hub=25)
    one, other = (function.apply(*parts, index) for function in WAYS.values())
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-14)


def test_chunks_change_nothing(monkeypatch):
    parts, index = example(n_obs=7)
    whole = edge.GatheredAttention.apply(*parts, index)
    slopes = gradients(edge.GatheredAttention.apply, parts, index)
    per_cell = len(index.kind) * 2 * 4 * 8
    for chunk_bytes, sizes in ((0, [1] * 7), (3 * per_cell, [3, 3, 1]), (4 * per_cell, [4, 3])):
        monkeypatch.setattr(edge, "CHUNK_BYTES", chunk_bytes)
        chunks = edge._chunks(parts[0], index)
        assert [chunk.stop - chunk.start for chunk in chunks] == sizes
        for one, other in zip(edge.GatheredAttention.apply(*parts, index), whole, strict=True):
            assert torch.equal(one, other)
        found = gradients(edge.GatheredAttention.apply, parts, index)
        for one, other in zip(found[:3], slopes[:3], strict=True):
            assert torch.equal(one, other)
        # The sum over cells is taken in another order.
        torch.testing.assert_close(found[3], slopes[3], rtol=0, atol=1e-12)


@BOTH
def test_memory_layout_changes_nothing(way):
    parts, index = example()
    expected = WAYS[way].apply(*parts, index)
    slopes = gradients(WAYS[way].apply, parts, index)
    strided = [part.transpose(0, 1).contiguous().transpose(0, 1) for part in parts]
    assert not any(part.is_contiguous() for part in strided)
    for one, other in zip(WAYS[way].apply(*strided, index), expected, strict=True):
        assert torch.equal(one, other)

    def through(query, key, value, bias, index):
        parts = (part.transpose(0, 1).contiguous().transpose(0, 1) for part in (query, key, value))
        output, attention = WAYS[way].apply(*parts, bias, index)
        return output.transpose(1, 2).contiguous().transpose(1, 2), attention

    for one, other in zip(gradients(through, parts, index), slopes, strict=True):
        assert torch.equal(one, other)


@BOTH
def test_an_expanded_gradient_is_taken(way):
    """As `output.sum()` gives: one number for all places."""
    parts, index = example()
    for part in parts:
        part.requires_grad_()
    found = torch.autograd.grad(WAYS[way].apply(*parts, index)[0].sum(), parts)
    expected = torch.autograd.grad(masked(*parts, index)[0].sum(), parts)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@BOTH
def test_repeated_runs_are_bit_equal(way):
    parts, index = example(hub=25, dtype=torch.float32)
    first = WAYS[way].apply(*parts, index), gradients(WAYS[way].apply, parts, index)
    for _ in range(3):
        again = WAYS[way].apply(*parts, index), gradients(WAYS[way].apply, parts, index)
        for one, other in zip(sum(again, ()), sum(first, ()), strict=True):
            assert torch.equal(one, other)


@BOTH
def test_a_cell_does_not_hear_other_cells(way):
    parts, index = example()
    output, attention = WAYS[way].apply(*parts, index)
    alone = [part[2:3] for part in parts[:3]]
    one, weights = WAYS[way].apply(*alone, parts[3], index)
    assert torch.equal(one[0], output[2])
    assert torch.equal(weights[0], attention[2])


def test_the_function_takes_the_compiled_way_on_the_cpu(monkeypatch):
    parts, index = example(dtype=torch.float32)
    expected = edge.CompiledAttention.apply(*parts, index)
    monkeypatch.setattr(edge, "GatheredAttention", None)
    output, attention = edge.edge_attention(*parts, index)
    assert torch.equal(output, expected[0])
    assert torch.equal(attention, expected[1])
    assert not attention.requires_grad
    halves = [part.bfloat16() for part in parts]
    output, _ = edge.edge_attention(*halves, index)
    torch.testing.assert_close(output, expected[0], rtol=0, atol=0.1)


# ----------------------------------------------------------------------- the dense comparisons


def test_no_penalty_is_plain_attention():
    (query, key, value, bias), index = example()
    found = dense_attention(query, key, value, bias, index, 0.0)
    logits = torch.einsum("bghd,bfhd->bhgf", query, key)
    weights = torch.softmax(logits, dim=-1)
    expected = torch.einsum("bhgf,bfhd->bghd", weights, value)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    along = dense_weights(query, key, bias, index, 0.0)
    expected = weights[:, :, index.target, index.source].permute(0, 2, 1)
    torch.testing.assert_close(along, expected, rtol=0, atol=1e-12)


def test_a_huge_penalty_is_the_network_alone():
    parts, index = example()
    output, attention = edge.edge_attention(*parts, index)
    dense = dense_attention(*parts, index, 1e4)
    torch.testing.assert_close(dense, output, rtol=0, atol=1e-12)
    weights = dense_weights(parts[0], parts[1], parts[3], index, 1e4)
    torch.testing.assert_close(weights, attention, rtol=0, atol=1e-12)
    total = summed(weights, index)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-12)


def test_a_mild_penalty_draws_towards_the_network():
    parts, index = example()
    totals = [
        summed(dense_weights(parts[0], parts[1], parts[3], index, penalty), index).mean()
        for penalty in (1e-6, 1.0, 4.0)
    ]
    assert totals == sorted(totals)
    assert totals[0] < totals[2] < 1


def test_gradients_reach_the_bias_through_the_mask():
    parts, index = example()

    def soft(*args):
        return dense_attention(*args, 1e4), None

    found = gradients(soft, parts, index)
    for one, other in zip(found, gradients(masked, parts, index), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
