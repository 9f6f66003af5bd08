"""How good predicted ages are, beside the mean age, with donors as the unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.05
"""Level of the one-sided test against the mean age."""

NEGLIGIBLE = 1e-4
"""Gains below this part of the mean age's error are rounding."""


def error_metrics(age: np.ndarray, predicted: np.ndarray, mean_age: np.ndarray) -> dict[str, float]:
    """Errors and correlations, with the mean age's error beside them; NaN where undefined."""
    error = predicted - age
    varies = len(age) > 1 and np.ptp(age) > 0 and np.ptp(predicted) > 0
    return {
        "n": len(age),
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "r": float(np.corrcoef(predicted, age)[0, 1]) if varies else float("nan"),
        "spearman": float(stats.spearmanr(predicted, age).statistic) if varies else float("nan"),
        "mae_mean": float(np.abs(mean_age - age).mean()),
    }


def gain_p_value(donors: pd.DataFrame) -> float:
    """One-sided p of "no better than the mean age": t test of the donors' gain in absolute error.

    Samples of one donor are averaged first, since they are not independent.
    """
    baseline = (donors["mean_age"] - donors["age"]).abs()
    gain = baseline - (donors["predicted"] - donors["age"]).abs()
    gain = gain.groupby(donors["donor"].to_numpy()).mean()
    # A clock that answers the mean age does so up to rounding: that is no gain.
    negligible = NEGLIGIBLE * baseline.mean()
    if len(gain) < 2 or np.ptp(gain) == 0 or gain.abs().max() <= negligible:
        return 1.0
    return float(stats.ttest_1samp(gain, 0.0, alternative="greater").pvalue)


def cohort_metrics(
    donors: pd.DataFrame, cells: pd.DataFrame, *, unit: str, held_out: bool
) -> dict[str, Any]:
    """Metrics of donors and cells, the comparison with the mean age, and what it says in words.

    Parameters
    ----------
    donors
        One row per donor or sample with a known age: ``donor``, ``age``, ``predicted``,
        ``mean_age``.
    cells
        One row per cell with a known age: ``age``, ``predicted``, ``mean_age``.
    unit
        Unit of age.
    held_out
        The predictions are for donors that the models never saw.
    """
    columns = ("age", "predicted", "mean_age")
    donor = error_metrics(*(donors[c].to_numpy(dtype=float) for c in columns))
    cell = error_metrics(*(cells[c].to_numpy(dtype=float) for c in columns))
    p_value = gain_p_value(donors)
    beats = p_value < LEVEL
    which = "held-out donors" if held_out else "these donors"
    figures = (
        f"mean absolute error {donor['mae']:.3g} {unit} on {which}, {donor['mae_mean']:.3g} for "
        f"the mean age (n = {donor['n']}, one-sided p = {p_value:.2g})"
    )
    message = (
        f"The clock beats the mean age: {figures}."
        if beats
        else f"The clock does not beat the mean age: {figures}. Its ages say little about these "
        "donors; do not build on them."
    )
    return {
        "donor": donor,
        "cell": cell,
        "beats_mean": bool(beats),
        "p_value": p_value,
        "message": message,
    }
