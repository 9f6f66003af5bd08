"""AnnData with the keys that ``tl.srsa_vae`` writes, built by hand: no model and no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from natsort import natsorted
from scipy import sparse


def fake_vae_result(
    cell_types: Sequence[str] = ("B cell", "T cell", "Monocyte"),
    *,
    n_cells: int = 40,
    n_tokens: int = 8,
    n_unused: int = 2,
    sharpness: float = 4.0,
    attention: str = "memory",
    labels_key: str | None = None,
    components: bool = True,
    applied: bool = False,
    validation: bool = True,
    n_epochs: int = 40,
    key: str = "srsa_vae",
    seed: int = 0,
) -> AnnData:
    """Build a result whose group ``i`` favours the used token ``i`` (modulo their number).

    Used tokens come in an order of chance, so that a diagonal is none by itself. The last
    ``n_unused`` tokens get next to nothing. ``sharpness`` is the logit of the favoured token over
    the others: near zero, attention is nearly even. Group ``i`` has ``n_cells + i`` cells.
    """
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(cell_types)), n_cells + np.arange(len(cell_types)))
    groups = rng.permutation(groups)
    n = len(groups)
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(n)])
    obs["cell_type"] = pd.Categorical(np.asarray(cell_types, dtype=object)[groups])
    obs["n_counts"] = rng.gamma(4.0, 500.0, n)
    if components:
        used = natsorted({str(3 * group) for group in groups})
        obs[key] = pd.Categorical((3 * groups).astype(str), categories=used)

    params: dict[str, object] = {
        "method": "srsa_vae",
        "mode": "applied" if applied else "trained",
        "attention": attention,
        "residual": "scaled",
        "prior": "mixture" if components else "normal",
        "encoder": "srsa",
        "n_latent": 10,
        "n_tokens": n_tokens,
        "seed": seed,
    }
    if labels_key is not None:
        params["labels_key"] = labels_key
    result: dict[str, object] = {"params": params, "versions": {"sctools": "0.2.0"}}
    obsm = {f"X_{key}": rng.normal(size=(n, 10)).astype("float32")}
    if attention != "none":
        n_used = n_tokens - n_unused
        logits = rng.normal(0, 0.3, (n, n_tokens))
        logits[np.arange(n), favoured_tokens(len(cell_types), n_used, seed)[groups]] += sharpness
        logits[:, n_used:] = -9
        weights = np.exp(logits)
        weights /= weights.sum(axis=1, keepdims=True)
        obsm[f"X_{key}_attention"] = weights.astype("float32")
    if not applied:
        result["history"] = _history(n_epochs, attention != "none", validation, rng)
    counts = sparse.csr_matrix(rng.poisson(1.0, (n, 5)).astype("float32"))
    var = pd.DataFrame(index=[f"gene{i}" for i in range(5)])
    return AnnData(counts, obs=obs, var=var, obsm=obsm, uns={key: result})


def favoured_tokens(n_groups: int, n_used: int, seed: int = 0) -> np.ndarray:
    """Token that each group favours."""
    order = np.random.default_rng(seed + 1).permutation(n_used)
    return order[np.arange(n_groups) % n_used]


def _history(
    n_epochs: int, attention: bool, validation: bool, rng: np.random.Generator
) -> pd.DataFrame:
    epoch = np.arange(n_epochs)
    loss = 900 + 260 * np.exp(-epoch / 4) + rng.normal(0, 2, n_epochs)
    kl = 20 * (1 - np.exp(-epoch / 10))
    history = pd.DataFrame({"epoch": epoch, "elbo_train": loss})
    if validation:
        history["elbo_validation"] = loss + 15 + rng.normal(0, 4, n_epochs)
    history["reconstruction_loss_train"] = loss - kl
    history["kl_local_train"] = kl
    history["kl_weight"] = np.minimum(epoch / (n_epochs / 2), 1.0)
    if attention:
        history["alpha"] = 1 + 0.1 * (1 - np.exp(-epoch / 20))
        history["beta"] = 0.1 + 0.4 * (1 - np.exp(-epoch / 15))
        history["attention_entropy"] = 0.55 + 0.44 * np.exp(-epoch / 12)
        history["token_entropy"] = 0.93 + 0.06 * np.exp(-epoch / 12)
    return history
