"""Clocks on a dask cluster: the same ages, also when a worker is killed in the middle."""

from __future__ import annotations

import os
import signal
import sys
import warnings

import numpy as np
import pytest
from scipy import sparse

from sctools import tl
from sctools.pp._expression import row_blocks
from sctools.pp._map_blocks import map_blocks

from .test_lazy import MODELS, assert_same_results, quietly, with_matrix

distributed = pytest.importorskip("distributed")
dask_array = pytest.importorskip("dask.array")

CHUNK = 23


@pytest.fixture(scope="module")
def client():
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster) as client:
        yield client


def lazy(counts):
    counts = sparse.csr_matrix(counts)
    parts = [counts[start : start + CHUNK] for start in range(0, counts.shape[0], CHUNK)]
    arrays = [dask_array.from_array(part, chunks=part.shape, asarray=False) for part in parts]
    return dask_array.concatenate(arrays)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(MODELS))
def test_the_same_results_on_two_workers(client, name, monkeypatch):
    adata, _, apply = MODELS[name]()
    expected = adata.copy()
    quietly(apply, expected, batch_size=CHUNK)
    query = with_matrix(adata, lazy(adata.X))
    read = row_blocks

    def read_one(matrix, size):
        assert matrix.shape[0] == 1, "a block was read here"
        return read(matrix, size)

    # On the workers, nowhere else: pytest's own process has no part in it.
    monkeypatch.setattr("sctools.pp._map_blocks.row_blocks", read_one)
    monkeypatch.setattr("sctools.tl._srsa_blocks.row_blocks", read_one)
    quietly(apply, query, **({} if name == "published_clock" else {"batch_size": CHUNK}))
    assert_same_results(query, expected, adata)
    if "age_clock" in query.obs:
        np.testing.assert_array_equal(query.obs["age_clock"], expected.obs["age_clock"])


@pytest.mark.slow
def test_attention_of_given_groups(client):
    adata, trained, _ = MODELS["prior_transformer"]()
    adata.obs["half"] = np.where(np.arange(adata.n_obs) % 2, "odd", "even")
    adata.obs.loc[adata.obs_names[:5], "half"] = np.nan
    kwargs = {"model": trained, "groupby": "half", "min_confidence": 0.6, "min_typicality": 0.1}
    query, expected = with_matrix(adata, lazy(adata.X)), adata.copy()
    tl.prior_transformer(query, **kwargs)
    tl.prior_transformer(expected, **kwargs)
    assert_same_results(query, expected, adata)
    found, wanted = (data.uns["prior_transformer"] for data in (query, expected))
    assert list(found["groups"]) == ["even", "odd"]
    for name in ("attention", "lift", "gene_attention"):
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-5, atol=1e-7)
    assert list(found["n_cells"]) == list(wanted["n_cells"])
    assert sum(found["n_cells"]) == adata.n_obs - 5


@pytest.mark.slow
def test_models_of_vaes_come_from_their_directory_too(client, tmp_path, caplog):
    """And a worker is given no columns that are not read; empty cells are told once, here."""
    adata, vae, _ = MODELS["srsa_vae"]()
    vae.save(tmp_path / "vae")
    counts = sparse.lil_matrix(adata.X)
    counts[[3, 70]] = 0
    adata.X = counts.tocsr()
    query, expected = with_matrix(adata, lazy(adata.X)), adata.copy()
    query.obs["unread"] = [Unpicklable() for _ in range(adata.n_obs)]
    with warnings.catch_warnings():
        # One cell is looked at here: not too few, for applying.
        warnings.filterwarnings("error", message=".*has fewer than 3 cells.*")
        tl.srsa_vae(query, model=tmp_path / "vae")
    told = [record.message for record in caplog.records if "no count" in record.message]
    assert len(told) == 1
    assert told[0].startswith(f"2 of {adata.n_obs} cells")
    tl.srsa_vae(expected, model=vae)
    np.testing.assert_allclose(query.obsm["X_srsa_vae"], expected.obsm["X_srsa_vae"], atol=1e-4)
    assert query.uns["srsa_vae"]["params"] == expected.uns["srsa_vae"]["params"]


class Unpicklable:
    def __reduce__(self):
        raise TypeError("This stays here.")


