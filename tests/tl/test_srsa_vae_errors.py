"""Bad input: the message says what mends it, and the data are exactly as they were."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from sctools.model import SRSAVAE, MultimodalSRSAVAE
from sctools.tl import age_clock, srsa_vae

from .._clocks import QUICK as QUICK_CLOCK
from .._clocks import small_cohort
from .._compare import assert_same, assert_unchanged, snapshot
from .._vaes import (
    N_OBS,
    PROTEINS,
    QUICK,
    QUICK_PROTEIN,
    cells,
    multimodal,
    quietly_joined,
)

BOTH = pytest.mark.parametrize("applied", [False, True], ids=["train", "apply"])
NO_COUNTS = r"must hold raw counts \(whole numbers, none negative\), found .*"


@pytest.fixture(scope="module")
def models():
    """A trained model of each class, by whether it knows proteins."""
    return {
        False: srsa_vae(cells(), return_model=True, **QUICK),
        True: srsa_vae(cells(), protein_key=PROTEINS, return_model=True, **QUICK_PROTEIN),
    }


@pytest.fixture
def vae(models):
    return models[False]


@pytest.fixture
def adata():
    """Cells with an earlier result and things of the user's own."""
    adata = cells(60, rng=3)
    adata.layers["mine"] = adata.X.copy()
    adata.obs["srsa_vae"] = "old"
    adata.obsm["X_srsa_vae"] = np.ones((adata.n_obs, 2), np.float32)
    adata.obsm["X_srsa_vae_attention"] = np.ones((adata.n_obs, 3))
    adata.uns["srsa_vae"] = {"params": {"old": True}}
    adata.obs["score"] = np.linspace(0, 1, adata.n_obs)
    return adata


def both_snapshots(data):
    """Snapshot of AnnData, or of a MuData with its modalities."""
    if isinstance(data, AnnData):
        return snapshot(data)
    parts = {name: snapshot(data.mod[name]) for name in data.mod}
    return {**parts, "obs": data.obs.copy(), "var": data.var.copy(), "uns": dict(data.uns)}


def refuse(data, error, message, model=None, **kwargs):
    """Assert the error, and that nothing changed; also for a copy and a returned model."""
    before = both_snapshots(data)
    if model is None:
        quick = QUICK_PROTEIN if "protein_key" in kwargs or isinstance(data, MuData) else QUICK
        kwargs = {**quick, **kwargs}
    state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    for more in ({}, {"copy": True, "return_model": True}):
        with pytest.raises(error, match=message) as caught:
            srsa_vae(data, model, **kwargs, **more)
        # Words of the age clock, whose checks are shared: they mend nothing here.
        assert "log_normalized" not in str(caught.value)
        assert type(caught.value) is error
        if isinstance(data, AnnData):
            assert_unchanged(data, before)
        else:
            assert_same(both_snapshots(data), before)
    np.testing.assert_array_equal(np.random.get_state()[1], state[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), state[1])


# --------------------------------------------------------------------------------------- values


def set_first(adata, value, form):
    X = adata.X.toarray().astype(np.float32)
    X[3, 5] = value
    adata.X = form(X)


VALUES = pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1, NO_COUNTS + r"-1 \(values from -1 to .*"),
        (0.5, NO_COUNTS + r"0.5 "),
        (np.nan, r"must be finite, found 1 NaN or infinite values.*remove"),
        (np.inf, r"must be finite, found 1 NaN or infinite values.*remove"),
        (-np.inf, r"must be finite, found 1 NaN or infinite values.*remove"),
    ],
    ids=["negative", "fraction", "nan", "inf", "-inf"],
)


@BOTH
@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
@VALUES
def test_values(adata, vae, value, message, form, applied):
    set_first(adata, value, form)
    if message.startswith("must hold"):
        message += r".*`layer=`.*`adata.raw.to_adata\(\)`"
    refuse(adata, ValueError, rf"`adata.X` {message}", vae if applied else None)


@BOTH
def test_logged_and_scaled_values(adata, vae, applied):
    model = vae if applied else None
    totals = np.asarray(adata.X.sum(axis=1))
    adata.X = np.log1p(adata.X.toarray() / totals * 1e4).astype(np.float32)
    message = rf"`adata.X` {NO_COUNTS}`layer=`.*Normalised, logged or scaled"
    refuse(adata, ValueError, message, model)
    adata.X -= adata.X.mean(axis=0)
    refuse(adata, ValueError, message, model)


@BOTH
def test_bad_layer(adata, vae, applied):
    model = vae if applied else None
    adata.layers["mine"] = adata.layers["mine"] * 0.3
    refuse(adata, ValueError, rf"`adata.layers\['mine'\]` {NO_COUNTS}", model, layer="mine")
    refuse(adata, KeyError, r"`layer='raw'`.*Available: 'mine'.*`layer=None`", model, layer="raw")
    del adata.X
    refuse(adata, ValueError, r"`adata.X` is empty.*`layer=` \(available: 'mine'\)", model)


