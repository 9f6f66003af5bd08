"""Applying an SRSA-VAE to counts that are not in memory, a block of cells at a time."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from ..pp._counts_input import READ_ROWS, CountsInput, count_empty, tell_empty
from ..pp._expression import get_expression, row_blocks
from ..pp._map_blocks import cluster_client, map_blocks
from ._srsa_input import Input, read_input
from ._srsa_model import make_ready
from ._srsa_record import encode

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from ..model import SRSAVAE, MultimodalSRSAVAE

_ALONE = threading.Lock()
"""Models of scvi-tools register data in their class: threads of a worker take turns."""


@contextlib.contextmanager
def _applying() -> Iterator[None]:
    """One block at a time, without the notice of scvi-tools that it may be too small to train."""
    with _ALONE, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*has fewer than 3 cells.*")
        yield


def is_lazy(adata: AnnData | MuData, layer: str | None) -> bool:
    """Whether the counts are a dask array or in a file."""
    from anndata import AnnData

    if not isinstance(adata, AnnData):
        return False
    matrix = get_expression(adata, layer, lazy=True)
    return adata.isbacked or not (isinstance(matrix, np.ndarray) or sp.issparse(matrix))


def encode_blocks(
    model: SRSAVAE | MultimodalSRSAVAE | str | os.PathLike[str],
    adata: AnnData,
    names: CountsInput,
    *,
    protein_key: str | None,
    batch_size: int | None,
    seed: int,
    check: Callable[[AnnData], None],
) -> tuple[SRSAVAE | MultimodalSRSAVAE, int, dict[str, Any]]:
    """Return the model, its number of genes, and the arrays to write.

    Parameters
    ----------
    model, names, batch_size, seed
        As for counts in memory.
    adata
        Annotated data whose counts are not in memory.
    protein_key
        Key of ``obsm`` with proteins.
    check
        Called with each block that is read here, as the model is given it.
    """
    matrix = get_expression(adata, names.layer, lazy=True)
    block = VAEBlock(model, adata.var_names, names, protein_key, batch_size, seed, check)
    obs = adata.obs
    proteins = [adata.obsm[protein_key]] if protein_key in adata.obsm else []
    if cluster_client(matrix) is not None:
        # What does not fit is told before anything is sent, and no column that is not read is.
        _, first = next(row_blocks(matrix[:1], 1))
        query = block.ready(first, obs.iloc[:1], *(array[:1] for array in proteins))
        read = {*query.obs.columns, *names.columns()}
        obs = obs[[column for column in obs.columns if column in read]]
    parts = [part for _, part in map_blocks(block, matrix, READ_ROWS, obs, *proteins)]
    tell_empty(sum(part.pop("n_empty") for part in parts), adata.n_obs, block.n_genes)
    return block.model, block.n_genes, _joined(parts)


class VAEBlock:
    """Encodes a block of cells; for :func:`sctools.pp._map_blocks.map_blocks`.

    Pickled, it holds the files of the model, without data.

    Parameters
    ----------
    model
        Trained model, or the directory of a saved one, which the first block makes a model.
    var_names
        Genes of the counts.
    names, protein_key, batch_size, seed, check
        As in :func:`encode_blocks`.
    """

    def __init__(
        self,
        model: Any,
        var_names: pd.Index,
        names: CountsInput,
        protein_key: str | None,
        batch_size: int | None,
        seed: int,
        check: Callable[[AnnData], None] | None,
    ) -> None:
        self.model = model
        self.n_genes = 0
        self._var_names = var_names
        self._names = names
        self._protein_key = protein_key
        self._batch_size = batch_size
        self._seed = seed
        self._check = check
        self._files: dict[str, bytes] = {}

    def __call__(
        self, counts: sp.csr_matrix, obs: pd.DataFrame, proteins: Any = None
    ) -> dict[str, Any]:
        """Return arrays by field of the keys, and the number of cells without counts."""
        from ..model._scvi_stores import forget_data

        with _applying():
            query = self._ready(counts, obs, proteins)
            try:
                arrays = encode(self.model, query, self._batch_size, denoise=False, seed=self._seed)
            finally:
                forget_data(self.model, query)
        return {**arrays, "n_empty": count_empty(query.X)}

    def ready(self, counts: sp.csr_matrix, obs: pd.DataFrame, proteins: Any = None) -> AnnData:
        """Load the model where it is not yet, and return the cells as it takes them."""
        with _applying():
            return self._ready(counts, obs, proteins)

    def _ready(self, counts: sp.csr_matrix, obs: pd.DataFrame, proteins: Any) -> AnnData:
        found = self._input(counts, obs, proteins)
        if self.model is None:
            with tempfile.TemporaryDirectory() as folder:
                for name, content in self._files.items():
                    with open(os.path.join(folder, name), "wb") as file:
                        file.write(content)
                self.model, query = make_ready(folder, found, self._names, held=2)
        else:
            self.model, query = make_ready(self.model, found, self._names, held=2)
        if self._check is not None:
            self._check(query)
        self.n_genes = query.n_vars
        return query

    def _input(self, counts: sp.csr_matrix, obs: pd.DataFrame, proteins: Any) -> Input:
        from anndata import AnnData

        block = AnnData(obs=obs.copy(), var=pd.DataFrame(index=self._var_names))
        if self._names.layer is None:
            block.X = counts
        else:
            block.layers[self._names.layer] = counts
        if proteins is not None:
            block.obsm[self._protein_key] = proteins
        return read_input(block, protein_key=self._protein_key, modalities=None, copy=False)

    def __getstate__(self) -> dict[str, Any]:
        files = dict(self._files)
        if not files:
            with tempfile.TemporaryDirectory() as folder:
                self.model.save(folder, overwrite=True)
                for entry in os.scandir(folder):
                    with open(entry.path, "rb") as file:
                        files[entry.name] = file.read()
        return {**self.__dict__, "model": None, "_check": None, "_files": files}


def _joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    arrays: dict[str, Any] = {
        name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in parts[0]
    }
    if "component" in arrays:
        used = sorted(set(arrays["component"]), key=int)
        arrays["component"] = pd.Categorical(arrays["component"], categories=used)
    return arrays
