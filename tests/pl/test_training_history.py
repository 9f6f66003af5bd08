from __future__ import annotations

from itertools import pairwise

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sctools.pl import training_history

from .._fake_results import fake_age_result
from ._fake_prior_result import fake_prior_result
from ._fake_vae_result import fake_vae_result


def _by_width(ax):
    thick = [line for line in ax.lines if line.get_linewidth() > 2]
    return thick, [line for line in ax.lines if line not in thick]


def test_folds_are_thin_and_the_mean_is_thick():
    adata = fake_age_result(6)
    ax = training_history(adata, show=False)
    thick, thin = _by_width(ax)
    assert [line.get_label() for line in thick] == ["Train loss", "Validation loss"]
    assert len(thin) == 6
    assert thick[0].get_color() != thick[1].get_color()
    assert {line.get_color() for line in thin} == {line.get_color() for line in thick}
    assert ax.get_xlabel() == "Epoch"
    assert ax.get_ylabel() == "Loss (variances of age)"
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["Train loss", "Validation loss", "each of 3 folds"]


def test_stopped_folds_keep_their_last_value():
    adata = fake_age_result(6)
    history = adata.uns["age_clock"]["history"]
    (mean, _), _ = _by_width(training_history(adata, show=False))
    last = history.groupby("fold")["train_loss"].last()
    assert mean.get_xdata()[-1] == history["epoch"].max()
    np.testing.assert_allclose(mean.get_ydata()[-1], last.mean())
    first = history[history["epoch"] == 0]["train_loss"].mean()
    np.testing.assert_allclose(mean.get_ydata()[0], first)


def test_one_fold():
    thick, thin = _by_width(training_history(fake_age_result(6, n_folds=1), show=False))
    assert len(thick) == 2
    assert not thin


def test_metrics():
    adata = fake_age_result(6)
    ax = training_history(adata, metrics="validation_mae", show=False)
    assert ax.get_ylabel() == "Validation MAE"
    ax = training_history(adata, metrics="train_loss", show=False)
    assert ax.get_ylabel() == "Train loss (variances of age)"
    ax = training_history(adata, metrics=["train_loss", "validation_mae"], show=False)
    assert ax.get_ylabel() == "Value"
    for metrics in (["nope"], [], "fold"):
        with pytest.raises(KeyError, match="among 'train_loss', 'validation_loss'"):
            training_history(adata, metrics=metrics)


def test_missing_values():
    adata = fake_age_result(6)
    history = adata.uns["age_clock"]["history"]
    history.loc[history["epoch"] % 2 == 1, "validation_loss"] = np.nan
    thick, _ = _by_width(training_history(adata, show=False))
    assert np.isfinite(thick[1].get_ydata()).all()
    history["validation_loss"] = np.nan
    thick, _ = _by_width(training_history(adata, show=False))
    assert [line.get_label() for line in thick] == ["Train loss"]


def test_kwargs_reach_the_means():
    ax = training_history(fake_age_result(6), lw=5, ls=":", show=False)
    thick, _ = _by_width(ax)
    assert {line.get_linewidth() for line in thick} == {5}
    assert {line.get_linestyle() for line in thick} == {":"}


def test_applied_model_has_no_history():
    with pytest.raises(ValueError, match=r"no training history.*given model"):
        training_history(fake_age_result(6, applied=True))


KEY = "srsa_vae"


def _legend(ax):
    legend = ax.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def _drawn(ax):
    return {line.get_label(): line for line in ax.lines}


def test_vae_has_a_panel_for_each_quantity():
    adata = fake_vae_result()
    axes = training_history(adata, KEY, show=False)
    assert isinstance(axes, list)
    assert [ax.get_ylabel().split("\n")[0] for ax in axes] == [
        "Negative ELBO",
        "KL weight",
        "Learned scale",
        "Entropy",
    ]
    assert [_legend(ax) for ax in axes] == [
        ["Train", "Validation"],
        [],
        ["Alpha (residual)", "Beta (attention)"],
        ["Attention of a cell", "Use of the tokens"],
    ]
    assert [ax.get_xlabel() for ax in axes] == ["", "", "", "Epoch"]
    assert axes[0].figure.axes == axes
    history = adata.uns[KEY]["history"]
    for ax, names in zip(
        axes,
        [
            ["elbo_train", "elbo_validation"],
            ["kl_weight"],
            ["alpha", "beta"],
            ["attention_entropy", "token_entropy"],
        ],
        strict=True,
    ):
        for line, name in zip(ax.lines, names, strict=True):
            np.testing.assert_array_equal(line.get_xdata(), history["epoch"])
            np.testing.assert_array_equal(line.get_ydata(), history[name])
        assert len({line.get_color() for line in ax.lines}) == len(names)


