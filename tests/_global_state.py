"""The state of the process that belongs to the caller, and that no function may change."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def global_state() -> dict[str, Any]:
    """Random states of numpy, Python and torch, and how torch and numpy are set."""
    return {
        "numpy": np.random.get_state(),  # noqa: NPY002
        "python": random.getstate(),
        "torch": torch.random.get_rng_state().numpy().copy(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
        "grad": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "errors": np.geterr(),
    }
