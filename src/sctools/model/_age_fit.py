"""A part of an age clock before and after its networks are trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from ..module import ClockPart, FoldedPart
from ..pp._clock_input import READ_ROWS
from ..pp._expression import row_blocks
from ._age_statistics import cap_values, gate_start, input_statistics
from ._calibration import calibrate
from ._donor_batches import Strata
from ._donor_ridge import fit_donor_ridge


def new_part(
    genes: np.ndarray,
    strata: Strata,
    age: np.ndarray,
    learns: np.ndarray,
    *,
    n_codes: list[int],
    network: dict[str, Any],
    pseudocell_size: int,
    gate_power: float,
    share: np.ndarray,
    rng: np.random.Generator,
) -> ClockPart:
    """Make a part with its input statistics and its gates set; caps the values of ``strata``.

    Parameters
    ----------
    genes
        Positions of the part's genes among the clock's genes.
    strata
        Training cells; capped in place.
    age
        Age of every unit.
    learns
        Members × units: which units each member learns from.
    n_codes
        Codes of each covariate, unknown included.
    network
        Settings of the networks.
    pseudocell_size
        Cells per pseudocell.
    gate_power
        Exponent of the gates' start.
    share
        Mean share of a cell's counts for each of the clock's genes.
    rng
        Source of the pseudocells.
    """
    center, scale, cap = input_statistics(strata, n_codes[0] - 1, pseudocell_size, rng)
    strata.x = cap_values(strata.x, cap)
    mean, sd = float(age.mean()), float(age.std()) or 1.0
    part = ClockPart(torch.from_numpy(genes), n_codes, len(learns), network, n_shares=len(share))
    part.share.copy_(torch.from_numpy(share))
    part.center.copy_(torch.from_numpy(center))
    part.scale.copy_(torch.from_numpy(scale))
    part.cap.copy_(torch.from_numpy(cap))
    part.age.copy_(torch.tensor([mean, sd], dtype=torch.float64))
    z = (strata.means() - center[strata.codes[:, 0]]) * scale
    with torch.no_grad():
        for member, units in zip(part.members, learns, strict=True):
            gate = gate_start(z, strata, age, units, gate_power, n_gates=len(member.gate))
            member.gate.copy_(torch.from_numpy(gate))
            for embedding in member.embeddings:
                embedding.weight.zero_()
    return part


def _outputs(folded: FoldedPart, x: sp.csr_matrix, codes: np.ndarray) -> np.ndarray:
    device = folded.folded[0].table.device
    arrays = (x.indptr.astype(np.int64), x.indices.astype(np.int64), x.data, codes)
    indptr, indices, values, code = (torch.from_numpy(a).to(device) for a in arrays)
    return folded.outputs(folded.project(indptr, indices, values, code), code).cpu().numpy()


@torch.inference_mode()
def finish_part(
    part: ClockPart, strata: Strata, age: np.ndarray, learns: np.ndarray, donor: np.ndarray
) -> None:
    """Set what was not trained: embeddings of unknown labels, ridge regression, lines to age.

    The lines are fitted on every donor's output from the members that did not learn from it.

    Parameters
    ----------
    part
        The trained part.
    strata
        Its training cells, capped.
    age
        Age of every unit.
    learns
        Members × units: which units each member learned from.
    donor
        Donor of every unit: samples of one donor are not independent.
    """
    for member in part.members:
        for k, embedding in enumerate(member.embeddings):
            unknown = embedding.num_embeddings - 1
            if unknown and not (strata.codes[:, k] == unknown).any():
                embedding.weight[unknown] = embedding.weight[:unknown].mean(dim=0)

    folded = FoldedPart(part).eval()
    held_out = ~learns / (~learns).sum(axis=0)
    out = _outputs(folded, sp.csr_matrix(strata.means()), strata.codes)
    out = (out * held_out[:, strata.unit]).sum(axis=0)
    total = np.bincount(strata.unit, weights=strata.weight * out)
    unit_output = total / np.bincount(strata.unit, weights=strata.weight)
    unit, codes = strata.unit[strata.of_cell], strata.codes[strata.of_cell]
    cell_output = np.empty(len(unit))
    for start, block in row_blocks(strata.x, READ_ROWS):
        rows = slice(start, start + block.shape[0])
        out = _outputs(folded, block, codes[rows])
        cell_output[rows] = (out * held_out[:, unit[rows]]).sum(axis=0)

    mean, sd = part.age.tolist()
    standardized = (age - mean) / sd
    center, scale = part.center.cpu().numpy(), part.scale.cpu().numpy()
    z = (strata.means() - center[strata.codes[:, 0]]) * scale
    ridge = fit_donor_ridge(z, strata, standardized, learns, len(center))
    part.ridge.copy_(torch.from_numpy(ridge.weights))
    part.ridge_intercept.fill_(ridge.intercept)

    line = calibrate(unit_output, ridge.held_out, standardized, cell_output, unit, donor)
    in_years = sd * torch.tensor(line, dtype=torch.float64)
    in_years[[0, 3]] += mean
    part.donor_line.copy_(in_years[:3])
    part.cell_line.copy_(in_years[3:])
