"""The command line, ``sctools``: one file per command, each from file to file.

Names and defaults of options are those of the functions in :mod:`sctools.tl`, spelled with dashes.
Importing it loads click and the standard library; a command loads what it runs, when it runs.
"""

from __future__ import annotations

from ._main import main

__all__ = ["main"]
