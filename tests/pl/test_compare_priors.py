from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad
from matplotlib.legend import Legend

from sctools.pl import compare_priors

from ._fake_prior_result import MODES, fake_comparison
from ._readable import cut_off, overlapping

NAMES = ["Hard prior", "Soft prior", "No prior", "Shuffled prior", "Logistic regression"]


def _adata(results, key="compare_priors"):
    uns = {key: {"params": {"labels_key": "cell_type"}, "results": results}}
    return AnnData(np.ones((3, 2), dtype="float32"), uns=uns)


def _lines(ax):
    return {line.get_label(): line for line in ax.lines}


def _legend(ax):
    (legend,) = [child for child in ax.get_children() if isinstance(child, Legend)]
    return legend


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "ece"])
def test_means_and_deviations(metric):
    results = fake_comparison()
    ax = compare_priors(_adata(results), metric=metric, show=False)
    assert list(_lines(ax)) == NAMES
    for name, mode, bars in zip(NAMES, MODES, ax.collections, strict=True):
        by = results[results["mode"] == mode].groupby("n_labels")[metric]
        line = _lines(ax)[name]
        np.testing.assert_allclose(line.get_ydata(), by.mean())
        # Beside each other, but not far from the number of labels.
        np.testing.assert_allclose(line.get_xdata(), by.mean().index, rtol=0.06)
        ends = np.array([segment[:, 1] for segment in bars.get_segments()])
        np.testing.assert_allclose(ends.mean(axis=1), by.mean())
        np.testing.assert_allclose(ends[:, 1] - ends[:, 0], 2 * by.std())
    assert len({line.get_color() for line in ax.lines}) == 5
    assert len({line.get_marker() for line in ax.lines}) == 5


def test_axes_and_legend():
    ax = compare_priors(fake_comparison(), show=False)
    assert ax.get_xscale() == "log"
    assert list(ax.get_xticks()) == [14, 68, 338, 1351]
    ax.figure.canvas.draw()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["14", "68", "338", "1,351"]
    assert ax.get_xlabel() == "Labelled cells"
    assert ax.get_ylabel() == "Accuracy"
    assert compare_priors(fake_comparison(), metric="ece", show=False).get_ylabel() == (
        "Expected calibration error"
    )
    legend = _legend(ax)
    assert legend.get_title().get_text() == "mean ± SD, 5 seeds\n400 test cells"
    assert [text.get_text() for text in legend.get_texts()] == NAMES
    results = fake_comparison()
    some = results[(results["mode"] != "none") | (results["seed"] < 2)]
    title = _legend(compare_priors(some, show=False)).get_title().get_text()
    assert title == "mean ± SD, 2–5 seeds\n400 test cells"
    assert legend.get_window_extent().x0 >= ax.get_window_extent().x1
    assert cut_off(ax.figure) == []


def test_table_and_result_are_drawn_alike(tmp_path):
    results = fake_comparison()
    adata = _adata(results, key="mine")
    adata.write_h5ad(tmp_path / "a.h5ad")
    axes = [
        compare_priors(results.sample(frac=1, random_state=0), show=False),
        compare_priors(adata, "mine", show=False),
        compare_priors(read_h5ad(tmp_path / "a.h5ad"), key="mine", show=False),
    ]
    for ax in axes[1:]:
        assert list(_lines(ax)) == list(_lines(axes[0]))
        for a, b in zip(ax.lines, axes[0].lines, strict=True):
            np.testing.assert_allclose(a.get_xydata(), b.get_xydata())


def test_one_seed_and_one_fraction():
    results = fake_comparison(["hard", "none"], [0.25], n_seeds=1)
    ax = compare_priors(results, show=False)
    assert _legend(ax).get_title().get_text() == "one seed\n400 test cells"
    low, high = ax.get_xlim()
    assert low < 338 < high
    assert high / low < 4
    assert list(ax.get_xticks()) == [338]


def test_numbers_of_labels_that_vary_with_the_seed_are_one_point():
    results = fake_comparison(["hard"], [0.1, 0.5])
    results["n_labels"] += results["seed"]
    ax = compare_priors(results, show=False)
    np.testing.assert_allclose(_lines(ax)["Hard prior"].get_xdata(), [137, 678])


def test_close_numbers_of_labels_do_not_collide():
    results = fake_comparison(fractions=np.linspace(0.1, 1, 30))
    ax = compare_priors(results, show=False)
    ax.figure.canvas.draw()
    assert overlapping(ax.get_xticklabels()) == []
    assert 3 < len(ax.get_xticks()) < 12


def test_other_modes_and_missing_values():
    results = fake_comparison(["mine", "hard"])
    results.loc[results["mode"] == "mine", "macro_f1"] = np.nan
    assert list(_lines(compare_priors(results, show=False))) == ["Hard prior", "mine"]
    ax = compare_priors(results, metric="macro_f1", show=False)
    assert list(_lines(ax)) == ["Hard prior"]
    assert list(_lines(compare_priors(results, metric="n_test", show=False))) == [
        "Hard prior",
        "mine",
    ]


def test_categorical_modes():
    results = fake_comparison()
    results["mode"] = pd.Categorical(results["mode"])
    assert list(_lines(compare_priors(results, show=False))) == NAMES


def test_kwargs_reach_the_lines():
    ax = compare_priors(fake_comparison(), lw=4, show=False)
    assert {line.get_linewidth() for line in ax.lines} == {4}


def test_errors():
    adata = _adata(fake_comparison(), key="mine")
    with pytest.raises(KeyError, match=r"No result.*'mine'.*sctools\.tl\.compare_priors"):
        compare_priors(adata)
    with pytest.raises(KeyError, match=r"lacks the columns 'f1'\. Available: 'mode', 'label_"):
        compare_priors(adata, "mine", metric="f1")
    with pytest.raises(KeyError, match=r"the table lacks the columns 'seed'"):
        compare_priors(fake_comparison().drop(columns="seed"))
    del adata.uns["mine"]["results"]
    with pytest.raises(KeyError, match=r"no table of results; it holds 'params'"):
        compare_priors(adata, "mine")
    results = fake_comparison()
    with pytest.raises(ValueError, match="`n_labels` of the table must be positive"):
        compare_priors(results.assign(n_labels=0))
    with pytest.raises(ValueError, match="no value of 'accuracy'"):
        compare_priors(results.assign(accuracy=np.nan))
    assert not plt.get_fignums()
