"""Cell types of blood by the labels that data sets and annotation tools give them."""

from __future__ import annotations

import re

BLOOD_TYPES = ("CD4T", "CD8T", "MONO", "NK", "B")
"""The common types of peripheral blood mononuclear cells, as published clocks name them."""

_ABSENT = re.compile(r"\bcd\d+\w*(?:-(?=$|[\s,/]|cd\d)|[\s_-]*(?:negative|neg|low|lo)\b)")
"""A marker that cells lack: "CD8-", "CD16-negative", "CD14 low"."""

_OTHERS = re.compile(
    r"\b(?:platelets?|megakaryo\w*|mk|dendritic|[acmps]*dcs?\d?|eryth\w*|red|hspcs?|hscs?|cd34\w*"
    r"|progenitors?|precursors?|stem|ilcs?\d?|lymphoid|lymphoma\w*|leuk\w*|mait\w*|mucosal"
    r"|gamma|delta|gdt\w*|γδ\w*|nkts?|nk t|natural killer t|double|dnt\w*|thymo\w*|plasma\w*"
    r"|macrophages?|derived macro\w*|granulo\w*|neutro\w*|doublets?|multiplets?|unknown|pro b"
    r"|pre b)\b"
)
"""Cells that are none of the five, or that the clocks were not made for."""

_MARKED = {"CD4T": re.compile(r"\bcd4t?\b"), "CD8T": re.compile(r"\bcd8[ab]*t?\b")}
_NAMED = {
    "CD4T": re.compile(
        r"\bhelper t\b|\bt helper\d*\b|\bth\d*\b|\btregs?\b|\bt regs?\b|regulatory t\b"
    ),
    "CD8T": re.compile(r"\bcytotoxic t\b|\bt cytotoxic\b|\bctls?\b"),
}
_REST = {
    "MONO": re.compile(r"\bmono(?:s|cytes?)?\b"),
    "NK": re.compile(r"\bnks?\b|\bnatural killers?\b|\bnkcells?\b"),
    "B": re.compile(r"\bbs?\b|\bbcells?\b|\bb lymphocytes?\b|\bcd19\b|\bcd20\b"),
}
_T = re.compile(r"\bts?\b")


def blood_type(label: str) -> str | None:
    """Type of blood cell that a label means, one of :data:`BLOOD_TYPES`; ``None`` if none or many.

    It knows the names of the common sources: the tutorials of scanpy and Seurat, Azimuth,
    CellTypist, sorted cells of 10x Genomics, and the Cell Ontology as CELLxGENE uses it. Only
    cells that the label places are mapped: "T cells" is not, as it may be either kind, and
    neither are MAIT, γδ and NK T cells, dendritic and plasma cells, platelets and progenitors.

    Parameters
    ----------
    label
        Label of a cell type, in any case.
    """
    text = label.lower()
    for name in BLOOD_TYPES:
        if text == name.lower():
            return name
    # "CD4+" and "CD4-positive" tell no more than "CD4"; the markers that are lacking tell nothing.
    text = re.sub(r"\+|\bpositive\b|\bpos\b", " ", _ABSENT.sub(" ", re.sub(r"_", " ", text)))
    text = " ".join(re.findall(r"[\wγδ]+", text))
    text = re.sub(r"\bcells?\b", "", text)
    text = " ".join(text.split())
    if _OTHERS.search(text):
        return None
    if _T.search(text) and any(pattern.search(text) for pattern in _REST.values()):
        return None  # "T/NK"
    found = {name for name, pattern in (_MARKED | _REST).items() if pattern.search(text)}
    if not found & set(_MARKED):  # "CD4 CTL" are CD4 T cells: the marker decides
        found |= {name for name, pattern in _NAMED.items() if pattern.search(text)}
    return found.pop() if len(found) == 1 else None
