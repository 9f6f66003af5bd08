"""Trained models take counts that are not in memory: backed files and dask arrays of them."""

from __future__ import annotations

import warnings

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata import AnnData
from anndata.experimental import read_elem_lazy, read_lazy
from anndata.io import read_elem
from scipy import sparse

from sctools import model, tl

from .. import _clocks, _priors, _vaes
from .._scageclock import category_tables, gene_table, layers, tokens
from .._scageclock import cells as published_cells

dask_array = pytest.importorskip("dask.array")


def age_clock():
    adata = _clocks.small_cohort()
    clock = tl.age_clock(adata.copy(), **_clocks.QUICK, return_model=True, progress_bar=False)
    return adata, clock, lambda query, **kwargs: tl.age_clock(query, clock, **kwargs)


def linear_clock():
    adata = _clocks.small_cohort()
    weights = np.random.default_rng(0).normal(size=adata.n_vars)
    types = list(adata.obs["cell_type"].cat.categories)
    clock = model.LinearClock(
        {name: dict(zip(adata.var_names, weights, strict=True)) for name in types},
        dict.fromkeys(types, 40.0),
    )
    return adata, clock, lambda query, **kwargs: tl.age_clock(query, clock, **kwargs)


def published_clock():
    adata = published_cells(tokens(60))
    files = (layers().state_dict(), gene_table(tokens(60)), category_tables())
    clock = model.AgeClock.from_scageclock(*files, target_sum="median")  # reads the counts twice
    return adata, clock, lambda query, **kwargs: tl.age_clock(query, clock, **kwargs)


def prior_transformer():
    adata = _priors.cells()
    trained = tl.prior_transformer(
        adata.copy(), "cell_type", "prior", **_priors.QUICK, return_model=True, progress_bar=False
    )
    return (
        adata,
        trained,
        lambda query, **kwargs: tl.prior_transformer(query, model=trained, **kwargs),
    )


def srsa_vae(protein_key=None):
    adata = _vaes.cells()
    quick = _vaes.QUICK if protein_key is None else _vaes.QUICK_PROTEIN
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        vae = tl.srsa_vae(
            adata.copy(), **quick, protein_key=protein_key, return_model=True, progress_bar=False
        )
    return (
        adata,
        vae,
        lambda query, **kwargs: tl.srsa_vae(query, vae, protein_key=protein_key, **kwargs),
    )


MODELS = {
    "age_clock": age_clock,
    "linear_clock": linear_clock,
    "published_clock": published_clock,
    "prior_transformer": prior_transformer,
    "srsa_vae": srsa_vae,
    "srsa_vae_proteins": lambda: srsa_vae(_vaes.PROTEINS),
}


@pytest.fixture(scope="module", params=list(MODELS))
def applied(request):
    """Cells, a function that applies a model to them, and what it writes when all is in memory."""
    adata, _, apply = MODELS[request.param]()
    expected = adata.copy()
    quietly(apply, expected)
    return adata, apply, expected


def quietly(apply, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of unknown labels, which are the same
        return apply(*args, **kwargs)


def assert_same_results(found, expected, before):
    """All that ``expected`` has more than ``before``."""
    written = [name for name in expected.obs if name not in before.obs]
    arrays = [name for name in expected.obsm if name not in before.obsm]
    assert written or arrays
    assert list(found.obs) == list(expected.obs)
    assert set(found.obsm) == set(expected.obsm)
    for name in written:
        one, other = found.obs[name], expected.obs[name]
        assert one.dtype == other.dtype, name
        if isinstance(one.dtype, pd.CategoricalDtype):
            assert one.astype(str).tolist() == other.astype(str).tolist(), name
        else:
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-4, err_msg=name)
    for name in arrays:
        np.testing.assert_allclose(found.obsm[name], expected.obsm[name], rtol=0, atol=1e-4)
    (key,) = set(expected.uns) - set(before.uns)
    assert list(found.uns[key]) == list(expected.uns[key])


def with_matrix(adata, matrix, layer=None):
    query = AnnData(
        X=matrix if layer is None else None,
        obs=adata.obs.copy(),
        var=adata.var.copy(),
        obsm=dict(adata.obsm),
        uns=dict(adata.uns),
    )
    if layer is not None:
        query.layers[layer] = matrix
    return query


UNEVEN = (1, 20, 7)


def chunked(adata, kind):
    counts = sparse.csr_matrix(adata.X)
    rows = (*UNEVEN, adata.n_obs - sum(UNEVEN))
    if kind == "dense":
        return dask_array.from_array(counts.toarray(), chunks=(rows, -1))
    if kind == "genes":  # chunks that cut the genes too
        return dask_array.from_array(counts.toarray(), chunks=(rows, 50))
    whole = dask_array.from_array(counts, chunks=counts.shape, asarray=False)
    return whole.rechunk((rows, -1)) if kind == "csr" else whole


@pytest.mark.parametrize("kind", ["csr", "one chunk", "dense", "genes"])
def test_dask_arrays(applied, kind):
    adata, apply, expected = applied
    query = with_matrix(adata, chunked(adata, kind))
    lazy = query.X
    quietly(apply, query)
    assert query.X is lazy
    assert_same_results(query, expected, adata)


