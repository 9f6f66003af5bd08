"""What all commands share: how they tell of errors and of progress, and how they can be stopped."""

from __future__ import annotations

import contextlib
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from typing import Any

import click

from .._settings import Verbosity, settings
from ._messages import message_of

CONTEXT = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 100,
    "show_default": True,
}
"""Settings of click for the group and each command."""

UNUSABLE, INTERRUPTED, TERMINATED = 1, 128 + signal.SIGINT, 128 + signal.SIGTERM
"""Exit codes; that of wrong usage, 2, is click's."""


class Command(click.Command):
    """A command that tells an error in one line and ends with its exit code.

    It has the options ``--quiet`` and ``--debug``, which its function does not see.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [
            click.Option(
                ["--quiet", "-q"],
                is_flag=True,
                help="Tell nothing on stderr but warnings and errors.",
            ),
            click.Option(
                ["--debug"],
                is_flag=True,
                help="Show where an error came from, and what libraries warn developers of.",
            ),
        ]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the function of the command."""
        quiet, debug = ctx.params.pop("quiet"), ctx.params.pop("debug")
        try:
            with _stoppable(), _telling(quiet, debug):
                return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click knows what to do
        except KeyboardInterrupt:
            click.echo("Stopped.", err=True)
            ctx.exit(INTERRUPTED)
        except Exception as error:
            if debug:
                traceback.print_exc()
            options = {parameter.name or "": parameter for parameter in self.params}
            click.echo(f"Error: {message_of(error, options)}", err=True)
            ctx.exit(UNUSABLE)


def say(text: str) -> None:
    """Tell the user on stderr what is being done, unless ``--quiet``."""
    if settings.verbosity >= Verbosity.info:
        click.echo(text, err=True)


@contextlib.contextmanager
def _telling(quiet: bool, debug: bool) -> Iterator[None]:
    """Set settings and warnings as the command line has them; put them back at the end."""
    before = settings.verbosity, settings.progress_bar
    settings.verbosity = Verbosity.warning if quiet else Verbosity.info
    # A bar that is redrawn would fill a log file.
    settings.progress_bar = not quiet and sys.stderr.isatty()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        # Those for developers are of no use to someone who runs a command.
        developers = (DeprecationWarning, FutureWarning, PendingDeprecationWarning)
        if debug or not issubclass(category, developers):
            click.echo(f"Warning: {message}", err=True)

    try:
        with warnings.catch_warnings():
            warnings.showwarning = show
            yield
    finally:
        settings.verbosity, settings.progress_bar = before


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Clean up on SIGTERM, which batch systems send, as on Ctrl-C; put the handlers back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
