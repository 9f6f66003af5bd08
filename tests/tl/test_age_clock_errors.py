"""Bad input: the message says what mends it, and ``adata`` is exactly as it was."""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sctools.tl import age_clock

from .._clocks import QUICK, small_cohort
from .._compare import assert_unchanged, snapshot
from .._vaes import quietly_joined

BOTH_WAYS = (
    r"Either give ages \(`age_key=`, with `donor_key=`\).*or give a trained clock \(`model=`\)"
)
NO_COUNTS = r"raw counts \(whole numbers\), found .*`layer=`.*to_adata\(\).*`log_normalized=True`"


@pytest.fixture(scope="module")
def clock():
    return age_clock(small_cohort(9), **QUICK, return_model=True)


@pytest.fixture
def adata():
    """A cohort with earlier results and things of the user's own in it."""
    adata = small_cohort(6)
    adata.layers["mine"] = adata.X.copy()
    adata.obs["age_clock"] = 1.0
    adata.obs["age_clock_fold"] = "old"
    adata.uns["age_clock"] = {"params": {"old": True}}
    adata.obsm["X_pca"] = np.ones((adata.n_obs, 2))
    return adata


def refuse(adata, error, message, model=None, **kwargs):
    """Assert the error, and that nothing changed; also for a copy and a returned model."""
    before = snapshot(adata)
    if model is None:
        kwargs = {**QUICK, **kwargs}
    with pytest.raises(error, match=message):
        age_clock(adata, model, **kwargs)
    assert_unchanged(adata, before)
    with pytest.raises(error, match=message):
        age_clock(adata, model, copy=True, return_model=True, **kwargs)
    assert_unchanged(adata, before)


def set_first(adata, value, form):
    X = adata.X.toarray().astype(np.float32)
    X[3, 5] = value
    adata.X = form(X)


# ------------------------------------------------------------------------- values


@pytest.mark.parametrize("applied", [False, True], ids=["train", "apply"])
@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1, r"`adata.X` must hold counts.*never negative; found -1.*`layer=`"),
        (np.nan, r"`adata.X` must be finite, found 1 NaN or infinite values"),
        (np.inf, r"`adata.X` must be finite, found 1 NaN or infinite values"),
        (-np.inf, r"`adata.X` must be finite, found 1 NaN or infinite values"),
    ],
)
def test_values(adata, clock, value, message, form, applied):
    set_first(adata, value, form)
    refuse(adata, ValueError, message, clock if applied else None)


@pytest.mark.parametrize("applied", [False, True], ids=["train", "apply"])
def test_log_normalized_where_counts_are_expected(adata, clock, applied):
    totals = np.asarray(adata.X.sum(axis=1))
    adata.X = np.log1p(adata.X.toarray() / totals * 1e4).astype(np.float32)
    refuse(adata, ValueError, NO_COUNTS, clock if applied else None)


@pytest.mark.parametrize("applied", [False, True], ids=["train", "apply"])
def test_counts_where_log_normalized_is_declared(adata, clock, applied):
    message = r"looks like counts \(largest value .*all whole numbers\).*`log_normalized=False`"
    refuse(adata, ValueError, message, clock if applied else None, log_normalized=True)


@pytest.mark.parametrize("applied", [False, True], ids=["train", "apply"])
def test_bad_layer(adata, clock, applied):
    model = clock if applied else None
    adata.layers["mine"] = adata.layers["mine"] * 0.3
    message = r"`adata.layers\['mine'\]` must hold raw counts|`adata.X` must hold raw counts"
    refuse(adata, ValueError, message, model, layer="mine")
    refuse(adata, KeyError, r"`layer='raw'`.*Available: 'mine'", model, layer="raw")
    del adata.X
    refuse(adata, ValueError, r"`adata.X` is empty.*`layer=` \(available: 'mine'\)", model)


def test_merfish(data_dir):
    adata = ad.read_h5ad(data_dir / "age" / "merfish_brain_2mice.h5ad")
    refuse(adata, ValueError, NO_COUNTS)
    # With values that pass, two mice are still too few.
    adata.X = adata.X.ceil()
    refuse(adata, ValueError, r"at least 3 donors with a known age, found 2")


