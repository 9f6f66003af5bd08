"""``sctools clocks``: the ready-made age clocks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from ._command import CONTEXT, Command

if TYPE_CHECKING:
    import pandas as pd

SHOWN = ["species", "tissue", "cell_types", "age_unit", "n_genes", "size_mb", "licence"]
"""Columns of the table on the terminal; the other formats have all."""

EPILOG = """\b
Examples:
  sctools clocks
  sctools clocks --format json
  sctools age-clock blood.h5ad -o aged.h5ad --model scimmuaging

Columns of the table: n_genes is the number of genes that a clock reads, size_mb the size of its
files in megabytes, licence an SPDX identifier. CSV and JSON also have the training data, the
citation with its DOI, the depth that cells are scaled to and the names of the files.
"""


@click.command(
    "clocks",
    cls=Command,
    context_settings=CONTEXT,
    short_help="List the ready-made age clocks.",
    epilog=EPILOG,
)
@click.option("--species", metavar="NAME", help="Only clocks of this species, such as human.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    help="How to print them.",
)
def clocks(species: str | None, form: str) -> None:
    """List the ready-made age clocks on stdout.

    Their names go to `sctools age-clock --model`. No clock is part of sctools: what has a known
    checksum is downloaded on first use, and a clock's citation and licence are its own.
    """
    from ..model import clocks as list_clocks

    table = list_clocks(species=species)
    if form == "csv":
        click.echo(table.to_csv(), nl=False)
    elif form == "json":
        click.echo(json.dumps(json.loads(table.reset_index().to_json(orient="records")), indent=2))
    else:
        click.echo(_aligned(table[SHOWN].reset_index()))


def _aligned(table: pd.DataFrame) -> str:
    """Lines of text, numbers to the right and all else to the left."""
    columns = []
    for name, column in table.items():
        cells = [str(name), *column.astype(str)]
        width = max(map(len, cells))
        right = column.dtype.kind in "if"
        columns.append([cell.rjust(width) if right else cell.ljust(width) for cell in cells])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))
