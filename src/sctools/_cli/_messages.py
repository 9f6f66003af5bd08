"""Messages of the Python functions in the words of the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping

import click

EXPECTED = (ImportError, KeyError, MemoryError, OSError, TypeError, ValueError)
"""What the functions raise where data, a model or a file cannot be used."""

_ARGUMENT = re.compile(r"`(?P<name>[a-z]\w*)(?:=(?P<value>[^`]*))?`")
"""An argument as messages quote it, with or without a value."""


def message_of(error: BaseException, options: Mapping[str, click.Parameter]) -> str:
    """Say what an error says, with arguments named as the options that they are here.

    Parameters
    ----------
    error
        The error.
    options
        Parameters of the command by the name of the argument.
    """
    # str() of a KeyError is the repr of its message.
    first = error.args[0] if isinstance(error, KeyError) and error.args else error
    text = "\n".join([str(first), *getattr(error, "__notes__", [])])

    def in_words(found: re.Match[str]) -> str:
        option = options.get(found["name"])
        if not isinstance(option, click.Option):
            return found[0]
        name, value = option.opts[-1], found["value"]
        if option.is_flag and value in ("True", "False"):
            return f"`{name if value == 'True' else option.secondary_opts[-1]}`"
        if value == "None":
            value = "''"
        return f"`{name}`" if not value else f"`{name}={value}`"

    text = _ARGUMENT.sub(in_words, text)
    if isinstance(error, EXPECTED):
        return text or type(error).__name__
    return f"{type(error).__name__}: {text} (This was not foreseen; --debug shows where it was.)"
