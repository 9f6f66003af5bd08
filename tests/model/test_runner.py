from __future__ import annotations

import contextlib
import logging
import random
import signal
import sys
import threading
import warnings

import numpy as np
import pytest
import torch

from sctools import tl
from sctools.model import _runner
from sctools.model._runner import interruptible, one_thread, progress, quiet, seeded

from .. import _clocks, _priors, _vaes
from .._compare import assert_unchanged, snapshot


class Stop(Exception):
    """What the blocks below end with."""


def draw():
    """One number from every source of randomness."""
    return torch.rand(1).item(), np.random.rand(), random.random()  # noqa: NPY002


def leave(manager, fails):
    """Draw inside the block, and leave it by its end or by an exception."""
    with contextlib.suppress(Stop), manager:
        draw()
        if fails:
            raise Stop


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("seed", [0, 2**31 - 1, 2**32 + 5])
def test_seeded_restores_the_random_states(seed, fails):
    with seeded(17):  # a state to disturb, which is not the tests' own
        before = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
        leave(seeded(seed), fails)
        after = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
        assert torch.equal(after[0], before[0])
        np.testing.assert_equal(after[1], before[1])
        assert after[2] == before[2]


def test_the_seed_decides_in_all_three():
    draws = []
    for seed in (3, 3, 4):
        with seeded(seed):
            draws.append(draw())
    assert draws[0] == draws[1]
    assert all(a != b for a, b in zip(draws[0], draws[2], strict=True))


@pytest.mark.parametrize("fails", [False, True])
def test_one_thread_restores_their_number(fails):
    n_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with contextlib.suppress(Stop), one_thread():
            assert torch.get_num_threads() == 1
            if fails:
                raise Stop
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(n_threads)


@pytest.fixture
def lightning_loggers():
    """Lightning's loggers, each at a level of its own."""
    loggers = [logging.getLogger(name) for name in _runner._CHATTY]
    levels = [logger.level for logger in loggers]
    for i, logger in enumerate(loggers):
        logger.setLevel(logging.DEBUG + i)
    yield loggers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.mark.parametrize("fails", [False, True])
def test_quiet_restores_levels_and_filters(lightning_loggers, fails):
    filters = list(warnings.filters)
    with contextlib.suppress(Stop), quiet():
        assert {logger.level for logger in lightning_loggers} == {logging.ERROR}
        assert warnings.filters != filters
        if fails:
            raise Stop
    levels = [logger.level for logger in lightning_loggers]
    assert levels == [logging.DEBUG + i for i in range(len(levels))]
    assert warnings.filters == filters


def test_quiet_hides_only_the_notices():
    with warnings.catch_warnings(record=True) as caught, quiet():
        warnings.warn("The loader does not have many workers, which may be slow", stacklevel=1)
        warnings.warn("something of ours", stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["something of ours"]


@pytest.mark.parametrize("total", [None, 0, False])
def test_no_progress_without_a_total(monkeypatch, total):
    monkeypatch.setattr(_runner, "tqdm", None)  # not even made
    with progress(total, "epochs") as tick:
        assert tick is None


def test_progress_counts_to_its_total(monkeypatch):
    bars = []

    class Bar(_runner.tqdm):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            bars.append(self)

    monkeypatch.setattr(_runner, "tqdm", Bar)
    with progress(3, "clock") as tick:
        (bar,) = bars
        assert (bar.total, bar.desc) == (3, "clock")
        for n in (1, 2, 3):
            assert tick() is None
            assert bar.n == n


# ---------------------------------------------------------------------------------------- Ctrl-C


def exit_as_lightning_does():
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.exit(1)


def test_an_interrupt_is_an_interrupt_and_the_next_one_is_heard():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interruptible():
        exit_as_lightning_does()
    assert signal.getsignal(signal.SIGINT) is before


def test_other_exits_stay_exits():
    with pytest.raises(SystemExit, match="3"), interruptible():
        sys.exit(3)


def test_in_a_thread_no_handler_is_set():
    found = []

    def work():
        with interruptible():
            found.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [1]


@pytest.mark.parametrize("name", ["age_clock", "prior_transformer", "srsa_vae"])
def test_ctrl_c_while_training_leaves_the_data_as_they_were(name, monkeypatch):
    adata = {
        "age_clock": _clocks.small_cohort,
        "prior_transformer": _priors.cells,
        "srsa_vae": _vaes.cells,
    }[name]()
    quick = {
        "age_clock": _clocks.QUICK,
        "prior_transformer": {"labels_key": "cell_type", "net": "prior", **_priors.QUICK},
        "srsa_vae": _vaes.QUICK,
    }[name]
    before, handler = snapshot(adata), signal.getsignal(signal.SIGINT)
    state = torch.get_rng_state()

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(_runner.EpochCounter, "on_train_epoch_end", stop)
    with pytest.raises(KeyboardInterrupt):
        getattr(tl, name)(adata, **quick, progress_bar=False)
    assert_unchanged(adata, before)
    assert signal.getsignal(signal.SIGINT) is handler
    assert torch.equal(torch.get_rng_state(), state)