@pytest.mark.parametrize("applied", [False, True], ids=["train", "apply"])
def test_nothing_left(adata, clock, applied):
    model = clock if applied else None
    no_cells, no_genes = adata[:0].copy(), adata[:, :0].copy()
    refuse(no_cells, ValueError, r"found 0 cells × 150 genes. Was `adata` filtered", model)
    refuse(no_genes, ValueError, r"found \d+ cells × 0 genes", model)


# ------------------------------------------------------------------------- ages


def test_no_age_column_and_no_model(adata):
    del adata.obs["age"]
    message = rf"`age_key='age'` is not a column.*Available: 'donor_id', .*{BOTH_WAYS}"
    refuse(adata, KeyError, message)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda a: a.round().astype(int).astype(str), TypeError, r"must hold numbers.*to_numeric"),
        (
            lambda a: a.round().astype(int).astype(str).astype("category"),
            TypeError,
            r"must hold numbers, found dtype category.*to_numeric",
        ),
        (lambda a: a - 60, ValueError, r"must not be negative, found -\d+.*NaN for"),
        (lambda a: a * 0 + 40, ValueError, r"All donors have the same age \(40\).*`model=`"),
        (lambda a: a * np.nan, ValueError, rf"`adata.obs\['age'\]` has no known age. {BOTH_WAYS}"),
        (lambda a: a / 0, ValueError, r"must be finite, found infinite ages"),
        (lambda a: a > 50, TypeError, r"must hold numbers, found dtype bool"),
        (
            lambda a: a + np.arange(len(a)) % 2,
            ValueError,
            r"6 donors have more than one age.*`sample_key=`; folds stay by donor",
        ),
    ],
    ids=["strings", "categories", "negative", "equal", "missing", "infinite", "bool", "two"],
)
def test_ages(adata, change, error, message):
    adata.obs["age"] = change(adata.obs["age"])
    refuse(adata, error, message)


def test_two_ages_in_one_sample(adata):
    adata.obs["visit"] = "v1"
    adata.obs["age"] += np.arange(adata.n_obs) % 2
    refuse(adata, ValueError, r"6 samples have more than one age", sample_key="visit")


def test_two_ages_for_a_given_clock(adata, clock):
    adata.obs["age"] += np.arange(adata.n_obs) % 2
    refuse(adata, ValueError, r"6 donors have more than one age.*`sample_key=`", clock)


# ------------------------------------------------------------------------- donors


def test_fewer_than_three_donors(adata):
    two = adata[adata.obs["donor_id"].isin(adata.obs["donor_id"].unique()[:2])].copy()
    refuse(two, ValueError, r"at least 3 donors with a known age, found 2 \('D.*`model=`")
    adata.obs.loc[~adata.obs_names.isin(two.obs_names), "age"] = np.nan
    refuse(adata, ValueError, r"at least 3 donors with a known age, found 2")


@pytest.mark.parametrize("applied", [False, True], ids=["train", "apply"])
def test_donor_without_a_name(adata, clock, applied):
    adata.obs.loc[adata.obs_names[:4], "donor_id"] = np.nan
    message = r"obs\['donor_id'\]` \(`donor_key`\) is missing for 4 of \d+ cells. Remove.*notna"
    refuse(adata, ValueError, message, clock if applied else None)


def test_no_donor_column(adata, clock):
    del adata.obs["donor_id"]
    message = rf"`donor_key='donor_id'` is not a column.*Available: 'age'.*{BOTH_WAYS}"
    refuse(adata, KeyError, message)
    refuse(adata, ValueError, r"Cross-fitting needs donors.*`donor_key=`", donor_key=None)
    refuse(adata, KeyError, r"`donor_key='person'` is not a column", clock, donor_key="person")
    age_clock(adata, clock)  # not needed
    assert np.isfinite(adata.obs["age_clock"]).all()


