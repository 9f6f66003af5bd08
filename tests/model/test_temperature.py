from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from sctools.model._temperature import fit_temperature


def answers(n=4000, n_labels=5, seed=0):
    """Logits whose softmax is the truth, and labels drawn from it."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n, n_labels))
    labels = np.array([rng.choice(n_labels, p=p) for p in softmax(logits, axis=1)])
    return logits, labels


def loss(logits, labels):
    return -log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean()


@pytest.mark.parametrize("factor", [0.3, 1.0, 3.0, 8.0])
def test_finds_the_factor_of_wrong_confidence(factor):
    logits, labels = answers()
    found = fit_temperature(factor * logits, labels)
    assert found == pytest.approx(factor, rel=0.1)
    best = loss(factor * logits / found, labels)
    assert best <= loss(factor * logits, labels) + 1e-9
    if factor > 1:
        assert best < loss(factor * logits, labels) - 0.1
    for nearby in (0.97, 1.03):
        assert best < loss(factor * logits / (found * nearby), labels)


def test_log_probabilities_serve_as_logits():
    logits, labels = answers(500)
    shifted = log_softmax(logits, axis=1).astype(np.float32)
    assert fit_temperature(shifted, labels) == pytest.approx(
        fit_temperature(logits, labels), rel=1e-3
    )


def test_bounds():
    logits, labels = answers(300)
    sure = 50 * np.eye(5)[labels]
    assert 0.05 <= fit_temperature(sure, labels) < 1  # flat: they cannot be righter
    assert 15 < fit_temperature(-sure, labels) <= 20
    assert np.isfinite(fit_temperature(np.zeros((10, 3)), np.zeros(10, int)))
    assert np.isfinite(fit_temperature(1e6 * logits, labels))


def test_input_is_not_changed():
    logits, labels = answers(100)
    before = logits.copy()
    fit_temperature(logits, labels)
    np.testing.assert_array_equal(logits, before)
