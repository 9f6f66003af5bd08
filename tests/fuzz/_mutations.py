"""What is done to a valid call to make it an odd or malformed one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ._case import Case

Change = Callable[[Case, np.random.Generator], str | None]
"""Changes a case in place; returns what exactly was done, where there is a choice."""


class Mutation(NamedTuple):
    """A change with its name.

    Attributes
    ----------
    family
        What it is about; see :class:`Subject`.
    change
        Does it.
    stage
        Changes of content (0) come before those of storage (1) and of the container (2), which
        they would undo.
    """

    family: str
    change: Change
    stage: int

    @property
    def name(self) -> str:
        """The name for reports."""
        return self.change.__name__


MUTATIONS: list[Mutation] = []
"""All of them; a new one joins by the decorator :func:`mutation`."""


def mutation(family: str, *, stage: int = 0) -> Callable[[Change], Change]:
    """Register a change."""

    def register(change: Change) -> Change:
        MUTATIONS.append(Mutation(family, change, stage))
        return change

    return register


def apply(chosen: list[Mutation], case: Case, rng: np.random.Generator) -> list[str]:
    """Apply mutations in the order of their stages; return the names of those that could be."""
    done = []
    for one in sorted(chosen, key=lambda mutation: mutation.stage):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                detail = one.change(case, rng)
        except Exception:  # nothing to change here, or AnnData itself refuses it
            continue
        done.append(f"{one.name}({detail})" if detail else one.name)
    return done


def choose(
    families: tuple[str, ...], rng: np.random.Generator, n: int | None = None
) -> list[Mutation]:
    """Draw ``n`` mutations, 0 to 3 by default; families count alike, however large they are."""
    n = int(rng.choice(4, p=[0.08, 0.46, 0.28, 0.18])) if n is None else n
    chosen = []
    for _ in range(n):
        family = rng.choice(np.array(families))
        among = [one for one in MUTATIONS if one.family == family]
        chosen.append(among[rng.integers(len(among))])
    return chosen
