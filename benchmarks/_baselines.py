"""Simple age predictors on given donor folds, tuned by inner folds over the training donors.

Every method takes the same arguments and returns one prediction per test donor::

    method(X, donors, ages, cell_types, train, test) -> array (n_test,)

``X`` is a CSR matrix of log-normalised counts; ``donors`` and ``cell_types`` are integer codes per
cell (``donors`` from 0), ``ages`` holds one age per donor code, ``train`` and ``test`` are donor
codes. Nothing is learned from the test donors.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import sparse
from sklearn.cross_decomposition import PLSRegression
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet, Lasso, Ridge

N_INNER = 5
ALPHAS_RIDGE = np.logspace(1.5, 4.5, 7)
# Relative to the smallest penalty that leaves no coefficient.
ALPHAS_SPARSE = np.logspace(0, -2.5, 11)
N_COMPONENTS = (1, 2, 3, 4, 6, 8, 12)

# (training donors, test donors) -> predictions (n_grid, n_test), one row per tuning value
Path = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass
class Data:
    """Cells and donors as the methods see them."""

    X: sparse.csr_matrix
    donors: np.ndarray
    ages: np.ndarray
    cell_types: np.ndarray

    def cells(self, donors: np.ndarray) -> np.ndarray:
        """Rows of the cells of these donors."""
        return np.flatnonzero(np.isin(self.donors, donors))


def log_normalize(counts: sparse.csr_matrix, target_sum: float = 1e4) -> sparse.csr_matrix:
    """log1p of counts scaled to ``target_sum`` per cell; cells without counts stay zero."""
    counts = sparse.csr_matrix(counts, dtype=np.float64)
    totals = np.asarray(counts.sum(axis=1)).ravel()
    scale = np.divide(target_sum, totals, out=np.zeros_like(totals), where=totals > 0)
    return sparse.csr_matrix(sparse.diags(scale) @ counts).log1p()


def mean_age(
    X: sparse.csr_matrix,
    donors: np.ndarray,
    ages: np.ndarray,
    cell_types: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
) -> np.ndarray:
    """Mean age of the training donors."""
    return np.full(len(test), ages[train].mean())


def ridge_cells(
    X: sparse.csr_matrix,
    donors: np.ndarray,
    ages: np.ndarray,
    cell_types: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    *,
    calibrated: bool = False,
) -> np.ndarray:
    """Ridge on cells; a donor's prediction is the mean over its cells."""
    path = partial(_ridge_path, Data(X, donors, ages, cell_types))
    return _tuned(path, ages, train, test, calibrated)


def elastic_net_cells(
    X: sparse.csr_matrix,
    donors: np.ndarray,
    ages: np.ndarray,
    cell_types: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    *,
    calibrated: bool = False,
) -> np.ndarray:
    """Elastic net (equal parts L1 and L2) on cells; donor prediction as for ridge."""
    path = partial(_elastic_net_path, Data(X, donors, ages, cell_types))
    return _tuned(path, ages, train, test, calibrated)


def pls_pseudobulk(
    X: sparse.csr_matrix,
    donors: np.ndarray,
    ages: np.ndarray,
    cell_types: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    *,
    calibrated: bool = False,
    side_by_side: bool = False,
) -> np.ndarray:
    """Partial least squares on donor × cell-type means, centred per cell type.

    A donor and type is one sample, and a donor's prediction the mean over its types; with
    ``side_by_side`` a donor is one sample and the genes of each type are features of their own.
    """
    path = _PseudobulkPath(Data(X, donors, ages, cell_types), _pls_path, side_by_side)
    return _tuned(path, ages, train, test, calibrated)


def lasso_pseudobulk(
    X: sparse.csr_matrix,
    donors: np.ndarray,
    ages: np.ndarray,
    cell_types: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    *,
    calibrated: bool = False,
    side_by_side: bool = False,
) -> np.ndarray:
    """LASSO on the same means as :func:`pls_pseudobulk`."""
    path = _PseudobulkPath(Data(X, donors, ages, cell_types), _lasso_path, side_by_side)
    return _tuned(path, ages, train, test, calibrated)


METHODS: dict[str, Callable[..., np.ndarray]] = {
    "mean age": mean_age,
    "ridge on cells": ridge_cells,
    "elastic net on cells": elastic_net_cells,
    "PLS on pseudobulk": pls_pseudobulk,
    "PLS on pseudobulk (calibrated)": partial(pls_pseudobulk, calibrated=True),
    "PLS, types side by side (calibrated)": partial(
        pls_pseudobulk, calibrated=True, side_by_side=True
    ),
    "LASSO on pseudobulk": lasso_pseudobulk,
    "LASSO on pseudobulk (calibrated)": partial(lasso_pseudobulk, calibrated=True),
    "LASSO, types side by side (calibrated)": partial(
        lasso_pseudobulk, calibrated=True, side_by_side=True
    ),
}


def _tuned(
    path: Path, ages: np.ndarray, train: np.ndarray, test: np.ndarray, calibrated: bool
) -> np.ndarray:
    """Choose the tuning value with the least inner donor MAE, then fit on all training donors."""
    inner = [path(np.setdiff1d(train, held), held) for held in inner_folds(train)]
    order = np.concatenate(inner_folds(train))
    out_of_fold = np.concatenate(inner, axis=1)
    best = int(np.abs(out_of_fold - ages[order]).mean(axis=1).argmin())
    predicted = path(train, test)[best]
    if calibrated:
        return calibrate(out_of_fold[best], ages[order], predicted)
    return predicted


