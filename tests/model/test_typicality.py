"""Typicality: uniform for cells like those learned, small for others."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from sctools.model._typicality import fit_typicality

CENTRES = np.array([[0.0, 0, 0], [6, 0, 0], [0, 6, 0]])
SPREAD = np.array([1.0, 0.5, 2.0])


def draw(n, rng, centres=CENTRES):
    labels = rng.integers(0, len(centres), n)
    return centres[labels] + SPREAD * rng.normal(size=(n, 3)), labels


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    seen, labels = draw(2000, rng)
    return fit_typicality(seen, labels, draw(500, rng)[0], 3), rng


def test_distances_are_mahalanobis(fitted):
    typicality, _ = fitted
    points = np.array([[0, 0, 2.0], [6, 0.5, 0], [1, 6, 0]])
    np.testing.assert_allclose(typicality.distances(points), [1, 1, 1], atol=0.15)


def test_ordinary_cells_are_uniform(fitted):
    typicality, rng = fitted
    share = typicality(draw(500, rng)[0])
    assert share.dtype == np.float32
    assert kstest(share, "uniform").pvalue > 0.01
    assert 0 < share.min() < 0.02


def test_other_cells_are_not_typical(fitted):
    typicality, rng = fitted
    other = draw(300, rng, np.array([[6.0, 6, 0]]))[0]
    assert (typicality(other) < 0.05).mean() > 0.9


def test_seen_cells_have_their_own_reference(fitted):
    typicality, rng = fitted
    wide = typicality._replace(seen=typicality.seen * 2)
    cells = draw(300, rng)[0]
    assert wide(cells, seen=True).mean() > wide(cells).mean() + 0.2
    np.testing.assert_array_equal(wide(cells), typicality(cells))


def test_more_dimensions_than_cells():
    rng = np.random.default_rng(1)
    seen = rng.normal(size=(30, 50))
    typicality = fit_typicality(seen, np.arange(30) % 2, rng.normal(size=(20, 50)), 2)
    share = typicality(rng.normal(size=(200, 50)))
    assert np.isfinite(share).all()
    assert 0.25 < share.mean() < 0.75


def test_constant_embedding_is_finite():
    typicality = fit_typicality(np.zeros((10, 4)), np.arange(10) % 2, np.zeros((20, 4)), 2)
    np.testing.assert_array_equal(typicality(np.zeros((3, 4))), 1.0)
