"""How long a VAE trains, and how its KL divergence is warmed up."""

from __future__ import annotations

from typing import NamedTuple

MAX_EPOCHS = 200
MIN_EPOCHS = 10
N_OBS_AT_MAX = 20_000


class Schedule(NamedTuple):
    """Length of a training.

    Attributes
    ----------
    max_epochs
        Passes through the data.
    n_epochs_kl_warmup
        Epochs until the KL divergence has its full weight: half of all, so that it always has.
        With a single epoch there is no warm-up.
    """

    max_epochs: int
    n_epochs_kl_warmup: int


def schedule(n_obs: int, max_epochs: int | None = None) -> Schedule:
    """Return the schedule for so many cells.

    Parameters
    ----------
    n_obs
        Number of cells.
    max_epochs
        Epochs that the user asked for. By default 200 up to 20,000 cells, then as many as keep the
        number of training steps, and never fewer than 10.
    """
    if max_epochs is None:
        max_epochs = max(MIN_EPOCHS, min(MAX_EPOCHS, round(MAX_EPOCHS * N_OBS_AT_MAX / n_obs)))
    return Schedule(max_epochs, max_epochs // 2)
