"""An AnnData in its file: its matrices read in blocks, the file copied with results in it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anndata import AnnData

COMPUTED = ("obs", "obsm", "uns")
"""Parts of an AnnData that tools write into; they change no other."""
READ = ("obs", "var", "obsm", "uns")
"""Parts that tools read besides X and layers."""


class StoredData:
    """A ``.h5ad`` or ``.zarr`` as anndata 0.8 or later wrote it.

    Parameters
    ----------
    path
        The file or store.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Any = None

    @classmethod
    def of(cls, path: Path) -> StoredData | None:
        """``None`` for files of older versions, which are laid out in another way."""
        stored = cls(path)
        try:
            current = stored._open().attrs.get("encoding-type") == "anndata"
        finally:
            stored.close()
        return stored if current else None

    def read(self) -> AnnData:
        """Read all but X and layers, of which rows are read when they are asked for.

        Matrices that are stored by genes (CSC) are read: looking for rows in them would go through
        everything each time. What no tool reads (``raw``, ``varm``, ``obsp``, ``varp``) is missing.
        """
        from anndata import AnnData
        from anndata.io import read_elem

        file = self._open()
        layers = file.get("layers", {})
        return AnnData(
            _matrix(file["X"]) if "X" in file else None,
            **{name: read_elem(file[name]) for name in READ if name in file},
            layers={name: _matrix(layers[name]) for name in layers},
        )

    def copy_with_results(self, adata: AnnData, draft: Path) -> None:
        """Copy as it is stored, compression included, all that tools do not change.

        Parameters
        ----------
        adata
            What was read, with results; of no use afterwards if its matrices lie in the file.
        draft
            New file or store of the same kind.
        """
        self.close()
        if self.path.suffix == ".zarr":
            self._copy_store(adata, draft)
        else:
            self._copy_file(adata, draft)

    def close(self) -> None:
        """Close the file."""
        if hasattr(self._file, "close"):
            self._file.close()
        self._file = None

    def _open(self) -> Any:
        if self._file is None:
            if self.path.suffix == ".zarr":
                import zarr

                self._file = zarr.open_group(self.path, mode="r")
            else:
                import h5py

                self._file = h5py.File(self.path, "r")
        return self._file

    def _copy_file(self, adata: AnnData, draft: Path) -> None:
        import h5py

        with h5py.File(self.path, "r") as old, h5py.File(draft, "w") as new:
            new.attrs.update(old.attrs)
            for name in old:
                if name not in COMPUTED:
                    old.copy(name, new)
            _write_results(adata, new)

    def _copy_store(self, adata: AnnData, draft: Path) -> None:
        import zarr

        top = str(self.path)
        # `.zmetadata` is a copy of the metadata of all parts, in stores of version 2.
        left_out = {*COMPUTED, ".zmetadata"}
        shutil.copytree(
            self.path,
            draft,
            ignore=lambda folder, names: left_out & set(names) if folder == top else [],
        )
        group = zarr.open_group(draft, mode="r+", use_consolidated=False)
        _write_results(adata, group)
        zarr.consolidate_metadata(group.store)


def _matrix(element: Any) -> Any:
    from anndata.io import read_elem, sparse_dataset

    kind = element.attrs.get("encoding-type")
    if kind == "csr_matrix":
        return sparse_dataset(element)
    return element if kind == "array" else read_elem(element)


def _write_results(adata: AnnData, group: Any) -> None:
    from anndata.io import write_elem

    write_elem(group, "obs", adata.obs)
    write_elem(group, "obsm", dict(adata.obsm))
    write_elem(group, "uns", dict(adata.uns))
