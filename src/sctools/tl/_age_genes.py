"""The table of genes that :func:`sctools.tl.age_clock` keeps."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from ..model import AgeClock


def clock_genes(clock: AgeClock, adata: AnnData, **kwargs: Any) -> dict[str, pd.DataFrame]:
    """How donors' predicted ages change with genes, as ``genes``; nothing with too few donors.

    Parameters
    ----------
    clock
        The clock.
    adata
        The cells that it was applied to.
    **kwargs
        How they were read, as for :meth:`sctools.model.AgeClock.predict`.
    """
    from ..model._age_genes import gene_importance, read_profiles

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # said by `predict`
        table = gene_importance(clock, read_profiles(clock, adata, **kwargs))
    return {"genes": table} if len(table) else {}
