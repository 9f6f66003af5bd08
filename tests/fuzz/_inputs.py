"""Odd networks of regulation, odd proteins, and results that were tampered with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData
from scipy import sparse

from .._vaes import PROTEINS
from ._case import Case, Inapplicable
from ._mutations import mutation

# ------------------------------------------------------------------------- networks


def with_weights(net: pd.DataFrame, values: Any) -> pd.DataFrame:
    return net.assign(weight=values)


NETWORKS = {
    "empty": lambda net: net.iloc[:0],
    "one edge": lambda net: net.iloc[:1],
    "repeated": lambda net: pd.concat([net, net]),
    "self-loops": lambda net: net.assign(target=net["source"]),
    "other genes": lambda net: net.assign(source="a" + net["source"], target="b" + net["target"]),
    "no targets": lambda net: net.drop(columns="target"),
    "no weights": lambda net: net.drop(columns="weight"),
    "missing names": lambda net: net.assign(source=[None, *net["source"].iloc[1:]]),
    "text weights": lambda net: with_weights(net, "high"),
    "NaN weights": lambda net: with_weights(net, np.nan),
    "infinite weights": lambda net: with_weights(net, np.inf),
    "zero weights": lambda net: with_weights(net, 0),
    "numbers as names": lambda net: net.assign(source=range(len(net))),
    "categories": lambda net: net.astype({"source": "category", "target": "category"}),
    "complexes": lambda net: net.assign(source=net["source"] + "_" + net["source"].iloc[0]),
    "a list": lambda net: net.to_numpy().tolist(),
    "a mapping": lambda net: {"source": ["a"], "target": ["b"]},
    "two columns of one name": lambda net: pd.concat([net, net[["source"]]], axis=1),
    "capitals of columns": lambda net: net.rename(columns=str.upper),
}
"""What becomes of a network."""


@mutation("network")
def network(case: Case, rng: np.random.Generator) -> str:
    found = case.adata.uns.get("prior")
    if not isinstance(found, pd.DataFrame):
        raise Inapplicable
    kind = str(rng.choice(list(NETWORKS)))
    made = NETWORKS[kind](found)
    if rng.random() < 0.5:
        case.adata.uns["prior"] = made
        return f"{kind}, in uns"
    case.kwargs["net"] = made
    return kind


@mutation("network")
def network_file(case: Case, rng: np.random.Generator) -> str:
    contents = {
        "net.csv": "source,target\nTF1,Gene1\n",
        "net.tsv": "a\tb\n1\t2\n",
        "empty.csv": "",
        "net.gmt": "TF1\tnote\tGene1\tGene2\n",
        "bad.gmt": "TF1\n",
        "damaged.csv.gz": "not gzip",
        "net.xlsx": "",
    }
    name = str(rng.choice([*contents, "absent.csv"]))
    path = case.folder / name
    if name in contents:
        path.write_text(contents[name], encoding="utf-8")
    case.kwargs["net"] = str(path) if rng.random() < 0.5 else path
    return name


# ------------------------------------------------------------------------- proteins

TABLES = {
    "missing values": lambda t: t.where(t > t.iloc[0, 0]),
    "negative": lambda t: t - 5,
    "normalised": lambda t: np.log1p(t),
    "all zero": lambda t: t * 0,
    "one silent": lambda t: t.assign(**{str(t.columns[0]): 0.0}),
    "infinite": lambda t: t.assign(**{str(t.columns[0]): np.inf}),
    "text": lambda t: t.astype(str),
    "one protein": lambda t: t.iloc[:, :1],
    "no proteins": lambda t: t.iloc[:, :0],
    "repeated names": lambda t: t.set_axis(["same"] * t.shape[1], axis=1),
    "numbers as names": lambda t: t.set_axis(range(t.shape[1]), axis=1),
    "other names": lambda t: t.add_prefix("other"),
    "other order": lambda t: t.iloc[:, ::-1],
    "array": lambda t: t.to_numpy(),
    "sparse": lambda t: sparse.csr_matrix(t.to_numpy(dtype=np.float32)),
    "bool": lambda t: t > 3,
    "one dimension": lambda t: t.to_numpy()[:, 0],
}
"""What becomes of protein counts."""


@mutation("proteins")
def proteins(case: Case, rng: np.random.Generator) -> str:
    kind = str(rng.choice(list(TABLES)))
    if isinstance(case.data, MuData):
        second = case.data.mod["prot"]
        made = TABLES[kind](second.to_df())
        if not isinstance(made, pd.DataFrame) or made.shape != second.shape:
            raise Inapplicable
        second.X = made.to_numpy()
        second.var_names = made.columns.astype(str)
    else:
        case.adata.obsm[PROTEINS] = TABLES[kind](case.adata.obsm[PROTEINS])
    return kind


@mutation("proteins")
def proteins_missing(case: Case, rng: np.random.Generator) -> None:
    if isinstance(case.data, MuData):
        del case.data.mod["prot"]
    else:
        del case.adata.obsm[PROTEINS]


@mutation("proteins")
def other_cells(case: Case, rng: np.random.Generator) -> str:
    """Modalities of different cells, or in another order."""
    if not isinstance(case.data, MuData):
        raise Inapplicable
    rna = case.data.mod["rna"]
    kind = str(rng.choice(["fewer", "another order", "others"]))
    if kind == "fewer":
        case.replace(rna[3:].copy())
    elif kind == "another order":
        case.replace(rna[::-1].copy())
    else:
        rna = rna.copy()
        rna.obs_names = [f"other{i}" for i in range(rna.n_obs)]
        case.replace(rna)
    return kind


@mutation("proteins")
def modalities(case: Case, rng: np.random.Generator) -> str:
    options: list[Any] = [
        {"rna_layer": "rna"},
        {"rna_layer": "rna", "protein_layer": "rna"},
        {"rna_layer": "rna", "protein_layer": "absent"},
        {"rna_layer": "prot", "protein_layer": "rna"},
        {"rna_layer": 1, "protein_layer": None},
    ]
    chosen = options[rng.integers(len(options))]
    case.kwargs["modalities"] = chosen
    return repr(chosen)


# ------------------------------------------------------------------------- results


@mutation("results")
def result_missing(case: Case, rng: np.random.Generator) -> str:
    name = str(rng.choice([name for name in case.adata.uns if "params" in case.adata.uns[name]]))
    del case.adata.uns[name]
    return name


@mutation("results")
def result_of_another_tool(case: Case, rng: np.random.Generator) -> str:
    uns = case.adata.uns
    one, other = rng.choice([name for name in uns if "params" in uns[name]], 2, replace=False)
    uns[one] = uns[other]
    return f"{other} as {one}"


@mutation("results")
def column_of_result_missing(case: Case, rng: np.random.Generator) -> str:
    where = str(rng.choice(["obs", "obsm"]))
    home = getattr(case.adata, where)
    name = str(rng.choice(list(home.keys())))
    del home[name]
    return f"{where}, {name}"


@mutation("results")
def part_of_result_missing(case: Case, rng: np.random.Generator) -> str:
    """A part that some ways of making the result leave out."""
    parts = ("metrics", "history", "genes", "validation", "acceleration")
    uns = case.adata.uns
    found = [(key, part) for key in uns for part in parts if part in uns[key]]
    key, part = found[rng.integers(len(found))]
    uns[key] = {name: value for name, value in uns[key].items() if name != part}
    return f"{key}, {part}"


@mutation("results", stage=1)
def predictions_missing(case: Case, rng: np.random.Generator) -> None:
    case.adata.obs["age_clock"] = np.nan


@mutation("results")
def result_lost_by_concat(case: Case, rng: np.random.Generator) -> str:
    import anndata as ad

    merge = str(rng.choice(["drop", "first", "same"]))
    half = case.adata.n_obs // 2
    parts = [case.adata[:half].copy(), case.adata[half:].copy()]
    case.replace(ad.concat(parts, uns_merge=None if merge == "drop" else merge))
    return merge


@mutation("results")
def result_from_file(case: Case, rng: np.random.Generator) -> None:
    import anndata as ad

    path = case.folder / "result.h5ad"
    case.adata.copy().write_h5ad(path)
    case.replace(ad.read_h5ad(path))
