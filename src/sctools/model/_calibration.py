"""From a clock's outputs to age, shrunk towards the mean age as far as the donors demand."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FEW_DONORS = 30
LEAST_DONORS = 4


class Calibration(NamedTuple):
    """Standardised age as a linear function of outputs.

    Attributes
    ----------
    intercept, network, ridge
        For donors: intercept, and slopes of the networks' and of the ridge regression's output.
    cell_intercept, cell
        For single cells of unknown donors: intercept, and slope of the networks' output.
    """

    intercept: float
    network: float
    ridge: float
    cell_intercept: float
    cell: float


class _Line(NamedTuple):
    slope: float
    error: float
    center: float


def _line(x: np.ndarray, y: np.ndarray, donor: np.ndarray) -> _Line:
    """Least-squares slope of ``y`` on ``x`` with its standard error; 0 where ``x`` is constant."""
    center = float(x.mean())
    deviation = x - center
    spread = float(deviation @ deviation)
    n_donors = len(np.unique(donor))
    if n_donors < LEAST_DONORS or spread <= np.finfo(np.float32).eps * len(x):
        return _Line(0.0, np.inf, center)
    slope = float(deviation @ (y - y.mean())) / spread
    residual = y - y.mean() - slope * deviation
    error = float(np.sqrt(residual @ residual / (len(x) - 2) / spread))
    if n_donors < len(x):  # samples of one donor err together
        scores = np.bincount(donor, weights=deviation * residual)
        clustered = np.sqrt(scores @ scores * n_donors / (n_donors - 1)) / spread
        error = max(error, float(clustered))
    return _Line(slope, max(error, 1e-12), center)


def shrinkage(t: float, n_donors: int) -> float:
    """Factor between 0 and 1 for a slope with ratio ``t`` to its standard error.

    0 (the mean age for everyone) unless ``t`` exceeds √2, or 2 below 30 donors, where the inner
    folds themselves are noisy.
    """
    k = 2.0 if n_donors >= FEW_DONORS else 4.0
    return 1.0 - k / t**2 if t > 0 and t**2 > k else 0.0


def shrunk_line(outputs: np.ndarray, age: np.ndarray, donor: np.ndarray) -> tuple[float, float]:
    """Slope of age on held-out outputs, shrunk as the donors demand, and the mean output.

    Parameters
    ----------
    outputs
        Held-out output of every unit.
    age
        Standardised age of every unit.
    donor
        Donor of every unit.

    Returns
    -------
    The slope, 0 where the outputs do not rise with age, and the output at the mean age.
    """
    line = _line(outputs, age, donor)
    n_donors = len(np.unique(donor))
    slope = max(0.0, line.slope) * shrinkage(line.slope / line.error, n_donors)
    if slope > 1:  # stretching amplifies errors: only as far as two standard errors allow
        slope = max(1.0, min(slope, line.slope - 2 * line.error))
    return slope, line.center


def calibrate(
    network: np.ndarray,
    ridge: np.ndarray,
    age: np.ndarray,
    cell_network: np.ndarray,
    unit: np.ndarray,
    donor: np.ndarray | None = None,
) -> Calibration:
    """Fit slopes on held-out outputs.

    Networks and ridge regression are each brought to the scale of age and count half each; one that
    does not rise with age counts nothing.

    Parameters
    ----------
    network, ridge
        Held-out outputs of every unit.
    age
        Standardised age of every unit.
    cell_network
        Held-out output of the networks for every cell.
    unit
        Unit of every cell.
    donor
        Donor of every unit; ``None`` if each is a donor of its own. Standard errors are then
        clustered by donor.

    Returns
    -------
    Slopes; 0 where the outputs say nothing about age.
    """
    n = len(age)
    donor = np.arange(n) if donor is None else donor
    n_donors = len(np.unique(donor))
    lines = [_line(output, age, donor) for output in (network, ridge)]
    slopes = np.array([max(0.0, line.slope) / 2 for line in lines])
    centers = np.array([line.center for line in lines])
    both = slopes[0] * (network - centers[0]) + slopes[1] * (ridge - centers[1])
    slopes = slopes * shrunk_line(both, age, donor)[0]

    # Donors count alike, however many cells they have.
    weight = 1.0 / np.bincount(unit, minlength=n)[unit]
    deviation = cell_network - centers[0]
    spread = float(weight @ deviation**2)
    cell = float(weight @ (deviation * age[unit])) / spread if spread > 0 else 0.0
    cell = min(1.0, max(0.0, cell)) * shrinkage(lines[0].slope / lines[0].error, n_donors)
    return Calibration(
        intercept=float(-(slopes @ centers)),
        network=float(slopes[0]),
        ridge=float(slopes[1]),
        cell_intercept=float(-cell * centers[0]),
        cell=cell,
    )
