"""Predicted ages with known accelerations of donors, built by hand: no model and no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

GROUPS = ("control", "case")


def fake_acceleration(
    n_donors: int | Sequence[int] = (12, 12),
    *,
    groups: Sequence[str] = GROUPS,
    cell_types: Sequence[str] | int | None = ("B cell", "T cell", "Monocyte"),
    effect: Mapping[str, float] | float = 0.0,
    slope: float = 0.8,
    donor_sd: float = 5.0,
    cell_sd: float = 10.0,
    cells: tuple[int, int] = (6, 40),
    paired: bool = False,
    n_samples: int = 1,
    sample_sd: float = 0.0,
    borrowed_sd: float = 0.0,
    beats_mean: bool = True,
    unit: str = "years",
    key: str = "age_clock",
    seed: int = 0,
) -> AnnData:
    """Build what ``tl.age_clock`` leaves behind, for donors whose acceleration is known.

    A donor of each of ``groups`` has the predicted age ``slope`` × age + 10 in every cell type,
    plus its own deviation (``donor_sd``), plus that of the sample (``sample_sd``), plus ``effect``
    (a number, or one per cell type) unless it is in the first group. ``cells`` are the fewest and
    most cells of a donor in a type. ``paired`` donors give a sample in every group. With
    ``borrowed_sd`` every prediction has a deviation of the donor on top, which is recorded as
    borrowed.
    """
    rng = np.random.default_rng(seed)
    if isinstance(cell_types, int):
        cell_types = [f"type {i + 1}" for i in range(cell_types)]
    types = list(cell_types or ["none"])
    sizes = [n_donors] * len(groups) if isinstance(n_donors, int) else list(n_donors)
    rows = []
    number = 0
    for group, size in zip(groups, sizes, strict=True):
        number = 0 if paired else number
        for _ in range(size):
            number += 1
            rows += [(f"D{number}", group, visit) for visit in range(n_samples)]
    units = pd.DataFrame(rows, columns=["donor", "group", "visit"])
    code, _ = pd.factorize(units["donor"])
    several = n_samples > 1 or paired
    units["sample"] = units["group"] + units["visit"].astype(str)
    units["age"] = rng.uniform(25, 85, code.max() + 1).round()[code]
    units["sex"] = rng.permutation(np.arange(code.max() + 1) % 2)[code]
    units["sex"] = np.where(units["sex"] == 1, "male", "female")
    units["borrowed"] = rng.normal(0, 1, len(units)) * borrowed_sd

    parts = []
    for name in types:
        added = effect.get(name, 0.0) if isinstance(effect, Mapping) else effect
        level = 10 + slope * units["age"] + rng.normal(0, donor_sd, code.max() + 1)[code]
        level += rng.normal(0, 1, len(units)) * sample_sd + units["borrowed"]
        level += np.where(units["group"] == groups[0], 0.0, added)
        n_cells = rng.integers(cells[0], cells[1] + 1, len(units))
        part = units.loc[units.index.repeat(n_cells)].assign(cell_type=name)
        part[key] = np.repeat(level.to_numpy(), n_cells) + rng.normal(0, cell_sd, len(part))
        parts.append(part)
    obs = pd.concat(parts, ignore_index=True)
    obs.index = [f"cell{i}" for i in range(len(obs))]
    obs["cell_type"] = pd.Categorical(obs["cell_type"])

    params = {"method": "gma", "mode": "applied", "age_key": "age", "donor_key": "donor_id"}
    params |= {"cell_type_key": "cell_type"} if cell_types is not None else {}
    params |= {"sample_key": "sample"} if several else {}
    names = units["donor"] + ("|" + units["sample"] if several else "")
    donors = units[["donor", "sample", "age", "borrowed"]].set_index(names.to_numpy())
    result = {
        "params": params,
        "age_unit": unit,
        "donors": donors if borrowed_sd else donors.drop(columns="borrowed"),
        "metrics": {"beats_mean": beats_mean},
    }
    obs = obs.drop(columns=["visit", "borrowed"]).rename(columns={"donor": "donor_id"})
    for column in ("donor_id", "sample", "group", "sex"):
        obs[column] = obs[column].astype("category")
    if cell_types is None:
        obs = obs.drop(columns="cell_type")
    counts = sparse.csr_matrix((len(obs), 2), dtype="float32")
    return AnnData(counts, obs=obs, uns={key: result})


def duplicated(adata: AnnData, times: int) -> AnnData:
    """Every cell so many times."""
    many = adata[np.repeat(np.arange(adata.n_obs), times)].copy()
    many.obs_names_make_unique()
    return many
