"""Averages, copies and files of clocks, and predictions for donors against a plain computation."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sctools import settings
from sctools.model import AgeClock, _age_clock

from .._clocks import small_cohort


def train(adata, seed):
    AgeClock.setup_anndata(adata, covariate_keys=["sex"])
    clock = AgeClock(adata, n_repeats=1, n_hidden=16, head=(8,))
    clock.train(max_epochs=3, lr=3e-3, rng=seed, progress_bar=False)
    return clock


@pytest.fixture(scope="module")
def clocks():
    """Clocks of overlapping donors, one of which saw two cell types only."""
    adata = small_cohort()
    donors = adata.obs["donor_id"].astype(str)
    two_types = (adata.obs["cell_type"] != "T cell").to_numpy()
    rows = [donors.isin(donors.unique()[:13]).to_numpy(), two_types]
    return [train(adata[chosen].copy(), seed) for seed, chosen in enumerate(rows)]


@pytest.fixture(scope="module")
def cohort():
    return small_cohort()


@pytest.fixture(scope="module")
def predictions(clocks, cohort):
    with pytest.warns(UserWarning, match="not seen in training"):
        return [clock.predict(cohort) for clock in clocks]


@pytest.fixture(scope="module")
def average(clocks):
    return AgeClock.average(clocks)


@pytest.fixture
def copied(clocks):
    """A clock of one's own, to be changed at will."""
    return clocks[0].split()[0]


# ------------------------------------------------------------------ average and split


def test_an_average_predicts_the_mean(average, predictions, cohort):
    assert np.abs(predictions[0] - predictions[1]).max() > 1
    assert np.ptp(predictions[0]) > 1
    found = average.predict(cohort)
    np.testing.assert_allclose(found, np.mean(predictions, axis=0), rtol=0, atol=1e-6)


def test_an_average_of_cells_on_their_own(average, clocks, cohort):
    known = cohort[cohort.obs["cell_type"] != "T cell"]
    alone = [clock.predict(known, donor_key=None) for clock in clocks]
    assert np.abs(alone[0] - alone[1]).max() > 1
    found = average.predict(known, donor_key=None)
    np.testing.assert_allclose(found, np.mean(alone, axis=0), rtol=0, atol=1e-6)


def test_averages_of_averages_count_every_part_alike(average, clocks, predictions, cohort):
    found = AgeClock.average([average, clocks[0]])
    assert len(found.module.parts) == 3
    expected = (2 * predictions[0] + predictions[1]) / 3
    np.testing.assert_allclose(found.predict(cohort), expected, rtol=0, atol=1e-6)


def test_split_gives_back_the_clocks(average, clocks, predictions, cohort):
    parts = average.split()
    assert len(parts) == 2
    for part, clock, expected in zip(parts, clocks, predictions, strict=True):
        assert part.is_trained_
        assert part.categories == clock.categories
        if clock is clocks[0]:
            found = part.predict(cohort)
        else:
            with pytest.warns(UserWarning, match="not seen in training"):
                found = part.predict(cohort)
        np.testing.assert_array_equal(found, expected)


def memory(clock):
    """Addresses of a clock's tensors and of what else could be changed in place."""
    tensors = [value for value in clock.module.state_dict().values() if value.numel()]
    owned = [
        clock.genes,
        clock.keys,
        clock.keys["covariate_keys"],
        clock.network_settings,
        clock.network_settings["head"],
        clock.categories,
        *clock.categories,
        *(labels for categories in clock.categories for labels in categories.values()),
    ]
    return [value.untyped_storage().data_ptr() for value in tensors] + [id(o) for o in owned]


def test_averages_and_splits_share_nothing(clocks):
    average = AgeClock.average(clocks)
    family = [*clocks, average, *average.split(), *clocks[0].split()]
    addresses = [address for clock in family for address in memory(clock)]
    assert len(set(addresses)) == len(addresses)


