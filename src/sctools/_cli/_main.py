"""The group of commands: ``sctools --help`` and ``sctools --version``."""

from __future__ import annotations

import click

from .. import __version__
from ._age_clock import age_clock
from ._clocks import clocks
from ._command import CONTEXT
from ._prior_transformer import prior_transformer
from ._srsa_vae import srsa_vae

EPILOG = """\b
Examples:
  sctools clocks
  sctools age-clock cohort.h5ad -o aged.h5ad
  sctools srsa-vae cells.h5ad -o embedded.zarr --batch-key batch
  sctools prior-transformer cells.h5ad -o typed.h5ad --labels-key cell_type --net net.csv

\b
Exit codes: 0 done, 1 the data or the model cannot be used, 2 wrong usage, 130 stopped by Ctrl-C.
`sctools COMMAND --help` shows the options of a command.
"""


@click.group(context_settings=CONTEXT, epilog=EPILOG)
@click.version_option(__version__, prog_name="sctools", message="%(prog)s %(version)s")
def main() -> None:
    """Deep models for single-cell data, from file to file.

    Each command reads IN, runs the function of the same name in sctools.tl and writes IN together
    with the result to OUT. Files are .h5ad or .zarr, by their suffix. Nothing is replaced without
    --force, and OUT appears only when it is whole.
    """


for _command in (age_clock, clocks, prior_transformer, srsa_vae):
    main.add_command(_command)
