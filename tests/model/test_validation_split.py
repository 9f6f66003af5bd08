from __future__ import annotations

import numpy as np
import pytest

from sctools.model._validation_split import MIN_HELD, validation_split


def split(labels, batch=None, share=0.1, seed=0):
    return validation_split(labels, batch, share=share, rng=np.random.default_rng(seed))


def labels_of(*counts):
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))


@pytest.mark.parametrize("n_batches", [0, 1, 2])
def test_share_of_each_class_without_batches_enough(n_batches):
    labels = labels_of(100, 60, 40, 2)
    batch = np.arange(len(labels)) % n_batches if n_batches else None
    train, held = split(labels, batch, share=0.2)
    assert np.bincount(labels[held], minlength=4).tolist() == [20, 12, 8, 0]
    np.testing.assert_array_equal(np.sort(np.r_[train, held]), np.arange(len(labels)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(held) > 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_whole_batches(seed):
    labels = labels_of(120, 100, 80)
    batch = np.arange(300) % 10
    train, held = split(labels, batch, seed=seed)
    assert not set(batch[train]) & set(batch[held])
    assert len(set(batch[held])) == 1
    _, more = split(labels, batch, share=0.25, seed=seed)
    assert len(set(batch[more])) == 3
    assert set(batch[held]) <= set(batch[more])


def test_no_more_than_a_third_is_held_out_in_whole_batches():
    labels = labels_of(150, 150)
    batch = np.repeat([0, 1, 2], [200, 60, 40])
    for seed in range(10):
        _, held = split(labels, batch, share=0.3, seed=seed)
        assert 0 not in batch[held]
        assert 40 <= len(held) <= 100


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_every_class_keeps_half_of_its_cells(seed, share):
    """Also one that lives in one batch: such a batch is not held out."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(5, 400, p=[0.5, 0.3, 0.1, 0.05, 0.05])
    batch = rng.integers(5, size=400)
    batch[labels == 4] = 2
    for given in (batch, None):
        train, held = split(labels, given, share=share, seed=seed)
        total, kept = np.bincount(labels), np.bincount(labels[train], minlength=5)
        assert (kept >= total / 2).all()
        assert len(held)
    train, held = split(labels, batch, share=0.1, seed=seed)
    assert 2 not in batch[held]


def test_cells_where_no_whole_batch_can_be_spared():
    labels = np.repeat([0, 1, 2], 60)
    _, held = split(labels, labels, share=0.2)  # each class in a batch of its own
    assert np.bincount(labels[held]).tolist() == [12, 12, 12]


def test_unlabelled_cells_are_in_neither():
    labels = labels_of(200, 200)
    unknown = np.arange(400) % 3 == 0
    labels[unknown] = -1
    for batch in (None, np.arange(400) % 7):
        train, held = split(labels, batch)
        assert len(held)
        np.testing.assert_array_equal(np.sort(np.r_[train, held]), np.flatnonzero(~unknown))


def test_batches_of_unlabelled_cells_do_not_count():
    labels = labels_of(100, 100)
    batch = np.arange(200) % 4
    labels[batch >= 2] = -1
    labels = np.r_[labels, labels]
    batch = np.r_[batch, batch]
    train, held = split(labels, batch)
    assert set(batch[train]) == set(batch[held]) == {0, 1}


def test_too_few_labels_to_spare_any():
    for n, share in ((10 * MIN_HELD - 12, 0.1), (500, 0.0)):
        train, held = split(np.arange(n) % 2, share=share)
        assert len(train) == n
        assert held.tolist() == []
        assert held.dtype == np.int64
    assert len(split(np.arange(10 * MIN_HELD) % 2)[1]) == MIN_HELD


def test_a_batch_of_few_cells_is_not_enough():
    batch = np.repeat([0, 1, 2], [150, 140, 10])
    _, held = split(np.arange(300) % 2, batch, share=0.03)
    assert len(held) == 0


def test_seeds():
    labels = labels_of(100, 100)
    for batch in (None, np.arange(200) % 20):
        one, again, other = (split(labels, batch, seed=seed)[1] for seed in (0, 0, 1))
        np.testing.assert_array_equal(one, again)
        assert set(one) != set(other)
