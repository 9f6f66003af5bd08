"""Parameters as results record them: plain values that every file format holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import __version__


def recorded_params(**values: Any) -> dict[str, Any]:
    """Parameters for ``uns``: without ``None``, which older files cannot hold."""
    values["sctools_version"] = __version__
    return {name: value for name, value in values.items() if value is not None}


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values that a file can hold; others by their text."""
    simple = (str, bool, int, float)
    return {
        name: value if isinstance(value, simple) else str(value)
        for name, value in values.items()
        if value is not None
    }
