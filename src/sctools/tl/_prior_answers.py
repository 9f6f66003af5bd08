"""What :func:`sctools.tl.prior_transformer` keeps of every cell, where the cell is read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..model._prior_blocks import Kept, add_attention
from ..model._prior_outputs import CellOutputs, RegulatorScores
from ..model._typicality import Typicality, typical


@dataclass(frozen=True)
class KeepAnswers:
    """Keeps answers, embeddings and scores, and mean attention of groups.

    Attributes
    ----------
    scores
        Scores of regulators.
    typicality
        How usual a cell is.
    min_confidence, min_typicality
        Below either the answer is −1.
    n_groups
        Number of groups to average attention over.
    by_answer
        Whether the answers are these groups; else each cell brings the number of its own.
    """

    scores: RegulatorScores
    typicality: Typicality | None
    min_confidence: float
    min_typicality: float
    n_groups: int
    by_answer: bool

    def __call__(
        self, kept: Kept, outputs: CellOutputs, new: np.ndarray, codes: np.ndarray
    ) -> None:
        usual = typical(self.typicality, outputs.latent, new)
        answer = outputs.proba.argmax(axis=1)
        unsure = outputs.proba.max(axis=1) < self.min_confidence
        answer[unsure | (usual < self.min_typicality)] = -1
        kept.append(
            latent=outputs.latent,
            proba=outputs.proba,
            tf=self.scores(outputs),
            typicality=usual,
            code=answer,
        )
        add_attention(kept, self.n_groups, answer if self.by_answer else codes, outputs)
