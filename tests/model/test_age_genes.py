"""Importance of genes: against finite differences of predictions, and against planted genes."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from sctools.model import AgeClock
from sctools.model._age_covariates import encode_labels
from sctools.model._age_genes import (
    cell_types,
    gene_importance,
    part_views,
    read_profiles,
    unseen_units,
)
from sctools.model._age_prediction import predict_parts
from sctools.model._gene_attribution import of_donors
from sctools.pp._expression import Normalizer
from sctools.pp._map_blocks import PreparedBlock
from sctools.tl import age_clock

from .._clocks import QUICK, small_cohort

DONORS = {"donor_key": "donor_id"}


def _with_batches(adata):
    """Cells of each donor and type in two batches: several strata each."""
    batch = np.random.default_rng(0).integers(0, 2, adata.n_obs).astype(str)
    adata.obs["batch"] = pd.Categorical(batch)
    return adata


@pytest.fixture(scope="module")
def fitted():
    adata = _with_batches(small_cohort())
    settings = {**QUICK, "train_kwargs": {"max_epochs": 10, "lr": 3e-3}}
    return adata, age_clock(
        adata, covariate_keys=["batch"], **settings, progress_bar=False, return_model=True
    )


def _donor_ages(clock, adata, unit, x):
    """Age of every donor by every part, from normalised values: what ``predict`` does with them."""
    names = [clock.keys["cell_type_key"], *clock.keys["covariate_keys"]]
    labels = adata.obs[names].astype(str).reset_index(drop=True)
    ages, _ = predict_parts(
        clock.module.parts,
        sparse.csr_matrix(x),
        len(x),
        [encode_labels(labels, categories, clock.keys) for categories in clock.categories],
        prepare=lambda block: PreparedBlock(block, np.ones(len(x))),
        present=np.ones(len(clock.genes), dtype=bool),
        unit=unit,
        labels=labels,
    )
    return np.array([np.bincount(unit, a.predicted) / np.bincount(unit) for a in ages])


def test_scores_are_finite_differences_of_predictions(fitted):
    adata, clock = fitted
    clock = AgeClock.average(clock.split())
    for part in clock.module.parts:
        part.cap.fill_(torch.inf)  # else a cell at its cap takes no part
    normalize = Normalizer(
        np.arange(adata.n_vars), adata.n_vars, target_sum=clock.target_sum, log_normalized=False
    )
    x = normalize(adata.X)[0].toarray()
    profiles = read_profiles(clock, adata, **DONORS)
    unit, held_out = profiles.cohort.unit, unseen_units(clock, profiles)
    fold = adata.uns["age_clock"]["donors"]["fold"].astype(int).to_numpy()
    np.testing.assert_array_equal(held_out, fold == np.arange(len(held_out))[:, None])

    table = gene_importance(clock, profiles).set_index(["cell_type", "gene"])
    by_size = table["score"].abs().sort_values(ascending=False).index
    step = 0.02
    for cell_type, gene in [*by_size[:3], *by_size[200:203], by_size[-1]]:
        mine = (adata.obs["cell_type"] == cell_type).to_numpy()
        has = np.isin(np.arange(profiles.cohort.n_units), unit[mine])
        change = []
        for k, part in enumerate(clock.module.parts):
            one = clock.split()[k]
            moved = []
            for sign in (1, -1):
                y = x.astype(np.float64)
                y[mine, clock.genes.index(gene)] += sign * step / part.scale[0].item()
                moved.append(_donor_ages(one, adata, unit, y.astype(np.float32))[0])
            slope = (moved[0] - moved[1]) / (2 * step)
            change.append(slope[has & held_out[k]].mean())
        row = table.loc[(cell_type, gene)]
        expected = np.mean(change), np.std(change, ddof=1)
        np.testing.assert_allclose(row[["score", "score_sd"]], expected, rtol=0.02, atol=2e-3)
        same = np.mean(np.sign(change) == np.sign(expected[0]))
        assert row["agreement"] == pytest.approx(same)


def test_spread_of_genes_over_donors(fitted):
    adata, clock = fitted
    profiles = read_profiles(clock, adata, **DONORS)
    assert [kind.name for kind in cell_types(clock, profiles)] == ["B cell", "Monocyte", "T cell"]
    normalize = Normalizer(
        np.arange(adata.n_vars), adata.n_vars, target_sum=clock.target_sum, log_normalized=False
    )
    x = np.minimum(
        normalize(adata.X)[0].toarray(),
        np.min([part.cap.numpy() for part in clock.module.parts], axis=0),
    )
    mine = (adata.obs["cell_type"] == "T cell").to_numpy()
    means = pd.DataFrame(x[mine]).groupby(adata.obs.loc[mine, "donor_id"].to_numpy()).mean()
    unit = np.mean([part.scale[0].item() for part in clock.module.parts])
    table = gene_importance(clock, profiles)
    found = table.loc[table["cell_type"] == "T cell", "gene_sd"]
    np.testing.assert_allclose(found, means.std() * unit, rtol=1e-4)


def test_planted_genes_come_first_and_with_their_sign(fitted):
    adata, clock = fitted
    effect = pd.DataFrame(
        adata.varm["age_effect"], index=adata.var_names, columns=["B cell", "T cell", "Monocyte"]
    )
    profiles = read_profiles(clock, adata, **DONORS)
    attribution = clock.gene_attribution(adata, n_steps=10)
    for table in (gene_importance(clock, profiles), attribution):
        assert len(table) == 3 * adata.n_vars
        for cell_type, rows in table.groupby("cell_type", observed=True):
            score = rows.set_index("gene")["score"].astype(float)
            top = score.abs().nlargest(10).index
            true = effect.loc[top, cell_type]
            assert (true != 0).mean() >= 0.8, cell_type
            assert (np.sign(score[top]) == np.sign(true))[true != 0].mean() >= 0.8, cell_type
            assert rows.set_index("gene").loc[top, "agreement"].mean() > 0.9


def test_order_batches_and_repetition_change_nothing(fitted):
    adata, clock = fitted
    first = gene_importance(clock, read_profiles(clock, adata, **DONORS))
    again = gene_importance(clock, read_profiles(clock, adata, **DONORS))
    pd.testing.assert_frame_equal(first, again)
    shuffled = adata[np.random.default_rng(0).permutation(adata.n_obs)]
    other = gene_importance(clock, read_profiles(clock, shuffled, batch_size=50, **DONORS))
    pd.testing.assert_frame_equal(first, other, rtol=1e-3, atol=1e-5)


def test_genes_that_the_data_lack_are_not_listed(fitted):
    adata, clock = fitted
    with pytest.warns(UserWarning, match="are missing and count as average"):
        profiles = read_profiles(clock, adata[:, 5:], **DONORS)
    table = gene_importance(clock, profiles)
    assert list(table["gene"].cat.categories) == list(adata.var_names[5:])


def test_cell_types_of_few_donors_are_left_out(fitted):
    adata, clock = fitted
    rare = (adata.obs["cell_type"] == "B cell") & ~adata.obs["donor_id"].isin(["D01", "D02"])
    profiles = read_profiles(clock, adata[~rare], **DONORS)
    assert [kind.name for kind in cell_types(clock, profiles)] == ["Monocyte", "T cell"]
    one = adata[adata.obs["donor_id"] == "D01"]
    assert len(gene_importance(clock, read_profiles(clock, one, **DONORS))) == 0


def test_clock_without_cell_types():
    adata = small_cohort(9)
    clock = age_clock(adata, cell_type_key=None, **QUICK, progress_bar=False, return_model=True)
    table = gene_importance(clock, read_profiles(clock, adata, **DONORS))
    assert list(table["cell_type"].cat.categories) == ["all cells"]
    pd.testing.assert_frame_equal(table, adata.uns["age_clock"]["genes"])


def test_attributions_add_up_to_the_age(fitted):
    adata, clock = fitted
    clock = clock.split()[0]
    profiles = read_profiles(clock, adata, **DONORS)
    (view,) = part_views(clock, profiles)
    captum = pytest.importorskip("captum.attr")
    chosen = np.arange(profiles.cohort.n_units) % 3 == 0
    total = np.zeros(profiles.cohort.n_units)
    for kind in cell_types(clock, profiles):
        attribution, _ = of_donors(view, kind, chosen, captum.IntegratedGradients, 500)
        total[kind.unit[chosen[kind.unit]]] += attribution.sum(axis=1)
    # The donor whose cells are all average for their labels.
    codes = torch.from_numpy(view.codes)
    with torch.no_grad():
        average = view.output(torch.zeros(len(codes), view.n_genes), codes).double().numpy()
    intercept, slope, ridge_slope = view.part.donor_line.tolist()
    baseline = intercept + ridge_slope * float(view.part.ridge_intercept)
    baseline += slope * np.bincount(profiles.unit, profiles.share * average)
    predicted = pd.Series(clock.predict(adata)).groupby(profiles.cohort.unit).mean()
    assert np.ptp(total[chosen]) > 20  # years, so that there is something to explain
    np.testing.assert_allclose((baseline + total)[chosen], predicted[chosen], atol=0.1)


def test_attribution_of_the_ridge_regression_is_exact(fitted):
    pytest.importorskip("captum")
    adata, clock = fitted
    clock = AgeClock.average(clock.split())
    for part in clock.module.parts:
        part.donor_line[1] = 0.0  # networks do not count
    weights = gene_importance(clock, read_profiles(clock, adata, **DONORS))
    attribution = clock.gene_attribution(adata, n_steps=2)
    np.testing.assert_allclose(attribution["score"], weights["score"], atol=1e-5)
    assert attribution["score"].abs().max() > 0.1
    assert list(attribution.columns) == [*weights.columns, "mean_abs"]
    assert (attribution["mean_abs"] >= 0).all()


def test_attribution_needs_captum_training_and_new_donors(fitted, monkeypatch):
    adata, clock = fitted
    with pytest.raises(ValueError, match="not trained yet"):
        AgeClock().gene_attribution(adata)
    with pytest.raises(ValueError, match=r"`n_steps` must be at least 1"):
        clock.gene_attribution(adata, n_steps=0)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "captum", None)
        with pytest.raises(ImportError, match=r'pip install "sctools-ml\[captum\]"'):
            clock.gene_attribution(adata)
    pytest.importorskip("captum")
    seen = clock.split()[0]
    fold = adata.obs["age_clock_fold"].to_numpy()
    mine = adata[fold != "0"]
    with pytest.raises(ValueError, match=r"1 of 1 parts.*`held_out=False`"):
        seen.gene_attribution(mine)
    table = seen.gene_attribution(mine, held_out=False, n_steps=2)
    assert table["score_sd"].isna().all()
    assert (table["agreement"] == 1).all()


def test_nothing_is_left_in_the_data(fitted):
    adata, clock = fitted
    before = adata.copy()
    gene_importance(clock, read_profiles(clock, adata, **DONORS))
    assert all(p.grad is None for p in clock.module.parameters())
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    np.testing.assert_array_equal(adata.X.data, before.X.data)
