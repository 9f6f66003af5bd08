"""Age clocks as a whole: saved, loaded, averaged and parted."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..module import AgeClockModule, ClockPart
from ._age_covariates import n_codes
from ._age_intervals import AgeIntervals
from ._runner import seeded
from ._saved_model import AGE_CLOCK, fitting_files, read_model, write_model

if TYPE_CHECKING:
    from ._age_clock import AgeClock


class AgeStorageMixin:
    """Storage of an age clock, which adds training and predictions."""

    module: AgeClockModule
    keys: dict[str, Any]
    genes: list[str]
    age_unit: str
    target_sum: float
    network_settings: dict[str, Any]
    n_top_genes: int
    n_inner_folds: int
    n_repeats: int
    categories: list[dict[str, list[str]]]
    trained_on: list[list[str]]
    intervals: AgeIntervals | None
    is_trained_: bool

    def has_seen(self, donors: Iterable[object]) -> np.ndarray:
        """Whether donors of these names were trained on; for errors that are to be held out.

        Names are compared by a hash, which is all that a clock keeps of its donors. Another donor
        of the same name counts as seen.

        Parameters
        ----------
        donors
            Names of donors.

        Returns
        -------
        One value per name, bool.
        """
        seen = set().union(*self.trained_on)
        return np.array([hash_name(donor) in seen for donor in donors], dtype=bool)

    @classmethod
    def average(cls, clocks: Sequence[AgeClock]) -> AgeClock:
        """Clock that predicts the mean of ``clocks``, which must share genes and covariates.

        Parameters
        ----------
        clocks
            Trained clocks, for example those of cross-fitting.

        Returns
        -------
        A trained clock without data and without intervals. It shares no memory with ``clocks``.

        Raises
        ------
        ValueError
            If ``clocks`` is empty, one is untrained, or their genes or settings differ.
        """
        if not clocks or not all(clock.is_trained_ for clock in clocks):
            raise ValueError("Expected at least one clock, all of them trained.")
        descriptions = [clock._description() for clock in clocks]
        for name in ("genes", "keys", "target_sum", "network", "age_unit"):
            if any(d[name] != descriptions[0][name] for d in descriptions):
                raise ValueError(f"The clocks differ in {name!r}; only like ones average.")
        merged = {**descriptions[0], "parts": [p for d in descriptions for p in d["parts"]]}
        tensors: dict[str, torch.Tensor] = {}
        n_parts = 0
        for clock in clocks:
            for part in clock.module.parts:
                state = part.state_dict().items()
                tensors |= {f"parts.{n_parts}.{k}": v.detach().clone() for k, v in state}
                n_parts += 1
        return cls._restore(merged, tensors)

    def split(self) -> list[AgeClock]:
        """Give back the clocks that :meth:`average` was made of, in their order.

        Returns
        -------
        One clock per part; a clock that was trained once gives a copy of itself.
        """
        description = self._description()
        return [
            self._restore(
                {**description, "parts": [part_description]},
                {f"parts.0.{k}": v.detach().clone() for k, v in part.state_dict().items()},
            )
            for part_description, part in zip(description["parts"], self.module.parts, strict=True)
        ]

    def _description(self) -> dict[str, Any]:
        return {
            "genes": self.genes,
            "age_unit": self.age_unit,
            "target_sum": self.target_sum,
            "network": self.network_settings,
            "keys": self.keys,
            "settings": {
                "n_top_genes": self.n_top_genes,
                "n_inner_folds": self.n_inner_folds,
                "n_repeats": self.n_repeats,
            },
            "parts": [
                {
                    "n_genes": len(part.genes),
                    "n_members": len(part.members),
                    "categories": categories,
                    "trained_on": donors,
                }
                for part, categories, donors in zip(
                    self.module.parts, self.categories, self.trained_on, strict=True
                )
            ],
        }

    @classmethod
    def _restore(
        cls, description: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
    ) -> AgeClock:
        make: Any = cls
        clock: AgeClock = make(
            target_sum=description["target_sum"],
            **description["network"],
            **description["settings"],
        )
        clock.genes = list(description["genes"])
        clock.age_unit = description["age_unit"]
        clock.keys = copy.deepcopy(description["keys"])
        clock.categories = [copy.deepcopy(part["categories"]) for part in description["parts"]]
        clock.trained_on = [list(part["trained_on"]) for part in description["parts"]]
        with seeded(0):  # the networks' random start is overwritten at once
            parts = [
                ClockPart(
                    torch.zeros(part["n_genes"], dtype=torch.int64),
                    n_codes(part["categories"], clock.keys),
                    part["n_members"],
                    clock.network_settings,
                    n_shares=len(clock.genes),
                )
                for part in description["parts"]
            ]
        clock.module = AgeClockModule(parts)
        clock.module.load_state_dict(tensors)
        clock.module.eval()
        clock.is_trained_ = True
        return clock

    def save(self, dir_path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Save the clock to a directory: one JSON file, one safetensors file, no pickle.

        Of the training data it holds gene names, labels of covariates, hashes of donor names and,
        for intervals, the sorted errors on held-out donors.

        Parameters
        ----------
        dir_path
            Directory; it is made if missing.
        overwrite
            Replace a clock that is there.

        Raises
        ------
        FileExistsError
            There is a clock and ``overwrite`` is ``False``.
        ValueError
            The clock is not trained.
        """
        if not self.is_trained_:
            raise ValueError("The clock is not trained yet. Call `clock.train()` first.")
        kept = {} if self.intervals is None else {"intervals": self.intervals.to_dict()}
        write_model(
            AGE_CLOCK,
            Path(dir_path),
            self._description() | kept,
            self.module.state_dict(),
            overwrite=overwrite,
        )

    @classmethod
    def load(cls, dir_path: str | os.PathLike[str]) -> AgeClock:
        """Load a clock saved with :meth:`save`; nothing in it is executed.

        Parameters
        ----------
        dir_path
            Directory of the clock.

        Returns
        -------
        A trained clock without data.

        Raises
        ------
        ValueError
            The directory is not a saved clock, or is damaged or from a newer version.
        """
        folder = Path(dir_path)
        description, tensors = read_model(AGE_CLOCK, folder)
        with fitting_files(folder):
            clock = cls._restore(description, tensors)
            if "intervals" in description:  # clocks of earlier versions have none
                clock.intervals = AgeIntervals.from_dict(description["intervals"])
        return clock


def hash_name(name: object) -> str:
    """All that a clock keeps of a donor's name."""
    return hashlib.sha256(str(name).encode()).hexdigest()[:16]