def test_an_average_needs_trained_clocks(clocks):
    untrained = AgeClock(clocks[0].adata, n_repeats=1)
    for wrong in ([], [untrained], [clocks[0], untrained]):
        with pytest.raises(ValueError, match="at least one clock, all of them trained"):
            AgeClock.average(wrong)


@pytest.mark.parametrize(
    ("name", "attribute", "value"),
    [
        ("genes", "genes", ["A", "B"]),
        ("keys", "keys", {"cell_type_key": None}),
        ("target_sum", "target_sum", 1e6),
        ("network", "network_settings", {"n_hidden": 16}),
        ("age_unit", "age_unit", "weeks"),
    ],
)
def test_only_like_clocks_average(clocks, copied, name, attribute, value):
    AgeClock.average([clocks[0], copied])
    setattr(copied, attribute, value)
    for pair in ([clocks[0], copied], [copied, clocks[0]]):
        with pytest.raises(ValueError, match=rf"differ in '{name}'"):
            AgeClock.average(pair)


def test_the_order_of_genes_matters_to_an_average(clocks, copied):
    copied.genes.reverse()
    with pytest.raises(ValueError, match="differ in 'genes'"):
        AgeClock.average([clocks[0], copied])


# ------------------------------------------------------------------------- saved clocks


def test_a_loaded_clock_asks_for_data(clocks, predictions, cohort, tmp_path):
    clocks[0].save(tmp_path / "clock")
    loaded = AgeClock.load(tmp_path / "clock")
    with pytest.raises(ValueError, match="Pass `adata`"):
        loaded.predict()
    with pytest.raises(ValueError, match="has no data: it was loaded or averaged"):
        loaded.train()
    np.testing.assert_array_equal(loaded.predict(cohort), predictions[0])


def test_an_average_can_be_saved(average, cohort, tmp_path):
    average.save(tmp_path)
    np.testing.assert_array_equal(AgeClock.load(tmp_path).predict(cohort), average.predict(cohort))


def test_save_replaces_nothing_unasked(clocks, average, cohort, tmp_path):
    clocks[0].save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(FileExistsError, match="overwrite=True"):
        average.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    average.save(tmp_path, overwrite=True)
    np.testing.assert_array_equal(AgeClock.load(tmp_path).predict(cohort), average.predict(cohort))


def test_an_untrained_clock_neither_saves_nor_predicts(clocks, cohort, tmp_path):
    untrained = AgeClock(clocks[0].adata, n_repeats=1)
    with pytest.raises(ValueError, match="not trained yet"):
        untrained.save(tmp_path / "clock")
    with pytest.raises(ValueError, match="not trained yet"):
        untrained.predict(cohort)
    assert not list(tmp_path.iterdir())


def test_without_adata_the_training_data_are_predicted(clocks):
    clock = clocks[1]
    np.testing.assert_array_equal(clock.predict(), clock.predict(clock.adata))


# ---------------------------------------------------------------------- progress bar


@pytest.mark.parametrize(
    ("argument", "setting", "expected"),
    [(None, True, 1), (None, False, 0), (True, False, 1), (False, True, 0)],
)
def test_progress_bar_follows_the_settings(clocks, monkeypatch, argument, setting, expected):
    totals = []
    progress = _age_clock.progress

    def spy(total, description):
        totals.append(total)
        return progress(None, description)

    monkeypatch.setattr(_age_clock, "progress", spy)
    settings.progress_bar = setting
    clock = AgeClock(clocks[0].adata, n_repeats=1, n_hidden=4, head=())
    clock.train(max_epochs=1, steps_per_epoch=1, progress_bar=argument)
    assert [int(total or 0) for total in totals] == [expected]


# ------------------------------------------------------------- donors, the plain way


