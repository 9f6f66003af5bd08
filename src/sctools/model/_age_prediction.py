"""Ages of cells from a trained clock, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from torch import Tensor

from ..module import ClockPart, FoldedPart
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


class PartPredictor:
    """Collects one part's outputs over the blocks of a dataset.

    Parameters
    ----------
    part
        The part.
    n_model_genes
        Number of genes of the clock.
    codes
        Covariate codes of every cell in this part's categories, cells × covariates.
    stratum
        Stratum (unit × covariates) of every cell, ``None`` if every cell stands on its own.
    n_strata
        Number of strata.
    present
        Which of the clock's genes the data have.
    """

    def __init__(
        self,
        part: ClockPart,
        n_model_genes: int,
        codes: np.ndarray,
        stratum: np.ndarray | None,
        n_strata: int,
        present: np.ndarray,
    ) -> None:
        self.device = part.cap.device
        self.part = part
        here = torch.from_numpy(present).to(self.device)[part.genes]
        self.folded = FoldedPart(part, here).eval().to(self.device)
        self.position = np.full(n_model_genes, -1, dtype=np.int64)
        genes = part.genes.cpu().numpy()
        self.position[genes] = np.arange(len(genes))
        self.cap = part.cap.cpu().numpy()
        self.codes = codes
        self.stratum = stratum
        self.output = np.empty(len(codes), dtype=np.float64)
        self.contribution = np.empty(len(codes), dtype=np.float64)
        self.sums = torch.zeros(
            n_strata, self.folded.width, dtype=torch.float64, device=self.device
        )

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
    def add(self, start: int, x: sp.csr_matrix) -> None:
        """Take in the block of cells that begins at ``start``."""
        x = self.select(x)
        rows = slice(start, start + x.shape[0])
        codes = self.tensor(self.codes[rows])
        csr = (
            self.tensor(x.indptr.astype(np.int64)),
            self.tensor(x.indices.astype(np.int64)),
            self.tensor(x.data),
        )
        projected = self.folded.project(*csr, codes)
        output = self.folded.finish(projected, codes)
        self.output[rows] = output.cpu().numpy()
        if self.stratum is not None:
            self.sums.index_add_(0, self.tensor(self.stratum[rows]), projected.double())
            self.contribution[rows] = self.folded.contribution(*csr, codes).cpu().numpy()

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
        mean = (self.sums / self.tensor(n_cells)[:, None]).float()
        output = self.folded.finish(mean, self.tensor(self.codes[first])).cpu().numpy()
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
    blocks: Iterable[tuple[int, sp.csr_matrix]],
    codes: Sequence[np.ndarray],
    *,
    present: np.ndarray,
    unit: np.ndarray | None,
    labels: pd.DataFrame,
) -> list[Ages]:
    """Ages of every cell, by each part.

    Parameters
    ----------
    parts
        Parts of the clock.
    blocks
        First row and normalised values (cells × the clock's genes) of consecutive rows.
    codes
        Covariate codes of every cell for each part.
    present
        Which of the clock's genes the data have.
    unit
        Unit of every cell; ``None`` lets every cell stand on its own.
    labels
        Covariate labels of every cell, as strings.
    """
    stratum, n_strata = (None, 0) if unit is None else group_cells(unit, labels)
    predictors = [
        PartPredictor(part, len(present), code, stratum, n_strata, present)
        for part, code in zip(parts, codes, strict=True)
    ]
    for start, block in blocks:
        for predictor in predictors:
            predictor.add(start, block)
    return [p.ages_alone() if unit is None else p.ages_with_donor(unit) for p in predictors]
