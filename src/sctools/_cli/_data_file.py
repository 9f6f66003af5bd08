"""Data read from a file, and written to another together with what was computed."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ._stored_data import StoredData

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_REASON = re.compile(
    r"file write failed.*error message = '(?P<hdf5>[^']*)'|^(?P<zarrs>[^\n]*) \(os error \d+\)$",
    re.DOTALL | re.MULTILINE,
)
"""What the system said, in an error of HDF5 or of the zarrs package."""


class DataFile:
    """The input of a command.

    Parameters
    ----------
    path
        ``.h5ad``, ``.h5mu`` or ``.zarr``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp = _stamp(path)
        self._stored: StoredData | None = None

    def __enter__(self) -> DataFile:
        return self

    def __exit__(self, *error: object) -> None:
        if self._stored is not None:
            self._stored.close()

    def read(self, *, in_blocks: bool = False) -> AnnData | MuData:
        """Read the data.

        Parameters
        ----------
        in_blocks
            Leave matrices in the file, to be read in blocks of cells. What comes of it can be
            written to a file of the same kind only.

        Raises
        ------
        ValueError
            The file holds something else.
        """
        import anndata

        try:
            if self.path.suffix == ".h5mu":
                return _read_h5mu(self.path)
            self._stored = StoredData.of(self.path)
            if in_blocks and self._stored is not None:
                return self._stored.read()
            read = anndata.read_zarr if self.path.suffix == ".zarr" else anndata.read_h5ad
            return read(self.path)
        except MemoryError:
            raise
        except Exception as error:
            hint = ""
            if "MuData" in str(error):
                hint = " It holds several modalities, which `sctools srsa-vae` reads from .h5mu."
            raise ValueError(
                f"{str(self.path)!r} cannot be read as {self.path.suffix}: {error}{hint}"
            ) from error

    def write(self, data: AnnData | MuData, draft: Path) -> None:
        """Write the data that were read here, with the results in them.

        To a file of the same kind what tools do not change is copied as it is stored, with its
        compression and without loading it.

        Parameters
        ----------
        data
            What `read` returned.
        draft
            New file; its suffix says which kind.

        Raises
        ------
        OSError
            There is no room, or the disk fails.
        ValueError
            The input has been changed since it was opened.
        """
        import anndata

        with (
            _told(draft.name),
            # The input may hold such arrays, and then the output does.
            anndata.settings.override(allow_write_nullable_strings=True),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", message="Writing zarr v2 data")
            warnings.filterwarnings("ignore", message="Consolidated metadata is currently not")
            if draft.suffix == ".h5mu":
                data.write_h5mu(draft)
            elif self._stored is not None and draft.suffix == self.path.suffix:
                if _stamp(self.path) != self._stamp:
                    raise ValueError(
                        f"{str(self.path)!r} was changed while it was worked on. Run the command "
                        "again."
                    )
                self._stored.copy_with_results(data, draft)
            elif draft.suffix == ".zarr":
                data.write_zarr(draft)
            else:
                data.write_h5ad(draft)


@contextlib.contextmanager
def _told(name: str) -> Iterator[None]:
    """Say in a few words what HDF5 and zarrs say in many, and not always by an ``OSError``."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = _REASON.search(str(error))
        if reason is None:
            raise
        said = reason["hdf5"] or reason["zarrs"]
        raise OSError(f"{name!r} could not be written: {said}.") from error


def _stamp(path: Path) -> list[tuple[int, int, int]]:
    parts = sorted(path.rglob("*")) if path.is_dir() else [path]
    found = [part.stat() for part in parts]
    return [(stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in found]


def _read_h5mu(path: Path) -> MuData:
    import mudata

    with warnings.catch_warnings():
        # On what mudata will do by default one day, and on names that modalities share.
        warnings.filterwarnings("ignore", module="mudata")
        return mudata.read_h5mu(path)
