"""Small networks for age: a multilayer perceptron and a supervised autoencoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from ...pp._clock_input import READ_ROWS
from .._runner import one_thread, seeded
from ._inputs import Matrix
from ._tuned import Path, Regression, check_grid

N_EPOCHS = (5, 10, 20, 40)
BATCH = 128


class _Perceptron(nn.Module):
    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features, 64),
            nn.LayerNorm(64),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(64, 32),
            nn.ReLU(),
            nn.Linear(32, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).squeeze(1)

    def loss(self, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        return (weight * (self(x) - y) ** 2).mean()


class _Autoencoder(nn.Module):
    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(n_features, 64), nn.LayerNorm(64), nn.ReLU(), nn.Linear(64, 16)
        )
        self.decoder = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, n_features))
        self.age = nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.age(self.encoder(x)).squeeze(1)

    def loss(self, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        latent = self.encoder(x)
        age = (weight * (self.age(latent).squeeze(1) - y) ** 2).mean()
        return age + (weight[:, None] * (self.decoder(latent) - x) ** 2).mean()


class _Network(Regression):
    default_input = "cells"
    network: type[_Perceptron] | type[_Autoencoder]

    def __init__(self, n_epochs: Sequence[int] = N_EPOCHS) -> None:
        self.n_epochs = check_grid("n_epochs", n_epochs)
        self.n_grid = len(self.n_epochs)

    def fit(self, x: Matrix, y: np.ndarray, weight: np.ndarray, seed: int) -> Path:
        """Train once and keep the network after every number of epochs; see `Regression`."""
        # One scale for all features: one for each would blow up those that are mostly noise.
        squares = x.multiply(x) if sp.issparse(x) else x**2
        variance = np.asarray(squares.mean(axis=0) - np.square(x.mean(axis=0))).ravel()
        scale = float(np.sqrt(variance[variance > 0].mean())) if (variance > 0).any() else 1.0
        target, weights = (torch.from_numpy(a.astype(np.float32)) for a in (y, weight))
        order = np.random.default_rng(seed)
        states = []
        with seeded(seed), one_thread():
            network = self.network(x.shape[1])
            optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
            for epoch in range(1, max(self.n_epochs) + 1):
                shuffled = order.permutation(len(y))
                for batch in np.array_split(shuffled, max(1, len(y) // BATCH)):
                    optimizer.zero_grad()
                    network.loss(_tensor(x[batch], scale), target[batch], weights[batch]).backward()
                    optimizer.step()
                if epoch in self.n_epochs:
                    state = network.state_dict()
                    states.append({name: value.clone() for name, value in state.items()})

        def path(x: Matrix) -> np.ndarray:
            with one_thread(), torch.inference_mode():
                return np.stack([self._apply(x, scale, state) for state in states])

        return path

    def _apply(self, x: Matrix, scale: float, state: dict[str, Tensor]) -> np.ndarray:
        with torch.random.fork_rng(devices=[]):  # the random start is overwritten at once
            network = self.network(x.shape[1]).eval()
        network.load_state_dict(state)
        blocks = [
            network(_tensor(x[start : start + READ_ROWS], scale)).numpy()
            for start in range(0, x.shape[0], READ_ROWS)
        ]
        return np.concatenate(blocks).astype(np.float64)


class Perceptron(_Network):
    """Multilayer perceptron with 64 and 32 hidden units.

    Parameters
    ----------
    n_epochs
        Numbers of epochs to choose from.
    """

    network = _Perceptron


class SupervisedAutoencoder(_Network):
    """Autoencoder whose 16 latent numbers also predict age.

    L. Le, A. Patterson, M. White, *Supervised autoencoders*, NeurIPS 2018.

    Parameters
    ----------
    n_epochs
        Numbers of epochs to choose from.
    """

    network = _Autoencoder


def _tensor(x: Matrix, scale: float) -> Tensor:
    dense = x.toarray() if sp.issparse(x) else x
    return torch.from_numpy((dense / scale).astype(np.float32))
