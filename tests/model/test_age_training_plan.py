from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sctools.model._age_training_plan import held_out_output, unexplained
from sctools.model._keep_best import KeepBest


def test_held_out_output_is_the_mean_over_members_that_did_not_learn():
    outputs = torch.tensor([[1.0, 2, 3], [5, 6, 7], [9, 10, 11]])
    learns = torch.tensor([[1.0, 0, 1], [0, 1, 1], [0, 1, 0]])
    np.testing.assert_allclose(held_out_output(outputs, learns), [7, 2, 11])


def test_unexplained_is_one_minus_r_squared():
    rng = np.random.default_rng(0)
    age = rng.normal(size=30)
    output = age + rng.normal(size=30)
    r = np.corrcoef(age, output)[0, 1]
    found = unexplained(torch.from_numpy(output * 7 + 3), torch.from_numpy(age))
    assert float(found) == pytest.approx(1 - r**2)
    assert float(unexplained(torch.from_numpy(-output), torch.from_numpy(age))) == 1
    assert float(unexplained(torch.zeros(30), torch.from_numpy(age))) == 1


def watch(losses, patience, window=1, broadcast=lambda loss: loss):
    """Run the callback over ``losses``; the module's weight is the epoch."""
    callback = KeepBest(patience=patience, window=window)
    plan = SimpleNamespace(module=torch.nn.Linear(1, 1, bias=False))
    trainer = SimpleNamespace(callback_metrics={}, current_epoch=0, should_stop=False)
    trainer.strategy = SimpleNamespace(broadcast=broadcast)
    for epoch, loss in enumerate(losses):
        torch.nn.init.constant_(plan.module.weight, epoch)
        trainer.current_epoch, trainer.callback_metrics["validation_loss"] = epoch, loss
        callback.on_validation_end(trainer, plan)
        if trainer.should_stop:
            break
    callback.on_train_end(trainer, plan)
    return epoch, float(plan.module.weight.detach())


def test_the_best_state_comes_back():
    assert watch([3.0, 1.0, 2.0, 1.5], patience=10) == (3, 1)
    assert watch([3.0, 2.0, 1.0], patience=10) == (2, 2)


def test_training_stops_when_nothing_improves():
    assert watch([3.0, 1.0, 2.0, 2.0, 0.5], patience=2) == (3, 1)
    assert watch([3.0, 1.0, 2.0, 0.5, 2.0], patience=2) == (4, 3)
    assert watch([1.0, 1.0 - 1e-6, 1.0], patience=2) == (2, 0)  # an improvement has to count


def test_a_single_lucky_epoch_does_not_decide():
    losses = [3.0, 3.0, 0.5, 3.0, 1.0, 1.0, 1.0, 1.0]
    assert watch(losses, patience=10, window=3)[1] == 6


def test_the_first_of_several_devices_decides():
    first = iter([3.0, 1.0, 2.0, 2.0])
    assert watch([3.0, 2.0, 1.0, 0.5], patience=2, broadcast=lambda _: next(first)) == (3, 1)
