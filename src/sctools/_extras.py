"""Optional dependencies: imported where they are needed, with a word on how to get them."""

from __future__ import annotations

import importlib
from typing import Any


def import_extra(module: str, *, extra: str, purpose: str) -> Any:
    """Import an optional dependency, or raise ``ImportError`` that names the extra.

    Parameters
    ----------
    module
        Module to import.
    extra
        The extra of sctools that installs it.
    purpose
        What needs it, for the message.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs the package `{module}`, which cannot be imported ({error}). Install "
            f'it with `pip install "sctools-ml[{extra}]"`.'
        ) from error
