"""AnnData with the keys that the tools write, built by hand: no model and no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse


def fake_age_result(
    n_donors: int = 12,
    *,
    cells_per_donor: int = 30,
    cell_types: Sequence[str] | None = ("B cell", "T cell", "Monocyte"),
    n_folds: int = 3,
    n_samples: int = 1,
    n_unknown: int = 0,
    applied: bool = False,
    donor_key: str | None = "donor_id",
    noise: float = 5.0,
    informative: bool = True,
    radius: float | None = None,
    unit: str = "years",
    key: str = "age_clock",
    seed: int = 0,
) -> AnnData:
    """Build what ``tl.age_clock`` leaves behind.

    ``n_unknown`` donors (the last ones) have no age. ``n_samples > 1`` writes a ``sample_key``,
    whose samples are three years apart. ``applied`` is the result of a given model: no folds, no
    history. ``donor_key=None`` leaves out the donor table. ``radius`` is the half width of the
    donors' intervals; those of cells are twice as wide. Without it there are none.
    """
    rng = np.random.default_rng(seed)
    n_folds = min(n_folds, n_donors)
    units = pd.DataFrame(
        {
            "donor": np.repeat([f"D{i + 1}" for i in range(n_donors)], n_samples),
            "number": np.repeat(np.arange(n_donors), n_samples),
            "visit": np.tile(np.arange(n_samples), n_donors),
        }
    )
    units["sample"] = [f"{d}_v{v + 1}" for d, v in zip(units["donor"], units["visit"], strict=True)]
    first = np.linspace(22, 85, n_donors)[rng.permutation(n_donors)]
    units["age"] = first[units["number"]].round() + 3.0 * units["visit"]
    units.loc[units["number"] >= n_donors - n_unknown, "age"] = np.nan
    units["fold"] = (units["number"] % n_folds).astype(str)
    units["sex"] = np.where(units["number"] % 2, "male", "female")
    centre = 53.0
    truth = units["age"].fillna(centre) if informative else centre
    units["level"] = truth + rng.normal(0, noise, len(units))

    obs = units.loc[units.index.repeat(cells_per_donor)].reset_index(drop=True)
    obs.index = [f"cell{i}" for i in range(len(obs))]
    predicted = obs["level"] + rng.normal(0, 3, len(obs))
    if cell_types is not None:
        obs["cell_type"] = pd.Categorical(rng.choice(cell_types, len(obs)))
        predicted += 2 * obs["cell_type"].cat.codes
    obs[key] = predicted.astype("float64")
    if radius is not None:
        obs[f"{key}_lower"], obs[f"{key}_upper"] = obs[key] - 2 * radius, obs[key] + 2 * radius
    obs[f"{key}_acceleration"] = obs[key] - obs["age"]

    known = units["age"].notna()
    params: dict[str, object] = {
        "method": "gma",
        "mode": "applied" if applied else "cross_fit",
        "seed": seed,
        "n_folds": n_folds,
    }
    result: dict[str, object] = {
        "params": params,
        "age_unit": unit,
        "coverage": {"n_genes": 5, "n_found": 5, "fraction": 1.0, "id_type": "symbol"},
    }
    if cell_types is not None:
        params["cell_type_key"] = "cell_type"
    if known.any():
        params["age_key"] = "age"
    if donor_key is not None:
        params["donor_key"] = donor_key
    if n_samples > 1:
        params["sample_key"] = "sample"
    if not applied:
        fold = obs["fold"].where(obs["age"].notna().to_numpy())
        obs[f"{key}_fold"] = pd.Categorical(fold, categories=[str(i) for i in range(n_folds)])
        result["history"] = _history(n_folds, rng)

    name = "sample" if n_samples > 1 else "donor"
    donors = units[["donor", "sample", "age"]].set_index(units[name].to_numpy())
    if n_samples == 1:
        donors = donors.drop(columns="sample")
    grouped = obs.groupby(name, observed=True)[key]
    donors["predicted"] = grouped.mean()
    if radius is not None:
        donors["lower"] = donors["predicted"] - radius
        donors["upper"] = donors["predicted"] + radius
        params["level"] = 0.9
    donors["mean_age"] = np.where(known, units["age"].mean(), np.nan)
    donors["acceleration"] = donors["predicted"] - donors["age"]
    if not applied:
        # A Categorical: text with missing values cannot be written by anndata.
        donors["fold"] = pd.Categorical(units["fold"].where(known))
    donors["n_cells"] = grouped.size()
    if donor_key is not None:
        result["donors"] = donors
    if known.any():
        result["metrics"] = _metrics(donors, informative)

    obs = obs.drop(columns=["number", "visit", "level", "fold"])
    obs = obs.rename(columns={"donor": donor_key or "individual"})
    if n_samples == 1:
        obs = obs.drop(columns="sample")
    if not known.any():
        obs = obs.drop(columns=["age", f"{key}_acceleration"])
    for column in ("sample", "sex", donor_key or "individual"):
        if column in obs.columns:
            obs[column] = obs[column].astype("category")
    counts = sparse.csr_matrix(rng.poisson(1.0, (len(obs), 5)).astype("float32"))
    var = pd.DataFrame(index=[f"gene{i}" for i in range(5)])
    return AnnData(counts, obs=obs, var=var, uns={key: result})


def _metrics(donors: pd.DataFrame, beats_mean: bool) -> dict[str, object]:
    known = donors[donors["age"].notna()]
    error = known["predicted"] - known["age"]
    several = len(known) > 2
    values = {
        "n": len(known),
        "mae": float(error.abs().mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "r": float(known["age"].corr(known["predicted"])) if several else np.nan,
        "spearman": float(known["age"].rank().corr(known["predicted"].rank()))
        if several
        else np.nan,
        "mae_mean": float((known["mean_age"] - known["age"]).abs().mean()),
    }
    return {
        "donor": values,
        "cell": dict(values),
        "beats_mean": beats_mean,
        "p_value": 0.001 if beats_mean else 0.42,
        "message": "beats the mean age" if beats_mean else "does not beat the mean age",
    }


def _history(n_folds: int, rng: np.random.Generator) -> pd.DataFrame:
    """Folds stop at different epochs, as early stopping lets them."""
    parts = []
    for fold in range(n_folds):
        epoch = np.arange(30 + 4 * fold)
        train = np.exp(-epoch / 10) + rng.normal(0, 0.02, len(epoch))
        parts.append(
            pd.DataFrame(
                {
                    "fold": str(fold),
                    "epoch": epoch,
                    "train_loss": train,
                    "validation_loss": 0.3 + 0.8 * train + rng.normal(0, 0.04, len(epoch)),
                    "validation_mae": 12 * np.exp(-epoch / 15) + 5,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
