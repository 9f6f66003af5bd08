"""Linear clocks against computations by hand, and what they must not depend on."""

from __future__ import annotations

import itertools
import json
import logging
import sys
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import sctools
from sctools.model import LinearClock, load_clock
from sctools.model._glmnet import INTERCEPT, read_glmnet
from sctools.model._pseudocells import draw_pseudocells, mean_over_pseudocells

from .._compare import assert_unchanged, snapshot

pytestmark = pytest.mark.filterwarnings("ignore:These clocks expect expression:UserWarning")

N_GENES = 40
SIZE = 4


def ids(numbers):
    return [f"ENSG{i:011d}" for i in numbers]


def make_clock(**kwargs):
    """Two types that share some genes; the data have all of them, and others."""
    rng = np.random.default_rng(5)
    coefficients = {
        "CD4T": dict(zip(ids(range(0, 20)), rng.normal(0, 3, 20), strict=True)),
        "MONO": dict(zip(ids(range(12, 30)), rng.normal(0, 3, 18), strict=True)),
    }
    settings = {"labels": "blood", "pseudocell_size": SIZE, **kwargs}
    return LinearClock(coefficients, {"CD4T": 40.0, "MONO": 55.0}, **settings)


@pytest.fixture
def clock():
    return make_clock()


@pytest.fixture
def adata():
    """Donors of different sizes; a type without a clock, and a donor with nothing else."""
    rng = np.random.default_rng(0)
    sizes = {
        ("A", "CD4 T cells"): 6,
        ("A", "CD14+ Monocytes"): 9,
        ("A", "Platelets"): 3,
        ("B", "CD4 T cells"): 3,
        ("B", "CD14+ Monocytes"): 1,
        ("C", "Naive CD4 T"): 7,
        ("D", "Platelets"): 2,
    }
    rows = [key for key, n in sizes.items() for _ in range(n)]
    obs = pd.DataFrame(rows, columns=["donor_id", "cell_type"])
    obs["age"] = obs["donor_id"].map({"A": 30.0, "B": 50.0, "C": 70.0, "D": 40.0})
    obs.index = [f"cell{i}" for i in rng.permutation(len(obs))]
    counts = rng.poisson(rng.gamma(1, 2, N_GENES), (len(obs), N_GENES))
    order = rng.permutation(N_GENES)
    var = pd.DataFrame({"symbol": [f"GENE{i}" for i in order]}, index=ids(order))
    found = ad.AnnData(sparse.csr_matrix(counts.astype("float32")), obs=obs, var=var)
    return found[rng.permutation(len(obs))].copy()


