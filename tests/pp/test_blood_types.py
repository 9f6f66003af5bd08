"""Labels of blood cells as data sets and annotation tools write them."""

from __future__ import annotations

import pytest

from sctools.pp._blood_types import BLOOD_TYPES, blood_type

KNOWN = {
    "CD4T": [
        "CD4 T cells", "Naive CD4 T", "Memory CD4 T", "CD4+ T cells", "T_CD4", "T cells CD4",
        "CD4 TCM", "CD4 Naive", "CD4 CTL", "Treg", "Regulatory T cells", "CD4+ T Helper2", "Th17",
        "Tcm/Naive helper T cells", "CD4+/CD45RA+/CD25- Naive T", "CD4+/CD25 T Reg", "CD4+CD8- T",
        "naive thymus-derived CD4-positive, alpha-beta T cell",
        "CD4-positive, alpha-beta cytotoxic T cell", "CD4 T cell (CD8 neg)", "cd4t",
    ],
    "CD8T": [
        "CD8 T cells", "CD8 T", "T_CD8", "CD8 TEM", "CD8+ Cytotoxic T", "Tem/Trm cytotoxic T cells",
        "CD8-positive, alpha-beta memory T cell", "CD8+/CD45RA+ Naive Cytotoxic",
    ],
    "MONO": [
        "CD14+ Monocytes", "FCGR3A+ Monocytes", "CD14+ Mono", "Mono_CD16", "Mono", "CD16 Mono",
        "Classical monocytes", "non-classical monocyte", "CD14-low, CD16-positive monocyte",
    ],
    "NK": [
        "NK cells", "NK", "NK_CD56bright", "CD56+ NK", "natural killer cell", "CD16- NK cells",
        "CD16-negative, CD56-bright natural killer cell, human", "Natural Killer (NK) cells",
    ],
    "B": [
        "B cells", "B", "B naive", "B intermediate", "naive B cell", "immature/naive B cell",
        "memory B cell", "CD19+ B", "B_cell", "B-cell", "Age-associated B cells", "B-1 B cell",
        "regulatory B cell",
    ],
}  # fmt: skip

OTHERS = [
    "T cell", "T cells", "other T", "lymphocyte", "CD4/CD8 T", "CD4-CD8- T", "T/NK", "CD8 T/NK",
    "immune B/T", "Monocytes, B cells", "MAIT cells", "mucosal invariant T cell", "gdT", "γδ T",
    "gamma-delta T cell", "dnT", "NKT", "mature NK T cell", "natural killer T cell", "DC",
    "Dendritic cells", "cDC2", "pDC", "plasmacytoid dendritic cell", "Plasmablast", "plasma cell",
    "Platelet", "Megakaryocytes", "HSPC", "CD34+", "ILC", "innate lymphoid cell", "Eryth",
    "Monocyte/Macrophage", "pro-B cell", "double negative thymocyte",
    "CD14+ Mono/Platelet doublets", "Unknown", "Hepatocytes", "Mast cells", "0", "",
]  # fmt: skip


@pytest.mark.parametrize(
    ("label", "expected"), [(label, name) for name, labels in KNOWN.items() for label in labels]
)
def test_known_labels(label, expected):
    assert blood_type(label) == expected


@pytest.mark.parametrize("label", OTHERS)
def test_labels_that_are_none_or_several(label):
    assert blood_type(label) is None


def test_the_names_themselves():
    assert set(KNOWN) == set(BLOOD_TYPES)
    for name in BLOOD_TYPES:
        assert blood_type(name) == blood_type(name.lower()) == name
