"""Which genes tell a clock the age: how donors' predicted ages change with expression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from natsort import natsorted

from ..module import ClockPart
from ..pp._clock_input import READ_ROWS
from ..pp._cohort import MIN_DONORS, Cohort, read_cohort
from ..pp._expression import Normalizer, check_values, describe, get_expression, row_blocks
from ._age_clock_storage import hash_name
from ._age_covariates import choose_columns, encode_labels, forget_unseen, read_labels
from ._age_prediction import group_cells
from ._age_statistics import cap_values
from ._donor_batches import indicator

if TYPE_CHECKING:
    from anndata import AnnData

    from ._age_clock import AgeClock

ALL_CELLS = "all cells"
"""Stands for the cell type where a clock has none."""
_GRADIENT_ROWS = 1024


class Profiles(NamedTuple):
    """Mean expression of every stratum (donor or sample, and labels) as a clock reads it.

    Attributes
    ----------
    mean
        Capped log expression, strata × genes, float32.
    genes
        Positions of these genes among the clock's genes: those that a part uses and the data have.
    unit
        Unit of every stratum.
    n_cells
        Cells of every stratum.
    share
        Weight of every stratum in the networks' output for its unit; the sum over a unit is 1.
    kind
        Cell type of every stratum, ``None`` where unknown.
    labels
        Labels of all covariates, a row per stratum.
    cohort
        Who the units are.
    """

    mean: np.ndarray
    genes: np.ndarray
    unit: np.ndarray
    n_cells: np.ndarray
    share: np.ndarray
    kind: np.ndarray
    labels: pd.DataFrame
    cohort: Cohort


class TypeProfiles(NamedTuple):
    """One cell type's expression in the units that have it.

    Attributes
    ----------
    name
        The cell type.
    rows
        Its strata.
    position
        Which of its units each of these strata belongs to.
    unit
        Its units.
    mean
        Mean over the cells of each unit, units × genes.
    sd
        Standard deviation of each gene over these units.
    """

    name: str
    rows: np.ndarray
    position: np.ndarray
    unit: np.ndarray
    mean: np.ndarray
    sd: np.ndarray


def read_profiles(
    clock: AgeClock,
    adata: AnnData,
    *,
    donor_key: str,
    sample_key: str | None = None,
    cell_type_key: str | None = None,
    covariate_keys: Any = None,
    layer: str | None = None,
    log_normalized: bool = False,
    gene_key: str | None = None,
    min_coverage: float = 0.5,
    batch_size: int = READ_ROWS,
) -> Profiles:
    """Read what :meth:`sctools.model.AgeClock.predict` reads, and average it by stratum."""
    matrix = get_expression(adata, layer, lazy=True)
    match = clock.match_genes(adata, gene_key=gene_key, min_coverage=min_coverage)
    cohort = read_cohort(adata, age_key=None, donor_key=donor_key, sample_key=sample_key)
    columns = choose_columns(adata, clock.keys, cell_type_key, covariate_keys)
    labels = forget_unseen(read_labels(adata, columns), clock.categories)
    stratum, n_strata = group_cells(cohort.unit, labels)
    normalize = Normalizer(
        match.columns,
        adata.n_vars,
        target_sum=clock.target_sum * clock._depth_share(match),
        log_normalized=log_normalized,
    )
    # Parts differ a little in their caps: the lowest holds for all.
    cap = np.full(len(clock.genes), np.inf, dtype=np.float32)
    used = np.zeros(len(clock.genes), dtype=bool)
    for part in clock.module.parts:
        own = part.genes.cpu().numpy()
        cap[own] = np.minimum(cap[own], part.cap.cpu().numpy())
        used[own] = True
    genes = np.flatnonzero(used & (match.columns >= 0))
    total = np.zeros((n_strata, len(genes)), dtype=np.float32)
    for start, block in row_blocks(matrix, batch_size):
        check_values(block.data, where=describe(layer), log_normalized=log_normalized)
        x = cap_values(normalize(block)[0], cap)[:, genes]
        here, member = np.unique(stratum[start : start + x.shape[0]], return_inverse=True)
        total[here] += (indicator(member, len(here)) @ x).toarray()
    n_cells = np.bincount(stratum, minlength=n_strata)
    first = np.zeros(n_strata, dtype=np.int64)
    first[stratum[::-1]] = np.arange(len(stratum))[::-1]
    labels, unit = labels.iloc[first].reset_index(drop=True), cohort.unit[first]
    weight = np.sqrt(n_cells)
    key = clock.keys.get("cell_type_key")
    return Profiles(
        mean=total / n_cells[:, None].astype(np.float32),
        genes=genes,
        unit=unit,
        n_cells=n_cells,
        share=weight / np.bincount(unit, weights=weight)[unit],
        kind=labels[key].to_numpy(dtype=object) if key else np.full(n_strata, ALL_CELLS, object),
        labels=labels,
        cohort=cohort,
    )


def cell_types(clock: AgeClock, profiles: Profiles) -> list[TypeProfiles]:
    """Cell types that the clock knows and at least three units have, natural-sorted."""
    key = clock.keys.get("cell_type_key")
    known = {label for part in clock.categories for label in part[key]} if key else {ALL_CELLS}
    found = []
    for name in natsorted(known):
        rows = np.flatnonzero(profiles.kind == name)
        unit, position = np.unique(profiles.unit[rows], return_inverse=True)
        if len(unit) < MIN_DONORS:
            continue
        share = indicator(position, len(unit)).multiply(profiles.n_cells[rows][None, :]).tocsr()
        n_cells = np.asarray(share.sum(axis=1)).ravel()
        mean = np.asarray(share @ profiles.mean[rows]) / n_cells[:, None]
        found.append(TypeProfiles(name, rows, position, unit, mean, mean.std(axis=0, ddof=1)))
    return found


def unseen_units(clock: AgeClock, profiles: Profiles) -> np.ndarray:
    """Which units each part of the clock was not trained on, parts × units."""
    names = np.array([hash_name(donor) for donor in profiles.cohort.donor])
    return np.array([~np.isin(names, donors) for donors in clock.trained_on])


class PartView:
    """A part of a clock as it sees some profiles.

    Parameters
    ----------
    part
        The part.
    codes
        Its covariate codes of every stratum.
    profiles
        The profiles.
    """

    def __init__(self, part: ClockPart, codes: np.ndarray, profiles: Profiles) -> None:
        self.part = part
        self.codes = codes
        self.profiles = profiles
        own = part.genes.cpu().numpy()
        _, self.mine, self.columns = np.intersect1d(
            own, profiles.genes, assume_unique=True, return_indices=True
        )
        self.n_genes = len(own)
        self.scale = part.scale.cpu().numpy()[self.mine]
        self.center = part.center.cpu().numpy()[:, self.mine]
        _, self.slope, self.ridge_slope = part.donor_line.tolist()

    def inputs(self, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the networks get for some strata, and codes; absent genes are average."""
        z = np.zeros((len(rows), self.n_genes), dtype=np.float32)
        values = self.profiles.mean[np.ix_(rows, self.columns)] - self.center[self.codes[rows, 0]]
        z[:, self.mine] = values * self.scale
        device = self.part.cap.device
        return torch.from_numpy(z).to(device), torch.from_numpy(self.codes[rows]).to(device)

    def output(self, z: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Mean output of the networks."""
        return torch.stack([member(z, codes) for member in self.part.members]).mean(dim=0)

    def in_years(self, of_inputs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """From changes of the networks' output, strata × inputs, to those of the donors' ages."""
        return of_inputs[:, self.mine] * (self.slope * self.profiles.share[rows])[:, None]

    def gradient(self, rows: np.ndarray) -> np.ndarray:
        """Return derivatives of the donor's age by the networks' inputs, strata × genes."""
        pieces = []
        for start in range(0, len(rows), _GRADIENT_ROWS):
            chosen = rows[start : start + _GRADIENT_ROWS]
            z, codes = self.inputs(chosen)
            z.requires_grad_()
            (of_z,) = torch.autograd.grad(self.output(z, codes).sum(), z)
            pieces.append(self.in_years(of_z.double().cpu().numpy(), chosen))
        return np.concatenate(pieces)

    def ridge(self, rows: np.ndarray) -> np.ndarray:
        """Return that of the ridge regression for strata of one cell type: constant there."""
        weights = self.part.ridge[self.codes[rows[0], 0]].cpu().numpy()[self.mine]
        return self.ridge_slope * weights.astype(np.float64)


def part_views(clock: AgeClock, profiles: Profiles) -> list[PartView]:
    """View of every part of the clock."""
    return [
        PartView(part, encode_labels(profiles.labels, categories, clock.keys), profiles)
        for part, categories in zip(clock.module.parts, clock.categories, strict=True)
    ]


def gene_importance(clock: AgeClock, profiles: Profiles) -> pd.DataFrame:
    """Change of a donor's predicted age with each gene's expression in each cell type.

    Gate × weights of the linearised network × calibration, plus the same of the ridge regression:
    the derivative of the donor's age by the clock's input, averaged over the donors that the part
    of the clock has not seen (over all where there are none).

    Returns
    -------
    See :func:`importance_table`.
    """
    kinds = cell_types(clock, profiles)
    unseen = unseen_units(clock, profiles)
    scores = np.zeros((len(clock.module.parts), len(kinds), len(profiles.genes)))
    for k, view in enumerate(part_views(clock, profiles)):
        for t, kind in enumerate(kinds):
            held_out = unseen[k][profiles.unit[kind.rows]]
            rows = kind.rows[held_out] if held_out.any() else kind.rows
            n_units = len(np.unique(profiles.unit[rows]))
            scores[k, t, view.columns] = view.gradient(rows).sum(axis=0) / n_units
            scores[k, t, view.columns] += view.ridge(rows)
    return importance_table(clock, profiles, kinds, scores)


def importance_table(
    clock: AgeClock, profiles: Profiles, kinds: Sequence[TypeProfiles], scores: np.ndarray
) -> pd.DataFrame:
    """Long table of scores, parts × cell types × genes; NaN for parts that have no say.

    Returns
    -------
    A row per cell type and gene: ``cell_type``, ``gene`` (Categoricals); float32: ``score`` (mean
    over the parts; years per standard deviation that the clock scales all genes by), ``score_sd``
    (standard deviation over the parts, NaN for a single one), ``agreement`` (share of the parts
    whose score has the sign of the mean), ``gene_sd`` (standard deviation of the gene over donors,
    in units of the clock's).
    """
    _, n_kinds, n_genes = scores.shape
    mean = np.nanmean(scores, axis=0)
    n_has = np.isfinite(scores).sum(axis=0)
    spread = np.sqrt(np.nansum((scores - mean) ** 2, axis=0) / np.maximum(n_has - 1, 1))
    unit = np.mean([part.scale.mean().item() for part in clock.module.parts])
    values = {
        "score": mean,
        "score_sd": np.where(n_has > 1, spread, np.nan),
        "agreement": (np.sign(scores) == np.sign(mean)).sum(axis=0) / n_has,
        "gene_sd": np.array([kind.sd for kind in kinds]) * unit,
    }
    names, genes = [kind.name for kind in kinds], [clock.genes[i] for i in profiles.genes]
    kind_code = np.repeat(np.arange(n_kinds), n_genes)
    gene_code = np.tile(np.arange(n_genes), n_kinds)
    return pd.DataFrame(
        {
            "cell_type": pd.Categorical.from_codes(kind_code, names),
            "gene": pd.Categorical.from_codes(gene_code, genes),
            **{name: column.ravel().astype(np.float32) for name, column in values.items()},
        }
    )
