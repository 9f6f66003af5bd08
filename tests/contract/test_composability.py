"""Results go where scanpy, anndata and mudata users take them."""

from __future__ import annotations

import pickle

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection

from sctools import get, tl
from sctools.get._columns import as_groups

from .._compare import assert_unchanged, snapshot
from .._vaes import quietly_joined
from ._composed import FIGURES, PRIOR, TABLES, VAE, WRITTEN, cohort, composed, models


@pytest.fixture(scope="module")
def adata():
    """Cells with all results: copy before changing."""
    return composed()


def plain(table):
    """Text, categories and missing values as objects, however a file gave them back."""
    texts = [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
    table = table.astype(dict.fromkeys(texts, object))
    table.index = table.index.astype(object)
    return table.where(table.notna(), None)


def assert_same_tables(found, expected):
    for name, table in TABLES.items():
        pd.testing.assert_frame_equal(
            plain(table(found)), plain(table(expected)), check_dtype=False,
            check_column_type=False, obj=name,
        )  # fmt: skip


def assert_drawn(adata):
    for name, figure in FIGURES.items():
        drawn = figure(adata, show=False)
        axes = drawn if isinstance(drawn, list) else [drawn]
        assert axes, name
        assert all(isinstance(ax, Axes) and ax.has_data() for ax in axes), name


def test_everything_is_there(adata):
    """The tests below are about these."""
    for slot, names in WRITTEN.items():
        assert set(names) <= set(getattr(adata, slot)), slot
    assert_drawn(adata)
    for name, table in TABLES.items():
        assert len(table(adata)) > 0, name


# ------------------------------------------------------------------------- stored and copied


def stored(adata, folder, kind):
    path = folder / f"result.{kind}"
    if kind == "pickle":
        return pickle.loads(pickle.dumps(adata))
    if kind == "copy":
        return adata.copy()
    getattr(adata, f"write_{kind}")(path)
    return getattr(ad, f"read_{kind}")(path)


@pytest.mark.parametrize("kind", ["h5ad", "zarr", "pickle", "copy"])
def test_results_survive(adata, tmp_path, kind):
    back = stored(adata.copy(), tmp_path, kind)
    assert_same_tables(back, adata)
    for name in WRITTEN["obsm"]:
        np.testing.assert_array_equal(np.asarray(back.obsm[name]), np.asarray(adata.obsm[name]))
        assert np.asarray(back.obsm[name]).dtype == np.float32
    for name in WRITTEN["obs"]:
        assert back.obs[name].dtype == adata.obs[name].dtype, name
    tfs = back.obsm["prior_transformer_tf"]
    assert tfs.columns.tolist() == adata.obsm["prior_transformer_tf"].columns.tolist()
    if kind == "h5ad":
        assert_drawn(back)


def test_a_stored_copy_does_not_share_results(adata):
    before, copied = snapshot(adata), adata.copy()
    copied.uns["age_clock"]["params"]["mode"] = "changed"
    copied.uns["age_clock"]["donors"].iloc[0, 1] = -1
    copied.obsm["X_srsa_vae"][:] = 0
    assert_unchanged(adata, before)


def test_models_survive_a_stored_result(adata, tmp_path):
    """A result that was read again can be written over by a model that was saved."""
    models()["age_clock"].save(tmp_path / "clock")
    models()["prior_transformer"].save(tmp_path / "prior")
    models()["srsa_vae"].save(str(tmp_path / "vae"), overwrite=True)
    back = stored(adata.copy(), tmp_path, "h5ad")
    tl.age_clock(back, str(tmp_path / "clock"))
    tl.srsa_vae(back, str(tmp_path / "vae"))
    tl.prior_transformer(back, "cell_type", model=str(tmp_path / "prior"))
    for name in ("X_srsa_vae", "X_prior_transformer"):
        np.testing.assert_allclose(back.obsm[name], adata.obsm[name], atol=1e-4)


# ------------------------------------------------------------------------- parts and joins


@pytest.mark.parametrize("as_view", [True, False])
def test_part_of_the_cells(adata, as_view):
    rows = adata.obs["donor_id"].isin(adata.obs["donor_id"].unique()[:9]).to_numpy()
    part = adata[rows] if as_view else adata[rows].copy()
    before = snapshot(part)
    table = get.age_df(part)
    pd.testing.assert_frame_equal(plain(table), plain(get.age_df(adata)[rows]))
    if as_view:
        assert_drawn(part)
    assert part.is_view == as_view
    assert_unchanged(part, before)


def test_part_of_the_genes(adata):
    part = adata[:, ::7].copy()
    assert_same_tables(part, adata)


def halves(adata):
    first = adata.obs["donor_id"].isin(adata.obs["donor_id"].unique()[::2]).to_numpy()
    return [adata[first].copy(), adata[~first].copy()]


def test_concat_keeps_what_belongs_to_cells(adata):
    """AnnData drops ``uns`` by default: readers then say which tool to run."""
    joined = ad.concat(halves(adata))
    order = adata.obs_names.get_indexer(joined.obs_names)
    for name in WRITTEN["obs"]:
        values = joined.obs[name].astype(object).to_numpy()
        expected = adata.obs[name].astype(object).to_numpy()[order]
        pd.testing.assert_extension_array_equal(pd.array(values), pd.array(expected))
    for name in WRITTEN["obsm"]:
        np.testing.assert_array_equal(
            np.asarray(joined.obsm[name]), np.asarray(adata.obsm[name])[order]
        )
    for table in TABLES.values():
        with pytest.raises(KeyError, match=r"No result under .*Run `sctools.tl"):
            table(joined)
    for figure in FIGURES.values():
        with pytest.raises(KeyError, match=r"No (result|network) under .*Run `sctools\."):
            figure(joined, show=False)
    # Whoever runs a tool again is not overwritten unasked.
    with pytest.raises(ValueError, match=r"would overwrite .*Choose another name"):
        tl.srsa_vae(joined, models()["srsa_vae"])
    tl.srsa_vae(joined, models()["srsa_vae"], key_added="again")
    np.testing.assert_allclose(joined.obsm["X_again"], joined.obsm["X_srsa_vae"], atol=1e-4)


@pytest.mark.parametrize("uns_merge", ["same", "first", "unique"])
def test_concat_of_one_result(adata, uns_merge):
    joined = ad.concat(halves(adata), uns_merge=uns_merge)
    joined = joined[adata.obs_names].copy()
    assert_same_tables(joined, adata)
    if uns_merge == "first":
        assert_drawn(joined)


@pytest.mark.parametrize("uns_merge", ["same", "first", "unique"])
def test_concat_of_two_results(uns_merge):
    """Cells of both are read; tables of donors are of what the merge kept, or missing, and told."""
    parts = halves(cohort())
    for part in parts:
        tl.age_clock(part, models()["age_clock"])
    joined = ad.concat(parts, uns_merge=uns_merge)
    cells = get.age_df(joined)
    expected = pd.concat([get.age_df(part) for part in parts])
    pd.testing.assert_frame_equal(plain(cells), plain(expected))
    if uns_merge == "first":
        assert len(get.donor_age_df(joined)) == len(get.donor_age_df(parts[0]))
        assert len(get.donor_age_df(joined, groupby="cell_type")["donor"].unique()) == 14
    else:
        with pytest.raises((KeyError, ValueError), match=r"sctools.tl.age_clock"):
            get.donor_age_df(joined)
    tl.age_clock(joined, models()["age_clock"])
    assert len(get.donor_age_df(joined)) == 14


# ------------------------------------------------------------------------- scanpy


def test_umap_is_coloured_by_results(adata):
    colors = ["age_clock", "age_clock_acceleration", "age_clock_fold", "srsa_vae",
              "prior_transformer", "prior_transformer_confidence"]  # fmt: skip
    adata = adata.copy()
    axes = sc.pl.umap(adata, color=colors, show=False)
    assert len(axes) == len(colors)
    for ax, color in zip(axes, colors, strict=True):
        points = [c for c in ax.collections if isinstance(c, PathCollection)]
        assert sum(len(c.get_offsets()) for c in points) == adata.n_obs
        if pd.api.types.is_numeric_dtype(adata.obs[color]):
            shown = np.sort(np.asarray(points[0].get_array()))
            np.testing.assert_allclose(shown, np.sort(adata.obs[color]), rtol=1e-6)


def test_genes_of_components_are_ranked(adata):
    adata = adata.copy()
    sizes = adata.obs["srsa_vae"].value_counts()
    sc.tl.rank_genes_groups(adata, "srsa_vae", groups=sizes.index[:1].tolist(), method="t-test")
    assert adata.uns["rank_genes_groups"]["names"].dtype.names == (sizes.index[0],)


def ranked(scores, groupby="cell_type"):
    sc.tl.rank_genes_groups(scores, groupby, method="t-test")
    return sc.get.rank_genes_groups_df(scores, group=None)


def test_regulators_are_ranked(adata):
    """TF scores as an AnnData of their own: what decoupler's `get_obsm` makes."""
    table = adata.obsm["prior_transformer_tf"]
    scores = ad.AnnData(table, obs=adata.obs)
    found = ranked(scores)
    assert set(found["names"]) == set(table.columns)
    assert set(found["group"]) == set(adata.obs["cell_type"])
    best = found.loc[found["scores"].idxmax()]
    groups = table[best["names"]].groupby(adata.obs["cell_type"], observed=True).mean()
    assert groups.idxmax() == best["group"]


def test_regulators_through_decoupler(adata):
    decoupler = pytest.importorskip("decoupler")
    scores = decoupler.pp.get_obsm(adata, "prior_transformer_tf")
    assert scores.var_names.tolist() == adata.obsm["prior_transformer_tf"].columns.tolist()
    pd.testing.assert_frame_equal(
        ranked(scores), ranked(ad.AnnData(adata.obsm["prior_transformer_tf"], obs=adata.obs))
    )
    assert scores.obs["prior_transformer"].equals(adata.obs["prior_transformer"])


# ------------------------------------------------------------------------- containers

TOOLS = ["age_clock", "srsa_vae", "prior_transformer"]


def applied(name, data, **kwargs):
    """Apply a trained model; return what it wrote for each cell."""
    if name == "age_clock":
        tl.age_clock(data, models()[name], **kwargs)
        return data.obs["age_clock"].to_numpy()
    tool = getattr(tl, name)
    tool(data, model=models()[name], **kwargs)
    return np.asarray(data.obsm[f"X_{name}"])


@pytest.fixture(scope="module")
def answers():
    return {name: applied(name, cohort()) for name in TOOLS}


@pytest.mark.parametrize("name", TOOLS)
def test_raw_is_neither_read_nor_changed(answers, name):
    full = cohort()
    other = full.copy()
    other.X = other.X * 2  # so that reading it would show
    full.raw = other
    before = snapshot(full)["raw"]
    np.testing.assert_array_equal(applied(name, full), answers[name])
    now = snapshot(full)["raw"]
    np.testing.assert_array_equal(now["X"].toarray(), before["X"].toarray())
    pd.testing.assert_frame_equal(now["var"], before["var"])


@pytest.mark.parametrize("name", TOOLS)
def test_training_with_raw(name):
    """``raw`` with all genes, ``X`` with some of them: a common state of objects."""
    full = cohort()
    full.raw = full.copy()
    data = full[:, 5:].copy()
    before = snapshot(data)
    if name == "srsa_vae":
        tl.srsa_vae(data, **VAE)
    elif name == "prior_transformer":
        tl.prior_transformer(data, "cell_type", "prior", **PRIOR)
    else:
        tl.age_clock(data, method="ridge", n_folds=2)
    now = snapshot(data)
    np.testing.assert_array_equal(now["raw"]["X"].toarray(), before["raw"]["X"].toarray())
    np.testing.assert_array_equal(now["X"].toarray(), before["X"].toarray())
    assert now["raw"]["var"].equals(before["raw"]["var"])


@pytest.mark.parametrize("name", TOOLS)
def test_a_view_becomes_an_object_of_its_own(answers, name):
    parent = cohort()
    # Whole donors: a donor's cells share part of their age.
    rows = parent.obs["donor_id"].isin(parent.obs["donor_id"].unique()[:9]).to_numpy()
    before, view = snapshot(parent), parent[rows]
    np.testing.assert_allclose(applied(name, view), answers[name][rows], rtol=0, atol=1e-4)
    assert_unchanged(parent, before)


@pytest.mark.parametrize("mode", ["r", "r+"])
@pytest.mark.parametrize("name", TOOLS)
def test_a_backed_file_is_only_read(answers, name, mode, tmp_path):
    path = tmp_path / "cells.h5ad"
    cohort().write_h5ad(path)
    backed = ad.read_h5ad(path, backed=mode)
    np.testing.assert_allclose(applied(name, backed), answers[name], rtol=0, atol=1e-4)
    assert backed.isbacked
    backed.file.close()
    back = ad.read_h5ad(path)
    assert set(back.obs) == set(cohort().obs)
    np.testing.assert_array_equal(back.X.toarray(), cohort().X.toarray())


@pytest.mark.parametrize("name", TOOLS)
def test_rna_modality_of_a_mudata(answers, name, tmp_path):
    import mudata as md

    other = ad.AnnData(np.ones((cohort().n_obs, 3), dtype=np.float32), obs=cohort().obs[[]].copy())
    other.var_names = ["a", "b", "c"]
    mdata = quietly_joined({"rna": cohort(), "prot": other})
    np.testing.assert_array_equal(applied(name, mdata.mod["rna"]), answers[name])
    mdata.write_h5mu(tmp_path / "cells.h5mu")
    back = md.read_h5mu(tmp_path / "cells.h5mu")
    assert set(mdata.mod["rna"].uns) == set(back.mod["rna"].uns)
    back.pull_obs()
    column = {"age_clock": "rna:age_clock"}.get(name, f"rna:{name}")
    assert back.obs[column].notna().all()


# ------------------------------------------------------------------------- categories

CATEGORIES = {
    "unused": lambda c: c.cat.add_categories(["unused", "αβ T cell"]),
    "ordered": lambda c: c.cat.as_ordered(),
    "other order": lambda c: c.cat.reorder_categories(c.cat.categories[::-1]),
    "text": lambda c: c.astype(str),
    "objects": lambda c: c.astype(object),
    "pandas strings": lambda c: c.astype("string"),
    "categories of pandas strings": lambda c: c.astype("string").astype("category"),
}


@pytest.mark.parametrize("kind", CATEGORIES)
@pytest.mark.parametrize("name", TOOLS)
def test_storage_of_categories_changes_nothing(answers, name, kind):
    adata = cohort()
    for column in ("donor_id", "cell_type"):
        adata.obs[column] = CATEGORIES[kind](adata.obs[column].astype("category"))
    kwargs = {
        "srsa_vae": {"labels_key": "cell_type"},
        "prior_transformer": {"groupby": "cell_type"},
    }
    before = adata.obs.copy()
    np.testing.assert_array_equal(applied(name, adata, **kwargs.get(name, {})), answers[name])
    pd.testing.assert_frame_equal(adata.obs[before.columns], before)


@pytest.mark.parametrize("kind", CATEGORIES)
def test_storage_of_categories_and_the_readers(adata, kind):
    other = adata.copy()
    for column in ("donor_id", "cell_type", "group"):
        other.obs[column] = CATEGORIES[kind](other.obs[column].astype("category"))
    for name in ("age_df", "age_genes_df", "attention_df", "donor_age_df"):
        pd.testing.assert_frame_equal(
            plain(TABLES[name](other)), plain(TABLES[name](adata)), check_dtype=False
        )
    assert set(as_groups(other.obs["cell_type"]).cat.categories) == set(adata.obs["cell_type"])
    if kind in ("unused", "pandas strings"):
        assert_drawn(other)
