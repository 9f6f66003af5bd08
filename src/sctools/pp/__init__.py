"""Preparation of raw AnnData for the models."""

from __future__ import annotations

from ._match_genes import GeneMatch, match_genes

__all__ = ["GeneMatch", "match_genes"]
