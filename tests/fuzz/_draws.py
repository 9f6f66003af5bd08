"""Draws: valid calls with mutations, each made from its number alone."""

from __future__ import annotations

import copy
import tempfile
import zlib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import _arguments, _columns, _containers, _inputs, _values  # noqa: F401 - they register
from ._case import Case, Subject
from ._checker import attempt
from ._mutations import apply, choose


class Draw(NamedTuple):
    """A call and what was done to it."""

    case: Case
    what: str


class Failure(NamedTuple):
    """A draw that broke the contract."""

    seed: int
    what: str
    problems: list[str]


class Report(NamedTuple):
    """What came of the draws of one subject."""

    name: str
    n_draws: int
    n_returned: int
    errors: Counter[str]
    failures: list[Failure]


def draw(subject: Subject, seed: int, folder: Path) -> Draw:
    """Make the draw of a number."""
    rng = np.random.default_rng([seed, zlib.crc32(subject.name.encode())])
    variant = copy.deepcopy(subject.variants[rng.integers(len(subject.variants))])
    case = Case(subject, subject.base(), {**subject.kwargs(), **variant}, folder)
    done = apply(choose(subject.families, rng), case, rng)
    said = [f"{name}={value!r}" for name, value in variant.items()]
    return Draw(case, "; ".join([*said, *done]) or "unchanged")


def fuzz(subject: Subject, n: int, seed: int = 0, *, verbose: bool = False) -> Report:
    """Make ``n`` draws, numbered from ``seed``, and judge what comes of each."""
    errors: Counter[str] = Counter()
    failures: list[Failure] = []
    n_returned = 0
    for number in range(seed, seed + n):
        with tempfile.TemporaryDirectory() as folder:
            case, what = draw(subject, number, Path(folder))
            outcome = attempt(case)
            for data in (case.data, *case.parents):
                if getattr(data, "isbacked", False):
                    data.file.close()
        if verbose:
            print(f"{subject.name} {number}: {what} -> {outcome.error or 'returned'}", flush=True)
        if outcome.problems:
            failures.append(Failure(number, what, outcome.problems))
        elif outcome.error:
            errors[outcome.error] += 1
        else:
            n_returned += 1
    return Report(subject.name, n, n_returned, errors, failures)
