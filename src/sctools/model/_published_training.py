"""Further training of a published clock on raw AnnData, on CSR rows throughout."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from .._arguments import check_whole
from .._settings import settings
from .._validate import check_obs_key
from ..module import PublishedNetwork, TrainablePublishedNetwork
from ..pp._clock_categories import CategoryMatch
from ..pp._clock_input import READ_ROWS
from ..pp._cohort import read_ages
from ..pp._expression import describe, get_expression, row_blocks
from ..pp._map_blocks import Prepare
from ..pp._match_genes import GeneMatch
from ..pp._whole_depth import WholeDepth, median_depth
from ._age_clock_storage import hash_name
from ._further_training import FurtherTraining
from ._runner import progress, seeded

if TYPE_CHECKING:
    from anndata import AnnData


class PublishedTraining:
    """Training of :class:`PublishedClock`."""

    network: PublishedNetwork
    genes: list[str]
    target_sum: float | Literal["median"]
    trained_on: list[str]
    trained_further: list[FurtherTraining]
    history: pd.DataFrame | None
    _folded: dict[str, Any]
    match_genes: Callable[..., GeneMatch]
    _match: Callable[..., dict[str, CategoryMatch]]
    _warn: Callable[[GeneMatch, dict[str, CategoryMatch], int], None]

    def train(
        self,
        adata: AnnData,
        max_epochs: int = 1,
        *,
        age_key: str = "age",
        donor_key: str | None = "donor_id",
        cell_type_key: str | None = "cell_type",
        covariate_keys: Sequence[str] | Mapping[str, str] | None = None,
        layer: str | None = None,
        log_normalized: bool = False,
        gene_key: str | None = None,
        min_coverage: float = 0.5,
        batch_size: int = 1024,
        lr: float = 1e-3,
        gate_l1: float = 0.0,
        gate_l2: float = 0.0,
        rng: int | np.random.Generator | None = 0,
        progress_bar: bool | None = None,
    ) -> None:
        """Train the network further, on single cells of a known age, as published.

        Squared error of the age in years, Adam, random batches of cells. Cells stay sparse from
        the file to the first layer: a step is several times faster than layer by layer on dense
        batches, with the same gradients up to rounding. It runs on the CPU, on torch's threads, and
        holds the normalised cells in memory. The clock changes once training is over; if it is
        interrupted, nothing has changed. Afterwards its weights are not the published ones any
        more: ``trained_further`` says so, saved clocks keep it, and :func:`sctools.tl.age_clock`
        records it with its results.

        Errors on these donors say little afterwards: keep some donors out. For a clock that is
        cross-fitted over donors and stops early, use :func:`sctools.tl.age_clock` without a model.

        Parameters
        ----------
        adata
            Annotated data, in memory or backed, with all genes that were counted. It is not
            changed. Cells without an age are left out.
        max_epochs
            Passes through the cells; one, as published.
        age_key
            Column of ``obs`` with ages in years (NaN where unknown).
        donor_key
            Column of ``obs`` with donors, for :meth:`has_seen`. ``None`` keeps no account of them.
        cell_type_key, covariate_keys, layer, log_normalized, gene_key, min_coverage
            As in :meth:`predict`.
        batch_size
            Cells per step.
        lr
            Learning rate.
        gate_l1, gate_l2
            Weights of the sum of absolute gates, and of the square root of their sum of squares,
            in the loss. They are not divided by the number of genes, as published.
        rng
            Seed or generator of batches and dropout. The global random state is left as it was.
        progress_bar
            Show a progress bar. ``None`` follows ``sctools.settings.progress_bar``.

        Raises
        ------
        KeyError
            A column or layer is missing.
        RuntimeError
            If training diverges.
        TypeError
            Ages are not numbers.
        ValueError
            No cell has an age, too few genes are found, no cell has a known category, values are
            not what was declared, or an argument is out of range.
        """
        check_whole(max_epochs, "max_epochs")
        check_whole(batch_size, "batch_size")
        if not 0 < lr < np.inf:
            raise ValueError(f"`lr` must be positive, found {lr}.")
        for name, weight in {"gate_l1": gate_l1, "gate_l2": gate_l2}.items():
            if not 0 <= weight < np.inf:
                raise ValueError(f"`{name}` must not be negative, found {weight}.")
        ages = read_ages(adata, age_key)
        if donor_key is not None:
            check_obs_key(adata, donor_key, argument="donor_key")
        chosen = np.isfinite(ages)
        if not chosen.any():
            raise ValueError(
                f"Expected ages in `adata.obs[{age_key!r}]`, found none. Name the column with ages "
                "(`age_key=`)."
            )
        if self.target_sum == "median" and log_normalized:
            raise ValueError(
                "A clock with `target_sum='median'` needs counts: the depth of log-normalised "
                "cells is lost. Pass the layer with counts (`layer=`)."
            )
        match = self.match_genes(adata, gene_key=gene_key, min_coverage=min_coverage)
        categories = self._match(adata, cell_type_key, covariate_keys)
        x, empty = self._rows(adata, match, chosen, layer, log_normalized)
        codes = np.column_stack([found.codes for found in categories.values()])[chosen]
        self._warn(match, categories, empty)

        rng = np.random.default_rng(rng)
        network = TrainablePublishedNetwork(self.network)
        shown = settings.progress_bar if progress_bar is None else progress_bar
        errors = []
        with seeded(int(rng.integers(2**31))), progress(shown and max_epochs, "clock") as tick:
            for error in fit(
                network,
                x,
                torch.from_numpy(codes),
                torch.from_numpy(ages[chosen].astype(np.float32)),
                max_epochs=max_epochs,
                batch_size=batch_size,
                lr=lr,
                gate_l1=gate_l1,
                gate_l2=gate_l2,
                rng=rng,
            ):
                errors.append(error)
                if tick is not None:
                    tick()
        self.network, self._folded = network.trained(), {}
        self.history = pd.DataFrame({"train_error": errors}, index=pd.RangeIndex(len(errors)))
        self.history.index.name = "epoch"
        if donor_key is not None:
            donors = set(map(hash_name, adata.obs[donor_key][chosen].dropna().unique()))
            self.trained_on = sorted(donors.union(self.trained_on))
        self.trained_further = [
            *self.trained_further,
            FurtherTraining(
                int(max_epochs), int(chosen.sum()), None if donor_key is None else len(donors)
            ),
        ]

    def has_seen(self, donors: Iterable[object]) -> np.ndarray:
        """Whether donors of these names were trained on by :meth:`train`.

        The published clock itself was trained on CELLxGENE and lists no donors. Donors whose cells
        are there may have been among them.

        Parameters
        ----------
        donors
            Names of donors.

        Returns
        -------
        One value per name, bool.
        """
        return np.array([hash_name(donor) in self.trained_on for donor in donors], dtype=bool)

    def _rows(
        self,
        adata: AnnData,
        match: GeneMatch,
        chosen: np.ndarray,
        layer: str | None,
        log_normalized: bool,
    ) -> tuple[sp.csr_matrix, int]:
        """Normalised values of the chosen cells, genes as in the network; how many are empty."""
        matrix, where = get_expression(adata, layer, lazy=True), describe(layer)
        target_sum = self.target_sum
        if target_sum == "median":
            target_sum = median_depth(row_blocks(matrix, READ_ROWS), where=where)
        found = np.flatnonzero(match.columns >= 0)
        genes = found[np.argsort(match.columns[found])]
        normalize = WholeDepth(
            match.columns[genes],
            adata.n_vars,
            target_sum=float(target_sum),
            log_normalized=log_normalized,
        )
        prepare = Prepare(where, log_normalized, normalize)
        blocks, empty = [], 0
        for start, block in row_blocks(matrix, READ_ROWS):
            keep = chosen[start : start + block.shape[0]]
            x, totals = prepare(block[keep])
            blocks.append(x)
            empty += int((totals == 0).sum())
        x = sp.vstack(blocks, format="csr")
        x = sp.csr_matrix(
            (x.data, genes.astype(np.int32)[x.indices], x.indptr), (x.shape[0], len(self.genes))
        )
        x.sort_indices()  # sums are fastest so
        return x, empty


def fit(
    network: TrainablePublishedNetwork,
    x: sp.csr_matrix,
    codes: torch.Tensor,
    age: torch.Tensor,
    *,
    max_epochs: int,
    batch_size: int,
    lr: float,
    gate_l1: float,
    gate_l2: float,
    rng: np.random.Generator,
) -> Iterator[float]:
    """Train, and give the mean squared error of each epoch's steps."""
    network.train()
    optimizer = adam(network, lr)
    for _ in range(max_epochs):
        order = rng.permutation(len(age))
        total = 0.0
        for start in range(0, len(order), batch_size):
            cells = order[start : start + batch_size]
            error = step(network, optimizer, x[cells], codes[cells], age[cells], gate_l1, gate_l2)
            if not math.isfinite(error):
                raise RuntimeError(
                    "Training diverged: the error is no number any more. Train with a lower "
                    "learning rate (`lr=`), after looking for outlying ages and counts. The clock "
                    "is as it was."
                )
            total += error * len(cells)
        yield total / len(order)


def adam(network: TrainablePublishedNetwork, lr: float) -> torch.optim.Adam:
    """Adam over all that learns, in one pass over memory."""
    return torch.optim.Adam(
        [parameter for parameter in network.parameters() if parameter.requires_grad],
        lr=lr,
        fused=True,
    )


def step(
    network: TrainablePublishedNetwork,
    optimizer: torch.optim.Optimizer,
    x: sp.csr_matrix,
    codes: torch.Tensor,
    age: torch.Tensor,
    gate_l1: float = 0.0,
    gate_l2: float = 0.0,
) -> float:
    """One step on a batch of cells; return its mean squared error before the step."""
    optimizer.zero_grad()
    error = torch.nn.functional.mse_loss(network(x, codes), age)
    loss, gates = error, network.network.feature_gate.weights
    if gate_l1:
        loss = loss + gate_l1 * gates.abs().sum()
    if gate_l2:
        loss = loss + gate_l2 * torch.linalg.vector_norm(gates)
    loss.backward()
    optimizer.step()
    return error.item()
