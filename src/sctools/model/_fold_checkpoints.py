"""Checkpoints of cross-fitting: what each finished fold has to say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from ._checkpoint import Checkpoint
from ._fingerprint import fingerprint

if TYPE_CHECKING:
    from ._age_clock import AgeClock


class FoldCheckpoints:
    """One file for each finished fold; a fold that was cut off is trained again from its start.

    Parameters
    ----------
    folder
        Directory of the files. ``None`` keeps and finds nothing.
    arguments, data
        What the folds depend on; see :func:`sctools.model._fingerprint.fingerprint`.
    seeds
        Seed of each fold.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        arguments: Mapping[str, Any],
        data: Mapping[str, Any],
        seeds: Sequence[int],
    ) -> None:
        self._files: list[Checkpoint] = []
        if folder is not None:
            known = fingerprint(arguments=arguments, data=data, seed=seeds[0])
            self._files = [
                Checkpoint(folder / f"fold_{k}.ckpt", {**known, "the seed of the fold": str(seed)})
                for k, seed in enumerate(seeds)
            ]
        # All are read before anything is trained, so that another run is told at once.
        self._found = [file.read() for file in self._files]

    def clock(self, k: int) -> AgeClock | None:
        """Clock of a fold that was finished before."""
        from ._age_clock import AgeClock

        found = self._found[k] if self._files else None
        if found is None:
            return None
        clock = AgeClock._restore(json.loads(found["description"]), found["tensors"])
        clock.history_ = {
            name: pd.DataFrame({name: values}) for name, values in found["history"].items()
        }
        return clock

    def keep_clock(self, k: int, clock: AgeClock) -> None:
        """Keep the clock of a fold that has just been finished."""
        if self._files:
            history = {
                name: table[name].astype(float).tolist() for name, table in clock.history.items()
            }
            self._files[k].write(
                {
                    "description": json.dumps(clock._description()),
                    "tensors": clock.module.state_dict(),
                    "history": history,
                }
            )

    def arrays(self, k: int) -> dict[str, np.ndarray] | None:
        """Arrays of a fold that was finished before."""
        found = self._found[k] if self._files else None
        return None if found is None else {name: part.numpy() for name, part in found.items()}

    def keep_arrays(self, k: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep the arrays of a fold that has just been finished."""
        if self._files:
            self._files[k].write({name: torch.from_numpy(a) for name, a in arrays.items()})
