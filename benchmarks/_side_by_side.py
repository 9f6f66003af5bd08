"""Side-by-side figures: ways that take turns in one process, beside controls of the machine.

Seconds are those of the CPU, so that other processes count little, and they are only ever told as
ratios within one run. A product of matrices and a copy of memory take part in every round: where
these vary much, so may the ratios. Memory is the peak of fresh processes, as a slope over sizes.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from _machine import versions
from predict_memory import peak_rss

ROUNDS = 7
CONTROLS = ("matrix product", "memory copy")
COLUMNS = ("figure", "against", "unit", "median", "least", "most", "rounds", "asked", *CONTROLS)
"""Columns of every table; the controls' are most / least seconds of a run, 1 where it was quiet."""

Way = Callable[[], Any]


class Seconds(float):
    """What a way answers that takes its own time, because only a part of its work is meant."""


def machine() -> str:
    """Describe the processor and the versions."""
    packages = ("torch", "numba", "numpy", "scipy", "anndata", "scvi-tools")
    return (
        f"{_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} thread used; "
        f"{versions(packages)}"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]} ({platform.machine()})" if names else platform.machine()


def controls() -> dict[str, Way]:
    """Return a float32 product that the processor bounds, and a copy that memory bounds."""
    a = torch.ones(768, 768)
    source = torch.ones(16_000_000)
    target = torch.empty_like(source)
    return {CONTROLS[0]: lambda: a @ a, CONTROLS[1]: lambda: target.copy_(source)}


def in_turns(
    ways: Mapping[str, Way], rounds: int = ROUNDS, *, warm_up: bool = True
) -> pd.DataFrame:
    """CPU seconds of every way and control, a row per round; the order turns with every round.

    A way that answers with `Seconds` is taken at its word.
    """
    every = {**ways, **controls()}
    for way in every.values() if warm_up else ():  # loops are compiled here
        way()
    rows = []
    for number in range(rounds):
        row = {}
        for name in list(every) if number % 2 == 0 else list(every)[::-1]:
            start = time.process_time()
            own = every[name]()
            row[name] = own if isinstance(own, Seconds) else time.process_time() - start
        rows.append(row)
    return pd.DataFrame(rows)


def ratio(
    figure: str, seconds: pd.DataFrame, ours: str, reference: str, asked: str = ""
) -> dict[str, Any]:
    """Row that says how many times as fast ``ours`` is as ``reference``."""
    values = seconds[reference] / seconds[ours]
    return row(figure, reference, "times as fast", values, asked, noise(seconds))


def noise(seconds: pd.DataFrame) -> dict[str, float]:
    """How much the controls varied in a run: most / least seconds."""
    return {name: seconds[name].max() / seconds[name].min() for name in CONTROLS if name in seconds}


def row(
    figure: str,
    against: str,
    unit: str,
    values: Sequence[float] | pd.Series,
    asked: str = "",
    control: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Row of a table: median, least and most of the values of a figure."""
    values = np.asarray(values, dtype=float)
    found = {
        "figure": figure,
        "against": against,
        "unit": unit,
        "median": np.median(values),
        "least": values.min(),
        "most": values.max(),
        "rounds": len(values),
        "asked": asked,
    }
    return {**found, **(control or {})}


def table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows with the columns of every table."""
    return pd.DataFrame(rows).reindex(columns=list(COLUMNS))


def power(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Exponent of the growth over sizes: 1 where it is linear."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def powers(sizes: Sequence[float], seconds: pd.DataFrame) -> np.ndarray:
    """Exponent in every round; columns of ``seconds`` are named by size."""
    return np.array([power(sizes, line) for line in seconds[[str(s) for s in sizes]].to_numpy()])


def linearity(
    figure: str, against: str, sizes: Sequence[int], seconds: pd.DataFrame, asked: str = "1"
) -> list[dict[str, Any]]:
    """Exponent over all sizes, and what a unit costs at each against what it does at the largest.

    The fixed part of the cost shows in the small sizes.
    """
    control = noise(seconds)
    found = [row(figure, against, "exponent", powers(sizes, seconds), asked, control)]
    largest = seconds[str(sizes[-1])] / sizes[-1]
    for size in sizes[:-1]:
        each = seconds[str(size)] / size / largest
        name = f"{figure}: each of {size:,}"
        found.append(row(name, f"each of {sizes[-1]:,}", "times the cost", each, "", control))
    return found


def in_fresh_process(name: str, *arguments: Any, **environment: str) -> dict[str, float]:
    """Run a figure's child (see ``speed.py``) in a process of its own; what it reports."""
    script = Path(__file__).with_name("speed.py")
    command = [sys.executable, str(script), "--child", name, json.dumps(arguments)]
    settings = {**os.environ, **environment}
    output = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=settings
    ).stdout
    return json.loads(output.splitlines()[-1])


def with_peak(work: Callable[[], Any]) -> dict[str, float]:
    """Peak memory in bytes before and after some work, and its CPU seconds."""
    forget = Path("/proc/self/clear_refs")
    if forget.exists():  # Linux: what was needed earlier, as by compilers, does not count
        forget.write_text("5")
    before, start = peak_rss(), time.process_time()
    work()
    return {"before": before, "peak": peak_rss(), "seconds": time.process_time() - start}


def markdown(rows: pd.DataFrame) -> str:
    """Table for the terminal and for the documentation."""
    lines = [
        "| | against | median | least – most | | asked | controls |",
        "|---|---|---|---|---|---|---|",
    ]
    texts = ["against", "asked"]
    for each in rows.assign(**rows[texts].fillna("")).to_dict("records"):
        control = " / ".join(f"{each[name]:.2f}" for name in CONTROLS if pd.notna(each[name]))
        numbers = [_number(each[name]) for name in ("median", "least", "most")]
        lines.append(
            f"| {each['figure']} | {each['against']} | {numbers[0]} | {numbers[1]} – {numbers[2]} "
            f"| {each['unit']} | {each['asked']} | {control} |"
        )
    return "\n".join(lines)


def _number(value: float) -> str:
    if value != 0 and abs(value) < 1e-3:
        return f"{value:.0e}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
