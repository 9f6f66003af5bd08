from __future__ import annotations

import anndata as ad
import pandas as pd
import pytest

from sctools.get import age_df, donor_age_df

from .._fake_results import fake_age_result


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
@pytest.mark.parametrize("n_unknown", [0, 2, 8])
def test_same_tables_after_writing(tmp_path, kind, n_unknown):
    adata = fake_age_result(8, n_unknown=n_unknown, n_samples=2)
    path = tmp_path / f"result.{kind}"
    getattr(adata, f"write_{kind}")(path)
    back = getattr(ad, f"read_{kind}")(path)
    for before, after in (
        (age_df(adata), age_df(back)),
        (donor_age_df(adata), donor_age_df(back)),
        (donor_age_df(adata, groupby="cell_type"), donor_age_df(back, groupby="cell_type")),
    ):
        # The container of the texts may change; the values and the order may not.
        pd.testing.assert_frame_equal(
            _plain(before), _plain(after), check_dtype=False, check_column_type=False
        )


def _plain(df: pd.DataFrame) -> pd.DataFrame:
    texts = [name for name in df.columns if not pd.api.types.is_numeric_dtype(df[name])]
    df = df.astype(dict.fromkeys(texts, object))
    df.index = df.index.astype(object)
    return df.where(df.notna(), None)
