"""What :func:`sctools.tl.srsa_vae` writes: latents, attention, components and how it was done."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import __version__
from .._keys import SRSAVAEKeys

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from ..model import SRSAVAE, MultimodalSRSAVAE

READABLE = ("memory", "induced", "features")
"""Attention whose tokens are the same for every cell, so that their weights can be compared."""

DENOISING_SAMPLES = 10
HISTORY = {
    "train_loss": "train_loss",
    "elbo_train": "elbo_train",
    "elbo_validation": "elbo_validation",
    "reconstruction_loss_train": "reconstruction_loss_train",
    "kl_local_train": "kl_local_train",
    "kl_weight_train": "kl_weight",
    "alpha_train": "alpha",
    "beta_train": "beta",
    "attention_entropy_train": "attention_entropy",
    "token_entropy_train": "token_entropy",
}
"""Metrics of training that are kept, and their columns."""


def encode(
    vae: SRSAVAE | MultimodalSRSAVAE,
    query: AnnData,
    batch_size: int | None,
    *,
    denoise: bool,
    seed: int,
) -> dict[str, Any]:
    """Return the arrays to write, by field of the keys."""
    from ..model._runner import quiet, seeded

    block = vae.module.block
    with quiet(), seeded(seed):
        arrays: dict[str, Any] = {
            "latent": vae.get_latent_representation(query, batch_size=batch_size)
        }
        if block is not None and block.attention in READABLE:
            arrays["attention"] = vae.get_attention(query, batch_size=batch_size)
        if vae.module.prior is not None:
            found = vae.get_components(query, batch_size=batch_size).argmax(axis=1)
            used, codes = np.unique(found, return_inverse=True)
            arrays["component"] = pd.Categorical.from_codes(codes, [str(k) for k in used])
        if denoise:
            _, arrays["denoised"] = vae.get_normalized_expression(
                query, n_samples=DENOISING_SAMPLES
            )  # samples are drawn batch by batch, so their size is not the user's
    return arrays


def model_params(vae: SRSAVAE | MultimodalSRSAVAE) -> dict[str, Any]:
    """How the model was made, as plain values."""
    setup, block, prior = vae.registry_["setup_args"], vae.module.block, vae.module.prior
    return {
        "model": type(vae).__name__,
        "batch_key": setup.get("batch_key"),
        "categorical_covariate_keys": setup.get("categorical_covariate_keys"),
        "continuous_covariate_keys": setup.get("continuous_covariate_keys"),
        "size_factor_key": setup.get("size_factor_key"),
        "encoder": "scvi" if block is None else "srsa",
        "attention": "none" if block is None else block.attention,
        "residual": "plain" if block is None else block.residual,
        "n_tokens": None if block is None else (block.n_tokens or None),
        "prior": "normal" if prior is None else "mixture",
        "n_components": None if prior is None else len(prior.logits),
        "n_latent": vae.module.n_latent,
        "kl_z_weight": float(vae.module.kl_z_weight),
        "linear_weight": float(vae.module.linear_weight),
    }


def history_table(vae: SRSAVAE | MultimodalSRSAVAE) -> pd.DataFrame:
    """Metrics of training, one row per epoch."""
    history = vae.history
    columns = {
        column: history[name].iloc[:, 0].astype(float).reset_index(drop=True)
        for name, column in HISTORY.items()
        if name in history
    }
    table = pd.DataFrame(columns)
    table.insert(0, "epoch", np.arange(len(table)))
    return table


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    return {"sctools": __version__, **{name: version(name) for name in ("scvi-tools", "torch")}}


def write_result(
    target: AnnData | MuData,
    modality: str | None,
    keys: SRSAVAEKeys,
    arrays: dict[str, Any],
    record: dict[str, Any],
    denoised_key: str | None,
) -> None:
    """Write everything, and remove what an earlier result under the same name had more."""
    adata = target if modality is None else target.mod[modality]
    adata.obsm[keys.latent] = arrays["latent"]
    if "attention" in arrays:
        adata.obsm[keys.attention] = arrays["attention"]
    elif keys.attention in adata.obsm:
        del adata.obsm[keys.attention]
    if "component" in arrays:
        adata.obs[keys.component] = arrays["component"]
    elif keys.component in adata.obs.columns:
        del adata.obs[keys.component]
    if denoised_key is not None:
        adata.obsm[denoised_key] = arrays["denoised"].set_axis(adata.obs_names, axis=0)
    adata.uns[keys.uns] = record
    if modality is not None:
        _pull(target, modality, keys.component)


def _pull(mdata: MuData, modality: str, column: str) -> None:
    """Bring a column of a modality to the top, or remove it there.

    As `mdata.pull_obs` names it; `mdata.update` would by default pull all other columns again.
    """
    obs, above = mdata.mod[modality].obs, f"{modality}:{column}"
    if column in obs.columns:
        mdata.obs[above] = obs[column].reindex(mdata.obs_names)
    elif above in mdata.obs.columns:
        del mdata.obs[above]