def quietly(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def own_by_hand(adata, clock):
    """Prediction of each cell by itself, from dense values; NaN for platelets."""
    x = pd.DataFrame(np.asarray(adata.X.todense(), dtype=float), adata.obs_names, adata.var_names)
    x = np.log1p(x.div(x.sum(axis=1), axis=0) * 1e4)
    types = adata.obs["cell_type"].map(
        {"CD4 T cells": "CD4T", "Naive CD4 T": "CD4T", "CD14+ Monocytes": "MONO"}
    )
    ages = pd.Series(np.nan, index=adata.obs_names)
    for name in ("CD4T", "MONO"):
        weights = clock.coefficients[name].reindex(x.columns).fillna(0)
        cells = (types == name).to_numpy()
        ages[cells] = clock.intercepts[name] + x.loc[cells] @ weights
    return ages, types


# -------------------------------------------------------------------- predictions


def test_a_cell_gets_the_mean_of_all_its_pseudocells(adata, clock):
    """By enumeration of every pseudocell that the donor's cells can form."""
    own, types = own_by_hand(adata, clock)
    ages = pd.Series(quietly(clock.predict, adata), index=adata.obs_names)
    assert ages.dtype == "float64"
    for _, cells in own.dropna().groupby([adata.obs["donor_id"], types], observed=True):
        size = min(SIZE, len(cells))
        for cell in cells.index:
            others = [name for name in cells.index if name != cell]
            pseudocells = [
                cells[[cell, *rest]].mean() for rest in itertools.combinations(others, size - 1)
            ]
            np.testing.assert_allclose(ages[cell], np.mean(pseudocells), rtol=0, atol=1e-4)
        np.testing.assert_allclose(ages[cells.index].mean(), cells.mean(), rtol=0, atol=1e-4)
    assert ages.isna().equals(own.isna())
    assert ages.isna().sum() == 5


def test_drawn_pseudocells_by_hand(adata, clock):
    """Mean the log-normalised values of the cells drawn, then predict: as published."""
    table = quietly(clock.predict_pseudocells, adata, n_pseudocells=7, rng=3)
    assert list(table.columns) == ["donor", "cell_type", "pseudocell", "predicted", "n_cells"]
    assert len(table) == 7 * 5
    own, types = own_by_hand(adata, clock)
    seed = int(np.random.default_rng(3).integers(2**63))
    for (donor, name), drawn in table.groupby(["donor", "cell_type"]):
        cells = own[((adata.obs["donor_id"] == donor) & (types == name)).to_numpy()].sort_index()
        members = draw_pseudocells(len(cells), SIZE, 7, (seed, donor, name))
        expected = [cells.iloc[row].mean() for row in members]
        np.testing.assert_allclose(drawn["predicted"], expected, rtol=0, atol=1e-4)
        assert (drawn["n_cells"] == len(cells)).all()
        assert drawn["predicted"].nunique() > 1 or len(cells) == 1


def test_drawn_pseudocells_tend_to_the_predictions(adata, clock):
    n = 3000
    table = quietly(clock.predict_pseudocells, adata, n_pseudocells=n)
    drawn = table.groupby(["donor", "cell_type"])["predicted"].agg(["mean", "std"])
    _, types = own_by_hand(adata, clock)
    ages = pd.Series(quietly(clock.predict, adata), index=adata.obs_names)
    expected = ages.groupby([adata.obs["donor_id"].astype(str), types]).mean()
    assert len(drawn) == 5
    error = (drawn["mean"] - expected.loc[drawn.index]).abs()
    assert (error <= 4 * drawn["std"] / n**0.5 + 1e-6).all()


def test_draws(adata):
    drawn = draw_pseudocells(9, 4, 50, (0, "A", "B"))
    assert drawn.shape == (50, 4)
    assert all(len(set(row)) == 4 for row in drawn)  # without replacement
    assert set(drawn.ravel()) == set(range(9))
    few = draw_pseudocells(3, 4, 50, (0, "A", "B"))
    assert set(few.ravel()) == {0, 1, 2}
    np.testing.assert_array_equal(drawn, draw_pseudocells(9, 4, 50, (0, "A", "B")))
    for other in ((1, "A", "B"), (0, "AB", ""), (0, "A", "C")):
        assert (drawn != draw_pseudocells(9, 4, 50, other)).any()


def test_pseudocells_of_one_cell_leave_cells_alone():
    own = np.array([1.0, 5.0, np.nan, 9.0])
    group = np.array([0, 0, 0, 3])
    np.testing.assert_array_equal(mean_over_pseudocells(own, group, 1), own)
    np.testing.assert_array_equal(mean_over_pseudocells(own, group, 2), [3, 3, np.nan, 9])


# -------------------------------------------------------------------- what must not matter


def test_order_and_batches_do_not_matter(adata, clock):
    ages = quietly(clock.predict, adata)
    drawn = quietly(clock.predict_pseudocells, adata, n_pseudocells=5)
    for batch_size in (1, 7, 1000):
        np.testing.assert_array_equal(quietly(clock.predict, adata, batch_size=batch_size), ages)
    rng = np.random.default_rng(1)
    cells, genes = rng.permutation(adata.n_obs), rng.permutation(adata.n_vars)
    other = adata[cells][:, genes].copy()
    np.testing.assert_allclose(quietly(clock.predict, other), ages[cells], rtol=0, atol=1e-4)
    again = quietly(clock.predict_pseudocells, other, n_pseudocells=5, batch_size=3)
    pd.testing.assert_frame_equal(again, drawn, rtol=0, atol=1e-4)


def test_other_donors_do_not_matter(adata, clock):
    mine = (adata.obs["donor_id"] == "A").to_numpy()
    alone = adata[mine].copy()
    ages = quietly(clock.predict, adata)
    np.testing.assert_allclose(quietly(clock.predict, alone), ages[mine], rtol=0, atol=1e-9)
    drawn = quietly(clock.predict_pseudocells, adata)
    drawn = drawn[drawn["donor"] == "A"].reset_index(drop=True)
    found = quietly(clock.predict_pseudocells, alone)
    pd.testing.assert_frame_equal(found, drawn, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csc_matrix, "layer", "backed", "view"])
