"""One call that is to be tried: the data, the arguments, and what must not change by it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from .._vaes import quietly_joined


class Inapplicable(Exception):
    """A mutation has nothing to change here."""


class Subject(NamedTuple):
    """A public function in one of its uses.

    Attributes
    ----------
    name
        Name of the function, with its use after a colon where it has several.
    function
        The function.
    base
        Makes small valid data.
    kwargs
        Makes the arguments of a quick valid call, besides the data.
    variants
        Further arguments that are valid too; a draw takes one of these sets.
    columns
        Columns of ``obs`` that are read.
    families
        Kinds of mutations that make sense.
    writes
        Names that the call may write into ``obs``, ``obsm``, ``uns`` and ``var``, given its
        ``key_added`` and its arguments.
    then
        Functions that must work on the result, or raise what they document.
    """

    name: str
    function: Callable[..., Any]
    base: Callable[[], AnnData | MuData]
    kwargs: Callable[[], dict[str, Any]]
    variants: tuple[dict[str, Any], ...] = ({},)
    columns: tuple[str, ...] = ()
    families: tuple[str, ...] = ("values", "form", "shape", "names", "columns", "keys", "arguments")
    writes: Callable[[str, dict[str, Any]], tuple[str, ...]] = lambda key, kwargs: ()
    then: tuple[Callable[..., Any], ...] = ()


@dataclass
class Case:
    """What one draw calls a function with.

    Attributes
    ----------
    subject
        What is called.
    data
        The data.
    kwargs
        The other arguments.
    folder
        Empty folder for files.
    parents
        Objects that ``data`` is a view of.
    """

    subject: Subject
    data: AnnData | MuData
    kwargs: dict[str, Any]
    folder: Path
    parents: list[AnnData | MuData] = field(default_factory=list)

    @property
    def adata(self) -> AnnData:
        """The data, or the RNA modality."""
        return self.data.mod["rna"] if isinstance(self.data, MuData) else self.data

    @property
    def key_added(self) -> Any:
        """Name of the result."""
        defaults = self.subject.function.__kwdefaults__ or {}
        return self.kwargs.get("key_added", defaults.get("key_added"))

    def takes(self, argument: str) -> bool:
        """Whether the function has such an argument."""
        return argument in inspect.signature(self.subject.function).parameters

    def replace(self, adata: AnnData) -> None:
        """Put other data, or another RNA modality, in the place."""
        if isinstance(self.data, MuData):
            self.data = quietly_joined({**self.data.mod, "rna": adata})
        else:
            self.data = adata

    def counts(self) -> np.ndarray:
        """The values as a dense float64 array of one's own."""
        X = self.adata.X
        if X is None or 0 in X.shape:
            raise Inapplicable
        return np.array(X.toarray() if sparse.issparse(X) else X, dtype=np.float64)

    def set_counts(self, values: np.ndarray) -> None:
        """Store values as CSR in float32, as they were in the beginning."""
        self.adata.X = sparse.csr_matrix(values.astype(np.float32))
