"""Errors of several clocks on the same donors, with bootstrap intervals over donors."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ._age_metrics import error_metrics

MEAN_AGE = "mean_age"
LEVEL = 0.95
"""Level of the bootstrap intervals."""


def resampled_errors(
    errors: np.ndarray, donor: np.ndarray, n_bootstrap: int, rng: np.random.Generator
) -> np.ndarray:
    """Mean absolute errors on resampled donors, the same for all clocks: resamples × clocks.

    Parameters
    ----------
    errors
        Absolute errors, units × clocks.
    donor
        Donor of every unit; a donor is drawn with all of its samples.
    n_bootstrap
        Number of resamples.
    rng
        Source of the draws.
    """
    code = np.unique(donor, return_inverse=True)[1]
    n_units = np.bincount(code)
    total = np.stack([np.bincount(code, weights=column) for column in errors.T], axis=1)
    n_donors = len(n_units)
    times = rng.multinomial(n_donors, np.full(n_donors, 1 / n_donors), size=n_bootstrap)
    return (times @ total) / (times @ n_units)[:, None]


def score_clocks(
    clocks: pd.DataFrame,
    donors: pd.DataFrame,
    predictions: pd.DataFrame,
    *,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, str]:
    """Table of results, and the name of the best baseline.

    Parameters
    ----------
    clocks
        One row per clock, the mean age included: ``method``, ``input``, ``cell_mae``,
        ``time_ratio``.
    donors
        One row per donor or sample: ``donor``, ``age``.
    predictions
        The same rows with a column per clock.
    n_bootstrap
        Number of resamples of the donors.
    rng
        Source of the draws.
    """
    age = donors["age"].to_numpy(dtype=float)
    mean_age = predictions[MEAN_AGE].to_numpy()
    rows = []
    for name in clocks.index:
        scores = error_metrics(age, predictions[name].to_numpy(), mean_age)
        if name == MEAN_AGE:
            # The mean of the other folds falls where a fold's ages rise: that is no prediction.
            scores["r"] = scores["spearman"] = float("nan")
        rows.append({key: scores[key] for key in ("mae", "rmse", "r", "spearman")})
    table = pd.concat([clocks, pd.DataFrame(rows, index=clocks.index)], axis=1)
    baselines = table.loc[table["method"] != "gma", "mae"]
    best = str(baselines.idxmin())

    errors = np.abs(predictions[list(clocks.index)].to_numpy() - age[:, None])
    drawn = resampled_errors(errors, donors["donor"].to_numpy(), n_bootstrap, rng)
    ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    table["mae_lower"], table["mae_upper"] = np.quantile(drawn, ends, axis=0)
    position = clocks.index.get_loc(best)
    table["difference"] = table["mae"] - table["mae"].iloc[position]
    difference = drawn - drawn[:, [position]]
    table["difference_lower"], table["difference_upper"] = np.quantile(difference, ends, axis=0)
    order = ["method", "input", "mae", "mae_lower", "mae_upper", "rmse", "r", "spearman"]
    order += ["cell_mae", "difference", "difference_lower", "difference_upper", "time_ratio"]
    return table[order], best
