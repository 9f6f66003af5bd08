"""The fuzzer's judge: functions that misbehave in one way each are caught, others are not."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from .._documented import documented_errors
from ..fuzz._case import Case, Subject
from ..fuzz._checker import attempt

HERE = str(Path(__file__).parent)


def small():
    rng = np.random.default_rng(0)
    adata = ad.AnnData(sparse.csr_matrix(rng.poisson(1.0, (6, 4)).astype(np.float32)))
    adata.obs["group"] = pd.Categorical(list("aabbcc"))
    adata.obs["score"] = 1.0
    adata.layers["counts"] = adata.X.copy()
    adata.obsm["X_pca"] = np.zeros((6, 2))
    adata.uns["mine"] = {"list": [1, 2]}
    adata.raw = adata.copy()
    return adata


def judged(function, tmp_path, *, base=small, view=False, seconds=5.0, then=(), **kwargs):
    """Problems of a call of ``function``, whose docstring allows ValueError and KeyError."""
    function.__doc__ = "Do it.\n\nRaises\n------\nKeyError\n    Missing.\nValueError\n    Bad.\n"
    subject = Subject(
        "it", function, base, dict, writes=lambda key, kwargs: ("result",), then=tuple(then)
    )
    case = Case(subject, base(), dict(kwargs), tmp_path)
    if view:
        case.parents.append(case.data)
        case.data = case.data[:4]
    return attempt(case, seconds=seconds, source=HERE)


def good(adata, *, copy=False, **kwargs):
    adata = adata.copy() if copy else adata
    adata.obs["result"] = 1.0
    adata.obsm["result"] = np.ones((adata.n_obs, 2))
    adata.uns["result"] = {"params": {"a": 1}}
    return adata if copy else None


def good_error(adata):
    raise ValueError("`x` is wrong")


def chained_error(adata):
    try:
        np.zeros(-1)
    except ValueError as error:
        raise ValueError("`x` is wrong") from error


@pytest.mark.parametrize("function", [good, good_error, chained_error])
@pytest.mark.parametrize("view", [False, True])
def test_the_well_behaved_pass(function, view, tmp_path):
    outcome = judged(function, tmp_path, view=view)
    assert outcome.problems == []
    assert outcome.error == ("" if function is good else "ValueError")


def test_a_copy_is_looked_at(tmp_path):
    assert judged(good, tmp_path, copy=True).problems == []

    def both(adata, *, copy):
        good(adata)
        return adata.copy()

    assert any("changed: obs" in p for p in judged(both, tmp_path, copy=True).problems)


def test_columns_whose_names_are_numbers(tmp_path):
    def numbered():
        adata = small()
        adata.obs = pd.DataFrame({3: 1.0}, index=adata.obs_names)
        return adata

    def stays(adata):
        adata.obs["result"] = 1.0  # the names of all columns are of another dtype now

    assert judged(stays, tmp_path, base=numbered).problems == []

    def renames(adata):
        adata.obs.columns = ["3"]

    assert any("changed: obs" in p for p in judged(renames, tmp_path, base=numbered).problems)


# ------------------------------------------------------------------------- exceptions


def undocumented(adata):
    raise RuntimeError("no")


def from_numpy(adata):
    np.zeros(-1)


def from_python(adata):
    int("x")


def key_of_a_mapping(adata):
    {}["a"]


def index_of_a_list(adata):
    [][0]


def from_pandas(adata):
    adata.obs["absent"]


def asserts(adata):
    assert adata.n_obs == 0


def stops(adata):
    raise SystemExit


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (undocumented, "RuntimeError is not documented"),
        (index_of_a_list, "IndexError is not documented"),
        (asserts, "AssertionError is not documented"),
        (stops, "SystemExit is not documented"),
        (from_numpy, "ValueError is not of our own"),
        (from_python, "ValueError is not of our own"),
        (key_of_a_mapping, "KeyError is not of our own"),
        (from_pandas, "KeyError is not of our own"),
    ],
)
def test_other_exceptions_are_caught(function, message, tmp_path):
    problems = judged(function, tmp_path).problems
    assert len(problems) == 1
    assert problems[0].startswith(message)


def test_an_interruption_by_the_user_is_not_held_up(tmp_path):
    def interrupted(adata):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judged(interrupted, tmp_path)


def test_hanging_is_caught(tmp_path):
    def hangs(adata):
        for _ in itertools.count():
            try:
                sum(range(1000))
            except Exception:  # as careless code does
                continue

    outcome = judged(hangs, tmp_path, seconds=0.2)
    assert outcome.error == "Hang"
    assert outcome.problems == ["no answer within 0.2 s"]


# ------------------------------------------------------------------------- changes


def in_x(adata):
    adata.X.data[0] += 1


def x_of_another_dtype(adata):
    adata.X = adata.X.astype(np.float64)


def x_of_another_format(adata):
    adata.X = adata.X.tocsc()


def unsorted(adata):
    adata.X.indices[:2] = adata.X.indices[:2][::-1].copy()
    adata.X.data[:2] = adata.X.data[:2][::-1].copy()


def in_a_layer(adata):
    adata.layers["counts"].data[0] = 9


def in_raw(adata):
    adata.raw.X.data[0] = 9


def order_of_categories(adata):
    adata.obs["group"] = adata.obs["group"].cat.reorder_categories(["c", "b", "a"])


def unused_category(adata):
    adata.obs["group"] = adata.obs["group"].cat.add_categories(["d"])


def new_column(adata):
    adata.obs["other"] = 1


def order_of_columns(adata):
    adata.obs = adata.obs[adata.obs.columns[::-1]]


def names_of_cells(adata):
    adata.obs_names = [f"c{i}" for i in range(adata.n_obs)]


def in_var(adata):
    adata.var["other"] = 1


def in_obsm(adata):
    adata.obsm["X_pca"][0] = 1


def deep_in_uns(adata):
    adata.uns["mine"]["list"].append(3)


def new_key_of_uns(adata):
    adata.uns["other"] = 1


CHANGES = [
    (in_x, "X"), (x_of_another_dtype, "X"), (x_of_another_format, "X"), (unsorted, "X"),
    (in_a_layer, "layers"), (in_raw, "raw"), (order_of_categories, "obs"),
    (unused_category, "obs"), (new_column, "obs"), (order_of_columns, "obs"),
    (names_of_cells, "obs"), (in_var, "var"), (in_obsm, "obsm"), (deep_in_uns, "uns"),
    (new_key_of_uns, "uns"),
]  # fmt: skip


@pytest.mark.parametrize("fails", [True, False])
@pytest.mark.parametrize(
    ("change", "slot"), CHANGES, ids=lambda part: getattr(part, "__name__", "")
)
def test_changes_are_caught(change, slot, fails, tmp_path):
    def changes(adata):
        change(adata)
        if fails:
            raise ValueError("`x` is wrong")

    problems = judged(changes, tmp_path).problems
    assert any(problem.startswith(f"changed: {slot} ") for problem in problems), problems


def test_what_may_be_written_stays_out_after_an_error(tmp_path):
    def writes_first(adata):
        good(adata)
        raise ValueError("too late")

    problems = judged(writes_first, tmp_path).problems
    assert {problem.split()[1] for problem in problems} == {"obs", "obsm", "uns"}


def test_changes_of_the_parent_are_caught(tmp_path):
    def in_the_parent(adata):
        adata._adata_ref.X.data[0] += 1

    assert any("the parent's X" in p for p in judged(in_the_parent, tmp_path, view=True).problems)


def test_changes_of_arguments_are_caught(tmp_path):
    def takes_out(adata, *, options):
        options.pop("a")

    outcome = judged(takes_out, tmp_path, options={"a": 1})
    assert outcome.problems == ["the arguments were changed"]


def draws_numpy(adata):
    np.random.rand()  # noqa: NPY002


def draws_python(adata):
    random.random()


def draws_torch(adata):
    torch.rand(1)


def forbids_gradients(adata):
    torch.set_grad_enabled(False)


@pytest.mark.parametrize("function", [draws_numpy, draws_python, draws_torch, forbids_gradients])
def test_changes_of_the_global_state_are_caught(function, tmp_path):
    try:
        assert judged(function, tmp_path).problems == ["the global state was changed"]
    finally:
        torch.set_grad_enabled(True)


# ------------------------------------------------------------------------- results


def test_a_result_that_cannot_be_stored_is_caught(tmp_path):
    def unstorable(adata):
        adata.uns["result"] = {"params": object()}

    (problem,) = judged(unstorable, tmp_path).problems
    assert problem.startswith("the result cannot be stored")


def test_a_reader_that_cannot_read_the_result_is_caught(tmp_path):
    def reader(adata, key):
        raise AttributeError("no")

    (problem,) = judged(good, tmp_path, then=[reader]).problems
    assert problem.startswith("then reader: AttributeError is not documented")
    # After an error there is nothing to read.
    assert judged(good_error, tmp_path, then=[reader]).problems == []


def test_documented_errors():
    def function():
        """Do it.

        Parameters
        ----------
        x
            A TypeError is not meant.

        Raises
        ------
        KeyError
            Missing.
        OSError
            No network; ``ImportError`` where the extra is missing.

        Notes
        -----
        A ValueError is not meant either.
        """

    assert documented_errors(function) == (KeyError, OSError, ImportError)
    assert documented_errors(lambda: None) == ()
