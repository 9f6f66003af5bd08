"""Speed of SRSA-VAE beside scVI's (CBMC: totalVI's): both take turns in one process.

Seconds are those of the CPU, on one thread, so that other processes count little.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
from _clustering_data import CITE, Dataset
from _clustering_methods import METHODS, VAE, Settings, encode
from _side_by_side import in_turns
from lightning.pytorch.callbacks import Callback

N_ROUNDS = 7
N_EPOCHS = 8
N_ENCODINGS = 5


class EpochTimer(Callback):
    """Seconds of every training epoch, validation included where there is one."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the clock."""
        self.start = time.process_time()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Stop it."""
        self.seconds.append(time.process_time() - self.start)


def speed(
    dataset: Dataset,
    settings: Settings,
    *,
    n_rounds: int = N_ROUNDS,
    n_epochs: int = N_EPOCHS,
    n_encodings: int = N_ENCODINGS,
) -> pd.DataFrame:
    """Ratios ours / reference, a row per round: epoch, whole training, encoding; the controls.

    Every round trains both afresh, in turned order, and then encodes with both in turn. An epoch is
    the median of a training without its first. The controls are in seconds.
    """
    names = ("totalvi", "srsa-cite") if dataset.name == CITE else ("scvi", "srsa")
    rows = []
    for seed in range(n_rounds):
        order = names if seed % 2 == 0 else names[::-1]
        models, epoch, training = {}, {}, {}
        for name in order:
            method = METHODS[name]
            if not isinstance(method, VAE):
                raise TypeError(f"Expected a VAE, found {name!r}.")
            models[name] = method.build(dataset.adata, settings, seed)
            timer = EpochTimer()
            start = time.process_time()
            method.train(models[name], settings, seed, max_epochs=n_epochs, callbacks=[timer])
            training[name] = time.process_time() - start
            epoch[name] = np.median(timer.seconds[1:])
        encoding: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(n_encodings):
            for name in order:
                encoding[name].append(encode(models[name])[0])
        reference, ours = names
        rows.append(
            {
                "data": dataset.name,
                "round": seed,
                "training_epoch": epoch[ours] / epoch[reference],
                "whole_training": training[ours] / training[reference],
                "encoding": np.median(encoding[ours]) / np.median(encoding[reference]),
                **in_turns({}, 1).iloc[0],
            }
        )
    return pd.DataFrame(rows)


def show_speed(table: pd.DataFrame) -> None:
    """Print medians over rounds with their range."""
    for data, part in table.groupby("data", sort=False):
        reference = METHODS["totalvi" if data == CITE else "scvi"].label
        print(f"{data}: SRSA-VAE / {reference}, median of {len(part)} rounds (least – most)")
        for name in ("training_epoch", "whole_training", "encoding"):
            values = part[name]
            text = f"{values.median():.2f} ({values.min():.2f} – {values.max():.2f})"
            print(f"  {name.replace('_', ' '):<16}{text}")
        print()
