"""Training plans of scvi-tools whose metrics can be summed over devices."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from scvi.train import AdversarialTrainingPlan, TrainingPlan


class _SummableMetrics:
    use_sync_dist: bool

    def compute_and_log_metrics(self, *args: Any, **kwargs: Any) -> None:
        """Log metrics; on several devices as ordinary tensors.

        scvi-tools logs within ``torch.inference_mode``, and its tensors cannot be changed outside
        of it, where Lightning sums over devices.
        """
        if not self.use_sync_dist:
            super().compute_and_log_metrics(*args, **kwargs)  # type: ignore[misc]
            return
        with torch.no_grad():
            inspect.unwrap(TrainingPlan.compute_and_log_metrics)(self, *args, **kwargs)


class VAETrainingPlan(_SummableMetrics, TrainingPlan):
    """Training plan of the RNA model."""


class MultimodalVAETrainingPlan(_SummableMetrics, AdversarialTrainingPlan):
    """Training plan of the multimodal model."""
