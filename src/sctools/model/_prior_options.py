"""Settings of the prior transformer, checked, and its default number of epochs."""

from __future__ import annotations

import math
from typing import Any

from .._arguments import check_choice

PRIORS = ("hard", "soft", "none", "shuffled")

N_STEPS = 500
"""Steps that a training takes by default, within the epochs below."""
MIN_EPOCHS, MAX_EPOCHS = 15, 100

DENSE_BYTES = 8 * 2**30
"""Most memory that attention of every gene to every gene may take."""


def check_options(options: dict[str, Any]) -> None:
    """Raise on settings that are unknown or out of range."""
    check_choice(options["prior"], PRIORS, "prior")
    for name in ("n_hidden", "n_heads", "n_layers"):
        value = options[name]
        if isinstance(value, bool) or int(value) != value or value < 1:
            raise ValueError(f"`{name}` must be a whole number of at least 1, found {value!r}.")
    if options["n_hidden"] % options["n_heads"] or options["n_hidden"] == options["n_heads"]:
        raise ValueError(
            f"`n_heads` must divide `n_hidden` and be smaller, found {options['n_heads']} and "
            f"{options['n_hidden']}."
        )
    for name in ("mask_rate", "dropout_rate", "label_smoothing"):
        if not 0 <= options[name] < 1:
            raise ValueError(f"`{name}` must lie in [0, 1), found {options[name]!r}.")
    for name in ("reconstruction_weight", "soft_penalty"):
        if not 0 <= options[name] < math.inf:
            raise ValueError(f"`{name}` must not be negative, found {options[name]!r}.")


def check_dense_memory(prior: str, n_genes: int, n_heads: int, batch_size: int) -> None:
    """Refuse attention of every gene to every gene where it would not fit in memory."""
    if prior not in ("soft", "none"):
        return
    # Where no fused kernel applies, logits and weights of a batch are there at once, twice.
    needed = 4 * batch_size * n_heads * n_genes**2 * 4
    if needed > DENSE_BYTES:
        largest = int(math.sqrt(DENSE_BYTES / (16 * batch_size * n_heads)))
        raise ValueError(
            f"`prior={prior!r}` lets every gene attend to every gene: about "
            f"{needed / 2**30:.0f} GiB for {n_genes} genes in batches of {batch_size}, over the "
            f"limit of {DENSE_BYTES / 2**30:.0f} GiB. Take at most {largest} genes "
            "(`n_top_genes=`, `min_cells=`), smaller batches (`batch_size=`), or `prior='hard'`, "
            "whose cost grows with the edges alone."
        )


def default_epochs(n_cells: int, batch_size: int) -> int:
    """Epochs that make about 500 steps, from 15 to 100."""
    per_epoch = max(1, n_cells // batch_size)
    return min(MAX_EPOCHS, max(MIN_EPOCHS, round(N_STEPS / per_epoch)))
