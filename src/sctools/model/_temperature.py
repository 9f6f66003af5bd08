"""Temperature that makes probabilities agree with how often they are right."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Temperature from 0.05 to 20 with the highest likelihood of the labels.

    Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017.

    Parameters
    ----------
    logits
        Shape ``(n_obs, n_labels)``.
    labels
        True classes, ``(n_obs,)``.
    """
    logits = np.asarray(logits, dtype=np.float64)
    own = logits[np.arange(len(labels)), labels]

    def loss(log_temperature: float) -> float:
        scale = np.exp(-log_temperature)
        return float(np.mean(logsumexp(logits * scale, axis=1) - own * scale))

    found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded")
    return float(np.exp(found.x))
