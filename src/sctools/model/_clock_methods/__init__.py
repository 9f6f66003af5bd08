"""Clock methods behind one interface, so that they can be compared on equal terms.

A method fits :class:`ClockCells` with ages and gives back something that predicts the ages of
others. Whatever it tunes, it tunes by inner folds over the training donors.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from ..._validate import listing
from ._boosting import CatBoost, XGBoost
from ._cells import ClockCells
from ._donor_attention import DonorAttention
from ._gma import GMA
from ._inputs import INPUTS
from ._linear import ElasticNetRegression, PartialLeastSquares, RidgeRegression
from ._networks import Perceptron, SupervisedAutoencoder
from ._tuned import Regression, TunedMethod

__all__ = [
    "INPUTS",
    "METHODS",
    "OWN_INPUT",
    "ClockCells",
    "ClockMethod",
    "FittedClock",
    "clock_method",
]


class FittedClock(Protocol):
    """What a method gives back."""

    def predict(self, cells: ClockCells) -> np.ndarray:
        """Age of every unit, float64."""
        ...

    def predict_cells(self, cells: ClockCells) -> np.ndarray | None:
        """Age of every cell; ``None`` where the method cannot tell cells apart."""
        ...

    def predict_specific(self, cells: ClockCells) -> np.ndarray | None:
        """Age of every cell that borrows nothing from other cell types; ``None`` where unknown."""
        ...


class ClockMethod(Protocol):
    """A way to make a clock."""

    input: str

    def fit(self, cells: ClockCells, *, rng: int | np.random.Generator | None = 0) -> FittedClock:
        """Learn from cells with ages."""
        ...


_REGRESSIONS: dict[str, Callable[..., Regression]] = {
    "elastic_net": ElasticNetRegression,
    "ridge": RidgeRegression,
    "pls": PartialLeastSquares,
    "mlp": Perceptron,
    "autoencoder": SupervisedAutoencoder,
    "xgboost": XGBoost,
    "catboost": CatBoost,
}

_OWN_INPUT: dict[str, Callable[..., ClockMethod]] = {"gma": GMA, "donor_attention": DonorAttention}

METHODS = ("gma", *_REGRESSIONS, "donor_attention")
"""Names of the methods."""
OWN_INPUT = tuple(_OWN_INPUT)
"""Methods that read cells in a way of their own, whatever the input asked for."""


def clock_method(name: str, *, input: str | None = None, **kwargs: Any) -> ClockMethod:
    """Make a clock method by its name.

    Parameters
    ----------
    name
        One of ``METHODS``.
    input
        One of ``INPUTS``; ``None`` takes what suits the method. Those of ``OWN_INPUT`` take no
        other than their own.
    **kwargs
        Further arguments of :class:`TunedMethod` and of the regression (``l1_ratio`` for
        ``"elastic_net"``, ``n_epochs`` for networks, ``n_trees`` and ``depths`` for trees), of
        :class:`DonorAttention` for ``"donor_attention"``, or of :class:`~sctools.model.AgeClock`
        and its ``train`` for ``"gma"``.

    Raises
    ------
    ImportError
        The method's library is missing; the message names the extra.
    TypeError
        The method has no such argument.
    ValueError
        No such method or input, or an argument is out of range.
    """
    if name in _OWN_INPUT:
        method = _OWN_INPUT[name](**kwargs)
        if input not in (None, method.input):
            raise ValueError(f"{name!r} takes {method.input!r} only, found `input={input!r}`.")
        return method
    if name not in _REGRESSIONS:
        raise ValueError(f"No clock method {name!r}. Available: {listing(METHODS)}.")
    regression = _REGRESSIONS[name]
    own = {key: kwargs[key] for key in kwargs if key in inspect.signature(regression).parameters}
    others = {key: kwargs[key] for key in kwargs if key not in own}
    return TunedMethod(regression(**own), input=input, **others)
