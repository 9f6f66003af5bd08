from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sctools.tl._age_metrics import cohort_metrics, error_metrics, gain_p_value


def table(age, predicted, mean_age=50.0, donor=None):
    frame = pd.DataFrame({"age": age, "predicted": predicted}, dtype=float)
    frame["mean_age"] = mean_age
    frame.insert(0, "donor", list("abcdefghijklmnop"[: len(frame)]) if donor is None else donor)
    return frame


def test_error_metrics_against_numpy_and_scipy():
    rng = np.random.default_rng(0)
    age = rng.uniform(20, 90, 30)
    predicted = age + rng.normal(0, 10, 30)
    mean_age = np.full(30, 51.0)
    found = error_metrics(age, predicted, mean_age)
    assert found == pytest.approx(
        {
            "n": 30,
            "mae": np.mean(np.abs(age - predicted)),
            "rmse": np.sqrt(np.mean((age - predicted) ** 2)),
            "r": stats.pearsonr(age, predicted).statistic,
            "spearman": stats.spearmanr(age, predicted).statistic,
            "mae_mean": np.mean(np.abs(age - 51)),
        }
    )
    assert isinstance(found["n"], int)


@pytest.mark.parametrize(
    ("age", "predicted"), [([30, 60], [45, 45]), ([30, 30], [40, 50]), ([30], [40])]
)
def test_correlations_are_nan_where_undefined(age, predicted):
    found = error_metrics(*(np.array(v, dtype=float) for v in (age, predicted, predicted)))
    assert np.isnan(found["r"])
    assert np.isnan(found["spearman"])
    assert found["mae"] == np.abs(np.subtract(age, predicted)).mean()


def test_p_value_is_the_one_sided_t_test_of_the_gain():
    donors = table([20, 35, 50, 65, 80], [26, 30, 53, 70, 74])
    gain = np.abs(50 - donors["age"]) - np.abs(donors["predicted"] - donors["age"])
    expected = stats.ttest_1samp(gain, 0, alternative="greater").pvalue
    assert gain_p_value(donors) == pytest.approx(expected)
    assert 0.01 < expected < 0.1
    worse = donors.assign(predicted=100 - donors["predicted"])
    assert gain_p_value(worse) > 0.9


def test_samples_of_a_donor_count_once():
    once = table([20, 35, 50, 65], [24, 31, 52, 60])
    twice = pd.concat([once, once], ignore_index=True)
    assert gain_p_value(twice) == pytest.approx(gain_p_value(once))
    separate = twice.assign(donor=list("abcdefgh"))
    assert gain_p_value(separate) < gain_p_value(once)
    # Samples of a donor with different gains are averaged.
    mixed = table([20, 22, 60, 70], [25, 41, 58, 66], donor=["a", "a", "b", "c"])
    gain = [np.mean([25, 9]), 8, 16]
    expected = stats.ttest_1samp(gain, 0, alternative="greater").pvalue
    assert gain_p_value(mixed) == pytest.approx(expected)


def test_nothing_gained_is_no_proof():
    assert gain_p_value(table([20, 50, 80], [50, 50, 50])) == 1
    assert gain_p_value(table([20, 50, 80], [50 - 1e-6, 50, 50 + 2e-6])) == 1  # rounding
    assert gain_p_value(table([20], [21])) == 1
    assert gain_p_value(table([20, 22], [21, 23], donor=["a", "a"])) == 1


def test_beats_mean_follows_the_test_and_not_two_numbers():
    # The error is smaller than the mean's, but only thanks to one donor of six.
    lucky = table([20, 48, 49, 51, 52, 53], [22, 53, 53, 47, 48, 48])
    found = cohort_metrics(lucky, lucky, unit="months", held_out=True)
    assert found["donor"]["mae"] < found["donor"]["mae_mean"]
    assert found["p_value"] > 0.05
    assert found["beats_mean"] is False
    assert found["message"].startswith("The clock does not beat the mean age: mean absolute error")
    assert "months on held-out donors" in found["message"]
    assert f"(n = 6, one-sided p = {found['p_value']:.2g})" in found["message"]
    assert "do not build on them" in found["message"]


def test_a_clock_that_beats_the_mean():
    good = table(np.linspace(20, 80, 12), np.linspace(22, 77, 12))
    cells = table(np.linspace(20, 80, 16), np.linspace(10, 90, 16))
    found = cohort_metrics(good, cells, unit="years", held_out=False)
    assert found["beats_mean"] is True
    assert found["p_value"] < 0.01
    assert found["message"].startswith("The clock beats the mean age:")
    assert "years on these donors" in found["message"]
    columns = ["age", "predicted", "mean_age"]
    assert found["donor"] == error_metrics(*(good[c].to_numpy() for c in columns))
    assert found["cell"] == error_metrics(*(cells[c].to_numpy() for c in columns))
    assert (found["donor"]["n"], found["cell"]["n"]) == (12, 16)