def test_storage_does_not_matter(adata, clock, kind, tmp_path):
    ages = quietly(clock.predict, adata)
    kwargs, other = {}, adata.copy()
    if kind == "layer":
        other.layers["counts"], other.X = other.X, None
        kwargs = {"layer": "counts"}
    elif kind == "backed":
        adata.write_h5ad(tmp_path / "a.h5ad")
        other = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    elif kind == "view":
        other = ad.concat([adata, adata], index_unique="-", merge="same")[: adata.n_obs]
    else:
        other.X = kind(adata.X.toarray())
    np.testing.assert_allclose(
        quietly(clock.predict, other, **kwargs), ages, rtol=0, atol=1e-9, equal_nan=True
    )


def test_input_is_left_alone(adata, clock):
    before = snapshot(adata)
    quietly(clock.predict, adata)
    quietly(clock.predict_pseudocells, adata)
    assert_unchanged(adata, before)


def test_depth(adata, clock):
    """Ages do not change with depth, in counts or in log-normalised values."""
    ages = quietly(clock.predict, adata)
    deeper = adata.copy()
    deeper.X = deeper.X * 3
    np.testing.assert_allclose(quietly(clock.predict, deeper), ages, rtol=0, atol=1e-3)
    for depth in (1e4, 777.0):
        normalized = adata.copy()
        totals = np.asarray(normalized.X.sum(axis=1)).ravel()
        normalized.X = sparse.csr_matrix(sparse.diags(depth / totals) @ normalized.X).log1p()
        found = quietly(clock.predict, normalized, log_normalized=True)
        np.testing.assert_allclose(found, ages, rtol=0, atol=1e-3)


# -------------------------------------------------------------------- genes


@pytest.mark.parametrize("names", ["symbols", "symbol column", "versions", "gene_key"])
def test_names_of_genes(adata, clock, names):
    ages = quietly(clock.predict, adata)
    other, kwargs = adata.copy(), {}
    symbols = dict(zip(other.var_names, other.var["symbol"], strict=True))
    if names == "symbols":
        other.var_names = other.var["symbol"].to_numpy()
        other.var = other.var[[]]
        clock = make_clock(symbols=symbols)
    elif names == "symbol column":
        other.var_names = [f"g{i}" for i in range(other.n_vars)]
        clock = make_clock(symbols=symbols)
    elif names == "versions":
        other.var_names = [f"{name}.7" for name in other.var_names]
    else:
        other.var["mine"] = other.var_names.to_numpy()
        other.var_names = [f"g{i}" for i in range(other.n_vars)]
        kwargs = {"gene_key": "mine"}
    np.testing.assert_allclose(quietly(clock.predict, other, **kwargs), ages, rtol=0, atol=1e-9)


def test_symbols_are_for_ensembl_ids(adata):
    """Other names are symbols already."""
    clock = LinearClock({"B": {"X": 1.0}}, {"B": 1.0}, symbols={"X": "OTHER"})
    assert clock.symbols == {}
    adata.var_names = ["X", *adata.var_names[1:]]
    assert clock.match_genes(adata).columns.tolist() == [0]


