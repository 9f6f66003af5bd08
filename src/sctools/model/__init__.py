"""Models in the scvi-tools protocol: set up, train, predict, save, load.

Each is loaded on first use, so that the table of clocks needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._age_clock import AgeClock
    from ._clocks import clocks
    from ._linear_clock import LinearClock
    from ._load_clock import load_clock
    from ._multimodal_srsa_vae import MultimodalSRSAVAE
    from ._prior_transformer import PriorTransformer
    from ._published_clock import PublishedClock
    from ._srsa_vae import SRSAVAE

__all__ = [  # noqa: RUF022 - a name in capitals is no constant here
    "AgeClock",
    "LinearClock",
    "MultimodalSRSAVAE",
    "PriorTransformer",
    "PublishedClock",
    "SRSAVAE",
    "clocks",
    "load_clock",
]

_FILES = {
    "AgeClock": "_age_clock",
    "LinearClock": "_linear_clock",
    "MultimodalSRSAVAE": "_multimodal_srsa_vae",
    "PriorTransformer": "_prior_transformer",
    "PublishedClock": "_published_clock",
    "SRSAVAE": "_srsa_vae",
    "clocks": "_clocks",
    "load_clock": "_load_clock",
}


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_FILES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
