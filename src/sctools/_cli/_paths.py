"""Checks of all paths of a command, before anything is read or computed."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from pathlib import Path

import click

MODEL_FILES = frozenset(
    {
        "clock.json",
        "clock.safetensors",
        "linear_clock.json",
        "linear_clock.safetensors",
        "model.pt",
        "published_clock.json",
        "published_clock.safetensors",
        "transformer.json",
        "transformer.safetensors",
    }
)
"""Names of the files of saved models; a directory with any other is not replaced."""

ZARR_FILES = frozenset({".zattrs", ".zgroup", "zarr.json"})
"""Names of which each zarr store has at least one."""


def check_paths(
    inputs: Mapping[str, Path | None], outputs: Mapping[str, Path | None], *, force: bool
) -> dict[str, Path]:
    """Check where is read and written; raise ``click.BadParameter`` on the first fault.

    Parameters
    ----------
    inputs
        Paths that exist, by the name of their option; ``None`` where it was not given.
    outputs
        Paths to write to, likewise; ``"--output"`` is the data.
    force
        Whether what is there may be replaced, the input data by the output data included.

    Returns
    -------
    The outputs that were given, symbolic links followed: what a link leads to is replaced, not the
    link.
    """
    read = {name: path.resolve() for name, path in inputs.items() if path is not None}
    written = {name: path.resolve() for name, path in outputs.items() if path is not None}
    for name, path in written.items():
        for other, place in read.items():
            replaces = (name, other) == ("--output", "IN") and _is_same(path, place)
            if replaces and not force:
                raise click.BadParameter(
                    f"{str(path)!r} is IN itself. Choose another name, or replace it by --force.",
                    param_hint=f"{name!r}",
                )
            if not replaces:
                _check_apart(name, path, other, place)
    for (name, path), (other, place) in itertools.combinations(written.items(), 2):
        _check_apart(name, path, other, place)
    for name, path in written.items():
        _check_target(name, path, force=force)
    return written


def _is_same(path: Path, other: Path) -> bool:
    return path == other or (path.exists() and other.exists() and path.samefile(other))


def _check_apart(name: str, path: Path, other: str, place: Path) -> None:
    if _is_same(path, place):
        raise click.BadParameter(
            f"{str(path)!r} is also the path of {other}.", param_hint=f"{name!r}"
        )
    if path in place.parents or place in path.parents:
        raise click.BadParameter(
            f"{str(path)!r} and {str(place)!r} ({other}) lie one inside the other. Choose another "
            "directory.",
            param_hint=f"{name!r}",
        )


def _check_target(name: str, path: Path, *, force: bool) -> None:
    folder = path.parent
    if not folder.is_dir():
        raise click.BadParameter(
            f"There is no directory {str(folder)!r} to write {path.name!r} to. Make it first: "
            f"mkdir -p {folder}",
            param_hint=f"{name!r}",
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise click.BadParameter(
            f"The directory {str(folder)!r} cannot be written to: its permissions forbid it.",
            param_hint=f"{name!r}",
        )
    if not path.exists():
        return
    fault = _not_replaceable(name, path)
    if fault:
        raise click.BadParameter(
            f"{str(path)!r} {fault}, and is not replaced. Choose another name.",
            param_hint=f"{name!r}",
        )
    is_empty = path.is_dir() and not any(path.iterdir())
    if not force and not is_empty:
        raise click.BadParameter(
            f"{str(path)!r} exists. Choose another name, or replace it by --force.",
            param_hint=f"{name!r}",
        )


def _not_replaceable(name: str, path: Path) -> str | None:
    """Say what speaks against replacing what is there; ``None`` if nothing does."""
    is_model, is_store = name == "--save-model", path.suffix == ".zarr"
    if path.is_dir() != (is_model or is_store):
        return "is a directory" if path.is_dir() else "is a file"
    if not path.is_dir():
        return None
    found = {entry.name for entry in path.iterdir()}
    if is_model and not found <= MODEL_FILES:
        return f"holds files that are no model's ({', '.join(sorted(found - MODEL_FILES)[:3])})"
    if not is_model and found and not found & ZARR_FILES:
        return "is a directory without the files of a zarr store"
    return None
