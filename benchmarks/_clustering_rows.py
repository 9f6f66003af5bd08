"""Raw rows of the clustering benchmark: one per set, method, seed and settings.

Rows are added one by one and survive a run that is cut off.
"""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
from _clustering_methods import METHODS, Settings

# What makes a row: the same key is computed once, and only rows of the same settings are compared.
KEY = ["data", "method", "seed"]
SETTINGS = ["n_genes", "max_epochs", "batch_size", "n_latent"]
TEXT = ["data", "method", "n_latent", "run"]
COLUMNS = [
    *KEY,
    *SETTINGS,
    "n_cells",
    "kmeans_ari",
    "kmeans_nmi",
    "leiden_ari",
    "leiden_nmi",
    "leiden05_ari",
    "leiden05_nmi",
    "silhouette",
    "leiden_resolution",
    "leiden_clusters",
    "leiden05_clusters",
    "silhouette_batch",
    "silhouette_batch_within",
    "epochs",
    "seconds_training",
    "seconds_encoding",
    "run",
]


def described(settings: Settings) -> dict[str, str | int]:
    """Return the settings as they stand in the raw file."""
    values = {name: getattr(settings, name) for name in SETTINGS}
    return values | {"n_latent": str(settings.n_latent or "default")}


def read_rows(path: Path, settings: Settings) -> pd.DataFrame:
    """Finished rows with these settings; the latest where one was computed again."""
    if not path.exists() or not path.stat().st_size:
        return pd.DataFrame(columns=COLUMNS)
    rows = pd.read_csv(path, dtype=str, on_bad_lines="skip")
    # A line that was cut off lacks its last column.
    rows = rows.dropna(subset=["run"])
    numeric = rows.columns.difference(TEXT)
    rows[numeric] = rows[numeric].apply(pd.to_numeric)
    for name, value in described(settings).items():
        rows = rows[rows[name] == value]
    rows = rows[rows["method"].isin(METHODS)]
    return rows.drop_duplicates(KEY, keep="last").reset_index(drop=True)


def append_row(path: Path, row: dict) -> None:
    """Add a row in one write, after what a cut-off run may have left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = pd.DataFrame([row], columns=COLUMNS).to_csv(index=False, float_format="%.6g")
    header, line = text.splitlines()
    with path.open("a+b") as file:
        size = file.seek(0, os.SEEK_END)
        if not size:
            line = f"{header}\n{line}"
        else:
            file.seek(size - 1)
            if file.read(1) != b"\n":
                line = "\n" + line
        file.write(f"{line}\n".encode())
