"""How data are stored, in what order and in what portions they are read, changes no answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sctools import get, pp

from .._fake_results import fake_age_result
from ..fuzz._subjects import SUBJECTS
from ..fuzz._values import STORAGE

FORMS = [
    name for name in STORAGE if name not in ("coo", "dask", "np.matrix", "masked")
]  # what AnnData cannot index, and what is refused
DTYPES = ["float32", "float64", "int32", "int64", "uint16", "bool"]
QUICK = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def ages(adata: Any) -> np.ndarray:
    return adata.obs["age_clock"].to_numpy()[:, None]


def latents(adata: Any) -> np.ndarray:
    return adata.obsm["X_srsa_vae"]


def answers(adata: Any) -> np.ndarray:
    parts = [adata.obsm[f"prior_transformer{end}"] for end in ("_proba", "_tf")]
    return np.hstack([adata.obsm["X_prior_transformer"], *map(np.asarray, parts)])


APPLIED = {
    "age_clock:applied": ages,
    "age_clock:linear": ages,
    "age_clock:published": ages,
    "srsa_vae:applied": latents,
    "prior_transformer:applied": answers,
}
"""Tools with a trained model, and what they say of each cell."""


def say(name: str, adata: Any, **kwargs: Any) -> np.ndarray:
    subject = SUBJECTS[name]
    subject.function(adata, **subject.kwargs(), **kwargs)
    return APPLIED[name](adata)


def counts(adata: Any) -> np.ndarray:
    return adata.X.toarray().astype(np.float64)


@pytest.mark.parametrize("name", APPLIED)
@QUICK
@given(
    form=st.sampled_from(FORMS),
    rows=st.randoms(use_true_random=False),
    batch_size=st.integers(1, 100),
    in_a_layer=st.booleans(),
)
def test_storage_order_and_portions(name, form, rows, batch_size, in_a_layer):
    adata = SUBJECTS[name].base()
    expected = say(name, adata.copy())
    order = np.array(rows.sample(range(adata.n_obs), adata.n_obs))
    genes = np.array(rows.sample(range(adata.n_vars), adata.n_vars))
    other = adata[order][:, genes].copy()
    other.X = STORAGE[form](counts(other))
    kwargs = {"batch_size": batch_size}
    if in_a_layer:
        other.layers["counts"], other.X = other.X, None
        kwargs["layer"] = "counts"
    found = say(name, other, **kwargs)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected[order], rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("name", APPLIED)
@QUICK
@given(dtype=st.sampled_from(DTYPES), dense=st.booleans(), scale=st.sampled_from([1, 200]))
def test_dtypes(name, dtype, dense, scale):
    adata = SUBJECTS[name].base()
    values = np.minimum(counts(adata) * scale, 60_000 if dtype == "uint16" else np.inf)
    values = values.astype(dtype)
    adata.X = STORAGE["csr_array"](values.astype(np.float64)).astype("float64")
    expected = say(name, adata.copy())
    adata.X = values if dense else type(adata.X)(values)
    np.testing.assert_allclose(say(name, adata), expected, rtol=1e-4, atol=2e-4)


@QUICK
@given(
    form=st.sampled_from(FORMS),
    order=st.randoms(use_true_random=False),
    n_top_genes=st.integers(5, 60),
    min_cells=st.integers(1, 30),
)
def test_prior_network(form, order, n_top_genes, min_cells):
    """Cells in another order and storage give the same genes and edges."""
    adata = SUBJECTS["prior_network"].base()
    kwargs = {"n_top_genes": n_top_genes, "min_cells": min_cells}
    expected = adata.copy()
    try:
        pp.prior_network(expected, "prior", **kwargs)
    except ValueError:
        expected = None
    other = adata[np.array(order.sample(range(adata.n_obs), adata.n_obs))].copy()
    other.X = STORAGE[form](counts(other))
    if expected is None:
        with pytest.raises(ValueError, match="No edge of the network is left"):
            pp.prior_network(other, "prior", **kwargs)
        return
    pp.prior_network(other, "prior", **kwargs)
    assert other.var["prior_network"].equals(expected.var["prior_network"])
    for part in ("edges", "coverage"):
        found, wanted = (one.uns["prior_network"][part] for one in (other, expected))
        assert found.equals(wanted) if part == "edges" else found == wanted


@QUICK
@given(
    n_donors=st.integers(1, 9),
    n_types=st.integers(1, 5),
    missing=st.floats(0, 0.9),
    seed=st.integers(0, 99),
)
def test_ages_by_group(n_donors, n_types, missing, seed):
    """Groups of any size, with cells left out: means over cells, as pandas has them."""
    rng = np.random.default_rng(seed)
    adata = fake_age_result(n_donors)
    cell_type = rng.choice([f"type {i}" for i in range(n_types)], adata.n_obs).astype(object)
    cell_type[rng.random(adata.n_obs) < missing] = None
    adata.obs["type"] = pd.Categorical(cell_type)
    adata.obs.loc[rng.random(adata.n_obs) < missing, "age_clock"] = np.nan
    found = get.donor_age_df(adata, groupby="type").reset_index(drop=True)
    cells = adata.obs[adata.obs["type"].notna() & adata.obs["age_clock"].notna()]
    grouped = cells.groupby(["donor_id", "type"], observed=True)["age_clock"]
    wanted = pd.DataFrame({"predicted": grouped.mean(), "n_cells": grouped.size()}).reset_index()
    assert len(found) == len(wanted)
    joined = found.merge(
        wanted.astype({"donor_id": str, "type": str}),
        left_on=["donor", "type"],
        right_on=["donor_id", "type"],
        suffixes=("", "_wanted"),
    )
    assert len(joined) == len(found)
    np.testing.assert_allclose(joined["predicted"], joined["predicted_wanted"])
    np.testing.assert_array_equal(joined["n_cells"], joined["n_cells_wanted"])


@QUICK
@given(order=st.randoms(use_true_random=False), n=st.integers(1, 40))
def test_match_genes_follows_the_order(order, n):
    adata = SUBJECTS["match_genes"].base()
    genes = order.sample(adata.var_names.tolist(), n)
    match = pp.match_genes(adata, genes)
    assert adata.var_names[match.columns].tolist() == genes
    shuffled = adata[:, np.array(order.sample(range(adata.n_vars), adata.n_vars))]
    again = pp.match_genes(shuffled, genes)
    assert shuffled.var_names[again.columns].tolist() == genes
    assert again.fraction == match.fraction == 1.0
