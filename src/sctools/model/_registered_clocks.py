"""Ready-made clocks: what they are, where their files come from and how to tell they are whole."""

from __future__ import annotations

from typing import NamedTuple


class ClockFile(NamedTuple):
    """A file of a ready-made clock.

    Attributes
    ----------
    name
        Published name.
    url
        Where it is, at a fixed version.
    size
        Bytes, to three digits where there is no checksum; ``None`` where we do not know it.
    sha256
        Checksum; ``None`` where we do not know it, and the file is then not downloaded.
    required
        The clock cannot do without it.
    """

    name: str
    url: str
    size: int | None
    sha256: str | None
    required: bool = True


class RegisteredClock(NamedTuple):
    """A ready-made clock.

    Attributes
    ----------
    species, tissue, cell_types, training
        What it is for, and what it was trained on, in words.
    age_unit
        Unit of its ages.
    n_genes
        Genes that it reads.
    target_sum
        Depth that cells are scaled to, unless said otherwise.
    licence
        SPDX identifier.
    citation, doi
        What to cite.
    reader
        Which function of the loader reads the files.
    files
        Its files, by the names that ``files=`` takes.
    """

    species: str
    tissue: str
    cell_types: str
    training: str
    age_unit: str
    n_genes: int
    target_sum: float
    licence: str
    citation: str
    doi: str
    reader: str
    files: dict[str, ClockFile]


_SCAGECLOCK = "https://github.com/gangcai/scageclock/raw"
_RELEASE = f"{_SCAGECLOCK}/d4ce49daa85b959b537053f35e811017373ec096/data"
_TABLES = f"{_SCAGECLOCK}/5a53e050d3eca63ad5eb298fec294ff543beb505/data/metadata"

_GENE_IDS = ClockFile(
    "CZCELLxGENE_ProteinCodingGenes_Selected.tsv",
    f"{_TABLES}/CZCELLxGENE_ProteinCodingGenes_Selected.tsv",
    577_190,
    "4d7c6a07bcdde4814c65b8442f82c736a82cdfa24672a4e416bfa04214e8f900",
    required=False,
)
"""Ensembl ids and symbols of protein-coding genes, by scAgeClock (BSD-3-Clause)."""


def _categories(name: str, size: int, sha256: str) -> ClockFile:
    file = f"{name}_numeric_index.tsv"
    return ClockFile(file, f"{_TABLES}/categorical_features_index/{file}", size, sha256)


REGISTERED_CLOCKS = {
    "scageclock": RegisteredClock(
        species="human",
        tissue="over 40 tissues",
        cell_types="over 400 cell types",
        training="more than 16 million cells of CELLxGENE",
        age_unit="years",
        n_genes=19_234,
        target_sum=1e4,
        licence="BSD-3-Clause",
        citation="Xie, scAgeClock, npj Aging 2026",
        doi="10.1038/s41514-026-00379-5",
        reader="scageclock",
        files={
            "weights": ClockFile(
                "scAgeClock_GMA_model_state_dict.pth",
                f"{_RELEASE}/trained_models/scAgeClock_GMA_model_state_dict.pth",
                44_400_000,
                None,
            ),
            "genes": ClockFile("h5ad_var.tsv", f"{_RELEASE}/metadata/h5ad_var.tsv", None, None),
            "gene_ids": _GENE_IDS,
            "assay": _categories(
                "assay", 416, "0c89aeed85f313ccc86eeab593fe32ff6279a6e5a32f1a96140683198be5cf9d"
            ),
            "cell_type": _categories(
                "cell_type",
                19_993,
                "847e817f4cf7ff6ff057fa75a2e511c78fe9c290250c081e931bb2ca2d639752",
            ),
            "tissue_general": _categories(
                "tissue_general",
                761,
                "8c278f3c9e383a3e528e75f50dbcdfade76c38e5d90b72ee2a07294946b67f46",
            ),
            "sex": _categories(
                "sex", 58, "11503867e9c40721d44cc1aacfb1e7b79a72244d39aafd83288ac481b0fd5792"
            ),
        },
    ),
    "scimmuaging": RegisteredClock(
        species="human",
        tissue="blood (PBMC)",
        cell_types="CD4T, CD8T, MONO, NK, B",
        training="1,081 healthy European donors of 18–97 years from five studies (OneK1K is one)",
        age_unit="years",
        n_genes=2_634,
        target_sum=1e4,
        licence="Apache-2.0",
        citation=(
            "Li et al., Single-cell immune aging clocks reveal inter-individual heterogeneity "
            "during infection and vaccination, Nature Aging 2025"
        ),
        doi="10.1038/s43587-025-00819-z",
        reader="scimmuaging",
        files={
            "model": ClockFile(
                "all_model.RDS",
                "https://github.com/CiiM-Bioinformatics-group/scImmuAging/raw/112f8fa/data/"
                "all_model.RDS",
                866_932,
                "d076cf7429d5183d97e9e1a5a2821313c2cbf21a8eb176e4b70c8608bc974292",
            ),
            "gene_ids": _GENE_IDS,
        },
    ),
}
"""By name. The coefficients and weights themselves are not part of this package."""
