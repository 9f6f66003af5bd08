"""What every model promises, whatever it predicts."""

from __future__ import annotations

import os
import pickle
import random
import shutil
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pytest
import torch
from scipy import sparse

from .._compare import assert_same, assert_unchanged, snapshot
from .._global_state import global_state
from ._models import MODELS

TOLERANCE = 1e-4
"""In the unit of the prediction: years, for a clock."""


@pytest.fixture(scope="session", params=MODELS, ids=lambda contract: contract.name)
def trained(request):
    """A contract with its data, its trained model and the model's predictions."""
    contract = request.param
    adata = contract.data()
    registered = adata.copy()
    model = contract.train(registered, 0)
    predicted = contract.predict(model, adata)
    alone = contract.predict(model, adata, donor_key=None)
    return SimpleNamespace(
        contract=contract,
        model=model,
        adata=adata,
        predicted=predicted,
        alone=alone,
        predict=lambda adata, **kwargs: contract.predict(model, adata, **kwargs),
    )


@pytest.fixture
def saved(trained, tmp_path):
    """A fresh directory of the saved model."""
    trained.model.save(tmp_path / "model")
    return tmp_path / "model"


def close(found, expected):
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def test_predictions_can_differ(trained):
    """Without a spread, the tests below would pass for a constant."""
    for predicted in (trained.predicted, trained.alone):
        assert predicted.shape[0] == trained.adata.n_obs
        assert np.isfinite(predicted).all()
        donors = trained.adata.obs["donor_id"].to_numpy()
        assert np.ptp([predicted[donors == d].mean() for d in np.unique(donors)]) > 10
        assert min(predicted[donors == d].std() for d in np.unique(donors)) > 0.1
    assert np.abs(trained.predicted - trained.alone).max() > 0.1


# ------------------------------------------------------------------------- storage and order


@pytest.mark.parametrize("donor_key", ["donor_id", None])
def test_permuting_cells_permutes_the_predictions(trained, donor_key):
    order = np.random.default_rng(0).permutation(trained.adata.n_obs)
    expected = trained.predicted if donor_key else trained.alone
    found = trained.predict(trained.adata[order].copy(), donor_key=donor_key)
    close(found, expected[order])


def test_permuting_genes_changes_nothing(trained):
    order = np.random.default_rng(0).permutation(trained.adata.n_vars)
    close(trained.predict(trained.adata[:, order].copy()), trained.predicted)


def unsorted(X):
    """The same CSR matrix with the indices of every row backwards."""
    X = sparse.csr_matrix(X).copy()
    for start, stop in zip(X.indptr[:-1], X.indptr[1:], strict=True):
        X.indices[start:stop] = X.indices[start:stop][::-1].copy()
        X.data[start:stop] = X.data[start:stop][::-1].copy()
    X.has_sorted_indices = False
    return X


FORMS = {
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "csr_array": sparse.csr_array,
    "csc_array": sparse.csc_array,
    "dense": lambda X: X.toarray(),
    "fortran": lambda X: np.asfortranarray(X.toarray()),
    "float64": lambda X: X.astype(np.float64),
    "dense_float64": lambda X: X.toarray().astype(np.float64),
    "int32": lambda X: X.astype(np.int32),
    "dense_int64": lambda X: X.toarray().astype(np.int64),
    "uint16": lambda X: X.astype(np.uint16),
    "unsorted": unsorted,
}


@pytest.mark.parametrize("form", FORMS)
def test_storage_changes_nothing(trained, form):
    adata = trained.adata.copy()
    adata.X = FORMS[form](trained.adata.X)
    before = snapshot(adata)
    close(trained.predict(adata), trained.predicted)
    assert_unchanged(adata, before)


@pytest.mark.parametrize("form", ["csr", "csc", "dense", "unsorted"])
def test_backed_file_changes_nothing(trained, tmp_path, form):
    adata = trained.adata.copy()
    adata.X = FORMS[form](trained.adata.X)
    path = tmp_path / "cells.h5ad"
    adata.write_h5ad(path)
    content = path.read_bytes()
    backed = ad.read_h5ad(path, backed="r")
    close(trained.predict(backed, batch_size=50), trained.predicted)
    backed.file.close()
    assert path.read_bytes() == content


def test_view_changes_nothing(trained):
    adata = trained.adata.copy()
    donors = adata.obs["donor_id"].unique()[::2]
    rows = adata.obs["donor_id"].isin(donors).to_numpy()
    view = adata[rows, np.arange(adata.n_vars)[::-1]]
    before, parent = snapshot(view), snapshot(adata)
    close(trained.predict(view), trained.predicted[rows])
    assert view.is_view
    assert_unchanged(view, before)
    assert_unchanged(adata, parent)


def test_layer_changes_nothing(trained):
    adata = trained.adata.copy()
    adata.layers["counts"] = adata.X
    adata.X = None
    close(trained.predict(adata, layer="counts"), trained.predicted)


