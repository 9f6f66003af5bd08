"""Kinds of values that options take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click


class DataPath(click.ParamType):
    """The path of data, told by its suffix.

    Parameters
    ----------
    suffixes
        What is allowed, with the dot.
    exists
        Whether it must be there.
    """

    name = "path"

    def __init__(self, suffixes: Sequence[str], *, exists: bool) -> None:
        self.suffixes = suffixes
        self.exists = exists

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Check the suffix, and that a store is a directory and a file is none."""
        path = Path(value)
        if path.suffix not in self.suffixes:
            allowed = " or ".join(self.suffixes)
            self.fail(f"{str(path)!r} must end in {allowed}, by which files are told.", param, ctx)
        if self.exists and not path.exists():
            self.fail(f"{str(path)!r} does not exist.", param, ctx)
        if self.exists and path.is_dir() != (path.suffix == ".zarr"):
            kind = "a directory" if path.is_dir() else "a file"
            self.fail(f"{str(path)!r} is {kind}, which no {path.suffix} is.", param, ctx)
        return path


class Nullable(click.ParamType):
    """A name, or nothing: ``''`` is Python's ``None``."""

    name = "name"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | None:
        """Turn the empty string into ``None``."""
        return value or None


class Seed(click.ParamType):
    """A seed, or the word ``random``, which is Python's ``None``."""

    name = "seed"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        """Turn text into a whole number from 0."""
        if value == "random":
            return None
        if not str(value).isdecimal():
            self.fail(f"{value!r} is neither a whole number from 0 nor 'random'.", param, ctx)
        return int(value)


class JSONObject(click.ParamType):
    """A mapping written in JSON."""

    name = "json"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, Any]:
        """Parse it."""
        try:
            found = json.loads(value)
        except json.JSONDecodeError as error:
            self.fail(f"{value!r} is no JSON ({error}). Write '{{\"name\": 1}}'.", param, ctx)
        if not isinstance(found, dict):
            self.fail(f"{value!r} is no JSON object. Write '{{\"name\": 1}}'.", param, ctx)
        return found


def as_list(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> list[str] | None:
    """Values of an option that is given several times; ``None`` if it is not given."""
    return list(value) or None


def as_mapping(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> dict[str, str] | None:
    """Values of the form ``name=value``."""
    if any("=" not in text for text in value):
        raise click.BadParameter("Expected NAME=VALUE.", ctx, param)
    return dict(text.split("=", 1) for text in value) or None


def as_list_or_mapping(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> list[str] | dict[str, str] | None:
    """Values that are all of the form ``name=value``, or none of them."""
    if value and all("=" in text for text in value):
        return as_mapping(ctx, param, value)
    return as_list(ctx, param, value)
