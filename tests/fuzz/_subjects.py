"""The functions that are tried, each with a small valid call: tiny networks, one epoch."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from anndata import AnnData
from mudata import MuData

import sctools.model._runner  # noqa: F401 - loading its libraries draws from the random state
from sctools import _keys, datasets, get, model, pl, pp, tl

from .. import _scageclock
from .._vaes import PROTEINS, multimodal
from ._case import Subject

CLOCK: dict[str, Any] = {
    "n_folds": 2,
    "model_kwargs": {"n_repeats": 1, "n_inner_folds": 2, "n_hidden": 8, "head": (4,)},
    "train_kwargs": {"max_epochs": 1, "steps_per_epoch": 2},
}
VAE: dict[str, Any] = {
    "max_epochs": 1,
    "n_latent": 4,
    "model_kwargs": {"n_hidden": 16, "n_tokens": 4, "n_components": 3},
    "train_kwargs": {"batch_size": 32},
}
VAE_PROTEIN: dict[str, Any] = {
    **VAE,
    "model_kwargs": {**VAE["model_kwargs"], "empirical_protein_background_prior": False},
}
PRIOR: dict[str, Any] = {
    "max_epochs": 1,
    "model_kwargs": {"n_hidden": 8, "n_heads": 2},
    "train_kwargs": {"batch_size": 16},
}

# ------------------------------------------------------------------------- data


@functools.cache
def _cohort() -> AnnData:
    adata = datasets.aging_cohort(
        8, n_genes=60, cells_per_donor=9, n_age_genes=15, n_marker_genes=4, n_sex_genes=3,
        group_acceleration=5, rng=0,
    )  # fmt: skip
    adata.uns = {"age_unit": "years"}
    adata.obs["visit"] = "first"
    return adata


@functools.cache
def _regulated() -> AnnData:
    adata = datasets.regulated_cells(
        70, n_types=3, n_tfs=8, n_genes=60, n_targets=5, n_batches=3, rng=0
    )
    adata.uns = {"prior": adata.uns["prior"]}
    adata.obs["held out"] = np.arange(adata.n_obs) % 3 == 0
    return adata


@functools.cache
def _mixture() -> AnnData:
    adata = datasets.immune_mixture(60, n_genes=70, rng=0)
    adata.obsm[PROTEINS] = adata.obsm[PROTEINS].copy()
    adata.obs["depth"] = adata.X.sum(axis=1).A1 + 1.0
    return adata


@functools.cache
def _published_cells() -> AnnData:
    return _scageclock.cells(_scageclock.tokens(60))


@functools.cache
def _aged() -> AnnData:
    """Cells with results of the clock, of accelerations and of a comparison."""
    adata = datasets.aging_cohort(
        14, n_genes=50, cells_per_donor=9, n_age_genes=15, n_marker_genes=4, n_sex_genes=3,
        group_acceleration=5, rng=0,
    )  # fmt: skip
    adata.uns = {"age_unit": "years"}
    tl.age_clock(adata, **CLOCK)
    tl.age_acceleration(adata, "group")
    tl.compare_clocks(adata, ["ridge"], n_folds=2, n_bootstrap=5)
    return adata


@functools.cache
def _embedded() -> AnnData:
    adata = _mixture().copy()
    tl.srsa_vae(adata, labels_key="cell_type", **VAE)
    return adata


@functools.cache
def _explained() -> AnnData:
    adata = _regulated().copy()
    sure = {"min_confidence": 0.0, "min_typicality": 0.0}
    tl.prior_transformer(adata, "cell_type", "prior", **PRIOR, **sure)
    pp.prior_network(adata, "prior", n_top_genes=40)
    tl.compare_priors(adata, "cell_type", "prior", **comparison())
    del adata.uns["prior"]
    return adata


# ------------------------------------------------------------------------- trained models


@functools.cache
def age_clock() -> model.AgeClock:
    return tl.age_clock(_cohort().copy(), **CLOCK, return_model=True)


@functools.cache
def published_clock() -> model.PublishedClock:
    return model.AgeClock.from_scageclock(
        _scageclock.layers().state_dict(),
        _scageclock.gene_table(_scageclock.tokens(60)),
        _scageclock.category_tables(),
    )


@functools.cache
def linear_clock() -> model.LinearClock:
    genes = [str(name) for name in _cohort().var_names[::2]]
    weights = {name: 0.1 * (i % 5 - 2) for i, name in enumerate(genes)}
    types = _cohort().obs["cell_type"].unique()
    return model.LinearClock({name: weights for name in types}, {name: 50.0 for name in types})


@functools.cache
def srsa_vae() -> model.SRSAVAE:
    return tl.srsa_vae(_mixture().copy(), batch_key="batch", **VAE, return_model=True)


@functools.cache
def multimodal_vae() -> model.MultimodalSRSAVAE:
    return tl.srsa_vae(
        _mixture().copy(), batch_key="batch", protein_key=PROTEINS, **VAE_PROTEIN, return_model=True
    )


@functools.cache
def prior_transformer() -> model.PriorTransformer:
    adata = _regulated().copy()
    return tl.prior_transformer(adata, "cell_type", "prior", **PRIOR, return_model=True)


def comparison() -> dict[str, Any]:
    """Arguments of a quick comparison of priors."""
    return {
        "modes": ["hard", "logistic regression"],
        "label_fractions": [1.0],
        "n_splits": 1,
        "model_kwargs": dict(PRIOR["model_kwargs"]),
        "train_kwargs": {**PRIOR["train_kwargs"], "max_epochs": 1},
    }


def _joined() -> MuData:
    return multimodal(_mixture())


def _options(settings: dict[str, Any]) -> dict[str, Any]:
    """The same settings with dictionaries of one's own."""
    return {
        name: dict(value) if isinstance(value, dict) else value for name, value in settings.items()
    }


