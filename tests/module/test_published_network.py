from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from sctools.module import FoldedPublishedNetwork, PublishedNetwork
from sctools.module._published_network import N_CATEGORIES

from .._scageclock import GENES, SIZES, layers

GENERATIONS = ["0.1.2", "0.1.3"]


def batch(n_genes, sizes, n_rows=50, *, density=0.2, seed=0):
    rng = np.random.default_rng(seed)
    x = sparse.random(n_rows, n_genes, density, format="csr", dtype=np.float32, rng=rng)
    x.data[:] = np.log1p(rng.geometric(0.3, x.nnz) * 3)
    return x, np.column_stack([rng.integers(0, n, n_rows) for n in sizes])


def layer_by_layer(network, x, codes):
    dense = np.hstack([codes.astype(np.float32), x.toarray()])
    with torch.no_grad():
        return network(torch.from_numpy(dense)).numpy()


def folded_ages(network, x, codes, **kwargs):
    folded = FoldedPublishedNetwork(PublishedNetwork.from_state(network.state_dict()), **kwargs)
    return folded.ages(x.indptr, x.indices, x.data, codes)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_published_sizes_equal_the_layers(generation):
    network = layers(generation, GENES[generation], SIZES, small=False)
    x, codes = batch(GENES[generation], SIZES, 24, density=0.07)
    expected = layer_by_layer(network, x, codes)
    assert np.ptp(expected) > 5
    np.testing.assert_allclose(folded_ages(network, x, codes), expected, rtol=0, atol=1e-4)
    half = folded_ages(network, x, codes, precision="float16")
    np.testing.assert_allclose(half, expected, rtol=0, atol=0.05)
    assert (half != expected).any()


@pytest.mark.parametrize("generation", GENERATIONS)
def test_our_layers_equal_the_layers(generation):
    network = layers(generation)
    sizes = [e.num_embeddings for e in network.embeddings]
    x, codes = batch(60, sizes)
    ours = PublishedNetwork.from_state(network.state_dict())
    assert ours.generation == generation
    found = ours(torch.from_numpy(x.toarray()), torch.from_numpy(codes)).numpy()
    np.testing.assert_allclose(found, layer_by_layer(network, x, codes), rtol=0, atol=1e-4)
    for name, tensor in network.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor)


def test_names_and_sizes_are_the_published_ones():
    expected = {
        "0.1.2": {"projection.weight": (512, 19195), "fc.0.weight": (128, 512),
                  "fc.2.weight": (1, 128)},
        "0.1.3": {"projection_layer.weight": (512, 19250), "predict_layer.0.weight": (256, 512),
                  "predict_layer.3.0.weight": (128, 256), "predict_layer.4.weight": (1, 128)},
    }  # fmt: skip
    common = {"embeddings.1.weight": (664, 4), "attention.attn.in_proj_weight": (1536, 512),
              "attention.attn.out_proj.weight": (512, 512), "norm.weight": (512,)}  # fmt: skip
    assert N_CATEGORIES == SIZES
    for generation, names in expected.items():
        with torch.device("meta"):
            state = PublishedNetwork(GENES[generation], generation=generation).state_dict()
        shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        assert (names | common).items() <= shapes.items()
        assert set(shapes) == set(layers(generation).state_dict())


def test_the_mean_stands_for_unknown():
    network = layers()
    sizes = [e.num_embeddings for e in network.embeddings]
    x, codes = batch(60, sizes)
    for k, n in enumerate(sizes):
        codes[:, k] = n
        other = layers()
        with torch.no_grad():
            other.embeddings[k].weight[:] = network.embeddings[k].weight.mean(dim=0)
        known = codes.copy()
        known[:, k] = 0
        found = folded_ages(network, x, codes)
        np.testing.assert_allclose(found, layer_by_layer(other, x, known), rtol=0, atol=1e-4)
        codes[:, k] = 0


def test_genes_can_be_chosen():
    network = layers()
    sizes = [e.num_embeddings for e in network.embeddings]
    x, codes = batch(60, sizes)
    folded = FoldedPublishedNetwork(PublishedNetwork.from_state(network.state_dict()))
    genes = np.random.default_rng(0).permutation(60)[:40]
    without = x.toarray()
    without[:, np.setdiff1d(np.arange(60), genes)] = 0
    expected = layer_by_layer(network, sparse.csr_matrix(without), codes)
    part = sparse.csr_matrix(x[:, genes])
    ages = folded.take(genes).ages(part.indptr, part.indices, part.data, codes)
    np.testing.assert_allclose(ages, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("factor", [1e-6, 1e5])
def test_float16_fits_weights_of_any_size(factor):
    network = layers()
    with torch.no_grad():
        network.projection_layer.weight *= factor
        network.projection_layer.bias *= factor
    sizes = [e.num_embeddings for e in network.embeddings]
    x, codes = batch(60, sizes)
    half = folded_ages(network, x, codes, precision="float16")
    np.testing.assert_allclose(half, layer_by_layer(network, x, codes), rtol=0, atol=0.05)


def test_bad_weights():
    good = layers().state_dict()
    old = layers("0.1.2").state_dict()

    def check(state, message):
        with pytest.raises(ValueError, match=message):
            PublishedNetwork.from_state(state)

    check({}, "weights of neither generation")
    check({"a": torch.ones(2)}, r"weights of neither generation.*unexpected: 'a'")
    check({k: v for k, v in good.items() if k != "norm.bias"}, r"'0.1.3'.*missing: 'norm.bias'")
    check({**old, "extra": torch.ones(1)}, r"'0.1.2'.*missing: none; unexpected: 'extra'")
    check({**good, "norm.bias": "text"}, r"not all values are tensors")
    check({**good, "norm.bias": torch.ones(32, dtype=torch.int64)}, r"not all values are tensors")
    check({**good, "norm.bias": torch.ones(7)}, r"names of scAgeClock 0.1.3, but not its shapes")
    check({**good, "projection_layer.weight": torch.ones(32, 3)}, r"not its shapes")
    check({**good, "embeddings.0.weight": torch.ones(3)}, r"not its shapes")
    check(
        {**good, "feature_gate.weights": torch.ones(70)},
        r"not its shapes: .*feature_gate.weights: copying a param",
    )
    check({**good, "norm.bias": torch.full((32,), torch.nan)}, r"NaN or infinite.*'norm.bias'")
