from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from sctools.pl import tf_dotplot

from ._fake_prior_result import fake_prior_result

KEY = "prior_transformer"
ROWS = ["Monocyte (40)", "T cell (41)", "immature/naive B cell (42)"]


def _rows(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def _tfs(ax):
    return [label.get_text() for label in ax.get_xticklabels()]


def _dots(ax):
    """Colours and areas, groups × TFs."""
    (dots,) = ax.collections
    shape = (len(_rows(ax)), len(_tfs(ax)))
    places = np.asarray(dots.get_offsets())
    column, row = np.indices(shape)[::-1]
    np.testing.assert_array_equal(places, np.column_stack([column.ravel(), row.ravel()]))
    return np.asarray(dots.get_array()).reshape(shape), dots.get_sizes().reshape(shape)


def test_colour_and_size():
    adata = fake_prior_result()
    ax = tf_dotplot(adata, show=False)
    assert _rows(ax) == ROWS
    color, size = _dots(ax)
    scores = adata.obsm[f"{KEY}_tf"].astype("float64")[_tfs(ax)]
    z = (scores - scores.mean()) / scores.std(ddof=0)
    by = adata.obs["cell_type"]
    np.testing.assert_allclose(color, z.groupby(by, observed=True).mean(), atol=1e-9)
    share = (scores > scores.mean()).groupby(by, observed=True).mean().to_numpy()
    np.testing.assert_allclose(size / size.max(), share / share.max())
    low, high = ax.collections[0].get_clim()
    assert low == -high == pytest.approx(-np.abs(color).max())
    assert ax.get_ylabel() == "cell_type (cells)"


def test_size_legend():
    adata = fake_prior_result()
    ax = tf_dotplot(adata, show=False)
    scores = adata.obsm[f"{KEY}_tf"]
    scores.loc[:, "TF0x0"] = np.where(adata.obs["cell_type"] == "T cell", 1.0, 0.0)
    ax = tf_dotplot(adata, tfs=["TF0x0"], show=False)
    _, size = _dots(ax)
    np.testing.assert_allclose(size[:, 0] / size.max(), [0, 1, 0])
    legend = ax.get_legend()
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["25%", "50%", "75%", "100%"]
    areas = [line.get_markersize() ** 2 for line in legend.get_lines()]
    np.testing.assert_allclose(areas, size.max() * np.array([0.25, 0.5, 0.75, 1]))


def test_tfs_form_a_diagonal():
    adata = fake_prior_result([f"type {i}" for i in range(12)], n_cells=100)
    ax = tf_dotplot(adata, n_top=2, show=False)
    assert [row.split(" (")[0] for row in _rows(ax)] == [f"type {i}" for i in range(12)]
    assert [tf.split("x")[0] for tf in _tfs(ax)] == [f"TF{i}" for i in range(12) for _ in range(2)]
    assert ax.get_xlabel() == "TF (24 of 49)"


def test_given_tfs_keep_their_order():
    ax = tf_dotplot(fake_prior_result(), tfs=["TF2x1", "LONER", "TF0x0", "LONER"], show=False)
    assert _tfs(ax) == ["TF2x1", "LONER", "TF0x0"]
    assert _tfs(tf_dotplot(fake_prior_result(), tfs="TF2x1", show=False)) == ["TF2x1"]


def test_groups():
    adata = fake_prior_result()
    order = ["T cell", "immature/naive B cell", "Monocyte"]
    adata.obs["cell_type"] = adata.obs["cell_type"].cat.reorder_categories(order)
    assert [row.split(" (")[0] for row in _rows(tf_dotplot(adata, show=False))] == order
    adata.obs["half"] = np.where(np.arange(adata.n_obs) % 2, "odd", "even")
    assert _rows(tf_dotplot(adata, groupby="half", show=False)) == ["even (62)", "odd (61)"]
    ax = tf_dotplot(fake_prior_result(applied=True), show=False)
    assert ax.get_ylabel() == "Prediction (cells)"


def test_cells_without_a_group_count_in_the_mean_only():
    adata = fake_prior_result()
    adata.obs["part"] = adata.obs["cell_type"].where(adata.obs["cell_type"] != "T cell")
    ax = tf_dotplot(adata, groupby="part", tfs=["TF0x0", "TF1x0"], show=False)
    assert _rows(ax) == [ROWS[0], ROWS[2]]
    whole = _dots(tf_dotplot(adata, tfs=["TF0x0", "TF1x0"], show=False))
    for found, expected in zip(_dots(ax), whole, strict=True):
        np.testing.assert_allclose(found, expected[[0, 2]])


def test_constant_scores():
    adata = fake_prior_result()
    adata.obsm[f"{KEY}_tf"][:] = 0.5
    ax = tf_dotplot(adata, show=False)
    color, size = _dots(ax)
    np.testing.assert_array_equal(color, 0)
    np.testing.assert_array_equal(size, 0)
    assert ax.collections[0].get_clim() == (-0.25, 0.25)


def test_kwargs_reach_the_dots():
    ax = tf_dotplot(fake_prior_result(), vmin=-1, vmax=2, cmap="PuOr", linewidths=2, show=False)
    (dots,) = ax.collections
    assert dots.get_clim() == (-1, 2)
    assert dots.cmap.name == "PuOr"
    assert set(dots.get_linewidths()) == {2}


def test_errors():
    adata = fake_prior_result()
    with pytest.raises(KeyError, match=r"Unknown: 'NOPE'\. Available: 'TF0x0'"):
        tf_dotplot(adata, tfs=["NOPE"])
    with pytest.raises(KeyError, match=r"groupby='nope'.*Available: 'cell_type'"):
        tf_dotplot(adata, groupby="nope")
    with pytest.raises(ValueError, match="`n_top` must be a positive integer"):
        tf_dotplot(adata, n_top=0)
    adata.obs["empty"] = pd.Series(index=adata.obs_names, dtype=object)
    with pytest.raises(ValueError, match=r"No cell has a group in `adata\.obs\['empty'\]`"):
        tf_dotplot(adata, groupby="empty")
    adata.obs = adata.obs.rename(columns={"cell_type": "renamed"})
    with pytest.raises(KeyError, match=r"'cell_type'.*'renamed'.*computed with it"):
        tf_dotplot(adata)
    del adata.obsm[f"{KEY}_tf"]
    with pytest.raises(KeyError, match=r"prior_transformer_tf.*Run `sctools\.tl\.prior_transform"):
        tf_dotplot(adata)
    assert not plt.get_fignums()
