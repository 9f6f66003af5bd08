"""The gated network of :class:`~sctools.model.AgeClock` behind the interface of the methods."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from ...pp._clock_input import ClockInput
from .._age_clock import AgeClock
from ._cells import ClockCells


class FittedGMA:
    """A trained clock."""

    def __init__(self, clock: AgeClock) -> None:
        self.clock = clock

    def predict(self, cells: ClockCells) -> np.ndarray:
        """Age of every unit, float64: the mean over its cells."""
        return np.bincount(cells.unit, weights=self.predict_cells(cells)) / np.bincount(cells.unit)

    def predict_cells(self, cells: ClockCells) -> np.ndarray:
        """Age of every cell."""
        return self._predict(cells)[0]

    def predict_specific(self, cells: ClockCells) -> np.ndarray:
        """Age of every cell from its own cell type in its unit alone."""
        return self._predict(cells)[1]

    def _predict(self, cells: ClockCells) -> tuple[np.ndarray, np.ndarray]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*have no counts in the clock's genes.*")
            # A fold may lack a label that the cohort has: no news to the user.
            warnings.filterwarnings("ignore", message=".*were not seen in training.*")
            predicted, specific = self.clock.predict(
                _as_anndata(cells),
                donor_key="donor",
                sample_key="unit",
                log_normalized=True,
                return_specific=True,
            )
        return predicted, specific


class GMA:
    """Gated network with pseudocells and a ridge regression over donors.

    Parameters
    ----------
    **kwargs
        Arguments for :class:`~sctools.model.AgeClock` and its ``train``.
    """

    input = "pseudocells"

    def __init__(self, **kwargs: Any) -> None:
        model = inspect.signature(AgeClock).parameters
        self.model_kwargs = {name: kwargs[name] for name in kwargs if name in model}
        self.train_kwargs = {name: kwargs[name] for name in kwargs if name not in model}

    def fit(self, cells: ClockCells, *, rng: int | np.random.Generator | None = 0) -> FittedGMA:
        """Train on the donors of ``cells``; see :meth:`sctools.model.AgeClock.train`."""
        adata = _as_anndata(cells)
        cell_type_key = None if cells.cell_type is None else "cell_type"
        names = ClockInput("age", "donor", "unit", cell_type_key, [], None, log_normalized=True)
        AgeClock._register(adata, names)
        clock = AgeClock(adata, **self.model_kwargs)
        clock.train(**{"rng": rng, "progress_bar": False, **self.train_kwargs})
        return FittedGMA(clock)


def _as_anndata(cells: ClockCells) -> AnnData:
    columns: dict[str, Any] = {
        "donor": cells.donor[cells.unit].astype(str),
        "unit": [f"{unit:09}" for unit in cells.unit],  # sorted, they keep their order
    }
    if cells.cell_type is not None:
        columns["cell_type"] = cells.cell_type
    if cells.age is not None:
        columns["age"] = cells.age[cells.unit]
    index = pd.RangeIndex(len(cells.unit)).astype(str)
    var = pd.DataFrame(index=[f"gene{i}" for i in range(cells.x.shape[1])])
    return AnnData(cells.x, pd.DataFrame(columns, index=index), var)