def test_genes_of_the_same_symbol_all_count(adata):
    other = adata[:, :2].copy()
    other.var_names = ["TWIN", "REST"]
    twins = LinearClock(
        {"CD4T": dict.fromkeys(ids([1, 2]), 2.0)},
        {"CD4T": 1.0},
        labels="blood",
        symbols=dict.fromkeys(ids([1, 2]), "TWIN"),
    )
    one = LinearClock({"CD4T": {"TWIN": 4.0}}, {"CD4T": 1.0}, labels="blood")
    np.testing.assert_array_equal(quietly(twins.predict, other), quietly(one.predict, other))


def test_missing_genes_count_as_not_expressed(adata, clock):
    lost = ids([3, 15])
    kept = [name for name in adata.var_names if name not in lost]
    other = adata.copy()
    other.X = sparse.csr_matrix(adata.X.multiply(~adata.var_names.isin(lost)))
    expected = quietly(clock.predict, other)
    with pytest.warns(UserWarning, match=r"2 of the clock's 30 genes.*CD4T 90.0% of 20, MONO 94"):
        found = clock.predict(adata[:, kept].copy())
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_too_few_genes(adata, clock):
    other = adata.copy()
    other.var = pd.DataFrame(index=adata.var["symbol"].to_numpy())
    with pytest.raises(ValueError, match=r"Only 0 of.*symbols of 0 of its genes.*`symbols=`"):
        quietly(clock.predict, other)
    few = adata[:, ids(range(10))].copy()
    with pytest.raises(ValueError, match=r"Only 10 of the model's 30 genes"):
        quietly(clock.predict, few)
    assert np.isfinite(quietly(clock.predict, few, min_coverage=0.3)).any()


@pytest.mark.filterwarnings("default:These clocks expect expression:UserWarning")
def test_data_that_were_cut_down(adata, clock, monkeypatch):
    with pytest.warns(UserWarning, match=r"relative to all genes.*`adata` has 40 genes"):
        clock.predict(adata)
    monkeypatch.setattr("sctools.model._linear_warnings.FEW_GENES", 10)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clock.predict(adata)
        even = adata.copy()
        even.X = sparse.csr_matrix(np.log1p(np.full(adata.shape, 3.0)))
        clock.predict(even, log_normalized=True)
    assert not [w for w in caught if "relative to all genes" in str(w.message)]
    even.X = sparse.csr_matrix(np.log1p(adata.X.toarray() / 1.5))
    with pytest.warns(UserWarning, match="add up to different depths"):
        clock.predict(even, log_normalized=True)


@pytest.mark.filterwarnings("default:These clocks expect expression:UserWarning")
def test_a_clock_that_knows_how_many_genes_were_measured(adata, clock, tmp_path):
    own = make_clock(n_measured=N_GENES)
    own.save(tmp_path / "own")
    for known in (own, LinearClock.load(tmp_path / "own")):
        assert known.n_measured == N_GENES
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            known.predict(adata)
        assert not [w for w in caught if "relative to all genes" in str(w.message)]
        with pytest.warns(UserWarning, match=r"has 39 genes and the clock was trained on 40\. If"):
            known.predict(adata[:, :39].copy())
    with pytest.warns(UserWarning, match=r"tell the clock how many .* \(`n_measured=`\)"):
        clock.predict(adata)


def test_a_clock_saved_without_the_number_of_genes(clock, tmp_path):
    clock.save(tmp_path / "clock")
    (file,) = (tmp_path / "clock").glob("*.json")
    description = json.loads(file.read_text())
    del description["n_measured"]
    file.write_text(json.dumps(description))
    assert LinearClock.load(tmp_path / "clock").n_measured is None


# -------------------------------------------------------------------- cell types


def test_labels_are_reported(adata, clock):
    with pytest.warns(
        UserWarning, match=r"5 cells are of types without a clock.*'Platelets' \(5\)"
    ):
        clock.predict(adata)
    adata.obs.loc[adata.obs["cell_type"] == "Naive CD4 T", "cell_type"] = None
    table = clock.match_categories(adata)
    rows = table[["label", "used", "how", "n_cells"]].to_numpy().tolist()
    assert rows == [
        ["CD4 T cells", "CD4T", "synonym", 9],
        ["CD14+ Monocytes", "MONO", "synonym", 10],
        ["Platelets", "(none)", "not found", 5],
        ["(missing)", "(none)", "not found", 7],
    ]
    assert set(table["column"]) == {"cell_type"}
    ages = quietly(clock.predict, adata)
    assert np.isnan(ages).sum() == 12


