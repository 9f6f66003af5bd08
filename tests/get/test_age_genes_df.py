from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from sctools.get import age_genes_df

from .._fake_genes import TYPES, fake_genes


def test_rows_are_the_genes_of_every_type_in_order():
    adata = fake_genes()
    table = age_genes_df(adata)
    assert list(table.columns) == [
        "group", "names", "scores", "scores_sd", "agreement", "effects", "rank"
    ]  # fmt: skip
    assert list(table["group"].cat.categories) == list(TYPES)
    stored = adata.uns["age_clock"]["genes"]
    for name, rows in table.groupby("group", observed=True):
        mine = stored[stored["cell_type"] == name].set_index("gene")
        assert len(rows) == len(mine) == 40
        scores = mine.loc[rows["names"]]
        np.testing.assert_array_equal(rows["scores"], scores["score"].astype(float))
        np.testing.assert_array_equal(rows["scores_sd"], scores["score_sd"].astype(float))
        np.testing.assert_array_equal(rows["agreement"], scores["agreement"].astype(float))
        np.testing.assert_allclose(rows["effects"], scores["score"] * scores["gene_sd"], rtol=1e-6)
        assert rows["scores"].is_monotonic_decreasing
        by_rank = rows.sort_values("rank")
        assert by_rank["rank"].tolist() == list(range(1, 41))
        assert by_rank["scores"].abs().is_monotonic_decreasing
    assert (table.dtypes[["scores", "scores_sd", "agreement", "effects"]] == "float64").all()


def test_groups_and_top_genes():
    adata = fake_genes()
    whole = age_genes_df(adata)
    one = age_genes_df(adata, group="CD4/CD8 T cell")
    assert one["group"].unique().tolist() == ["CD4/CD8 T cell"]
    top = age_genes_df(adata, group=["Monocyte", "B cell"], n_top=4)
    assert list(top["group"].cat.categories) == ["Monocyte", "B cell"]
    assert top["group"].tolist() == ["Monocyte"] * 4 + ["B cell"] * 4
    expected = whole[(whole["group"] == "Monocyte") & (whole["rank"] <= 4)]["names"].tolist()
    assert top["names"].tolist()[:4] == expected


def test_wide_is_cell_types_by_genes():
    adata = fake_genes()
    wide = age_genes_df(adata, wide=True)
    assert wide.shape == (3, 40)
    assert wide.index.tolist() == list(TYPES)
    assert wide.columns.tolist() == [f"GENE{i + 1}" for i in range(40)]
    assert (wide.dtypes == "float64").all()
    long = age_genes_df(adata).set_index(["group", "names"])["scores"]
    for (group, gene), score in long.items():
        assert wide.loc[group, gene] == score
    assert age_genes_df(adata, group=["Monocyte"], wide=True).index.tolist() == ["Monocyte"]


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
@pytest.mark.parametrize("n_folds", [1, 5])
def test_same_table_after_writing(tmp_path, kind, n_folds):
    adata = fake_genes(n_folds=n_folds)
    path = tmp_path / f"result.{kind}"
    getattr(adata, f"write_{kind}")(path)
    back = getattr(ad, f"read_{kind}")(path)
    for kwargs in ({}, {"wide": True}, {"group": "CD4/CD8 T cell", "n_top": 3}):
        pd.testing.assert_frame_equal(
            age_genes_df(adata, **kwargs),
            age_genes_df(back, **kwargs),
            check_column_type=False,
            check_index_type=False,
        )


def test_data_are_unchanged():
    adata = fake_genes()
    before = adata.uns["age_clock"]["genes"].copy()
    long, wide = age_genes_df(adata), age_genes_df(adata, wide=True)
    long["scores"] = 0
    wide.iloc[0, 0] = 0
    pd.testing.assert_frame_equal(adata.uns["age_clock"]["genes"], before)


def test_errors():
    adata = fake_genes(key="mine")
    with pytest.raises(KeyError, match=r"No result.*'mine'.*sctools\.tl\.age_clock"):
        age_genes_df(adata)
    with pytest.raises(ValueError, match=r"'NK'\. Available: 'B cell', 'CD4/CD8 T cell'"):
        age_genes_df(adata, "mine", group=["B cell", "NK"])
    with pytest.raises(ValueError, match="each once"):
        age_genes_df(adata, "mine", group=["B cell", "B cell"])
    with pytest.raises(ValueError, match="`group` must name"):
        age_genes_df(adata, "mine", group=[])
    for n_top in (0, 1.5):
        with pytest.raises(ValueError, match="`n_top` must be a positive integer"):
            age_genes_df(adata, "mine", n_top=n_top)
    with pytest.raises(ValueError, match="leave out `wide=True`"):
        age_genes_df(adata, "mine", n_top=3, wide=True)
    del adata.uns["mine"]["genes"]
    with pytest.raises(KeyError, match=r"has no genes; it holds 'params', 'age_unit'"):
        age_genes_df(adata, "mine")
