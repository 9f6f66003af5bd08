from __future__ import annotations

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import PathPatch

from sctools.get import donor_age_df
from sctools.pl import age_by_celltype

from .._fake_results import fake_age_result


def _texts(ax, axis="x"):
    """Names of the groups and the numbers below them."""
    ticks = getattr(ax, f"get_{axis}ticklabels")
    return [[t.get_text() for t in ticks(minor=minor)] for minor in (False, True)]


def _boxes(ax):
    return [patch for patch in ax.patches if isinstance(patch, PathPatch)]


def test_points_are_the_donors_of_each_group():
    adata = fake_age_result(10)
    ax = age_by_celltype(adata, show=False)
    df = donor_age_df(adata, groupby="cell_type")
    names, numbers = _texts(ax)
    assert names == ["B cell", "Monocyte", "T cell"]
    assert len(_boxes(ax)) == 3
    for i, name in enumerate(names):
        group = df[df["cell_type"] == name]
        drawn = ax.collections[i].get_offsets()
        np.testing.assert_allclose(np.sort(drawn[:, 1]), np.sort(group["predicted"]))
        assert np.abs(drawn[:, 0] - i).max() < 0.3
        assert numbers[i] == f"{group['n_cells'].sum()} cells\n10 donors"
    assert ax.get_ylabel() == "Predicted age (years)"


def test_acceleration_has_a_zero_line():
    adata = fake_age_result(10, unit="months")
    ax = age_by_celltype(adata, value="acceleration", show=False)
    df = donor_age_df(adata, groupby="cell_type")
    expected = np.sort(df.loc[df["cell_type"] == "B cell", "acceleration"])
    np.testing.assert_allclose(np.sort(ax.collections[0].get_offsets()[:, 1]), expected)
    assert ax.get_ylabel() == "Age acceleration (months)"
    dashed = [line for line in ax.lines if line.get_linestyle() == "--"]
    np.testing.assert_allclose(dashed[0].get_ydata(), 0)
    assert not any(
        line.get_linestyle() == "--" for line in age_by_celltype(adata, show=False).lines
    )


def test_many_groups_lie_on_their_side():
    names = [f"cluster {i}" for i in range(30)]
    few, many = (
        age_by_celltype(fake_age_result(5, cell_types=names[:n], cells_per_donor=300), show=False)
        for n in (8, 30)
    )
    assert _texts(many, "y")[0] == names
    assert many.get_xlabel() == "Predicted age (years)"
    assert many.get_ylim()[0] > many.get_ylim()[1]
    assert many.figure.get_size_inches()[1] > 2 * few.figure.get_size_inches()[1]
    assert len({to_hex(c.get_facecolor()[0]) for c in many.collections}) == 1
    many.figure.canvas.draw()
    heights = [label.get_window_extent() for label in many.get_yticklabels("both")]
    heights.sort(key=lambda box: box.y0)
    assert all(a.y1 <= b.y0 + 2 for a, b in pairwise(heights))


def test_long_names_are_readable():
    names = [
        "effector memory CD4-positive, alpha-beta T cell, terminally differentiated",
        "plasmacytoid dendritic cell",
    ]
    ax = age_by_celltype(fake_age_result(8, cell_types=names), show=False)
    assert _texts(ax, "y")[0] == names
    ax.figure.canvas.draw()
    boxes = [label.get_window_extent() for label in ax.get_yticklabels("both")]
    assert min(box.x0 for box in boxes) >= 0
    assert ax.get_window_extent().width > 1.5 * ax.figure.dpi


def test_layout_follows_the_width_of_given_axes():
    adata = fake_age_result(5)
    _, (narrow, wide) = plt.subplots(1, 2, figsize=(9, 3), width_ratios=[1, 5])
    assert _texts(age_by_celltype(adata, ax=narrow), "y")[0] == ["B cell", "Monocyte", "T cell"]
    assert _texts(age_by_celltype(adata, ax=wide), "x")[0] == ["B cell", "Monocyte", "T cell"]


def test_one_donor_has_points_without_boxes():
    ax = age_by_celltype(fake_age_result(1), show=False)
    assert [len(c.get_offsets()) for c in ax.collections] == [1, 1, 1]
    assert not _boxes(ax)
    assert all(number.endswith("\n1 donor") for number in _texts(ax)[1])


