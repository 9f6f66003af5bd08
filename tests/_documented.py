"""The exceptions that a function documents."""

from __future__ import annotations

import builtins
import inspect
import re
from collections.abc import Callable
from typing import Any


def documented_errors(function: Callable[..., Any]) -> tuple[type[Exception], ...]:
    """Exceptions that the section "Raises" of a numpydoc docstring names."""
    doc = inspect.getdoc(function) or ""
    section = re.search(r"^Raises\n-{3,}$(.*?)(?=^\w[\w ]*\n-{3,}$|\Z)", doc, re.M | re.S)
    names = re.findall(r"\b[A-Z]\w*Error\b", section.group(1)) if section else []
    return tuple(getattr(builtins, name) for name in dict.fromkeys(names))
