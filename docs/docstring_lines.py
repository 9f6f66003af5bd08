"""One line per entry of a docstring, after napoleon and before the types of arguments are added.

Napoleon gives a description in ``Raises`` that goes over several lines as a single entry. Where
sphinx-autodoc-typehints then adds the type of what is returned, it counts real lines, and puts it
into the middle of what follows.
"""

from __future__ import annotations

from typing import Any


def split(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Split entries of several lines (``autodoc-process-docstring``)."""
    lines[:] = "\n".join(lines).split("\n")


def setup(app: Any) -> dict[str, bool]:
    """Connect the handler; where it stands among the extensions is when it runs."""
    app.connect("autodoc-process-docstring", split)
    return {"parallel_read_safe": True}
