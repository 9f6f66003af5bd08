"""Preparation of raw AnnData for the models."""

from __future__ import annotations

from ._match_genes import GeneMatch, match_genes
from ._prior_network import prior_network

__all__ = ["GeneMatch", "match_genes", "prior_network"]
