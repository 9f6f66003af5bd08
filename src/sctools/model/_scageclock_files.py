"""The files of scAgeClock: weights, gene list and category tables."""

from __future__ import annotations

import os
import pickle
import pickletools
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, Union

import numpy as np
import pandas as pd
import torch

from .._validate import listing
from ..pp._clock_categories import COLUMNS

Table: TypeAlias = Union[str, "os.PathLike[str]", pd.DataFrame]

CHECKPOINT_KEY = "model_state_dict"
"""Where a training checkpoint keeps the weights."""

GENE_FILE = "h5ad_var.tsv"


def category_file(name: str) -> str:
    """Return the published name of a covariate's table."""
    return f"{name}_numeric_index.tsv"


def read_weights(weights: str | os.PathLike[str] | Mapping[str, Any]) -> dict[str, Any]:
    """State dict of a published file; nothing in the file is executed."""
    if isinstance(weights, Mapping):
        content: Any = weights
    else:
        path = _existing(weights, "weights")
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            if not _is_pickle(path):
                raise _damaged(path) from error
            raise ValueError(
                f"{str(path)!r} holds pickled Python objects beside tensors, which could run any "
                "code when read; it was not loaded. Ask its author for the state dict alone: "
                "`torch.save(model.state_dict(), path)`."
            ) from error
        except (EOFError, LookupError, OSError, RuntimeError, ValueError) as error:
            raise _damaged(path) from error
    if isinstance(content, Mapping) and CHECKPOINT_KEY in content:
        content = content[CHECKPOINT_KEY]
    if not isinstance(content, Mapping):
        raise ValueError(
            "Expected a state dict (tensors by name) or a training checkpoint with "
            f"{CHECKPOINT_KEY!r}, found {type(content).__name__}."
        )
    return dict(content)


def _is_pickle(path: Path) -> bool:
    """Whether a file that was refused is whole, so that its content was the reason."""
    if zipfile.is_zipfile(path):
        return True
    try:
        with path.open("rb") as file:
            for _ in pickletools.genops(file):
                pass
    except ValueError:
        return False
    return True


def _damaged(path: Path) -> ValueError:
    return ValueError(
        f"{str(path)!r} ({path.stat().st_size:,} bytes) is no file of weights, or is damaged or "
        "cut short. Expected a file written by `torch.save`. Download or copy it again."
    )


def read_genes(genes: Table) -> list[str]:
    """Gene tokens in the model's order, out of a table that lists the categories first."""
    table = _read_table(genes, "genes", ["h5ad_var", "index"], "h5ad_var.tsv")
    names = _in_order(table, "h5ad_var", "index", what="gene list")
    n = len(COLUMNS)
    if names[:n] != list(COLUMNS):
        raise ValueError(
            f"The gene list must begin with the categories {listing(COLUMNS)}, found "
            f"{listing(names[:n])}. Give the published `h5ad_var.tsv`, unchanged."
        )
    repeated = pd.Index(names)[pd.Index(names).duplicated()].unique()
    if len(repeated):
        raise ValueError(f"The gene list names genes more than once: {listing(repeated, 5)}.")
    return names[n:]


def read_categories(
    categories: str | os.PathLike[str] | Mapping[str, Table],
) -> dict[str, list[str]]:
    """Labels of each covariate in the order of their codes, from a folder or a table each."""
    if isinstance(categories, Mapping):
        given = {("tissue_general" if k == "tissue" else k): v for k, v in categories.items()}
        if set(given) != set(COLUMNS):
            raise ValueError(
                f"Expected a table for each of {listing(COLUMNS)}, found {listing(given)}."
            )
    else:
        folder = Path(categories)
        given = {name: folder / category_file(name) for name in COLUMNS}
        missing = [n for n in map(category_file, COLUMNS) if not (folder / n).is_file()]
        if missing:
            raise FileNotFoundError(
                f"The folder of categories {str(folder)!r} lacks {listing(missing)}. Expected the "
                "four published tables there, or give a mapping from "
                f"{listing(COLUMNS)} to their paths."
            )
    labels: dict[str, list[str]] = {}
    for name in COLUMNS:
        table = _read_table(
            given[name], f"categories[{name!r}]", ["numeric_index", "categorical_value"],
            category_file(name),
        )  # fmt: skip
        what = f"table of {name} categories"
        labels[name] = _in_order(table, "categorical_value", "numeric_index", what=what)
    return labels


def read_gene_ids(gene_ids: Table, genes: Sequence[str]) -> list[str | None]:
    """Ensembl id of every gene, ``None`` where the table has none."""
    table = _read_table(gene_ids, "gene_ids", ["gene_id", "gene_name"], "protein_coding_genes.tsv")
    known = dict(zip(table["gene_name"].astype(str), table["gene_id"].astype(str), strict=True))
    found = [known.get(gene) for gene in genes]
    if not any(found):
        raise ValueError(
            "None of the model's genes are in the table of gene ids: its column 'gene_name' has "
            f"{listing(known, 3)}, the model {listing(genes[:3])}."
        )
    return found


def write_tables(folder: Path, genes: Sequence[str], categories: Mapping[str, list[str]]) -> None:
    """Write gene list and category tables as published."""
    rows = [*COLUMNS, *genes]
    table = pd.DataFrame({"h5ad_var": rows, "index": range(len(rows))})
    table.to_csv(folder / GENE_FILE, sep="\t", index=False, lineterminator="\n")
    for name, labels in categories.items():
        table = pd.DataFrame({"numeric_index": range(len(labels)), "categorical_value": labels})
        table.to_csv(folder / category_file(name), sep="\t", index=False, lineterminator="\n")


def _existing(path: str | os.PathLike[str], argument: str) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"`{argument}`: there is no file {str(path)!r}.")
    return path


def _read_table(source: Table, argument: str, columns: list[str], published: str) -> pd.DataFrame:
    if isinstance(source, pd.DataFrame):
        table = source
    else:
        path = _existing(source, argument)
        try:
            # As text: a gene or label may be called "NA".
            table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
        except (UnicodeDecodeError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
            raise ValueError(f"{str(path)!r} is no table: {error}.") from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise ValueError(
            f"`{argument}`: expected the columns {listing(columns)}, tab-separated, as in the "
            f"published `{published}`; found {listing(table.columns)}."
        )
    return table


def _in_order(table: pd.DataFrame, label: str, index: str, *, what: str) -> list[str]:
    positions = pd.to_numeric(table[index], errors="coerce").to_numpy(dtype=np.float64)
    order = np.argsort(positions, kind="stable")
    if not np.array_equal(positions[order], np.arange(len(table))):
        raise ValueError(
            f"The {what} must number its {len(table)} rows 0 to {len(table) - 1} in {index!r}, "
            "each once. Give the published file, unchanged."
        )
    return table[label].astype(str).iloc[order].tolist()
