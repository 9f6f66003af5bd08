"""Checks of arguments by themselves: their type and range, whatever the data are."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from ._validate import listing


def check_names(**names: object) -> None:
    """Raise ``TypeError`` unless each argument is the name of something, or ``None``."""
    for argument, name in names.items():
        if name is not None and not isinstance(name, str):
            raise TypeError(f"`{argument}` must be a name (text) or None, found {name!r}.")


def check_flags(**flags: object) -> None:
    """Raise ``TypeError`` unless each argument is true or false, or ``None``."""
    for argument, flag in flags.items():
        if flag is not None and not isinstance(flag, Integral | np.bool_):
            raise TypeError(f"`{argument}` must be True or False, found {flag!r}.")


def check_whole(number: Any, argument: str, *, at_least: int = 1) -> None:
    """Raise ``ValueError`` unless this is a whole number of at least so much."""
    if isinstance(number, bool) or not isinstance(number, Integral):
        raise ValueError(
            f"`{argument}` must be a whole number of at least {at_least}, found {number!r}."
        )
    if int(number) < at_least:
        raise ValueError(f"`{argument}` must be at least {at_least}, found {number}.")


def check_share(number: Any, argument: str) -> None:
    """Raise ``ValueError`` unless this is a number from 0 to 1."""
    if isinstance(number, bool) or not isinstance(number, Real) or not 0 <= float(number) <= 1:
        raise ValueError(f"`{argument}` must lie between 0 and 1, found {number!r}.")


def check_choice(value: Any, choices: Iterable[str], argument: str) -> None:
    """Raise ``ValueError`` unless this is one of some names."""
    known = list(choices)
    # Not all values can be compared with a name, or looked up.
    if not isinstance(value, str) or value not in known:
        names = " or ".join(map(repr, known)) if len(known) == 2 else f"one of {listing(known)}"
        raise ValueError(f"`{argument}` must be {names}, found {value!r}.")


def check_columns(columns: Any, argument: str) -> list[str]:
    """Return names of columns as a list, empty for ``None``; raise ``TypeError`` otherwise."""
    return [] if columns is None else check_list(columns, argument, "columns")


def check_list(names: Any, argument: str, what: str = "names") -> list[str]:
    """Return names as a list; raise ``TypeError`` on a single one, and on all else."""
    if isinstance(names, str):
        raise TypeError(
            f"`{argument}` must be a list of {what}, found the string {names!r}. Write "
            f"`{argument}=[{names!r}]`."
        )
    listed = isinstance(names, Iterable) and not isinstance(names, bytes | Mapping)
    found = list(names) if listed else []
    if not listed or not all(isinstance(name, str) for name in found):
        raise TypeError(f"`{argument}` must be a list of {what}, found {names!r}.")
    return found


def check_options(**options: Any) -> None:
    """Raise ``TypeError`` unless each argument maps names to values, or is ``None``."""
    for argument, given in options.items():
        if given is None:
            continue
        if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
            raise TypeError(
                f"`{argument}` must map names of arguments to values, such as "
                f"`{{'max_epochs': 10}}`, found {given!r}."
            )


@contextlib.contextmanager
def named_options(argument: str) -> Iterator[None]:
    """Say which argument held an option that what is called inside does not know.

    Options are passed on to scvi-tools and its trainer, so that only the call itself can tell.
    """
    try:
        yield
    except TypeError as error:
        found = re.search(r"got an unexpected keyword argument '(\w+)'", str(error))
        if found is None:
            raise
        raise TypeError(
            f"`{argument}` has {found[1]!r}, which is not known: {error}. Leave it out, or correct "
            "its name."
        ) from error


def as_generator(rng: Any) -> np.random.Generator:
    """Return the generator for a user's ``rng``; raise ``TypeError`` or ``ValueError``."""
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(
            "`rng` must be a whole number of at least 0, a `numpy.random.Generator` or None, found "
            f"{rng!r}."
        ) from error


def read_checkpoint_dir(checkpoint_dir: Any, rng: Any) -> Path | None:
    """Return the directory for checkpoints, ``None`` for none.

    Raises
    ------
    TypeError
        It is no path.
    ValueError
        It is a file, or there is no seed: nobody could repeat the run that is to be gone on with.
    """
    if checkpoint_dir is None:
        return None
    if not isinstance(checkpoint_dir, str | os.PathLike) or not os.fspath(checkpoint_dir):
        raise TypeError(
            f"`checkpoint_dir` must be the path of a directory or None, found {checkpoint_dir!r}."
        )
    folder = Path(checkpoint_dir)
    if folder.exists() and not folder.is_dir():
        raise ValueError(
            f"`checkpoint_dir={str(folder)!r}` is a file. Name a directory; it is made if missing."
        )
    if rng is None:
        raise ValueError(
            "`checkpoint_dir` needs a seed, without which nobody could go on with a run that was "
            "cut off, found `rng=None`. Pass a whole number, such as `rng=0`."
        )
    return folder


def is_on_several_devices(train_kwargs: Mapping[str, Any] | None) -> bool:
    """Whether the trainer is asked for a process for each device, by its ``strategy``."""
    strategy = (train_kwargs or {}).get("strategy")
    name = strategy if isinstance(strategy, str) else type(strategy).__name__
    return "ddp" in name.lower()


def check_devices(train_kwargs: Mapping[str, Any] | None, rng: Any) -> None:
    """Raise ``ValueError`` where every device would train on other draws."""
    if rng is None and is_on_several_devices(train_kwargs):
        raise ValueError(
            "On several devices each process draws for itself what has to be the same for all, "
            "such as the cells to validate on, found `rng=None`. Pass a seed, such as `rng=0`."
        )


def check_one_device(checkpoint_dir: Any) -> None:
    """Raise ``ValueError`` where the state of several processes would have to be kept."""
    if checkpoint_dir is not None:
        raise ValueError(
            "`checkpoint_dir` goes with one device: it keeps the state of one process. Leave it "
            "out, or the `strategy`."
        )
