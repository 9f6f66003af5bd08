"""The way of a command: check the paths, read, run the tool, write."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from .._ranks import is_first_rank
from ._command import say
from ._data_file import DataFile
from ._paths import check_paths
from ._staging import Staging
from ._types import DataPath

if TYPE_CHECKING:
    import pandas as pd


class Table(NamedTuple):
    """A table of the result that is also written as CSV.

    Attributes
    ----------
    option
        The option that asks for it.
    path
        Where to; ``None`` if it was not asked for.
    get
        Takes the data and the key of the result.
    """

    option: str
    path: Path | None
    get: Callable[[Any, str], pd.DataFrame]


def files(*suffixes: str, model: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the argument IN and the options for what is written.

    Parameters
    ----------
    *suffixes
        Kinds of data that the command reads and writes.
    model
        What it can save, in words.
    """
    kinds = " or ".join(suffixes)
    decorators = [
        click.argument("source", metavar="IN", type=DataPath(suffixes, exists=True)),
        click.option(
            "--output", "-o", metavar="OUT", required=True, type=DataPath(suffixes, exists=False),
            help=f"Where to write IN with the result: {kinds}.",
        ),
        click.option(
            "--force", is_flag=True,
            help="Replace what is there under the names to write to, IN included.",
        ),
        click.option(
            "--save-model", metavar="DIR", type=click.Path(path_type=Path),
            help=f"Also save {model} to this directory.",
        ),
    ]  # fmt: skip

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def csv_option(name: str, *, help: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add an option that takes the path of a table to write."""
    return click.option(
        name, metavar="CSV", type=DataPath([".csv"], exists=False), default=None, help=help
    )


def checkpoint_option(what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the option for checkpoints, which says what they hold."""
    return click.option(
        "--checkpoint-dir", metavar="DIR", type=click.Path(file_okay=False),
        help=f"Keep {what} in this directory: the same command, run again after it was cut off, "
        "goes on from there. It is not deleted in the end.",
    )  # fmt: skip


def run(
    tool: str,
    options: Mapping[str, Any],
    *,
    source: Path,
    output: Path,
    force: bool,
    save_model: Path | None,
    inputs: Mapping[str, Path | None],
    in_blocks: bool = False,
    table: Table | None = None,
) -> None:
    """Run a tool from file to file.

    Parameters
    ----------
    tool
        Name of the function in :mod:`sctools.tl`.
    options
        Its arguments.
    source, output, force, save_model
        Of `files`.
    inputs
        Further paths that are read, by the name of their option.
    in_blocks
        The tool reads the matrix in blocks, so that it may stay in the file.
    table
        Also written. Where the result has none, the rest is written and the error told at the end.
    """
    if (source.suffix == ".h5mu") != (output.suffix == ".h5mu"):
        raise click.BadParameter(
            "Several modalities are read and written as .h5mu, one as .h5ad or .zarr: found "
            f"{source.name!r} and {output.name!r}.",
            param_hint="'--output'",
        )
    outputs = {"--output": output, "--save-model": save_model}
    if table is not None:
        outputs[table.option] = table.path
    kept = options["checkpoint_dir"]
    read = {"IN": source, "--checkpoint-dir": None if kept is None else Path(kept), **inputs}
    targets = check_paths(read, outputs, force=force)

    start = time.monotonic()
    with DataFile(source) as file:
        say(f"Reading {source}")
        # What stays in the file is copied from there.
        data = file.read(in_blocks=in_blocks and output.suffix == source.suffix)
        # A MuData counts proteins too.
        size = f"{data.n_obs:,} cells × {data.n_vars:,} "
        size += "features" if source.suffix == ".h5mu" else "genes"
        say(f"Running {tool} on {size}")
        from .. import tl

        model = getattr(tl, tool)(data, **options, return_model=save_model is not None)
        if not is_first_rank():  # of a training on several devices
            return
        key, failure = options["key_added"], None
        frame: pd.DataFrame | None = None
        if table is not None and table.path is not None:
            try:
                frame = table.get(data, key)
            except (KeyError, ValueError) as error:  # no reason to lose all that was computed
                failure = error
                del targets[table.option]

        say(f"Writing {output}")
        with Staging() as staging:
            drafts = {name: staging.draft(path) for name, path in targets.items()}
            if table is not None and frame is not None:
                frame.to_csv(drafts[table.option], index=False)
            if model is not None:
                model.save(drafts["--save-model"])
            file.write(data, drafts["--output"])
    also = "".join(f", {outputs[name]}" for name in targets if name != "--output")
    say(f"Wrote {output} ({size}, result {key!r}){also} after {time.monotonic() - start:.0f} s")
    if table is not None and failure is not None:
        raise ValueError(
            f"{output} was written, but not {table.path} ({table.option}): {failure.args[0]}"
        ) from failure
