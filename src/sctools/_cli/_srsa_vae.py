"""``sctools srsa-vae``: latents of cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .._keys import SRSA_VAE
from ._command import CONTEXT, Command
from ._run import checkpoint_option, files, run
from ._types import JSONObject, Nullable, Seed, as_list, as_mapping

EPILOG = """\b
Examples:
  sctools srsa-vae cells.h5ad -o embedded.h5ad --batch-key batch --save-model my_vae
  sctools srsa-vae others.h5ad -o embedded.zarr --model my_vae

\b
  # RNA and protein, in obsm or as modalities.
  sctools srsa-vae cite.h5ad -o embedded.h5ad --protein-key protein_expression
  sctools srsa-vae cite.h5mu -o embedded.h5mu --modalities rna_layer=rna \\
      --modalities protein_layer=adt

\b
Then, in Python: sc.pp.neighbors(adata, use_rep="X_srsa_vae").
"""


@click.command(
    "srsa-vae",
    cls=Command,
    context_settings=CONTEXT,
    short_help="Embed cells with a self-attention VAE.",
    epilog=EPILOG,
)
@files(".h5ad", ".zarr", ".h5mu", model="the model")
@click.option(
    "--model",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    help="Apply the model saved in this directory instead of training one. It is unpickled: take "
    "only files that you trust.",
)
@click.option(
    "--batch-key",
    metavar="COLUMN",
    type=Nullable(),
    help="Column of obs with batches to correct for. With --model those of training are taken.",
)
@click.option(
    "--labels-key",
    metavar="COLUMN",
    type=Nullable(),
    help="Column of obs with groups, such as cell types, for figures. No part of training.",
)
@click.option(
    "--protein-key", metavar="KEY", type=Nullable(), help="Key of obsm with protein counts."
)
@click.option(
    "--modalities",
    metavar="NAME=MODALITY",
    multiple=True,
    callback=as_mapping,
    help="For .h5mu: rna_layer=… and protein_layer=…, once for each. By default rna and one of "
    "prot, protein and adt.",
)
@click.option("--layer", metavar="LAYER", type=Nullable(), help="Layer with counts. By default X.")
@click.option(
    "--mask-var",
    metavar="COLUMN",
    type=Nullable(),
    default="highly_variable",
    help="Column of var with the genes to train on; the default is taken where there is one. '' "
    "takes all genes.",
)
@click.option(
    "--size-factor-key", metavar="COLUMN", type=Nullable(), help="Column of obs with size factors."
)
@click.option(
    "--categorical-covariate-keys",
    metavar="COLUMN",
    multiple=True,
    callback=as_list,
    help="Categorical column of obs to correct for too; once for each.",
)
@click.option(
    "--continuous-covariate-keys",
    metavar="COLUMN",
    multiple=True,
    callback=as_list,
    help="Column of obs with numbers to correct for too; once for each.",
)
@click.option(
    "--n-latent",
    type=click.IntRange(min=1),
    help="Dimensions of the latent space. By default 30.",
)
@click.option(
    "--attention",
    type=click.Choice(["memory", "induced", "features", "minibatch", "none"]),
    default="memory",
    help="Attention in the encoder, see sctools.model.SRSAVAE.",
)
@click.option(
    "--residual",
    type=click.Choice(["scaled", "plain", "none"]),
    default="scaled",
    help="Residual connections around attention.",
)
@click.option(
    "--prior",
    type=click.Choice(["mixture", "normal"]),
    default="mixture",
    help="Prior of the latent space; a mixture also gives each cell a component.",
)
@click.option(
    "--max-epochs",
    type=click.IntRange(min=1),
    help="Passes through the data. By default 200 up to 20,000 cells, then fewer, at least 10.",
)
@click.option(
    "--model-kwargs",
    metavar="JSON",
    type=JSONObject(),
    help="Further arguments of the model, such as '{\"n_hidden\": 64}'.",
)
@click.option(
    "--train-kwargs", metavar="JSON", type=JSONObject(), help="Further arguments of its train."
)
@click.option(
    "--denoised-protein-key",
    metavar="KEY",
    type=Nullable(),
    help="Key of obsm to write denoised proteins to. By default they are not computed.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    help="Cells that are encoded at a time. Results do not depend on it.",
)
@checkpoint_option("the state of the training")
@click.option("--key-added", metavar="KEY", default=SRSA_VAE, help="Name of the result.")
@click.option(
    "--rng", metavar="SEED", type=Seed(), default=0,
    help="Seed, a whole number; 'random' for another result each time.",
)  # fmt: skip
def srsa_vae(
    source: Path, output: Path, force: bool, save_model: Path | None, **options: Any
) -> None:
    """Embed the cells in IN (.h5ad, .zarr or .h5mu) with a self-attention VAE, from raw counts.

    Without --model one is trained on IN. Written are the latents to obsm["X_KEY"], attention to
    obsm["X_KEY_attention"], components to obs[KEY] and the rest to uns[KEY]; for .h5mu, in the RNA
    modality. See sctools.tl.srsa_vae.
    """
    model = options["model"]
    run(
        "srsa_vae",
        options,
        source=source,
        output=output,
        force=force,
        save_model=save_model,
        inputs={"--model": None if model is None else Path(model)},
        # Denoised proteins depend on the batches that they are drawn in.
        in_blocks=model is not None and options["denoised_protein_key"] is None,
    )
