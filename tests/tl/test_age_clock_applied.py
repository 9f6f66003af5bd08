"""A given clock on data that are not quite those it was trained on."""

from __future__ import annotations

import numpy as np
import pytest

import sctools
from sctools.model import AgeClock


@pytest.fixture(scope="module")
def cohort():
    """Training donors, new donors, and a clock whose columns have names of their own."""
    adata = sctools.datasets.aging_cohort(
        36, n_genes=300, n_age_genes=60, cells_per_donor=30, effect_size=0.3, donor_sd=0.1, rng=2
    )
    adata.obs = adata.obs.rename(columns={"donor_id": "person", "cell_type": "label"})
    new = adata.obs["person"].isin(adata.obs["person"].cat.categories[24:])
    train = adata[~new].copy()
    clock = sctools.tl.age_clock(
        train,
        donor_key="person",
        cell_type_key="label",
        model_kwargs={"n_repeats": 1},
        train_kwargs={"max_epochs": 5},
        n_folds=2,
        return_model=True,
        progress_bar=False,
    )
    return train, adata[new].copy(), clock


def error(adata, ages):
    return float(np.abs(ages - adata.obs["age"].to_numpy()).mean())


def test_missing_genes_count_as_average(cohort):
    _, new, clock = cohort
    whole = error(new, clock.predict(new, donor_key="person"))
    assert whole < 8
    rng = np.random.default_rng(0)
    for _ in range(3):
        genes = np.sort(rng.choice(new.n_vars, int(0.9 * new.n_vars), replace=False))
        with pytest.warns(UserWarning, match=r"30 of the clock's 300 genes .* are missing"):
            ages = clock.predict(new[:, genes].copy(), donor_key="person")
        # As zeros they moved the ages by decades.
        assert error(new, ages) < whole + 3


def test_the_columns_of_training_are_taken(cohort):
    _, new, clock = cohort
    sctools.tl.age_clock(new, model=clock)
    assert new.uns["age_clock"]["params"]["donor_key"] == "person"
    np.testing.assert_allclose(new.obs["age_clock"], clock.predict(new, donor_key="person"))

    renamed = new.copy()
    renamed.obs = renamed.obs.rename(columns={"label": "cell_type", "person": "donor_id"})
    sctools.tl.age_clock(renamed, model=clock)
    np.testing.assert_allclose(renamed.obs["age_clock"], new.obs["age_clock"])


def test_names_of_unseen_labels_do_not_matter(cohort):
    _, new, clock = cohort
    ages = []
    for names in (["X", "X"], ["X", "Y"]):
        other = new.copy()
        labels = other.obs["label"].astype(str).to_numpy()
        odd = np.flatnonzero(labels == "B cell")
        labels[odd] = np.resize(names, len(odd))
        other.obs["label"] = labels
        with pytest.warns(UserWarning, match="not seen in training"):
            ages.append(clock.predict(other, donor_key="person"))
    np.testing.assert_allclose(*ages)


def test_units_must_agree(cohort):
    _, new, clock = cohort
    new = new.copy()
    new.uns["age_unit"] = "months"
    columns = list(new.obs.columns)
    with pytest.raises(ValueError, match=r"in years, those of `adata` in months.*age_key=None"):
        sctools.tl.age_clock(new, model=clock, key_added="other")
    assert list(new.obs.columns) == columns
    sctools.tl.age_clock(new, model=clock, key_added="other", age_key=None)
    assert "metrics" not in new.uns["other"]


def test_training_data_without_donors(cohort):
    train, _, _ = cohort
    adata = train.copy()
    AgeClock.setup_anndata(adata, donor_key="person", cell_type_key="label")
    own = AgeClock(adata, n_repeats=1)
    own.train(max_epochs=2, progress_bar=False)
    alone = own.predict(donor_key=None)
    np.testing.assert_allclose(alone, own.predict(adata, donor_key=None))
    assert np.abs(alone - own.predict()).max() > 0.1


@pytest.mark.parametrize("name", ["sex", "age_unit"])
def test_other_data_are_not_overwritten(cohort, name):
    _, new, clock = cohort
    with pytest.raises(ValueError, match="Choose another name"):
        sctools.tl.age_clock(new, model=clock, key_added=name)


def test_a_failed_save_keeps_the_old_clock(cohort, tmp_path, monkeypatch):
    _, new, clock = cohort
    clock.save(tmp_path)
    before = AgeClock.load(tmp_path).predict(new, donor_key="person")

    def full(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr("sctools.model._saved_model.save_file", full)
    with pytest.raises(OSError, match="No space"):
        clock.save(tmp_path, overwrite=True)
    np.testing.assert_array_equal(AgeClock.load(tmp_path).predict(new, donor_key="person"), before)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clock.json", "clock.safetensors"]


@pytest.mark.parametrize("name", ["max_epochs", "pseudocell_size", "donors_per_batch"])
def test_sizes_of_training_are_checked(cohort, name):
    train, _, _ = cohort
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1, found 0"):
        sctools.tl.age_clock(
            train, donor_key="person", cell_type_key="label", train_kwargs={name: 0}
        )


def test_ages_that_are_not_finite_are_not_written(cohort):
    train, _, _ = cohort
    columns = list(train.obs.columns)
    with pytest.raises(ValueError, match="not finite"):
        sctools.tl.age_clock(
            train,
            donor_key="person",
            cell_type_key="label",
            key_added="wild",
            model_kwargs={"n_repeats": 1},
            train_kwargs={"lr": 1e30, "max_epochs": 2},
            progress_bar=False,
        )
    assert list(train.obs.columns) == columns
