"""What figures were measured on, in one line at the head of an output."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version


def machine(threads: str | None = None, packages: Sequence[str] = ("torch",)) -> str:
    """Describe cores, threads and versions.

    Parameters
    ----------
    threads
        How many are used, in words; by default those of torch are counted, ``""`` says nothing.
    packages
        Distributions whose versions are told beside that of Python.
    """
    if threads is None:
        import torch

        threads = f"torch threads {torch.get_num_threads()}"
    cores = f"{os.cpu_count()} cores ({platform.machine()})"
    return ", ".join(filter(None, [cores, threads, versions(packages)]))


def versions(packages: Sequence[str]) -> str:
    """Versions of Python and of some distributions."""
    found = [f"{name} {version(name)}" for name in packages]
    return ", ".join([f"python {platform.python_version()}", *found])