@BOTH
@pytest.mark.parametrize("proteins", [False, True])
def test_nothing_left(adata, models, applied, proteins):
    model = models[proteins] if applied else None
    keys = {"protein_key": PROTEINS} if proteins else {}
    no_cells, no_genes = adata[:0].copy(), adata[:, :0].copy()
    message = r"at least one cell and one gene, found 0 cells × 120 genes. Was `adata` filtered"
    refuse(no_cells, ValueError, message, model, **keys)
    refuse(no_genes, ValueError, r"found 60 cells × 0 genes. Was `adata` filtered", model, **keys)


def test_too_few_cells(adata):
    refuse(adata[:2].copy(), ValueError, "at least 3 cells to train on, found 2", batch_key=None)


def test_training_on_dask(adata):
    array = pytest.importorskip("dask.array")
    counts = array.from_array(adata.X.toarray(), chunks=20)
    adata.X = counts
    message = r"found a dask array. Load it first: `adata = adata.to_memory\(\)`"
    for layer in (None, "lazy"):
        with pytest.raises(ValueError, match=message):
            srsa_vae(adata, layer=layer, **QUICK)
        assert adata.X is counts
        assert adata.obs["srsa_vae"].eq("old").all()
        assert adata.obsm["X_srsa_vae"].shape == (60, 2)
        assert adata.uns["srsa_vae"] == {"params": {"old": True}}
        assert set(adata.obsm) == {PROTEINS, "X_srsa_vae", "X_srsa_vae_attention"}
        adata.X, adata.layers["lazy"] = None, counts
        adata.X = counts


@BOTH
def test_repeated_genes(adata, vae, applied):
    names = adata.var_names.tolist()
    adata.var_names = [*names[:-1], names[0]]
    message = rf"unique var_names, found repeated '{names[0]}'.*var_names_make_unique\(\)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # anndata warns too
        refuse(adata, ValueError, message, vae if applied else None)


# -------------------------------------------------------------------------------------- columns


@pytest.mark.parametrize(
    ("argument", "listed"),
    [
        ("batch_key", False),
        ("labels_key", False),
        ("size_factor_key", False),
        ("categorical_covariate_keys", True),
        ("continuous_covariate_keys", True),
    ],
)
def test_unknown_columns_and_missing_values(adata, argument, listed):
    def value(name):
        return [name] if listed else name

    message = rf"`{argument}='where'` is not a column of `adata.obs`. Available: 'cell_type'"
    refuse(adata, KeyError, message, **{argument: value("where")})
    column = "score" if argument in ("size_factor_key", "continuous_covariate_keys") else "lineage"
    adata.obs.loc[adata.obs_names[:4], column] = np.nan
    message = rf"obs\['{column}'\]` \(`{argument}`\) is missing for 4 of 60 cells. Remove.*notna"
    refuse(adata, ValueError, message, **{argument: value(column)})


def test_columns_of_a_query(adata, vae):
    message = r"`labels_key='where'` is not a column of `adata.obs`. Available: 'cell_type'"
    refuse(adata, KeyError, message, vae, labels_key="where")
    message = r"`batch_key='lineage'` differs from training, where it was 'batch'. Leave it out"
    refuse(adata, ValueError, message, vae, batch_key="lineage")
    message = r"`size_factor_key='score'` differs from training, where it was None. Leave it out"
    refuse(adata, ValueError, message, vae, size_factor_key="score")
    message = r"`continuous_covariate_keys=\['score'\]` differs from training.*\[\]. Leave it out"
    refuse(adata, ValueError, message, vae, continuous_covariate_keys=["score"])
    adata.obs.loc[adata.obs_names[:4], "batch"] = np.nan
    refuse(adata, ValueError, r"\(`batch_key`\) is missing for 4 of 60 cells. Remove.*notna", vae)
    del adata.obs["batch"]
    refuse(adata, KeyError, r"`batch_key='batch'` is not a column of `adata.obs`", vae)


def test_columns_that_hold_no_numbers(adata):
    for argument in ("size_factor_key", "continuous_covariate_keys"):
        key = "lineage" if argument == "size_factor_key" else ["lineage"]
        message = rf"`adata.obs\['lineage'\]` \(`{argument}`\) must hold numbers, found dtype categ"
        refuse(adata, TypeError, message, **{argument: key})
    message = r"`adata.obs\['score'\]` \(`size_factor_key`\) must be positive"
    refuse(adata, ValueError, message, size_factor_key="score")
    adata.obs["score"] += 1
    adata.obs.loc[adata.obs_names[3], "score"] = np.inf
    message = r"`adata.obs\['score'\]` \(`continuous_covariate_keys`\) must be finite"
    refuse(adata, ValueError, message, continuous_covariate_keys=["score"])


