"""The counts that SRSA-VAE reads, from AnnData or MuData."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._validate import check_writable, listing
from ..pp._counts_input import check_proteins, protein_counts

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

RNA = "rna_layer"
PROTEIN = "protein_layer"
PROTEIN_NAMES = ("prot", "protein", "adt")


class Input(NamedTuple):
    """What is read, and where results go.

    Attributes
    ----------
    rna
        RNA counts, with the columns of ``obs`` that are read.
    proteins
        Reads protein counts, given the proteins of a trained model or ``None``; ``None`` without.
    modality
        Name of the RNA modality in a MuData; ``None`` for AnnData.
    """

    rna: AnnData
    proteins: Any
    modality: str | None


def read_input(
    adata: AnnData | MuData,
    *,
    protein_key: str | None,
    modalities: Mapping[str, str] | None,
    copy: bool,
    lazy: bool = False,
) -> Input:
    """Find RNA and protein counts; raise where they are not to be found.

    ``lazy`` leaves a backed AnnData where it is.
    """
    from anndata import AnnData
    from mudata import MuData

    if isinstance(adata, AnnData):
        if modalities is not None:
            raise ValueError(
                "`modalities` is for MuData, found AnnData. Name its proteins with `protein_key=`."
            )
        check_writable(adata, copy=copy)
        rna = adata.to_memory() if adata.isbacked and not lazy else adata
        if protein_key is None:
            return Input(rna, None, None)

        def proteins(wanted: Any) -> pd.DataFrame:
            return protein_counts(rna, protein_key, wanted)

        return Input(rna, proteins, None)
    if not isinstance(adata, MuData):
        raise TypeError(f"Expected AnnData or MuData, found {type(adata).__name__}.")
    if protein_key is not None:
        raise ValueError(
            "`protein_key` is for AnnData, found MuData. Name its modalities with `modalities=`."
        )
    return _from_mudata(adata, modalities)


def _from_mudata(mdata: MuData, modalities: Mapping[str, str] | None) -> Input:
    chosen = _modalities(mdata, modalities)
    rna, protein = mdata.mod[chosen[RNA]], mdata.mod[chosen[PROTEIN]]
    if rna.isbacked or protein.isbacked:
        raise ValueError(
            "Expected MuData in memory, found a backed one. Read it without `backed=`."
        )
    for name, adata in ((chosen[RNA], rna), (chosen[PROTEIN], protein)):
        if not adata.obs_names.is_unique:
            raise ValueError(
                f"Cells of modality {name!r} must have unique names, by which the modalities are "
                f"matched. Make them unique: `mdata.mod[{name!r}].obs_names_make_unique()`."
            )
    place = protein.obs_names.get_indexer(rna.obs_names)
    if (place < 0).any() or protein.n_obs != rna.n_obs:
        raise ValueError(
            f"Modalities {chosen[RNA]!r} ({rna.n_obs} cells) and {chosen[PROTEIN]!r} "
            f"({protein.n_obs} cells) must hold the same cells. Keep those in both: "
            "`muon.pp.intersect_obs(mdata)`."
        )
    above = [key for key in mdata.obs.columns if key not in rna.obs.columns]
    if above:
        if not rna.obs_names.isin(mdata.obs_names).all():
            raise ValueError(
                f"`mdata.obs` lacks cells of modality {chosen[RNA]!r}: cells were renamed or added "
                "there. Bring it up to date: `mdata.update()`."
            )
        obs = rna.obs.join(mdata.obs.loc[rna.obs_names, above])
        layers = {name: rna.layers[name] for name in rna.layers if name is not None}
        rna = type(rna)(
            X=rna.X, obs=obs, var=rna.var, layers=layers, obsm=dict(rna.obsm), uns=rna.uns
        )
    where = f"`mdata.mod[{chosen[PROTEIN]!r}].X`"

    def proteins(wanted: Any) -> pd.DataFrame:
        if protein.X is None:
            raise ValueError(f"{where} is empty: expected protein counts there.")
        values = protein.X.toarray() if sp.issparse(protein.X) else np.asarray(protein.X)
        table = pd.DataFrame(values[place], columns=protein.var_names)
        return check_proteins(table, rna.obs_names, where, wanted)

    return Input(rna, proteins, chosen[RNA])


def _modalities(mdata: MuData, modalities: Mapping[str, str] | None) -> dict[str, str]:
    available = list(mdata.mod)
    if modalities is None:
        found = [name for name in PROTEIN_NAMES if name in available]
        if "rna" not in available or len(found) != 1:
            raise KeyError(
                "Name the modalities with counts: `modalities={'rna_layer': …, 'protein_layer': "
                f"…}}`. Available: {listing(available)}."
            )
        return {RNA: "rna", PROTEIN: found[0]}
    chosen = dict(modalities)
    if set(chosen) != {RNA, PROTEIN}:
        raise ValueError(
            f"`modalities` must name {RNA!r} and {PROTEIN!r}, found {listing(chosen)}."
        )
    if chosen[RNA] == chosen[PROTEIN]:
        raise ValueError(
            f"`modalities` must name two modalities, found {chosen[RNA]!r} as both. Available: "
            f"{listing(available)}."
        )
    missing = [name for name in chosen.values() if name not in available]
    if missing:
        raise KeyError(
            f"`modalities` names {listing(missing)}, which `mdata.mod` lacks. Available: "
            f"{listing(available)}."
        )
    return chosen