def test_three_donors_have_a_median():
    adata = fake_age_result(3)
    ax = age_by_celltype(adata, show=False)
    df = donor_age_df(adata, groupby="cell_type")
    assert not _boxes(ax)
    medians = df.groupby("cell_type", observed=True)["predicted"].median()
    np.testing.assert_allclose([line.get_ydata()[0] for line in ax.lines], medians)


def test_samples_are_counted():
    ax = age_by_celltype(fake_age_result(4, n_samples=2), show=False)
    assert all(number.endswith("8 samples") for number in _texts(ax)[1])


def test_without_donors_points_are_cells():
    adata = fake_age_result(50, donor_key=None, applied=True)
    ax = age_by_celltype(adata, show=False)
    assert sum(len(c.get_offsets()) for c in ax.collections) == adata.n_obs
    assert all(c.get_rasterized() for c in ax.collections)
    assert _texts(ax)[1][0].endswith("cells")
    assert "donor" not in _texts(ax)[1][0]


def test_ages_need_not_be_known():
    adata = fake_age_result(4, n_unknown=4)
    assert len(age_by_celltype(adata, show=False).collections) == 3
    with pytest.raises(ValueError, match=r"needs true ages.*value='age'"):
        age_by_celltype(adata, value="acceleration")


def test_missing_values():
    adata = fake_age_result(6, n_unknown=2)
    adata.obs["group"] = adata.obs["cell_type"].astype(object).where(adata.obs["sex"] == "male")
    ax = age_by_celltype(adata, groupby="group", show=False)
    assert [len(c.get_offsets()) for c in ax.collections] == [3, 3, 3]
    ax = age_by_celltype(adata, value="acceleration", show=False)
    assert [len(c.get_offsets()) for c in ax.collections] == [4, 4, 4]
    # A group that only donors without an age have is not drawn.
    adata.obs["group"] = np.where(adata.obs["age"].isna(), "old", "new")
    ax = age_by_celltype(adata, value="acceleration", groupby="group", show=False)
    assert _texts(ax)[0] == ["new"]


def test_order():
    adata = fake_age_result(5)
    adata.obs["cell_type"] = adata.obs["cell_type"].cat.reorder_categories(
        ["T cell", "B cell", "Monocyte"]
    )
    assert _texts(age_by_celltype(adata, show=False))[0] == ["T cell", "B cell", "Monocyte"]
    ax = age_by_celltype(adata, order=["Monocyte", "T cell"], show=False)
    assert _texts(ax)[0] == ["Monocyte", "T cell"]
    with pytest.raises(ValueError, match=r"Unknown: 'NK'.*Available: 'T cell'"):
        age_by_celltype(adata, order=["NK"])
    with pytest.raises(ValueError, match="each once"):
        age_by_celltype(adata, order=["T cell", "T cell"])


def test_colors():
    adata = fake_age_result(5)
    adata.uns["cell_type_colors"] = ["#111111", "#222222", "#333333"]

    def drawn(**kwargs):
        ax = age_by_celltype(adata, show=False, **kwargs)
        return [to_hex(c.get_facecolor()[0]) for c in ax.collections]

    assert drawn() == ["#111111", "#222222", "#333333"]
    assert drawn(order=["T cell", "B cell"]) == ["#333333", "#111111"]
    assert drawn(palette=["r", "k", "b"]) == ["#ff0000", "#000000", "#0000ff"]
    assert drawn(color="k") == ["#000000"] * 3
    del adata.uns["cell_type_colors"]
    assert drawn() == ["#0173b2", "#de8f05", "#029e73"]


def test_kwargs_reach_the_points():
    ax = age_by_celltype(fake_age_result(5), s=3, marker="s", show=False)
    assert all(c.get_sizes() == [3] for c in ax.collections)


def test_errors():
    adata = fake_age_result(4)
    with pytest.raises(ValueError, match="'age' or 'acceleration', found 'ages'"):
        age_by_celltype(adata, value="ages")
    with pytest.raises(KeyError, match=r"groupby='nope'.*Available"):
        age_by_celltype(adata, groupby="nope")
    adata.obs["empty"] = np.nan
    with pytest.raises(ValueError, match="No cell has both"):
        age_by_celltype(adata, groupby="empty")
    del adata.obs["cell_type"]
    with pytest.raises(KeyError, match="computed with it"):
        age_by_celltype(adata)


def test_no_cell_types():
    adata = fake_age_result(4, cell_types=None)
    with pytest.raises(ValueError, match=r"without cell types.*groupby=.*'sex'"):
        age_by_celltype(adata)
    assert _texts(age_by_celltype(adata, groupby="sex", show=False))[0] == ["female", "male"]
