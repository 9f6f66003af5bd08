"""The trained clock that a user names: an object, a saved one or a ready-made one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..model import AgeClock, LinearClock, PublishedClock


def given_clock(
    model: AgeClock | LinearClock | PublishedClock | str | os.PathLike[str],
) -> AgeClock | LinearClock | PublishedClock:
    """Return the clock itself, loaded where only its directory or name was given."""
    from ..model import AgeClock, LinearClock, PublishedClock, load_clock

    if isinstance(model, str | os.PathLike):
        path = Path(model)
        if path.suffix in (".pth", ".pt") and path.is_file():
            raise ValueError(
                f"{str(path)!r} is a file of weights, which need their genes and categories: "
                "`model = sctools.model.AgeClock.from_scageclock(weights, genes, categories)`."
            )
        return load_clock(model)
    if not isinstance(model, AgeClock | LinearClock | PublishedClock):
        raise TypeError(
            "`model` must be a `sctools.model.AgeClock`, `LinearClock` or `PublishedClock`, the "
            "directory of a saved one, or the name of a ready-made one "
            f"(`sctools.model.clocks()`), found {type(model).__name__}."
        )
    return model