def test_exact_labels_and_columns_of_ones_own(adata, clock):
    ages = quietly(clock.predict, adata)
    exact = make_clock(labels="exact")
    with pytest.raises(
        ValueError, match=r"No label.*clock for: found 'CD4 T cells'.*'CD4T', 'MONO'"
    ):
        exact.predict(adata)
    own = {"CD4 T cells": "cd4t", "Naive CD4 T": "CD4T", "CD14+ Monocytes": "MONO"}
    adata.obs["mine"] = pd.Categorical(adata.obs["cell_type"].map(own))
    found = quietly(exact.predict, adata, cell_type_key="mine")
    np.testing.assert_array_equal(found, ages)


def test_types_that_the_clock_lacks(adata):
    """A blood cell, but without a clock."""
    only = LinearClock({"B": {ids([1])[0]: 1.0}}, {"B": 3.0}, labels="blood")
    adata.obs["cell_type"] = "NK cells"
    with pytest.raises(ValueError, match="No label"):
        only.predict(adata)


def test_bad_columns_and_values(adata, clock):
    with pytest.raises(KeyError, match=r"cell_type_key='nope'.*Available.*clocks for 'CD4T'"):
        clock.predict(adata, cell_type_key="nope")
    with pytest.raises(KeyError, match="donor_key='nope'"):
        clock.predict(adata, donor_key="nope")
    with pytest.raises(ValueError, match="no covariates"):
        clock.predict(adata, covariate_keys=["sex"])
    with pytest.raises(ValueError, match="batch_size"):
        clock.predict(adata, batch_size=0)
    with pytest.raises(ValueError, match="n_pseudocells"):
        clock.predict_pseudocells(adata, n_pseudocells=0)
    adata.X = adata.X * 0.5
    with pytest.raises(ValueError, match="raw counts"):
        quietly(clock.predict, adata)
    adata.obs_names = ["same"] * adata.n_obs
    with pytest.raises(ValueError, match="obs_names_make_unique"):
        clock.predict_pseudocells(adata)


def test_empty_cells_have_no_age_and_leave_others_alone(adata, clock):
    ages = quietly(clock.predict, adata)
    row = int(np.flatnonzero((adata.obs["cell_type"] == "Naive CD4 T").to_numpy())[0])
    rest = np.arange(adata.n_obs) != row
    values = adata.X.toarray()
    values[row] = 0
    other = adata.copy()
    other.X = sparse.csr_matrix(values)
    with pytest.warns(UserWarning, match="1 cells have no counts"):
        found = clock.predict(other)
    assert np.isnan(found[row])
    expected = quietly(clock.predict, adata[rest].copy())
    np.testing.assert_allclose(found[rest], expected, rtol=0, atol=1e-9)
    assert np.isfinite(ages[row])


def test_without_donors_all_cells_are_one_donors(adata, clock, caplog):
    other = adata.copy()
    other.obs["one"] = "all"
    expected = quietly(clock.predict, other, donor_key="one")
    with caplog.at_level(logging.WARNING, "sctools"):
        found = quietly(clock.predict, adata, donor_key=None)
    np.testing.assert_array_equal(found, expected)
    assert "all cells of a type count as one donor's" in caplog.text
    caplog.clear()
    quietly(clock.predict, adata)
    assert "count as one donor's" not in caplog.text
    assert "2 of 5 donors' cell types have fewer than 4 cells" in caplog.text


# -------------------------------------------------------------------- making and keeping


