"""Early stopping that keeps the best state in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor


class KeepBest(Callback):
    """Stop when a validation metric no longer falls, and go back to the best state.

    Parameters
    ----------
    patience
        Epochs without improvement after which training stops.
    window
        Epochs over which the loss is averaged: single values are noisy with few donors.
    min_delta
        Least improvement that counts.
    monitor
        Name of the metric, as it is logged.
    """

    def __init__(
        self,
        *,
        patience: int,
        window: int = 3,
        min_delta: float = 1e-4,
        monitor: str = "validation_loss",
    ) -> None:
        self.monitor = monitor
        self.patience = patience
        self.window = window
        self.min_delta = min_delta
        self.best_epoch = -1
        self._best_loss = np.inf
        self._recent: list[float] = []
        self._state: dict[str, Tensor] | None = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare with the best so far."""
        # On several devices all have to stop together, whatever their rounding says.
        found = trainer.strategy.broadcast(float(trainer.callback_metrics[self.monitor]))
        self._recent.append(found)
        loss = float(np.mean(self._recent[-self.window :]))
        if loss < self._best_loss - self.min_delta:
            self._best_loss, self.best_epoch = loss, trainer.current_epoch
            state = pl_module.module.state_dict()
            self._state = {name: value.detach().clone() for name, value in state.items()}
        elif trainer.current_epoch - self.best_epoch >= self.patience:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Return what a run that goes on has to know."""
        return {
            "best_epoch": self.best_epoch,
            "best_loss": float(self._best_loss),
            "recent": list(self._recent),
            "state": self._state,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go back to what :meth:`state_dict` returned."""
        self.best_epoch = state_dict["best_epoch"]
        self._best_loss = state_dict["best_loss"]
        self._recent = list(state_dict["recent"])
        self._state = state_dict["state"]

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go back to the best state."""
        if self._state is not None:
            pl_module.module.load_state_dict(self._state)
