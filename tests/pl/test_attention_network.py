from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.legend import Legend
from matplotlib.patches import FancyArrowPatch

from sctools.get import attention_df
from sctools.pl import attention_network
from sctools.pl._network_layout import overlapping as overlap
from sctools.pl._network_layout import place_nodes

from ._fake_prior_result import fake_prior_result
from ._readable import cut_off, overlapping

GROUP = "immature/naive B cell"
KEY = "prior_transformer"


def _arrows(ax):
    return [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]


def _places(ax):
    return {text.get_text(): text.get_position() for text in ax.texts}


def _legend(ax):
    (legend,) = [child for child in ax.get_children() if isinstance(child, Legend)]
    return legend


def _labels(ax):
    return [text.get_text() for text in _legend(ax).get_texts()]


def test_edges_are_those_of_highest_score():
    adata = fake_prior_result()
    ax = attention_network(adata, GROUP, n_edges=12, show=False)
    edges = attention_df(adata, GROUP, n_top=12)
    places = _places(ax)
    assert set(places) == {*edges["source"], *edges["target"]}
    drawn = [arrow._posA_posB for arrow in _arrows(ax)]
    assert len(drawn) == 12
    for (start, end), edge in zip(drawn, edges.itertuples(), strict=True):
        np.testing.assert_allclose(start, places[edge.source])
        np.testing.assert_allclose(end, places[edge.target])
    total = len(adata.uns[KEY]["edges"])
    n_cells = adata.uns[KEY]["n_cells"][list(adata.uns[KEY]["groups"]).index(GROUP)]
    assert ax.get_title() == f"{GROUP}\n{n_cells} cells, 12 of {total} edges"


def test_colour_is_the_sign_and_width_the_lift():
    adata = fake_prior_result()
    adata.uns[KEY]["edges"].loc[::7, "weight"] = np.nan
    ax = attention_network(adata, GROUP, n_edges=40, show=False)
    edges = attention_df(adata, GROUP, n_top=40)
    colors = {1.0: "#0173b2", -1.0: "#d55e00", 0.0: "#8c8c8c"}
    signs = np.sign(edges["weight"].fillna(0))
    assert set(signs) == set(colors)
    assert [to_hex(arrow.get_edgecolor()) for arrow in _arrows(ax)] == [colors[s] for s in signs]
    widths = np.array([arrow.get_linewidth() for arrow in _arrows(ax)])
    np.testing.assert_allclose(widths, 0.4 + 4.1 * edges["lift"] / edges["lift"].max())
    # Repression is told apart without colour.
    ends = [type(arrow.get_arrowstyle()).__name__ for arrow in _arrows(ax)]
    assert {end for end, sign in zip(ends, signs, strict=True) if sign < 0} == {"BarAB"}
    assert "BarAB" not in {end for end, sign in zip(ends, signs, strict=True) if sign >= 0}


def test_legend():
    adata = fake_prior_result()
    ax = attention_network(adata, GROUP, show=False)
    labels = _labels(ax)
    assert labels[:3] == ["Activation", "Repression", "Sign unknown"]
    assert labels[-2:] == ["Regulator", "Target only"]
    # Widths of the legend are those of edges of that lift.
    edges = attention_df(adata, GROUP, n_top=30)
    lifts = {label: float(label.split()[1]) for label in labels if label.startswith("Lift")}
    assert 2 <= len(lifts) <= 4
    assert max(lifts.values()) <= edges["lift"].max()
    lines = {line.get_label(): line for line in _legend(ax).get_lines()}
    for label, lift in lifts.items():
        expected = 0.4 + 4.1 * lift / edges["lift"].max()
        assert lines[label].get_linewidth() == pytest.approx(expected)
    ax.figure.canvas.draw()
    assert _legend(ax).get_window_extent().x0 >= ax.get_window_extent().x1 - 1
    # Signs that are not drawn are not explained.
    adata.uns[KEY]["edges"]["weight"] = 1.0
    assert _labels(attention_network(adata, GROUP, show=False))[:2] != ["Activation", "Repression"]


def test_regulators_are_told_apart():
    adata = fake_prior_result()
    ax = attention_network(adata, GROUP, show=False)
    regulators = set(attention_df(adata, GROUP, n_top=30)["source"])
    for text in ax.texts:
        assert (text.get_fontweight() == "bold") == (text.get_text() in regulators)