@pytest.mark.parametrize("applied", [False, True], ids=["train", "apply"])
def test_other_columns(adata, clock, applied):
    model = clock if applied else None
    refuse(adata, KeyError, r"`sample_key='visit'` is not a column", model, sample_key="visit")
    refuse(adata, KeyError, r"'label'.* not a column of.*Available", model, cell_type_key="label")
    adata.obs["bmi"] = np.linspace(20, 30, adata.n_obs)
    if not applied:
        refuse(adata, KeyError, r"`covariate_keys='sox'` is not", covariate_keys=["sox"])
        refuse(adata, ValueError, r"'bmi' holds floating.*pd\.cut", covariate_keys=["bmi"])
        refuse(adata, TypeError, r"mapping is for a given `model`", covariate_keys={"sex": "sex"})
    else:
        refuse(adata, ValueError, r"Expected 0 covariate columns", model, covariate_keys=["sex"])
        refuse(adata, KeyError, r"no covariates 'a'", model, covariate_keys={"a": "sex"})
    refuse(adata, TypeError, r"Write `covariate_keys=\['sex'\]`", model, covariate_keys="sex")


# ------------------------------------------------------------------------- genes and models


@pytest.mark.parametrize("applied", [False, True], ids=["train", "apply"])
def test_repeated_genes(adata, clock, applied):
    names = adata.var_names.tolist()
    adata.var_names = [*names[:-2], names[0], names[0]]
    message = rf"`adata.var_names` must be unique.*'{names[0]}'.*var_names_make_unique\(\)"
    with pytest.warns(UserWarning, match="unique"):
        adata.copy()  # anndata warns too
    refuse(adata, ValueError, message, clock if applied else None)


def test_genes_of_another_kind(adata, clock):
    few = adata[:, :74].copy()
    message = r"Only 74 of the model's 150 genes \(49.3%\).*at least 50%.*`gene_key=`.*species"
    refuse(few, ValueError, message, clock)
    refuse(few, ValueError, r"expected at least 90%", clock, min_coverage=0.9)
    adata.var_names = [f"ENSG{i:011}" for i in range(adata.n_vars)]
    message = r"Only 0 of the model's 150 genes.*named as symbols.*`adata` has Ensembl ids"
    refuse(adata, ValueError, message, clock)
    refuse(adata, KeyError, r"`gene_key='symbol'` is not a column", clock, gene_key="symbol")


@pytest.mark.parametrize("model", [3, {"a": 1}, np.ones(3), pd.DataFrame()])
def test_what_is_no_clock(adata, model):
    message = r"`model` must be a `sctools.model.AgeClock`.*the directory.*found "
    refuse(adata, TypeError, message, model)


def test_a_directory_that_is_no_clock(adata, tmp_path):
    expected = r"Expected a directory written by `sctools.model.AgeClock.save`"
    refuse(adata, ValueError, rf"{expected}.*is not a directory", tmp_path / "nothing")
    refuse(adata, ValueError, rf"{expected}.*lacks.*found: \[\]", str(tmp_path))
    (tmp_path / "model.pt").write_bytes(b"123")
    refuse(adata, ValueError, rf"{expected}.*found: \['model.pt'\]", tmp_path)


@pytest.mark.parametrize("keep", [0, 0.5, 0.99])
def test_a_directory_that_was_cut_short(adata, clock, tmp_path, keep):
    clock.save(tmp_path / "clock")
    for path in sorted((tmp_path / "clock").iterdir()):
        whole = path.read_bytes()
        path.write_bytes(whole[: int(keep * len(whole))])
        refuse(adata, ValueError, r"damaged or cut short.*Save or copy it again", path.parent)
        path.write_bytes(whole)
    description = tmp_path / "clock" / "clock.json"
    content = json.loads(description.read_text())
    description.write_text(json.dumps({**content, "parts": content["parts"][:1]}))
    refuse(adata, ValueError, r"not a whole saved model.*do not fit", tmp_path / "clock")


def test_training_arguments_with_a_given_clock(adata, clock):
    for name in ("model_kwargs", "train_kwargs"):
        message = r"`train_kwargs` and `checkpoint_dir` are for training"
        refuse(adata, ValueError, message, clock, **{name: {"a": 1}})


def test_unknown_or_bad_training_arguments(adata):
    refuse(adata, TypeError, "n_hiden", model_kwargs={"n_hiden": 3})
    refuse(adata, ValueError, "`n_hidden` must be positive, found 0", model_kwargs={"n_hidden": 0})
    refuse(
        adata,
        ValueError,
        "`n_inner_folds` must be at least 2, found 1",
        model_kwargs={"n_inner_folds": 1},
    )


