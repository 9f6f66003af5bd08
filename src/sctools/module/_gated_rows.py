"""A gated linear layer on CSR rows with its gradients, on the CPU: the dense input never exists."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from ._row_sums import add_row_sums


def gated_rows(embedded: Tensor, rows: sp.csr_matrix, table: Tensor, gate: Tensor) -> Tensor:
    """Return ``((embedded, rows) * gate) @ table``, shape (rows, outputs).

    The gate goes into the stored values, and its gradient comes out of the table's, so that no
    product has the size of the dense input. Gradients are those of the dense layer up to rounding.

    Parameters
    ----------
    embedded
        Dense features that come first, rows × few.
    rows
        The other features, with the dtype of ``table``. They get no gradient.
    table
        Weights, features × outputs, contiguous; float32 or float64.
    gate
        One factor per feature.
    """
    return _GatedRows.apply(embedded, table, gate, rows)


class _GatedRows(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, embedded: Tensor, table: Tensor, gate: Tensor, rows: sp.csr_matrix
    ) -> Tensor:
        ctx.save_for_backward(embedded, table, gate)
        ctx.rows = rows
        n = embedded.shape[1]
        output = (embedded * gate[:n]) @ table[:n]
        values = rows.data * gate[n:].numpy()[rows.indices]
        add_row_sums(output.numpy(), rows.indptr, rows.indices, values, table[n:].numpy())
        return output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        embedded, table, gate = ctx.saved_tensors
        n = embedded.shape[1]
        grad = grad.contiguous()
        columns = ctx.rows.tocsc()
        # First without the gate: the gradient of a gate is its feature's weights times these.
        d_table = torch.zeros_like(table)
        torch.matmul(embedded.T, grad, out=d_table[:n])
        add_row_sums(
            d_table[n:].numpy(), columns.indptr, columns.indices, columns.data, grad.numpy()
        )
        d_gate = torch.from_numpy(np.einsum("ij,ij->i", d_table.numpy(), table.numpy()))
        d_table *= gate[:, None]
        return (grad @ table[:n].T) * gate[:n], d_table, d_gate, None
