"""Time of ``import sctools`` beside that of ``import anndata``, which it must not need.

Run from the repository root, ``python benchmarks/import_time.py``. Every round starts a fresh
interpreter for each of three programs in turn, an empty one, ``import sctools`` and ``import
anndata``, so that they share whatever else the machine does. Asked: under 50 ms above the empty
program, and at most a tenth of anndata's time above it. The exit status is 1 where that is missed.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

import numpy as np

PROGRAMS = {"nothing": "pass", "sctools": "import sctools", "anndata": "import anndata"}
MOST_MS = 50.0
MOST_RATIO = 0.1


def run(code: str) -> float:
    """Milliseconds that a fresh interpreter takes for a program."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return 1000 * (time.perf_counter() - start)


def measure(n_rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each program, one entry per round; a first round fills the disk's cache."""
    times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for i in range(n_rounds + 1):
        for name, code in PROGRAMS.items():
            taken = run(code)
            if i:
                times[name].append(taken)
    return times


def above_nothing(times: Mapping[str, Sequence[float]], name: str) -> float:
    """Median milliseconds of a program less those of the empty one."""
    return float(np.median(times[name]) - np.median(times["nothing"]))


def report(times: Mapping[str, Sequence[float]]) -> tuple[str, bool]:
    """Text of the result, and whether it is as asked."""
    sctools = above_nothing(times, "sctools")
    ratio = sctools / above_nothing(times, "anndata")
    rounds = np.subtract([times["sctools"], times["anndata"]], times["nothing"])
    ratios = rounds[0] / rounds[1]
    lines = [f"{'program':<10} {'median ms':>10} {'min':>8} {'max':>8}"]
    lines += [
        f"{name:<10} {np.median(taken):>10.1f} {min(taken):>8.1f} {max(taken):>8.1f}"
        for name, taken in times.items()
    ]
    lines += [
        f"import sctools: {sctools:.1f} ms above nothing (asked: under {MOST_MS:.0f})",
        f"of import anndata: {ratio:.3f}, in single rounds {ratios.min():.3f} to "
        f"{ratios.max():.3f} (asked: at most {MOST_RATIO})",
    ]
    return "\n".join(lines), sctools < MOST_MS and ratio <= MOST_RATIO


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=21, help="runs of each program")
    given = parser.parse_args()
    print(f"Python {platform.python_version()}, {given.rounds} interleaved rounds")
    text, good = report(measure(given.rounds))
    print(text)
    return int(not good)


if __name__ == "__main__":
    raise SystemExit(main())
