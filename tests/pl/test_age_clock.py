from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.legend import Legend

from sctools.pl import age_clock

from .._fake_results import fake_age_result


def _labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_points_are_the_donors():
    adata = fake_age_result(10)
    ax = age_clock(adata, show=False)
    donors = adata.uns["age_clock"]["donors"]
    np.testing.assert_allclose(
        ax.collections[0].get_offsets(), donors[["age", "predicted"]].to_numpy()
    )
    assert ax.get_xlabel() == "Age (years)"
    assert ax.get_ylabel() == "Predicted age (years)"
    assert ax.get_aspect() == 1
    assert ax.get_xlim() == ax.get_ylim()


def test_lines_of_identity_and_of_the_mean():
    adata = fake_age_result(10)
    identity, mean = age_clock(adata, show=False).lines
    assert identity.get_slope() == 1
    assert identity.get_xy1() == (0, 0)
    assert identity.get_linestyle() == "-"
    expected = adata.uns["age_clock"]["donors"]["mean_age"].mean()
    np.testing.assert_allclose(mean.get_ydata(), expected)
    assert mean.get_linestyle() == "--"


def test_legend_has_the_metrics():
    adata = fake_age_result(10, unit="months")
    metrics = adata.uns["age_clock"]["metrics"]["donor"]
    metrics.update(mae=6.21, r=-0.834, mae_mean=14.14)
    ax = age_clock(adata, show=False)
    clock, mean, identity = _labels(ax)
    assert clock == "Clock, 10 donors: MAE 6.2 months, r = −0.83"
    assert mean == "Mean age: MAE 14.1 months"
    assert identity == "Predicted = true age"
    assert ax.get_legend().get_title().get_text() == ""
    assert ax.get_xlabel() == "Age (months)"


def test_failure_is_said():
    adata = fake_age_result(10, informative=False)
    title = age_clock(adata, show=False).get_legend().get_title()
    assert title.get_text() == "Does not beat the mean age (p = 0.42)"
    del adata.uns["age_clock"]["metrics"]["p_value"]
    title = age_clock(adata, show=False).get_legend().get_title()
    assert title.get_text() == "Does not beat the mean age"


def test_one_donor():
    ax = age_clock(fake_age_result(1), show=False)
    assert len(ax.collections[0].get_offsets()) == 1
    assert _labels(ax)[0].startswith("Clock, 1 donor: MAE")
    assert "r =" not in _labels(ax)[0]


def test_samples():
    ax = age_clock(fake_age_result(5, n_samples=2), show=False)
    assert len(ax.collections[0].get_offsets()) == 10
    assert "10 samples" in _labels(ax)[0]


def test_donors_without_age_are_left_out():
    ax = age_clock(fake_age_result(10, n_unknown=3), show=False)
    assert len(ax.collections[0].get_offsets()) == 7
    assert "7 donors" in _labels(ax)[0]


def test_applied_model():
    assert age_clock(fake_age_result(5, applied=True), show=False) is not None


@pytest.mark.parametrize("n_samples", [1, 2])
def test_color_by_category(n_samples):
    adata = fake_age_result(6, n_samples=n_samples)
    ax = age_clock(adata, color="sex", palette={"female": "red", "male": "blue"}, show=False)
    expected = np.repeat(["#ff0000", "#0000ff"] * 3, n_samples)
    assert [to_hex(c) for c in ax.collections[0].get_facecolor()] == list(expected)
    legend = next(a for a in ax.findobj(Legend) if a is not ax.get_legend())
    assert legend.get_title().get_text() == "sex"
    assert [text.get_text() for text in legend.get_texts()] == ["female", "male"]
    assert _labels(ax)[0].startswith("Clock")


