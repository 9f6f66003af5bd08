"""A disk without room: no file may grow beyond a size, and writing more fails as it does there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def small_disk(size: int) -> Iterator[None]:
    """Let every write beyond ``size`` bytes of a file fail with an ``OSError``.

    By the limit that the system sets for a process: what writes, in whatever language, is told by
    the system itself. Python ignores the signal that comes with it.
    """
    resource = pytest.importorskip("resource")  # not on Windows
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
