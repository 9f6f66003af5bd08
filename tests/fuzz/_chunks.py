"""Many draws of every function, a bounded number of them in a process of its own.

None of them can hang, crash or fill the memory for the others: a process that gives no report in
time counts as a violation, and its draws as not made.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ._draws import Failure, Report

ROOT = Path(__file__).parents[2]
COLUMNS = ("function", "uses", "draws", "documented errors", "successes", "violations", "kinds")


class Chunk(NamedTuple):
    """Draws of one use of a function that are made by one process."""

    use: str
    seed: int
    n: int

    @property
    def options(self) -> list[str]:
        """What makes these draws again."""
        return ["--function", self.use, "--seed", str(self.seed), "--n", str(self.n)]


class Total(NamedTuple):
    """What came of all draws of a function."""

    name: str
    n_uses: int
    n_draws: int
    n_returned: int
    errors: Counter[str]
    violations: list[str]


def functions_of(uses: Sequence[str]) -> dict[str, list[str]]:
    """Uses by the function that they are of."""
    found: dict[str, list[str]] = {}
    for use in uses:
        found.setdefault(use.partition(":")[0], []).append(use)
    return found


def chunks_of(uses: Sequence[str], n: int, *, first: int, size: int) -> Iterator[Chunk]:
    """Share ``n`` draws between the uses, numbered from ``first`` in each, ``size`` at a time."""
    for i, use in enumerate(uses):
        end = first + n // len(uses) + (i < n % len(uses))
        for seed in range(first, end, size):
            yield Chunk(use, seed, min(size, end - seed))


def total(name: str, uses: Sequence[str], chunks: Iterator[Chunk], *, limit: float) -> Total:
    """Make the draws of a function."""
    found = Total(name, len(uses), 0, 0, Counter(), [])
    for chunk in chunks:
        report = run(chunk, limit)
        if isinstance(report, str):
            found.violations.append(f"{' '.join(chunk.options)}   {report}")
            continue
        found = found._replace(
            n_draws=found.n_draws + report.n_draws, n_returned=found.n_returned + report.n_returned
        )
        found.errors.update(report.errors)
        for failure in report.failures:
            again = " ".join(Chunk(report.name, failure.seed, 1).options)
            lines = [f"{again}   {failure.what}", *(f"    {text}" for text in failure.problems)]
            found.violations.append("\n".join(lines))
    return found


def run(chunk: Chunk, limit: float) -> Report | str:
    """Make some draws in a process; return its report, or why there is none."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        command = [sys.executable, "-m", "tests.fuzz", *chunk.options, "--report", str(file)]
        try:
            done = subprocess.run(
                command, cwd=ROOT, timeout=limit, capture_output=True, text=True, check=False
            )
        except subprocess.TimeoutExpired:
            return f"not done within {limit:g} s"
        if not file.is_file():
            said = done.stderr.strip().splitlines()
            return f"ended with {done.returncode}: {said[-1] if said else 'nothing was said'}"
        return read_report(file)


def write_report(report: Report, file: Path) -> None:
    """Write what came of the draws of one use."""
    file.write_text(json.dumps(report._asdict()), encoding="utf-8")


def read_report(file: Path) -> Report:
    """Read what :func:`write_report` wrote."""
    found = json.loads(file.read_text(encoding="utf-8"))
    failures = [Failure(*failure) for failure in found.pop("failures")]
    return Report(**{**found, "errors": Counter(found["errors"])}, failures=failures)


def in_chunks(
    functions: Mapping[str, Sequence[str]], n: int, *, first: int, size: int, limit: float
) -> int:
    """Make ``n`` draws of each function and print a table; return the number of violations."""
    print(_row(COLUMNS))
    totals = []
    for name, uses in functions.items():
        found = total(name, uses, chunks_of(uses, n, first=first, size=size), limit=limit)
        totals.append(found)
        numbers = (found.n_draws, found.errors.total(), found.n_returned, len(found.violations))
        kinds = ", ".join(f"{kind} {count}" for kind, count in found.errors.most_common())
        print(_row((name, found.n_uses, *numbers, kinds or "none")))
        for violation in found.violations:
            print("    " + violation.replace("\n", "\n    "))
        sys.stdout.flush()
    n_violations = sum(len(found.violations) for found in totals)
    print(f"{sum(found.n_draws for found in totals)} draws, {n_violations} violations")
    return n_violations


def _row(cells: Sequence[object]) -> str:
    widths = (22, 4, 6, 17, 9, 10)
    name, *numbers = (str(cell) for cell in cells[:-1])
    told = [text.rjust(width) for text, width in zip(numbers, widths[1:], strict=True)]
    return "  ".join([name.ljust(widths[0]), *told, str(cells[-1])])