def test_colors_of_scanpy_are_respected():
    adata = fake_age_result(2)
    adata.uns["sex_colors"] = np.array(["#112233", "#445566"])
    ax = age_clock(adata, color="sex", show=False)
    assert [to_hex(c) for c in ax.collections[0].get_facecolor()] == ["#112233", "#445566"]
    ax = age_clock(adata, color="sex", palette=["k", "w"], show=False)
    assert [to_hex(c) for c in ax.collections[0].get_facecolor()] == ["#000000", "#ffffff"]


@pytest.mark.parametrize("colors", [["#112233"], ["#112233", "no colour"]])
def test_stored_colors_that_do_not_fit_are_passed_over(colors):
    adata = fake_age_result(2)
    adata.uns["sex_colors"] = colors
    ax = age_clock(adata, color="sex", show=False)
    assert to_hex(ax.collections[0].get_facecolor()[0]) == "#0173b2"


def test_many_categories():
    ax = age_clock(fake_age_result(30), color="donor_id", show=False)
    colors = np.concatenate([points.get_facecolor() for points in ax.collections])
    assert len(np.unique(colors, axis=0)) == len(colors) == 30


def test_more_than_three_categories_differ_in_shape_as_well():
    adata = fake_age_result(30)
    codes = adata.obs["donor_id"].cat.codes % 8
    adata.obs["site"] = pd.Categorical([f"site {code}" for code in codes])
    legend = {}
    for color in ("sex", "site"):
        ax = age_clock(adata, color=color, show=False)
        found = next(a for a in ax.findobj(Legend) if a is not ax.get_legend())
        legend[color] = [handle.get_marker() for handle in found.legend_handles]
    assert legend == {"sex": ["o", "o"], "site": [*"ooo^^^ss"]}
    assert [len(points.get_offsets()) for points in ax.collections] == [12, 12, 6]
    shapes = [points.get_paths()[0].vertices.shape for points in ax.collections]
    assert len(set(shapes)) == 3
    # A marker of one's own is taken for all.
    ax = age_clock(adata, color="site", marker="*", show=False)
    assert [len(points.get_offsets()) for points in ax.collections] == [30]


def test_color_by_number():
    adata = fake_age_result(6)
    ax = age_clock(adata, color="age", palette="magma", show=False)
    donors = adata.uns["age_clock"]["donors"]
    np.testing.assert_allclose(ax.collections[0].get_array(), donors["age"])
    assert ax.collections[0].get_cmap().name == "magma"
    assert ax.figure.axes[1].get_ylabel() == "age"


@pytest.mark.parametrize("values", ["text", "Int64"])
def test_missing_values_of_color_are_grey(values):
    adata = fake_age_result(6)
    known = adata.obs["donor_id"].isin(["D1", "D2"])
    if values == "text":
        adata.obs["site"] = adata.obs["sex"].astype(object).where(known)
    else:
        adata.obs["site"] = known.astype("Int64").where(known)
    ax = age_clock(adata, color="site", show=False)
    assert [len(c.get_offsets()) for c in ax.collections[:2]] == [4, 2]


def test_cells_that_lack_the_value_do_no_harm():
    adata = fake_age_result(4)
    adata.obs.loc[adata.obs_names[0], "sex"] = np.nan
    ax = age_clock(adata, color="sex", show=False)
    assert len(ax.collections[0].get_offsets()) == 4


def test_kwargs_reach_the_points():
    ax = age_clock(fake_age_result(3), s=77, lw=2, edgecolor="red", show=False)
    points = ax.collections[0]
    assert points.get_sizes() == [77]
    assert points.get_linewidths() == [2]
    assert to_hex(points.get_edgecolor()[0]) == "#ff0000"
    assert to_hex(age_clock(fake_age_result(3), c="k", show=False).collections[0].get_fc()) == (
        "#000000"
    )


def bars(ax):
    return [c for c in ax.collections if isinstance(c, LineCollection)]