def test_vae_axes_show_their_whole_range():
    axes = training_history(fake_vae_result(), KEY, show=False)
    assert axes[1].get_ylim()[0] == 0
    low, high = axes[3].get_ylim()
    assert low == 0
    assert 1 < high < 1.1


def test_vae_leaves_out_what_is_not_there():
    adata = fake_vae_result(attention="none", validation=False)
    axes = training_history(adata, KEY, show=False)
    assert [ax.get_ylabel().split("\n")[0] for ax in axes] == ["Negative ELBO", "KL weight"]
    assert _legend(axes[0]) == ["Train"]
    assert axes[1].get_xlabel() == "Epoch"
    history = adata.uns[KEY]["history"]
    adata.uns[KEY]["history"] = history[["epoch", "kl_local_train", "kl_weight"]]
    (ax,) = training_history(adata, KEY, show=False)
    assert ax.get_ylabel() == "KL weight"
    adata.uns[KEY]["history"] = history[["epoch", "kl_local_train", "reconstruction_loss_train"]]
    axes = training_history(adata, KEY, show=False)
    assert [ax.get_ylabel() for ax in axes] == ["KL local train", "Reconstruction loss train"]


def test_vae_columns_of_missing_values():
    adata = fake_vae_result()
    history = adata.uns[KEY]["history"]
    history["beta"] = np.nan
    history.loc[history["epoch"] % 5 != 4, "elbo_validation"] = np.nan
    history.loc[history["epoch"] < 20, "alpha"] = np.nan
    axes = training_history(adata, KEY, show=False)
    assert list(_drawn(axes[2])) == ["Alpha (residual)"]
    assert len({ax.get_xlim() for ax in axes}) == 1
    validation = _drawn(axes[0])["Validation"]
    np.testing.assert_array_equal(validation.get_xdata(), np.arange(4, 40, 5))
    assert np.isfinite(validation.get_ydata()).all()


def test_vae_metrics_are_drawn_in_one_axes():
    adata = fake_vae_result()
    ax = training_history(adata, KEY, metrics="reconstruction_loss_train", show=False)
    assert isinstance(ax, Axes)
    assert ax.get_ylabel() == "Reconstruction loss train"
    ax = training_history(adata, KEY, metrics=["beta", "alpha"], show=False)
    assert ax.get_ylabel() == "Learned scale"
    assert _legend(ax) == ["Beta (attention)", "Alpha (residual)"]
    ax = training_history(adata, KEY, metrics=["elbo_train", "kl_local_train"], show=False)
    assert ax.get_ylabel() == "Value"
    assert _legend(ax) == ["Negative ELBO train", "KL local train"]
    for metrics in (["nope"], [], "epoch"):
        with pytest.raises(KeyError, match="among 'elbo_train', 'elbo_validation'"):
            training_history(adata, KEY, metrics=metrics)


def test_vae_given_axes_get_the_elbo():
    adata = fake_vae_result()
    fig, ax = plt.subplots()
    assert training_history(adata, KEY, ax=ax) is ax
    assert ax.get_ylabel() == "Negative ELBO (nats per cell)"
    assert _legend(ax) == ["Train", "Validation"]
    assert fig.axes == [ax]
    assert plt.get_fignums() == [fig.number]


def test_vae_one_epoch_is_seen():
    axes = training_history(fake_vae_result(n_epochs=1), KEY, show=False)
    assert {line.get_marker() for ax in axes for line in ax.lines} == {"o"}
    axes = training_history(fake_vae_result(n_epochs=2), KEY, show=False)
    assert {line.get_marker() for ax in axes for line in ax.lines} == {"None"}


def test_vae_kwargs_reach_the_lines():
    axes = training_history(fake_vae_result(), KEY, lw=5, ls=":", show=False)
    assert {line.get_linewidth() for ax in axes for line in ax.lines} == {5}
    assert {line.get_linestyle() for ax in axes for line in ax.lines} == {":"}


