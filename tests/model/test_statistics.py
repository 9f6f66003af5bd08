from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sctools.model._age_statistics import (
    cap_values,
    gate_start,
    inner_splits,
    input_statistics,
    top_genes,
)
from sctools.model._donor_batches import Strata
from sctools.module import CLIP


def test_top_genes_are_the_highest_in_their_order():
    x = sparse.csr_matrix(np.array([[0.0, 3, 1, 2, 3], [0, 3, 2, 2, 2]]))
    np.testing.assert_array_equal(top_genes(x, 3), [1, 3, 4])
    np.testing.assert_array_equal(top_genes(x, 1), [1])
    np.testing.assert_array_equal(top_genes(x, 5), np.arange(5))
    np.testing.assert_array_equal(top_genes(x, 99), np.arange(5))


def test_cap_values():
    x = sparse.csr_matrix(np.array([[0.0, 3, 1], [2, 5, 0]]))
    before = x.copy()
    found = cap_values(x, np.array([1.0, 4.0, np.inf]))
    np.testing.assert_array_equal(found.toarray(), [[0, 3, 1], [1, 4, 0]])
    np.testing.assert_array_equal(x.toarray(), before.toarray())


def typed_strata(n_units=10, cells=200, n_genes=8, seed=0):
    """Two cell types of different level; gene 0 is silent; type 2 is never seen."""
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(n_units), 2 * cells)
    kind = np.tile(np.repeat([0, 1], cells), n_units)
    x = rng.normal(5 + 3 * kind[:, None], 1, (len(unit), n_genes)).clip(0.1)
    x[:, 0] = 0
    return Strata(sparse.csr_matrix(x.astype(np.float32)), unit, kind[:, None]), x, kind


def test_input_statistics():
    strata, x, kind = typed_strata()
    size = 4
    center, scale, cap = input_statistics(strata, 3, size, np.random.default_rng(0))
    assert [a.dtype for a in (center, scale, cap)] == [np.float32] * 3
    assert center.shape == (4, 8)
    means = np.stack([x[kind == k].mean(axis=0) for k in (0, 1)])
    np.testing.assert_allclose(center[:2], means, atol=0.1)
    # Types without cells and unknown ones are centred on everything.
    np.testing.assert_allclose(center[2:], np.tile(x.mean(axis=0), (2, 1)), atol=0.1)
    # A pseudocell of 4 has half a cell's deviation; one gene of eight does not vary.
    np.testing.assert_allclose(1 / scale, 0.5 * np.sqrt(7 / 8), rtol=0.1)
    np.testing.assert_allclose(cap[1:], center.max(axis=0)[1:] + CLIP * size * 0.5, rtol=0.1)
    assert cap[0] == np.inf


def test_input_statistics_of_silent_data_are_finite():
    strata = Strata(
        sparse.csr_matrix((4, 3), dtype=np.float32), np.arange(4), np.zeros((4, 1), int)
    )
    center, scale, cap = input_statistics(strata, 1, 5, np.random.default_rng(0))
    assert (center == 0).all()
    assert np.isfinite(scale).all()
    assert not np.isnan(cap).any()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 25), st.integers(2, 6), st.integers(1, 4), st.integers(1, 3), st.integers(0, 9)
)
def test_inner_splits(n_donors, n_folds, n_repeats, n_samples, seed):
    donor = np.repeat(np.arange(n_donors), n_samples)
    learns = inner_splits(donor, n_folds, n_repeats, np.random.default_rng(seed))
    assert learns.dtype == bool
    assert learns.shape == (min(n_folds, n_donors) * n_repeats, n_donors * n_samples)
    # Each unit is held out once per repeat, with all samples of its donor.
    np.testing.assert_array_equal((~learns).sum(axis=0), n_repeats)
    for d in range(n_donors):
        assert (learns[:, donor == d] == learns[:, [d * n_samples]]).all()
    held_out = (~learns).sum(axis=1) / n_samples
    assert held_out.max() - held_out.min() <= 1


def test_repeats_split_otherwise():
    learns = inner_splits(np.arange(30), 3, 2, np.random.default_rng(0))
    assert not any((a == b).all() for a in learns[:3] for b in learns[3:])


