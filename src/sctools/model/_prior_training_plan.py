"""Training of the prior transformer: optimiser, schedule, and what validation cells tell."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scvi.train import TrainingPlan
from sklearn.metrics import f1_score
from torch import Tensor
from torch.nn import functional as F

from ..module import PriorTransformerModule

MONITOR = "misfit_validation"
"""What training stops by: lower is better."""

WARM_UP = 0.1
"""Share of the steps over which the learning rate rises."""


class PriorTrainingPlan(TrainingPlan):
    """AdamW with warm-up and cosine, in two groups.

    The embedding starts as principal components, which fast learning from few labels would spoil;
    what belongs to a single edge, gene or class sees little data and has to learn faster.

    Parameters
    ----------
    module
        The module.
    lr
        Learning rate of what all genes share.
    lr_direct
        Learning rate of the classifier, the decoder, the biases of edges, and the weights of
        abundance.
    weight_decay
        Weight decay.
    n_steps
        Steps of the whole training.
    """

    def __init__(
        self,
        module: PriorTransformerModule,
        *,
        lr: float,
        lr_direct: float,
        weight_decay: float,
        n_steps: int,
    ) -> None:
        super().__init__(module, lr=lr, weight_decay=weight_decay)
        self.lr_direct = lr_direct
        self.n_steps = n_steps
        self._validated: list[tuple[Tensor, Tensor]] = []

    def configure_optimizers(self) -> Any:
        """AdamW over two groups of parameters, and the schedule."""
        quick: list[torch.nn.Parameter] = []
        rest: list[torch.nn.Parameter] = []
        for name, parameter in self.module.named_parameters():
            is_quick = name.startswith(("classifier", "decoder")) or name.endswith(
                ("edge_bias", "abundance")
            )
            (quick if is_quick else rest).append(parameter)
        optimizer = torch.optim.AdamW(
            [{"params": rest, "lr": self.lr}, {"params": quick, "lr": self.lr_direct}],
            weight_decay=self.weight_decay,
            fused=True,
        )
        warm = max(1, round(WARM_UP * self.n_steps))

        def factor(step: int) -> float:
            cosine = 0.5 * (1 + math.cos(math.pi * min(step / self.n_steps, 1)))
            return min((step + 1) / warm, 1.0) * max(cosine, 1e-3)

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Pass through to the module."""
        return self.module(*args, **kwargs)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Loss of one batch of cells."""
        _, _, losses = self.forward(batch)
        self.log(
            "loss_train",
            # What is measured on validation cells; hidden values are no part of it.
            losses.extra_metrics["cross_entropy"].detach(),
            on_step=False,
            on_epoch=True,
            batch_size=losses.n_obs_minibatch,
            sync_dist=self.use_sync_dist,
        )
        return losses.loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Collect logits."""
        _, generated = self.module(batch, compute_loss=False)
        self._validated.append((generated["logits"].cpu(), batch["labels"].cpu()))

    def on_validation_epoch_end(self) -> None:
        """Loss, accuracy and macro-F1 over all validation cells at once."""
        if not self._validated:
            return
        logits, labels = (torch.cat(parts) for parts in zip(*self._validated, strict=True))
        self._validated = []
        loss = F.cross_entropy(logits, labels, weight=self.module.class_weight.cpu())
        predicted = logits.argmax(1)
        f1 = macro_f1(labels.numpy(), predicted.numpy())
        values = {
            "loss_validation": loss,
            "accuracy_validation": (predicted == labels).float().mean(),
            "macro_f1_validation": f1,
            # Macro-F1 moves in steps where cells are few; the loss tells equals apart.
            MONITOR: 1 - f1 + 0.05 * loss,
        }
        for name, value in values.items():
            self.log(name, torch.as_tensor(value, dtype=torch.float32), batch_size=len(labels))


def macro_f1(true: np.ndarray, predicted: np.ndarray) -> float:
    """Mean F1 over the classes that the true labels have."""
    present = np.unique(true)
    return float(f1_score(true, predicted, labels=present, average="macro", zero_division=0.0))
