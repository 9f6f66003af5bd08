"""Gradient-boosted trees for age: XGBoost and CatBoost, both optional."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..._extras import import_extra
from ._inputs import Matrix
from ._tuned import Path, Regression, check_grid

DEPTHS = (2, 4)
N_TREES = (25, 50, 100, 200)
LEARNING_RATE = 0.1
N_BINS = 64
"""Means of few cells have no finer steps worth splitting at; the libraries' own are slower."""


class _Trees(Regression):
    default_input = "cells"
    package: str

    def __init__(self, n_trees: Sequence[int] = N_TREES, depths: Sequence[int] = DEPTHS) -> None:
        self.n_trees, self.depths = check_grid("n_trees", n_trees), check_grid("depths", depths)
        self.n_grid = len(self.n_trees) * len(self.depths)
        self._trees = import_extra(
            self.package, extra=self.package, purpose=f"The method {self.package!r}"
        )


class XGBoost(_Trees):
    """XGBoost.

    T. Chen, C. Guestrin, *XGBoost*, KDD 2016, doi:10.1145/2939672.2939785.

    Parameters
    ----------
    n_trees
        Numbers of trees to choose from.
    depths
        Depths of the trees to choose from.
    """

    package = "xgboost"

    def fit(self, x: Matrix, y: np.ndarray, weight: np.ndarray, seed: int) -> Path:
        """Fit every depth with the most trees; see :class:`Regression`."""
        # What a CSR matrix does not store counts as missing there, in prediction too.
        models = [
            self._trees.XGBRegressor(
                max_depth=depth,
                n_estimators=max(self.n_trees),
                learning_rate=LEARNING_RATE,
                subsample=0.8,
                colsample_bynode=0.3,
                tree_method="hist",
                max_bin=N_BINS,
                n_jobs=1,
                random_state=seed,
            ).fit(x, y, sample_weight=weight)
            for depth in self.depths
        ]
        return lambda x: np.stack(
            [model.predict(x, iteration_range=(0, n)) for model in models for n in self.n_trees]
        ).astype(np.float64)


class CatBoost(_Trees):
    """CatBoost.

    L. Prokhorenkova et al., *CatBoost*, NeurIPS 2018, doi:10.48550/arXiv.1706.09516.

    Parameters
    ----------
    n_trees
        Numbers of trees to choose from.
    depths
        Depths of the trees to choose from.
    """

    package = "catboost"

    def fit(self, x: Matrix, y: np.ndarray, weight: np.ndarray, seed: int) -> Path:
        """Fit every depth with the most trees; see :class:`Regression`."""
        models = [
            self._trees.CatBoostRegressor(
                depth=depth,
                iterations=max(self.n_trees),
                learning_rate=LEARNING_RATE,
                rsm=0.3,
                border_count=N_BINS,
                thread_count=1,
                random_seed=seed,
                verbose=False,
                allow_writing_files=False,
            ).fit(x, y, sample_weight=weight)
            for depth in self.depths
        ]
        return lambda x: np.stack(
            [
                model.predict(x, ntree_end=n, thread_count=1)
                for model in models
                for n in self.n_trees
            ]
        )
