"""The genes of an age clock as ``tl.age_clock`` writes them, without any clock."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData

TYPES = ("B cell", "CD4/CD8 T cell", "Monocyte")


def fake_genes(
    cell_types: Sequence[str] = TYPES,
    *,
    n_genes: int = 40,
    names: Sequence[str] | None = None,
    n_folds: int = 5,
    scale: float = 0.4,
    unit: str = "years",
    key: str = "age_clock",
) -> AnnData:
    """Data with a result under ``key``; ``scale=0`` is a clock that answers the mean age."""
    rng = np.random.default_rng(0)
    names = [f"GENE{i + 1}" for i in range(n_genes)] if names is None else list(names)
    scores = scale * rng.laplace(size=(len(cell_types), len(names)))
    folds = scores + 0.35 * scale * rng.normal(size=(n_folds, *scores.shape))
    mean = folds.mean(axis=0)
    spread = folds.std(axis=0, ddof=1) if n_folds > 1 else np.full_like(mean, np.nan)
    values = {
        "score": mean,
        "score_sd": spread,
        "agreement": (np.sign(folds) == np.sign(mean)).mean(axis=0),
        "gene_sd": rng.uniform(0.5, 1.5, scores.shape),
    }
    genes = pd.DataFrame(
        {
            "cell_type": pd.Categorical(np.repeat(list(cell_types), len(names)), list(cell_types)),
            "gene": pd.Categorical(np.tile(names, len(cell_types)), names),
            **{name: column.ravel().astype("float32") for name, column in values.items()},
        }
    )
    result = {"params": {"method": "gma", "n_folds": n_folds}, "age_unit": unit, "genes": genes}
    return AnnData(np.ones((3, 2), dtype="float32"), uns={key: result})
