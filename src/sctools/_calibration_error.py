"""How far confidence is from the share of right answers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


class CalibrationBins(NamedTuple):
    """Bins of answers with about as many answers each, by rising confidence."""

    confidence: np.ndarray  # mean of the bin, float64
    accuracy: np.ndarray  # share of right answers in it, float64
    n: np.ndarray  # answers in it, int64; none is zero


def calibration_bins(
    confidence: ArrayLike, correct: ArrayLike, n_bins: int = 15
) -> CalibrationBins:
    """Cut answers by confidence into bins of equal mass.

    Answers of the same confidence share a bin, whatever their order: where many are equally sure,
    as certain ones are, there are fewer bins than asked for.

    Parameters
    ----------
    confidence
        Probability of the chosen class, from 0 to 1, shape (n,).
    correct
        Whether that class is the right one, shape (n,).
    n_bins
        Number of bins, at least 1.

    Returns
    -------
    The bins that hold an answer.

    Raises
    ------
    ValueError
        If there are no answers, the two differ in shape, a confidence is no probability, an
        answer is neither right nor wrong, or ``n_bins`` is not a positive integer.
    """
    p = np.asarray(confidence, dtype="float64")
    right = np.asarray(correct, dtype="float64")
    if p.ndim != 1 or p.shape != right.shape or len(p) == 0:
        raise ValueError(
            "`confidence` and `correct` must be one-dimensional, of the same length, and not "
            f"empty; found shapes {p.shape} and {right.shape}."
        )
    # Rounding of float32 probabilities may end a little above one; NaN fails as well.
    if not ((p >= -1e-6) & (p <= 1 + 1e-6)).all():
        raise ValueError(
            "`confidence` must hold probabilities from 0 to 1; found values from "
            f"{p.min():.3g} to {p.max():.3g}."
        )
    if not np.isin(right, (0.0, 1.0)).all():
        raise ValueError("`correct` must hold True or False only.")
    if n_bins != int(n_bins) or n_bins < 1:
        raise ValueError(f"`n_bins` must be a positive integer, found {n_bins!r}.")

    middle = (stats.rankdata(p) - 0.5) / len(p)
    number = np.minimum((middle * n_bins).astype("int64"), n_bins - 1)
    n = np.bincount(number, minlength=n_bins)
    used = n > 0
    mean, share = (
        np.bincount(number, weights=values, minlength=n_bins)[used] / n[used]
        for values in (p, right)
    )
    return CalibrationBins(mean, share, n[used])


def expected_calibration_error(
    confidence: ArrayLike, correct: ArrayLike, n_bins: int = 15
) -> float:
    """Mean distance of confidence and accuracy over bins of equal mass, weighted by their size.

    Parameters
    ----------
    confidence
        Probability of the chosen class, from 0 to 1, shape (n,).
    correct
        Whether that class is the right one, shape (n,).
    n_bins
        Number of bins, at least 1. See :func:`calibration_bins`.

    Returns
    -------
    From 0 (calibrated) to 1 (always sure and always wrong, or the reverse).

    Raises
    ------
    ValueError
        If an input is not as described, as in :func:`calibration_bins`.
    """
    bins = calibration_bins(confidence, correct, n_bins)
    return float(bins.n @ np.abs(bins.confidence - bins.accuracy) / bins.n.sum())
