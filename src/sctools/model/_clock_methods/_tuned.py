"""Age from a regression that is tuned and calibrated by inner folds over training donors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ..._arguments import check_choice
from ...pp._clock_input import READ_ROWS
from ...pp._expression import row_blocks
from .._age_statistics import top_genes
from .._calibration import shrunk_line
from ._cells import ClockCells
from ._inputs import INPUTS, Examples, Features, Matrix, kind_codes, pooled, pseudocells
from ._inputs import single_cells as every_cell

Path = Callable[[Matrix], np.ndarray]
"""Features (examples × features) -> predictions (tuning values × examples)."""


class Regression(ABC):
    """A regression with a grid of tuning values.

    Attributes
    ----------
    n_grid
        Number of tuning values.
    default_input
        The input that suits it best.
    linear
        Pooled cell types go side by side; else they are examples of their own, and the cell type is
        told by indicators.
    """

    n_grid: int
    default_input: str
    linear: bool = False

    @abstractmethod
    def fit(self, x: Matrix, y: np.ndarray, weight: np.ndarray, seed: int) -> Path:
        """Fit all tuning values.

        Parameters
        ----------
        x
            Features, examples × features: CSR for single cells, else dense.
        y
            Standardised age of every example.
        weight
            Weight of every example, 1 on average.
        seed
            Seed of whatever is random.
        """


def check_grid(name: str, values: Sequence[int]) -> tuple[int, ...]:
    """Tuning values in rising order; raise unless they are whole numbers of at least 1."""
    grid = sorted(set(values))
    if not grid or any(int(value) != value or value < 1 for value in grid):
        raise ValueError(f"`{name}` must list whole numbers of at least 1, found {values!r}.")
    return tuple(int(value) for value in grid)


def check_counts(**numbers: int) -> None:
    """Raise ``ValueError`` unless each is at least 1."""
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1, found {value}.")


def check_inner_folds(n_inner_folds: int) -> None:
    """Raise ``ValueError`` where training donors cannot be split."""
    if n_inner_folds < 2:
        raise ValueError(f"`n_inner_folds` must be at least 2, found {n_inner_folds}.")


def ages_to_learn(cells: ClockCells) -> np.ndarray:
    """Age of every unit; raise ``ValueError`` where one is missing."""
    if cells.age is None or not np.isfinite(cells.age).all():
        raise ValueError("Training needs the age of every unit.")
    return cells.age


class _Fitted:
    """Features and path fitted on some units; predictions are standardised ages."""

    def __init__(self, features: Features, path: Path, mean: float, sd: float) -> None:
        self.features, self.path, self.mean, self.sd = features, path, mean, sd

    def of_examples(self, examples: Examples) -> np.ndarray:
        return self.path(self.features(examples).x)

    def of_units(self, examples: Examples, units: np.ndarray) -> np.ndarray:
        rows = self.features(examples)
        return rows.unit_means(self.path(rows.x), units)


class TunedClock:
    """A fitted regression with its inputs and its calibration; see :meth:`predict`."""

    def __init__(
        self,
        method: TunedMethod,
        genes: np.ndarray,
        kinds: list[str],
        fitted: _Fitted,
        best: int,
        line: tuple[float, float],
    ) -> None:
        self.method = method
        self.genes = genes
        self.kinds = kinds
        self.best = best
        self._fitted = fitted
        self._line = line

    def predict(self, cells: ClockCells) -> np.ndarray:
        """Age of every unit, float64; it depends on no other unit."""
        examples = self._asked(cells)
        return self._to_age(self._fitted.of_units(examples, np.arange(len(cells.donor)))[self.best])

    def predict_cells(self, cells: ClockCells) -> np.ndarray | None:
        """Age of every cell: that of its unit plus the cell's own deviation.

        ``None`` with pooled cells as input, which say nothing of single ones. The deviation is
        never stretched by the calibration, which would inflate noise.
        """
        if self.method.input == "sums":
            return None
        raw = self._of_cells(cells)
        mean = np.bincount(cells.unit, weights=raw) / np.bincount(cells.unit)
        deviation = min(1.0, self._line[0]) * (raw - mean[cells.unit])
        return self.predict(cells)[cells.unit] + deviation * self._fitted.sd

    def predict_specific(self, cells: ClockCells) -> np.ndarray | None:
        """Age of every cell by itself, which differs from the above by one number per unit.

        ``None`` with pooled cells as input.
        """
        if self.method.input == "sums":
            return None
        slope, center = self._line
        deviation = min(1.0, slope) * (self._of_cells(cells) - center)
        return self._fitted.mean + deviation * self._fitted.sd

    def _of_cells(self, cells: ClockCells) -> np.ndarray:
        kind = kind_codes(cells.cell_type, self.kinds, len(cells.unit))
        raw = np.empty(len(cells.unit))
        for start, block in row_blocks(cells.x[:, self.genes], READ_ROWS):
            rows = slice(start, start + block.shape[0])
            part = every_cell(block, cells.unit[rows], kind[rows])
            raw[rows] = self._fitted.of_examples(part)[self.best]
        return raw

    def _asked(self, cells: ClockCells) -> Examples:
        kind = kind_codes(cells.cell_type, self.kinds, len(cells.unit))
        make = every_cell if self.method.input == "cells" else pooled
        return make(cells.x[:, self.genes], cells.unit, kind)

    def _to_age(self, raw: np.ndarray) -> np.ndarray:
        slope, center = self._line
        return self._fitted.mean + self._fitted.sd * slope * (raw - center)


class ConstantClock(NamedTuple):
    """The mean age for everyone: for training donors that have nothing to tell."""

    age: float

    def predict(self, cells: ClockCells) -> np.ndarray:
        """Return the mean age for every unit."""
        return np.full(len(cells.donor), self.age)

    def predict_cells(self, cells: ClockCells) -> np.ndarray:
        """Return the mean age for every cell."""
        return np.full(len(cells.unit), self.age)

    def predict_specific(self, cells: ClockCells) -> np.ndarray | None:
        """Return the mean age for every cell."""
        return self.predict_cells(cells)


class TunedMethod:
    """A regression behind the interface that all clock methods share.

    Parameters
    ----------
    regression
        What is fitted.
    input
        ``"cells"``, ``"pseudocells"`` or ``"sums"``; ``None`` takes the regression's own.
    calibrated
        Rescale predictions around the mean age as held-out training donors demand, by the rule of
        :class:`~sctools.model.AgeClock`.
    side_by_side
        Put the cell types of pooled cells side by side; ``None`` does so for linear regressions.
    pseudocell_size, n_pseudocells
        Cells per pseudocell, and pseudocells per unit and cell type.
    n_inner_folds
        Folds of training donors that choose the tuning value and the calibration.
    n_top_genes
        The genes with the highest mean log expression are used, at most so many, as in the clock.

    Raises
    ------
    ValueError
        If ``input`` is unknown or a number is not positive.
    """

    def __init__(
        self,
        regression: Regression,
        *,
        input: str | None = None,
        calibrated: bool = True,
        side_by_side: bool | None = None,
        pseudocell_size: int = 15,
        n_pseudocells: int = 10,
        n_inner_folds: int = 5,
        n_top_genes: int = 2000,
    ) -> None:
        self.regression = regression
        self.input = regression.default_input if input is None else input
        check_choice(self.input, INPUTS, "input")
        check_counts(
            pseudocell_size=pseudocell_size, n_pseudocells=n_pseudocells, n_top_genes=n_top_genes
        )
        check_inner_folds(n_inner_folds)
        self.calibrated = calibrated
        self.side_by_side = (
            regression.linear if side_by_side is None else side_by_side
        ) and self.input == "sums"
        self.pseudocell_size = pseudocell_size
        self.n_pseudocells = n_pseudocells
        self.n_inner_folds = n_inner_folds
        self.n_top_genes = n_top_genes

    def fit(
        self, cells: ClockCells, *, rng: int | np.random.Generator | None = 0
    ) -> TunedClock | ConstantClock:
        """Tune on inner folds over the donors of ``cells``, then fit on all of them.

        Parameters
        ----------
        cells
            Training cells with the ages of their units.
        rng
            Seed or generator.

        Returns
        -------
        The fitted clock.

        Raises
        ------
        ValueError
            If the ages are missing.
        """
        age = ages_to_learn(cells)
        rng = np.random.default_rng(rng)
        donor = np.unique(cells.donor, return_inverse=True)[1]
        if not _can_learn(age, donor):
            return ConstantClock(float(age.mean()))
        genes = top_genes(cells.x, self.n_top_genes)
        kinds = _kinds(cells.cell_type)
        x, kind = cells.x[:, genes], kind_codes(cells.cell_type, kinds, len(cells.unit))
        seed = int(rng.integers(2**31))
        folds = inner_folds(donor, self.n_inner_folds, rng)
        pool = (
            every_cell(x, cells.unit, kind)
            if self.input == "cells"
            else pooled(x, cells.unit, kind)
        )
        learned = pool
        if self.input == "pseudocells":
            size, number = self.pseudocell_size, self.n_pseudocells
            learned = pseudocells(x, cells.unit, kind, size=size, number=number, rng=rng)

        def fit(units: np.ndarray) -> _Fitted:
            mean, sd = float(age[units].mean()), float(age[units].std()) or 1.0
            mine = learned.of_units(units)
            features = Features(
                mine,
                len(kinds),
                side_by_side=self.side_by_side,
                tell_kind=not self.regression.linear,
            )
            rows = features(mine)
            y = (age[rows.unit] - mean) / sd
            # Single cells count alike: weights by donor would rest on donors with few of them.
            weight = np.ones(len(y)) if self.input == "cells" else _balanced(rows)
            return _Fitted(features, self.regression.fit(rows.x, y, weight, seed), mean, sd)

        everyone = np.arange(len(age))
        held_out = np.empty((self.regression.n_grid, len(age)))
        for held in folds:
            learn = np.setdiff1d(everyone, held)
            if _can_learn(age[learn], donor[learn]):
                fitted = fit(learn)
                raw = fitted.of_units(pool.of_units(held), held)
                held_out[:, held] = fitted.mean + fitted.sd * raw
            else:
                held_out[:, held] = age[learn].mean()
        final = fit(everyone)
        held_out = (held_out - final.mean) / final.sd
        standard = (age - final.mean) / final.sd
        best = int(np.abs(held_out - standard).mean(axis=1).argmin())
        line = shrunk_line(held_out[best], standard, donor) if self.calibrated else (1.0, 0.0)
        return TunedClock(self, genes, kinds, final, best, line)


def inner_folds(donor: np.ndarray, n_folds: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Units of each fold: donors at random, at most one fold per donor."""
    n_donors = int(donor.max()) + 1
    fold = rng.permutation(n_donors) % min(n_folds, n_donors)
    return [np.flatnonzero(fold[donor] == k) for k in range(fold.max() + 1)]


def _can_learn(age: np.ndarray, donor: np.ndarray) -> bool:
    return len(np.unique(donor)) > 1 and bool(np.ptp(age) > 0)


def _kinds(cell_type: np.ndarray | None) -> list[str]:
    from natsort import natsorted

    if cell_type is None:
        return []
    return natsorted({label for label in cell_type if label is not None})


def _balanced(rows: Examples) -> np.ndarray:
    """Weights by which all units count alike, 1 on average."""
    total = np.bincount(rows.unit, weights=rows.weight)
    weight = rows.weight / total[rows.unit]
    return weight / weight.mean()