def test_log_normalized_values_give_what_counts_give(trained):
    adata = trained.adata.copy()
    totals = np.asarray(adata.X.sum(axis=1))
    adata.X = sparse.csr_matrix(adata.X.multiply(1e4 / totals)).log1p().astype(np.float32)
    # Values are stored in float32 here, so they are a little less exact.
    found = trained.predict(adata, log_normalized=True)
    np.testing.assert_allclose(found, trained.predicted, rtol=0, atol=1e-2)


@pytest.mark.parametrize("donor_key", ["donor_id", None])
@pytest.mark.parametrize("batch_size", [1, 7, 128, "n", "n + 1"])
def test_batch_size_changes_nothing(trained, batch_size, donor_key):
    n = trained.adata.n_obs
    size = {"n": n, "n + 1": n + 1}.get(batch_size, batch_size)
    expected = trained.predicted if donor_key else trained.alone
    close(trained.predict(trained.adata, batch_size=size, donor_key=donor_key), expected)


def test_further_genes_change_nothing(trained):
    n_obs = trained.adata.n_obs
    more = ad.AnnData(sparse.random(n_obs, 30, 0.5, format="csr", random_state=0).ceil())
    more.var_names = [f"extra{i}" for i in range(30)]
    more.obs_names = trained.adata.obs_names
    wide = ad.concat([more, trained.adata], axis=1, merge="first")
    wide.obs = trained.adata.obs
    close(trained.predict(wide[:, np.random.default_rng(0).permutation(wide.n_vars)].copy()),
          trained.predicted)  # fmt: skip


def test_whole_donors_spread_over_two_objects(trained):
    donors = trained.adata.obs["donor_id"]
    first = donors.isin(donors.unique()[::3]).to_numpy()
    for rows in (first, ~first):
        close(trained.predict(trained.adata[rows].copy()), trained.predicted[rows])


@pytest.mark.parametrize("rows", [slice(0, 1), slice(3, 90, 7), slice(None, None, -1)], ids=str)
def test_without_donors_any_subset_gives_the_same(trained, rows):
    close(trained.predict(trained.adata[rows].copy(), donor_key=None), trained.alone[rows])


def test_without_donors_no_donor_column_is_needed(trained):
    adata = trained.adata.copy()
    del adata.obs["donor_id"]
    close(trained.predict(adata, donor_key=None), trained.alone)


def test_names_of_cells_and_donors_change_nothing(trained):
    adata = trained.adata.copy()
    adata.obs_names = ["same"] * adata.n_obs
    codes = adata.obs["donor_id"].cat.codes.to_numpy().astype(int)
    adata.obs["donor_id"] = 1000 - codes
    close(trained.predict(adata), trained.predicted)


def test_order_of_calls_changes_nothing(trained):
    half = trained.adata[: trained.adata.n_obs // 2].copy()
    first = trained.predict(half)
    np.testing.assert_array_equal(trained.predict(trained.adata), trained.predicted)
    np.testing.assert_array_equal(trained.predict(trained.adata, donor_key=None), trained.alone)
    np.testing.assert_array_equal(trained.predict(half), first)


# ------------------------------------------------------------------------- side effects


def test_inputs_are_not_changed(trained):
    adata = trained.adata.copy()
    adata.layers["other"] = adata.X.toarray()
    adata.obsm["X_pca"] = np.ones((adata.n_obs, 2))
    adata.uns["mine"] = {"list": [1, 2], "array": np.arange(3)}
    before = snapshot(adata)
    for donor_key in ("donor_id", None):
        trained.predict(adata, donor_key=donor_key)
        assert_unchanged(adata, before)


def test_training_leaves_the_data_alone(trained):
    """Beyond what scvi-tools registers, under its own names."""
    adata = trained.adata.copy()
    before = snapshot(adata)
    trained.contract.train(adata, 0)
    adata.obs = adata.obs[[c for c in adata.obs.columns if not c.startswith("_scvi")]]
    for name in [name for name in adata.uns if name.startswith("_scvi")]:
        del adata.uns[name]
    assert_unchanged(adata, before)


def test_same_seed_same_predictions_and_global_state_as_found(trained):
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    torch.manual_seed(5)
    before = global_state()
    again = trained.contract.train(trained.adata.copy(), 0)
    assert_same(global_state(), before)
    found = trained.contract.predict(again, trained.adata)
    assert_same(global_state(), before)
    np.testing.assert_array_equal(found, trained.predicted)
    other = trained.contract.train(trained.adata.copy(), 1)
    assert np.abs(trained.contract.predict(other, trained.adata) - found).max() > 1e-3


# ------------------------------------------------------------------------- bad input


def test_predicting_before_training(trained):
    adata = trained.adata.copy()
    model = trained.contract.untrained(adata)
    before = snapshot(adata)
    with pytest.raises(ValueError, match=r"not trained.*train\(\)"):
        trained.contract.predict(model, adata)
    with pytest.raises(ValueError, match=r"not trained.*train\(\)"):
        model.save("nowhere")
    assert not os.path.exists("nowhere")
    assert_unchanged(adata, before)


@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, r"must be finite, found 1 NaN or infinite"),
        (np.inf, r"must be finite, found 1 NaN or infinite"),
        (-1, r"never negative; found -1"),
        (0.5, r"raw counts \(whole numbers\), found 0.5"),
    ],
)
def test_values_that_are_no_counts(trained, form, value, message):
    X = trained.adata.X.toarray()
    X[-1, -1] = value
    adata = trained.adata.copy()
    adata.X = FORMS[form](sparse.csr_matrix(X))
    before = snapshot(adata)
    for donor_key in ("donor_id", None):
        with pytest.raises(ValueError, match=message):
            trained.predict(adata, donor_key=donor_key, batch_size=50)
    assert_unchanged(adata, before)