@pytest.mark.slow
def test_what_does_not_fit_a_vae_is_told(client, monkeypatch):
    adata, vae, _ = MODELS["srsa_vae"]()
    known = sorted(adata.obs["batch"].unique())
    query = with_matrix(adata, lazy(adata.X))
    query.obs["batch"] = [*[known[0]] * (adata.n_obs - 1), "new"]  # on a worker, in the last chunk
    with pytest.raises(ValueError, match=r"holds 'new', which the model was not trained on"):
        tl.srsa_vae(query, model=vae)
    assert "X_srsa_vae" not in query.obsm
    monkeypatch.setattr(client, "submit", lambda *args, **kwargs: pytest.fail("was sent"))
    query = with_matrix(adata, lazy(adata.X))
    query.var_names = [f"other {name}" for name in query.var_names]
    with pytest.raises(ValueError, match=r"genes, and 120 of them are not in"):
        tl.srsa_vae(query, model=vae)


def test_results_of_a_chunk_are_joined_where_they_are(client):
    counts = sparse.random(100, 6, 0.5, "csr", random_state=0)
    found = list(map_blocks(lambda block: [block.shape[0]], lazy(counts), 10, join=sum_lists))
    assert [part for _, part in found] == [[10, 10, 3]] * 4 + [[8]]
    assert [rows.stop for rows, _ in found] == [23, 46, 69, 92, 100]


def sum_lists(lists):
    return [value for part in lists for value in part]


def test_rows_come_in_order_and_in_pieces(client):
    counts = sparse.random(100, 6, 0.5, "csr", random_state=0)
    numbers = np.arange(100)

    def function(block, number):
        return block.sum(), number.copy()

    here = list(map_blocks(function, counts, 10, numbers))
    there = list(map_blocks(function, lazy(counts), 10, numbers))
    assert [rows.start for rows, _ in here] == list(range(0, 100, 10))
    pieces = [rows.stop - rows.start for rows, _ in there]
    assert pieces == [10, 10, 3] * 4 + [8]
    assert np.concatenate([number for _, (_, number) in there]).tolist() == numbers.tolist()
    for rows, (total, _) in there:
        assert total == pytest.approx(counts[rows].sum())


def sums_but_first_killed(mark, at):
    """Sum rows; the first worker that comes to row `at` leaves its number and dies."""

    def function(block, number):
        if number[0] >= at and not mark.exists():
            mark.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return block.sum(axis=1)

    return function


@pytest.mark.slow
def test_a_killed_worker_is_made_up_for(client, tmp_path):
    counts = sparse.random(200, 6, 0.5, "csr", random_state=0)
    function = sums_but_first_killed(tmp_path / "killed", at=100)
    workers = {
        info["pid"] for info in client.run(lambda: {"pid": __import__("os").getpid()}).values()
    }
    found = list(map_blocks(function, lazy(counts), CHUNK, np.arange(200)))
    killed = int((tmp_path / "killed").read_text())
    assert killed in workers
    sums = np.concatenate([part for _, part in found])
    np.testing.assert_array_equal(sums, counts.sum(axis=1))


@pytest.mark.slow
def test_the_only_worker_may_be_killed(tmp_path):
    """Nothing that only a worker held is needed to go on."""
    counts = sparse.random(100, 6, 0.5, "csr", random_state=0)
    function = sums_but_first_killed(tmp_path / "killed", at=50)
    settings = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster):
        found = list(map_blocks(function, lazy(counts), CHUNK, np.arange(100)))
    assert (tmp_path / "killed").exists()
    sums = np.concatenate([part for _, part in found])
    np.testing.assert_array_equal(sums, counts.sum(axis=1))


@pytest.mark.slow
def test_a_large_model_goes_to_the_workers_without_a_warning(client):
    weights = np.arange(2_000_000.0)
    counts = sparse.random(60, 6, 0.5, "csr", random_state=0)

    def function(block):
        return weights[-1]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = list(map_blocks(function, lazy(counts), CHUNK))
    assert [last for _, last in found] == [weights[-1]] * 3


def test_errors_of_workers_are_raised_here(client):
    from sctools.pp._map_blocks import Prepare

    prepare = Prepare("`adata.X`", False, lambda block: (block, np.zeros(block.shape[0])))
    counts = sparse.random(60, 6, 0.5, "csr", random_state=0)
    with pytest.raises(ValueError, match=r"`adata.X` must hold raw counts.*found 0\."):
        list(map_blocks(prepare, lazy(counts), CHUNK))


def test_without_a_cluster_nothing_is_looked_for(monkeypatch):
    monkeypatch.delitem(sys.modules, "distributed")
    counts = sparse.random(60, 6, 0.5, "csr", random_state=0)
    found = list(map_blocks(lambda block: block.shape[0], lazy(counts), 50))
    assert [n for _, n in found] == [23, 23, 14]
