from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from sctools.model import _checkpoint
from sctools.model._checkpoint import Checkpoint
from sctools.model._fingerprint import digest, fingerprint
from sctools.model._random_state import random_state, set_random_state
from sctools.model._runner import seeded


@pytest.fixture
def checkpoint(tmp_path):
    return Checkpoint(tmp_path / "deep" / "run.ckpt", {"`lr`": "0.1", "the matrix": "#ab"})


STATE = {"weights": torch.arange(4.0), "steps": [1, 2], "rng": 2**100, "none": None}


def test_what_is_written_is_read(checkpoint):
    assert checkpoint.read() is None
    for steps in ([1], [1, 2]):
        checkpoint.write({**STATE, "steps": steps})
    found = checkpoint.read()
    assert torch.equal(found.pop("weights"), STATE["weights"])
    assert found == {"steps": [1, 2], "rng": 2**100, "none": None}
    assert [path.name for path in checkpoint.path.parent.iterdir()] == ["run.ckpt"]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"`lr`": "0.2", "the matrix": "#ab"}, "`lr` was 0.1, is 0.2. Run"),
        ({"`lr`": "0.1", "the matrix": "#cd"}, "the matrix differs. Run"),
        ({"`lr`": "0.1"}, "the matrix is gone. Run"),
        ({"`lr`": "0.1", "the matrix": "#ab", "`eps`": "1"}, "`eps` is new. Run"),
        ({f"`x{i}`": "1" for i in range(10)}, "; and 6 more. Run"),
    ],
)
def test_differences_are_told(checkpoint, other, words):
    checkpoint.write(STATE)
    with pytest.raises(ValueError, match="another run") as caught:
        Checkpoint(checkpoint.path, other).read()
    assert words in str(caught.value)


@pytest.mark.parametrize("place", ["write", "fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file(checkpoint, place, monkeypatch):
    checkpoint.write(STATE)
    before = checkpoint.path.read_bytes()

    def fail(*args):
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        if place == "fsync":
            patch.setattr(_checkpoint.os, "fsync", fail)
        else:
            patch.setattr(_checkpoint.Path, {"write": "open", "replace": "replace"}[place], fail)
        with pytest.raises(OSError, match=r"run\.ckpt' could not be written"):
            checkpoint.write({"weights": torch.zeros(4)})
    assert checkpoint.path.read_bytes() == before
    assert [path.name for path in checkpoint.path.parent.iterdir()] == ["run.ckpt"]


def test_what_could_not_be_read_is_not_written(checkpoint):
    with pytest.raises(TypeError, match="must be plain values and tensors"):
        checkpoint.write({"object": pd.DataFrame({"a": [1]})})
    assert checkpoint.read() is None


def test_nothing_in_a_checkpoint_is_executed(checkpoint, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    with pytest.raises(TypeError, match="plain values"):
        checkpoint.write({"evil": Evil()})
    assert not (tmp_path / "made").exists()


def test_all_generators_go_back():
    def draw():
        return torch.rand(2).tolist(), np.random.rand(2).tolist(), np.random.randn()  # noqa: NPY002

    with seeded(3):
        np.random.randn()  # noqa: NPY002 - one of a pair: the other is part of the state
        state = random_state()
        first = draw()
        assert draw() != first
        set_random_state(state)
        assert draw() == first


def alike():
    """Pairs of values that are the same, stored elsewhere."""
    counts = sparse.random(9, 5, 0.4, "csr", random_state=0)
    frame = pd.DataFrame({"a": [1.0, np.nan], "b": pd.Categorical(["x", None])})
    return [
        (np.arange(5), np.arange(10)[:5]),
        (np.arange(6).reshape(2, 3).T, np.arange(6).reshape(2, 3).T.copy()),
        (np.array(["a", None], object), np.array(["a", None], object)),
        (counts, counts.copy()),
        (frame, frame.copy(deep=True)),
        ({"w": torch.ones(2)}, {"w": torch.ones(2)}),
        (["ab", "c"], ["ab", "c"]),
    ]


@pytest.mark.parametrize(("one", "other"), alike())
def test_the_same_values_have_the_same_digest(one, other):
    assert digest(one) == digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.arange(5), np.arange(5) + 1),
        (np.arange(5), np.arange(5.0)),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (["ab", "c"], ["a", "bc"]),
        (sparse.csr_matrix([[1, 0]]), sparse.csr_matrix([[0, 1]])),
        (sparse.csr_matrix((1, 2)), sparse.csr_matrix((1, 3))),
        (pd.Series(pd.Categorical(["x", "y"])), pd.Series(pd.Categorical(["y", "x"]))),
        (pd.Series(pd.Categorical(["x"])), pd.Series(pd.Categorical(["y"]))),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})),
        ({"w": torch.ones(2)}, {"v": torch.ones(2)}),
        (None, "x"),
    ],
)
def test_other_values_have_another_digest(one, other):
    assert digest(one) != digest(other)


def test_arguments_as_they_are_told():
    found = fingerprint(
        arguments={"plan": {"lr": np.float64(0.1), "make": test_arguments_as_they_are_told},
                   "keys": ["b", "a"], "some": {"y", "x"}, "object": object(), "net": np.ones(2)},
        data={"the matrix": np.ones(3)},
        seed=np.int64(4),
    )  # fmt: skip
    assert found["the seed"] == "4"
    assert found["`plan.lr`"] == "0.1"
    assert found["`plan.make`"].endswith(".test_arguments_as_they_are_told")
    assert found["`keys`"] == "['b', 'a']"
    assert found["`some`"] == "['x', 'y']"
    assert found["`object`"] == "builtins.object"
    assert found["`net`"].startswith("#")
    assert found["the matrix"].startswith("#")
    assert {f"the version of {name}" for name in ("sctools", "torch", "scvi-tools")} < set(found)
