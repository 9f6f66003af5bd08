"""Storage of a prior transformer: saved and loaded without unpickling."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from ..module import PriorTransformerModule
from ._saved_model import PRIOR_TRANSFORMER, fitting_files, read_model, write_model
from ._typicality import Typicality

if TYPE_CHECKING:
    from ._prior_transformer import PriorTransformer


class PriorStorageMixin:
    """Storage of a prior transformer, which adds training and predictions."""

    module: PriorTransformerModule
    options: dict[str, Any]
    keys: dict[str, Any]
    genes: list[str]
    classes: list[str]
    edges: pd.DataFrame
    coverage: dict[str, Any]
    validation: dict[str, float]
    typicality: Typicality | None
    is_trained_: bool

    def _description(self) -> dict[str, Any]:
        return {
            "genes": self.genes,
            "classes": self.classes,
            "options": self.options,
            "keys": self.keys,
            "coverage": self.coverage,
            "validation": self.validation,
        }

    def save(self, dir_path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Save the model to a directory: one JSON file, one safetensors file, no pickle.

        Of the training data it holds names of genes and classes, means of genes and of classes, and
        distances of cells from these.

        Parameters
        ----------
        dir_path
            Directory; it is made if missing.
        overwrite
            Replace a model that is there.

        Raises
        ------
        FileExistsError
            There is a model and ``overwrite`` is ``False``.
        ValueError
            The model is not trained.
        """
        if not self.is_trained_:
            raise ValueError("The model is not trained yet. Call `model.train()` first.")
        place = pd.Index(self.genes)
        tensors = {f"module.{name}": value for name, value in self.module.state_dict().items()}
        for end in ("source", "target"):
            positions = place.get_indexer(pd.Index(self.edges[end])).astype(np.int64)
            tensors[f"edges.{end}"] = torch.from_numpy(positions)
        if self.typicality is not None:
            for name, part in self.typicality._asdict().items():
                tensors[f"typicality.{name}"] = torch.from_numpy(part)
        weight = self.edges["weight"].to_numpy(dtype=np.float64)
        tensors["edges.weight"] = torch.from_numpy(weight.copy())
        write_model(
            PRIOR_TRANSFORMER, Path(dir_path), self._description(), tensors, overwrite=overwrite
        )

    @classmethod
    def load(cls, dir_path: str | os.PathLike[str]) -> PriorTransformer:
        """Load a model saved with :meth:`save`; nothing in it is executed.

        Parameters
        ----------
        dir_path
            Directory of the model.

        Returns
        -------
        A trained model without data.

        Raises
        ------
        ValueError
            The directory is not a saved model of this class, or is damaged or from a newer version.
        """
        folder = Path(dir_path)
        description, tensors = read_model(PRIOR_TRANSFORMER, folder)
        with fitting_files(folder):
            return cls._restore(description, tensors)

    @classmethod
    def _restore(
        cls, description: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
    ) -> PriorTransformer:
        make: Any = cls
        model: PriorTransformer = make(**description["options"])
        model.genes, model.classes = list(description["genes"]), list(description["classes"])
        for name in ("keys", "coverage", "validation"):
            setattr(model, name, copy.deepcopy(description[name]))
        names = np.array(model.genes, dtype=object)
        model.edges = pd.DataFrame(
            {
                "source": names[tensors["edges.source"].numpy()],
                "target": names[tensors["edges.target"].numpy()],
                "weight": tensors["edges.weight"].numpy().copy(),
            }
        )
        if "typicality.means" in tensors:
            parts = (tensors[f"typicality.{name}"].numpy().copy() for name in Typicality._fields)
            model.typicality = Typicality(*parts)
        model._build(0)  # the random start is overwritten at once
        state = {
            name.removeprefix("module."): value
            for name, value in tensors.items()
            if name.startswith("module.")
        }
        model.module.load_state_dict(state)
        model.module.eval()
        model.is_trained_ = True
        return model