@pytest.mark.parametrize("n_folds", [1, 0, -3, 2.0, True, "5"])
def test_n_folds(adata, n_folds):
    message = rf"`n_folds` must be a whole number of at least 2, found {n_folds!r}"
    refuse(adata, ValueError, message, n_folds=n_folds)


@pytest.mark.parametrize("applied", [False, True], ids=["train", "apply"])
def test_key_added(adata, clock, applied):
    model = clock if applied else None
    for key in ("a/b", "", None):
        refuse(adata, ValueError, r"`key_added` must be a name without '/'", model, key_added=key)
    for key in ("age", "donor_id", "cell_type"):
        message = rf"`key_added='{key}'` would overwrite '{key}'"
        refuse(adata, ValueError, message, model, key_added=key)
    adata.obs["mine_fold"] = adata.obs["donor_id"]
    message = r"`key_added='mine'` would overwrite 'mine_fold'"
    refuse(adata, ValueError, message, model, key_added="mine", donor_key="mine_fold")
    adata.obs["mine_upper"] = adata.obs["age"]
    message = r"`key_added='mine'` would overwrite 'mine_upper'"
    refuse(adata, ValueError, message, model, key_added="mine", age_key="mine_upper")


def test_batch_size(adata, clock):
    refuse(adata, ValueError, r"`batch_size` must be at least 1, found 0", clock, batch_size=0)
    refuse(adata, ValueError, r"`batch_size` must be at least 1, found 0", batch_size=0)


@pytest.mark.parametrize("level", [0, 1, -0.1, 1.5, 90, np.nan, True, "0.9", None])
def test_level(adata, clock, level):
    message = r"`level`.* must lie between 0 and 1, such as 0.9; found "
    refuse(adata, ValueError, message, level=level)
    refuse(adata, ValueError, message, clock, level=level)


def test_a_view_stays_a_view(adata):
    parent = snapshot(adata)
    view = adata[adata.obs["donor_id"].isin(adata.obs["donor_id"].unique()[:2])]
    refuse(view, ValueError, r"at least 3 donors with a known age, found 2")
    assert view.is_view
    assert_unchanged(adata, parent)


def test_missing_ages_in_a_nullable_column(adata):
    adata.obs["age"] = pd.array([pd.NA] * adata.n_obs, dtype="Float64")
    refuse(adata, ValueError, r"has no known age")


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"batch_size": 2.5}, ValueError, r"`batch_size` must be a whole number"),
        ({"min_coverage": "half"}, ValueError, r"`min_coverage` must lie between 0 and 1"),
        ({"layer": ["counts"]}, TypeError, r"`layer` must be a name"),
        ({"donor_key": {"a": 1}}, TypeError, r"`donor_key` must be a name"),
        ({"covariate_keys": 3}, TypeError, r"`covariate_keys` must be a list of columns"),
        ({"log_normalized": "no"}, TypeError, r"`log_normalized` must be True or False"),
        ({"progress_bar": "no"}, TypeError, r"`progress_bar` must be True or False"),
    ],
)
@pytest.mark.parametrize("applied", [False, True], ids=["train", "apply"])
def test_arguments_of_a_wrong_type(adata, clock, applied, kwargs, error, message):
    refuse(adata, error, message, clock if applied else None, **kwargs)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"rng": "x"}, TypeError, r"`rng` must be a whole number"),
        ({"rng": -1}, ValueError, r"`rng` must be a whole number"),
        ({"model_kwargs": [3]}, TypeError, r"`model_kwargs` must map names"),
        ({"model_kwargs": {"nonsense": 1}}, TypeError, r"`model_kwargs` has 'nonsense'"),
        ({"train_kwargs": {"nonsense": 1}}, TypeError, r"`train_kwargs` has 'nonsense'"),
    ],
)
def test_options_of_training(adata, kwargs, error, message):
    refuse(adata, error, message, **kwargs)


def test_a_mudata(adata, clock):
    mdata = quietly_joined({"rna": adata})
    for model in (None, clock):
        with pytest.raises(TypeError, match=r"Expected AnnData, found MuData.*mdata.mod"):
            age_clock(mdata, model)
