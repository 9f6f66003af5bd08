"""Integrated gradients of an age clock over donors that it has not seen."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from .._extras import import_extra
from ._age_genes import (
    PartView,
    Profiles,
    TypeProfiles,
    cell_types,
    importance_table,
    part_views,
    unseen_units,
)
from ._donor_batches import indicator

if TYPE_CHECKING:
    from ._age_clock import AgeClock

_ROWS = 4096


def gene_attribution(
    clock: AgeClock, profiles: Profiles, *, held_out: bool, n_steps: int
) -> pd.DataFrame:
    """Attributions of donors' ages; see :meth:`sctools.model.AgeClock.gene_attribution`.

    Along the straight path from the average of a cell type to the donor. What the attributions of a
    donor add up to over genes and types is how far its age is from that of the average donor.
    """
    captum = import_extra("captum", extra="captum", purpose="`AgeClock.gene_attribution`")
    integrated = captum.attr.IntegratedGradients
    unseen = unseen_units(clock, profiles)
    if held_out and not unseen.any(axis=1).all():
        raise ValueError(
            f"{int((~unseen.any(axis=1)).sum())} of {len(unseen)} parts of this clock were trained "
            f"on all {len(profiles.cohort.names)} donors (or samples) of `adata`, so that none is "
            "held out. Give other donors, or pass `held_out=False`."
        )
    chosen = unseen if held_out else np.ones_like(unseen)
    kinds = [kind for kind in cell_types(clock, profiles) if chosen[:, kind.unit].any()]
    # A part whose donors lack a cell type has no say there; genes that it does not use count 0.
    scores, sizes = np.zeros((2, len(unseen), len(kinds), len(profiles.genes)))
    for k, view in enumerate(part_views(clock, profiles)):
        for t, kind in enumerate(kinds):
            attribution, deviation = of_donors(view, kind, chosen[k], integrated, n_steps)
            if len(attribution) == 0:
                scores[k, t] = sizes[k, t] = np.nan
                continue
            spread = (deviation**2).sum(axis=0)
            product = (attribution * deviation).sum(axis=0)
            scores[k, t, view.columns] = product / np.where(spread > 0, spread, 1.0)
            sizes[k, t, view.columns] = np.abs(attribution).mean(axis=0)
    table = importance_table(clock, profiles, kinds, scores)
    table["mean_abs"] = np.nanmean(sizes, axis=0).ravel().astype(np.float32)
    return table


def of_donors(
    view: PartView, kind: TypeProfiles, chosen: np.ndarray, integrated: type, n_steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Attribution in years, and deviation from the average, of the units chosen that have a type.

    Both units × genes; the deviation is in the clock's standard deviations.
    """
    own = chosen[kind.unit[kind.position]]
    rows = kind.rows[own]
    if len(rows) == 0:
        return np.zeros((0, len(view.columns))), np.zeros((0, len(view.columns)))
    unit, position = np.unique(kind.position[own], return_inverse=True)
    z, codes = view.inputs(rows)
    with warnings.catch_warnings():
        # Of the input, which captum asks to be told that it needs gradients.
        warnings.filterwarnings("ignore", message=".*required_grads.*")
        of_z = integrated(view.output).attribute(
            z,
            baselines=torch.zeros_like(z),
            additional_forward_args=(codes,),
            n_steps=n_steps,
            internal_batch_size=_ROWS,
        )
    networks = indicator(position, len(unit)) @ view.in_years(of_z.double().cpu().numpy(), rows)
    code = view.codes[rows[0], 0]
    deviation = (kind.mean[unit][:, view.columns] - view.center[code]) * view.scale
    return networks + deviation * view.ridge(rows), deviation
