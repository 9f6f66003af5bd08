from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from sctools._calibration_error import calibration_bins, expected_calibration_error
from sctools.pl import calibration

from ._fake_prior_result import fake_prior_result

KEY = "prior_transformer"


def _answers(adata, which="validation"):
    """Confidence, and whether the most probable class is right."""
    cells = (adata.obs[f"{KEY}_split"] == which).to_numpy()
    best = adata.uns[KEY]["classes"][adata.obsm[f"{KEY}_proba"].argmax(axis=1)]
    right = best == adata.obs["cell_type"].astype(str)
    return adata.obs[f"{KEY}_confidence"].to_numpy()[cells], right.to_numpy()[cells]


def _points(ax):
    (line,) = [line for line in ax.lines if line.get_marker() == "o"]
    return line


def _histogram(ax):
    (histogram,) = ax.child_axes
    return histogram


def test_points_are_bins_of_validation_cells():
    adata = fake_prior_result(n_cells=400)
    ax = calibration(adata, n_bins=8, show=False)
    bins = calibration_bins(*_answers(adata), 8)
    assert len(bins.n) == 8
    np.testing.assert_allclose(_points(ax).get_xdata(), bins.confidence)
    np.testing.assert_allclose(_points(ax).get_ydata(), bins.accuracy)
    assert ax.get_xlabel() == "Confidence"


def test_title():
    adata = fake_prior_result(n_cells=1500)
    confidence, right = _answers(adata)
    title = calibration(adata, n_bins=4, show=False).get_title()
    error = expected_calibration_error(confidence, right)
    assert title == (
        f"{len(right):,} validation cells\naccuracy {right.mean():.3f}, ECE {error:.3f}"
    )
    # The error does not depend on what is drawn.
    assert calibration(adata, n_bins=20, show=False).get_title() == title


def test_histogram():
    adata = fake_prior_result(n_cells=400)
    ax = calibration(adata, show=False)
    heights = [patch.get_height() for patch in _histogram(ax).patches]
    confidence, _ = _answers(adata)
    np.testing.assert_array_equal(heights, np.histogram(confidence, np.linspace(0, 1, 41))[0])
    assert _histogram(ax).get_xlim() == ax.get_xlim()
    ax.figure.canvas.draw()
    above = _histogram(ax).get_window_extent()
    assert above.y0 > ax.get_window_extent().y1
    assert ax.title.get_window_extent().y0 > above.y1


def test_intervals_hold_the_points():
    ax = calibration(fake_prior_result(n_cells=400), show=False)
    (bars,) = ax.collections
    for (low, high), x, y in zip(
        [segment[:, 1] for segment in bars.get_segments()],
        _points(ax).get_xdata(),
        _points(ax).get_ydata(),
        strict=True,
    ):
        assert low <= y + 1e-9
        assert high >= y - 1e-9
        assert 0 <= low < high <= 1 + 1e-9
        assert 0 <= x <= 1


def test_few_cells_have_few_bins():
    adata = fake_prior_result()  # 38 validation cells
    ax = calibration(adata, show=False)
    assert len(_points(ax).get_xdata()) == 3
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["Calibrated", "Bins of 12–13 cells, 95 % interval"]
    assert len(_points(calibration(adata, n_bins=1, show=False)).get_xdata()) == 1


def test_everything_is_within_the_axes():
    ax = calibration(fake_prior_result(n_cells=400, accuracy=0.2), show=False)
    low, _ = ax.get_ylim()
    assert low == ax.get_xlim()[0]
    assert low <= min(_points(ax).get_ydata())
    assert low <= min(_points(ax).get_xdata())


def test_unknown_cells_answer_their_best_class():
    a = fake_prior_result(n_cells=400)
    b = fake_prior_result(n_cells=400, min_confidence=0.9)
    assert "Unknown" in set(b.obs[KEY])
    first, second = (calibration(adata, show=False).get_title() for adata in (a, b))
    assert first == second


def test_labels_that_are_no_class():
    adata = fake_prior_result(applied=True)
    labels = adata.obs["cell_type"].astype(str)
    labels.iloc[:9] = "strange"
    adata.obs["labels"] = labels
    title = calibration(adata, "labels", show=False).get_title()
    assert title.startswith("123 cells\n")
    assert title.endswith("\nwithout 9 of no class of the model")
    adata.obs["labels"] = "strange"
    with pytest.raises(ValueError, match=r"Labels: 'strange'\. Classes: 'Monocyte', 'T cell'"):
        calibration(adata, "labels")


def test_cells_are_chosen_as_for_the_confusion():
    with pytest.raises(ValueError, match=r"none was held out"):
        calibration(fake_prior_result(validation=False))
    with pytest.raises(ValueError, match=r"computed without labels"):
        calibration(fake_prior_result(applied=True))
    adata = fake_prior_result()
    assert calibration(adata, split="all", show=False).get_title().startswith("123 cells")
    with pytest.raises(KeyError, match=r"labels_key='nope'"):
        calibration(adata, "nope")


def test_kwargs_reach_the_points():
    ax = calibration(fake_prior_result(), c="red", ms=9, show=False)
    assert _points(ax).get_color() == "red"
    assert _points(ax).get_markersize() == 9


def test_errors():
    adata = fake_prior_result()
    for n_bins in (0, 2.5):
        with pytest.raises(ValueError, match="`n_bins` must be a positive integer"):
            calibration(adata, n_bins=n_bins)
    adata.obsm[f"{KEY}_proba"] = adata.obsm[f"{KEY}_proba"][:, :2]
    with pytest.raises(ValueError, match=r"must have shape \(123, 3\).*found \(123, 2\)"):
        calibration(adata)
    del adata.obsm[f"{KEY}_proba"]
    with pytest.raises(KeyError, match=r"prior_transformer_proba.*again"):
        calibration(adata)
    del adata.obs[f"{KEY}_confidence"]
    with pytest.raises(KeyError, match=r"prior_transformer_confidence.*again"):
        calibration(adata)
    assert not plt.get_fignums()
