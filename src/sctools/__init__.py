"""Deep models for scanpy workflows.

The namespaces follow scanpy: :mod:`sctools.datasets` simulates cohorts, :mod:`sctools.pp` prepares
input, :mod:`sctools.tl` computes and writes into the AnnData, :mod:`sctools.get` reads the results
as tidy data frames and :mod:`sctools.pl` draws them. :mod:`sctools.model` holds the models
themselves. Each is loaded on first use, so that ``import sctools`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import datasets, get, model, pl, pp, tl
    from ._settings import settings

    __version__: str

__all__ = ["datasets", "get", "model", "pl", "pp", "settings", "tl"]

_DISTRIBUTION = "sctools-ml"
_NAMESPACES = frozenset(__all__) - {"settings"}


def __getattr__(name: str) -> Any:
    value: Any
    if name in _NAMESPACES:
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    if name == "settings":
        from ._settings import settings as value
    elif name == "__version__":
        value = _version()
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(_DISTRIBUTION)
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0+unknown"


def _warn_of_namesake() -> None:
    """Warn if the unrelated distribution ``sctools`` shares this import name.

    The directories are only listed: `importlib.metadata` would take most of the import time.
    """
    import os
    import sys

    for folder in sys.path:
        try:
            entries = os.listdir(folder or ".")
        except OSError:  # a zip file, or an entry that does not exist
            continue
        for entry in entries:
            name, kind = os.path.splitext(entry.lower())
            if kind in (".dist-info", ".egg-info") and name.partition("-")[0] == "sctools":
                import warnings

                warnings.warn(
                    f"The distribution 'sctools' ({os.path.join(folder, entry)}) is installed. It "
                    f"is another project than {_DISTRIBUTION!r} and uses the same import name, so "
                    "that either may overwrite files of the other. Run `pip uninstall sctools`, "
                    f"then install {_DISTRIBUTION!r} again.",
                    stacklevel=3,
                )
                return


_warn_of_namesake()
