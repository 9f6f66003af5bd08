"""The network of scAgeClock as published, layer by layer and folded for sparse input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from .._validate import listing
from ._gated_network import SelfAttention
from ._row_sums import ROW_BYTES, add_row_sums

Precision = Literal["float32", "float16"]

N_CATEGORIES = (21, 664, 52, 3)
"""Codes of assay, cell type, general tissue and sex, as published."""

_ROWS = 512
"""Rows that each thread works on at a time, so that their sums stay in the cache."""


class Generation(NamedTuple):
    """How a generation of the published weights is laid out.

    Attributes
    ----------
    projection
        Name of the projection.
    head
        Name of the head.
    widths
        Widths of the head's hidden layers.
    n_genes
        Number of genes, as published.
    """

    projection: str
    head: str
    widths: tuple[int, ...]
    n_genes: int


GENERATIONS = {
    "0.1.2": Generation("projection", "fc", (128,), 19_179),
    "0.1.3": Generation("projection_layer", "predict_layer", (256, 128), 19_234),
}
"""The two generations by the version of the ``scageclock`` package that they belong to."""


class FeatureGate(nn.Module):
    """One factor per feature."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(n_features))

    def forward(self, u: Tensor) -> Tensor:
        """Scale the features of ``u`` (batch × features)."""
        return u * self.weights


class PublishedNetwork(nn.Module):
    """The network that scAgeClock's weights belong to, with their names and shapes.

    Embedded categories and gene values are gated, projected, layer-normalised, go through an
    "attention" block and a head to one age in years per cell. The block sees a sequence of length
    one: its softmax is over a single key, all its weights are 1 whatever the cell, and it is the
    affine map ``out_proj(value(z))``. Queries and keys are kept for compatibility alone and nothing
    of the block is to be shown as attention. :class:`FoldedPublishedNetwork` evaluates the same
    function faster.

    Parameters
    ----------
    n_genes
        Number of genes.
    n_categories
        Codes of assay, cell type, general tissue and sex.
    generation
        ``"0.1.2"`` or ``"0.1.3"``; see `GENERATIONS`.
    width
        Width of the projection.
    widths
        Widths of the hidden layers of the head; ``None`` takes the published ones.
    embedding_dim
        Numbers per category.

    Notes
    -----
    G. Xie, *scAgeClock*, npj Aging 2026, doi:10.1038/s41514-026-00379-5.
    """

    def __init__(
        self,
        n_genes: int,
        n_categories: Sequence[int] = N_CATEGORIES,
        *,
        generation: str = "0.1.3",
        width: int = 512,
        widths: Sequence[int] | None = None,
        embedding_dim: int = 4,
    ) -> None:
        super().__init__()
        layout = GENERATIONS[generation]
        self.generation = generation
        n_features = embedding_dim * len(n_categories) + n_genes
        embeddings = (nn.Embedding(n, embedding_dim) for n in n_categories)
        self.embeddings = cast("Sequence[nn.Embedding]", nn.ModuleList(embeddings))
        self.feature_gate = FeatureGate(n_features)
        setattr(self, layout.projection, nn.Linear(n_features, width))
        # The number of heads (published: 8) changes nothing over a sequence of length one.
        self.attention = SelfAttention(width, 1)
        setattr(self, layout.head, _head(generation, width, widths or layout.widths))
        self.norm = nn.LayerNorm(width, eps=1e-5)

    @property
    def projection_(self) -> nn.Linear:
        """The projection, by whichever name."""
        return getattr(self, GENERATIONS[self.generation].projection)

    @property
    def head_(self) -> nn.Sequential:
        """The head, by whichever name."""
        return getattr(self, GENERATIONS[self.generation].head)

    def forward(self, x: Tensor, codes: Tensor) -> Tensor:
        """Ages for ``x`` (batch × genes) and ``codes`` (batch × covariates): shape (batch,)."""
        embedded = [embed(codes[:, k]) for k, embed in enumerate(self.embeddings)]
        z = self.norm(self.projection_(self.feature_gate(torch.cat([*embedded, x], dim=1))))
        return self.head_(self.attention(z)).squeeze(1)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> PublishedNetwork:
        """Network that holds the tensors of a published state dict, as they are.

        Parameters
        ----------
        state
            Tensors by name. Generations are told apart by the names, sizes read from the shapes.

        Raises
        ------
        ValueError
            The names or shapes are those of neither generation, or a value is not finite.
        """
        generation = _recognize(state)
        layout = GENERATIONS[generation]
        embeddings = [state[f"embeddings.{k}.weight"] for k in range(len(N_CATEGORIES))]
        projection = state[f"{layout.projection}.weight"]
        try:
            dims = {e.shape[1] for e in embeddings}
            n_genes = projection.shape[1] - sum(e.shape[1] for e in embeddings)
            if len(dims) > 1 or n_genes < 1:
                raise RuntimeError("the embeddings do not fit the projection")
            with torch.device("meta"):  # nothing is filled in before the tensors take their places
                network = cls(
                    n_genes,
                    [len(e) for e in embeddings],
                    generation=generation,
                    width=len(projection),
                    widths=_head_widths(state, generation),
                    embedding_dim=dims.pop(),
                )
            network.load_state_dict(dict(state), assign=True)
        except (IndexError, RuntimeError, TypeError) as error:
            raise ValueError(
                f"The weights have the names of scAgeClock {generation}, but not its shapes: "
                f"{' '.join(str(error).split())} Expected, as published: {_shapes(generation)}."
            ) from error
        for name, tensor in state.items():
            if not torch.isfinite(tensor).all():
                raise ValueError(f"The weights hold NaN or infinite values, in {name!r}.")
        return network.eval().requires_grad_(False)


