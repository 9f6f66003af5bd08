"""A run that ends itself at a chosen place: ``python -m tests._killed TOOL FOLDER HOW``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import lightning.pytorch  # noqa: F401 - before the signal's handler is looked at
import torch

from sctools.model import _checkpoint, _runner

from . import _tools
from ._compare import assert_unchanged, snapshot


def kill_after(n_files: int) -> None:
    """Be killed when so many checkpoints have been written."""
    write, done = _checkpoint.Checkpoint.write, []

    def counted(self: _checkpoint.Checkpoint, state: dict) -> None:
        write(self, state)
        done.append(self.path)
        if len(done) == n_files:
            os.kill(os.getpid(), signal.SIGKILL)

    _checkpoint.Checkpoint.write = counted  # type: ignore[method-assign]


def kill_in(n_files: int) -> None:
    """Be killed in the middle of the one after so many."""
    sync, done = os.fsync, []

    def counted(file: int) -> None:
        if len(done) == n_files:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(file)
        sync(file)

    _checkpoint.os.fsync = counted  # type: ignore[assignment]


def interrupt() -> None:
    """Get a Ctrl-C in the second epoch."""
    done: list[int] = []
    tick = _runner.EpochCounter.on_train_epoch_end

    def counted(self: _runner.EpochCounter, *args: object) -> None:
        tick(self, *args)  # type: ignore[arg-type]
        done.append(1)
        if len(done) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    _runner.EpochCounter.on_train_epoch_end = counted  # type: ignore[method-assign, assignment]


def main(name: str, folder: str, how: str) -> None:
    """Run the tool with checkpoints; after a Ctrl-C tell that the cells are as they were."""
    adata = _tools.data(name)
    before = snapshot(adata)
    {
        "after": lambda: kill_after(2),
        "within": lambda: kill_in(1),
        "interrupt": interrupt,
    }[how]()
    try:
        _tools.run(name, adata, checkpoint_dir=Path(folder))
    except KeyboardInterrupt:
        assert_unchanged(adata, before)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert torch.is_grad_enabled()
        print("unchanged")


if __name__ == "__main__":
    main(*sys.argv[1:])
