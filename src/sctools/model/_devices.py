"""Training on several devices: what has to be the same on all of them, and what must not be."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from scvi.model.base import BaseModelClass

from .._arguments import is_on_several_devices


class OneModelOnAllRanks(Callback):
    """Let each rank draw noise of its own, and all end with the same model.

    Gradients are averaged, so that parameters stay the same; running averages in buffers do not.
    It has to be the last of the callbacks.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Part the random states."""
        self._seed = torch.initial_seed()
        torch.manual_seed(self._seed + trainer.global_rank)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the model and a random state of the first rank."""
        for tensor in pl_module.state_dict().values():
            torch.distributed.broadcast(tensor, src=0)
        torch.manual_seed(self._seed)


@contextlib.contextmanager
def on_devices(trainer_kwargs: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the arguments of the trainer, with what several devices need where they are asked for.

    Parameters
    ----------
    trainer_kwargs
        Arguments of the trainer of scvi-tools, ``callbacks`` among them.
    """
    if not is_on_several_devices(trainer_kwargs):
        yield dict(trainer_kwargs)
        return
    with tempfile.TemporaryDirectory() as logs, warnings.catch_warnings():
        # Where stopping was asked for, it is said in our words; scvi-tools says so always.
        warnings.filterwarnings("ignore", message="early_stopping was automatically disabled")
        yield {
            # There scvi-tools writes the history to a file, by default in the working directory.
            "log_save_dir": logs,
            **trainer_kwargs,
            "callbacks": [*(trainer_kwargs.get("callbacks") or []), OneModelOnAllRanks()],
        }


def share_history(model: BaseModelClass) -> None:
    """Give every rank the history, which the first one has kept."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        model.history_ = model.trainer.strategy.broadcast(model.history_)


@contextlib.contextmanager
def frozen(parameters: Iterator[torch.nn.Parameter]) -> Iterator[None]:
    """Let parameters ask for no gradient inside, without which DDP would wait for it."""
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    try:
        for parameter in learning:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


def own_share(data: LightningDataModule, members: np.ndarray, *, at_least: int) -> np.ndarray:
    """Every so-many-th of the members of a batch: those of this rank; all where there is but one.

    Raises
    ------
    ValueError
        The batch is too small to be parted.
    """
    rank, size = rank_and_size(data)
    if size > 1 and len(members) < at_least * size:
        raise ValueError(
            f"A batch of {len(members)} cannot be parted between {size} devices, each of which "
            f"needs at least {at_least}. Take larger batches, or fewer devices (`devices=`)."
        )
    return members[rank::size]


def rank_and_size(data: LightningDataModule) -> tuple[int, int]:
    """Return the number of this process, and how many there are in the training that reads it."""
    trainer = data.trainer
    return (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)