# ------------------------------------------------------------------------- subjects

OUTPUT = ({"copy": True}, {"return_model": True}, {"copy": True, "return_model": True})
DATA = ("values", "form", "shape", "names", "columns", "keys", "arguments", "arguments")


def _key_alone(key: str, kwargs: dict[str, Any]) -> tuple[str, ...]:
    return (key,)


def _prior_writes(key: str, kwargs: dict[str, Any]) -> tuple[str, ...]:
    return tuple(_keys.PriorKeys.of(key))


def _vae_writes(key: str, kwargs: dict[str, Any]) -> tuple[str, ...]:
    denoised = kwargs.get("denoised_protein_key")
    above = (f"rna:{key}", f"prot:{key}")
    return (*_keys.SRSAVAEKeys.of(key), *above, *([denoised] if denoised else []))


def _clock_writes(key: str, kwargs: dict[str, Any]) -> tuple[str, ...]:
    return tuple(_keys.AgeClockKeys.of(key))


OF_CLOCK = (get.age_df, get.donor_age_df, get.age_genes_df, pl.age_clock, pl.age_genes)
OF_PRIOR = (get.attention_df, pl.prior_transformer, pl.tf_dotplot, pl.confusion)

TOOLS = [
    Subject(
        "age_clock", tl.age_clock, lambda: _cohort().copy(), lambda: _options(CLOCK),
        variants=(
            {}, *OUTPUT, {"covariate_keys": ["sex"]}, {"sample_key": "visit"},
            {"cell_type_key": None}, {"rng": np.random.default_rng(0)}, {"train_kwargs": None},
            {"method": "ridge", "model_kwargs": None, "train_kwargs": None},
            {"method": "donor_attention", "model_kwargs": None, "train_kwargs": None},
        ),
        columns=("age", "donor_id", "cell_type", "sex", "visit"),
        writes=_clock_writes, then=OF_CLOCK,
    ),
    Subject(
        "age_clock:applied", tl.age_clock, lambda: _cohort().copy(),
        lambda: {"model": age_clock()},
        variants=(
            {}, *OUTPUT, {"donor_key": None}, {"age_key": None}, {"sample_key": "visit"},
            {"batch_size": 7}, {"min_coverage": 0.0},
        ),
        columns=("age", "donor_id", "cell_type", "visit"),
        writes=_clock_writes, then=OF_CLOCK,
    ),
    Subject(
        "age_clock:linear", tl.age_clock, lambda: _cohort().copy(),
        lambda: {"model": linear_clock()},
        variants=({}, *OUTPUT, {"donor_key": None}, {"age_key": None}, {"min_coverage": 0.0}),
        columns=("age", "donor_id", "cell_type"),
        writes=_clock_writes, then=OF_CLOCK,
    ),
    Subject(
        "age_clock:published", tl.age_clock, lambda: _published_cells().copy(),
        lambda: {"model": published_clock()},
        variants=({}, *OUTPUT, {"donor_key": None}, {"covariate_keys": {"sex": "sex"}}),
        columns=("age", "donor_id", "assay", "cell_type", "tissue_general", "sex"),
        writes=_clock_writes, then=OF_CLOCK,
    ),
    Subject(
        "age_acceleration", tl.age_acceleration, lambda: _aged().copy(),
        lambda: {"groupby": "group"},
        variants=(
            {}, {"copy": True}, {"reference": "control"}, {"covariates": ["sex"]},
            {"specific": False}, {"age_degree": 3}, {"equal_spread": True},
        ),
        columns=("age", "donor_id", "cell_type", "sex", "group", "age_clock"),
        families=(*DATA[2:], "results", "columns"),
        writes=_key_alone, then=(get.age_acceleration_df, pl.age_acceleration),
    ),
    Subject(
        "compare_clocks", tl.compare_clocks, lambda: _cohort().copy(),
        lambda: {"methods": ["ridge", "pls"], "n_folds": 2, "n_bootstrap": 5},
        variants=(
            {}, {"copy": True}, {"sample_key": "visit"}, {"inputs": "cells"},
            {"inputs": ["sums", "pseudocells"]}, {"cell_type_key": None},
            {"methods": ["donor_attention", "elastic_net"]},
        ),
        columns=("age", "donor_id", "cell_type", "visit"),
        writes=_key_alone, then=(pl.compare_clocks,),
    ),
    Subject(
        "srsa_vae", tl.srsa_vae, lambda: _mixture().copy(), lambda: _options(VAE),
        variants=(
            {}, *OUTPUT, {"batch_key": "batch"}, {"labels_key": "cell_type"},
            {"size_factor_key": "depth"}, {"continuous_covariate_keys": ["depth"]},
            {"categorical_covariate_keys": ["donor_id"]}, {"attention": "minibatch"},
            {"attention": "none", "prior": "normal"}, {"attention": "features"},
            {"attention": "induced", "residual": "plain"},
        ),
        columns=("batch", "cell_type", "depth", "donor_id"),
        writes=_vae_writes, then=(pl.srsa_vae, pl.training_history),
    ),
    Subject(
        "srsa_vae:proteins", tl.srsa_vae, lambda: _mixture().copy(),
        lambda: {**_options(VAE_PROTEIN), "protein_key": PROTEINS},
        variants=({}, *OUTPUT, {"batch_key": "batch"}, {"denoised_protein_key": "denoised"}),
        columns=("batch", "cell_type"),
        families=(*DATA, "proteins", "proteins"),
        writes=_vae_writes, then=(pl.srsa_vae,),
    ),
    Subject(
        "srsa_vae:mudata", tl.srsa_vae, _joined, lambda: _options(VAE_PROTEIN),
        variants=({}, *OUTPUT, {"batch_key": "batch"}, {"denoised_protein_key": "denoised"}),
        columns=("batch", "cell_type"),
        families=(*DATA, "proteins", "proteins"),
        writes=_vae_writes,
    ),
    Subject(
        "srsa_vae:applied", tl.srsa_vae, lambda: _mixture().copy(), lambda: {"model": srsa_vae()},
        variants=({}, *OUTPUT, {"labels_key": "cell_type"}, {"batch_size": 7}),
        columns=("batch", "cell_type"),
        writes=_vae_writes, then=(pl.srsa_vae,),
    ),
    Subject(
        "srsa_vae:mudata_applied", tl.srsa_vae, _joined, lambda: {"model": multimodal_vae()},
        variants=({}, *OUTPUT, {"denoised_protein_key": "denoised"}),
        columns=("batch", "cell_type"),
        families=(*DATA, "proteins", "proteins"),
        writes=_vae_writes,
    ),
    Subject(
        "prior_transformer", tl.prior_transformer, lambda: _regulated().copy(),
        lambda: {**_options(PRIOR), "labels_key": "cell_type", "net": "prior"},
        variants=(
            {}, *OUTPUT, {"batch_key": "batch"}, {"prior": "soft"}, {"prior": "shuffled"},
            {"unlabeled_category": "type1"}, {"groupby": "batch"}, {"n_top_genes": 20},
        ),
        columns=("cell_type", "batch"),
        families=(*DATA, "network"),
        writes=_prior_writes, then=OF_PRIOR,
    ),
    Subject(
        "prior_transformer:applied", tl.prior_transformer, lambda: _regulated().copy(),
        lambda: {"model": prior_transformer()},
        variants=(
            {}, *OUTPUT, {"groupby": "batch"}, {"labels_key": "cell_type"}, {"batch_size": 7},
            {"min_confidence": 1.0}, {"min_typicality": 0.0},
        ),
        columns=("cell_type", "batch"),
        writes=_prior_writes, then=OF_PRIOR[:-1],
    ),
    Subject(
        "compare_priors", tl.compare_priors, lambda: _regulated().copy(),
        lambda: {"labels_key": "cell_type", "net": "prior", **comparison()},
        variants=(
            {}, {"copy": True}, {"test_key": "held out"}, {"modes": ["logistic regression"]},
            {"unlabeled_category": "type1"}, {"label_fractions": [0.2, 1.0]},
        ),
        columns=("cell_type", "held out"),
        families=(*DATA, "network"),
        writes=_key_alone, then=(pl.compare_priors,),
    ),
    Subject(
        "prior_network", pp.prior_network, lambda: _regulated().copy(), lambda: {"net": "prior"},
        variants=({}, {"copy": True}, {"n_top_genes": 20}, {"complexes": "drop"}, {"min_cells": 1}),
        columns=("cell_type",),
        families=(*DATA[:4], "network", "network", "keys", "arguments"),
        writes=_key_alone, then=(pl.prior_coverage,),
    ),
    Subject(
        "match_genes", pp.match_genes, lambda: _cohort().copy(),
        lambda: {"genes": [str(name) for name in _cohort().var_names[:20]]},
        variants=({}, {"min_coverage": 0.0}),
        columns=("age",),
        families=("shape", "names", "arguments"),
    ),
]  # fmt: skip
"""Functions that compute."""


