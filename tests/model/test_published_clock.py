from __future__ import annotations

import json
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from sctools.model import AgeClock, PublishedClock

from .._compare import assert_unchanged, snapshot
from .._scageclock import (
    COVARIATES,
    GENES,
    SIZES,
    VOCABULARY,
    category_tables,
    cells,
    gene_ids,
    gene_table,
    layers,
    published_ages,
    tokens,
)

GENERATIONS = ["0.1.2", "0.1.3"]
N_GENES = 60


def clock_of(network, names=None, **kwargs):
    names = tokens(N_GENES) if names is None else names
    return AgeClock.from_scageclock(
        network.state_dict(), gene_table(names), category_tables(), **kwargs
    )


def close(found, expected):
    assert found.shape == expected.shape
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def no_warning(clock, adata, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return clock.predict(adata, **kwargs)


@pytest.fixture(params=GENERATIONS)
def network(request):
    return layers(request.param)


@pytest.fixture
def clock():
    return clock_of(layers())


@pytest.fixture
def adata():
    return cells(tokens(N_GENES))


def ensembl_named(adata):
    """The same cells by Ensembl id, versions other than the clock's, symbols lost."""
    named = adata.copy()
    named.var_names = [f"ENSG{i:011d}.9" for i in range(adata.n_vars)]
    return named


# ------------------------------------------------------------------ the same ages


def test_equal_to_the_layers(network, adata):
    expected = published_ages(network, adata)
    assert np.ptp(expected) > 5
    clock = clock_of(network)
    assert clock.generation == network.generation
    close(no_warning(clock, adata), expected)
    # Storage, order of genes and cells, names of genes.
    for matrix in (adata.X.toarray(), sparse.csc_matrix(adata.X), adata.X.astype(np.int64)):
        other = adata.copy()
        other.X = matrix
        close(no_warning(clock, other), expected)
    rng = np.random.default_rng(1)
    genes, order = rng.permutation(adata.n_vars), rng.permutation(adata.n_obs)
    close(no_warning(clock, adata[:, genes].copy()), expected)
    close(no_warning(clock, adata[order, genes]), expected[order])
    close(no_warning(clock_of(network, gene_ids=gene_ids(clock.genes)), ensembl_named(adata)),
          expected)  # fmt: skip
    symbols = adata.copy()
    symbols.var["feature_name"] = adata.var_names
    symbols.var_names = [f"probe{i}" for i in range(adata.n_vars)]
    close(no_warning(clock, symbols), expected)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_published_sizes(generation, tmp_path):
    names = tokens(GENES[generation])
    vocabulary = {n: [f"{n} {i}" for i in range(k)] for n, k in zip(COVARIATES, SIZES, strict=True)}
    network = layers(generation, len(names), SIZES, small=False)
    torch.save({"epoch": 1, "model_state_dict": network.state_dict()}, tmp_path / "w.pth")
    clock = AgeClock.from_scageclock(
        tmp_path / "w.pth", gene_table(names), category_tables(vocabulary)
    )
    adata = cells(names, 16, density=0.07, vocabulary=vocabulary)
    expected = published_ages(network, adata, vocabulary=vocabulary)
    close(no_warning(clock, adata, batch_size=7), expected)
    half = clock.predict(adata, precision="float16")
    np.testing.assert_allclose(half, expected, rtol=0, atol=0.05)


@pytest.mark.parametrize("kwargs", [{}, {"target_sum": "median"}, {"precision": "float16"}])
def test_batches_change_nothing(clock, adata, kwargs):
    whole = clock.predict(adata, **kwargs)
    for batch_size in (1, 7):
        close(clock.predict(adata, batch_size=batch_size, **kwargs), whole)


def test_cells_do_not_depend_on_each_other_but_with_the_median(clock, adata):
    some = np.arange(0, adata.n_obs, 3)
    close(clock.predict(adata[some]), clock.predict(adata)[some])
    whole = clock.predict(adata, target_sum="median")
    assert np.abs(clock.predict(adata[some], target_sum="median") - whole[some]).max() > 0.01


def test_depth(clock, adata):
    network = layers()
    for target_sum in (500.0, "median"):
        expected = published_ages(network, adata, target_sum=target_sum)
        close(clock.predict(adata, target_sum=target_sum), expected)
        close(clock_of(network, target_sum=target_sum).predict(adata), expected)
    # Depth is over all variables, as in the published training data.
    extra = ad.concat([adata, cells([f"OTHER{i}" for i in range(20)], adata.n_obs)], axis=1)
    extra.obs = adata.obs
    scaled = adata.copy()
    share = adata.X.sum(axis=1).A1 / extra.X.sum(axis=1).A1
    scaled.X = np.log1p(adata.X.toarray() / adata.X.sum(axis=1).A1[:, None] * 1e4 * share[:, None])
    x = np.hstack([np.column_stack([pd.Index(VOCABULARY[c]).get_indexer(adata.obs[c])
                                    for c in COVARIATES]), scaled.X])  # fmt: skip
    with torch.no_grad():
        expected = network(torch.from_numpy(x.astype(np.float32))).double().numpy()
    close(clock.predict(extra), expected)


def test_log_normalized_values(clock, adata):
    logged = adata.copy()
    x = adata.X.toarray()
    logged.X = np.log1p(x / x.sum(axis=1, keepdims=True) * 1e4)
    close(clock.predict(logged, log_normalized=True), clock.predict(adata))


def test_backed_files_and_layers(clock, adata, tmp_path):
    expected = clock.predict(adata)
    adata.layers["counts"] = adata.X.copy()
    adata.X = adata.X * 0.5
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    close(clock.predict(backed, layer="counts", batch_size=9), expected)


def test_input_is_left_alone(clock, adata):
    adata.X.sort_indices()
    before = snapshot(adata)
    clock.predict(adata)
    clock.predict(adata[::2])
    assert_unchanged(adata, before)


def test_labels_of_other_sources(clock, adata):
    other = adata.copy()
    renamed = {
        "assay": ("assay", {"10x 3' v2": "10xv2", "10x 3' v3": "10x 3prime v3",
                            "Smart-seq2": "smartseq2"}),
        "cell_type": ("cluster", {"B cell": "B cells", "natural killer cell": "NK",
                                  "CD4-positive, alpha-beta T cell": "CD4+ T cells",
                                  "monocyte": "Monocytes", "unknown": "odd cells"}),
        "tissue_general": ("organ", {"blood": "PBMC", "brain": "prefrontal cortex"}),
        "sex": ("Gender", {"female": "F", "male": "M", "unknown": "not reported"}),
    }  # fmt: skip
    for name, (column, labels) in renamed.items():
        values = adata.obs[name].map(labels)
        del other.obs[name]
        other.obs[column] = values.astype("category")
    with pytest.warns(UserWarning, match=r"1 of 5 labels in `adata.obs\['cluster'\]`.*'odd cells'"):
        ages = clock.predict(other, cell_type_key="cluster")
    close(ages, clock.predict(adata))
    table = clock.match_categories(other, cell_type_key="cluster")
    assert set(table["column"]) == {"assay", "cluster", "organ", "Gender"}
    assert (table.groupby("covariate")["n_cells"].sum() == adata.n_obs).all()
    lost = table[table["how"] == "not found"]
    assert lost[["label", "used"]].to_numpy().tolist() == [["odd cells", "unknown"]]


def test_an_unknown_assay_counts_as_the_mean(clock, adata):
    network = layers()
    with torch.no_grad():
        network.embeddings[0].weight[:] = network.embeddings[0].weight.mean(dim=0)
    expected = published_ages(network, adata)  # whatever the assay
    del adata.obs["assay"]
    with pytest.warns(UserWarning, match=r"no column for 'assay': the mean over all its assay"):
        ages = clock.predict(adata)
    close(ages, expected)


def test_missing_genes_count_as_zero(clock, adata):
    kept = np.setdiff1d(np.arange(N_GENES), [3, 8, 31])
    dropped = adata[:, kept].copy()
    zeroed = adata.copy()
    zeroed.X = sparse.csr_matrix(adata.X.toarray() * np.isin(np.arange(N_GENES), kept))
    with pytest.warns(UserWarning, match=r"3 of the clock's 60 genes \(5.0%\) are missing"):
        ages = clock.predict(dropped)
    close(ages, clock.predict(zeroed))


def test_one_column_serves_one_gene():
    names = ["TWIN_ENSG00000000001", "TWIN_ENSG00000000002", *(f"G{i}" for i in range(8))]
    clock = clock_of(layers(n_genes=10), names)
    adata = cells(["TWIN", *names[2:]])
    match = clock.match_genes(adata)
    assert (match.columns[:2].tolist(), match.n_found) == ([0, -1], 9)
    assert match.missing == ["TWIN_ENSG00000000002"]


def test_cells_without_counts(clock, adata):
    adata.X[4] = 0
    adata.X.eliminate_zeros()
    with pytest.warns(UserWarning, match="1 cells have no counts"):
        assert np.isfinite(clock.predict(adata)).all()


def test_specific_ages_are_the_same(clock, adata):
    predicted, specific = clock.predict(adata, return_specific=True)
    np.testing.assert_array_equal(predicted, specific)
    assert predicted is not specific
    assert clock.has_seen(["d1", "d2"]).tolist() == [False, False]


# ------------------------------------------------------------------ files


def published_files(network, folder, names):
    gene_table(names).to_csv(folder / "h5ad_var.tsv", sep="\t", index=False)
    for name, table in category_tables().items():
        table.to_csv(folder / f"{name}_numeric_index.tsv", sep="\t", index=False)
    torch.save(network.state_dict(), folder / "gma.pth")
    return folder / "gma.pth", folder / "h5ad_var.tsv", folder


def test_round_trip_of_the_published_files(network, adata, tmp_path):
    names = tokens(N_GENES)
    names[7] = "NA"  # neither a gene nor a label that looks missing is lost
    adata.var_names = names
    clock = AgeClock.from_scageclock(*published_files(network, tmp_path, names))
    clock.to_scageclock(tmp_path / "again.pth")
    clock.to_scageclock(tmp_path / "folder")
    for file in ("again.pth", "folder/weights.pth"):
        state = torch.load(tmp_path / file, weights_only=True)
        assert list(state) == list(clock.network.state_dict())
        assert state.keys() == network.state_dict().keys()
        for name, tensor in network.state_dict().items():
            assert state[name].dtype == tensor.dtype
            assert state[name].numpy().tobytes() == tensor.numpy().tobytes()
        network.load_state_dict(state)
    for file in ("h5ad_var.tsv", *(f"{name}_numeric_index.tsv" for name in COVARIATES)):
        assert (tmp_path / "folder" / file).read_bytes() == (tmp_path / file).read_bytes()
    folder = tmp_path / "folder"
    again = AgeClock.from_scageclock(folder / "weights.pth", folder / "h5ad_var.tsv", folder)
    np.testing.assert_array_equal(again.predict(adata), clock.predict(adata))


def test_round_trip_of_our_own_files(network, adata, tmp_path):
    clock = clock_of(network, gene_ids=gene_ids(tokens(N_GENES)), target_sum="median")
    clock.save(tmp_path / "clock")
    files = sorted(path.name for path in (tmp_path / "clock").iterdir())
    assert files == ["published_clock.json", "published_clock.safetensors"]
    again = PublishedClock.load(tmp_path / "clock")
    assert (again.genes, again.categories) == (clock.genes, clock.categories)
    assert (again.gene_ids, again.target_sum) == (clock.gene_ids, "median")
    np.testing.assert_array_equal(again.predict(adata), clock.predict(adata))
    with pytest.raises(FileExistsError, match="overwrite=True"):
        clock.save(tmp_path / "clock")
    clock.save(tmp_path / "clock", overwrite=True)

    with pytest.raises(ValueError, match=r"by `sctools.model.AgeClock.save`"):
        AgeClock.load(tmp_path / "clock")
    file = tmp_path / "clock" / "published_clock.json"
    content = json.loads(file.read_text())
    for change in ({"genes": ["a"]}, {"categories": {}}, {"target_sum": -1}, {"genes": None}):
        file.write_text(json.dumps(content | change))
        with pytest.raises(ValueError, match="not a whole saved model"):
            PublishedClock.load(tmp_path / "clock")


def test_gene_list_in_another_order_and_tables_by_name(adata):
    network = layers()
    shuffled = gene_table(tokens(N_GENES)).sample(frac=1, random_state=0)
    tables = {("tissue" if k == "tissue_general" else k): v.sample(frac=1, random_state=1)
              for k, v in category_tables().items()}  # fmt: skip
    clock = AgeClock.from_scageclock(network.state_dict(), shuffled, tables)
    close(clock.predict(adata), published_ages(network, adata))


def test_weights_are_copied():
    network = layers()
    clock = clock_of(network)
    before = clock.network.state_dict()["norm.bias"].clone()
    with torch.no_grad():
        network.norm.bias += 1
    assert torch.equal(clock.network.state_dict()["norm.bias"], before)


# ------------------------------------------------------------------ bad files


class Code:
    def __reduce__(self):
        return print, ("this must not run",)


def test_files_that_hold_code(tmp_path, capsys):
    import pickle

    for name, content in {"code": {"a": Code()}, "module": torch.nn.Linear(2, 2)}.items():
        torch.save(content, tmp_path / name)
    torch.save({"a": Code()}, tmp_path / "old", _use_new_zipfile_serialization=False)
    (tmp_path / "raw").write_bytes(pickle.dumps({"a": Code()}))
    for name in ("code", "module", "old", "raw"):
        with pytest.raises(ValueError, match=r"pickled Python objects.*was not loaded"):
            AgeClock.from_scageclock(
                tmp_path / name, gene_table(tokens(N_GENES)), category_tables()
            )
    assert "must not run" not in capsys.readouterr().out


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("length", [0, 3, 0.1, 0.5, 0.99])
def test_files_that_are_cut_short(tmp_path, zipped, length):
    file = tmp_path / "w.pth"
    torch.save(layers().state_dict(), file, _use_new_zipfile_serialization=zipped)
    content = file.read_bytes()
    file.write_bytes(content[: length if length in (0, 3) else int(length * len(content))])
    with pytest.raises(ValueError, match="damaged or cut short"):
        AgeClock.from_scageclock(file, gene_table(tokens(N_GENES)), category_tables())


@pytest.mark.parametrize("content", [b"hello", b"version https://git-lfs.github.com/spec/v1\n"])
def test_files_that_are_something_else(tmp_path, content):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(ValueError, match="no file of weights"):
        AgeClock.from_scageclock(tmp_path / "w.pth", gene_table(tokens(N_GENES)), category_tables())


def test_bad_weights_genes_and_tables(tmp_path):
    state, genes, tables = layers().state_dict(), gene_table(tokens(N_GENES)), category_tables()

    def check(message, *, weights=state, genes=genes, tables=tables, kind=ValueError, **kwargs):
        with pytest.raises(kind, match=message):
            AgeClock.from_scageclock(weights, genes, tables, **kwargs)

    check("there is no file", weights=tmp_path / "none.pth", kind=FileNotFoundError)
    check("neither generation", weights={"a": torch.ones(1)})
    check("neither generation", weights={"model_state_dict": {}})
    torch.save(torch.ones(3), tmp_path / "tensor.pth")
    check("Expected a state dict.*found Tensor", weights=tmp_path / "tensor.pth")
    check("for 60 genes, the gene list has 59", genes=genes[:-1])
    check("for 60 genes, the gene list has 70", genes=gene_table(tokens(70)))
    check("must begin with the categories 'assay'.*found 'GENE", genes=gene_table(tokens(N_GENES))
          .assign(h5ad_var=lambda t: np.roll(t["h5ad_var"], 4)))  # fmt: skip
    check(r"number its 64 rows 0 to 63 in 'index'", genes=genes.assign(index=1))
    check(r"number its 64 rows", genes=genes.assign(index="x"))
    check(r"expected the columns 'h5ad_var', 'index'.*found 'a'", genes=pd.DataFrame({"a": [1]}))
    check("genes more than once: 'GENE1'", genes=gene_table(["GENE1"] * N_GENES))
    check("there is no file", genes=tmp_path / "none.tsv", kind=FileNotFoundError)
    (tmp_path / "empty.tsv").write_bytes(b"")
    check("is no table", genes=tmp_path / "empty.tsv")
    check("5 cell_type categories, the table lists 4",
          tables=tables | {"cell_type": tables["cell_type"][:-1]})  # fmt: skip
    check("number its 2 rows", tables=tables | {"sex": tables["sex"][1:]})
    check("a table for each of 'assay'", tables={"sex": tables["sex"]})
    check("lacks 'assay_numeric_index.tsv'", tables=tmp_path, kind=FileNotFoundError)
    check("None of the model's genes", gene_ids=gene_ids(["A", "B"]))
    check("`target_sum` must be a positive number or 'median', found 'mean'", target_sum="mean")
    check("found 0", target_sum=0)
    with pytest.raises(ValueError, match="Expected 60 gene ids"):
        PublishedClock(state, tokens(N_GENES), VOCABULARY, gene_ids=["ENSG1"])
    with pytest.raises(ValueError, match="3 assay categories, the table lists 0"):
        PublishedClock(state, tokens(N_GENES), {})
    with pytest.raises(ValueError, match="must be unique"):
        PublishedClock(state, ["A"] * N_GENES, VOCABULARY)


# ------------------------------------------------------------------ bad cells


def test_bad_cells(clock, adata):
    def check(message, data=adata, kind=ValueError, **kwargs):
        before = snapshot(data)
        with pytest.raises(kind, match=message):
            clock.predict(data, **kwargs)
        assert_unchanged(data, before)

    check("`batch_size` must be at least 1", batch_size=0)
    check("`precision` must be 'float32' or 'float16', found 'int8'", precision="int8")
    check("needs counts", target_sum="median", log_normalized=True)
    check("looks like counts", log_normalized=True)
    check("`donor_key='who'` is not a column", kind=KeyError, donor_key="who")
    check("`layer='raw'` is not in", kind=KeyError, layer="raw")
    check("column for sex='gender'", kind=KeyError, covariate_keys={"sex": "gender"})
    check("not a column of `adata.var`", kind=KeyError, gene_key="symbol")
    fractions = adata.copy()
    fractions.X = fractions.X * 0.5
    check("must hold raw counts", fractions)
    negative = adata.copy()
    negative.X = -negative.X
    check("never negative", negative)
    check(r"Only 20 of the model's 60 genes \(33.3%\)", adata[:, :20].copy())
    assert len(clock.predict(adata[:, :20].copy(), min_coverage=0.3)) == adata.n_obs
    check("read the clock with `gene_ids=`", cells([f"ENSG{i:011d}" for i in range(1, 400, 9)]))
    unlabelled = adata.copy()
    unlabelled.obs = unlabelled.obs[[]]
    check("No cell has a known assay", unlabelled)
    for name in COVARIATES:
        unlabelled.obs[name] = "unknown"
    check("No cell has a known assay", unlabelled)