@BOTH
@pytest.mark.parametrize("name", ["categorical_covariate_keys", "continuous_covariate_keys"])
def test_a_string_where_a_list_is_expected(adata, vae, name, applied):
    message = rf"`{name}` must be a list of columns, found the string 'score'. Write `{name}=\['sc"
    refuse(adata, TypeError, message, vae if applied else None, **{name: "score"})


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("text", "True"),
        ("numbers", np.arange(120)),
        ("missing", [None] + [True] * 119),
        ("none", False),
        ("fraction", 0.5),
    ],
)
def test_masks_that_are_not_boolean(adata, column, values):
    adata.var[column] = values
    message = rf"`adata.var\['{column}'\]` must be boolean and true for some genes.*`mask_var=None`"
    refuse(adata, ValueError, message, mask_var=column)


def test_a_missing_mask(adata):
    adata.var["highly_variable"] = "yes"
    refuse(adata, ValueError, r"`adata.var\['highly_variable'\]` must be boolean")
    message = r"`mask_var='hvg'` is not a column of `adata.var`. Available: .*'highly_variable'.*"
    refuse(adata, KeyError, message + r"`mask_var=None` takes all genes", mask_var="hvg")


# ------------------------------------------------------------------------------------- proteins


@BOTH
def test_proteins_are_missing(adata, models, applied):
    model = models[True] if applied else None
    message = r"`protein_key='adt'` is not in `adata.obsm`. Available: 'protein_expression'.*DataFr"
    refuse(adata, KeyError, message, model, protein_key="adt")


@BOTH
@pytest.mark.parametrize("form", ["frame", "array", "csr"])
@VALUES
def test_values_of_proteins(adata, models, value, message, form, applied):
    table = adata.obsm[PROTEINS].astype(np.float32)
    table.iloc[3, 5] = value
    model = models[True] if applied else None
    adata.obsm["adt"] = {
        "frame": table,
        "array": table.to_numpy(),
        "csr": sparse.csr_matrix(table.to_numpy()),
    }[form]
    if message.startswith("must hold"):
        message += r".*Put the raw counts there: normalised proteins"
    refuse(adata, ValueError, r"`adata.obsm\['adt'\]` " + message, model, protein_key="adt")


def test_proteins_that_are_no_numbers(adata):
    adata.obsm["adt"] = adata.obsm[PROTEINS].astype(str).replace("0", "none")
    refuse(adata, TypeError, r"`adata.obsm\['adt'\]` must hold numbers, found", protein_key="adt")
    adata.obsm["adt"] = np.ones((60, 2, 2))
    message = r"`adata.obsm\['adt'\]` must be cells × proteins, found shape \(60, 2, 2\)"
    refuse(adata, ValueError, message, protein_key="adt")


def test_no_protein_at_all(adata):
    for empty in (adata.obsm[PROTEINS].iloc[:, :0], np.ones((60, 0))):
        adata.obsm["adt"] = empty
        message = r"at least one protein, found shape \(60, 0\)"
        refuse(adata, ValueError, message, protein_key="adt")


def test_rows_that_do_not_match():
    """AnnData itself refuses such an ``obsm``: only other tables can come in."""
    from sctools.pp._counts_input import check_proteins, protein_counts

    adata = cells(60)
    message = r"must have a row for each of the 60 cells.*found shape \(59, 14\)"
    with pytest.raises(ValueError, match=message):
        check_proteins(adata.obsm[PROTEINS].iloc[1:], adata.obs_names, "`table`", None)

    class Flat:
        obsm = {"adt": np.ones(60)}  # noqa: RUF012
        obs_names = adata.obs_names

    with pytest.raises(ValueError, match=r"must be cells × proteins, found shape \(60,\)"):
        protein_counts(Flat(), "adt")


def test_a_protein_without_any_count(adata):
    adata.obsm[PROTEINS][["CD4", "CD8"]] = 0
    message = r"has no count of 'CD4', 'CD8' in any cell. Leave such proteins out"
    refuse(adata, ValueError, message, protein_key=PROTEINS)
    adata.obsm[PROTEINS].loc[:] = 0
    refuse(adata, ValueError, r"has no count of 'CD3', 'CD4'.*Leave such", protein_key=PROTEINS)


@BOTH
def test_repeated_proteins(adata, models, applied):
    table = adata.obsm[PROTEINS]
    adata.obsm["adt"] = table.set_axis([*table.columns[:-1], "CD4"], axis=1)
    message = r"Expected unique columns of `adata.obsm\['adt'\]`, found repeated 'CD4'.*Make them"
    refuse(adata, ValueError, message, models[True] if applied else None, protein_key="adt")


