"""Table of the ready-made clocks."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ._registered_clocks import REGISTERED_CLOCKS

COLUMNS = [
    "species",
    "tissue",
    "cell_types",
    "training",
    "age_unit",
    "n_genes",
    "target_sum",
    "licence",
    "citation",
    "doi",
    "files",
    "size_mb",
    "local_files",
]


def clocks(*, species: str | None = None) -> pd.DataFrame:
    """List the ready-made clocks.

    A clock is loaded by :func:`sctools.model.load_clock` or given to
    :func:`sctools.tl.age_clock` by its name.

    Parameters
    ----------
    species
        Only the clocks of this species, for example ``"human"``. ``None`` lists all.

    Returns
    -------
    One row per clock, indexed by ``name``:

    - ``species``, ``tissue``, ``cell_types``, ``training``: what it is for and what it was trained
      on, in words;
    - ``age_unit``, ``n_genes``, and ``target_sum``, the depth that cells are scaled to;
    - ``licence`` (SPDX), ``citation`` and ``doi``;
    - ``files``: names that ``load_clock(…, files=)`` takes, and in brackets those that the clock
      can do without; ``size_mb``: their size in megabytes, as far as we know it;
    - ``local_files``: files that you have to provide, as we know no checksum to tell by that a
      download is whole and unchanged; empty if all are downloaded.

    Examples
    --------
    >>> import sctools
    >>> table = sctools.model.clocks()
    >>> table.loc["scimmuaging", "licence"]
    'Apache-2.0'
    >>> list(table.index)
    ['scageclock', 'scimmuaging']
    """
    rows: dict[str, dict[str, Any]] = {}
    for name, clock in REGISTERED_CLOCKS.items():
        if species not in (None, clock.species):
            continue
        files = clock.files.items()
        row = clock._asdict()
        row["files"] = ", ".join(key if file.required else f"({key})" for key, file in files)
        row["size_mb"] = round(sum(file.size or 0 for _, file in files) / 1e6, 1)
        row["local_files"] = ", ".join(key for key, file in files if file.sha256 is None)
        rows[name] = row
    table = pd.DataFrame(rows.values(), index=pd.Index(rows, name="name"), columns=COLUMNS)
    return table.infer_objects()
