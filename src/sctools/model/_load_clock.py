"""A clock by its name, or from where it was saved."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from .._settings import settings
from .._validate import listing
from ._age_clock import AgeClock
from ._clock_files import Files, find_files
from ._linear_clock import LinearClock
from ._published_clock import PublishedClock
from ._registered_clocks import REGISTERED_CLOCKS
from ._saved_model import AGE_CLOCK, LINEAR_CLOCK, PUBLISHED_CLOCK, SavedFormat

SAVED: dict[SavedFormat, Callable[[Path], AgeClock | LinearClock | PublishedClock]] = {
    AGE_CLOCK: AgeClock.load,
    LINEAR_CLOCK: LinearClock.load,
    PUBLISHED_CLOCK: PublishedClock.load,
}
"""How saved clocks are loaded, by what their files say they are."""


def load_clock(
    name: str | os.PathLike[str],
    *,
    files: Files | None = None,
    progress_bar: bool | None = None,
) -> AgeClock | LinearClock | PublishedClock:
    """Load a ready-made clock by its name, or any saved clock from its directory.

    The files of a ready-made clock are downloaded once (extra ``clocks``), checked by their sha256
    and kept in the user's cache, in the folder ``clocks`` of the environment variable
    ``SCTOOLS_CACHE_DIR`` or of ``pooch.os_cache("sctools")``. Without a network, files can be put
    there by hand or be named with ``files``.

    Parameters
    ----------
    name
        Name of a ready-made clock (:func:`sctools.model.clocks` lists them), or the directory of a
        saved one. A registered name wins over a directory that is called the same, so that results
        do not depend on where Python was started; write the directory as a :class:`~pathlib.Path`
        or with its path (``"./scimmuaging"``) to mean that.
    files
        Local files of a ready-made clock: a mapping from the names in the column ``files`` of
        :func:`sctools.model.clocks` to paths, or a folder with files of the published names. They
        must be the published files. What is missing is downloaded, except for files that the clock
        can do without.
    progress_bar
        Show a progress bar for downloads. ``None`` follows ``sctools.settings.progress_bar``.

    Returns
    -------
    The clock: an :class:`~sctools.model.AgeClock`, a :class:`~sctools.model.LinearClock` or a
    :class:`~sctools.model.PublishedClock`.

    Raises
    ------
    FileNotFoundError
        A local file does not exist, or one that cannot be downloaded is not given.
    ImportError
        The packages of the extra ``clocks`` are missing.
    OSError
        A file could not be downloaded.
    ValueError
        A file is not the published one (a download of that kind is not kept), there is neither a
        clock nor a directory of this name, or the directory is not a saved clock.

    Notes
    -----
    ``"scageclock"`` is the network of G. Xie, *scAgeClock*, npj Aging 2026,
    doi:10.1038/s41514-026-00379-5. ``"scimmuaging"`` are the LASSO clocks of five types of blood
    cells by W. Li et al., *Single-cell immune aging clocks reveal inter-individual heterogeneity
    during infection and vaccination*, Nature Aging 2025, doi:10.1038/s43587-025-00819-z. Neither
    comes with this package; mind their licences and cite them.

    Examples
    --------
    >>> import sctools
    >>> clock = sctools.model.LinearClock({"B": {"MS4A1": 2.0}}, {"B": 50.0})
    >>> clock.save("my_clock")
    >>> sctools.model.load_clock("my_clock")
    LinearClock(1 genes, years, cell types 'B')
    """
    if isinstance(name, str) and name in REGISTERED_CLOCKS:
        shown = settings.progress_bar if progress_bar is None else progress_bar
        clock = REGISTERED_CLOCKS[name]
        return READERS[clock.reader](find_files(name, clock, files, progress_bar=shown))
    if files is not None:
        raise ValueError(
            f"`files` are for ready-made clocks, and {os.fspath(name)!r} is none. There are: "
            f"{listing(REGISTERED_CLOCKS)}."
        )
    return _load_saved(Path(name))


def _load_saved(folder: Path) -> AgeClock | LinearClock | PublishedClock:
    for saved, load in SAVED.items():
        if any((folder / file).is_file() for file in saved.files):
            return load(folder)
    try:
        return AgeClock.load(folder)
    except ValueError as error:
        raise ValueError(
            f"{error} Ready-made clocks go by name: {listing(REGISTERED_CLOCKS)}."
        ) from error


def _read_scageclock(files: dict[str, Path]) -> PublishedClock:
    categories = {name: files[name] for name in ("assay", "cell_type", "tissue_general", "sex")}
    return PublishedClock.from_scageclock(
        files["weights"], files["genes"], categories, gene_ids=files.get("gene_ids")
    )


def _read_scimmuaging(files: dict[str, Path]) -> LinearClock:
    symbols: dict[str, str] = {}
    if "gene_ids" in files:
        table = pd.read_csv(files["gene_ids"], sep="\t", dtype=str, keep_default_na=False)
        symbols = dict(zip(table["gene_id"], table["gene_name"], strict=True))
    return LinearClock.from_glmnet(
        files["model"], labels="blood", symbols=symbols, name="scimmuaging"
    )


READERS: dict[str, Callable[[dict[str, Path]], LinearClock | PublishedClock]] = {
    "scageclock": _read_scageclock,
    "scimmuaging": _read_scimmuaging,
}
"""How the files of ready-made clocks are read."""
