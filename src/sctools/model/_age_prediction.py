"""Ages of cells from a trained clock, block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from torch import Tensor

from ..module import ClockPart, FoldedPart
from ..pp._map_blocks import PreparedBlock, map_blocks
from ._age_statistics import cap_values


class Ages(NamedTuple):
    """Ages of cells, float64, shape (n_obs,).

    Attributes
    ----------
    predicted
        Age of each cell, which borrows from its donor's other cell types where there are donors.
    specific
        Age of each cell from cells of its own stratum (donor and covariates) alone.
    """

    predicted: np.ndarray
    specific: np.ndarray


class PartOutputs(NamedTuple):
    """Outputs of one part for a block of cells.

    Attributes
    ----------
    output
        Of the networks, float64, shape (n_cells,).
    contribution
        To the ridge regression of the cell's unit; empty where every cell stands on its own.
    strata
        Strata that cells of the block belong to, ascending.
    sums
        Projected expression summed over each, float64, (n_strata, width).
    """

    output: np.ndarray
    contribution: np.ndarray
    strata: np.ndarray
    sums: np.ndarray


class PartBlock:
    """Outputs of one part for a block of cells; it needs nothing else, and can be sent away.

    Parameters
    ----------
    part
        The part.
    n_model_genes
        Number of genes of the clock.
    present
        Which of the clock's genes the data have.
    """

    def __init__(self, part: ClockPart, n_model_genes: int, present: np.ndarray) -> None:
        self.device = part.cap.device
        here = torch.from_numpy(present).to(self.device)[part.genes]
        self.folded = FoldedPart(part, here).eval().to(self.device)
        self.position = np.full(n_model_genes, -1, dtype=np.int64)
        genes = part.genes.cpu().numpy()
        self.position[genes] = np.arange(len(genes))
        self.cap = part.cap.cpu().numpy()

    def select(self, x: sp.csr_matrix) -> sp.csr_matrix:
        """Capped values of the part's genes out of those of the clock."""
        gene = self.position[x.indices]
        keep = gene >= 0
        indptr = np.concatenate([[0], np.cumsum(keep)])[x.indptr]
        chosen = sp.csr_matrix(
            (x.data[keep], gene[keep], indptr), shape=(x.shape[0], len(self.cap))
        )
        return cap_values(chosen, self.cap)

    def tensor(self, values: np.ndarray) -> Tensor:
        """Array as a tensor where the part is."""
        return torch.from_numpy(values).to(self.device)

    @torch.inference_mode()
    def __call__(
        self, x: sp.csr_matrix, codes: np.ndarray, stratum: np.ndarray | None
    ) -> PartOutputs:
        """Evaluate cells with these values of the clock's genes, covariate codes and strata."""
        x = self.select(x)
        at = self.tensor(np.ascontiguousarray(codes))
        csr = (
            self.tensor(x.indptr.astype(np.int64)),
            self.tensor(x.indices.astype(np.int64)),
            self.tensor(x.data),
        )
        projected = self.folded.project(*csr, at)
        output = self.folded.finish(projected, at).double().cpu().numpy()
        if stratum is None:
            nothing = np.empty(0)
            return PartOutputs(output, nothing, nothing, nothing)
        strata, place = np.unique(stratum, return_inverse=True)
        sums = torch.zeros(
            len(strata), self.folded.width, dtype=torch.float64, device=self.device
        ).index_add_(0, self.tensor(place), projected.double())
        contribution = self.folded.contribution(*csr, at).double().cpu().numpy()
        return PartOutputs(output, contribution, strata, sums.cpu().numpy())


@dataclass(frozen=True)
class ClockBlock:
    """Outputs of all parts for a block of stored values.

    Attributes
    ----------
    prepare
        Gives the normalised values of the clock's genes, and depths.
    parts
        What is done for each part.
    grouped
        Whether cells belong to strata.
    """

    prepare: Callable[[sp.csr_matrix], PreparedBlock]
    parts: list[PartBlock]
    grouped: bool

    def __call__(
        self, block: sp.csr_matrix, stratum: np.ndarray, *codes: np.ndarray
    ) -> tuple[int, list[PartOutputs]]:
        """Give the number of cells without counts, and the outputs."""
        values, totals = self.prepare(block)
        outputs = [
            part(values, of_part, stratum if self.grouped else None)
            for part, of_part in zip(self.parts, codes, strict=True)
        ]
        return int((totals == 0).sum()), outputs


