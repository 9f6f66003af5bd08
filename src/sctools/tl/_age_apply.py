"""A trained age clock applied to new cells."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arguments import check_columns
from ..pp._cohort import read_cohort
from ._age_genes import clock_genes
from ._age_intervals import new_intervals
from ._age_record import Result, assess, donor_table, gene_coverage
from ._given_clock import given_clock
from ._params import recorded_params

if TYPE_CHECKING:
    from anndata import AnnData

    from ..model import AgeClock, LinearClock, PublishedClock

logger = logging.getLogger("sctools")

DEFAULT_CELL_TYPE_KEY = "cell_type"
DEFAULT_DONOR_KEY = "donor_id"


def apply_clock(
    adata: AnnData,
    model: AgeClock | LinearClock | PublishedClock | str | os.PathLike[str],
    *,
    age_key: str | None,
    donor_key: str | None,
    sample_key: str | None,
    cell_type_key: str | None,
    covariate_keys: Sequence[str] | Mapping[str, str] | None,
    layer: str | None,
    log_normalized: bool,
    gene_key: str | None,
    min_coverage: float,
    batch_size: int,
    level: float,
) -> Result:
    from ..model import AgeClock, LinearClock, PublishedClock
    from ..model._further_training import recorded_training

    model = given_clock(model)
    if donor_key == DEFAULT_DONOR_KEY and donor_key not in adata.obs.columns:
        donor_key = model.keys.get("donor_key", donor_key)
    if donor_key not in adata.obs.columns and donor_key in (
        DEFAULT_DONOR_KEY,
        model.keys.get("donor_key"),
    ):
        if not isinstance(model, LinearClock):  # says what it does instead
            logger.info("No column %r in adata.obs: every cell is aged on its own.", donor_key)
        donor_key = None
    own = model.keys.get("cell_type_key")
    if cell_type_key == DEFAULT_CELL_TYPE_KEY and (
        own in adata.obs.columns or cell_type_key not in adata.obs.columns
    ):
        cell_type_key = None  # the clock's own name for it, if it has one
    published = isinstance(model, PublishedClock)
    if isinstance(model, PublishedClock):  # any columns will do: record those that are read
        columns_read = model.choose_columns(
            adata, cell_type_key=cell_type_key, covariate_keys=covariate_keys
        )
        cell_type_key = columns_read.pop("cell_type")
        covariate_keys = {k: v for k, v in columns_read.items() if v is not None}
    has_ages = donor_key is not None and age_key in adata.obs.columns
    if has_ages and str(adata.uns.get("age_unit", model.age_unit)) != model.age_unit:
        raise ValueError(
            f"The clock's ages are in {model.age_unit}, those of `adata` in "
            f"{adata.uns['age_unit']} (`adata.uns['age_unit']`). Convert `adata.obs[{age_key!r}]`, "
            "or leave its ages out of it with `age_key=None`."
        )
    cohort = None
    if donor_key is not None:
        cohort = read_cohort(
            adata,
            age_key=age_key if has_ages else None,
            donor_key=donor_key,
            sample_key=sample_key,
        )
    predicted, specific = model.predict(
        adata,
        donor_key=donor_key,
        sample_key=sample_key,
        cell_type_key=cell_type_key,
        covariate_keys=covariate_keys,
        layer=layer,
        log_normalized=log_normalized,
        gene_key=gene_key,
        min_coverage=min_coverage,
        batch_size=batch_size,
        return_specific=True,
    )
    genes = {}
    if isinstance(model, AgeClock) and donor_key is not None:
        genes = clock_genes(
            model,
            adata,
            donor_key=donor_key,
            sample_key=sample_key,
            cell_type_key=cell_type_key,
            covariate_keys=covariate_keys,
            layer=layer,
            log_normalized=log_normalized,
            gene_key=gene_key,
            min_coverage=min_coverage,
            batch_size=batch_size,
        )
    cell_type_key = cell_type_key or model.keys.get("cell_type_key")
    record: dict[str, Any] = {
        "params": recorded_params(
            method="scageclock" if published else getattr(model, "method", "gma"),
            mode="applied",
            age_key=age_key if has_ages else None,
            donor_key=donor_key,
            sample_key=sample_key,
            cell_type_key=cell_type_key if cell_type_key in adata.obs.columns else None,
            covariate_keys=covariate_columns(
                covariate_keys or (not published and model.keys.get("covariate_keys")) or []
            ),
            layer=layer,
            log_normalized=log_normalized,
            trained_further=(
                recorded_training(model.trained_further)
                if isinstance(model, PublishedClock)
                else None
            ),
        ),
        "age_unit": model.age_unit,
        "coverage": gene_coverage(model, adata, gene_key, min_coverage),
        **genes,
    }
    if not isinstance(model, AgeClock):
        record["coverage"]["categories"] = model.match_categories(
            adata, cell_type_key=cell_type_key, covariate_keys=covariate_keys
        )
    columns: dict[str, Any] = {"predicted": predicted}
    if cohort is None:
        return model, columns, record
    known = np.flatnonzero(np.isfinite(cohort.age))
    mean_age = np.full(cohort.n_units, np.nan)
    if len(known):
        # Each donor is compared with the mean of the others: its own age is not known beforehand.
        donor = cohort.donor_code
        for i in known:
            others = known[donor[known] != donor[i]]
            mean_age[i] = cohort.age[others].mean() if len(others) else np.nan
    donors = donor_table(cohort, predicted, specific, mean_age)
    if isinstance(model, AgeClock):  # others know no held-out donors
        record["params"]["level"] = float(level)
        new_intervals(
            model,
            adata,
            columns,
            donors,
            cohort,
            cell_type_key=record["params"].get("cell_type_key"),
            level=level,
        )
    columns, record = assess(columns, record, donors, cohort, held_out=False)
    if "metrics" in record:
        names = np.unique(cohort.donor[known])
        n_seen = int(model.has_seen(names).sum())
        record["metrics"]["n_seen"] = n_seen
        if not isinstance(model, AgeClock):
            record["metrics"]["message"] += (
                " Whether the clock was trained on these donors is not known."
            )
        if n_seen:
            record["metrics"]["message"] += (
                f" But {n_seen} of these {len(names)} donors have names that the clock was trained "
                "on: if they are the same donors, this is no error on held-out donors."
            )
    return model, columns, record


def covariate_columns(keys: Sequence[str] | Mapping[str, str] | None) -> list[str]:
    """Columns of ``obs`` that ``covariate_keys`` names."""
    named = list(keys.values()) if isinstance(keys, Mapping) else keys
    return check_columns(named, "covariate_keys")
