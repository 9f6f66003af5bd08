"""Runs that are cut off and go on: the same result, bit for bit, or an error in words."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sctools import tl
from sctools.model import _checkpoint, _runner
from sctools.model._clock_methods import _donor_attention

from .. import _tools
from .._compare import assert_same, assert_unchanged, snapshot


class CutOff(Exception):
    """What ends the runs here."""


@pytest.fixture(scope="module")
def whole():
    """Results of uninterrupted runs without checkpoints, by tool."""
    found = {}

    def result(name):
        if name not in found:
            adata = _tools.data(name)
            _tools.run(name, adata)
            found[name] = snapshot(adata)
        return found[name]

    return result


def cut_off(monkeypatch, name, n):
    """Let the tool fail at its n-th epoch, or fold."""
    done = []
    if name == "attention_clock":
        owner, hook = _donor_attention.DonorAttention, "fit"
    else:
        owner, hook = _runner.EpochCounter, "on_train_epoch_end"
    kept = getattr(owner, hook)

    def counted(*args, **kwargs):
        done.append(1)
        if len(done) == n:
            raise CutOff
        return kept(*args, **kwargs)

    monkeypatch.setattr(owner, hook, counted)


def count_epochs(monkeypatch):
    done = []
    monkeypatch.setattr(
        _runner.EpochCounter, "on_train_batch_start", lambda *args: done.append(1), raising=False
    )
    return done


@pytest.mark.parametrize("name", _tools.NAMES)
@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_run_that_goes_on_ends_as_the_whole_one(name, n, whole, tmp_path, monkeypatch):
    if name == "attention_clock" and n == 4:
        pytest.skip("it has three folds")
    adata = _tools.data(name)
    before = snapshot(adata)
    with monkeypatch.context() as patch:
        cut_off(patch, name, n)
        with pytest.raises(CutOff):
            _tools.run(name, adata, checkpoint_dir=tmp_path)
    assert_unchanged(adata, before)
    _tools.run(name, adata, checkpoint_dir=tmp_path)
    assert_same(snapshot(adata), whole(name))


@pytest.mark.parametrize("name", _tools.NAMES)
def test_a_finished_run_is_not_trained_again(name, whole, tmp_path, monkeypatch):
    adata = _tools.data(name)
    _tools.run(name, adata, checkpoint_dir=tmp_path)
    assert_same(snapshot(adata), whole(name))
    files = sorted(path.name for path in tmp_path.iterdir())
    folds = ["fold_0.ckpt", "fold_1.ckpt", "fold_2.ckpt"]
    assert files == (["training.ckpt"] if name in _tools.TRAINS_EPOCHS else folds)

    def train(*args, **kwargs):
        pytest.fail("it is trained again")

    if name == "attention_clock":
        monkeypatch.setattr(_donor_attention.DonorAttention, "fit", train)
    monkeypatch.setattr(_runner.EpochCounter, "on_train_batch_start", train, raising=False)
    again = _tools.data(name)
    _tools.run(name, again, checkpoint_dir=str(tmp_path))
    assert_same(snapshot(again), whole(name))


def test_epochs_that_are_done_are_not_done_again(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        cut_off(patch, "srsa_vae", 4)
        with pytest.raises(CutOff):
            _tools.run("srsa_vae", _tools.data("srsa_vae"), checkpoint_dir=tmp_path)
    batches = count_epochs(monkeypatch)
    _tools.run("srsa_vae", _tools.data("srsa_vae"), checkpoint_dir=tmp_path)
    assert len(batches) == 3  # of the last of four epochs: 135 cells, 64 at a time


def test_early_stopping_goes_on_too(tmp_path, monkeypatch):
    """Its patience, its warm-up and the learning rate's are part of the state."""
    settings = {"max_epochs": 25, "train_kwargs": {
        "batch_size": 64, "early_stopping_patience": 1, "early_stopping_warmup_epochs": 4,
        "plan_kwargs": {"lr": 0.05, "n_epochs_kl_warmup": 1, "reduce_lr_on_plateau": True,
                        "lr_patience": 1},
    }}  # fmt: skip
    expected = _tools.data("srsa_vae")
    _tools.run("srsa_vae", expected, **settings)
    n_epochs = len(expected.uns["srsa_vae"]["history"])
    assert 5 < n_epochs < 25
    for n in (5, n_epochs):
        adata = _tools.data("srsa_vae")
        with monkeypatch.context() as patch:
            cut_off(patch, "srsa_vae", n)
            with pytest.raises(CutOff):
                _tools.run("srsa_vae", adata, checkpoint_dir=tmp_path / str(n), **settings)
        for _ in range(2):  # to the end, and from the end
            _tools.run("srsa_vae", adata, checkpoint_dir=tmp_path / str(n), **settings)
            assert_same(snapshot(adata), snapshot(expected))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "how"),
    [("age_clock", "after"), ("srsa_vae", "within"), ("prior_transformer", "after")],
)
def test_a_killed_process_is_made_up_for(name, how, whole, tmp_path, root):
    done = process(root, name, tmp_path, how)
    assert done.returncode == -9, done.stderr
    found = sorted(path.name for path in tmp_path.iterdir())
    assert any(file.endswith(".ckpt") for file in found)
    assert any(file.endswith(".part") for file in found) == (how == "within")
    adata = _tools.data(name)
    _tools.run(name, adata, checkpoint_dir=tmp_path)
    assert_same(snapshot(adata), whole(name))
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["age_clock", "srsa_vae"])
def test_ctrl_c_leaves_the_data_and_the_next_run_goes_on(name, whole, tmp_path, root):
    done = process(root, name, tmp_path, "interrupt")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "unchanged"
    adata = _tools.data(name)
    _tools.run(name, adata, checkpoint_dir=tmp_path)
    assert_same(snapshot(adata), whole(name))


