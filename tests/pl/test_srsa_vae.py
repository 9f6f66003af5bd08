from __future__ import annotations

import subprocess
import sys
from copy import deepcopy
from itertools import pairwise

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sctools.pl import srsa_vae

from ._fake_vae_result import fake_vae_result, favoured_tokens

ATTENTION = "X_srsa_vae_attention"
LONG = (
    "effector memory CD4-positive, alpha-beta T cell, terminally differentiated",
    "plasmacytoid dendritic cell",
)


def _values(ax):
    """Drawn values, one row per group."""
    (mesh,) = ax.collections
    n_rows, n_columns = len(ax.get_yticklabels()), len(ax.get_xticklabels())
    return np.asarray(mesh.get_array()).reshape(n_rows, n_columns)


def _rows(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def _tokens(ax):
    return [int(label.get_text()) for label in ax.get_xticklabels()]


def _bar(ax):
    (bar,) = [other for other in ax.figure.axes if other is not ax]
    return bar


def _expected(adata, by="cell_type", value="lift"):
    """Mean attention or lift by plain pandas, columns by token."""
    attention = pd.DataFrame(adata.obsm[ATTENTION].astype("float64"), index=adata.obs_names)
    mean = attention.groupby(adata.obs[by], observed=True).mean()
    return mean if value == "attention" else np.log2(mean / attention.mean())


@pytest.mark.parametrize("value", ["lift", "attention"])
def test_values_are_means_of_the_groups(value):
    adata = fake_vae_result()
    ax = srsa_vae(adata, groupby="cell_type", value=value, show=False)
    assert _rows(ax) == ["B cell (40)", "Monocyte (42)", "T cell (41)"]
    expected = _expected(adata, value=value)[_tokens(ax)]
    np.testing.assert_allclose(_values(ax), expected, rtol=1e-6)
    assert ax.get_ylabel() == "cell_type (cells)"


def test_lift_is_the_default_and_centred_at_zero():
    ax = srsa_vae(fake_vae_result(), groupby="cell_type", show=False)
    (mesh,) = ax.collections
    low, high = mesh.get_clim()
    assert low == -high
    assert high == pytest.approx(_values(ax).max())
    *color, _ = mesh.cmap(mesh.norm(0.0))
    assert min(color) > 0.9
    assert _bar(ax).get_ylabel() == "Mean attention\nover that of all cells (log₂)"
    # Tokens that a group hardly attends to lie below the scale: the bar says so.
    assert mesh.colorbar.extend == "min"


def test_attention_starts_at_zero():
    ax = srsa_vae(fake_vae_result(), groupby="cell_type", value="attention", show=False)
    (mesh,) = ax.collections
    assert mesh.get_clim()[0] == 0
    assert mesh.colorbar.extend == "neither"
    assert _bar(ax).get_ylabel() == "Mean attention\n(fraction)"


def test_small_differences_stay_pale():
    adata = fake_vae_result(sharpness=0.0, n_cells=3000)
    (mesh,) = srsa_vae(adata, groupby="cell_type", show=False).collections
    assert np.abs(mesh.get_array()).max() < 0.05
    assert mesh.get_clim() == (-0.1, 0.1)


@pytest.mark.parametrize("value", ["lift", "attention"])
def test_tokens_form_a_diagonal(value):
    names = [f"type {i}" for i in range(6)]
    adata = fake_vae_result(names, n_tokens=16, n_unused=3)
    ax = srsa_vae(adata, groupby="cell_type", value=value, show=False)
    assert _tokens(ax)[:6] == list(favoured_tokens(6, 13))
    np.testing.assert_array_equal(_values(ax)[:, :6].argmax(axis=0), range(6))
    assert list(favoured_tokens(6, 13)) != sorted(favoured_tokens(6, 13))


def test_tokens_of_one_group_go_down_from_the_highest():
    adata = fake_vae_result(["a", "b"], n_tokens=4, n_unused=0)
    in_a = (adata.obs["cell_type"] == "a").to_numpy()
    attention = np.where(in_a[:, None], [0.1, 0.2, 0.15, 0.55], [0.6, 0.1, 0.1, 0.2])
    adata.obsm[ATTENTION] = attention
    assert _tokens(srsa_vae(adata, groupby="cell_type", show=False)) == [3, 1, 2, 0]


def test_unspecific_tokens_come_last():
    adata = fake_vae_result(["a", "b"], n_tokens=4, n_unused=0, n_cells=50)
    in_a = (adata.obs["cell_type"] == "a").to_numpy()
    attention = np.where(in_a[:, None], [0.11, 0.1, 0.69, 0.1], [0.1, 0.1, 0.1, 0.7])
    adata.obsm[ATTENTION] = attention
    tokens = _tokens(srsa_vae(adata, groupby="cell_type", show=False))
    assert tokens[:2] == [2, 3]
    assert set(tokens[2:]) == {0, 1}


def test_order_is_not_drawn_by_a_single_cell():
    """Cell 0 makes up a group of its own and by chance attends a little more to the token of b."""
    adata = fake_vae_result(["a", "b"], n_tokens=2, n_unused=0)
    in_a = (adata.obs["cell_type"] == "a").to_numpy()
    adata.obsm[ATTENTION] = np.where(in_a[:, None], [0.8, 0.2], [0.2, 0.8])
    adata.obsm[ATTENTION][0] = [0.1, 0.9]
    groups = adata.obs["cell_type"].astype(str)
    groups.iloc[0] = "0"
    adata.obs["group"] = groups
    ax = srsa_vae(adata, groupby="group", show=False)
    assert _rows(ax)[0] == "0 (1)"
    assert _values(ax)[0].argmax() == 1
    assert _tokens(ax) == [0, 1]


def test_unused_tokens_are_left_out_and_counted():
    ax = srsa_vae(fake_vae_result(n_tokens=10, n_unused=4), groupby="cell_type", show=False)
    assert sorted(_tokens(ax)) == list(range(6))
    assert ax.get_xlabel() == "Token (6 of 10, 4 unused left out)"
    adata = fake_vae_result(n_tokens=5, n_unused=0, sharpness=2)
    ax = srsa_vae(adata, groupby="cell_type", show=False)
    assert ax.get_xlabel() == "Token"


def test_token_of_a_rare_group_is_kept():
    """Among all cells its share is far below the threshold, within the group far above."""
    adata = fake_vae_result(["common", "rare"], n_tokens=4, n_unused=0, n_cells=1000)
    rare = (adata.obs["cell_type"] == "rare").to_numpy()
    few = np.flatnonzero(rare)[:4]
    adata = adata[np.union1d(np.flatnonzero(~rare), few)].copy()
    rare = (adata.obs["cell_type"] == "rare").to_numpy()
    even = [1 / 3, 1 / 3, 1 / 3 - 1e-5, 1e-5]
    adata.obsm[ATTENTION] = np.where(rare[:, None], [0.1, 0.1, 0.1, 0.7], even)
    assert adata.obsm[ATTENTION][:, 3].mean() < 0.1 / 4
    assert 3 in _tokens(srsa_vae(adata, groupby="cell_type", show=False))


def test_n_tokens_keeps_the_most_used():
    adata = fake_vae_result(n_tokens=10, n_unused=2)
    ax = srsa_vae(adata, groupby="cell_type", n_tokens=3, show=False)
    most = np.argsort(-adata.obsm[ATTENTION].mean(axis=0))[:3]
    assert set(_tokens(ax)) == set(most)
    assert ax.get_xlabel() == "Token (the 3 most used of 10, 2 unused left out)"
    ax = srsa_vae(adata, groupby="cell_type", n_tokens=100, show=False)
    assert ax.get_xlabel() == "Token (8 of 10, 2 unused left out)"
    ax = srsa_vae(fake_vae_result(n_unused=0), groupby="cell_type", n_tokens=2, show=False)
    assert ax.get_xlabel() == "Token (the 2 most used of 8)"


def test_default_groups_are_labels_then_components():
    ax = srsa_vae(fake_vae_result(labels_key="cell_type"), show=False)
    assert _rows(ax) == ["B cell (40)", "Monocyte (42)", "T cell (41)"]
    names = [f"type {i}" for i in range(5)]
    ax = srsa_vae(fake_vae_result(names), show=False)
    # Natural order of the components, not that of text.
    assert _rows(ax) == ["0 (40)", "3 (41)", "6 (42)", "9 (43)", "12 (44)"]
    assert ax.get_ylabel() == "Mixture component (cells)"


def test_nothing_to_group_by():
    adata = fake_vae_result(components=False)
    with pytest.raises(ValueError, match=r"groupby=….*Candidates: 'cell_type'\. .*leiden") as error:
        srsa_vae(adata)
    assert "n_counts" not in str(error.value)
    adata = fake_vae_result(labels_key="cell_type")
    adata.obs = adata.obs.rename(columns={"cell_type": "renamed"})
    with pytest.raises(KeyError, match=r"labels_key='cell_type'.*'renamed'.*computed with it"):
        srsa_vae(adata)


def test_cells_without_a_group_count_among_all_only():
    adata = fake_vae_result()
    adata.obs["part"] = adata.obs["cell_type"].where(adata.obs["cell_type"] != "T cell")
    ax = srsa_vae(adata, groupby="part", show=False)
    assert _rows(ax) == ["B cell (40)", "Monocyte (42)"]
    np.testing.assert_allclose(_values(ax), _expected(adata, "part")[_tokens(ax)], rtol=1e-6)
    adata.obs["part"] = None
    with pytest.raises(ValueError, match="No cell has a group"):
        srsa_vae(adata, groupby="part")


def test_order_of_a_categorical_is_kept():
    adata = fake_vae_result()
    order = ["T cell", "B cell", "Monocyte"]
    adata.obs["cell_type"] = adata.obs["cell_type"].cat.reorder_categories(order)
    ax = srsa_vae(adata, groupby="cell_type", show=False)
    assert [row.split(" (")[0] for row in _rows(ax)] == order
    np.testing.assert_array_equal(_values(ax)[:, :3].argmax(axis=0), range(3))


def test_groups_of_any_dtype():
    adata = fake_vae_result()
    codes = adata.obs["cell_type"].cat.codes
    adata.obs["leiden"] = codes.astype("int64")
    adata.obs["first"] = codes.to_numpy() == 0
    adata.obs["text"] = adata.obs["cell_type"].astype(str)
    assert _rows(srsa_vae(adata, groupby="leiden", show=False)) == ["0 (40)", "1 (42)", "2 (41)"]
    assert _rows(srsa_vae(adata, groupby="first", show=False)) == ["False (83)", "True (40)"]
    assert _rows(srsa_vae(adata, groupby="text", show=False))[1] == "Monocyte (42)"


def test_too_many_values_are_no_groups():
    adata = fake_vae_result(n_cells=200)
    adata.obs["barcode"] = adata.obs_names
    with pytest.raises(ValueError, match=r"603 different values of dtype float64.*qcut.*'cell_ty"):
        srsa_vae(adata, groupby="n_counts")
    with pytest.raises(ValueError, match=r"groupby='barcode'.*603 different"):
        srsa_vae(adata, groupby="barcode")


def test_one_group_and_a_group_of_no_attention():
    ax = srsa_vae(fake_vae_result(["only"]), show=False)
    np.testing.assert_allclose(_values(ax), 0, atol=1e-6)
    adata = fake_vae_result(["a", "b"], n_tokens=2, n_unused=0)
    in_a = (adata.obs["cell_type"] == "a").to_numpy()
    adata.obsm[ATTENTION] = np.where(in_a[:, None], [1.0, 0.0], [0.0, 1.0])
    ax = srsa_vae(adata, groupby="cell_type", show=False)
    assert _values(ax).max() == pytest.approx(1, abs=0.05)
    assert _values(ax).min() < -20
    ax.figure.canvas.draw()
    first, second = ax.collections[0].get_facecolors()[:2]
    np.testing.assert_allclose(second, ax.collections[0].cmap(0))
    assert not np.allclose(first, second)


def test_errors():
    adata = fake_vae_result()
    with pytest.raises(KeyError, match=r"No result.*'mine'.*'srsa_vae'.*sctools\.tl\.srsa_vae"):
        srsa_vae(adata, "mine")
    with pytest.raises(ValueError, match="'lift' or 'attention', found 'mean'"):
        srsa_vae(adata, value="mean")
    for n_tokens in (0, -1, 2.5, "all"):
        with pytest.raises(ValueError, match="`n_tokens` must be a positive integer"):
            srsa_vae(adata, n_tokens=n_tokens)
    with pytest.raises(KeyError, match=r"groupby='nope'.*Available: 'cell_type'"):
        srsa_vae(adata, groupby="nope")
    assert not plt.get_fignums()


def test_no_attention():
    for kind in ("none", "minibatch"):
        adata = fake_vae_result(attention=kind)
        with pytest.raises(ValueError, match=rf"attention='{kind}'.*attention='memory'"):
            srsa_vae(adata)
    adata = fake_vae_result()
    del adata.obsm[ATTENTION]
    with pytest.raises(KeyError, match=r"X_srsa_vae_attention.*Available: 'X_srsa_vae'"):
        srsa_vae(adata)


@pytest.mark.parametrize("wrong", [[np.nan, 1], [-0.5, 1.5], [1, 1]], ids=str)
def test_rows_that_are_no_shares(wrong):
    adata = fake_vae_result()
    adata.obsm[ATTENTION][7] = [*wrong, 0, 0, 0, 0, 0, 0]
    with pytest.raises(ValueError, match=r"1 of 123 are not, the first that of cell 'cell7'"):
        srsa_vae(adata)


def test_attention_of_wrong_type():
    adata = fake_vae_result()
    adata.obsm[ATTENTION] = np.ones((adata.n_obs, 1), dtype="int64")
    with pytest.raises(ValueError, match=r"expected shape \(123, n_tokens\).*int64"):
        srsa_vae(adata)


@pytest.mark.parametrize("kind", ["float16", "float64", "frame"])
def test_attention_of_other_types(kind):
    adata = fake_vae_result()
    expected = _values(srsa_vae(adata, show=False))
    attention = adata.obsm[ATTENTION]
    if kind == "frame":
        attention = pd.DataFrame(attention, index=adata.obs_names, columns=list("abcdefgh"))
    else:
        attention = attention.astype(kind)
    adata.obsm[ATTENTION] = attention
    np.testing.assert_allclose(_values(srsa_vae(adata, show=False)), expected, atol=0.05)


def test_other_key():
    ax = srsa_vae(fake_vae_result(key="mine"), "mine", show=False)
    assert ax.get_ylabel() == "Mixture component (cells)"


def test_cmap_and_kwargs_reach_the_heatmap():
    adata = fake_vae_result()
    (mesh,) = srsa_vae(adata, cmap="PuOr", show=False).collections
    assert mesh.cmap.name == "PuOr"
    ax = srsa_vae(adata, vmax=0.5, annot=True, linewidths=2, show=False)
    (mesh,) = ax.collections
    assert mesh.get_clim() == (-0.5, 0.5)
    assert mesh.colorbar.extend == "both"
    assert mesh.get_linewidth() == 2
    assert len(ax.texts) == _values(ax).size
    assert srsa_vae(adata, vmin=-0.5, show=False).collections[0].get_clim() == (-0.5, 0.5)
    (mesh,) = srsa_vae(adata, vmin=-1, vmax=3, show=False).collections
    assert mesh.get_clim() == (-1, 3)
    assert min(mesh.cmap(mesh.norm(0.0))) > 0.9
    ax = srsa_vae(adata, value="attention", vmin=0.2, vmax=0.4, cbar=False, show=False)
    assert ax.collections[0].get_clim() == (0.2, 0.4)
    assert ax.figure.axes == [ax]
    ax = srsa_vae(adata, cbar_kws={"label": "mine"}, show=False)
    assert _bar(ax).get_ylabel() == "mine"
    norm = plt.Normalize(-1, 2)
    assert srsa_vae(adata, norm=norm, show=False).collections[0].norm is norm


def _cut_off(ax):
    """Texts that reach beyond the figure."""
    fig = ax.figure
    fig.canvas.draw()
    texts = [text for text in fig.findobj(plt.Text) if text.get_visible() and text.get_text()]
    low, high = _bar(ax).get_ylim()
    for place, label in zip(_bar(ax).get_yticks(), _bar(ax).get_yticklabels(), strict=True):
        if not low <= place <= high:  # exists, but is not drawn
            texts.remove(label)
    boxes = {text.get_text(): text.get_window_extent() for text in texts}
    return [
        text
        for text, box in boxes.items()
        if box.x0 < -1 or box.y0 < -1 or box.x1 > fig.bbox.x1 + 1 or box.y1 > fig.bbox.y1 + 1
    ]


def _overlapping(labels):
    boxes = [label.get_window_extent().padded(-0.5) for label in labels if label.get_visible()]
    return [i for i, (a, b) in enumerate(pairwise(boxes)) if a.overlaps(b)]


@pytest.mark.parametrize("style", ["default", "scanpy"])
@pytest.mark.parametrize(
    ("names", "n_tokens", "value"),
    [
        (["a", "b"], 4, "lift"),
        (["one"], 32, "attention"),
        ([f"cluster {i}" for i in range(30)], 32, "lift"),
        ([f"cluster {i}" for i in range(30)], 128, "attention"),
        (LONG, 32, "lift"),
        ([f"{LONG[0]} {i}" for i in range(30)], 64, "lift"),
    ],
    ids=["few", "one", "many", "tokens", "long", "long-many"],
)
def test_labels_are_readable(names, n_tokens, value, style):
    """None is cut off, none lies over another, none is too small to print."""
    with plt.rc_context():
        if style == "scanpy":
            sc.set_figure_params()
        adata = fake_vae_result(names, n_tokens=n_tokens, n_unused=0, n_cells=20)
        ax = srsa_vae(adata, groupby="cell_type", value=value, show=False)
        assert _cut_off(ax) == []
        for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
            assert _overlapping(labels) == []
            assert min(label.get_fontsize() for label in labels) >= 6
        assert not any(line.get_visible() for line in ax.get_xgridlines() + ax.get_ygridlines())
        bar = _bar(ax).get_window_extent()
        assert 0.1 < bar.width / ax.figure.dpi < 0.35


def test_labels_fit_small_axes():
    names = [f"cluster {i}" for i in range(30)]
    _, ax = plt.subplots(figsize=(3.5, 3.5), layout="constrained")
    srsa_vae(fake_vae_result(names, n_tokens=64, n_unused=0), ax=ax)
    ax.figure.canvas.draw()
    assert _overlapping(ax.get_xticklabels()) == []
    shown = [label for label in ax.get_xticklabels() if label.get_visible()]
    assert 5 < len(shown) < 64
    assert min(label.get_fontsize() for label in shown) >= 5


@pytest.fixture
def shown(monkeypatch):
    calls = []
    monkeypatch.setattr(plt, "show", lambda *args, **kwargs: calls.append(1))
    return calls


@pytest.fixture
def settings():
    before = sc.settings.autoshow
    yield sc.settings
    sc.settings.autoshow = before


@pytest.mark.parametrize("autoshow", [True, False])
def test_show_follows_scanpy(shown, settings, autoshow):
    settings.autoshow = autoshow
    assert (srsa_vae(fake_vae_result()) is None) == autoshow
    assert len(shown) == autoshow


def test_show_and_return(shown):
    adata = fake_vae_result()
    assert isinstance(srsa_vae(adata, show=False), Axes)
    assert isinstance(srsa_vae(adata, return_fig=True), Figure)
    assert not shown
    assert srsa_vae(adata, show=True) is None
    assert len(shown) == 1


def test_given_axes_are_used_and_never_shown(shown):
    fig, ax = plt.subplots()
    assert srsa_vae(fake_vae_result(), ax=ax, show=True) is ax
    assert srsa_vae(fake_vae_result(), ax=ax, show=True, return_fig=True) is fig
    assert not shown
    assert plt.get_fignums() == [fig.number]


def test_adata_and_settings_are_unchanged():
    adata = fake_vae_result()
    obs, uns = adata.obs.copy(), deepcopy(dict(adata.uns))
    attention = adata.obsm[ATTENTION].copy()
    settings, bar = dict(plt.rcParams), {"shrink": 0.5}
    srsa_vae(adata, cbar_kws=bar, show=False)
    pd.testing.assert_frame_equal(adata.obs, obs)
    np.testing.assert_array_equal(adata.obsm[ATTENTION], attention)
    assert repr(dict(adata.uns)) == repr(uns)
    assert dict(plt.rcParams) == settings
    assert bar == {"shrink": 0.5}


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_same_figure_after_writing(tmp_path, kind):
    adata = fake_vae_result(labels_key="cell_type")
    path = tmp_path / f"result.{kind}"
    getattr(adata, f"write_{kind}")(path)
    axes = [srsa_vae(a, show=False) for a in (adata, getattr(ad, f"read_{kind}")(path))]
    assert _rows(axes[0]) == _rows(axes[1])
    assert _tokens(axes[0]) == _tokens(axes[1])
    np.testing.assert_array_equal(_values(axes[0]), _values(axes[1]))


def test_views_are_drawn():
    adata = fake_vae_result()
    part = adata[adata.obs["cell_type"] != "T cell"]
    assert _rows(srsa_vae(part, groupby="cell_type", show=False)) == [
        "B cell (40)",
        "Monocyte (42)",
    ]
    assert part.is_view


def test_neither_torch_nor_scvi_is_imported():
    code = (
        "import sys\n"
        "import sctools; sctools.pl.srsa_vae\n"
        "assert not {'torch', 'scvi', 'lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
