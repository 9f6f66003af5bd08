"""Files and directories that appear under their names only when all of them are whole."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import TracebackType


class Staging:
    """Collects drafts and moves them to their targets at the end, unless there was an error.

    A draft lies in a hidden directory beside its target, so that moving it is a rename within one
    file system. An error, Ctrl-C included, removes the drafts and leaves the targets as they were.
    """

    def __init__(self) -> None:
        self._drafts: dict[Path, Path] = {}

    def __enter__(self) -> Staging:
        return self

    def draft(self, target: Path) -> Path:
        """Path to write to in place of ``target``, with the same name."""
        folder = Path(tempfile.mkdtemp(prefix=".sctools-", dir=target.parent))
        self._drafts[target] = folder / target.name
        return self._drafts[target]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                for target, draft in self._drafts.items():
                    _move(draft, target)
        finally:
            for draft in self._drafts.values():
                shutil.rmtree(draft.parent, ignore_errors=True)


def _move(draft: Path, target: Path) -> None:
    if not target.is_dir():
        draft.replace(target)  # in one step: there is always a whole file
        return
    old = draft.with_name(f"{target.name}.old")  # a directory that is not empty has to make way
    try:
        target.rename(old)
        draft.rename(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        raise
