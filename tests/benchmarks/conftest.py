from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def benchmarks(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the scripts, which can be imported."""
    folder = root / "benchmarks"
    if not folder.is_dir():
        pytest.skip("benchmarks/ is part of the checkout only")
    monkeypatch.syspath_prepend(folder)
    return folder
