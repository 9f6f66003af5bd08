"""Training of an age clock: lockstep of the members, stopping by pooled held-out donors."""

from __future__ import annotations

from typing import Any

import torch
from scvi.train import TrainingPlan
from torch import Tensor

from ..module import AgeClockModule


def held_out_output(outputs: Tensor, learns: Tensor) -> Tensor:
    """Mean output per unit over the members that did not learn from it: shape (units,)."""
    held_out = (1 - learns).to(outputs)
    return (outputs * held_out).sum(0) / held_out.sum(0)


def unexplained(output: Tensor, age: Tensor) -> Tensor:
    """``1 − r²`` of output and age, 1 where they do not go together; scale does not matter."""
    x, y = output - output.mean(), age - age.mean()
    norm = torch.sqrt((x**2).sum() * (y**2).sum())
    r = (x * y).sum() / norm if norm > 0 else torch.zeros(())
    return 1 - r.clamp(min=0) ** 2


class AgeTrainingPlan(TrainingPlan):
    """Optimises all members at once with AdamW; validates each on the donors held out from it.

    Parameters
    ----------
    module
        The module.
    lr
        Learning rate.
    weight_decay
        Weight decay.
    """

    def __init__(self, module: AgeClockModule, *, lr: float, weight_decay: float) -> None:
        super().__init__(
            module,
            lr=lr,
            weight_decay=weight_decay,
            optimizer="Custom",
            optimizer_creator=lambda parameters: torch.optim.AdamW(
                parameters, lr=lr, weight_decay=weight_decay, fused=True
            ),
        )

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Pass through to the module."""
        return self.module(*args, **kwargs)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Loss of one batch of donors."""
        _, _, losses = self.forward(batch)
        self.log(
            "train_loss",
            losses.extra_metrics["error"],
            on_step=False,
            on_epoch=True,
            batch_size=losses.n_obs_minibatch,
            sync_dist=self.use_sync_dist,
        )
        return losses.loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Part of the age variance that the pooled held-out predictions leave unexplained."""
        _, generated = self.module(batch, compute_loss=False)
        output = held_out_output(generated["unit"], batch["learns"])
        self.log("validation_loss", unexplained(output, batch["age"]), on_epoch=True, batch_size=1)
