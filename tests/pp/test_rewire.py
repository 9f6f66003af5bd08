from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sctools.pp._rewire import rewire


def network(n_genes=60, n_tfs=12, density=0.2, seed=0):
    rng = np.random.default_rng(seed)
    source, target = np.nonzero(rng.random((n_tfs, n_genes)) < density)
    kept = source != target
    names = np.array([f"g{i}" for i in range(n_genes)], dtype=object)
    edges = pd.DataFrame({"source": names[source[kept]], "target": names[target[kept]]})
    edges["weight"] = rng.normal(size=len(edges))
    return edges


def assert_same_degrees(found, expected):
    for end in ("source", "target"):
        a, b = (table[end].value_counts().sort_index() for table in (found, expected))
        pd.testing.assert_series_equal(a, b)
    assert not found.duplicated(["source", "target"]).any()
    assert (found["source"] != found["target"]).all()
    for (name, a), (_, b) in zip(
        found.groupby("source")["weight"], expected.groupby("source")["weight"], strict=True
    ):
        np.testing.assert_array_equal(np.sort(a), np.sort(b), err_msg=name)


def shared(a, b):
    return len(a.merge(b, on=["source", "target"]))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 40), st.floats(0, 1), st.integers(0, 1000))
def test_degrees_and_weights_of_sources_are_kept(n_genes, density, seed):
    edges = network(n_genes, min(n_genes, 8), density, seed)
    found = rewire(edges, seed)
    assert_same_degrees(found, edges)
    assert len(found) == len(edges)
    in_order = found.sort_values(["target", "source"], ignore_index=True)
    pd.testing.assert_frame_equal(found, in_order)


def test_it_shuffles():
    edges = network()
    found = rewire(edges, 0)
    # By chance a fifth or so are as before.
    assert shared(found, edges) < 0.35 * len(edges)
    assert shared(rewire(edges, 1), found) < 0.35 * len(edges)


def test_all_networks_are_about_equally_frequent():
    """Of two TFs with two of four targets each there are six; none is favoured much."""
    edges = pd.DataFrame({"source": list("AABB"), "target": list("wxyz"), "weight": [0.0] * 4})
    numbers: dict[str, int] = {}
    for seed in range(300):
        found = rewire(edges, seed)
        name = "".join(found.loc[found["source"] == "A", "target"])
        numbers[name] = numbers.get(name, 0) + 1
    assert len(numbers) == 6
    assert min(numbers.values()) > 25


def test_hub():
    """A TF with 400 targets and a gene with 40 regulators keep them."""
    rng = np.random.default_rng(0)
    names = [f"g{i}" for i in range(1000)]
    pairs = {("g0", name) for name in rng.choice(names[1:], 400, replace=False)}
    pairs |= {(f"g{i}", "g999") for i in range(40)}
    pairs |= {(f"g{i}", t) for i in range(1, 40) for t in rng.choice(names[50:], 20, replace=False)}
    edges = pd.DataFrame(sorted(pairs), columns=["source", "target"]).assign(weight=1.0)
    found = rewire(edges, 0)
    assert_same_degrees(found, edges)
    assert shared(found, edges) < 0.6 * len(edges)


def test_seed_and_input():
    edges = network()
    before = edges.copy()
    pd.testing.assert_frame_equal(rewire(edges, 3), rewire(edges, np.random.default_rng(3)))
    assert not rewire(edges, 3).equals(rewire(edges, 4))
    pd.testing.assert_frame_equal(edges, before)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    rewire(edges, None)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_index_and_further_columns():
    edges = network().sample(frac=1, random_state=0).assign(of=lambda t: t["source"])
    found = rewire(edges, 0)
    np.testing.assert_array_equal(found["of"], found["source"])
    assert list(found.index) == list(range(len(edges)))


def test_avoided_edges_do_not_occur():
    edges = network(density=0.15)
    found = rewire(edges, 0, avoid=edges)
    assert shared(found, edges) == 0
    assert_same_degrees(found, edges)


def test_what_cannot_be_avoided():
    edges = network(10, 5, 0.9)
    with pytest.raises(ValueError, match=r"cannot be rewired into others.*too dense"):
        rewire(edges, 0, avoid=edges)


def test_dense_network_warns(caplog):
    edges = network(30, 1, 0.9)
    with caplog.at_level(logging.WARNING, "sctools"):
        pd.testing.assert_frame_equal(
            rewire(edges, 0), edges.sort_values("target", ignore_index=True)
        )
    assert "100 % of the edges are as before" in caplog.text


def test_empty():
    assert len(rewire(network()[:0], 0)) == 0


@pytest.mark.parametrize("rows", [[("A", "B"), ("A", "B")], [("A", "A"), ("A", "B")]])
def test_networks_that_are_not_clean(rows):
    with pytest.raises(ValueError, match=r"cannot be rewired.*pp.prior_network"):
        rewire(pd.DataFrame(rows, columns=["source", "target"]), 0)