class PartPredictor:
    """Collects one part's outputs over the blocks of a dataset.

    Parameters
    ----------
    part
        The part.
    codes
        Covariate codes of every cell in this part's categories, cells × covariates.
    stratum
        Stratum (unit × covariates) of every cell, ``None`` if every cell stands on its own.
    n_strata
        Number of strata.
    folded
        The part as it is evaluated.
    """

    def __init__(
        self,
        part: ClockPart,
        codes: np.ndarray,
        stratum: np.ndarray | None,
        n_strata: int,
        folded: FoldedPart,
    ) -> None:
        self.device = part.cap.device
        self.part = part
        self.folded = folded
        self.codes = codes
        self.stratum = stratum
        self.output = np.empty(len(codes), dtype=np.float64)
        self.contribution = np.empty(len(codes), dtype=np.float64)
        self.sums = np.zeros((n_strata, folded.width))

    def add(self, rows: slice, outputs: PartOutputs) -> None:
        """Take in the outputs of some cells."""
        self.output[rows] = outputs.output
        if self.stratum is not None:
            self.contribution[rows] = outputs.contribution
            self.sums[outputs.strata] += outputs.sums

    def ages_alone(self) -> Ages:
        """Age of every cell from its own expression only."""
        intercept, slope = self.part.cell_line.tolist()
        ages = intercept + slope * self.output
        return Ages(ages, ages)

    def ridge_output(self, unit: np.ndarray) -> np.ndarray:
        """Output of the ridge regression for every unit: the sum of its types' means."""
        n_types = len(self.part.ridge)
        group = unit * n_types + self.codes[:, 0]
        n_groups = (int(unit.max()) + 1) * n_types
        total = np.bincount(group, weights=self.contribution, minlength=n_groups)
        mean = total / np.maximum(np.bincount(group, minlength=n_groups), 1)
        return float(self.part.ridge_intercept) + mean.reshape(-1, n_types).sum(axis=1)

    @torch.inference_mode()
    def ages_with_donor(self, unit: np.ndarray) -> Ages:
        """Calibrated age of the cell's unit, plus deviations of its cell type and of its own."""
        if self.stratum is None:
            raise ValueError("The strata of the cells are needed.")
        n_units = int(unit.max()) + 1
        n_cells = np.bincount(self.stratum, minlength=len(self.sums))
        first = np.zeros(len(n_cells), dtype=np.int64)
        first[self.stratum[::-1]] = np.arange(len(unit))[::-1]
        mean = torch.from_numpy((self.sums / n_cells[:, None]).astype(np.float32)).to(self.device)
        codes = torch.from_numpy(self.codes[first]).to(self.device)
        output = self.folded.finish(mean, codes).cpu().numpy()
        weight, owner = np.sqrt(n_cells), unit[first]
        total = np.bincount(owner, weights=weight * output, minlength=n_units)
        unit_output = total / np.bincount(owner, weights=weight, minlength=n_units)
        intercept, slope, ridge_slope = self.part.donor_line.tolist()
        unit_age = intercept + slope * unit_output + ridge_slope * self.ridge_output(unit)
        # A stratum's output from its mean expression is sharper than the mean over its cells.
        stratum_mean = np.bincount(self.stratum, weights=self.output) / n_cells
        own = self.output + (output - stratum_mean)[self.stratum]
        deviation = own - (np.bincount(unit, weights=own) / np.bincount(unit))[unit]
        # Networks count half for donors, so their own slope is twice theirs. Cells are not
        # stretched beyond one: that would inflate noise.
        cell_slope = min(2 * slope, float(self.part.age[1]))
        predicted = unit_age[unit] + cell_slope * deviation
        return Ages(predicted, float(self.part.age[0]) + cell_slope * (own - self.center()))

    def center(self) -> float:
        """Output of the networks at the mean age of the training donors."""
        intercept, slope = self.part.cell_line.tolist()
        # Where the networks do not rise with age, the line does not say; they learned mean zero.
        return (float(self.part.age[0]) - intercept) / slope if slope > 0 else 0.0


def group_cells(unit: np.ndarray, labels: pd.DataFrame) -> tuple[np.ndarray, int]:
    """Stratum of every cell: one per unit and combination of covariate labels."""
    frame = labels.assign(_unit=unit)
    stratum = frame.groupby(list(frame.columns), dropna=False, sort=True).ngroup().to_numpy()
    return stratum.astype(np.int64), int(stratum.max()) + 1


def predict_parts(
    parts: Sequence[ClockPart],
    matrix: Any,
    batch_size: int,
    codes: Sequence[np.ndarray],
    *,
    prepare: Callable[[sp.csr_matrix], PreparedBlock],
    present: np.ndarray,
    unit: np.ndarray | None,
    labels: pd.DataFrame,
) -> tuple[list[Ages], int]:
    """Ages of every cell by each part, and the number of cells without counts.

    Parameters
    ----------
    parts
        Parts of the clock.
    matrix, batch_size
        Stored values, and how many rows are read at a time; see :func:`map_blocks`.
    codes
        Covariate codes of every cell for each part.
    prepare
        Gives the normalised values (cells × the clock's genes) of stored ones, and depths.
    present
        Which of the clock's genes the data have.
    unit
        Unit of every cell; ``None`` lets every cell stand on its own.
    labels
        Covariate labels of every cell, as strings.
    """
    stratum, n_strata = (None, 0) if unit is None else group_cells(unit, labels)
    of_cell = np.zeros(matrix.shape[0], dtype=np.int64) if stratum is None else stratum
    blocks = [PartBlock(part, len(present), present) for part in parts]
    predictors = [
        PartPredictor(part, code, stratum, n_strata, block.folded)
        for part, code, block in zip(parts, codes, blocks, strict=True)
    ]
    n_empty = 0
    for rows, (empty, outputs) in map_blocks(
        ClockBlock(prepare, blocks, unit is not None), matrix, batch_size, of_cell, *codes
    ):
        n_empty += empty
        for predictor, output in zip(predictors, outputs, strict=True):
            predictor.add(rows, output)
    ages = [p.ages_alone() if unit is None else p.ages_with_donor(unit) for p in predictors]
    return ages, n_empty
