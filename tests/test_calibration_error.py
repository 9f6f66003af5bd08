from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from sctools._calibration_error import calibration_bins, expected_calibration_error


def test_by_hand():
    # Two bins of two: |0.55 − 0.5| and |0.85 − 1|.
    error = expected_calibration_error([0.9, 0.5, 0.6, 0.8], [True, False, True, True], n_bins=2)
    assert error == pytest.approx((0.05 + 0.15) / 2)


def test_extremes():
    assert expected_calibration_error(np.ones(50), np.zeros(50)) == 1
    assert expected_calibration_error(np.ones(50), np.ones(50)) == 0
    assert expected_calibration_error([0.25], [True]) == 0.75


def test_bins_have_equal_mass():
    rng = np.random.default_rng(0)
    confidence = rng.beta(8, 1, 1000)
    bins = calibration_bins(confidence, rng.random(1000) < confidence, n_bins=8)
    assert bins.n.tolist() == [125] * 8
    assert (np.diff(bins.confidence) > 0).all()
    assert bins.n @ bins.confidence / 1000 == pytest.approx(confidence.mean())


def test_calibrated_answers_have_a_small_error_and_overconfident_ones_a_large_one():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1, 20_000)
    right = rng.random(20_000) < confidence
    assert expected_calibration_error(confidence, right) < 0.02
    wrong = rng.random(20_000) < confidence - 0.2
    assert expected_calibration_error(confidence, wrong) == pytest.approx(0.2, abs=0.02)


def test_order_does_not_matter_even_among_equals():
    rng = np.random.default_rng(0)
    confidence = np.round(rng.uniform(0.4, 1, 300), 1).astype("float32")
    confidence[:150] = 1
    right = rng.random(300) < 0.7
    order = rng.permutation(300)
    first = expected_calibration_error(confidence, right)
    assert expected_calibration_error(confidence[order], right[order]) == pytest.approx(
        first, abs=1e-12
    )
    bins = calibration_bins(confidence, right)
    assert bins.n[-1] == (confidence == 1).sum()


def test_more_bins_than_answers():
    bins = calibration_bins([0.2, 0.7], [0, 1], n_bins=15)
    assert bins.n.tolist() == [1, 1]
    assert expected_calibration_error([0.2, 0.7], [0, 1]) == pytest.approx(0.25)


def test_errors():
    for confidence, correct in (([], []), ([0.5], [True, False]), ([[0.5]], [[True]])):
        with pytest.raises(ValueError, match="of the same length"):
            expected_calibration_error(confidence, correct)
    for wrong in (-0.1, 1.2, np.nan):
        with pytest.raises(ValueError, match="probabilities from 0 to 1"):
            expected_calibration_error([0.5, wrong], [True, False])
    with pytest.raises(ValueError, match="True or False"):
        expected_calibration_error([0.5], [2])
    for n_bins in (0, -1, 2.5):
        with pytest.raises(ValueError, match="`n_bins` must be a positive integer"):
            expected_calibration_error([0.5], [True], n_bins)
    # Rounding of probabilities in single precision is no error.
    assert expected_calibration_error([1 + 1e-7], [True]) < 1e-6


def test_it_loads_neither_torch_nor_matplotlib():
    code = (
        "import sys, sctools._calibration_error\n"
        "assert not {'torch', 'scvi', 'matplotlib', 'anndata'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