@pytest.mark.parametrize("n_edges", [1, 5, 30, 100])
def test_labels_do_not_overlap(n_edges):
    adata = fake_prior_result([f"type {i}" for i in range(10)])
    ax = attention_network(adata, "type 3", n_edges=n_edges, show=False)
    assert cut_off(ax.figure) == []
    assert overlapping(ax.texts) == []
    inner = ax.get_window_extent().padded(2)
    for text in ax.texts:
        frame = text.get_bbox_patch().get_window_extent()
        assert inner.x0 <= frame.x0
        assert frame.x1 <= inner.x1
        assert inner.y0 <= frame.y0
        assert frame.y1 <= inner.y1
    assert min(text.get_fontsize() for text in ax.texts) >= 7


def test_small_given_axes_get_smaller_print():
    fig, ax = plt.subplots(figsize=(4.5, 3), layout="constrained")
    attention_network(fake_prior_result(), GROUP, ax=ax)
    assert overlapping(ax.texts) == []
    assert 5 <= ax.texts[0].get_fontsize() < 9
    assert fig.axes == [ax]


def test_same_places_every_time():
    adata = fake_prior_result()
    first = _places(attention_network(adata, GROUP, show=False))
    np.random.default_rng(1).random()
    assert _places(attention_network(adata, GROUP, show=False)) == first


def test_edges_in_both_directions_are_both_seen():
    adata = fake_prior_result(["a"], tfs_per_type=2)
    edges = attention_df(adata, "a")
    pairs = set(zip(edges["source"], edges["target"], strict=True))
    assert {("TF0x0", "TF0x1"), ("TF0x1", "TF0x0")} <= pairs
    ax = attention_network(adata, "a", n_edges=100, show=False)
    assert ax.get_title() == f"a\n40 cells, {len(edges)} edges"
    for arrow, (source, target) in zip(
        _arrows(ax), zip(edges["source"], edges["target"], strict=True), strict=True
    ):
        assert (arrow.get_connectionstyle().rad != 0) == ((target, source) in pairs)


def test_lift_of_zero_is_drawn():
    adata = fake_prior_result()
    adata.uns[KEY]["lift"][:] = 0
    ax = attention_network(adata, GROUP, show=False)
    assert {arrow.get_linewidth() for arrow in _arrows(ax)} == {0.4}


def test_kwargs_reach_the_edges():
    ax = attention_network(fake_prior_result(), GROUP, lw=3, alpha=0.3, show=False)
    assert {arrow.get_linewidth() for arrow in _arrows(ax)} == {3}
    assert {arrow.get_alpha() for arrow in _arrows(ax)} == {0.3}


def test_errors():
    adata = fake_prior_result()
    with pytest.raises(ValueError, match=r"found 'B cell'.*Available: 'Monocyte', 'T cell', 'imm"):
        attention_network(adata, "B cell")
    for n_edges in (0, 2.5, -1):
        with pytest.raises(ValueError, match="`n_edges` must be a positive integer"):
            attention_network(adata, GROUP, n_edges=n_edges)
    assert not plt.get_fignums()


def _boxes(n):
    return np.full((n, 2), [0.5, 0.2])


def test_connected_nodes_are_near_each_other():
    # Two stars of six.
    edges = np.array([[0, i] for i in range(1, 7)] + [[7, i] for i in range(8, 14)])
    places = place_nodes(14, edges, _boxes(14), np.array([6.0, 5.0]))
    assert not overlap(places, _boxes(14))
    own = np.linalg.norm(places[1:7] - places[0], axis=1)
    other = np.linalg.norm(places[1:7] - places[7], axis=1)
    assert (own < other).all()


def test_layout_of_special_networks():
    size = np.array([4.0, 3.0])
    for n, edges in (
        (1, np.array([[0, 0]])),
        (2, np.array([[0, 1]])),
        (3, np.array([[0, 1], [1, 2]])),
        (4, np.array([[0, 1], [2, 3]])),
        (30, np.array([[0, i] for i in range(1, 30)])),
    ):
        places = place_nodes(n, edges, _boxes(n), size)
        assert places.shape == (n, 2)
        assert np.isfinite(places).all()
        assert not overlap(places, _boxes(n))
        assert (places >= _boxes(n) / 2 - 1e-9).all()
        assert (places <= size - _boxes(n) / 2 + 1e-9).all()
