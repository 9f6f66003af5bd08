"""Labels of any data brought to the vocabulary of a published clock."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from .._validate import check_obs_key, listing
from ._categories import as_labels
from ._clock_synonyms import SYNONYMS

if TYPE_CHECKING:
    from anndata import AnnData

COLUMNS = {
    "assay": ("assay", "technology", "platform", "chemistry", "library_preparation"),
    "cell_type": ("cell_type", "celltype", "cell_types", "cell_ontology_class", "cell_label"),
    "tissue_general": ("tissue_general", "tissue", "organ", "organ_tissue"),
    "sex": ("sex", "gender"),
}
"""Covariates of the published clock, in its order, and columns where they are looked for."""

UNKNOWN = "unknown"
MISSING = "(missing)"
"""Name of missing labels in the report."""

_GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "φ": "phi"}
_SPELLING = (("haem", "hem"), ("oeso", "eso"), ("foet", "fet"), ("tumour", "tumor"))
_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")


class CategoryMatch(NamedTuple):
    """A covariate's codes and how its labels were brought to the vocabulary.

    Attributes
    ----------
    codes
        Code of every cell, int64; ``len(vocabulary)`` stands for the mean of all categories.
    table
        One row per label that occurs: ``covariate``, ``column`` (empty where there is none),
        ``label``, ``used`` (label of the vocabulary, or ``"(mean)"``), ``how`` and ``n_cells``.
        ``how`` is ``"exact"``, ``"spelling"`` (equal but for case, spaces, punctuation, plural),
        ``"synonym"``, ``"unknown"`` (the vocabulary's own "unknown", said of the cell), or
        ``"not found"``.
    """

    codes: np.ndarray
    table: pd.DataFrame

    @property
    def known(self) -> bool:
        """Whether any cell has a category other than unknown."""
        return bool(self.table["how"].isin(["exact", "spelling", "synonym"]).any())


def choose_columns(
    adata: AnnData,
    cell_type_key: str | None,
    covariate_keys: Sequence[str] | Mapping[str, str] | None,
) -> dict[str, str | None]:
    """Column of ``adata.obs`` for each covariate; ``None`` where none is named or found."""
    names = [name for name in COLUMNS if name != "cell_type"]
    given: dict[str, str] = {}
    if isinstance(covariate_keys, str):
        raise TypeError(
            f"`covariate_keys` must be a list of columns, found the string {covariate_keys!r}. "
            f"Write `covariate_keys={{'sex': {covariate_keys!r}}}`, for example."
        )
    if isinstance(covariate_keys, Mapping):
        given = {("tissue_general" if k == "tissue" else k): v for k, v in covariate_keys.items()}
        unknown = [name for name in given if name not in names]
        if unknown:
            raise KeyError(
                f"The clock has no covariates {listing(unknown)}. It has: {listing(names)}."
            )
    elif covariate_keys is not None and len(covariate_keys) > 0:
        if len(covariate_keys) != len(names):
            raise ValueError(
                f"Expected {len(names)} covariate columns, for {listing(names)}; found "
                f"{len(covariate_keys)}: {listing(covariate_keys)}. A mapping may name fewer."
            )
        given = dict(zip(names, covariate_keys, strict=True))
    if cell_type_key is not None and (
        cell_type_key != "cell_type" or cell_type_key in adata.obs.columns
    ):
        given["cell_type"] = cell_type_key
    for name, column in given.items():
        check_obs_key(adata, column, argument=f"column for {name}")
    return {name: given.get(name) or _find_column(adata, name) for name in COLUMNS}


def _find_column(adata: AnnData, name: str) -> str | None:
    by_spelling: dict[str, str] = {}
    for column in adata.obs.columns:
        by_spelling.setdefault(fold(str(column)), column)
    found = [by_spelling[fold(c)] for c in COLUMNS[name] if fold(c) in by_spelling]
    return found[0] if found else None


def match_categories(
    adata: AnnData, columns: Mapping[str, str | None], vocabularies: Mapping[str, Sequence[str]]
) -> dict[str, CategoryMatch]:
    """Bring the columns to the vocabularies, for every covariate; raise where nothing is known."""
    found = {
        name: match_labels(
            adata.obs[column] if (column := columns[name]) is not None else None,
            vocabulary,
            name,
            n_obs=adata.n_obs,
        )
        for name, vocabulary in vocabularies.items()
    }
    if not any(match.known for match in found.values()):
        raise ValueError(
            "No cell has a known "
            + ", ".join(f"{name} (in {columns[name]!r})" for name in found)
            + ": the clock would age an average of everything. Expected columns of `adata.obs` "
            "with labels as CELLxGENE has them. Name the columns with `cell_type_key=` and "
            f"`covariate_keys={{'assay': …, 'tissue_general': …, 'sex': …}}` (available: "
            f"{listing(adata.obs.columns)}), or write what is known of all cells into them, as in "
            "`adata.obs['tissue_general'] = 'blood'`."
        )
    return found


def match_labels(
    column: pd.Series | None, vocabulary: Sequence[str], covariate: str, *, n_obs: int
) -> CategoryMatch:
    """Bring one column to its vocabulary; labels that are not found count as unknown."""
    labels, position = _distinct(column, n_obs)
    index = _index(tuple(vocabulary))
    neutral = vocabulary.index(UNKNOWN) if UNKNOWN in vocabulary else len(vocabulary)
    found = [_find(label, index, covariate) for label in labels]
    codes = np.array([neutral if code is None else code for code, _ in found], dtype=np.int64)
    table = pd.DataFrame(
        {
            "covariate": covariate,
            "column": "" if column is None else str(column.name),
            "label": [MISSING if label is None else label for label in labels],
            "used": [vocabulary[c] if c < len(vocabulary) else "(mean)" for c in codes],
            "how": [how for _, how in found],
            "n_cells": np.bincount(position, minlength=len(labels)),
        }
    )
    is_unknown = (table["used"] == UNKNOWN) & (table["how"] != "not found")
    table["how"] = table["how"].mask(is_unknown, UNKNOWN)
    occurs = table["n_cells"] > 0
    return CategoryMatch(codes[position], table[occurs].reset_index(drop=True))


def describe_unmatched(table: pd.DataFrame) -> str:
    """Say what was not found and what was used instead; empty where everything was found."""
    lost = table[table["how"] == "not found"]
    if lost.empty:
        return ""
    name, column = lost["covariate"].iloc[0], lost["column"].iloc[0]
    used = lost["used"].iloc[0]
    instead = (
        "the vocabulary's 'unknown' is used" if used == UNKNOWN
        else f"the mean over all its {name} categories is used"
    )  # fmt: skip
    key = "`cell_type_key=`" if name == "cell_type" else f"`covariate_keys={{{name!r}: …}}`"
    if column == "":
        return (
            f"`adata.obs` has no column for {name!r}: {instead} for all cells. Name the column "
            f"with {key}."
        )
    return (
        f"{len(lost)} of {len(table)} labels in `adata.obs[{column!r}]` "
        f"({lost['n_cells'].sum()} of {table['n_cells'].sum()} cells) are not among the clock's "
        f"{name} categories; {instead} instead: {listing(lost['label'])}. Rename them to labels in "
        f"`clock.categories[{name!r}]`, or name another column with {key}."
    )


def fold(label: str) -> str:
    """Spelling of a label without case, spaces, punctuation and plural."""
    text = unicodedata.normalize("NFKC", label).lower()
    for old, new in (*_GREEK.items(), ("′", "'"), ("’", "'"), ("`", "'")):
        text = text.replace(old, new)
    text = unicodedata.normalize("NFKD", text)
    text = "".join(c for c in text if not unicodedata.combining(c))
    text = text.replace("'", " prime ").replace("+", " positive ")
    text = re.sub(r"(\bcd\d+[a-z]?)\s*-(?=\s|$|,)", r"\1 negative ", text)
    words = []
    for word in re.findall(r"[a-z0-9]+", text):
        for old, new in _SPELLING:
            word = word.replace(old, new)
        if word.endswith("ies") and len(word) > 4:
            word = word[:-3] + "y"
        elif word.endswith("s") and not word.endswith("ss") and len(word) > 2:
            word = word[:-1]
        words.append(word)
    return "".join(words)


def _distinct(column: pd.Series | None, n_obs: int) -> tuple[list[str | None], np.ndarray]:
    """Labels that may occur, ``None`` for missing, and the position of every cell's among them."""
    if column is None or column.isna().all():
        return [None], np.zeros(n_obs, dtype=np.int64)
    position, values = pd.factorize(column, sort=False)
    labels = as_labels(pd.Series(values, name=column.name)).tolist()
    return [*labels, None], np.where(position < 0, len(labels), position)


@cache
def _index(vocabulary: tuple[str, ...]) -> tuple[dict[str, int], dict[str, int]]:
    exact: dict[str, int] = {}
    folded: dict[str, int] = {}
    for code, label in enumerate(vocabulary):
        exact.setdefault(label, code)
        folded.setdefault(fold(label), code)
    return exact, folded


@cache
def _synonyms(covariate: str) -> dict[str, list[str]]:
    """Targets of every folded synonym, the best first."""
    targets: dict[str, list[str]] = {}
    for target, names in SYNONYMS.get(covariate, {}).items():
        for name in names.split(";"):
            targets.setdefault(fold(name), []).append(target)
    return targets


def _find(
    label: str | None, index: tuple[dict[str, int], dict[str, int]], covariate: str
) -> tuple[int | None, str]:
    """Code of a label and how it was found."""
    exact, folded = index
    if label is None:
        return None, "not found"
    if label in exact:
        return exact[label], "exact"
    spellings = [fold(label)]
    if (bare := fold(_BRACKETS.sub(" ", label))) not in spellings:
        spellings.append(bare)
    for spelling in spellings:
        if not spelling:
            continue
        if spelling in folded:
            return folded[spelling], "spelling"
        stem = spelling.removesuffix("cell") if covariate == "cell_type" else spelling
        for name in (spelling, stem, stem.replace("cell", "")):
            for target in _synonyms(covariate).get(name, []):
                if target in exact:
                    return exact[target], "synonym"
        if covariate == "cell_type":
            for name in (stem, stem + "cell"):
                if name in folded:
                    return folded[name], "synonym"
    return None, "not found"
