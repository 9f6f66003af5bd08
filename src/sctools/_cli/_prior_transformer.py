"""``sctools prior-transformer``: cell types through a network of gene regulation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .._keys import PRIOR_TRANSFORMER
from ._command import CONTEXT, Command
from ._run import Table, checkpoint_option, csv_option, files, run
from ._types import JSONObject, Nullable, Seed

if TYPE_CHECKING:
    import pandas as pd

EPILOG = """\b
Examples:
  # Learn the cell types of labelled cells; "unknown" ones are predicted.
  sctools prior-transformer cells.h5ad -o typed.h5ad --labels-key cell_type --net collectri.csv \\
      --unlabeled-category unknown --edges edges.csv --save-model my_model

\b
  # Apply it, which needs neither labels nor network.
  sctools prior-transformer others.h5ad -o typed.zarr --model my_model

\b
A network comes, for example, from decoupler:
  python -c "import decoupler; decoupler.op.collectri().to_csv('collectri.csv', index=False)"
"""


@click.command(
    "prior-transformer",
    cls=Command,
    context_settings=CONTEXT,
    short_help="Predict cell types along known gene regulation.",
    epilog=EPILOG,
)
@files(".h5ad", ".zarr", model="the model")
@csv_option(
    "--edges", help="Also write attention, one row per group and edge of the network, to this file."
)
@click.option(
    "--labels-key",
    metavar="COLUMN",
    type=Nullable(),
    help="Column of obs with the classes to learn. With --model only recorded, for figures.",
)
@click.option(
    "--net",
    metavar="FILE|KEY",
    type=Nullable(),
    help="Network of gene regulation: a .csv or .tsv with the columns source, target and weight, "
    "a .gmt with gene sets, each also with .gz; or the key of uns that has it.",
)
@click.option(
    "--model",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    help="Apply the model saved in this directory instead of training one.",
)
@click.option(
    "--unlabeled-category",
    metavar="LABEL",
    type=Nullable(),
    help="Label of cells whose class is not known.",
)
@click.option(
    "--batch-key",
    metavar="COLUMN",
    type=Nullable(),
    help="Column of obs with batches: with three or more, whole batches are held out for "
    "validation.",
)
@click.option(
    "--groupby",
    metavar="COLUMN",
    type=Nullable(),
    help="Column of obs with groups to average attention over. By default the predicted classes.",
)
@click.option("--layer", metavar="LAYER", type=Nullable(), help="Layer with counts. By default X.")
@click.option(
    "--log-normalized/--no-log-normalized",
    default=False,
    help="The values are log1p of depth-normalised counts, or counts.",
)
@click.option(
    "--gene-key",
    metavar="COLUMN",
    type=Nullable(),
    help="Column of var with gene names, as the network or the model has them.",
)
@click.option(
    "--prior",
    type=click.Choice(["hard", "soft", "none", "shuffled"]),
    default="hard",
    help="hard confines attention to the network, soft draws it there, none is a standard "
    "transformer, shuffled takes a rewired network.",
)
@click.option(
    "--n-top-genes",
    type=click.IntRange(min=1),
    help="Number of variable genes. By default var['highly_variable'], or 2,000 where there is "
    "none.",
)
@click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    default=0.5,
    help='Cells whose highest probability is lower are answered "Unknown".',
)
@click.option(
    "--min-typicality",
    type=click.FloatRange(0, 1),
    default=0.05,
    help='Cells that are less typical are answered "Unknown"; about this share of ordinary '
    "cells is.",
)
@click.option(
    "--min-coverage",
    type=click.FloatRange(0, 1),
    default=0.5,
    help="Least fraction of the genes of --model that must be found.",
)
@click.option(
    "--max-epochs",
    type=click.IntRange(min=1),
    help="Passes through the labelled cells. By default as many as make 500 steps, at least 15 "
    "and at most 100.",
)
@click.option(
    "--model-kwargs",
    metavar="JSON",
    type=JSONObject(),
    help="Further arguments of the model, such as '{\"n_hidden\": 16}'.",
)
@click.option(
    "--train-kwargs", metavar="JSON", type=JSONObject(), help="Further arguments of its train."
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=64,
    help="Cells that are answered at a time. Results do not depend on it.",
)
@checkpoint_option("the state of the training")
@click.option("--key-added", metavar="KEY", default=PRIOR_TRANSFORMER, help="Name of the result.")
@click.option(
    "--rng", metavar="SEED", type=Seed(), default=0,
    help="Seed, a whole number; 'random' for another result each time.",
)  # fmt: skip
def prior_transformer(
    source: Path,
    output: Path,
    force: bool,
    save_model: Path | None,
    edges: Path | None,
    **options: Any,
) -> None:
    """Predict the cell types of IN (.h5ad or .zarr) by attention along known gene regulation.

    Without --model one is trained on the labelled cells, and answers for all of them. Written are
    the class and its confidence to obs, embedding, probabilities and scores of regulators to obsm,
    and attention to uns[KEY]; see sctools.tl.prior_transformer. High attention is no proof of
    regulation.
    """
    model = options["model"]
    if model is None:
        missing = [
            f"--{name}" for name in ("labels-key", "net") if not options[name.replace("-", "_")]
        ]
        if missing:
            raise click.UsageError(
                f"Training needs {' and '.join(missing)}. To apply a trained model, give --model."
            )
    run(
        "prior_transformer",
        options,
        source=source,
        output=output,
        force=force,
        save_model=save_model,
        inputs={"--model": None if model is None else Path(model), "--net": _net_file(options)},
        in_blocks=model is not None,
        table=Table("--edges", edges, _edge_table),
    )


def _net_file(options: dict[str, Any]) -> Path | None:
    """Return the file of the network; ``None`` where it is a key of ``uns``."""
    from ..pp._prior_network_input import SUFFIXES

    net = options["net"]
    if net is None or not net.lower().endswith(SUFFIXES):
        return None
    if not Path(net).is_file():
        raise click.BadParameter(f"There is no file {net!r}.", param_hint="'--net'")
    return Path(net)


def _edge_table(adata: Any, key: str) -> pd.DataFrame:
    from ..get import attention_df

    return attention_df(adata, key=key)