def _reader(function: Any, base: Any, columns: tuple[str, ...], **kwargs: Any) -> Subject:
    """A function of :mod:`sctools.get` or :mod:`sctools.pl`."""
    namespace = function.__module__.split(".")[1]
    return Subject(
        f"{namespace}.{function.__name__}",
        function,
        lambda: base().copy(),
        lambda: dict(kwargs),
        columns=columns,
        families=("results", "results", "shape", "columns", "columns", "keys"),
    )


_OF_AGES = ("age", "donor_id", "cell_type", "group", "age_clock", "age_clock_acceleration")
_ONE_TYPE = "type1"
_OF_TYPES = ("cell_type", "batch", "prior_transformer", "prior_transformer_confidence")

READERS = [
    *(
        _reader(function, _aged, _OF_AGES)
        for function in (
            get.age_df, get.donor_age_df, get.age_genes_df, get.age_acceleration_df,
            pl.age_clock, pl.age_by_celltype, pl.age_acceleration, pl.age_genes,
            pl.compare_clocks, pl.training_history,
        )
    ),
    *(
        _reader(function, _explained, _OF_TYPES)
        for function in (
            get.attention_df, pl.prior_transformer, pl.tf_dotplot, pl.prior_coverage,
            pl.compare_priors,
        )
    ),
    _reader(pl.calibration, _explained, _OF_TYPES, split="all"),
    _reader(pl.confusion, _explained, _OF_TYPES, split="all"),
    _reader(pl.attention_network, _explained, _OF_TYPES, group=_ONE_TYPE),
    _reader(pl.srsa_vae, _embedded, ("cell_type", "batch", "srsa_vae")),
]  # fmt: skip
"""Functions that read results."""

SUBJECTS = {subject.name: subject for subject in (*TOOLS, *READERS)}
