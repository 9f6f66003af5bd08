"""``sctools age-clock``: ages of cells and donors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .._keys import AGE_CLOCK
from ._command import CONTEXT, Command
from ._run import Table, checkpoint_option, csv_option, files, run
from ._types import JSONObject, Nullable, Seed, as_list_or_mapping

if TYPE_CHECKING:
    import pandas as pd

METHODS = (
    "gma",
    "elastic_net",
    "ridge",
    "pls",
    "mlp",
    "autoencoder",
    "donor_attention",
    "xgboost",
    "catboost",
)

EPILOG = """\b
Examples:
  # Cross-fit on a cohort: obs has age, donor_id and cell_type; X has counts.
  sctools age-clock cohort.h5ad -o aged.h5ad --donors donors.csv --save-model my_clock

\b
  # Counts in a layer, columns of other names.
  sctools age-clock cohort.h5ad -o aged.h5ad --layer counts --donor-key subject --age-key years

\b
  # Apply a clock: that one, and a ready-made one.
  sctools age-clock other.h5ad -o aged.zarr --model my_clock
  sctools age-clock blood.h5ad -o aged.h5ad --model scimmuaging --key-added scimmuaging

\b
  # A quick look, with few passes through the data.
  sctools age-clock cohort.h5ad -o aged.h5ad --n-folds 3 --train-kwargs '{"max_epochs": 5}'
"""


@click.command(
    "age-clock",
    cls=Command,
    context_settings=CONTEXT,
    short_help="Predict the age of cells and donors.",
    epilog=EPILOG,
)
@files(".h5ad", ".zarr", model="the clock (of the method gma, or that of --model)")
@csv_option("--donors", help="Also write the table of donors, one row each, to this file.")
@click.option(
    "--model",
    metavar="DIR|NAME",
    help="Apply a clock: the directory of a saved one, or the name of a ready-made one (see "
    "`sctools clocks`). Without it, clocks are cross-fitted on IN.",
)
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="gma",
    help="What is cross-fitted without --model: gma is the age clock, the others are those that "
    "it is compared with.",
)
@click.option(
    "--age-key",
    metavar="COLUMN",
    type=Nullable(),
    default="age",
    help="Column of obs with ages, in the unit of uns['age_unit'] (years where that is missing), "
    "one per donor or sample, missing where unknown. '' leaves ages out of it.",
)
@click.option(
    "--donor-key",
    metavar="COLUMN",
    type=Nullable(),
    default="donor_id",
    help="Column of obs with donors. '' for none, with --model.",
)
@click.option(
    "--sample-key",
    metavar="COLUMN",
    type=Nullable(),
    help="Column of obs with samples, where donors gave several at different ages.",
)
@click.option(
    "--cell-type-key",
    metavar="COLUMN",
    type=Nullable(),
    default="cell_type",
    help="Column of obs with cell types. '' for none.",
)
@click.option(
    "--covariate-keys",
    metavar="COLUMN",
    multiple=True,
    callback=as_list_or_mapping,
    help="Categorical column of obs to predict from too, such as sex; once for each. With "
    "--model also NAME=COLUMN, for a column of another name than in training.",
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
    help="Column of var with the gene names that the model knows. By default var_names, then "
    "common columns.",
)
@click.option(
    "--min-coverage",
    type=click.FloatRange(0, 1),
    default=0.5,
    help="Least fraction of the genes of --model that must be found.",
)
@click.option(
    "--n-folds",
    type=click.IntRange(min=2),
    default=5,
    help="Number of folds that donors are dealt into.",
)
@click.option(
    "--model-kwargs",
    metavar="JSON",
    type=JSONObject(),
    help="Arguments of sctools.model.AgeClock, or of the method.",
)
@click.option(
    "--train-kwargs",
    metavar="JSON",
    type=JSONObject(),
    help="Arguments of AgeClock.train, such as '{\"max_epochs\": 5}'.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=4096,
    help="Cells that are read at a time in prediction. Results do not depend on it.",
)
@click.option(
    "--level",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.9,
    help="Share of new donors whose age the intervals should cover.",
)
@checkpoint_option("every finished fold")
@click.option("--key-added", metavar="KEY", default=AGE_CLOCK, help="Name of the result.")
@click.option(
    "--rng", metavar="SEED", type=Seed(), default=0,
    help="Seed, a whole number; 'random' for another result each time.",
)  # fmt: skip
def age_clock(
    source: Path,
    output: Path,
    force: bool,
    save_model: Path | None,
    donors: Path | None,
    **options: Any,
) -> None:
    """Predict the age of every cell and donor in IN (.h5ad or .zarr).

    Without --model, donors are dealt into folds and each is predicted by a clock that saw none of
    its cells, which takes ages in obs. With --model, a trained clock is applied, and ages are not
    needed. Written are columns of obs (the age, its interval, acceleration and fold) and
    uns[KEY]; see sctools.tl.age_clock.
    """
    if donors is not None and options["donor_key"] is None:
        raise click.BadParameter("There are none without --donor-key.", param_hint="'--donors'")
    if save_model is not None and options["method"] != "gma":
        raise click.BadParameter(
            f"The method {options['method']} has no clock that could be saved, only gma has.",
            param_hint="'--save-model'",
        )
    run(
        "age_clock",
        options,
        source=source,
        output=output,
        force=force,
        save_model=save_model,
        inputs={"--model": _directory_of(options["model"])},
        in_blocks=options["model"] is not None,
        table=Table("--donors", donors, _donor_table),
    )


def _directory_of(model: str | None) -> Path | None:
    """Return the directory of a saved clock; ``None`` where the clock goes by name."""
    from ..model._registered_clocks import REGISTERED_CLOCKS

    if model is None or model in REGISTERED_CLOCKS:
        return None
    if not Path(model).is_dir():
        raise click.BadParameter(
            f"{model!r} is neither a directory nor a ready-made clock "
            f"({', '.join(REGISTERED_CLOCKS)}; see `sctools clocks`).",
            param_hint="'--model'",
        )
    return Path(model)


def _donor_table(adata: Any, key: str) -> pd.DataFrame:
    from ..get import donor_age_df

    return donor_age_df(adata, key)
