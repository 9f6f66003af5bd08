"""`palette` takes the name of a palette, a list or a mapping, wherever a plot has it."""

from __future__ import annotations

import inspect

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import seaborn as sns
from matplotlib.colors import to_hex, to_rgba_array

from sctools import pl, tl

from .._fake_acceleration import fake_acceleration
from .._fake_genes import fake_genes
from .._fake_results import fake_age_result
from ._fake_clock_result import fake_clocks
from ._fake_prior_result import fake_comparison, fake_prior_result


def _by_celltype(palette):
    return pl.age_by_celltype(fake_age_result(), palette=palette, show=False).collections


def _clock(palette):
    adata = fake_age_result(9)
    codes = adata.obs["donor_id"].cat.codes % 3
    adata.obs["site"] = pd.Categorical([f"site {code}" for code in codes])
    return pl.age_clock(adata, color="site", palette=palette, show=False).collections


def _acceleration(palette):
    adata = fake_acceleration((8, 8, 8, 8), groups=("control", "a", "b", "c"), effect=9.0)
    tl.age_acceleration(adata, "group", reference="control")
    return pl.age_acceleration(adata, palette=palette, show=False).collections


def _genes(palette):
    return pl.age_genes(fake_genes(["B"]), palette=palette, show=False).collections


def _clocks(palette):
    return pl.compare_clocks(fake_clocks(), palette=palette, show=False).lines


def _priors(palette):
    table = fake_comparison(["hard", "none", "mine"])
    return pl.compare_priors(table, palette=palette, show=False).lines


def _network(palette):
    ax = pl.attention_network(fake_prior_result(), "T cell", palette=palette, show=False)
    return ax.patches


# Plot -> how to draw it, and the names that its colours go by.
PLOTS = {
    "age_by_celltype": (_by_celltype, ("B cell", "Monocyte", "T cell")),
    "age_clock": (_clock, ("site 0", "site 1", "site 2")),
    "age_acceleration": (_acceleration, ("a", "b", "c", "control")),
    "age_genes": (_genes, ("up", "down")),
    "compare_clocks": (_clocks, ("gma", "ridge", "pls")),
    "compare_priors": (_priors, ("hard", "none", "mine")),
    "attention_network": (_network, ("activation", "repression", "sign unknown")),
}


def colors_of(artists):
    getters = ("get_facecolor", "get_edgecolor", "get_color")
    colors = [
        getattr(artist, get)() for artist in artists for get in getters if hasattr(artist, get)
    ]
    return {to_hex(row) for color in colors for row in to_rgba_array(color)}


def test_every_plot_with_a_palette_is_here():
    having = [
        name for name in pl.__all__ if "palette" in inspect.signature(getattr(pl, name)).parameters
    ]
    assert sorted(PLOTS) == having


@pytest.mark.parametrize("kind", ["name", "list", "mapping"])
@pytest.mark.parametrize("name", PLOTS)
def test_palette_is_taken(name, kind):
    draw, names = PLOTS[name]
    wanted = [to_hex(color) for color in sns.color_palette("Set2", len(names))]
    palette = {"name": "Set2", "list": wanted, "mapping": dict(zip(names, wanted, strict=True))}[
        kind
    ]
    found = colors_of(draw(palette))
    drawn = wanted if name != "age_acceleration" else wanted[:3]  # the reference is not drawn
    assert set(drawn) <= found


@pytest.mark.parametrize("name", PLOTS)
def test_palette_that_does_not_fit_is_refused_before_anything_is_drawn(name):
    draw, _ = PLOTS[name]
    with pytest.raises(ValueError, match="`palette` has"):
        draw({"nothing": "red"})
    with pytest.raises(ValueError, match="`palette` has 1 colours"):
        draw(["red"])
    assert not plt.get_fignums()