def inner_folds(train: np.ndarray) -> list[np.ndarray]:
    """Split the training donors at random (fixed seed) into at most ``N_INNER`` folds."""
    shuffled = np.random.default_rng(0).permutation(train)
    return np.array_split(shuffled, min(N_INNER, len(train)))


def calibrate(out_of_fold: np.ndarray, ages: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Rescale around the mean age by the donor-level slope of age on out-of-fold prediction.

    The slope ``b`` is shrunk towards the mean age: 0 if ``b <= 0``; above 1 only as far as two
    standard errors allow; times ``max(0, 1 - k / t**2)`` with ``k`` 2, or 4 below 30 donors.
    """
    x, y = out_of_fold - out_of_fold.mean(), ages - ages.mean()
    spread = x @ x
    if spread <= 1e-12 * len(x) or x @ y <= 0:
        return np.full(len(predicted), ages.mean())
    slope = x @ y / spread
    error = np.sqrt(((y - slope * x) ** 2).sum() / max(1, len(x) - 2) / spread)
    k = 2 if len(x) >= 30 else 4
    shrink = max(0.0, 1 - k * (error / slope) ** 2)
    if slope > 1:
        slope = max(1.0, slope - 2 * error)
    return ages.mean() + slope * shrink * (predicted - out_of_fold.mean())


def _donor_means(data: Data, cells: np.ndarray, values: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Average cell predictions (n_grid, n_cells) per donor, in the order of ``test``."""
    return np.stack([values[:, data.donors[cells] == d].mean(axis=1) for d in test], axis=1)


def _ridge_path(data: Data, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    fit, held = data.cells(train), data.cells(test)
    X, y = data.X[fit], data.ages[data.donors[fit]]
    X_held = data.X[held]
    values = [
        Ridge(alpha=alpha, solver="sparse_cg", tol=1e-3).fit(X, y).predict(X_held)
        for alpha in ALPHAS_RIDGE
    ]
    return _donor_means(data, held, np.stack(values), test)


def _elastic_net_path(data: Data, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    fit, held = data.cells(train), data.cells(test)
    X, y = data.X[fit].tocsc(), data.ages[data.donors[fit]]
    # Random order converges many times faster than cyclic on correlated genes.
    model = ElasticNet(
        l1_ratio=0.5, warm_start=True, tol=1e-3, max_iter=100, selection="random", random_state=0
    )
    values = _descend(model, X, y, data.X[held])
    return _donor_means(data, held, values, test)


def _descend(
    model: ElasticNet, X: np.ndarray | sparse.csc_matrix, y: np.ndarray, X_held: np.ndarray
) -> np.ndarray:
    """Fit from the largest penalty down, each fit starting from the last."""
    gradient = np.abs(X.T @ (y - y.mean())).max() / len(y)
    largest = gradient / model.l1_ratio
    values = []
    with warnings.catch_warnings():
        # The weakest penalties converge slowly and are rarely chosen.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for alpha in largest * ALPHAS_SPARSE:
            values.append(model.set_params(alpha=alpha).fit(X, y).predict(X_held))
    return np.stack(values)


class _PseudobulkPath:
    """Means of every donor and cell type, computed once; centred per type on training donors."""

    def __init__(
        self, data: Data, fit: Callable[..., np.ndarray], side_by_side: bool = False
    ) -> None:
        self.n_types = int(data.cell_types.max()) + 1
        group = data.donors * self.n_types + data.cell_types
        rows, code, n_cells = np.unique(group, return_inverse=True, return_counts=True)
        member = sparse.csr_matrix(
            (1 / n_cells[code], (code, np.arange(len(group)))), (len(rows), len(group))
        )
        self.means = (member @ data.X).toarray()
        self.donor, self.type = rows // self.n_types, rows % self.n_types
        self.ages = data.ages
        self.fit = fit
        self.side_by_side = side_by_side

    def __call__(self, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        X, owner = self._centred(train), self.donor
        if self.side_by_side:
            wide = np.zeros((len(self.ages), self.n_types, X.shape[1]))
            wide[owner, self.type] = X  # a missing type counts as average
            X, owner = wide.reshape(len(wide), -1), np.arange(len(wide))
        is_train, held = np.isin(owner, train), np.isin(owner, test)
        # Genes constant over the training donors say nothing there.
        X = X[:, X[is_train].std(axis=0) > 1e-9]
        values = self.fit(X[is_train], self.ages[owner[is_train]], X[held])
        return np.stack([values[:, owner[held] == d].mean(axis=1) for d in test], axis=1)

    def _centred(self, train: np.ndarray) -> np.ndarray:
        is_train = np.isin(self.donor, train)
        X = self.means.copy()
        for t in np.unique(self.type):
            members = self.type == t
            centre = is_train & members if (is_train & members).any() else is_train
            X[members] -= self.means[centre].mean(axis=0)
        return X


# Genes keep their scale: it is the same log unit for all, and weak genes are mostly noise.
def _pls_path(X: np.ndarray, y: np.ndarray, X_held: np.ndarray) -> np.ndarray:
    values = []
    for n in N_COMPONENTS:
        n = min(n, len(X) - 1, X.shape[1])
        values.append(PLSRegression(n, scale=False).fit(X, y).predict(X_held).ravel())
    return np.stack(values)


def _lasso_path(X: np.ndarray, y: np.ndarray, X_held: np.ndarray) -> np.ndarray:
    return _descend(Lasso(warm_start=True, tol=1e-3), X, y, X_held)
