"""The age clock as a scvi-tools module: gated networks with the statistics of their input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from torch import Tensor, nn

from ._gated_network import FoldedNetwork, GatedNetwork

CLIP = 8.0
"""Largest input of a network, in standard deviations of a pseudocell."""


class ClockPart(nn.Module):
    """Networks and a ridge regression that share a training set, with what they need around them.

    A clock that was trained once has one part; the mean of cross-fitted clocks has one per fold.

    Parameters
    ----------
    genes
        Positions of the part's genes among the clock's genes, shape (genes,).
    n_categories
        Codes of each covariate, unknown included; the first covariate is the cell type.
    n_members
        Number of networks.
    network
        Settings of :class:`GatedNetwork`; also ``gate_per_type``, which gives each cell type gates
        of its own, and ``input_dropout_rate`` of gene values in training.
    n_shares
        Number of the clock's genes, to keep their shares of the counts.
    """

    genes: Tensor
    cap: Tensor
    center: Tensor
    scale: Tensor
    age: Tensor
    share: Tensor
    ridge: Tensor
    ridge_intercept: Tensor
    donor_line: Tensor
    cell_line: Tensor

    def __init__(
        self,
        genes: Tensor,
        n_categories: Sequence[int],
        n_members: int,
        network: dict[str, Any],
        *,
        n_shares: int = 0,
    ) -> None:
        super().__init__()
        n_genes = len(genes)
        network = dict(network)
        self.input_dropout = nn.Dropout(network.pop("input_dropout_rate", 0.0))
        n_gates = n_categories[0] if network.pop("gate_per_type", False) else 1
        members = (
            GatedNetwork(n_genes, n_categories, n_gates=n_gates, **network)
            for _ in range(n_members)
        )
        self.members = cast("Sequence[GatedNetwork]", nn.ModuleList(members))
        self.register_buffer("genes", genes)
        # Largest stored value that counts. On stored values, so that zeros stay zero.
        self.register_buffer("cap", torch.full((n_genes,), torch.inf))
        self.register_buffer("center", torch.zeros(n_categories[0], n_genes))
        self.register_buffer("scale", torch.ones(n_genes))
        # Mean and standard deviation of age: the networks' output is in standard deviations.
        self.register_buffer("age", torch.tensor([0.0, 1.0], dtype=torch.float64))
        # Mean share of a cell's counts for each of the clock's genes; empty where unknown.
        self.register_buffer("share", torch.zeros(n_shares))
        # Weights of a donor's standardised means, all types side by side, and their intercept.
        self.register_buffer("ridge", torch.zeros(n_categories[0], n_genes))
        self.register_buffer("ridge_intercept", torch.zeros((), dtype=torch.float64))
        # From outputs to age: intercept and slopes of networks and ridge, for donors; intercept
        # and slope of the networks, for single cells.
        self.register_buffer("donor_line", torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))
        self.register_buffer("cell_line", torch.tensor([0.0, 1.0], dtype=torch.float64))

    def standardize(self, x: Tensor, codes: Tensor) -> Tensor:
        """Centre and scale capped values the way the networks expect them."""
        return (x - self.center[codes[:, 0]]) * self.scale

    def forward(self, x: Tensor, codes: Tensor) -> Tensor:
        """Output of every network for capped values ``x``: shape (members, rows)."""
        # One mask for all members: drawing it is a large part of a step.
        z = self.input_dropout(self.standardize(x, codes))
        return torch.stack([member(z, codes) for member in self.members])


class FoldedPart(nn.Module):
    """A :class:`ClockPart` folded for CSR rows.

    Parameters
    ----------
    part
        The part.
    present
        Which of its genes the data have; the others count as average for the cell type. ``None``:
        all.
    """

    ridge: Tensor
    ridge_offset: Tensor

    def __init__(self, part: ClockPart, present: Tensor | None = None) -> None:
        super().__init__()
        # A missing gene reads 0: without a centre, that is the average.
        center = part.center if present is None else part.center * present
        folded = (
            FoldedNetwork(member, scale=part.scale, centers=center * part.scale)
            for member in part.members
        )
        self.folded = cast("Sequence[FoldedNetwork]", nn.ModuleList(folded))
        self.hidden = part.members[0].projection.out_features
        self.width = self.hidden * len(self.folded)
        ridge = part.ridge.double() * part.scale
        self.register_buffer("ridge", ridge.float())
        self.register_buffer("ridge_offset", -(ridge * center).sum(dim=1))

    def project(self, indptr: Tensor, indices: Tensor, values: Tensor, codes: Tensor) -> Tensor:
        """Weighted sums of gene rows for CSR rows: shape (rows, members × hidden)."""
        kind = codes[:, 0].repeat_interleave(indptr.diff())
        return torch.cat([f.project(indptr, indices, values, kind) for f in self.folded], dim=1)

    def contribution(
        self, indptr: Tensor, indices: Tensor, values: Tensor, codes: Tensor
    ) -> Tensor:
        """Return what cells add to the ridge output of donor and type: (rows,), float64."""
        lengths = indptr.diff()
        kind = codes[:, 0].repeat_interleave(lengths)
        row = torch.arange(len(codes), device=codes.device).repeat_interleave(lengths)
        return self.ridge_offset[codes[:, 0]].index_add(
            0, row, self.ridge[kind, indices].double() * values
        )

    def outputs(self, projected: Tensor, codes: Tensor) -> Tensor:
        """Output of every member for projected rows: shape (members, rows)."""
        pieces = projected.split(self.hidden, dim=1)
        return torch.stack(
            [net.finish(piece, codes) for net, piece in zip(self.folded, pieces, strict=True)]
        )

    def finish(self, projected: Tensor, codes: Tensor) -> Tensor:
        """Mean output of the members for projected rows: shape (rows,), float64."""
        return self.outputs(projected, codes).double().mean(dim=0)


class AgeClockModule(BaseModuleClass):
    """Loss of an age clock over donors and pseudocells.

    Parameters
    ----------
    parts
        Settings of every :class:`ClockPart`.
    gate_l1
        Weight of the mean absolute gate.
    """

    def __init__(self, parts: Sequence[ClockPart], *, gate_l1: float = 0.01) -> None:
        super().__init__()
        self.parts = cast("Sequence[ClockPart]", nn.ModuleList(parts))
        self.gate_l1 = gate_l1

    def _get_inference_input(self, tensors: dict[str, Tensor], **_: Any) -> dict[str, Tensor]:
        return {"x": tensors["X"], "codes": tensors["codes"]}

    def _get_generative_input(
        self, tensors: dict[str, Tensor], inference_outputs: dict[str, Tensor], **_: Any
    ) -> dict[str, Tensor]:
        return {
            "cell": inference_outputs["cell"],
            "unit": tensors["unit"],
            "weight": tensors["weight"],
        }

    @auto_move_data
    def inference(self, x: Tensor, codes: Tensor) -> dict[str, Tensor]:
        """Output of every member for every pseudocell: shape (members, pseudocells)."""
        return {"cell": self.parts[0](x, codes)}

    @auto_move_data
    def generative(self, cell: Tensor, unit: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """Weighted mean over the pseudocells of every unit: shape (members, units)."""
        n_units = int(unit.max()) + 1
        total = torch.zeros(n_units, dtype=weight.dtype, device=weight.device)
        total = total.index_add(0, unit, weight)
        sums = cell.new_zeros(len(cell), n_units).index_add(1, unit, cell * weight)
        return {"unit": sums / total}

    def loss(
        self,
        tensors: dict[str, Tensor],
        inference_outputs: dict[str, Tensor],
        generative_outputs: dict[str, Tensor],
    ) -> LossOutput:
        """Squared error per unit and per pseudocell, over the units that a member may learn from.

        ``tensors["learns"]`` (members × units) says which units those are.
        """
        age, unit = tensors["age"], tensors["unit"]
        learns = tensors["learns"]
        of_unit = _mean_over((generative_outputs["unit"] - age) ** 2, learns)
        of_cell = _mean_over((inference_outputs["cell"] - age[unit]) ** 2, learns[:, unit])
        error = (of_unit + of_cell).sum()
        penalty = torch.stack([m.gate_penalty() for m in self.parts[0].members]).sum()
        return LossOutput(
            loss=error + self.gate_l1 * penalty,
            n_obs_minibatch=len(unit),
            extra_metrics={"error": error / len(of_unit)},
        )


def _mean_over(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean of each row over the chosen columns; 0 where a small batch holds none of them."""
    return (values * chosen).sum(1) / chosen.sum(1).clamp(min=1)
