"""Methods of the clustering benchmark, by name.

Every VAE sees the same counts and trains for the same epochs with the same batch size, without
early stopping. scvi-tools' models keep their optimiser. Their KL warm-up is set to half of the
epochs, which is what ours takes: by default it lasts 400 epochs, and would not end here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import anndata as ad
import numpy as np
import scvi
from _clustering_data import PROTEIN
from sklearn.decomposition import PCA

import sctools

N_COMPONENTS = 30
N_ENCODINGS = 3


@dataclass(frozen=True)
class Settings:
    """What all methods share; the defaults of the command line.

    Attributes
    ----------
    n_genes
        Number of variable genes.
    max_epochs
        Epochs of every VAE.
    batch_size
        Mini-batch of every VAE.
    n_latent
        Width of every VAE's latent space. ``None`` takes each model's own default (10, with
        protein 20); PCA has 30 components.
    """

    n_genes: int = 1200
    max_epochs: int = 60
    batch_size: int = 256
    n_latent: int | None = None


@dataclass(frozen=True)
class Fit:
    """A latent space and what it took, in seconds of CPU: one thread, and others do not count."""

    latent: np.ndarray
    epochs: float
    seconds_training: float
    seconds_encoding: float


@dataclass(frozen=True)
class Components:
    """Principal components of RNA, protein, or both side by side."""

    label: str
    rna: bool = True
    protein: bool = False

    def fit(self, adata: ad.AnnData, settings: Settings, seed: int) -> Fit:
        """Fit and encode; the result does not depend on the seed."""
        start = time.process_time()
        blocks = []
        if self.rna:
            blocks.append(adata.layers["log_normalized"].toarray())
        if self.protein:
            blocks.append(centred_log_ratio(np.asarray(adata.obsm[PROTEIN], dtype=np.float32)))
        fitted = [
            PCA(min(N_COMPONENTS, X.shape[1] - 1), svd_solver="covariance_eigh").fit(X)
            for X in blocks
        ]
        trained = time.process_time()
        latents = [model.transform(X) for model, X in zip(fitted, blocks, strict=True)]
        if len(latents) > 1:
            # Each modality weighs the same; as they are, RNA has 96 % of CBMC's variance.
            latents = [latent / np.sqrt(latent.var(axis=0).sum()) for latent in latents]
        latent = np.hstack(latents)
        return Fit(latent, np.nan, trained - start, time.process_time() - trained)


@dataclass(frozen=True)
class VAE:
    """A model in the scvi-tools protocol.

    Attributes
    ----------
    label
        Name in tables and figures.
    model
        Name of the class, in ``sctools.model`` or else in ``scvi.model``.
    options
        Arguments of the constructor besides the data.
    size_factors
        Give the model each cell's depth over all genes, as size factors.
    training
        Further arguments of ``train``.
    """

    label: str
    model: str
    options: dict[str, Any] = field(default_factory=dict)
    size_factors: bool = False
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def ours(self) -> bool:
        """Whether the model is one of sctools."""
        return "SRSA" in self.model

    def build(self, adata: ad.AnnData, settings: Settings, seed: int) -> Any:
        """Register a copy of the data and make the model."""
        scvi.settings.seed = seed
        adata = adata.copy()
        cls = getattr(sctools.model if self.ours else scvi.model, self.model)
        keys = {"batch_key": "batch"} if "batch" in adata.obs else {}
        if self.ours:
            keys["depth_key"] = "depth"
        if self.size_factors:
            adata.obs["size_factor"] = adata.obs["depth"] / adata.obs["depth"].mean()
            keys["size_factor_key"] = "size_factor"
        if self.model in ("TOTALVI", "MultimodalSRSAVAE"):
            keys["protein_expression_obsm_key"] = PROTEIN
        cls.setup_anndata(adata, **keys)
        size = {} if settings.n_latent is None else {"n_latent": settings.n_latent}
        return cls(adata, **self.options, **size)

    def train(
        self,
        model: Any,
        settings: Settings,
        seed: int,
        *,
        max_epochs: int | None = None,
        callbacks: Sequence[Any] = (),
    ) -> None:
        """Train in place, quietly."""
        max_epochs = settings.max_epochs if max_epochs is None else max_epochs
        arguments: dict[str, Any] = {
            "max_epochs": max_epochs,
            "batch_size": settings.batch_size,
            "early_stopping": False,
            "accelerator": "cpu",
            "callbacks": list(callbacks),
        }
        if self.ours:
            arguments |= {"rng": seed, "progress_bar": False}
        else:
            warmup = {"n_epochs_kl_warmup": max_epochs // 2}
            # TOTALVI.train overwrites what the plan is given with its own argument.
            arguments |= warmup if self.model == "TOTALVI" else {"plan_kwargs": warmup}
            arguments["enable_progress_bar"] = False
        model.train(**arguments, **self.training)

    def fit(self, adata: ad.AnnData, settings: Settings, seed: int) -> Fit:
        """Train, then encode all cells."""
        model = self.build(adata, settings, seed)
        start = time.process_time()
        self.train(model, settings, seed)
        seconds = time.process_time() - start
        encoding, latent = zip(*(encode(model) for _ in range(N_ENCODINGS)), strict=True)
        epochs = len(model.history["elbo_train"])
        return Fit(latent[0], epochs, seconds, float(np.median(encoding)))


def encode(model: Any) -> tuple[float, np.ndarray]:
    """Seconds of encoding all cells, and their latents."""
    start = time.process_time()
    latent = model.get_latent_representation()
    return time.process_time() - start, latent


def centred_log_ratio(counts: np.ndarray) -> np.ndarray:
    """Logarithms of protein counts minus their mean within the cell, of shape ``(n_obs, n)``."""
    logs = np.log1p(counts)
    return logs - logs.mean(axis=1, keepdims=True)


Method = Components | VAE


def srsa(label: str = "", *, model: str = "SRSAVAE", **options: Any) -> VAE:
    """SRSA-VAE with its defaults but for ``options``."""
    return VAE(f"SRSA-VAE, {label}" if label else "SRSA-VAE", model, options)


RNA_METHODS: dict[str, Method] = {
    # Our likelihood; scVI's default is zero-inflated.
    "scvi": VAE("scVI", "SCVI", {"gene_likelihood": "nb"}),
    "scvi-depth": VAE("scVI, size factors", "SCVI", {"gene_likelihood": "nb"}, size_factors=True),
    "scvi-30": VAE("scVI, 30 latents", "SCVI", {"gene_likelihood": "nb", "n_latent": 30}),
    "pca": Components("PCA"),
    "ldvae": VAE("LDVAE", "LinearSCVI", {"gene_likelihood": "nb"}),
    "srsa": srsa(),
    "srsa-no-attention": srsa("no attention", attention="none"),
    "srsa-induced": srsa("induced attention", attention="induced"),
    "srsa-features": srsa("feature attention", attention="features"),
    "srsa-minibatch": srsa("mini-batch attention", attention="minibatch"),
    "srsa-no-residual": srsa("no residual", residual="none"),
    "srsa-plain-residual": srsa("plain residual", residual="plain"),
    "srsa-normal-prior": srsa("normal prior", prior="normal"),
    "srsa-no-linear-view": srsa("no linear view", linear_weight=0.0),
    "srsa-no-attention-normal-prior": srsa(
        "no attention, normal prior", attention="none", prior="normal"
    ),
}
CITE_METHODS: dict[str, Method] = {
    "totalvi": VAE("totalVI", "TOTALVI"),
    "pca-rna": Components("PCA of RNA"),
    "pca-protein": Components("PCA of protein", rna=False, protein=True),
    "pca-both": Components("PCA of RNA and protein", protein=True),
    "srsa-cite": srsa(model="MultimodalSRSAVAE"),
    "srsa-cite-slow": VAE(
        "SRSA-VAE, learning rate 0.002", "MultimodalSRSAVAE", training={"lr": 2e-3}
    ),
    "srsa-cite-no-attention": srsa("no attention", model="MultimodalSRSAVAE", attention="none"),
    "srsa-cite-normal-prior": srsa("normal prior", model="MultimodalSRSAVAE", prior="normal"),
}
METHODS = RNA_METHODS | CITE_METHODS
# What the others are compared with, pair by pair; seconds are divided by those of the first.
RNA_REFERENCES = ("scvi", "pca", "srsa")
CITE_REFERENCES = ("totalvi", "pca-both", "srsa-cite")
BATCH_METHODS = ("scvi", "pca", "srsa")
