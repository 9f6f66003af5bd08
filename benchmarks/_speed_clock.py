"""Figures of the age clock: prediction and a training step against the published network's."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import published_clock as pc
import torch
from _side_by_side import ROUNDS, in_turns, ratio, row, table
from torch import nn

from sctools.model._published_training import adam, step
from sctools.module import PublishedNetwork, TrainablePublishedNetwork

BATCH = 1024
"""Cells of a training step, as published."""


def prediction(quick: bool) -> pd.DataFrame:
    """Ages of the same normalised cells; and from raw counts, with all checks and matching."""
    rows = []
    for generation in pc.N_GENES if not quick else ("0.1.3",):
        seconds, errors = pc.measure(generation, 2 if quick else ROUNDS, 256 if quick else 2048)
        for way, asked in (("float32", "≥ 5"), ("float16", "≥ 10"), ("predict, float32", "")):
            name = f"clock prediction, {way} ({generation})"
            rows.append(ratio(name, seconds, way, pc.PUBLISHED, asked))
        error = [errors.loc["float32", "most"]]
        rows.append(
            row(f"largest difference, float32 ({generation})", pc.PUBLISHED, "years", error)
        )
    return table(rows)


def training(quick: bool) -> pd.DataFrame:
    """Time a training step on a batch of CSR rows, as `PublishedClock.train` makes it.

    The published one gets its batch dense for nothing: what it takes to make it so is not counted.
    Gradients are compared without dropout (the tests do so with it).
    """
    n_cells = 64 if quick else BATCH
    adata = pc.cells(n_cells, "0.1.3", np.random.default_rng(0))
    x, codes = pc.normalized(adata)
    codes = torch.from_numpy(codes)
    age = torch.from_numpy(np.random.default_rng(1).uniform(20, 80, n_cells)).float()
    torch.manual_seed(0)
    network = PublishedNetwork(pc.N_GENES["0.1.3"], generation="0.1.3")
    nn.init.normal_(network.feature_gate.weights, 1, 0.3)
    dense = torch.from_numpy(x.toarray())
    formatted = torch.cat([codes.float(), dense], dim=1)

    rows = []
    for kind, limit in ((torch.float64, "≤ 1e-6"), (torch.float32, "")):
        error = gradient_error(network, x, codes, age, kind)
        name = f"gradients, largest relative difference ({str(kind).removeprefix('torch.')})"
        rows.append(row(name, "layer by layer, float64", "of the norm", [error], limit))

    path = pc.PublishedPath(copy.deepcopy(network)).train()
    plain = torch.optim.Adam(path.parameters(), lr=1e-3)
    ours = TrainablePublishedNetwork(network).train()
    optimizer = adam(ours, 1e-3)

    def published() -> None:
        plain.zero_grad()
        nn.functional.mse_loss(path(formatted).squeeze(1), age).backward()
        plain.step()

    ways = {
        "published step": published,
        "sparse": lambda: step(ours, optimizer, x, codes, age),
    }
    seconds = in_turns(ways, 2 if quick else ROUNDS)
    figure = f"clock training step, {pc.N_GENES['0.1.3']:,} genes, {n_cells:,} cells"
    return table([ratio(figure, seconds, "sparse", "published step", "≥ 3"), *rows])


def gradient_error(
    network: PublishedNetwork,
    x: object,
    codes: torch.Tensor,
    age: torch.Tensor,
    kind: torch.dtype,
) -> float:
    """Largest difference of any gradient to the layers' in float64, relative to its norm."""
    layers = copy.deepcopy(network).double().eval()
    dense = torch.from_numpy(x.toarray()).double()
    nn.functional.mse_loss(layers(dense, codes), age.double()).backward()
    ours = TrainablePublishedNetwork(copy.deepcopy(network).to(kind)).eval()
    rows = x.astype(str(kind).removeprefix("torch."))
    nn.functional.mse_loss(ours(rows, codes), age.to(kind)).backward()
    found = dict(ours.network.named_parameters())
    errors = []
    for name, parameter in layers.named_parameters():
        mine = found[name].grad
        if found[name] is ours.network.projection_.weight:
            mine = ours.table.grad.T
        if parameter.grad.norm() > 0:
            errors.append(float((mine - parameter.grad).norm() / parameter.grad.norm()))
    return max(errors)
