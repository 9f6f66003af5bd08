"""The published vocabulary of scAgeClock, and real cells under random weights."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

from sctools.model import AgeClock
from sctools.pp._clock_categories import COLUMNS, fold, match_labels
from sctools.pp._clock_synonyms import SYNONYMS

from .._scageclock import GENES, SIZES, layers


@pytest.fixture(scope="module")
def folder(data_dir):
    if not (data_dir / "scageclock" / "h5ad_var.tsv").is_file():
        pytest.skip("no scageclock")
    return data_dir / "scageclock"


def vocabulary(folder, name):
    table = pd.read_csv(folder / f"{name}_numeric_index.tsv", sep="\t", keep_default_na=False)
    return table["categorical_value"].tolist()


def test_labels_stay_apart_and_synonyms_have_targets(folder):
    for name, size in zip(COLUMNS, SIZES, strict=True):
        labels = vocabulary(folder, name)
        assert len(labels) == size == len(set(map(fold, labels)))
        match = match_labels(pd.Series(labels, name=name), labels, name, n_obs=size)
        assert match.codes.tolist() == list(range(size))
        absent = [target for target in SYNONYMS[name] if target not in labels]
        # One generation calls these ", human".
        assert [a for a in absent if f"{a}, human" not in labels] == []


@pytest.mark.slow
def test_real_cells(folder, data_dir):
    network = layers("0.1.2", GENES["0.1.2"], SIZES, small=False)
    clock = AgeClock.from_scageclock(
        network.state_dict(), folder / "h5ad_var.tsv", folder,
        gene_ids=folder / "protein_coding_genes.tsv",
    )  # fmt: skip
    known = sum(i is not None for i in clock.gene_ids)
    assert known > 0.95 * len(clock.genes)
    adata = ad.read_h5ad(data_dir / "cluster" / "pbmc3k_2638.h5ad")[::20].copy()
    adata.obs["tissue"] = "PBMC"
    with pytest.warns(UserWarning, match=r"genes .* are missing and count as not expressed"):
        ages = clock.predict(adata)
    table = clock.match_categories(adata)
    cell_types = table[table["covariate"] == "cell_type"]
    assert len(cell_types) == 9
    assert set(cell_types["how"]) <= {"exact", "spelling", "synonym"}
    assert table.set_index("label").loc["PBMC", "used"] == "blood"

    # The published way, with the same genes and codes.
    match = clock.match_genes(adata)
    x = adata.X.toarray().astype(np.float64)
    x = np.log1p(x / x.sum(axis=1, keepdims=True) * 1e4)
    found = match.columns >= 0
    genes = np.zeros((adata.n_obs, len(found)))
    genes[:, found] = x[:, match.columns[found]]
    with torch.no_grad():
        for embedding in (network.embeddings[0],):  # no assay here: the mean of all
            embedding.weight[:] = embedding.weight.mean(dim=0)
        used = dict(zip(cell_types["label"], cell_types["used"], strict=True))
        types = pd.Index(clock.categories["cell_type"]).get_indexer(
            adata.obs["cell_type"].map(used)
        )
        codes = np.column_stack([
            np.zeros(adata.n_obs), types,
            np.full(adata.n_obs, clock.categories["tissue_general"].index("blood")),
            np.full(adata.n_obs, clock.categories["sex"].index("unknown")),
        ])  # fmt: skip
        expected = network(torch.from_numpy(np.hstack([codes, genes]).astype(np.float32)))
    np.testing.assert_allclose(ages, expected.double().numpy(), rtol=0, atol=1e-4)

    # The same cells named by Ensembl ids alone.
    ids = dict(zip(clock.genes, clock.gene_ids, strict=True))
    tokens = [clock.genes[i] for i in np.flatnonzero(found)]
    columns = match.columns[found]
    has = np.array([ids[token] is not None for token in tokens])
    named = adata[:, columns[has]].copy()
    named.var = pd.DataFrame(index=[ids[token] for token in np.array(tokens)[has]])
    assert clock.match_genes(named).n_found == has.sum()
    assert clock.match_genes(named).id_type == "ensembl"
