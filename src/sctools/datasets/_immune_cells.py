"""What `immune_mixture` knows of blood cells: types, gene programs with markers, and proteins.

Textbook immunology in round numbers; no data set was fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class CellType(NamedTuple):
    """A leaf of the tree of cell types."""

    lineage: str
    proportion: float
    rna_content: float


class Program(NamedTuple):
    """Genes raised together.

    `strength` is in units of ``effect_size``, `weights` tells how much of it each cell type runs
    (absent: none), and `spread` is the coefficient of variation of a cell's activity.
    """

    markers: tuple[str, ...]
    strength: float
    weights: Mapping[str, float]
    spread: float = 0.2


class Protein(NamedTuple):
    """`background` in counts; `foreground` by cell type in units of the background."""

    background: float
    foreground: Mapping[str, float]


CELL_TYPES = {
    "CD4 T naive": CellType("T cell", 0.170, 0.9),
    "CD4 T memory": CellType("T cell", 0.170, 1.0),
    "CD8 T naive": CellType("T cell", 0.080, 0.9),
    "CD8 T memory": CellType("T cell", 0.100, 1.0),
    "NK": CellType("NK cell", 0.100, 0.9),
    "B naive": CellType("B cell", 0.080, 0.9),
    "B memory": CellType("B cell", 0.040, 1.1),
    "CD14 monocyte": CellType("Myeloid cell", 0.200, 1.5),
    "CD16 monocyte": CellType("Myeloid cell", 0.045, 1.4),
    "DC": CellType("Myeloid cell", 0.015, 1.8),
}

_CD4 = {"CD4 T naive": 1.0, "CD4 T memory": 1.0}
_CD8 = {"CD8 T naive": 1.0, "CD8 T memory": 1.0}
_T = _CD4 | _CD8
_B = {"B naive": 1.0, "B memory": 1.0}
_MONOCYTE = {"CD14 monocyte": 1.0, "CD16 monocyte": 1.0}

# The branches of the tree from the trunk to the leaves, then programs that cut across it.
PROGRAMS = {
    "Lymphocyte": Program(("CXCR4", "LTB"), 0.8, _T | _B | {"NK": 1.0}),
    "Myeloid cell": Program(
        ("LYZ", "CST3", "FCER1G", "TYROBP", "AIF1"), 1.6, _MONOCYTE | {"DC": 1.0}
    ),
    "T or NK cell": Program(("CD7", "IL32", "CD247"), 1.0, _T | {"NK": 1.0}),
    "T cell": Program(("CD3D", "CD3E", "TRAC"), 1.0, _T | {"NK": 0.1}),
    "B cell": Program(("MS4A1", "CD79A", "CD79B", "CD19"), 1.6, _B),
    "Monocyte": Program(("FCN1", "VCAN", "MS4A6A"), 0.8, _MONOCYTE | {"DC": 0.2}),
    "NK": Program(("GNLY", "KLRF1", "NCAM1"), 1.0, {"NK": 1.0, "CD8 T memory": 0.1}),
    "DC": Program(("FCER1A", "CLEC10A", "CD1C"), 1.4, {"DC": 1.0}),
    "CD4 T": Program(("CD4", "CD40LG"), 0.6, _CD4 | {"CD14 monocyte": 0.3, "DC": 0.3}),
    "CD8 T": Program(("CD8A", "CD8B"), 0.7, _CD8 | {"NK": 0.2}),
    "B naive": Program(("TCL1A", "IGHD", "FCER2"), 0.9, {"B naive": 1.0, "B memory": 0.1}),
    "B memory": Program(("CD27", "AIM2", "TNFRSF13B"), 0.9, {"B memory": 1.0, "B naive": 0.1}),
    "CD14 monocyte": Program(
        ("CD14", "S100A8", "S100A9"), 1.0, {"CD14 monocyte": 1.0, "CD16 monocyte": 0.2, "DC": 0.1}
    ),
    "CD16 monocyte": Program(
        ("MS4A7", "CDKN1C", "LST1"), 1.0, {"CD16 monocyte": 1.0, "CD14 monocyte": 0.1}
    ),
    "Naive T": Program(
        ("CCR7", "SELL", "LEF1", "TCF7"),
        0.9,
        {"CD4 T naive": 1.0, "CD8 T naive": 1.0, "CD4 T memory": 0.3, "CD8 T memory": 0.1}
        | {"B naive": 0.2, "B memory": 0.1},
    ),
    "Memory T": Program(
        ("S100A4", "ITGB1", "IL7R"),
        0.8,
        {"CD4 T memory": 1.0, "CD8 T memory": 0.7, "CD4 T naive": 0.2, "CD8 T naive": 0.2},
    ),
    "Cytotoxic cell": Program(
        ("NKG7", "GZMA", "GZMB", "PRF1", "CCL5"), 1.2, {"NK": 1.0, "CD8 T memory": 0.7}
    ),
    "CD16 cell": Program(("FCGR3A", "CX3CR1"), 1.0, {"CD16 monocyte": 1.0, "NK": 0.6}),
    "Antigen-presenting cell": Program(
        ("HLA-DRA", "HLA-DPB1", "CD74"), 1.2, _B | {"DC": 1.4} | dict.fromkeys(_MONOCYTE, 0.7)
    ),
    "Stress": Program(("FOS", "JUN", "DUSP1"), 0.6, dict.fromkeys(CELL_TYPES, 1.0), spread=0.6),
}

PROTEINS = {
    "CD3": Protein(5, dict.fromkeys(_T, 12)),
    "CD4": Protein(6, {"CD14 monocyte": 2, "CD16 monocyte": 1, "DC": 3} | dict.fromkeys(_CD4, 12)),
    "CD8": Protein(5, {"NK": 3} | dict.fromkeys(_CD8, 15)),
    "CD11c": Protein(
        8, {"CD14 monocyte": 8, "CD16 monocyte": 10, "DC": 12, "NK": 1, "B memory": 0.5}
    ),
    "CD14": Protein(5, {"CD14 monocyte": 20, "CD16 monocyte": 3, "DC": 0.5}),
    "CD16": Protein(8, {"NK": 10, "CD16 monocyte": 12, "CD8 T memory": 1, "CD14 monocyte": 0.5}),
    "CD19": Protein(4, dict.fromkeys(_B, 10)),
    "CD27": Protein(
        6,
        {"CD4 T naive": 5, "CD4 T memory": 4, "CD8 T naive": 6, "CD8 T memory": 1.5}
        | {"B memory": 6},
    ),
    "CD45RA": Protein(
        15,
        {"CD4 T naive": 8, "CD8 T naive": 10, "CD4 T memory": 1, "CD8 T memory": 3, "NK": 6}
        | {"B naive": 8, "B memory": 7, "CD14 monocyte": 0.5, "CD16 monocyte": 2, "DC": 1},
    ),
    "CD45RO": Protein(
        10,
        {"CD4 T naive": 0.5, "CD8 T naive": 0.5, "CD4 T memory": 6, "CD8 T memory": 5, "NK": 0.5}
        | {"CD14 monocyte": 4, "CD16 monocyte": 1, "DC": 3},
    ),
    "CD56": Protein(6, {"NK": 10, "CD8 T memory": 1}),
    "HLA-DR": Protein(
        12,
        {"B naive": 8, "B memory": 9, "CD14 monocyte": 5, "CD16 monocyte": 6, "DC": 20}
        | {"CD8 T memory": 0.4, "NK": 0.2},
    ),
    "IgD": Protein(5, {"B naive": 12, "B memory": 1}),
    "IgG1 control": Protein(4, {}),
}
