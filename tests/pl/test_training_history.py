from __future__ import annotations

import numpy as np
import pytest

from sctools.pl import training_history

from .._fake_results import fake_age_result


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
    assert ax.get_ylabel() == "Loss"
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