def test_what_a_clock_is(clock):
    assert clock.cell_types == ["CD4T", "MONO"]
    assert clock.genes == ids(range(30))
    assert clock.coefficients.shape == (30, 2)
    assert (clock.coefficients.loc[ids(range(20, 30)), "CD4T"] == 0).all()
    assert repr(clock) == "LinearClock(30 genes, years, cell types 'CD4T', 'MONO')"
    assert not clock.has_seen(["A", "B"]).any()
    zeros = LinearClock({"B": {"X": 0.0, "Y": 2.0}}, {"B": 1.0})
    assert zeros.genes == ["Y"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({}, {}), "same cell types"),
        (({"B": {"X": 1.0}}, {"T": 1.0}), "found 'B' and 'T'"),
        (({"B": {"X": np.nan}}, {"B": 1.0}), "finite"),
        (({"B": {"X": 1.0}}, {"B": np.inf}), "finite"),
        (({"B": {"X": 0.0}}, {"B": 1.0}), "found 0 genes"),
    ],
)
def test_clocks_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        LinearClock(*arguments)


@pytest.mark.parametrize(
    "setting", [{"labels": "brain"}, {"target_sum": 0}, {"pseudocell_size": 0}, {"n_measured": 0}]
)
def test_settings_are_checked(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        make_clock(**setting)


def test_saved_and_loaded(adata, clock, tmp_path):
    rich = make_clock(symbols={ids([3])[0]: "SYM"}, name="toy", age_unit="months", target_sum=500)
    rich.save(tmp_path / "clock")
    assert {p.suffix for p in (tmp_path / "clock").iterdir()} == {".json", ".safetensors"}
    for load in (LinearClock.load, load_clock):
        found = load(tmp_path / "clock")
        assert isinstance(found, LinearClock)
        np.testing.assert_array_equal(quietly(found.predict, adata), quietly(rich.predict, adata))
        pd.testing.assert_frame_equal(found.coefficients, rich.coefficients)
        for name in ("symbols", "name", "age_unit", "target_sum", "pseudocell_size", "labels"):
            assert getattr(found, name) == getattr(rich, name), name
    with pytest.raises(FileExistsError, match="overwrite=True"):
        rich.save(tmp_path / "clock")
    clock.save(tmp_path / "clock", overwrite=True)
    assert LinearClock.load(tmp_path / "clock").name is None


def test_damaged_files(clock, tmp_path):
    clock.save(tmp_path)
    (tmp_path / "linear_clock.json").write_text(
        '{"format": "sctools-linear-clock", "format_version": 1, "genes": []}'
    )
    with pytest.raises(ValueError, match="not a whole saved model"):
        load_clock(tmp_path)
    (tmp_path / "linear_clock.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="damaged or cut short"):
        load_clock(tmp_path)
    (tmp_path / "linear_clock.safetensors").unlink()
    with pytest.raises(ValueError, match="lacks"):
        load_clock(tmp_path)


# -------------------------------------------------------------------- R files


def glmnet(at=1):
    """What rdata makes of a cv.glmnet object with two lambdas."""
    beta = sparse.csc_matrix([[0.0, 1.5], [2.0, -3.0], [0.0, 0.0]])
    slots = {
        "i": beta.indices, "p": beta.indptr, "x": beta.data, "Dim": np.array([3, 2]),
        "Dimnames": [np.array(["X", "Y", "Z"]), np.array(["s0", "s1"])],
    }  # fmt: skip
    fit = {"lambda": np.array([0.2, 0.1]), "a0": np.array([7.0, 8.0]), "beta": slots}
    return {"glmnet.fit": fit, "lambda.min": np.array([[0.2, 0.1][at]])}


def test_coefficients_at_lambda_min(tmp_path, monkeypatch):
    rdata = pytest.importorskip("rdata")
    path = tmp_path / "models.RDS"
    path.write_bytes(b"")
    content = {"B": glmnet(1), "NK": glmnet(0)}
    monkeypatch.setattr(rdata, "read_rds", lambda *args, **kwargs: content)
    found = read_glmnet(path)
    assert found["B"].to_dict() == {INTERCEPT: 8.0, "X": 1.5, "Y": -3.0, "Z": 0.0}
    assert found["NK"].to_dict() == {INTERCEPT: 7.0, "X": 0.0, "Y": 2.0, "Z": 0.0}
    clock = LinearClock.from_glmnet(path, pseudocell_size=2)
    assert clock.genes == ["X", "Y"]
    assert clock.intercepts.to_dict() == {"B": 8.0, "NK": 7.0}
    content["B"]["lambda.min"] = np.array([0.15])
    with pytest.raises(ValueError, match=r"named list of cv.glmnet.*lambda.min"):
        read_glmnet(path)


def test_files_that_are_no_clocks(tmp_path):
    rdata = pytest.importorskip("rdata")
    path = tmp_path / "models.RDS"
    for content in (b"", b"text", b"\x1f\x8b\x08\x00"):
        path.write_bytes(content)
        with pytest.raises(
            ValueError, match=r"named list of cv.glmnet.*models.RDS.*not an R object"
        ):
            LinearClock.from_glmnet(path)
    for value in ({"a": "text"}, np.arange(3.0)):
        rdata.write_rds(path, value)
        with pytest.raises(ValueError, match=r"named list of cv.glmnet objects"):
            LinearClock.from_glmnet(path)


def test_missing_rdata_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rdata", None)
    with pytest.raises(ImportError, match=r"sctools-ml\[clocks\]"):
        LinearClock.from_glmnet(tmp_path / "models.RDS")


# -------------------------------------------------------------------- as a tool


def test_tl_age_clock(adata, clock, tmp_path):
    quietly(sctools.tl.age_clock, adata, model=clock)
    np.testing.assert_array_equal(adata.obs["age_clock"], quietly(clock.predict, adata))
    result = adata.uns["age_clock"]
    assert result["params"]["method"] == "linear"
    assert result["params"]["cell_type_key"] == "cell_type"
    assert result["coverage"]["fraction"] == 1
    assert set(result["coverage"]["categories"]["used"]) == {"CD4T", "MONO", "(none)"}
    donors = result["donors"]
    assert donors["predicted"].isna().to_dict() == {"A": False, "B": False, "C": False, "D": True}
    mean = adata.obs.groupby("donor_id", observed=True)["age_clock"].mean()
    np.testing.assert_allclose(donors["predicted"], mean)
    assert (donors["borrowed"].dropna() == 0).all()
    assert result["metrics"]["donor"]["n"] == 3
    assert "Whether the clock was trained on these donors" in result["metrics"]["message"]
    assert np.isfinite(donors["acceleration"]).sum() == 3
    by_type = sctools.get.donor_age_df(adata, groupby="cell_type")
    assert len(by_type) == 5
    adata.write_h5ad(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    pd.testing.assert_frame_equal(
        again.uns["age_clock"]["donors"], donors, check_dtype=False, check_index_type=False
    )


@pytest.mark.parametrize("donor_key", ["donor_id", None])
def test_plots_work_straight_after(adata, clock, donor_key):
    quietly(sctools.tl.age_clock, adata, model=clock, donor_key=donor_key)
    ax = sctools.pl.age_by_celltype(adata, show=False)
    drawn = {label.get_text() for label in [*ax.get_xticklabels(), *ax.get_yticklabels()]}
    assert {"CD4 T cells", "CD14+ Monocytes"} <= drawn
    assert "Platelets" not in drawn
    if donor_key:
        ax = sctools.pl.age_clock(adata, show=False)
        assert len(ax.collections[0].get_offsets()) == 3


def test_tl_age_clock_from_a_directory(adata, clock, tmp_path):
    clock.save(tmp_path / "clock")
    quietly(sctools.tl.age_clock, adata, model=str(tmp_path / "clock"))
    np.testing.assert_array_equal(adata.obs["age_clock"], quietly(clock.predict, adata))


def test_errors_leave_adata_alone(adata, clock):
    adata.obs["cell_type"] = "Platelets"
    before = snapshot(adata)
    with pytest.raises(ValueError, match="No label"):
        sctools.tl.age_clock(adata, model=clock)
    assert_unchanged(adata, before)