def test_genes_of_another_kind(trained):
    adata = trained.adata.copy()
    adata.var_names = [f"Other{i}" for i in range(adata.n_vars)]
    with pytest.raises(ValueError, match=r"Only 0 of the model's .* genes"):
        trained.predict(adata)


def test_zero_cells(trained):
    with pytest.raises(ValueError, match=r"at least one cell and one gene, found 0 cells"):
        trained.predict(trained.adata[:0].copy())


def test_bad_batch_size(trained):
    with pytest.raises(ValueError, match=r"`batch_size` must be at least 1, found 0"):
        trained.predict(trained.adata, batch_size=0)


# ------------------------------------------------------------------------- files


def test_saved_and_loaded_predicts_the_same(trained, saved):
    loaded = trained.contract.cls.load(saved)
    for donor_key, expected in (("donor_id", trained.predicted), (None, trained.alone)):
        found = trained.contract.predict(loaded, trained.adata, donor_key=donor_key)
        np.testing.assert_array_equal(found, expected)
    loaded.save(saved.parent / "again")
    again = trained.contract.cls.load(str(saved.parent / "again"))
    np.testing.assert_array_equal(trained.contract.predict(again, trained.adata), trained.predicted)


def test_a_saved_model_is_not_replaced_unasked(trained, saved):
    content = {path.name: path.read_bytes() for path in saved.iterdir()}
    with pytest.raises(FileExistsError, match="overwrite=True"):
        trained.model.save(saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == content
    trained.model.save(saved, overwrite=True)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == content


def test_no_cell_is_in_the_files(trained, saved):
    name = trained.adata.obs_names[0].encode()
    donor = str(trained.adata.obs["donor_id"].iloc[0]).encode()
    for path in saved.iterdir():
        assert name not in path.read_bytes()
        assert b'"' + donor + b'"' not in path.read_bytes()


def test_loading_runs_no_pickle(trained, saved, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("something was unpickled")

    for owner, names in {
        pickle: ("load", "loads", "Unpickler"),
        torch: ("load",),
        np: ("load",),
    }.items():
        for name in names:
            monkeypatch.setattr(owner, name, refuse)
    loaded = trained.contract.cls.load(saved)
    np.testing.assert_array_equal(
        trained.contract.predict(loaded, trained.adata), trained.predicted
    )
    # A file of pickled code in the place of ours is refused, not run.
    for path in sorted(saved.iterdir()):
        whole = path.read_bytes()
        path.write_bytes(pickle.dumps({"format": "x"}))
        with pytest.raises(ValueError, match=r"damaged|not a whole|something else"):
            trained.contract.cls.load(saved)
        path.write_bytes(whole)


def test_absent_directory(trained, tmp_path):
    for path in (tmp_path / "nothing", str(tmp_path / "nothing")):
        with pytest.raises(ValueError, match=r"Expected a directory written by .*not a directory"):
            trained.contract.cls.load(path)


def test_foreign_directory(trained, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(
        ValueError, match=r"Expected a directory written by.*found: \['notes.txt'\]"
    ):
        trained.contract.cls.load(tmp_path)
    with pytest.raises(ValueError, match=r"not a directory"):
        trained.contract.cls.load(tmp_path / "notes.txt")


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9, 0.999])
def test_files_cut_short(trained, saved, keep):
    for path in sorted(saved.iterdir()):
        whole = path.read_bytes()
        path.write_bytes(whole[: int(keep * (len(whole) - 2))])
        with pytest.raises(ValueError, match=r"damaged or cut short|not a whole saved"):
            trained.contract.cls.load(saved)
        path.write_bytes(whole)
    trained.contract.cls.load(saved)


def test_files_missing_one_by_one(trained, saved):
    for path in sorted(saved.iterdir()):
        away = path.with_suffix(".away")
        shutil.move(path, away)
        with pytest.raises(ValueError, match=rf"lacks \['{path.name}'\]"):
            trained.contract.cls.load(saved)
        shutil.move(away, path)
