"""Training that goes on where an interrupted run was cut off, bit for bit."""

from __future__ import annotations

import copy
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from ._checkpoint import Checkpoint
from ._random_state import random_state, set_random_state


class ResumableTraining(Callback):
    """Save the whole state of a training after every epoch, and start from what was saved.

    The state is taken where an epoch starts, when all that belongs to the one before is done:
    metrics, stopping, schedules. Lightning's own checkpoints are taken earlier, and hold neither
    random states nor the history.

    It has to be the first of the callbacks: what others do at the start of an epoch is then done
    again by the run that goes on.

    Parameters
    ----------
    checkpoint
        Where to. It is read at once, so that a checkpoint of another run is told before training.

    Raises
    ------
    ValueError
        The checkpoint is damaged or that of another run.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._found = checkpoint.read()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go back to the saved state."""
        self._since = 0
        if self._found is not None:
            _restore(self._found, trainer, pl_module)
            self._found = None
            self._since = trainer.current_epoch

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, unless nothing has been learned since."""
        if trainer.current_epoch > self._since:
            self._checkpoint.write(_state(trainer, pl_module))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the end: the same run done again goes on from there, without an epoch."""
        self._checkpoint.write(_state(trainer, pl_module))


def _state(trainer: Trainer, plan: LightningModule) -> dict[str, Any]:
    loops = copy.deepcopy(trainer.fit_loop.state_dict())
    for counts in loops["epoch_progress"].values():
        counts["ready"] = counts["completed"]  # the next epoch is made ready by who continues
    return {
        "loops": loops,
        "should_stop": bool(trainer.should_stop),
        "plan": plan.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
        "schedulers": [found.scheduler.state_dict() for found in trainer.lr_scheduler_configs],
        "callbacks": [_callback_state(callback) for callback in trainer.callbacks],
        "data": trainer.datamodule.state_dict(),
        "random": random_state(),
        "history": _history(trainer),
    }


def _restore(state: dict[str, Any], trainer: Trainer, plan: LightningModule) -> None:
    plan.load_state_dict(state["plan"])
    for optimizer, found in zip(trainer.optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(found)
    for config, found in zip(trainer.lr_scheduler_configs, state["schedulers"], strict=True):
        config.scheduler.load_state_dict(found)
    for callback, (found, steps) in zip(trainer.callbacks, state["callbacks"], strict=True):
        callback.load_state_dict(found)
        if steps is not None:
            callback._current_step = steps
    trainer.datamodule.load_state_dict(state["data"])
    for metric, name, place, value in state["history"]:
        trainer.logger.experiment.log_metrics({metric: value, name: place})
    loop = trainer.fit_loop
    loop.load_state_dict(state["loops"])
    # To Lightning this is a run of its own, that starts with a later epoch: the loops are not to
    # look for where they were cut off.
    loop.restarting = False
    for part in (loop, loop.epoch_loop, loop.epoch_loop.val_loop):
        part.on_iteration_done()
    trainer.should_stop = state["should_stop"]
    set_random_state(state["random"])


def _callback_state(callback: Callback) -> tuple[dict[str, Any], int | None]:
    """State of a callback; the early stopping of scvi-tools keeps its warm-up out of its own."""
    return callback.state_dict(), getattr(callback, "_current_step", None)


def _history(trainer: Trainer) -> list[tuple[str, str, int, Any]]:
    """Return metric, name of the axis, place on it and value, of all that was logged."""
    logged = getattr(getattr(trainer.logger, "experiment", None), "data", {})
    return [
        (metric, str(table.index.name), int(place), value)
        for metric, table in logged.items()
        for place, value in table[metric].items()
    ]
