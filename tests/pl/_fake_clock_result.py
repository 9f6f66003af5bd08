"""A comparison of clocks as ``tl.compare_clocks`` writes it, without any clock."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData

METHODS = ("gma", "elastic_net", "ridge", "pls", "mlp", "autoencoder", "xgboost", "catboost")


def fake_clocks(
    methods: Sequence[str] = ("gma", "ridge", "pls"),
    *,
    key: str = "compare_clocks",
    n_donors: int = 40,
    n_samples: int = 1,
    inputs: str | None = None,
) -> AnnData:
    """Data with a result under ``key``: errors rise from method to method."""
    rng = np.random.default_rng(0)
    names = [*methods, "mean_age"]
    mae = np.append(np.linspace(4.2, 11.8, len(methods)), 12.4)
    half = rng.uniform(0.8, 1.8, len(names))
    results = pd.DataFrame(
        {
            "method": names,
            "input": [
                inputs or ("sums" if name in METHODS[1:4] else "pseudocells") for name in names
            ],
            "mae": mae,
            "mae_lower": mae - half,
            "mae_upper": mae + 1.1 * half,
        },
        index=names,
    ).iloc[rng.permutation(len(names))]
    n = n_donors * n_samples
    donor = np.repeat([f"D{i:03}" for i in range(n_donors)], n_samples)
    units = [f"{d}|{i % n_samples}" for i, d in enumerate(donor)]
    donors = pd.DataFrame({"donor": donor, "age": rng.uniform(20, 90, n)}, index=units)
    if n_samples > 1:
        donors.insert(1, "sample", [str(i % n_samples) for i in range(n)])
    predictions = pd.DataFrame(rng.uniform(20, 90, (n, len(names))), index=units, columns=names)
    result = {
        "params": {"method": "compare_clocks", "n_folds": 5, "level": 0.95},
        "age_unit": "years",
        "results": results,
        "predictions": predictions,
        "donors": donors,
        "best_baseline": names[1],
    }
    return AnnData(np.ones((3, 2), dtype="float32"), uns={key: result})
