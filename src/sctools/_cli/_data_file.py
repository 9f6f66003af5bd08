"""Data read from a file, and written to another together with what was computed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

COMPUTED = ("obs", "obsm", "uns")
"""Parts of an AnnData that tools write into; they change no other."""


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

    def read(self, *, backed: bool = False) -> AnnData | MuData:
        """Read the data.

        Parameters
        ----------
        backed
            Leave the matrix in the file, if that is a ``.h5ad`` whose cells can be read in blocks.

        Raises
        ------
        ValueError
            The file holds something else.
        """
        import anndata

        try:
            if self.path.suffix == ".h5mu":
                return _read_h5mu(self.path)
            if self.path.suffix == ".zarr":
                return anndata.read_zarr(self.path)
            by_cells = backed and _is_stored_by_cells(self.path)
            return anndata.read_h5ad(self.path, backed="r" if by_cells else None)
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

        From ``.h5ad`` to ``.h5ad`` what tools do not change is copied as it is stored, with its
        compression and without loading it.

        Parameters
        ----------
        data
            What `read` returned.
        draft
            New file; its suffix says which kind.

        Raises
        ------
        ValueError
            The input has been changed since it was opened.
        """
        import anndata

        with (
            # The input may hold such arrays, and then the output does.
            anndata.settings.override(allow_write_nullable_strings=True),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", message="Writing zarr v2 data")
            if draft.suffix == ".h5mu":
                data.write_h5mu(draft)
            elif draft.suffix == ".zarr":
                data.write_zarr(draft)
            elif self.path.suffix == ".h5ad" and _is_current(self.path):
                self._copy_with_results(data, draft)
            else:
                data.write_h5ad(draft)

    def _copy_with_results(self, adata: Any, draft: Path) -> None:
        import h5py
        from anndata.io import write_elem

        if adata.isbacked:
            adata.file.close()
        if _stamp(self.path) != self._stamp:
            raise ValueError(
                f"{str(self.path)!r} was changed while it was worked on. Run the command again."
            )
        with h5py.File(self.path, "r") as old, h5py.File(draft, "w") as new:
            new.attrs.update(old.attrs)
            for name in old:
                if name not in COMPUTED:
                    old.copy(name, new)
            write_elem(new, "obs", adata.obs)
            write_elem(new, "obsm", dict(adata.obsm))
            write_elem(new, "uns", dict(adata.uns))


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read_h5mu(path: Path) -> MuData:
    import mudata

    with warnings.catch_warnings():
        # On what mudata will do by default one day, and on names that modalities share.
        warnings.filterwarnings("ignore", module="mudata")
        return mudata.read_h5mu(path)


def _is_current(path: Path) -> bool:
    """Tell files that anndata 0.8 or later wrote; older ones are written anew as a whole."""
    import h5py

    with h5py.File(path, "r") as file:
        return file.attrs.get("encoding-type") == "anndata"


def _is_stored_by_cells(path: Path) -> bool:
    """Tell whether blocks of cells can be read without going through everything each time."""
    import h5py

    with h5py.File(path, "r") as file:
        if file.attrs.get("encoding-type") != "anndata" or "X" not in file:
            return False
        return file["X"].attrs.get("encoding-type") in ("array", "csr_matrix")