def planted(n_units=40, n_genes=20, seed=0):
    """Strata whose gene 3 follows age in type 0 and gene 7, downwards, in type 1."""
    rng = np.random.default_rng(seed)
    unit, kind = np.repeat(np.arange(n_units), 2), np.tile([0, 1], n_units)
    strata = Strata(sparse.csr_matrix((len(unit), n_genes)), unit, kind[:, None])
    age = rng.uniform(20, 90, n_units)
    z = rng.normal(size=(len(unit), n_genes))
    z[kind == 0, 3] += (age - 55) / 8
    z[kind == 1, 7] -= (age - 55) / 8
    return z, strata, age


def test_gates_start_at_the_correlation_with_age():
    z, strata, age = planted()
    everyone = np.ones(len(age), bool)
    for power in (1.0, 2.0):
        (gate,) = gate_start(z, strata, age, everyone, power, n_gates=1)
        r = np.max(
            [
                [abs(np.corrcoef(z[kind::2, g], age)[0, 1]) for g in range(z.shape[1])]
                for kind in (0, 1)
            ],
            axis=0,
        )
        expected = r**power / np.sqrt(np.mean(r ** (2 * power)))
        np.testing.assert_allclose(gate, expected, rtol=1e-6)
        assert set(np.argsort(-gate)[:2]) == {3, 7}


def test_gates_of_each_type():
    z, strata, age = planted()
    gates = gate_start(z, strata, age, np.ones(len(age), bool), 2.0, n_gates=3)
    assert gates.shape == (3, 20)
    assert gates[0].argmax() == 3
    assert gates[1].argmax() == 7
    assert gates[0, 7] < 0.3 * gates[1, 7]
    assert set(np.argsort(-gates[2])[:2]) == {3, 7}  # unknown types get a bit of everything
    assert np.sqrt((gates**2).mean()) == pytest.approx(1)


@pytest.mark.parametrize("n_gates", [1, 3])
def test_gates_do_not_know_the_donors_held_out(n_gates):
    z, strata, age = planted()
    learns = np.arange(len(age)) % 3 > 0
    other_age, other_z = age.copy(), z.copy()
    other_age[~learns] = age[~learns][::-1]
    other_z[~learns[strata.unit]] = 99
    a = gate_start(z, strata, age, learns, 2.0, n_gates=n_gates)
    b = gate_start(other_z, strata, other_age, learns, 2.0, n_gates=n_gates)
    np.testing.assert_array_equal(a, b)
    c = gate_start(other_z, strata, other_age, ~learns, 2.0, n_gates=n_gates)
    assert (a != c).any()


def test_strata_of_a_donor_and_type_count_as_one():
    z, strata, age = planted()
    twice = Strata(
        sparse.csr_matrix((160, 20)),
        np.repeat(strata.unit, 2),
        np.column_stack([np.repeat(strata.codes[:, 0], 2), np.tile([0, 1], 80)]),
    )
    a = gate_start(z, strata, age, np.ones(40, bool), 2.0, n_gates=1)
    b = gate_start(np.repeat(z, 2, axis=0), twice, age, np.ones(40, bool), 2.0, n_gates=1)
    np.testing.assert_allclose(a, b, rtol=1e-5)


def test_too_few_donors_or_equal_ages_give_open_gates():
    z, strata, age = planted()
    few = np.arange(len(age)) < 3
    for n_gates in (1, 3):
        assert (gate_start(z, strata, age, few, 2.0, n_gates=n_gates) == 1).all()
        same = gate_start(z, strata, age * 0 + 50, ~few, 2.0, n_gates=n_gates)
        assert (same == 1).all()
        assert same.shape == (n_gates, 20)


def test_a_type_with_few_donors_borrows_from_the_others():
    z, strata, age = planted()
    keep = (strata.codes[:, 0] == 0) | (strata.unit < 3)
    part = Strata(sparse.csr_matrix((keep.sum(), 20)), strata.unit[keep], strata.codes[keep])
    gates = gate_start(z[keep], part, age, np.ones(40, bool), 2.0, n_gates=3)
    np.testing.assert_allclose(gates[1], gates[0])
    np.testing.assert_allclose(gates[2], gates[0])


def test_silent_genes_have_closed_gates():
    z, strata, age = planted()
    z[:, 0] = 0
    (gate,) = gate_start(z, strata, age, np.ones(40, bool), 2.0, n_gates=1)
    assert gate[0] == 0
    assert np.isfinite(gate).all()
