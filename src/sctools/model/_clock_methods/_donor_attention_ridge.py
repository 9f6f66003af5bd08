"""Ridge regression over units from their inner products: few units, many genes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

PENALTIES = np.logspace(-3, 1, 9)
"""Relative to the mean squared distance of a unit from the mean."""


class UnitRidge(NamedTuple):
    """Ridge regressions on some units with an unpenalised mean, one per penalty.

    Attributes
    ----------
    weights
        Weight of every learned unit's expression, penalties × units; a row sums to 0.
    intercept
        What is added to the product with the weights.
    held_out
        Prediction for every learned unit by the rest, its donor's other units left out too;
        penalties × units.
    """

    weights: np.ndarray
    intercept: np.ndarray
    held_out: np.ndarray

    def predict(self, products: np.ndarray) -> np.ndarray:
        """Predictions (penalties × units) from the inner products of units with learned ones."""
        return self.weights @ products.T + self.intercept[:, None]


def fit_unit_ridge(products: np.ndarray, age: np.ndarray, donor: np.ndarray) -> UnitRidge:
    """Solve all penalties from one eigendecomposition.

    Parameters
    ----------
    products
        Inner products of the units' expression, units × units.
    age
        Age of every unit.
    donor
        Donor of every unit.
    """
    n, mean_age = len(age), float(age.mean())
    target = age - mean_age
    mean = products.mean(axis=0)
    kernel = products - mean - mean[:, None] + mean.mean()
    values, vectors = np.linalg.eigh(kernel)
    values = np.maximum(values, 0)
    size = float(values.sum()) / n or 1.0
    same = donor[:, None] == donor
    alone = int(same.sum()) == n
    weights, intercept, held_out = [], [], []
    for penalty in PENALTIES * size:
        dual = vectors @ ((vectors.T @ target) / (values + penalty))
        weight = dual - dual.mean()
        weights.append(weight)
        intercept.append(mean_age - float(mean @ weight))
        shrunk = values / (values + penalty)
        residual = target - vectors @ (shrunk * (vectors.T @ target))
        # What a donor adds to its own prediction is taken out exactly (leave one donor out).
        if alone:
            own = (vectors**2) @ shrunk + 1 / n
            residual = residual / np.maximum(1 - own, 1e-12)
        else:
            hat = (vectors * shrunk) @ vectors.T + 1 / n
            residual = np.linalg.solve((1 + 1e-12) * np.eye(n) - np.where(same, hat, 0), residual)
        held_out.append(age - residual)
    return UnitRidge(np.array(weights), np.array(intercept), np.array(held_out))


def evidence(products: np.ndarray, age: np.ndarray, donor: np.ndarray) -> float:
    """How much better than the mean age ridge predicts held-out donors: a log likelihood ratio.

    The larger of 0 and ``n_donors / 2 * log(variance / error)`` with squared errors of donors left
    out in turn, for the mean age as well as for the best penalty.
    """
    code = np.unique(donor, return_inverse=True)[1]
    n_others = len(age) - np.bincount(code)
    mean_of_others = (age.sum() - np.bincount(code, weights=age)) / np.maximum(n_others, 1)
    without = float(((age - mean_of_others[code]) ** 2).sum())
    errors = ((fit_unit_ridge(products, age, donor).held_out - age) ** 2).sum(axis=1)
    least = max(float(errors.min()), 1e-12 * without)
    return len(n_others) / 2 * float(np.log(without / least)) if without > least else 0.0
