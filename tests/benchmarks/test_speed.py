"""The frame of the figures of speed: turns, rows, growth over sizes, the table."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def frame(benchmarks, monkeypatch):
    module = importlib.import_module("_side_by_side")
    names = dict.fromkeys(module.CONTROLS, lambda: None)
    monkeypatch.setattr(module, "controls", lambda: names)
    return module


@pytest.fixture
def clock(monkeypatch, frame):
    """CPU seconds that the test passes itself."""
    now = [0.0]
    monkeypatch.setattr(frame.time, "process_time", lambda: now[0])

    def takes(seconds):
        return lambda: now.__setitem__(0, now[0] + seconds)

    return takes


def test_ways_take_turns_in_turned_order(frame, clock):
    order = []

    def way(name, seconds):
        work = clock(seconds)

        def turn():
            order.append(name)
            work()

        return turn

    seconds = frame.in_turns({"slow": way("slow", 6.0), "fast": way("fast", 2.0)}, 3)
    assert order == ["slow", "fast"] * 2 + ["fast", "slow"] + ["slow", "fast"]  # one to warm up
    assert seconds.columns.tolist() == ["slow", "fast", *frame.CONTROLS]
    assert (seconds["slow"] == 6).all()
    assert (seconds["fast"] == 2).all()


def test_a_way_may_take_its_own_time_and_a_number_is_none(frame, clock):
    work = clock(5.0)
    ways = {
        "own": lambda: work() or frame.Seconds(0.5),
        "number": lambda: work() or 0.25,
    }
    seconds = frame.in_turns(ways, 2)
    assert (seconds["own"] == 0.5).all()
    assert (seconds["number"] == 5).all()


def test_ratio_is_over_rounds_with_the_noise_of_the_controls(frame):
    product, copy = frame.CONTROLS
    seconds = pd.DataFrame(
        {"ours": [1.0, 1, 2], "other": [3.0, 4, 4], product: [1.0, 1.5, 1], copy: [2.0, 2, 2]}
    )
    found = frame.ratio("step", seconds, "ours", "other", "≥ 3")
    assert [found[name] for name in ("median", "least", "most", "rounds")] == [3, 2, 4, 3]
    assert (found[product], found[copy]) == (1.5, 1.0)
    shown = frame.markdown(frame.table([found, frame.row("error", "", "years", [1e-7])]))
    assert "| step | other | 3 | 2 – 4 | times as fast | ≥ 3 | 1.50 / 1.00 |" in shown
    assert "| error |  | 1e-07 | 1e-07 – 1e-07 | years |  |  |" in shown


def test_growth(frame):
    sizes = [10, 100, 1000]
    line = pd.DataFrame({str(n): [2.0 * n, 3.0 * n] for n in sizes})
    rows = frame.linearity("time", "", sizes, line)
    assert rows[0]["median"] == pytest.approx(1)
    assert [each["median"] for each in rows[1:]] == pytest.approx([1, 1])
    square = pd.DataFrame({str(n): [n**2.0] for n in sizes})
    assert frame.linearity("time", "", sizes, square)[0]["median"] == pytest.approx(2)
    fixed = pd.DataFrame({str(n): [n + 90.0] for n in sizes})
    assert frame.linearity("time", "", sizes, fixed)[1]["median"] == pytest.approx(10 / 1.09)


def test_machine_names_no_host_and_no_path(frame):
    import platform

    described = frame.machine()
    assert "torch" in described
    assert platform.node() not in described
    assert "/" not in described


def test_peak_is_that_of_the_work(frame):
    found = frame.with_peak(lambda: np.ones(30_000_000).sum())
    assert found["peak"] >= found["before"]


def test_every_figure_and_child_is_a_function(benchmarks):
    speed = importlib.import_module("speed")
    for where in (*speed.FIGURES.values(), *speed.CHILDREN.values()):
        assert callable(speed.function(where))


@pytest.mark.parametrize("name", ["training", "prior"])
def test_figures_on_tiny_data(benchmarks, name, monkeypatch):
    speed, frame = importlib.import_module("speed"), importlib.import_module("_side_by_side")
    monkeypatch.setattr(importlib.import_module("published_clock"), "N_GENES", {"0.1.3": 60})
    found = speed.function(speed.FIGURES[name])(True)
    assert found.columns.tolist() == list(frame.COLUMNS)
    assert (found["least"] <= found["median"]).all()
    assert (found["median"] <= found["most"]).all()
    assert found.loc[found["unit"] == "times as fast", list(frame.CONTROLS)].ge(1).all().all()
    if name == "training":
        errors = found[found["unit"] == "of the norm"].set_index("figure")["median"]
        assert errors.filter(like="float64").item() < 1e-12
        assert 0 < errors.filter(like="float32").item() < 1e-5


def test_likelihood_is_that_of_scvi_tools(benchmarks):
    vae = importlib.import_module("_speed_vae")
    adata = vae.counts(30, 50)
    assert adata.X.sum(axis=1).min() > 0
    assert vae.likelihood_error(adata.X) < 1e-6


def test_the_table_of_what_was_measured(benchmarks, tmp_path, monkeypatch, capsys):
    frame = importlib.import_module("_side_by_side")
    table = frame.table([frame.row("step", "other", "times as fast", [2.0, 3, 4], "≥ 2")])
    table.insert(0, "machine", "some processor")
    table.to_csv(tmp_path / "speed_training.csv", index=False)
    monkeypatch.setattr(sys, "argv", ["speed.py", "--table", "--results", str(tmp_path)])
    importlib.import_module("speed").main()
    shown = capsys.readouterr().out
    assert "some processor" in shown
    assert "| step | other | 3 | 2 – 4 | times as fast | ≥ 2 |  |" in shown


def test_a_child_reports_in_json(benchmarks):
    command = [sys.executable, benchmarks / "speed.py", "--child", "edges", "[30, 20, 2]"]
    found = json.loads(
        subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    )
    assert found["peak"] >= found["before"] > 0