def test_denoised_proteins_go_nowhere_else(adata, models):
    message = r"`denoised_protein_key` needs protein counts. Name them with `protein_key=`"
    refuse(adata, ValueError, message, denoised_protein_key="denoised")
    for applied in (False, True):
        model = models[True] if applied else None
        for name in (PROTEINS, "X_srsa_vae", "X_srsa_vae_attention"):
            keys = {"protein_key": PROTEINS, "denoised_protein_key": name}
            message = rf"`denoised_protein_key='{name}'` would overwrite.*Choose another name"
            refuse(adata, ValueError, message, model, **keys)
        for name in ("", "a/b"):
            keys = {"protein_key": PROTEINS, "denoised_protein_key": name}
            message = r"`denoised_protein_key` must be a name without '/'"
            refuse(adata, ValueError, message, model, **keys)


def test_dask_proteins_are_read(adata):
    array = pytest.importorskip("dask.array")
    values = adata.obsm[PROTEINS].to_numpy()
    adata.obsm["adt"] = array.from_array(values, chunks=20)
    srsa_vae(adata, protein_key="adt", **QUICK_PROTEIN)
    assert np.isfinite(adata.obsm["X_srsa_vae"]).all()


# --------------------------------------------------------------------------------------- MuData


def test_mudata_with_other_cells(adata, models):
    mdata = multimodal(adata)
    for rows, sizes in ((np.arange(59), r"\(60 cells\).*\(59 cells\)"), (np.arange(60), "60")):
        protein = mdata.mod["prot"][rows].copy()
        if len(rows) == 60:
            protein.obs_names = [*protein.obs_names[:-1], "stranger"]
        other = quietly_joined({"rna": mdata.mod["rna"].copy(), "prot": protein})
        message = rf"'rna' .*{sizes}.*must hold the same cells.*`muon.pp.intersect_obs\(mdata\)`"
        refuse(other, ValueError, message)
        refuse(other, ValueError, message, models[True])


def test_mudata_with_more_proteins_than_cells(adata):
    mdata = multimodal(adata)
    other = quietly_joined({"rna": mdata.mod["rna"][:50].copy(), "prot": mdata.mod["prot"]})
    refuse(other, ValueError, r"\(50 cells\).*\(60 cells\) must hold the same cells")


@pytest.mark.parametrize("name", ["rna", "prot"])
def test_mudata_with_repeated_cells(adata, name):
    mdata = multimodal(adata)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = mdata.mod[name]
        other.obs_names = [other.obs_names[1], *other.obs_names[1:]]
        message = rf"modality '{name}' must have unique names.*obs_names_make_unique"
        with pytest.raises(ValueError, match=message):
            srsa_vae(mdata, **QUICK_PROTEIN)
    assert other.obsm.keys() <= {"X_srsa_vae", "X_srsa_vae_attention"}


def test_modalities(adata, models):
    mdata = multimodal(adata)
    message = r"`modalities` names 'cite', which `mdata.mod` lacks. Available: 'rna', 'prot'"
    named = {"rna_layer": "rna", "protein_layer": "cite"}
    refuse(mdata, KeyError, message, modalities=named)
    refuse(mdata, KeyError, message, models[True], modalities=named)
    for wrong in ({"rna": "rna", "prot": "prot"}, {"rna_layer": "rna"}, {}):
        message = r"`modalities` must name 'rna_layer' and 'protein_layer', found"
        refuse(mdata, ValueError, message, modalities=wrong)
    message = r"`protein_key` is for AnnData, found MuData. Name its modalities with `modalities=`"
    refuse(mdata, ValueError, message, protein_key=PROTEINS)
    message = r"`modalities` is for MuData, found AnnData. Name its proteins with `protein_key=`"
    refuse(adata, ValueError, message, modalities=named)
    message = r"Name the modalities with counts: `modalities={'rna_layer'.*Available: 'gex', 'prot'"
    refuse(multimodal(adata, "gex"), KeyError, message)
    two = quietly_joined({**mdata.mod, "adt": mdata.mod["prot"].copy()})
    refuse(two, KeyError, r"Name the modalities.*Available: 'rna', 'prot', 'adt'")


def test_values_in_mudata(adata, models):
    for name, where in (("rna", r"`adata.X`"), ("prot", r"`mdata.mod\['prot'\].X`")):
        for model in (None, models[True]):
            mdata = multimodal(adata)
            matrix = mdata.mod[name].X.astype(np.float32)
            mdata.mod[name].X = matrix * 0.3
            refuse(mdata, ValueError, rf"{where} {NO_COUNTS}", model)