def _head(generation: str, width: int, widths: Sequence[int]) -> nn.Sequential:
    def hidden(before: int, after: int) -> list[nn.Module]:
        return [nn.Linear(before, after), nn.ReLU(), nn.Dropout(0.2)]

    if generation == "0.1.2":
        return nn.Sequential(nn.Linear(width, widths[0]), nn.ReLU(), nn.Linear(widths[0], 1))
    return nn.Sequential(
        *hidden(width, widths[0]), nn.Sequential(*hidden(*widths)), nn.Linear(widths[1], 1)
    )


def _names(generation: str) -> list[str]:
    with torch.device("meta"):
        return list(PublishedNetwork(1, (1,) * 4, generation=generation, width=1).state_dict())


def _shapes(generation: str) -> str:
    with torch.device("meta"):
        network = PublishedNetwork(GENERATIONS[generation].n_genes, generation=generation)
    return ", ".join(f"{name} {tuple(t.shape)}" for name, t in network.state_dict().items())


def _head_widths(state: Mapping[str, Tensor], generation: str) -> list[int]:
    head = GENERATIONS[generation].head
    layers = ["0"] if generation == "0.1.2" else ["0", "3.0"]
    return [len(state[f"{head}.{layer}.weight"]) for layer in layers]


def _recognize(state: Mapping[str, Any]) -> str:
    """Return the generation whose names these are."""
    tensors = all(isinstance(v, Tensor) and v.is_floating_point() for v in state.values())
    if tensors:
        for generation in GENERATIONS:
            if set(_names(generation)) == set(state):
                return generation
    closest = max(GENERATIONS, key=lambda name: len(set(_names(name)) & set(state)))
    expected = _names(closest)
    raise ValueError(
        "These are weights of neither generation of scAgeClock "
        f"({' and '.join(repr(g) for g in GENERATIONS)}). Compared with {closest!r}, the closer "
        f"one, missing: {listing(n for n in expected if n not in state)}; unexpected: "
        f"{listing(n for n in state if n not in expected)}"
        + ("." if tensors else "; and not all values are tensors of floating-point numbers.")
        + " Give the file written for the `scageclock` package by `torch.save`: a state dict, or "
        "a training checkpoint with 'model_state_dict'. A model of ours is read with `load`."
    )