def test_dask_arrays_in_a_layer(applied):
    adata, apply, expected = applied
    query = with_matrix(adata, chunked(adata, "csr"), layer="counts")
    quietly(apply, query, layer="counts")
    assert_same_results(query, expected, adata)


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_files_read_lazily(applied, form, tmp_path):
    adata, apply, expected = applied
    path = tmp_path / f"cells.{form}"
    plain = AnnData(adata.X, obs=adata.obs, var=adata.var)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # zarr's next default
        getattr(plain, f"write_{form}")(path)
    store = h5py.File(path) if form == "h5ad" else zarr.open_group(path, mode="r")
    lazy = read_elem_lazy(store["X"], chunks=(33, adata.n_vars))
    query = AnnData(
        lazy, obs=read_elem(store["obs"]), var=read_elem(store["var"]), obsm=dict(adata.obsm)
    )
    quietly(apply, query)
    if form == "h5ad":
        store.close()
    query.uns |= adata.uns
    assert_same_results(query, expected, adata)


def test_backed_files(applied, tmp_path):
    adata, apply, expected = applied
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    quietly(apply, backed)
    assert backed.isbacked
    assert_same_results(backed, expected, adata)
    backed.file.close()


def test_one_chunk_is_in_memory_at_a_time(applied):
    """Chunks are computed one after the other, in order, and as often as cells are read."""
    adata, apply, _ = applied
    counts = sparse.csr_matrix(adata.X)
    asked = []

    def read(block_info=None):
        (start, end), _ = block_info[None]["array-location"]
        asked.append(start)
        return counts[start:end]

    lazy = dask_array.map_blocks(
        read,
        chunks=((*UNEVEN, adata.n_obs - sum(UNEVEN)), (adata.n_vars,)),
        dtype=counts.dtype,
        meta=sparse.csr_matrix((0, 0), dtype=counts.dtype),
    )
    quietly(apply, with_matrix(adata, lazy))
    once = [0, *np.cumsum(UNEVEN)]
    assert asked
    assert asked == once * (len(asked) // len(once))
    assert len(asked) <= 2 * len(once)


def test_lazy_columns_have_to_be_read(applied, tmp_path):
    adata, apply, expected = applied
    AnnData(adata.X, obs=adata.obs, var=adata.var).write_h5ad(tmp_path / "cells.h5ad")
    query = read_lazy(tmp_path / "cells.h5ad")
    columns = list(query.obs.columns)
    with pytest.raises(ValueError, match=r"obs` is lazy.*adata\.obs = adata\.obs\.to_memory\(\)"):
        apply(query)
    assert list(query.obs.columns) == columns
    query.obs, query.var = query.obs.to_memory(), query.var.to_memory()
    for name in adata.obsm:
        query.obsm[name] = adata.obsm[name]
    query.uns = dict(adata.uns)
    quietly(apply, query)
    assert_same_results(query, expected, adata)


@pytest.mark.parametrize("name", ["age_clock", "prior_transformer", "srsa_vae"])
def test_training_on_dask_arrays_is_refused(name):
    adata = {"age_clock": _clocks.small_cohort, "prior_transformer": _priors.cells,
             "srsa_vae": _vaes.cells}[name]()  # fmt: skip
    adata.X = chunked(adata, "csr")
    arguments = {
        "age_clock": _clocks.QUICK,
        "prior_transformer": {"labels_key": "cell_type", "net": "prior", **_priors.QUICK},
        "srsa_vae": _vaes.QUICK,
    }
    message = r"Training needs the matrix in memory.*found a dask array.*to_memory\(\)"
    with pytest.raises(ValueError, match=message):
        getattr(tl, name)(adata, **arguments[name], progress_bar=False)


def test_no_transformer_outlives_the_call():
    """As below: the model that was trained is handed to nobody, and its data go with it."""
    stores = model.PriorTransformer._per_instance_manager_store
    setups = model.PriorTransformer._setup_adata_manager_store
    before = set(stores), set(setups)
    arguments = {"labels_key": "cell_type", "net": "prior", **_priors.QUICK}
    tl.prior_transformer(_priors.cells(), **arguments, progress_bar=False)
    assert (set(stores), set(setups)) == before
    kept = tl.prior_transformer(_priors.cells(), **arguments, progress_bar=False, return_model=True)
    assert set(stores) - before[0] == {kept.id}


@pytest.mark.parametrize("name", ["srsa_vae", "srsa_vae_proteins"])
@pytest.mark.parametrize("kept", ["model", "directory"])
def test_no_block_outlives_the_call(name, kept, tmp_path, monkeypatch):
    """scvi-tools keeps, by the class of a model, whatever a model is given."""
    adata, vae, _ = MODELS[name]()
    vae.save(tmp_path / "vae")
    monkeypatch.setattr("sctools.tl._srsa_blocks.READ_ROWS", 20)

    def held():
        stores = type(vae)._per_instance_manager_store, type(vae)._setup_adata_manager_store
        return sum(map(len, stores[0].values())), len(stores[1])

    before = held()
    given = vae if kept == "model" else tmp_path / "vae"
    protein_key = _vaes.PROTEINS if name == "srsa_vae_proteins" else None
    for query in (adata.copy(), with_matrix(adata, chunked(adata, "csr"))):
        quietly(tl.srsa_vae, query, given, protein_key=protein_key)
        assert held() == before
    tl.srsa_vae(adata.copy(), **_vaes.QUICK, progress_bar=False)
    assert held() == before
    assert len(vae.get_latent_representation()) == adata.n_obs