def plain_ages(clock, adata):
    """Ages of donors and cells from dense float64 means and the layers of the networks."""
    part = copy.deepcopy(clock.module.parts[0]).double().eval()
    counts = adata.X.toarray().astype(np.float64)
    x = np.log1p(counts / counts.sum(axis=1, keepdims=True) * clock.target_sum)
    x = np.minimum(x[:, part.genes.numpy()], part.cap.numpy())
    codes = np.array(
        [
            [clock.categories[0][name].index(label) for name, label in row.items()]
            for _, row in adata.obs[["cell_type", "sex"]].astype(str).iterrows()
        ]
    )

    def output(values, code):
        with torch.no_grad():
            return part(torch.from_numpy(values), torch.from_numpy(code)).mean(dim=0).numpy()

    donor = adata.obs["donor_id"].astype(str).to_numpy()
    intercept, slope, ridge_slope = part.donor_line.tolist()
    ages, by_cell = {}, np.empty(len(x))
    for name in np.unique(donor):
        weights, outputs, ridge, deviation = [], [], part.ridge_intercept.item(), {}
        for kind in np.unique(codes[donor == name, 0]):
            rows = np.flatnonzero((donor == name) & (codes[:, 0] == kind))
            mean = x[rows].mean(axis=0, keepdims=True)
            (of_type,) = output(mean, codes[rows[:1]])
            z = (mean[0] - part.center[kind].numpy()) * part.scale.numpy()
            ridge += z @ part.ridge[kind].numpy()
            weights.append(np.sqrt(len(rows)))
            outputs.append(of_type)
            of_cells = output(x[rows], codes[rows])
            deviation |= zip(rows, of_cells - of_cells.mean() + of_type, strict=True)
        network = np.average(outputs, weights=weights)
        ages[name] = intercept + slope * network + ridge_slope * ridge
        middle = np.mean(list(deviation.values()))
        for row, value in deviation.items():
            by_cell[row] = ages[name] + min(2 * slope, part.age[1].item()) * (value - middle)
    return ages, by_cell


def donor_means(ages, adata):
    donor = adata.obs["donor_id"].astype(str).to_numpy()
    return {name: ages[donor == name].mean() for name in np.unique(donor)}


@pytest.fixture(
    scope="module", params=[(None, 6.0), (2.0, 6.0), (None, 60.0)], ids=["as is", "caps", "steep"]
)
def plain(request, clocks, cohort):
    """A clock with slopes that count, its predictions, and the same by hand."""
    cap, slope = request.param
    clock = clocks[0].split()[0]
    part = clock.module.parts[0]
    if cap is not None:
        part.cap.fill_(cap)
    part.donor_line[1:].copy_(torch.tensor([slope, 9.0]))
    assert (slope * 2 > part.age[1]) == (slope == 60)
    ages, by_cell = plain_ages(clock, cohort)
    found = clock.predict(cohort)
    return SimpleNamespace(clock=clock, found=found, ages=ages, by_cell=by_cell)


def test_caps_matter(clocks, cohort, predictions):
    clock = clocks[0].split()[0]
    clock.module.parts[0].cap.fill_(2.0)
    assert np.abs(clock.predict(cohort) - predictions[0]).max() > 0.1


def test_donors_are_aged_as_the_layers_and_the_ridge_say(plain, cohort):
    found = donor_means(plain.found, cohort)
    assert found.keys() == plain.ages.keys()
    for donor, age in plain.ages.items():
        assert found[donor] == pytest.approx(age, rel=0, abs=1e-4), donor
    assert np.ptp(list(found.values())) > 1


def test_cells_are_aged_as_the_layers_and_the_ridge_say(plain):
    np.testing.assert_allclose(plain.found, plain.by_cell, rtol=0, atol=1e-4)


def test_deviations_of_cells_sum_to_zero_in_every_donor(plain, cohort):
    clock = plain.clock.split()[0]
    clock.module.parts[0].age[1] = 0.0  # cells no longer deviate
    level = clock.predict(cohort)
    donor = cohort.obs["donor_id"].astype(str).to_numpy()
    for name in np.unique(donor):
        rows = donor == name
        assert len(set(level[rows])) == 1
        deviation = (plain.found - level)[rows]
        assert deviation.std() > 0.1
        assert abs(deviation.sum()) < 1e-9
