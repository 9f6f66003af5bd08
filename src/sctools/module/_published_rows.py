"""The published network of scAgeClock in training, on CSR rows."""

from __future__ import annotations

import copy

import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._gated_rows import gated_rows
from ._published_network import PublishedNetwork


class TrainablePublishedNetwork(nn.Module):
    """A :class:`PublishedNetwork` that learns from CSR rows, on the CPU.

    The same function with the same gradients as layer by layer, up to rounding. Queries and keys of
    the attention block are left out: their gradient is 0 whatever the cells.

    Parameters
    ----------
    network
        Where to start; it is copied.

    Attributes
    ----------
    table
        Transposed weights of the projection, features × width, so that a feature's stand together.
    """

    def __init__(self, network: PublishedNetwork) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(True)
        weight = self.network.projection_.weight.requires_grad_(False)
        self.table = nn.Parameter(weight.T.contiguous())

    def forward(self, x: sp.csr_matrix, codes: Tensor) -> Tensor:
        """Ages of rows, shape (batch,).

        Parameters
        ----------
        x
            Gene values, batch × genes, of the type of the weights.
        codes
            Codes of the covariates, batch × covariates. One more than there are categories stands
            for the mean of all, as in :class:`FoldedPublishedNetwork`.
        """
        net = self.network
        embedded = [
            F.embedding(codes[:, k], torch.cat([e.weight, e.weight.mean(dim=0, keepdim=True)]))
            for k, e in enumerate(net.embeddings)
        ]
        y = gated_rows(torch.cat(embedded, dim=1), x, self.table, net.feature_gate.weights)
        z = net.norm(y + net.projection_.bias)
        return net.head_(net.attention.of_one_token(z)).squeeze(1)

    def trained(self) -> PublishedNetwork:
        """Return the network with what was learned, for inference."""
        network = copy.deepcopy(self.network)
        with torch.no_grad():
            network.projection_.weight.copy_(self.table.T)
        return network.eval().requires_grad_(False)
