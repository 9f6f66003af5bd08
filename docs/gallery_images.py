"""Show the picture of each function of :mod:`sctools.pl` on its page of the API.

``conf.py`` connects :func:`add_image`. A public plot without a picture stops the build.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

FIGURES = Path(__file__).parent / "_static" / "gallery"
PREFIX = "sctools.pl."


def add_image(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Put the picture before the parameters (``autodoc-process-docstring``).

    It runs before napoleon, so that ``lines`` are the docstring as it was written.
    """
    if what != "function" or not name.startswith(PREFIX):
        return
    function = name.removeprefix(PREFIX)
    if not (FIGURES / f"{function}.png").is_file():
        raise FileNotFoundError(
            f"There is no picture of {name}: add a cell `# %% {function}` to a script in "
            "docs/gallery and run `make gallery`."
        )
    start = lines.index("Parameters")
    lines[start:start] = [
        f".. image:: /_static/gallery/{function}.png",
        f"   :alt: Figure of {name}",
        "",
    ]
