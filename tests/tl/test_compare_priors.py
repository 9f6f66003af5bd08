"""Comparisons are made on the same cells, never on those learned from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sctools.datasets import regulated_cells
from sctools.tl import compare_priors
from sctools.tl._compare_priors import score
from sctools.tl._prior_splits import label_splits

from .._compare import assert_unchanged, snapshot

QUICK = {
    "modes": ["hard", "shuffled", "logistic regression"],
    "label_fractions": [0.5, 1.0],
    "n_splits": 2,
    "model_kwargs": {"n_hidden": 8},
    "train_kwargs": {"max_epochs": 1},
    "progress_bar": False,
}


@pytest.fixture(scope="module")
def data():
    return regulated_cells(150, n_genes=150)


@pytest.mark.parametrize("by_key", [False, True])
def test_splits(by_key):
    codes = np.repeat([0, 1, 2, -1], [60, 30, 10, 20])
    test = np.arange(120) % 3 == 0 if by_key else None
    splits = list(
        label_splits(codes, test, label_fractions=[0.1, 1.0], n_splits=3, test_size=0.3, seed=0)
    )
    assert [(s.number, s.label_fraction) for s in splits] == [
        (seed, fraction) for seed in range(3) for fraction in (0.1, 1.0)
    ]
    for few, all_labels in zip(splits[::2], splits[1::2], strict=True):
        assert set(few.train) < set(all_labels.train)
        np.testing.assert_array_equal(few.test, all_labels.test)
        assert not set(all_labels.train) & set(all_labels.test)
        # Together they are all the cells whose class is known.
        both = np.sort(np.concatenate([all_labels.train, all_labels.test]))
        np.testing.assert_array_equal(both, np.flatnonzero(codes >= 0))
        assert np.bincount(codes[few.train]).min() >= 2
        if by_key:
            np.testing.assert_array_equal(few.test, np.flatnonzero(test & (codes >= 0)))
        else:
            assert np.bincount(codes[few.test]).tolist() == [18, 9, 3]
    assert set(splits[0].train) != set(splits[2].train)


def test_rare_classes_stay_in_training():
    codes = np.repeat([0, 1, 2], [40, 3, 2])
    for split in label_splits(
        codes, None, label_fractions=[0.1, 1.0], n_splits=5, test_size=0.5, seed=0
    ):
        assert np.bincount(codes[split.train], minlength=3)[1:].tolist() == [2, 2]
        assert np.bincount(codes[split.test], minlength=3).tolist() == [20, 1, 0]


def test_models_differ_between_splits():
    test = np.arange(40) < 20
    splits = list(
        label_splits(
            np.arange(40) % 2, test, label_fractions=[1.0], n_splits=4, test_size=0.3, seed=0
        )
    )
    assert len({split.model_seed for split in splits}) == 4


def test_scores():
    proba = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    found = score(np.array(["a", "a", "b", "b"]), proba, np.array(["a", "b"]))
    assert found["accuracy"] == 0.75
    assert found["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert 0 < found["ece"] < 1


def test_what_is_written(data):
    adata = data.copy()
    before = snapshot(adata)
    compare_priors(adata, "cell_type", "prior", **QUICK)
    results = adata.uns.pop("compare_priors")["results"]
    assert_unchanged(adata, before)
    assert len(results) == 12
    for _, group in results.groupby(["seed", "label_fraction"]):
        assert group["mode"].tolist() == QUICK["modes"]
        assert group[["n_labels", "n_test"]].drop_duplicates().shape[0] == 1
    logistic = results[results["mode"] == "logistic regression"]
    assert logistic["accuracy"].min() > 1 / 3  # of six classes: labels and cells belong together
    again = compare_priors(data, "cell_type", "prior", copy=True, **QUICK)
    pd.testing.assert_frame_equal(again.uns["compare_priors"]["results"], results)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"modes": ["dense"]}, ValueError, "`modes`.*'dense'"),
        ({"modes": []}, ValueError, "`modes`"),
        ({"label_fractions": [0.0]}, ValueError, "`label_fractions`"),
        ({"n_splits": 0}, ValueError, "`n_splits`"),
        ({"n_splits": 1.5}, ValueError, "`n_splits` must be a whole number"),
        ({"label_fractions": ["all"]}, ValueError, "`label_fractions`"),
        ({"label_fractions": 0.5}, TypeError, "`label_fractions` must be a list"),
        ({"modes": "hard"}, TypeError, "`modes` must be a list"),
        ({"test_size": "half"}, ValueError, "`test_size`"),
        ({"net": [1, 2]}, TypeError, "`net` is of type list"),
        ({"test_key": 3}, TypeError, "`test_key` must be a name"),
        ({"model_kwargs": {"nonsense": 1}}, TypeError, "`model_kwargs` has 'nonsense'"),
        ({"train_kwargs": {"nonsense": 1}}, TypeError, "`train_kwargs` has 'nonsense'"),
        ({"test_size": 1.0}, ValueError, "`test_size`"),
        ({"test_key": "absent"}, KeyError, "`test_key='absent'`"),
        ({"test_key": "cell_type"}, ValueError, "must be boolean"),
        ({"test_key": "first_type"}, ValueError, "fewer than two cells of 'type1'"),
        ({"test_key": "nowhere"}, ValueError, "true for no labelled cell"),
        ({"labels_key": "absent"}, KeyError, "`labels_key='absent'`"),
    ],
)
def test_errors_leave_the_data_as_they_were(data, change, error, message):
    adata = data.copy()
    adata.obs["first_type"] = (adata.obs["cell_type"] == "type1").to_numpy()
    adata.obs["nowhere"] = False
    before = snapshot(adata)
    arguments = {"labels_key": "cell_type", "net": "prior", **QUICK, **change}
    with pytest.raises(error, match=message):
        compare_priors(adata, **arguments)
    assert_unchanged(adata, before)
