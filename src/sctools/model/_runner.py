"""One way to run a scvi-tools training: quietly, and without touching the global random state."""

from __future__ import annotations

import contextlib
import logging
import random
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from scvi.model.base import BaseModelClass
from scvi.train import TrainRunner
from tqdm.auto import tqdm

from ._devices import on_devices, share_history

_CHATTY = ("lightning.pytorch", "lightning.fabric", "lightning", "pytorch_lightning", "scvi")


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch, numpy and random inside the block and restore their states after it."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the notices of Lightning and scvi-tools about devices, workers and files to them."""
    loggers = [logging.getLogger(name) for name in _CHATTY]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning.*")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread inside the block."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C be a ``KeyboardInterrupt``: Lightning exits on it, and ignores the next one."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def progress(total: int | bool | None, description: str) -> Iterator[Callable[[], None] | None]:
    """Progress bar over ``total`` epochs: a function to call after each, or ``None``."""
    if not total:
        yield None
        return
    with tqdm(total=total, desc=description, unit="epoch", leave=False) as bar:
        yield lambda: bar.update() and None


class EpochCounter(Callback):
    """Call functions after every epoch.

    Parameters
    ----------
    ticks
        Called with nothing; ``None`` entries are passed over.
    """

    def __init__(self, ticks: Sequence[Callable[[], None] | None]) -> None:
        self.ticks = [tick for tick in ticks if tick is not None]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Epochs of an interrupted run, that this one goes on with, are over already."""
        for _ in range(trainer.current_epoch):
            self.on_train_epoch_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """One epoch is over."""
        for tick in self.ticks:
            tick()


def run_training(
    model: BaseModelClass,
    plan: LightningModule,
    data: LightningDataModule,
    *,
    max_epochs: int,
    accelerator: str,
    devices: int | list[int] | str,
    **trainer_kwargs: Any,
) -> None:
    """Fit ``plan`` on ``data`` and leave history and state in ``model``.

    On one thread: the networks are small, and on a shared machine threads would mostly wait for
    each other at every operation.
    """
    with quiet(), one_thread(), interruptible(), on_devices(trainer_kwargs) as settled:
        TrainRunner(
            model,
            training_plan=plan,
            data_splitter=data,
            max_epochs=max_epochs,
            accelerator=accelerator,
            devices=devices,
            enable_progress_bar=False,
            **settled,
        )()
        share_history(model)
