"""Prediction from blocks of CSR rows against the layers, cell by cell."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from sctools.model import AgeClock

from .._clocks import small_cohort


@pytest.fixture(scope="module")
def clock():
    adata = small_cohort()
    AgeClock.setup_anndata(adata)
    clock = AgeClock(adata, n_repeats=1, n_hidden=16, head=(8,))
    clock.train(max_epochs=3, lr=3e-3, progress_bar=False)
    return clock


def layered_ages(clock, adata):
    """Ages of cells on their own: numpy normalisation, caps, layers in float64, line."""
    X = adata.X.toarray().astype(np.float64)
    x = np.log1p(X / X.sum(axis=1, keepdims=True) * clock.target_sum)
    part = copy.deepcopy(clock.module.parts[0]).double().eval()
    kinds = clock.categories[0]["cell_type"]
    codes = torch.tensor([[kinds.index(kind)] for kind in adata.obs["cell_type"]])
    capped = torch.minimum(torch.from_numpy(x)[:, part.genes], part.cap)
    with torch.no_grad():
        output = part(capped, codes).mean(dim=0).numpy()
    intercept, slope = part.cell_line.tolist()
    assert slope > 1
    return intercept + slope * output


@pytest.mark.parametrize("cap", [None, 2.0])
def test_cells_on_their_own_are_aged_as_the_layers_say(clock, cap):
    adata = small_cohort()
    before = clock.module.parts[0].cap.clone()
    plain = clock.predict(adata, donor_key=None)
    try:
        if cap is not None:
            clock.module.parts[0].cap.fill_(cap)
        found = clock.predict(adata, donor_key=None)
        np.testing.assert_allclose(found, layered_ages(clock, adata), rtol=0, atol=1e-4)
    finally:
        clock.module.parts[0].cap.copy_(before)
    assert (np.abs(found - plain).max() > 0.1) == (cap is not None)


def test_the_cells_of_a_type_in_a_donor_keep_their_order(clock):
    adata = small_cohort()
    alone = clock.predict(adata, donor_key=None)
    together = clock.predict(adata)
    groups = adata.obs.reset_index().groupby(["donor_id", "cell_type"], observed=True).indices
    several = [rows for rows in groups.values() if len(rows) > 2]
    assert len(several) > 20
    for rows in several:
        assert np.corrcoef(alone[rows], together[rows])[0, 1] == pytest.approx(1)


def test_specific_ages_borrow_nothing_from_other_types(clock):
    adata = small_cohort()
    changed = adata.copy()
    other = (adata.obs["cell_type"] == "T cell").to_numpy()
    rng = np.random.default_rng(0)
    rows = np.flatnonzero(other)
    order = np.arange(adata.n_obs)
    order[rows] = rng.permutation(rows)
    changed.X = adata.X[order]  # T cells of other donors
    predicted, specific = clock.predict(adata, return_specific=True)
    np.testing.assert_array_equal(predicted, clock.predict(adata))
    predicted_then, specific_then = clock.predict(changed, return_specific=True)
    assert np.abs(predicted_then - predicted)[~other].max() > 1
    np.testing.assert_allclose(specific_then[~other], specific[~other], atol=1e-3)
    assert np.abs(specific_then - specific)[other].max() > 1


def test_what_is_borrowed_is_the_same_for_all_cells_of_a_donor(clock):
    adata = small_cohort()
    predicted, specific = clock.predict(adata, return_specific=True)
    borrowed = predicted - specific
    donors = adata.obs.groupby("donor_id", observed=True).indices
    spread = [np.ptp(borrowed[rows]) for rows in donors.values()]
    assert max(spread) < 1e-6
    assert np.ptp(borrowed) > 1
    donor_age = adata.obs.assign(s=specific).groupby("donor_id", observed=True)[["age", "s"]].mean()
    assert donor_age["age"].corr(donor_age["s"]) > 0.6
    assert abs((donor_age["s"] - donor_age["age"]).mean()) < 10
    alone, same = clock.predict(adata, donor_key=None, return_specific=True)
    np.testing.assert_array_equal(alone, same)