def test_keys_of_mudata_clash(adata):
    mdata = multimodal(adata)
    rna = mdata.mod["rna"]
    del rna.uns["srsa_vae"]
    message = r"`key_added='srsa_vae'` would overwrite `adata.obs.*no result of this tool. Choose"
    refuse(mdata, ValueError, message)
    del rna.obs["srsa_vae"]
    message = r"`key_added='srsa_vae'` would overwrite `adata.obsm\['X_srsa_vae'\]`.*Choose"
    refuse(mdata, ValueError, message)
    # Also where the columns that are read lie at the top.
    mdata.obs["site"] = rna.obs["batch"].loc[mdata.obs_names]
    refuse(mdata, ValueError, message, batch_key="site")


def test_a_backed_mudata(adata, tmp_path):
    from mudata import read_h5mu

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        multimodal(adata).write_h5mu(tmp_path / "cells.h5mu")
        backed = read_h5mu(tmp_path / "cells.h5mu", backed="r")
        with pytest.raises(ValueError, match=r"MuData in memory.*Read it without `backed=`"):
            srsa_vae(backed, **QUICK_PROTEIN)
        backed.file.close()


@pytest.mark.parametrize("data", [None, "cells.h5ad", np.ones((5, 5)), pd.DataFrame()])
def test_what_is_no_data(data):
    with pytest.raises(TypeError, match="Expected AnnData or MuData, found"):
        srsa_vae(data)


# ------------------------------------------------------------------------------- a given model


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("proteins", [False, True])
def test_other_genes(adata, models, proteins, saved, tmp_path):
    model = models[proteins]
    if saved:
        model.save(tmp_path / "model")
        model = str(tmp_path / "model")
    keys = {"protein_key": PROTEINS} if proteins else {}
    few = adata[:, 3:].copy()
    message = (
        r"trained on 120 genes, and 3 of them are not in `adata.var_names`: '.*has 117 genes"
        r".*Bring the same gene names.*`load_query_data`"
    )
    refuse(few, ValueError, message, model, **keys)
    adata.var_names = [f"ENSG{i:011}" for i in range(adata.n_vars)]
    message = r"120 of them are not in.*for example 'ENSG00000000000'"
    refuse(adata, ValueError, message, model, **keys)


@pytest.mark.parametrize("saved", [False, True])
def test_other_proteins(adata, models, saved, tmp_path):
    model = models[True]
    if saved:
        model.save(tmp_path / "model")
        model = tmp_path / "model"
    table = adata.obsm[PROTEINS]
    adata.obsm["few"] = table.drop(columns=["CD4", "CD8"])
    adata.obsm["renamed"] = table.rename(columns={"CD4": "CD4_TotalSeqB"})
    adata.obsm["nameless"] = table.to_numpy()
    message = (
        r"trained on 14 proteins, and 2 of them are not in `adata.obsm\['few'\]`: 'CD4', 'CD8'"
    )
    refuse(adata, ValueError, message, model, protein_key="few")
    message = r"1 of them are not in .*Available: .*'CD4_TotalSeqB'.*Name the columns as in train"
    refuse(adata, ValueError, message, model, protein_key="renamed")
    message = r"14 of them are not in .*Available: 'protein_0'.*Name the columns"
    refuse(adata, ValueError, message, model, protein_key="nameless")


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("proteins", [False, True])
def test_an_unseen_batch(adata, models, proteins, saved, tmp_path):
    model = models[proteins]
    if saved:
        model.save(tmp_path / "model")
        model = tmp_path / "model"
    keys = {"protein_key": PROTEINS} if proteins else {}
    adata.obs["batch"] = adata.obs["batch"].cat.rename_categories({"batch2": "new"})
    message = r"`adata.obs\['batch'\]` holds 'new', which the model was not trained on. It knows: "
    refuse(adata, ValueError, message + r"'batch1', 'batch2'.*`load_query_data", model, **keys)


def test_unseen_covariates_and_labels(adata):
    own = cells()
    SRSAVAE.setup_anndata(own, labels_key="cell_type", categorical_covariate_keys=["lineage"])
    own = SRSAVAE(own, n_hidden=16)
    own.train(1, rng=0, progress_bar=False)
    adata.obs["lineage"] = "stem cell"
    message = r"`adata.obs\['lineage'\]` holds 'stem cell'.*It knows: .*'NK cell'"
    refuse(adata, ValueError, message, own)
    adata = cells(60)
    adata.obs["cell_type"] = "HSC"
    refuse(adata, ValueError, r"`adata.obs\['cell_type'\]` holds 'HSC'", own)