def process(root: Path, name: str, folder: Path, how: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path if entry)
    return subprocess.run(
        [sys.executable, "-m", "tests._killed", name, str(folder), how],
        cwd=root, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


# ---------------------------------------------------------------------------------------- errors

OTHER = {
    "age_clock": [
        ({"train_kwargs": {"max_epochs": 2, "lr": 3e-3}}, "`train_kwargs.max_epochs` was 3, is 2"),
        ({"n_folds": 2}, "`n_folds` was 3, is 2"),
        ({"rng": 1}, "the seed was"),
        ({"covariate_keys": ["sex"]}, "`adata.obs['sex']` is new"),
    ],
    "attention_clock": [({"model_kwargs": {"n_clusters": [3], "n_components": 4}},
                         r"`model_kwargs.n_clusters` was [2], is [3]")],
    "srsa_vae": [
        ({"max_epochs": 5}, "`max_epochs` was 4, is 5"),
        ({"n_latent": 7}, "`n_latent` was 30, is 7"),
        ({"rng": 1}, "the seed was"),
        ({"train_kwargs": {"plan_kwargs": {"lr": 0.1}, "batch_size": 64}}, "`plan_kwargs.lr` was"),
        ({"batch_key": None}, "`batch` of the data differs"),
    ],
    "multimodal_srsa_vae": [({"n_latent": 5}, "`n_latent` was 30, is 5")],
    "prior_transformer": [
        ({"max_epochs": 5}, "`max_epochs` was 4, is 5"),
        ({"prior": "shuffled"}, "`prior` was 'hard', is 'shuffled'"),
        ({"batch_key": None}, "the cells to train on differs"),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Directories of finished runs, by tool."""
    found = {}

    def folder(name):
        if name not in found:
            found[name] = tmp_path_factory.mktemp(name)
            _tools.run(name, _tools.data(name), checkpoint_dir=found[name])
        return found[name]

    return folder


@pytest.mark.parametrize(
    ("name", "other", "words"),
    [(name, *case) for name, cases in OTHER.items() for case in cases],
)
def test_another_run_is_told(name, other, words, finished):
    adata = _tools.data(name)
    before, files = snapshot(adata), contents(finished(name))
    with pytest.raises(ValueError, match="`checkpoint_dir` holds the checkpoint of ano") as caught:
        _tools.run(name, adata, checkpoint_dir=finished(name), **other)
    assert words in str(caught.value)
    assert "delete it to start anew" in str(caught.value)
    assert_unchanged(adata, before)
    assert contents(finished(name)) == files


@pytest.mark.parametrize("name", _tools.NAMES)
def test_other_data_are_told(name, finished):
    adata = _tools.data(name)
    adata.X[0, np.flatnonzero(adata.X[0].toarray())[0]] += 1
    with pytest.raises(ValueError, match=r"the checkpoint of another run.*differs"):
        _tools.run(name, adata, checkpoint_dir=finished(name))


@pytest.mark.parametrize("name", [name for name in _tools.NAMES if name != "prior_transformer"])
def test_other_genes_are_told(name, finished):
    adata = _tools.data(name)
    adata.var_names = [f"{gene}x" for gene in adata.var_names]
    with pytest.raises(ValueError, match="`var_names` differs"):
        _tools.run(name, adata, checkpoint_dir=finished(name))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["age_clock", "srsa_vae", "prior_transformer"])
def test_a_damaged_checkpoint_is_told(name, finished, tmp_path):
    adata = _tools.data(name)
    before = snapshot(adata)
    for file, content in contents(finished(name)).items():
        (tmp_path / file).write_bytes(content)
    last = sorted(tmp_path.iterdir())[-1]
    content = last.read_bytes()
    one_bit = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
    for damaged in (content[:-100], content[:50], b"", one_bit):
        last.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{last.name}' is damaged, cut short or no checkp"):
            _tools.run(name, adata, checkpoint_dir=tmp_path)
    assert_unchanged(adata, before)


@pytest.mark.parametrize("name", ["age_clock", "srsa_vae", "prior_transformer"])
def test_a_full_disk_is_told_and_leaves_the_last_checkpoint(name, whole, tmp_path, monkeypatch):
    adata = _tools.data(name)
    before, done = snapshot(adata), []

    def sync(file):
        done.append(file)
        if len(done) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(_checkpoint.os, "fsync", sync)
        with pytest.raises(OSError, match=r"could not be written \(No space left") as caught:
            _tools.run(name, adata, checkpoint_dir=tmp_path)
    assert caught.value.errno == errno.ENOSPC
    assert_unchanged(adata, before)
    assert len(list(tmp_path.iterdir())) == 1
    _tools.run(name, adata, checkpoint_dir=tmp_path)
    assert_same(snapshot(adata), whole(name))


@pytest.mark.parametrize("name", ["age_clock", "srsa_vae", "prior_transformer"])
def test_arguments_that_make_no_sense(name, tmp_path):
    adata = _tools.data(name)
    before = snapshot(adata)
    with pytest.raises(TypeError, match="`checkpoint_dir` must be the path of a directory"):
        _tools.run(name, adata, checkpoint_dir=3)
    with pytest.raises(ValueError, match="needs a seed"):
        _tools.run(name, adata, checkpoint_dir=tmp_path, rng=None)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file"):
        _tools.run(name, adata, checkpoint_dir=tmp_path / "file")
    with pytest.raises(ValueError, match=r"training.*`?checkpoint_dir|checkpoint_dir.*training"):
        getattr(tl, name)(adata, model="somewhere", checkpoint_dir=tmp_path)
    assert_unchanged(adata, before)
