"""Linear regressions of age: ridge, elastic net and partial least squares."""

from __future__ import annotations

import warnings

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet, Ridge

from ._inputs import Matrix
from ._tuned import Path, Regression

RIDGE_PENALTIES = np.logspace(-1.5, 1.5, 7)
"""Relative to the mean squared distance of an example from the mean."""
SPARSE_PENALTIES = np.logspace(0, -2.5, 11)
"""Relative to the smallest penalty that leaves no coefficient."""
N_COMPONENTS = (1, 2, 3, 4, 6, 8, 12)


def _linear_path(coefs: list[np.ndarray], intercepts: list[float]) -> Path:
    coef, intercept = np.stack(coefs), np.array(intercepts)
    return lambda x: (x @ coef.T + intercept).T


class RidgeRegression(Regression):
    """Ridge regression."""

    n_grid = len(RIDGE_PENALTIES)
    default_input = "sums"
    linear = True

    def fit(self, x: Matrix, y: np.ndarray, weight: np.ndarray, seed: int) -> Path:
        """Fit every penalty; see :class:`Regression`."""
        squares = x.multiply(x) if sp.issparse(x) else x**2
        mean = weight @ x / len(y)
        size = float((weight @ squares / len(y) - mean**2).sum()) or 1.0
        fits = [
            Ridge(alpha=penalty * size, solver="sparse_cg", tol=1e-3).fit(x, y, weight)
            for penalty in RIDGE_PENALTIES
        ]
        return _linear_path([fit.coef_ for fit in fits], [float(fit.intercept_) for fit in fits])


class ElasticNetRegression(Regression):
    """Elastic net; a LASSO with ``l1_ratio=1``.

    Parameters
    ----------
    l1_ratio
        Share of the L1 penalty.
    """

    n_grid = len(SPARSE_PENALTIES)
    default_input = "sums"
    linear = True

    def __init__(self, l1_ratio: float = 0.5) -> None:
        if not 0 < l1_ratio <= 1:
            raise ValueError(f"`l1_ratio` must lie in (0, 1], found {l1_ratio}.")
        self.l1_ratio = l1_ratio

    def fit(self, x: Matrix, y: np.ndarray, weight: np.ndarray, seed: int) -> Path:
        """Fit from the largest penalty down, each from the last; see :class:`Regression`."""
        sparse = sp.issparse(x)
        x = x.tocsc() if sparse else np.asfortranarray(x)
        model = ElasticNet(
            l1_ratio=self.l1_ratio,
            warm_start=True,
            tol=1e-3,
            # Random order converges many times faster on cells, whose genes are correlated.
            max_iter=100 if sparse else 1000,
            selection="random" if sparse else "cyclic",
            random_state=seed,
        )
        residual = weight * (y - np.average(y, weights=weight))
        largest = float(np.abs(x.T @ residual).max()) / len(y) / self.l1_ratio
        coefs, intercepts = [], []
        with warnings.catch_warnings():
            # The weakest penalties converge slowly and are rarely chosen.
            warnings.simplefilter("ignore", ConvergenceWarning)
            for penalty in (largest or 1.0) * SPARSE_PENALTIES:
                model.set_params(alpha=penalty).fit(x, y, weight)
                coefs.append(model.coef_.copy())
                intercepts.append(float(model.intercept_))
        return _linear_path(coefs, intercepts)


class PartialLeastSquares(Regression):
    """Partial least squares (PLS1) on unscaled genes.

    The coefficients with k components are the least-squares ones in the Krylov space of the
    covariance and its product with age (Helland 1988, doi:10.1080/03610918808812681). That needs
    products with the matrix only, so that it stays sparse, and takes weights, which scikit-learn's
    does not. Genes keep their scale: it is the same log unit for all, and weak ones are noise.
    """

    n_grid = len(N_COMPONENTS)
    default_input = "sums"
    linear = True

    def fit(self, x: Matrix, y: np.ndarray, weight: np.ndarray, seed: int) -> Path:
        """Fit every number of components; see :class:`Regression`."""
        root = np.sqrt(weight)
        mean = np.asarray(weight @ x).ravel() / weight.sum()
        mean_age = float(np.average(y, weights=weight))
        target = root * (y - mean_age)

        def backward(scores: np.ndarray) -> np.ndarray:
            scores = root * scores
            return np.asarray(x.T @ scores).ravel() - mean * scores.sum()

        basis: list[np.ndarray] = []
        scores: list[np.ndarray] = []
        following = backward(target)
        smallest = 1e-8 * np.linalg.norm(following)
        while len(basis) < min(max(N_COMPONENTS), len(y) - 1):
            for _ in range(2):  # once is not enough in floating point
                for vector in basis:
                    following = following - vector * (vector @ following)
            norm = np.linalg.norm(following)
            if norm <= smallest:
                break
            basis.append(following / norm)
            scores.append(root * (x @ basis[-1] - mean @ basis[-1]))
            following = backward(scores[-1])
        coefs, intercepts = [], []
        for n in N_COMPONENTS:
            coef = np.zeros(x.shape[1])
            if basis:
                part = np.linalg.lstsq(np.column_stack(scores[:n]), target, rcond=None)[0]
                coef = np.column_stack(basis[:n]) @ part
            coefs.append(coef)
            intercepts.append(mean_age - float(mean @ coef))
        return _linear_path(coefs, intercepts)
