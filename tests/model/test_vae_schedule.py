"""How long a VAE trains; nothing is trained here."""

from __future__ import annotations

import pytest
from scvi.train import TrainingPlan

from sctools.model._vae_schedule import MAX_EPOCHS, MIN_EPOCHS, schedule
from sctools.module import SRSAVAEModule

SIZES = [1_000, 3_000, 20_000, 20_001, 60_000, 200_000, 400_000, 1_000_000]


@pytest.fixture
def kl_weights(monkeypatch):
    """Weight of the KL divergence in every epoch of a schedule, by the plan of scvi-tools."""

    def weights(max_epochs, n_epochs_kl_warmup):
        plan = TrainingPlan(SRSAVAEModule(5), n_epochs_kl_warmup=n_epochs_kl_warmup)
        found = []
        for epoch in range(max_epochs):
            monkeypatch.setattr(TrainingPlan, "current_epoch", epoch, raising=False)
            found.append(float(plan.kl_weight))
        return found

    return weights


@pytest.mark.parametrize("n_obs", SIZES)
def test_kl_divergence_reaches_its_full_weight(n_obs, kl_weights):
    plan = schedule(n_obs)
    weights = kl_weights(*plan)
    assert weights[0] == 0
    assert weights[-1] == 1
    full = [weight == 1 for weight in weights]
    assert sum(full) >= plan.max_epochs / 2


@pytest.mark.parametrize("max_epochs", [1, 2, 3, 7])
def test_short_trainings_reach_it_too(max_epochs, kl_weights):
    plan = schedule(5_000, max_epochs)
    assert plan.max_epochs == max_epochs
    assert kl_weights(*plan)[-1] == 1


def test_the_schedule_of_scvi_would_not(kl_weights):
    """The fault that the schedule mends: the test above can fail."""
    assert kl_weights(schedule(100_000).max_epochs, 400)[-1] < 0.2


def test_number_of_epochs():
    epochs = [schedule(n_obs).max_epochs for n_obs in SIZES]
    assert epochs[:3] == [MAX_EPOCHS] * 3
    assert epochs[-1] == MIN_EPOCHS
    assert epochs == sorted(epochs, reverse=True)
    assert schedule(60_000).max_epochs == pytest.approx(MAX_EPOCHS / 3, abs=1)
