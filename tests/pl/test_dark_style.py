"""On a dark background nothing is lost, and nothing that should be pale shines."""

from __future__ import annotations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.colors import to_rgb

from sctools import pl

from .._fake_results import fake_age_result
from ._fake_prior_result import fake_prior_result
from ._fake_vae_result import fake_vae_result

STYLES = {"default": 1.0, "dark_background": 0.0}
"""Styles and the brightness of their background."""


def luminance(color) -> float:
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(color, background: float) -> float:
    """Ratio as in the Web Content Accessibility Guidelines."""
    light, dark = sorted((luminance(color), background), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("style", STYLES)
def test_many_categories_show_on_the_background(style):
    adata = fake_age_result(20)
    codes = adata.obs["donor_id"].cat.codes
    adata.obs["site"] = pd.Categorical([f"site {code}" for code in codes])
    with plt.style.context(style):
        ax = pl.age_clock(adata, color="site", show=False)
        colors = np.vstack([c.get_facecolor() for c in ax.findobj(PathCollection)])
        assert len(np.unique(colors[:, :3], axis=0)) == 20
        assert min(contrast(color[:3], STYLES[style]) for color in colors) > 1.5


@pytest.mark.parametrize("style", STYLES)
def test_numbers_show_on_the_background(style):
    adata = fake_age_result(20)
    adata.obs["bmi"] = 18.0 + adata.obs["donor_id"].cat.codes
    with plt.style.context(style):
        ax = pl.age_clock(adata, color="bmi", show=False)
        (drawn,) = [c for c in ax.findobj(PathCollection) if c.get_array() is not None]
        ends = drawn.get_cmap()([0.0, 1.0])
        assert min(contrast(color[:3], STYLES[style]) for color in ends) > 1.5


@pytest.mark.parametrize(("style", "visible"), [("default", 0.2), ("dark_background", 0.6)])
def test_many_points_show_on_the_background(style, visible):
    adata = fake_age_result(20, donor_key=None)
    with plt.style.context(style):
        ax = pl.age_by_celltype(adata, show=False)
        points = [c for c in ax.collections if isinstance(c, PathCollection)]
        assert points
        assert min(c.get_alpha() for c in points) > visible


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("draw", "artist"),
    [
        (lambda: pl.prior_transformer(fake_prior_result(), show=False), QuadMesh),
        (lambda: pl.tf_dotplot(fake_prior_result(), show=False), PathCollection),
        (lambda: pl.srsa_vae(fake_vae_result(), show=False), QuadMesh),
    ],
    ids=["prior_transformer", "tf_dotplot", "srsa_vae"],
)
def test_middle_of_a_diverging_scale_is_like_the_background(style, draw, artist):
    with plt.style.context(style):
        drawn = next(c for c in draw().collections if isinstance(c, artist))
        middle = drawn.get_cmap()(0.5)
        assert contrast(middle[:3], STYLES[style]) < 1.6


@pytest.mark.parametrize("style", STYLES)
def test_nothing_is_like_the_background_in_a_confusion_matrix(style):
    with plt.style.context(style):
        ax = pl.confusion(fake_prior_result(), show=False)
        mesh = next(c for c in ax.collections if isinstance(c, QuadMesh))
        assert contrast(mesh.get_cmap()(0.0)[:3], STYLES[style]) < 2.0
        assert contrast(mesh.get_cmap()(1.0)[:3], STYLES[style]) > 5


@pytest.mark.parametrize("name", ["prior_transformer", "tf_dotplot", "confusion", "srsa_vae"])
def test_a_colour_map_of_ones_own_is_taken(name):
    adata = fake_vae_result() if name == "srsa_vae" else fake_prior_result()
    with plt.style.context("dark_background"):
        ax = getattr(pl, name)(adata, cmap="magma", show=False)
        mapped = [c for c in ax.collections if c.get_array() is not None]
        assert mapped[0].get_cmap() == mpl.colormaps["magma"]
