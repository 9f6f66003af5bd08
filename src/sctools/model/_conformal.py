"""Conformal prediction over donors: how far held-out predictions were off, and what follows."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

ROUNDING = 1e-9
"""Shares of donors closer than this are equal."""


def least_donors(level: float) -> int:
    """Least number of held-out donors that an interval of this level needs."""
    return math.ceil(level / (1 - level) - ROUNDING)


def highest_level(n_donors: int) -> float:
    """Highest level that so many held-out donors allow."""
    return n_donors / (n_donors + 1)


class HeldOutErrors(NamedTuple):
    """Absolute errors of held-out donors, in which donors count alike.

    A donor may have several errors (samples, cells), which share its weight. With one error each,
    the radius of an interval is the usual conformal one: of ``n`` errors the one of rank
    ``ceil(level * (n + 1))``. With several it holds for a random one of a new donor's.

    Attributes
    ----------
    error
        Errors, ascending.
    share
        Share of the donors up to and with each error; the last is 1.
    n_donors
        Number of donors.

    Notes
    -----
    Y. Lee, R. F. Barber, R. Willett, *Distribution-free inference with hierarchical data*, 2023,
    doi:10.48550/arXiv.2306.06342.
    """

    error: np.ndarray
    share: np.ndarray
    n_donors: int

    @classmethod
    def of(cls, error: np.ndarray, donor: np.ndarray) -> HeldOutErrors:
        """Pool the errors of donors, whose names or codes are given for each."""
        code = np.unique(donor, return_inverse=True)[1]
        n_errors = np.bincount(code)
        order = np.argsort(error, kind="stable")
        share = np.cumsum(1 / n_errors[code[order]]) / len(n_errors)
        return cls(np.asarray(error, dtype=np.float64)[order], share, len(n_errors))

    def radius(self, level: float) -> float:
        """Half width of an interval for a new donor, NaN where there are too few donors."""
        needed = level * (self.n_donors + 1) / self.n_donors
        if needed > 1 + ROUNDING:
            return math.nan
        i = np.searchsorted(self.share, needed - ROUNDING)
        return float(self.error[min(int(i), len(self.error) - 1)])

    def times(self, factor: float) -> HeldOutErrors:
        """Scale every error."""
        return self._replace(error=self.error * factor)

    def thinned(self, n_errors: int) -> HeldOutErrors:
        """Keep so many errors, at even shares of the donors; radii grow slightly at most."""
        if len(self.error) <= n_errors:
            return self
        share = np.arange(1, n_errors + 1) / n_errors
        i = np.searchsorted(self.share, share - ROUNDING)
        return self._replace(error=self.error[np.minimum(i, len(self.error) - 1)], share=share)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a file."""
        return {
            "error": self.error.tolist(),
            "share": self.share.tolist(),
            "n_donors": self.n_donors,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> HeldOutErrors:
        """Read what :meth:`to_dict` wrote."""
        error, share = (np.asarray(values[name], dtype=np.float64) for name in ("error", "share"))
        return cls(error, share, int(values["n_donors"]))


def radii_from_others(error: np.ndarray, donor: np.ndarray, level: float) -> np.ndarray:
    """Half width for every donor from the errors of all the others, NaN where these are too few.

    Parameters
    ----------
    error
        Absolute errors.
    donor
        Code of the donor of each, 0 to the number of donors less one; each has an error.
    level
        Share of the donors that the interval should cover.

    Returns
    -------
    One value per donor, float64.
    """
    n_errors = np.bincount(donor)
    n_others = len(n_errors) - 1
    if n_others < least_donors(level):
        return np.full(len(n_errors), np.nan)
    order = np.argsort(error, kind="stable")
    reached = np.cumsum(1 / n_errors[donor[order]])  # in donors
    needed = level * (n_others + 1) - ROUNDING
    own = np.split(np.argsort(donor[order], kind="stable"), np.cumsum(n_errors)[:-1])
    radii = np.empty(len(n_errors))
    for j, positions in enumerate(own):
        i = bisect.bisect_left(range(len(error)), needed, key=_without(reached, positions))
        radii[j] = error[order[min(i, len(error) - 1)]]
    return radii


def _without(reached: np.ndarray, own: np.ndarray) -> Callable[[int], float]:
    """Donors reached at a position of the sorted errors, less the share of one of them."""
    return lambda i: float(reached[i] - np.searchsorted(own, i, side="right") / len(own))