@pytest.mark.parametrize("saved", [False, True])
def test_a_model_of_the_other_class(adata, models, saved, tmp_path):
    given = models
    if saved:
        given = {}
        for proteins, model in models.items():
            given[proteins] = tmp_path / str(proteins)
            model.save(given[proteins])
    message = r"`model` is a SRSAVAE, which knows no proteins. Leave `protein_key=` out"
    refuse(adata, ValueError, message, given[False], protein_key=PROTEINS)
    refuse(multimodal(adata), ValueError, message, given[False])
    message = r"`model` is a MultimodalSRSAVAE, which needs proteins. Name them with `protein_key=`"
    refuse(adata, ValueError, message, given[True])


class Pretender:
    is_trained = True


@pytest.mark.parametrize("model", [3, {"a": 1}, np.ones(3), SRSAVAE, Pretender()])
def test_what_is_no_model(adata, model):
    message = r"`model` must be one of 'SRSAVAE', 'MultimodalSRSAVAE', or a directory.*found "
    refuse(adata, TypeError, message + type(model).__name__, model)


def test_other_models(adata, tmp_path):
    plain = cells()
    scvi.model.SCVI.setup_anndata(plain)
    theirs = scvi.model.SCVI(plain)
    theirs.is_trained_ = True
    theirs.save(tmp_path / "scvi")
    message = r"`model` must be one of 'SRSAVAE', 'MultimodalSRSAVAE'.*found SCVI"
    refuse(adata, TypeError, message, theirs)
    refuse(adata, TypeError, message, tmp_path / "scvi")
    clock = age_clock(small_cohort(9), return_model=True, **QUICK_CLOCK)
    refuse(adata, TypeError, r"`model` must be one of.*found AgeClock", clock)
    clock.save(tmp_path / "clock")
    message = r"is no directory of a saved model \(no 'model.pt' in it\). Save one with"
    refuse(adata, ValueError, message, tmp_path / "clock")


def test_an_untrained_model(adata):
    own = cells()
    SRSAVAE.setup_anndata(own, batch_key="batch")
    message = r"`model` is not trained. Train it first: `model.train\(\)`"
    refuse(adata, ValueError, message, SRSAVAE(own, n_hidden=16))
    own = cells()
    MultimodalSRSAVAE.setup_anndata(own, PROTEINS)
    own = MultimodalSRSAVAE(own, n_hidden=16, empirical_protein_background_prior=False)
    refuse(adata, ValueError, message, own, protein_key=PROTEINS)


def test_a_directory_that_is_no_model(adata, tmp_path):
    message = r"is no directory of a saved model \(no 'model.pt' in it\). Save one with `model.save"
    for path in (tmp_path, str(tmp_path / "nothing"), ""):
        refuse(adata, ValueError, message, path)