def test_vae_show_and_return(monkeypatch):
    calls = []
    monkeypatch.setattr(plt, "show", lambda: calls.append(1))
    adata = fake_vae_result()
    figure = training_history(adata, KEY, return_fig=True)
    assert isinstance(figure, Figure)
    assert len(figure.axes) == 4
    assert not calls
    assert training_history(adata, KEY, show=True) is None
    assert len(calls) == 1


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_vae_same_figure_after_writing(tmp_path, kind):
    adata = fake_vae_result(key="mine")
    before = adata.uns["mine"]["history"].copy()
    getattr(adata, f"write_{kind}")(tmp_path / "result")
    back = getattr(ad, f"read_{kind}")(tmp_path / "result")
    for first, second in zip(
        training_history(adata, "mine", show=False),
        training_history(back, "mine", show=False),
        strict=True,
    ):
        assert list(_drawn(first)) == list(_drawn(second))
        for a, b in zip(first.lines, second.lines, strict=True):
            np.testing.assert_array_equal(a.get_ydata(), b.get_ydata())
    pd.testing.assert_frame_equal(adata.uns["mine"]["history"], before)


@pytest.mark.parametrize("fontsize", [10, 14])
def test_vae_labels_are_within_the_figure(fontsize):
    with plt.rc_context({"font.size": fontsize}):
        axes = training_history(fake_vae_result(), KEY, show=False)
        fig = axes[0].figure
        fig.canvas.draw()
        labels = [ax.yaxis.label.get_window_extent() for ax in axes]
        for above, below in pairwise(labels):
            assert above.y0 > below.y1
        legends = [ax.get_legend().get_window_extent() for ax in axes if ax.get_legend()]
        assert max(box.x1 for box in legends) <= fig.bbox.x1 + 1
        inner = axes[0].get_window_extent()
        assert min(box.x0 for box in legends) >= inner.x1
        assert inner.width > 0.55 * fig.bbox.width


def test_errors_name_the_tool_of_the_result():
    with pytest.raises(ValueError, match=r"no training history.*sctools\.tl\.srsa_vae\(adata\)"):
        training_history(fake_vae_result(applied=True, key="mine"), "mine")
    with pytest.raises(ValueError, match=r"no training history.*sctools\.tl\.age_clock\(adata\)"):
        training_history(fake_age_result(6, applied=True))
    adata = fake_vae_result(key="mine")
    with pytest.raises(KeyError, match=r"Available results: 'mine'.*sctools\.tl\.srsa_vae"):
        training_history(adata, KEY)
    with pytest.raises(KeyError, match=r"Available results: 'mine'.*sctools\.tl\.age_clock"):
        training_history(adata)


PRIOR = "prior_transformer"


def test_prior_has_panels_of_loss_and_validation():
    adata = fake_prior_result()
    axes = training_history(adata, PRIOR, show=False)
    assert [ax.get_ylabel() for ax in axes] == ["Loss\n(cross-entropy)", "Validation cells"]
    assert [_legend(ax) for ax in axes] == [["Train", "Validation"], ["Accuracy", "Macro-F1"]]
    assert [ax.get_xlabel() for ax in axes] == ["", "Epoch"]
    history = adata.uns[PRIOR]["history"]
    names = ["loss_train", "loss_validation", "accuracy_validation", "macro_f1_validation"]
    lines = [line for ax in axes for line in ax.lines]
    for line, name in zip(lines, names, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), history["epoch"])
        np.testing.assert_array_equal(line.get_ydata(), history[name])


def test_prior_without_validation():
    (ax,) = training_history(fake_prior_result(validation=False), PRIOR, show=False)
    assert _legend(ax) == ["Train"]


def test_prior_in_one_axes():
    adata = fake_prior_result()
    _, ax = plt.subplots()
    assert training_history(adata, PRIOR, ax=ax) is ax
    assert ax.get_ylabel() == "Loss (cross-entropy)"
    assert _legend(ax) == ["Train", "Validation"]
    ax = training_history(adata, PRIOR, metrics="macro_f1_validation", show=False)
    assert ax.get_ylabel() == "Validation cells"
    ax = training_history(adata, PRIOR, metrics=["loss_train", "macro_f1_validation"], show=False)
    assert _legend(ax) == ["Loss train", "Macro F1 validation"]
    with pytest.raises(KeyError, match="among 'loss_train', 'loss_validation'"):
        training_history(adata, PRIOR, metrics="nope")


def test_prior_errors_name_its_tool():
    with pytest.raises(ValueError, match=r"no training history.*tl\.prior_transformer\(adata\)"):
        training_history(fake_prior_result(applied=True, key="mine"), "mine")
    with pytest.raises(KeyError, match=r"Available results: 'mine'.*tl\.prior_transformer"):
        training_history(fake_prior_result(key="mine"), PRIOR)