@pytest.mark.parametrize("color", [None, "sex", "age"])
def test_intervals_are_bars_beneath_the_points(color):
    adata = fake_age_result(10, radius=9.0)
    ax = age_clock(adata, color=color, show=False)
    donors = adata.uns["age_clock"]["donors"]
    (drawn,) = bars(ax)
    found = np.array(drawn.get_segments())
    ends = np.stack([donors[["age", "lower"]], donors[["age", "upper"]]], axis=1)
    np.testing.assert_allclose(found, ends)
    assert drawn.get_zorder() < ax.collections[0].get_zorder()
    assert _labels(ax)[-1] == "90 % interval"
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_ylim()[0] < donors["lower"].min()
    assert ax.get_ylim()[1] > donors["upper"].max()


def test_intervals_can_be_left_out():
    adata = fake_age_result(10, radius=9.0)
    adata.uns["age_clock"]["params"]["level"] = 0.975
    assert _labels(age_clock(adata, show=False))[-1] == "97.5 % interval"
    without = age_clock(adata, intervals=False, show=False)
    plain = age_clock(fake_age_result(10), show=False)
    assert bars(without) == bars(plain) == []
    assert _labels(without) == _labels(plain)
    assert without.get_ylim() == plain.get_ylim()


def test_donors_without_an_interval():
    adata = fake_age_result(10, radius=9.0)
    donors = adata.uns["age_clock"]["donors"]
    donors.loc["D3", ["lower", "upper"]] = np.nan
    (drawn,) = bars(age_clock(adata, show=False))
    assert len(drawn.get_segments()) == 9
    donors[["lower", "upper"]] = np.nan
    ax = age_clock(adata, show=False)
    assert bars(ax) == []
    assert len(_labels(ax)) == 3


def test_many_intervals_are_thin():
    few, many = (bars(age_clock(fake_age_result(n, radius=9.0), show=False)) for n in (100, 101))
    assert many[0].get_linewidth()[0] < few[0].get_linewidth()[0]
    assert many[0].get_alpha() < few[0].get_alpha() < 1


def test_errors():
    adata = fake_age_result(4)
    with pytest.raises(KeyError, match=r"color='nope'.*Available"):
        age_clock(adata, color="nope")
    with pytest.raises(ValueError, match=r"one value per donor.*'D1'.*age_by_celltype"):
        age_clock(adata, color="cell_type")
    with pytest.raises(ValueError, match="one value per donor"):
        age_clock(adata, color="age_clock")
    with pytest.raises(ValueError, match="no colour for 'male'"):
        age_clock(adata, color="sex", palette={"female": "red"})
    with pytest.raises(ValueError, match="has 1 colours, but 'sex' has 2"):
        age_clock(adata, color="sex", palette=["red"])
    with pytest.raises(ValueError, match="name of a colour map"):
        age_clock(adata, color="age", palette=["red"])


def test_color_that_differs_between_samples_of_a_donor():
    adata = fake_age_result(3, n_samples=2)
    adata.obs["visit"] = adata.obs["sample"].astype(str).str[-2:]
    ax = age_clock(adata, color="visit", show=False)
    assert len(ax.collections[0].get_offsets()) == 6


def test_no_ages_points_to_the_other_figure():
    with pytest.raises(ValueError, match=r"no age was known.*pl\.age_by_celltype"):
        age_clock(fake_age_result(3, n_unknown=3))


def test_no_donors():
    with pytest.raises(ValueError, match="without donors"):
        age_clock(fake_age_result(3, donor_key=None, applied=True))


def test_long_names_of_many_categories_leave_room_for_the_data():
    adata = fake_age_result(20)
    codes = adata.obs["donor_id"].cat.codes
    names = [f"a hospital with a rather long name, no. {code:02}" for code in codes]
    adata.obs["site"] = pd.Categorical(names)
    ax = age_clock(adata, color="site", show=False)
    ax.figure.draw_without_rendering()
    box = ax.get_window_extent()
    assert min(box.width, box.height) / ax.figure.dpi > 2.5
