"""Checks of arguments by themselves: the message, and what passes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sctools import _arguments as check

ODD = [3, 0.5, b"x", ["x"], {"x": 1}, object, np.array([1, 2])]


@pytest.mark.parametrize("value", ODD)
def test_names(value):
    with pytest.raises(TypeError, match=r"`layer` must be a name \(text\) or None, found"):
        check.check_names(age_key="age", donor_key=None, layer=value)
    check.check_names(layer=np.str_("counts"))


@pytest.mark.parametrize(
    "value", ["c", None, 3, ["a"], {"a": 1}, np.array(["a", "b"]), pd.DataFrame(), object]
)
def test_choices(value):
    with pytest.raises(ValueError, match=r"`prior` must be 'a' or 'b', found"):
        check.check_choice(value, ("a", "b"), "prior")
    with pytest.raises(ValueError, match=r"`prior` must be one of 'a', 'b', 'd', found"):
        check.check_choice(value, {"a": 1, "b": 2, "d": 3}, "prior")
    check.check_choice(np.str_("a"), ("a", "b"), "prior")


@pytest.mark.parametrize("value", [None, 3, b"x", {"x": 1}, [3], [["x"]], float("nan"), object])
def test_lists(value):
    with pytest.raises(TypeError, match=r"`methods` must be a list of names, found"):
        check.check_list(value, "methods")
    with pytest.raises(TypeError, match=r"the string 'x'\. Write `methods=\['x'\]`"):
        check.check_list("x", "methods")
    for names in (["x", "y"], ("x", "y"), np.array(["x", "y"]), iter(["x", "y"])):
        assert check.check_list(names, "methods") == ["x", "y"]


@pytest.mark.parametrize("value", ["yes", 0.5, [], {}, object, np.array([1, 2])])
def test_flags(value):
    with pytest.raises(TypeError, match=r"`copy` must be True or False, found"):
        check.check_flags(copy=value)


@pytest.mark.parametrize("value", [True, False, None, 1, 0, np.True_])
def test_flags_that_pass(value):
    check.check_flags(copy=value)


@pytest.mark.parametrize("value", ["x", 2.0, np.float64(2), True, None, [2], float("nan")])
def test_no_whole_numbers(value):
    with pytest.raises(ValueError, match=r"`n` must be a whole number of at least 2, found"):
        check.check_whole(value, "n", at_least=2)


def test_whole_numbers():
    for value in (2, np.int64(2), np.uint8(7)):
        check.check_whole(value, "n", at_least=2)
    with pytest.raises(ValueError, match=r"`n` must be at least 2, found 1\."):
        check.check_whole(1, "n", at_least=2)
    with pytest.raises(ValueError, match=r"`n` must be at least 1, found -3\."):
        check.check_whole(np.int32(-3), "n")


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf"), "0.5", None, True, 1j])
def test_shares(value):
    with pytest.raises(ValueError, match=r"`level` must lie between 0 and 1, found"):
        check.check_share(value, "level")
    for number in (0, 1, 0.5, np.float32(0.25)):
        check.check_share(number, "level")


def test_lists_of_columns():
    assert check.check_columns(None, "keys") == []
    assert check.check_columns(("a", "b"), "keys") == ["a", "b"]
    assert check.check_columns(np.array(["a", "b"]), "keys") == ["a", "b"]
    with pytest.raises(TypeError, match=r"the string 'sex'. Write `keys=\['sex'\]`"):
        check.check_columns("sex", "keys")
    for value in (3, b"x", {"a": "b"}, ["a", 3], [["a"]], object):
        with pytest.raises(TypeError, match=r"`keys` must be a list of columns, found"):
            check.check_columns(value, "keys")


def test_options():
    check.check_options(model_kwargs=None, train_kwargs={"max_epochs": 2})
    for value in (3, "x", ["max_epochs"], [("max_epochs", 2)], {3: 4}):
        with pytest.raises(TypeError, match=r"`train_kwargs` must map names .*max_epochs.*found"):
            check.check_options(model_kwargs={}, train_kwargs=value)


def test_unknown_options_are_told_with_the_argument():
    def train(*, lr=1.0):
        return len(lr)

    with (
        pytest.raises(TypeError, match=r"`train_kwargs` has 'rate', .*correct its name") as caught,
        check.named_options("train_kwargs"),
    ):
        train(rate=2)
    assert isinstance(caught.value.__cause__, TypeError)
    # Other errors of type are not for the user to mend.
    with (
        pytest.raises(TypeError, match=r"^object of type 'float' has no len"),
        check.named_options("train_kwargs"),
    ):
        train()


def test_generators():
    assert check.as_generator(3).random() == np.random.default_rng(3).random()
    generator = np.random.default_rng(0)
    assert check.as_generator(generator) is generator
    check.as_generator(None)
    for value in ("x", 0.5, {"a": 1}, -1):
        error = ValueError if value == -1 else TypeError
        with pytest.raises(error, match=r"`rng` must be a whole number of at least 0, a .*found"):
            check.as_generator(value)
