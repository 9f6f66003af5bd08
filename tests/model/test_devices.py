"""Training on several devices: shares of the ranks, and the same results on both of two."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from scipy import sparse
from scvi.dataloaders import BatchDistributedSampler

from sctools import model
from sctools.model import _devices, _srsa_methods
from sctools.model._cell_batches import CellBatches
from sctools.model._devices import frozen, on_devices
from sctools.model._donor_batches import DonorBatches, Strata
from sctools.model._whole_batches import FoldedDistributedSampler

from .. import _tools, _two_devices, _vaes
from .._compare import assert_unchanged, snapshot


def two_processes(root, *arguments):
    """Run ``python -m tests._two_devices``, to its end."""
    path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path if entry)
    environment = {**os.environ, "PYTHONPATH": path}
    for variable in ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_PORT"):
        environment.pop(variable, None)
    done = subprocess.run(
        [sys.executable, "-m", "tests._two_devices", *map(str, arguments)],
        cwd=root, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def told_by(folder, what="rank"):
    return [json.loads((folder / f"{what}_{rank}.json").read_text()) for rank in (0, 1)]


FOLDS = ["fold_0.ckpt", "fold_1.ckpt", "fold_2.ckpt"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        ("age_clock", "ddp"),
        ("srsa_vae", "ddp"),
        ("prior_transformer", "ddp"),
        ("multimodal_srsa_vae", "ddp_find_unused_parameters_true"),
    ],
)
def test_two_processes_end_with_the_same(name, strategy, tmp_path, root):
    before = sorted(entry.name for entry in root.iterdir())
    done = two_processes(root, name, strategy, tmp_path)
    first, second = told_by(tmp_path)
    assert first == second
    assert first["n_ranks"] == 2
    names = sorted(entry.name for entry in tmp_path.iterdir())
    assert names == ["model", "rank_0.json", "rank_1.json"]
    assert sorted(entry.name for entry in root.iterdir()) == before  # no logs lie about
    told = done.stderr.count("Early stopping is off on several devices: all 4 epochs are trained.")
    assert told == (1 if name.endswith("vae") else 0)
    assert "early_stopping was automatically disabled" not in done.stderr


@pytest.mark.slow
def test_finished_folds_are_kept_once_and_taken_again(tmp_path, root):
    kept = tmp_path / "kept"
    results, written = [], []
    for name in ("whole", "gone_on"):
        folder = tmp_path / name
        folder.mkdir()
        two_processes(root, "age_clock", "ddp", folder, kept)
        results += told_by(folder)
        written.append(told_by(folder, "written"))
        assert sorted(entry.name for entry in kept.iterdir()) == FOLDS
        if name == "whole":  # as if it had been cut off in its last fold
            (kept / FOLDS[-1]).unlink()
    assert written == [[FOLDS, []], [FOLDS[-1:], []]]
    assert results == results[:1] * 4

    adata = _tools.data("age_clock")  # nothing is left to train, and no process is started
    clock = _two_devices.train("age_clock", "ddp", adata, kept)
    assert not torch.distributed.is_initialized()
    assert {**_two_devices.digests("age_clock", adata, clock), "n_ranks": 2} == results[0]


# ---------------------------------------------------------------------------------------- shares


def on_rank(data, rank, size):
    data.trainer = types.SimpleNamespace(global_rank=rank, world_size=size)
    return data


def cell_batches(n_obs=103, batch_size=10):
    values = sparse.random(n_obs, 7, 0.5, "csr", random_state=0)
    values.data[:] = 1.0
    order = np.random.default_rng(0)
    train, validation = np.arange(n_obs - 20), np.arange(n_obs - 20, n_obs)
    labels = np.arange(n_obs)
    return CellBatches(values, labels, train, validation, batch_size=batch_size, rng=order)


def test_cells_are_parted_between_ranks():
    alone = [batch["labels"].tolist() for batch in cell_batches().train_dataloader()]
    parts = [
        [batch["labels"].tolist() for batch in on_rank(cell_batches(), k, 2).train_dataloader()]
        for k in (0, 1)
    ]
    assert len(alone) == len(parts[0]) == len(parts[1])
    for whole, one, other in zip(alone, *parts, strict=True):
        assert sorted(one + other) == sorted(whole)
        assert abs(len(one) - len(other)) <= 1
    assert sorted(cell for batch in alone for cell in batch) == list(range(83))


def test_every_rank_validates_on_all_cells():
    for k in (0, 1):
        batches = on_rank(cell_batches(), k, 2).val_dataloader()
        found = [cell for batch in batches for cell in batch["labels"].tolist()]
        assert found == list(range(83, 103))


def test_batches_too_small_to_part():
    data = on_rank(cell_batches(batch_size=4), 0, 3)
    with pytest.raises(ValueError, match=r"A batch of 5 cannot be parted between 3 devices"):
        list(data.train_dataloader())


def donor_batches():
    rng = np.random.default_rng(1)
    unit = np.repeat(np.arange(12), 10)
    strata = Strata(
        sparse.random(120, 5, 0.9, "csr", random_state=0), unit, rng.integers(0, 2, (120, 1))
    )
    return DonorBatches(
        strata, np.arange(12.0), np.ones((2, 12), bool), pseudocell_size=3, donors_per_batch=8,
        steps_per_epoch=4, rng=rng,
    )  # fmt: skip


def test_donors_are_parted_between_ranks():
    alone = donor_batches()
    first = next(iter(alone.train_dataloader()))["age"].tolist()
    parts = [list(on_rank(donor_batches(), k, 2).train_dataloader()) for k in (0, 1)]
    assert sorted(parts[0][0]["age"].tolist() + parts[1][0]["age"].tolist()) == first
    for one, other in zip(*parts, strict=True):  # in step with each other to the end
        assert len(one["age"]) == len(other["age"]) == 4
        assert not set(one["age"].tolist()) & set(other["age"].tolist())


def flat(batches):
    return [cell for batch in batches for cell in batch]


@pytest.mark.parametrize("n_obs", [66, 65, 64, 34, 1])
def test_no_rank_has_a_batch_of_one_cell(n_obs):
    seen = []
    for rank in (0, 1):
        plain = BatchDistributedSampler(
            list(range(n_obs)), batch_size=16, shuffle=True, num_replicas=2, rank=rank
        )
        sampler = FoldedDistributedSampler(plain)
        for epoch in (0, 1):
            sampler.set_epoch(epoch)
            plain.set_epoch(epoch)
            batches = list(sampler)
            assert len(batches) == len(sampler)
            assert flat(batches) == flat(plain)
            assert min(map(len, batches)) > 1 or n_obs == 1
        seen += flat(batches)
    assert set(seen) == set(range(n_obs))


# ------------------------------------------------------------------------------------ parameters


class Missing(Callback):
    """Which parameters have no part in the loss."""

    def on_after_backward(self, trainer, pl_module):
        self.names = {
            name.removeprefix("module.")
            for name, parameter in pl_module.named_parameters()
            if parameter.grad is None
        }


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gene_likelihood": "zinb"},
        {"gene_likelihood": "poisson"},
        {"dispersion": "gene-cell"},
        {"use_observed_lib_size": False},
        {"attention": "features"},
        {"attention": "induced", "prior": "normal"},
        {"encoder": "scvi", "attention": "none", "residual": "plain"},
    ],
)
def test_unused_parameters_are_those_without_a_gradient(options):
    adata = _vaes.cells()
    model.SRSAVAE.setup_anndata(adata, batch_key="batch")
    vae = model.SRSAVAE(adata, n_hidden=16, **options)
    missing = Missing()
    vae.train(max_epochs=1, rng=0, progress_bar=False, callbacks=[missing])
    unused = {id(parameter) for parameter in vae._unused_parameters()}
    named = dict(vae.module.named_parameters())
    assert {name for name, parameter in named.items() if id(parameter) in unused} == missing.names


def test_frozen_parameters_learn_again():
    layer = torch.nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    with frozen(layer.parameters()):
        assert not layer.weight.requires_grad
    assert layer.weight.requires_grad
    assert not layer.bias.requires_grad


def test_one_device_is_left_alone():
    given = {"callbacks": [1], "precision": 32}
    with on_devices(given) as found:
        assert found == given


@pytest.mark.parametrize("strategy", ["ddp", "ddp_find_unused_parameters_true"])
def test_several_devices_write_no_logs_where_one_works(strategy):
    with on_devices({"strategy": strategy, "callbacks": [1]}) as found:
        logs = Path(found["log_save_dir"])
        assert logs.is_dir()
        assert found["callbacks"][0] == 1
        assert isinstance(found["callbacks"][1], _devices.OneModelOnAllRanks)
    assert not logs.exists()


# ---------------------------------------------------------------------------------------- words


@pytest.mark.parametrize("name", ["age_clock", "srsa_vae", "prior_transformer"])
def test_devices_need_a_seed(name):
    adata = _tools.data(name)
    before = snapshot(adata)
    train_kwargs = {"strategy": "ddp", "devices": 2, "accelerator": "cpu"}
    with pytest.raises(ValueError, match=r"On several devices .* `rng=None`. Pass a seed"):
        _tools.run(name, adata, rng=None, train_kwargs=train_kwargs)
    assert_unchanged(adata, before)


@pytest.mark.parametrize("name", ["srsa_vae", "prior_transformer"])
def test_checkpoints_go_with_one_device(name, tmp_path):
    adata = _tools.data(name)
    train_kwargs = {"strategy": "ddp", "devices": 2, "accelerator": "cpu"}
    with pytest.raises(ValueError, match="`checkpoint_dir` goes with one device"):
        _tools.run(name, adata, checkpoint_dir=tmp_path, train_kwargs=train_kwargs)


@pytest.mark.parametrize(("asked", "rank", "told"), [(True, 0, 1), (True, 1, 0), (False, 0, 0)])
def test_early_stopping_is_said_to_be_off(asked, rank, told, monkeypatch, caplog):
    monkeypatch.setattr(_srsa_methods.rank_zero_only, "rank", rank)
    arguments = {"early_stopping": asked, "max_epochs": 7}
    with caplog.at_level(logging.WARNING, logger="sctools"):
        found = model.SRSAVAE._without_stopping(None, arguments)
    assert found == {"early_stopping": False, "max_epochs": 7}
    assert len(caplog.messages) == told
    assert all("all 7 epochs are trained" in message for message in caplog.messages)


@pytest.mark.parametrize("name", ["age_clock", "srsa_vae", "prior_transformer"])
def test_only_the_first_rank_writes_models(name, tmp_path, monkeypatch):
    found = _tools.run(name, _tools.data(name), return_model=True)
    for owner in ("_saved_model", "_srsa_methods"):
        monkeypatch.setattr(f"sctools.model.{owner}.is_first_rank", lambda: False)
    found.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())
