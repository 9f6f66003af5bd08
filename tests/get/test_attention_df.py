from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from sctools.get import attention_df
from sctools.get._tf_lift import contrast, tf_lift, top_of_groups

from .._compare import assert_unchanged, snapshot
from .._fake_results import fake_age_result
from ..pl._fake_prior_result import fake_prior_result

KEY = "prior_transformer"
COLUMNS = [
    "group",
    "source",
    "target",
    "weight",
    "attention",
    "lift",
    "gene_attention",
    "score",
]


def _group_order(adata):
    return list(adata.uns[KEY]["groups"])


def test_every_edge_of_every_group():
    adata = fake_prior_result()
    stored = adata.uns[KEY]
    df = attention_df(adata)
    assert list(df.columns) == COLUMNS
    assert list(df["group"].cat.categories) == _group_order(adata)
    assert len(df) == len(stored["edges"]) * 3
    # Looked up one by one, against the stored arrays.
    edges = {pair: i for i, pair in enumerate(zip(*stored["edges"].T.to_numpy()[:2], strict=True))}
    genes = list(stored["genes"])
    for row in df.sample(40, random_state=0).itertuples():
        e, k = edges[row.source, row.target], _group_order(adata).index(row.group)
        assert row.weight == stored["edges"]["weight"][e]
        assert row.attention == pytest.approx(stored["attention"][e, k])
        assert row.lift == pytest.approx(stored["lift"][e, k])
        assert row.gene_attention == pytest.approx(
            stored["gene_attention"][genes.index(row.target), k]
        )
        assert row.score == pytest.approx(row.lift * row.gene_attention)
    assert all(df[name].dtype == "float64" for name in COLUMNS[3:])


def test_order():
    df = attention_df(fake_prior_result())
    groups = df["group"].astype(str).drop_duplicates().tolist()
    assert groups == ["Monocyte", "T cell", "immature/naive B cell"]
    for _, part in df.groupby("group", observed=True):
        assert (part["score"].diff().dropna() <= 0).all()
    assert list(df.index) == list(range(len(df)))


def test_groups_and_top():
    adata = fake_prior_result()
    one = attention_df(adata, "immature/naive B cell", n_top=5)
    whole = attention_df(adata)
    expected = whole[whole["group"] == "immature/naive B cell"].head(5).reset_index(drop=True)
    pd.testing.assert_frame_equal(one.drop(columns="group"), expected.drop(columns="group"))
    assert list(one["group"].cat.categories) == ["immature/naive B cell"]
    # In the stored order, whatever the order asked for.
    two = attention_df(adata, ["T cell", "Monocyte"], n_top=2)
    assert two["group"].tolist() == ["Monocyte"] * 2 + ["T cell"] * 2
    assert len(attention_df(adata, "T cell", n_top=10**6)) == len(adata.uns[KEY]["edges"])


def test_stored_order_is_kept():
    adata = fake_prior_result()
    result = adata.uns[KEY]
    for name in ("attention", "lift", "gene_attention"):
        result[name] = result[name][:, ::-1]
    result["groups"] = result["groups"][::-1]
    df = attention_df(adata, n_top=1)
    assert df["group"].tolist() == ["immature/naive B cell", "T cell", "Monocyte"]
    assert list(df["group"].cat.categories) == df["group"].tolist()


def test_missing_weights_stay_missing():
    adata = fake_prior_result()
    adata.uns[KEY]["edges"]["weight"] = np.nan
    assert attention_df(adata)["weight"].isna().all()


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_after_writing(tmp_path, kind):
    adata = fake_prior_result(key="mine")
    path = tmp_path / f"result.{kind}"
    getattr(adata, f"write_{kind}")(path)
    back = getattr(ad, f"read_{kind}")(path)
    pd.testing.assert_frame_equal(
        attention_df(back, key="mine"), attention_df(adata, key="mine"), check_dtype=False
    )


def test_one_group_and_adata_is_unchanged():
    adata = fake_prior_result(["only"])
    before = snapshot(adata)
    df = attention_df(adata)
    df["lift"] = 0.0
    assert_unchanged(adata, before)
    assert set(df["group"]) == {"only"}


def test_errors():
    adata = fake_prior_result(key="mine")
    with pytest.raises(KeyError, match=r"'prior_transformer'.*'mine'.*tl\.prior_transformer"):
        attention_df(adata)
    adata = fake_prior_result()
    for group in ("B cell", ["Monocyte", "B cell"], []):
        with pytest.raises(ValueError, match="Available: 'Monocyte', 'T cell', 'immature/naive B"):
            attention_df(adata, group)
    for n_top in (0, -3, 1.5):
        with pytest.raises(ValueError, match="`n_top` must be a positive integer"):
            attention_df(adata, n_top=n_top)
    other = fake_age_result(3)
    other.uns[KEY] = adata.uns[KEY]
    with pytest.raises(KeyError, match=r"no result of a prior transformer.*'prior_transformer'"):
        attention_df(other, key="age_clock")


def test_parts_that_do_not_fit():
    adata = fake_prior_result()
    adata.uns[KEY]["lift"] = adata.uns[KEY]["lift"][:-1]
    with pytest.raises(ValueError, match=r"\['lift'\]` must have shape.*again"):
        attention_df(adata)
    adata = fake_prior_result()
    adata.uns[KEY]["edges"].loc[0, "target"] = "NOPE"
    with pytest.raises(ValueError, match=r"not among its `genes`: 'NOPE'\."):
        attention_df(adata)
    adata = fake_prior_result()
    del adata.uns[KEY]["gene_attention"]
    with pytest.raises(KeyError, match=r"lacks 'gene_attention'.*key_added='prior_transformer'"):
        attention_df(adata)


def test_lift_of_a_tf_is_the_weighted_mean_of_its_edges():
    adata = fake_prior_result()
    df = attention_df(adata)
    found = tf_lift(adata, KEY)
    for (group, tf), part in df.groupby(["group", "source"], observed=True):
        expected = np.average(part["lift"], weights=part["gene_attention"])
        assert found.lift.loc[tf, group] == pytest.approx(expected)
    assert found.n_targets["LONER"] == 1
    assert found.n_targets["TF0x3"] == 9
    # A plain mean where no target counts in the read-out.
    adata.uns[KEY]["gene_attention"][:] = 0
    lift = tf_lift(adata, KEY).lift
    expected = df[(df["source"] == "TF0x0") & (df["group"] == "Monocyte")]["lift"].mean()
    assert lift.loc["TF0x0", "Monocyte"] == pytest.approx(expected)


def test_contrast_and_choice():
    values = pd.DataFrame({"a": [3.0, 0.0, 1.0], "b": [0.0, 2.0, 1.0], "c": [0.0, 1.0, 1.0]})
    values.index = ["x", "y", "z"]
    np.testing.assert_allclose(contrast(values).loc["x"], [3, -1.5, -1.5])
    np.testing.assert_allclose(contrast(values).loc["z"], 0)
    pd.testing.assert_frame_equal(contrast(values[["a"]]), values[["a"]])
    assert top_of_groups(contrast(values), 1) == ["x", "y"]
    assert set(top_of_groups(contrast(values), 3)) == {"x", "y", "z"}