class FoldedPublishedNetwork:
    r"""A :class:`PublishedNetwork` folded so that CSR rows go in as they are; for inference only.

    With :math:`P = I - 11^T/512`, the gate folded into the projection, the layer norm's centring
    into :math:`P`, and value and output maps into the first layer of the head:

    .. math:: y = W_x x + \sum_k T_k[c_k], \quad r = (\|y\|^2/512 + \epsilon)^{-1/2}, \quad
        h = \mathrm{ReLU}\big(A\,(r y) + a\big)

    then the rest of the head, where :math:`W = P W_p\,\mathrm{diag}(g)`. Equal to the layers up to
    rounding, and much faster: a cell costs one row of ``tables`` per gene that it expresses.

    Every table of categories has one more row than there are categories, the mean of the others:
    what an unknown category counts as.

    Parameters
    ----------
    network
        The network.
    precision
        Numbers that the table of genes is stored in. ``"float16"`` halves it; the sums are float32
        either way.

    Attributes
    ----------
    tables
        What a gene adds to ``y`` per unit of its value: genes × width, in parts of some columns
        each. With float16, ``y`` is in other units, of a power of two, that fit its small range.
    """

    @torch.no_grad()
    def __init__(self, network: PublishedNetwork, *, precision: Precision = "float32") -> None:
        projection, norm = network.projection_, network.norm
        weight = projection.weight.double() * network.feature_gate.weights.double()
        weight -= weight.mean(dim=0)
        bias = projection.bias.double() - projection.bias.double().mean()
        dims = [e.embedding_dim for e in network.embeddings]
        *pieces, genes = weight.split([*dims, weight.shape[1] - sum(dims)], dim=1)
        offsets = [
            e.weight.double() @ piece.T for e, piece in zip(network.embeddings, pieces, strict=True)
        ]
        offsets = [torch.cat([table, table.mean(dim=0, keepdim=True)]) for table in offsets]
        offsets[0] += bias
        scale = 1.0
        if precision == "float16" and (largest := float(genes.abs().max())) > 0:
            # The largest entry near 2**14: far from overflow, and few entries lose digits. The
            # layer norm takes the scale out again.
            scale = 2.0 ** (14 - np.ceil(np.log2(largest)))
        table = genes.T * scale
        table = table.half() if precision == "float16" else table.float()
        parts = table.split(ROW_BYTES // table.element_size(), dim=1)
        # Torch's memory begins where a cache line does; numpy's may not, and costs more to read.
        self.tables = [part.clone(memory_format=torch.contiguous_format) for part in parts]
        self.offsets = (torch.cat(offsets) * scale).float()
        self.first = np.cumsum([0, *map(len, offsets[:-1])])
        self.eps = norm.eps * scale**2
        layers = [layer for layer in network.head_.modules() if isinstance(layer, nn.Linear)]
        value, value_bias = (t.double() for t in network.attention.affine())
        first, shift = layers[0].weight.double(), layers[0].bias.double()
        inner = first @ value
        self.inner = (inner * norm.weight.double()).float()
        self.shift = (inner @ norm.bias.double() + first @ value_bias + shift).float()
        self.rest = [(layer.weight.float(), layer.bias.float()) for layer in layers[1:]]

    def take(self, genes: np.ndarray) -> FoldedPublishedNetwork:
        """Network whose table has the rows of these genes only, in this order."""
        if np.array_equal(genes, np.arange(len(self.tables[0]))):
            return self
        chosen = object.__new__(type(self))
        rows = torch.from_numpy(genes)
        chosen.__dict__ |= {**self.__dict__, "tables": [part[rows] for part in self.tables]}
        return chosen

    @torch.inference_mode()
    def ages(
        self, indptr: np.ndarray, indices: np.ndarray, values: np.ndarray, codes: np.ndarray
    ) -> np.ndarray:
        """Age of every row, in years, shape (rows,), float32.

        Parameters
        ----------
        indptr, indices, values
            Gene values as a CSR matrix, rows × genes; float32 values.
        codes
            Codes of the categories, rows × covariates.
        """
        step = _ROWS * torch.get_num_threads()
        ages = np.empty(len(codes), dtype=np.float32)
        for start in range(0, len(codes), step):
            rows = slice(start, start + step)
            pointers = indptr[start : start + step + 1]
            y = nn.functional.embedding_bag(
                torch.from_numpy(codes[rows] + self.first), self.offsets, mode="sum"
            )
            sums = [part.contiguous() for part in y.split([t.shape[1] for t in self.tables], dim=1)]
            for part, table in zip(sums, self.tables, strict=True):
                add_row_sums(part.numpy(), pointers, indices, values, table.numpy())
            y = torch.cat(sums, dim=1)
            r = torch.rsqrt(torch.linalg.vecdot(y, y) / y.shape[1] + self.eps)
            hidden = (y @ self.inner.T).mul_(r[:, None]).add_(self.shift)
            for weight, bias in self.rest:
                hidden = nn.functional.linear(hidden.relu_(), weight, bias)
            ages[rows] = hidden.squeeze(1).numpy()
        return ages