def test_models_for_their_own_methods(adata, vae, models, tmp_path):
    own = multimodal(cells())
    modalities = {"rna_layer": "rna", "protein_layer": "prot"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        MultimodalSRSAVAE.setup_mudata(own, modalities=modalities)
        own = MultimodalSRSAVAE(own, n_hidden=16, empirical_protein_background_prior=False)
        own.train(1, rng=0, progress_bar=False)
    message = r"`model` was set up with `setup_mudata`. Apply it with its own methods"
    refuse(multimodal(adata), ValueError, message, own)
    with_panel = cells()
    MultimodalSRSAVAE.setup_anndata(with_panel, PROTEINS, panel_key="batch")
    own = MultimodalSRSAVAE(with_panel, n_hidden=16, empirical_protein_background_prior=False)
    own.train(1, rng=0, progress_bar=False)
    message = r"`model` was set up with `panel_key='batch'`. Apply it with its own methods"
    refuse(adata, ValueError, message, own, protein_key=PROTEINS)
    for proteins, cls in ((False, SRSAVAE), (True, MultimodalSRSAVAE)):
        keys = {"protein_key": PROTEINS} if proteins else {}
        path = tmp_path / str(proteins)
        own = cells()
        if proteins:
            cls.setup_anndata(own, PROTEINS, batch_key="batch")
        else:
            cls.setup_anndata(own, batch_key="batch")
        small = cls(own, n_hidden=16)
        small.train(1, rng=0, progress_bar=False)
        mean, variance = small.get_latent_representation(return_dist=True)
        own.obsm["X_latent_qzm"], own.obsm["X_latent_qzv"] = mean, variance
        small.minify_adata()
        message = r"`model` holds minified data.*Apply it as it was before `minify_adata\(\)`"
        refuse(adata, ValueError, message, small, **keys)
        small.save(path)
        refuse(adata, ValueError, message, path, **keys)


def test_training_arguments_with_a_given_model(adata, vae):
    given = {"model_kwargs": {"a": 1}, "train_kwargs": {"a": 1}, "n_latent": 5, "max_epochs": 2}
    for name, value in given.items():
        message = rf"training \('{name}'\).*Leave them out, or leave `model` out to train"
        refuse(adata, ValueError, message, vae, **{name: value})


# -------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"attention": "cells"}, ValueError, r"`attention` must be one of 'memory'.*found 'cells'"),
        ({"residual": "double"}, ValueError, r"`residual` must be one of 'scaled'"),
        ({"prior": "vamp"}, ValueError, r"`prior` must be 'mixture' or 'normal'"),
        ({"prior": pd.DataFrame()}, ValueError, r"`prior` must be 'mixture' or 'normal'"),
        ({"n_latent": 0}, ValueError, r"`n_latent` must be a whole number ≥ 1, found 0"),
        ({"n_latent": -3}, ValueError, r"`n_latent` must be a whole number ≥ 1, found -3"),
        ({"n_latent": 2.5}, ValueError, r"`n_latent` must be a whole number ≥ 1, found 2.5"),
        ({"n_latent": "10"}, ValueError, r"`n_latent` must be a whole number ≥ 1, found '10'"),
        ({"model_kwargs": {"n_tokens": 0}}, ValueError, r"`n_tokens` must be a whole number ≥ 1"),
        ({"model_kwargs": {"n_tokens": -1}}, ValueError, r"`n_tokens` must be a whole number"),
        ({"model_kwargs": {"n_tokens": 1.5}}, ValueError, r"`n_tokens` must be a whole number"),
        (
            {"model_kwargs": {"n_heads": 3}},
            ValueError,
            r"must be a multiple of `n_heads`",
        ),
        ({"model_kwargs": {"n_components": 0}}, ValueError, r"`n_components` must be a whole"),
        ({"model_kwargs": {"n_hiden": 3}}, TypeError, r"n_hiden"),
        ({"model_kwargs": {"encoder": "scvi"}}, ValueError, r"goes with `attention='none'"),
        ({"attention": "none", "residual": "none"}, ValueError, r"leaves nothing to encode.*Keep"),
        ({"max_epochs": 0}, ValueError, r"`max_epochs` must be at least 1, and whole, found 0"),
        ({"max_epochs": 1.5}, ValueError, r"`max_epochs` must be at least 1, and whole, found 1.5"),
        ({"train_kwargs": {"epochs": 3}}, TypeError, r"epochs"),
        ({"batch_size": 0}, ValueError, r"`batch_size` must be at least 1, found 0"),
    ],
)
@pytest.mark.parametrize("proteins", [False, True])
def test_options(adata, kwargs, error, message, proteins):
    keys = {"protein_key": PROTEINS} if proteins else {}
    refuse(adata, error, message, **kwargs, **keys)


@BOTH
def test_key_added(adata, vae, applied):
    model = vae if applied else None
    for key in ("a/b", "", None, 3):
        refuse(adata, ValueError, r"`key_added` must be a name without '/'", model, key_added=key)
    adata.uns["mine"] = {"params": {}}  # an earlier result
    adata.obs["mine"] = adata.obs["batch"]
    message = r"`key_added='mine'` would overwrite 'mine', which is read here. Choose another name"
    refuse(adata, ValueError, message, model, key_added="mine", labels_key="mine")
    adata.obsm["X_mine"] = adata.obsm[PROTEINS]
    message = r"`key_added='mine'` would overwrite 'X_mine', which is read here"
    refuse(adata, ValueError, message, model, key_added="mine", protein_key="X_mine")


@BOTH
@pytest.mark.parametrize("where", ["obs", "obsm", "attention", "uns"])
def test_what_is_of_another_tool_is_not_overwritten(vae, where, applied):
    adata = cells(60, rng=3)
    if where == "obs":
        key, name = "lineage", r"obs\['lineage'\]"
    elif where == "uns":
        key, name = "immune_mixture", r"uns\['immune_mixture'\]"
        adata.uns["immune_mixture"].pop("params")  # which results have
    else:
        key, name = "pca", r"obsm\['X_pca" + ("_attention" if where == "attention" else "")
        adata.obsm["X_pca" if where == "obsm" else "X_pca_attention"] = np.ones((60, 2))
    message = rf"`key_added='{key}'` would overwrite `adata.{name}.*no result of this tool. Choose"
    refuse(adata, ValueError, message, vae if applied else None, key_added=key)


@BOTH
def test_the_columns_of_a_models_training_are_not_overwritten(adata, vae, applied):
    """What is read is kept, also where an earlier result has the same name."""
    adata.uns["batch"] = {"params": {}}
    message = (
        r"`key_added='batch'` would overwrite 'batch', which is read here. Choose another name"
    )
    refuse(adata, ValueError, message, vae if applied else None, key_added="batch")


