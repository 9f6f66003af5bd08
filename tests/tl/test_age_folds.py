from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sctools.pp._cohort import Cohort
from sctools.tl._age_folds import UNLABELLED, assign_folds


def cohort_of(ages, donors=None):
    ages = np.asarray(ages, dtype=float)
    if donors is None:
        donors = [f"D{i:03}" for i in range(len(ages))]
    names = np.array([f"{d}|{i}" for i, d in enumerate(donors)], dtype=object)
    return Cohort(np.arange(len(ages)), names, np.array(donors, dtype=object), None, ages)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.just(np.nan), st.integers(1, 99)), min_size=3, max_size=40),
    st.integers(2, 9),
    st.integers(0, 10),
    st.integers(1, 3),
)
def test_folds_are_by_donor_balanced_and_whole(ages, n_folds, seed, n_samples):
    if np.isfinite(ages).sum() < 2:
        ages[:2] = [30, 40]
    donors = np.repeat([f"D{i}" for i in range(len(ages))], n_samples)
    cohort = cohort_of(np.repeat(ages, n_samples), donors)
    fold, k = assign_folds(cohort, n_folds, np.random.default_rng(seed))
    labelled = np.isfinite(cohort.age)
    assert k == min(n_folds, np.isfinite(ages).sum())
    np.testing.assert_array_equal(fold == UNLABELLED, ~labelled)
    assert set(fold[labelled]) == set(range(k))
    for donor in donors:
        assert len(set(fold[donors == donor])) == 1
    sizes = np.bincount(fold[labelled]) / n_samples
    assert sizes.max() - sizes.min() <= 1


def test_every_fold_spans_the_ages():
    cohort = cohort_of(np.random.default_rng(0).permutation(np.arange(20.0, 80)))
    fold, k = assign_folds(cohort, 5, np.random.default_rng(0))
    means = [cohort.age[fold == i].mean() for i in range(k)]
    assert np.ptp(means) < 5
    assert all(np.ptp(cohort.age[fold == i]) > 45 for i in range(k))


def test_a_donor_with_one_known_sample_has_a_fold_for_all_of_them():
    cohort = cohort_of([30, np.nan, 40, 50, np.nan], ["a", "a", "b", "c", "d"])
    fold, _ = assign_folds(cohort, 3, np.random.default_rng(0))
    assert fold[0] == fold[1] != UNLABELLED
    assert fold[4] == UNLABELLED


def test_seed_decides():
    cohort = cohort_of(np.arange(30.0))
    folds = [assign_folds(cohort, 5, np.random.default_rng(seed))[0] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(folds[0], folds[1])
    assert (folds[0] != folds[2]).any()


def test_fewer_donors_than_folds_is_told(caplog):
    with caplog.at_level(logging.INFO, "sctools"):
        fold, k = assign_folds(cohort_of([30, 40, 50]), 5, np.random.default_rng(0))
    assert k == 3
    assert sorted(fold) == [0, 1, 2]
    assert "3 folds instead of 5" in caplog.text


@pytest.mark.parametrize("n_folds", [2, 3])
def test_ties_are_broken_by_chance(n_folds):
    cohort = cohort_of([30.0] * 12)
    folds = {
        tuple(assign_folds(cohort, n_folds, np.random.default_rng(seed))[0]) for seed in range(5)
    }
    assert len(folds) == 5
