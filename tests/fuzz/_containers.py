"""Odd containers: views, files, layers, ``raw``; and odd names of cells and genes."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
from mudata import MuData

from .._compare import snapshot
from .._vaes import quietly_joined
from ._case import Case, Inapplicable
from ._mutations import mutation


@mutation("form", stage=2)
def view(case: Case, rng: np.random.Generator) -> str:
    rows = rng.permutation(case.data.n_obs)[: -max(1, case.data.n_obs // 10)]
    parent = case.data
    if rng.random() < 0.5 or isinstance(parent, MuData):
        made, detail = parent[rows], "cells"
    else:
        made = parent[np.sort(rows), :: int(rng.choice([1, -1]))]
        detail = "cells and genes"
    snapshot(made)  # AnnData itself cannot read views of some matrices
    case.data = made
    case.parents.append(parent)
    return detail


@mutation("form", stage=2)
def backed(case: Case, rng: np.random.Generator) -> str:
    if isinstance(case.data, MuData):
        raise Inapplicable
    path = case.folder / "cells.h5ad"
    case.data.copy().write_h5ad(path)
    mode = str(rng.choice(["r", "r+"]))
    made = ad.read_h5ad(path, backed=mode)
    snapshot(made.to_memory())  # AnnData itself cannot load a file without X
    case.data = made
    if rng.random() < 0.3:
        case.parents.append(case.data)
        case.data = case.data[: max(1, case.data.n_obs - 5)]
        return f"{mode}, a view"
    return mode


@mutation("form", stage=2)
def in_a_mudata(case: Case, rng: np.random.Generator) -> None:
    if isinstance(case.data, MuData) or case.parents:
        raise Inapplicable
    case.data = quietly_joined({"rna": case.data})


@mutation("form", stage=1)
def counts_in_a_layer(case: Case, rng: np.random.Generator) -> str:
    if case.adata.X is None:
        raise Inapplicable
    case.adata.layers["counts"] = case.adata.X
    case.adata.X = None
    layer = str(rng.choice(["counts", "counts", "absent"]))
    if case.takes("layer"):
        case.kwargs["layer"] = layer
    return layer


@mutation("form")
def raw_is_set(case: Case, rng: np.random.Generator) -> None:
    case.adata.raw = case.adata.copy()
    case.replace(case.adata[:, : max(1, case.adata.n_vars - 10)].copy())


@mutation("form")
def further_slots(case: Case, rng: np.random.Generator) -> None:
    adata = case.adata
    adata.layers["other"] = np.asarray(case.counts(), dtype=np.float32)
    adata.obsm["table"] = pd.DataFrame({"a": np.arange(adata.n_obs)}, index=adata.obs_names)
    adata.varm["loadings"] = np.ones((adata.n_vars, 2))
    adata.obsp["graph"] = np.eye(adata.n_obs)
    adata.uns["mine"] = {"list": [1, "a", None], "array": np.arange(3), "set": {1}}


# ------------------------------------------------------------------------- names


def numbered(names: pd.Index, stem: str) -> list[str]:
    return [f"{stem}{i}" for i in range(len(names))]


NAMES = {
    "one repeated": lambda names: [*names[:-1], names[0]],
    "all the same": lambda names: ["same"] * len(names),
    "integers": lambda names: list(range(len(names))),
    "one empty": lambda names: ["", *names[1:]],
    "with slashes": lambda names: [f"a/{name}" for name in names],
    "capitals": lambda names: [name.upper() for name in names],
    "lower case": lambda names: [name.lower() for name in names],
    "others": lambda names: numbered(names, "other"),
    "not ascii": lambda names: [f"γ{name}" for name in names],
    "ensembl": lambda names: [f"ENSG{i:011d}.{i % 3}" for i in range(len(names))],
    "one missing": lambda names: [None, *names[1:]],
}
"""Odd names of cells or genes, given the ordinary ones."""


@mutation("names")
def names_of_genes(case: Case, rng: np.random.Generator) -> str:
    kind = str(rng.choice(list(NAMES)))
    case.adata.var_names = NAMES[kind](case.adata.var_names)
    return kind


@mutation("names")
def names_of_cells(case: Case, rng: np.random.Generator) -> str:
    kind = str(rng.choice(list(NAMES)))
    names = NAMES[kind](case.adata.obs_names)
    parts = case.data.mod.values() if isinstance(case.data, MuData) else [case.data]
    for adata in parts:
        adata.obs_names = names
    return kind


@mutation("names")
def named_index(case: Case, rng: np.random.Generator) -> str:
    name = str(rng.choice([*case.adata.obs.columns[:2], "index"]))
    case.adata.obs.index.name = name
    case.adata.var.index.name = name
    return name


@mutation("names")
def names_in_a_column_of_var(case: Case, rng: np.random.Generator) -> str:
    adata = case.adata
    column = str(rng.choice(["gene_ids", "feature_name", "mine"]))
    adata.var[column] = adata.var_names.astype(str)
    adata.var_names = numbered(adata.var_names, "x")
    if column == "mine" and case.takes("gene_key"):
        case.kwargs["gene_key"] = column
    return column


@mutation("names")
def column_of_var(case: Case, rng: np.random.Generator) -> str:
    adata = case.adata
    name = str(rng.choice(["highly_variable", "gene_ids", "prior_network"]))
    options = {
        "half": rng.random(adata.n_vars) < 0.5,
        "none": np.zeros(adata.n_vars, bool),
        "text": np.array(["yes"] * adata.n_vars, dtype=object),
        "missing": np.full(adata.n_vars, np.nan),
    }
    kind = str(rng.choice(list(options)))
    adata.var[name] = options[kind]
    return f"{name}, {kind}"
