"""Package-wide settings: how much is told, and whether progress bars are drawn."""

from __future__ import annotations

import logging
import sys
from enum import IntEnum

_LOGGER = logging.getLogger("sctools")


class Verbosity(IntEnum):
    """Levels of :attr:`Settings.verbosity`, numbered as in scanpy."""

    error = 0
    warning = 1
    info = 2
    hint = 3
    debug = 4

    @property
    def level(self) -> int:
        """The level of :mod:`logging` that belongs to this verbosity."""
        return {
            Verbosity.error: logging.ERROR,
            Verbosity.warning: logging.WARNING,
            Verbosity.info: logging.INFO,
            Verbosity.hint: (logging.INFO + logging.DEBUG) // 2,
            Verbosity.debug: logging.DEBUG,
        }[self]


class _Handler(logging.Handler):
    """Print to the current ``sys.stderr``, unless the application set up logging itself.

    Records still travel to the root logger, so whoever configures logging sees each of them once,
    in the format of their choice.
    """

    def emit(self, record: logging.LogRecord) -> None:
        others = [*_LOGGER.handlers, *logging.getLogger().handlers]
        if any(handler is not self for handler in others):
            return
        try:
            # Looked up at each call: notebooks and test runners exchange the stream.
            print(self.format(record), file=sys.stderr)
        except Exception:
            self.handleError(record)


class Settings:
    """Settings of sctools; the one instance is ``sctools.settings``.

    Examples
    --------
    >>> import sctools
    >>> sctools.settings.verbosity = "warning"
    >>> sctools.settings.verbosity
    <Verbosity.warning: 1>
    >>> sctools.settings.progress_bar = False
    """

    def __init__(self) -> None:
        self._verbosity = Verbosity.info
        self._progress_bar = True

    @property
    def verbosity(self) -> Verbosity:
        """How much is told, ``"info"`` by default.

        One of ``"error"`` (0), ``"warning"`` (1), ``"info"`` (2), ``"hint"`` (3) and ``"debug"``
        (4), by name or by number as in scanpy. It sets the level of
        ``logging.getLogger("sctools")``, whose messages go to the standard error stream, or to
        the handlers of the application once it has configured :mod:`logging`.
        """
        return self._verbosity

    @verbosity.setter
    def verbosity(self, value: Verbosity | int | str) -> None:
        self._verbosity = _as_verbosity(value)
        _LOGGER.setLevel(self._verbosity.level)

    @property
    def progress_bar(self) -> bool:
        """Whether training shows a progress bar, ``True`` by default."""
        return self._progress_bar

    @progress_bar.setter
    def progress_bar(self, value: bool) -> None:
        if not isinstance(value, bool):
            raise TypeError(f"`progress_bar` must be True or False, found {value!r}.")
        self._progress_bar = value

    def __repr__(self) -> str:
        return f"Settings(verbosity={self.verbosity.name!r}, progress_bar={self.progress_bar})"


def _as_verbosity(value: Verbosity | int | str) -> Verbosity:
    names = ", ".join(f"{level.name!r} ({level.value})" for level in Verbosity)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"`verbosity` must be a name or a number, found {value!r}. Known: {names}.")
    try:
        return Verbosity[value.lower()] if isinstance(value, str) else Verbosity(value)
    except (KeyError, ValueError):
        raise ValueError(f"`verbosity` {value!r} is unknown. Known: {names}.") from None


def _install() -> Settings:
    """Set up the package's own logger; the root logger is left alone."""
    settings = Settings()
    if not any(isinstance(handler, _Handler) for handler in _LOGGER.handlers):
        _LOGGER.addHandler(_Handler())
    if _LOGGER.level == logging.NOTSET:  # else the application has chosen a level before us
        _LOGGER.setLevel(settings.verbosity.level)
    return settings


settings = _install()
