"""Arguments of the SRSA-VAE models: checks, and defaults that depend on each other."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .._arguments import check_choice
from ..module import ATTENTION, RESIDUAL

MIN_CELLS = 3
N_LATENT = 30
N_TOKENS = 32
N_BANK_CELLS = 256
MIXTURE_KL_WEIGHT = 2.0
LINEAR_WEIGHT = 1.0


def check_enough_cells(n_obs: int) -> None:
    """Raise ``ValueError`` where there are too few cells to train on."""
    if n_obs < MIN_CELLS:
        raise ValueError(f"Expected at least {MIN_CELLS} cells to train on, found {n_obs}.")


class Options(NamedTuple):
    """Arguments of a model whose defaults depend on others."""

    n_latent: int
    n_tokens: int
    kl_z_weight: float
    linear_weight: float


def check_options(
    *,
    attention: str,
    residual: str,
    prior: str,
    encoder: str,
    latent_distribution: str,
    n_hidden: int,
    n_latent: int | None,
    n_tokens: int | None,
    n_heads: int,
    n_components: int,
    kl_z_weight: float | None,
    linear_weight: float | None,
    plain_n_latent: int,
) -> Options:
    """Check the constructor's arguments and settle those left to ``None``.

    ``plain_n_latent`` is the default of scvi-tools, which goes with its encoder.
    """
    for name, value, known in (
        ("attention", attention, ATTENTION),
        ("residual", residual, RESIDUAL),
        ("prior", prior, ("mixture", "normal")),
        ("encoder", encoder, ("srsa", "scvi")),
    ):
        check_choice(value, known, name)
    if n_latent is None:
        n_latent = N_LATENT if encoder == "srsa" else plain_n_latent
    if kl_z_weight is None:
        kl_z_weight = MIXTURE_KL_WEIGHT if prior == "mixture" else 1.0
    if linear_weight is None:
        linear_weight = LINEAR_WEIGHT if encoder == "srsa" else 0.0
    if n_tokens is None:
        n_tokens = N_BANK_CELLS if attention == "minibatch" else N_TOKENS
    sizes: dict[str, Any] = {
        "n_hidden": n_hidden,
        "n_latent": n_latent,
        "n_tokens": n_tokens,
        "n_heads": n_heads,
        "n_components": n_components,
    }
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
            raise ValueError(f"`{name}` must be a whole number ≥ 1, found {size!r}.")
    weights: dict[str, Any] = {"kl_z_weight": kl_z_weight, "linear_weight": linear_weight}
    for name, weight in weights.items():
        if not isinstance(weight, int | float) or not math.isfinite(weight) or weight < 0:
            raise ValueError(f"`{name}` must be a number ≥ 0, found {weight!r}.")
    if attention != "none" and n_hidden % n_heads:
        raise ValueError(
            f"`n_hidden` must be a multiple of `n_heads`, found {n_hidden} and {n_heads}."
        )
    if attention == "none" and residual == "none":
        raise ValueError(
            "`attention='none'` with `residual='none'` leaves nothing to encode. Keep one of them."
        )
    if encoder == "scvi" and (attention, residual) != ("none", "plain"):
        raise ValueError(
            "`encoder='scvi'` is the encoder of scvi-tools as it is: it goes with "
            f"`attention='none', residual='plain'`, found {attention!r} and {residual!r}."
        )
    if encoder == "scvi" and linear_weight:
        raise ValueError(
            "`encoder='scvi'` is scvi-tools as it is: it goes with `linear_weight=0`, found "
            f"{linear_weight!r}."
        )
    if prior == "mixture" and latent_distribution != "normal":
        raise ValueError(
            "`prior='mixture'` needs `latent_distribution='normal'`, found "
            f"{latent_distribution!r}. Take `prior='normal'` with it."
        )
    return Options(n_latent, n_tokens, kl_z_weight, linear_weight)