@BOTH
def test_a_view_stays_a_view(adata, vae, applied):
    adata.obs.loc[adata.obs_names[:4], "batch"] = np.nan
    parent = snapshot(adata)
    view = adata[:30]
    refuse(view, ValueError, r"is missing for 4 of 30 cells", vae if applied else None)
    assert view.is_view
    assert_unchanged(adata, parent)


def test_a_failure_in_training_or_encoding_leaves_everything(adata, vae, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(SRSAVAE, "get_components", fail)
    refuse(adata, RuntimeError, "out of memory")
    refuse(adata, RuntimeError, "out of memory", vae)
    monkeypatch.setattr(SRSAVAE, "train", fail)
    refuse(adata, RuntimeError, "out of memory")


def test_the_data_of_these_tests_are_good(adata, models):
    """Otherwise the tests above could pass for another reason than theirs."""
    for proteins, model in models.items():
        keys = {"protein_key": PROTEINS} if proteins else {}
        quick = QUICK_PROTEIN if proteins else QUICK
        srsa_vae(adata, **keys, **quick)
        srsa_vae(adata, model, **keys)
        assert adata.obs["srsa_vae"].ne("old").all()
        srsa_vae(adata, layer="mine", **keys, **quick)
    srsa_vae(multimodal(adata), **QUICK_PROTEIN)
    srsa_vae(multimodal(adata), models[True])
    assert len(adata) == 60 < N_OBS


def test_a_column_in_two_roles(adata):
    """It is checked for both."""
    message = r"`adata.obs\['lineage'\]` \(`size_factor_key`\) must hold numbers"
    both = {"size_factor_key": "lineage", "categorical_covariate_keys": ["lineage"]}
    refuse(adata, TypeError, message, **both)


def test_labels_that_are_lists(adata):
    adata.obs["site"] = pd.Series([[i % 2] for i in range(adata.n_obs)], index=adata.obs_names)
    message = r"`adata.obs\['site'\]` \(`batch_key`\) must hold labels, found values such as \[0\]"
    refuse(adata, TypeError, message, batch_key="site")


# ------------------------------------------------------------------------------- wrong types


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"batch_size": float("nan")}, ValueError, r"`batch_size` must be a whole number"),
        ({"categorical_covariate_keys": 3}, TypeError, r"must be a list of columns, found 3"),
        ({"labels_key": ["cell_type"]}, TypeError, r"`labels_key` must be a name"),
        ({"mask_var": 3}, TypeError, r"`mask_var` must be a name"),
        ({"rng": 0.5}, TypeError, r"`rng` must be a whole number"),
        ({"model_kwargs": pd.DataFrame()}, TypeError, r"`model_kwargs` must map names"),
        ({"model_kwargs": {"nonsense": 1}}, TypeError, r"`model_kwargs` has 'nonsense'"),
        ({"train_kwargs": {"nonsense": 1}}, TypeError, r"`train_kwargs` has 'nonsense'"),
    ],
)
def test_arguments_of_a_wrong_type(adata, kwargs, error, message):
    refuse(adata, error, message, **kwargs)


def test_flags_are_checked_before_anything_is_written(adata, vae):
    before = snapshot(adata)
    for flag in ("copy", "return_model", "progress_bar"):
        with pytest.raises(TypeError, match=rf"`{flag}` must be True or False"):
            srsa_vae(adata, vae, **{flag: pd.DataFrame()})
        assert_unchanged(adata, before)


@pytest.mark.parametrize("n_obs", [1, 2])
def test_too_few_cells_with_proteins(adata, n_obs):
    """scvi-tools looks at the proteins before it trains."""
    few = adata[adata.obsm[PROTEINS].to_numpy().sum(axis=1).argsort()[-n_obs:]].copy()
    few.obsm[PROTEINS] += 1
    refuse(few, ValueError, f"at least 3 cells to train on, found {n_obs}", protein_key=PROTEINS)


def test_cells_that_were_renamed_in_a_modality(adata):
    mdata = multimodal(adata)
    mdata.obs["site"] = "top"  # the top has columns of its own
    for name in mdata.mod:
        mdata.mod[name].obs_names = [f"new{i}" for i in range(adata.n_obs)]
    message = r"`mdata.obs` lacks cells of modality 'rna'.*`mdata.update\(\)`"
    refuse(mdata, ValueError, message)


def test_one_modality_twice_or_empty(adata):
    mdata = multimodal(adata)
    twice = {"rna_layer": "rna", "protein_layer": "rna"}
    refuse(mdata, ValueError, r"must name two modalities, found 'rna' as both", modalities=twice)
    mdata.mod["prot"].X = None
    refuse(mdata, ValueError, r"`mdata.mod\['prot'\].X` is empty: expected protein counts")
