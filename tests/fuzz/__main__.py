"""Throw odd and malformed data at every public function, and see that each keeps its contract.

A call may return, or raise one of the exceptions of its docstring with a message of its own. An
error leaves the data as they were; a result changes nothing but the names it is documented to
write, and can be stored; the global state is the caller's; nothing hangs. Every draw is a small
valid call with 0 to 3 mutations, made from its number alone: ``--seed 417 --n 1`` is draw 417.

    python -m tests.fuzz --n 1000 --function age_clock --seed 0
    python -m tests.fuzz --per-function 1000

The second makes so many draws of every function, over all its uses together, in processes of at
most ``--chunk`` draws that are ended after ``--limit`` seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib as mpl

from sctools import settings

from ._chunks import functions_of, in_chunks, write_report
from ._draws import Report, fuzz
from ._subjects import READERS, SUBJECTS, TOOLS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the draws and print a table; return 1 where a contract was broken."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=(__doc__ or "").partition("\n")[0]
    )
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--n", type=_positive, default=100, help="draws per use of a function")
    amount.add_argument(
        "--per-function",
        type=_positive,
        metavar="N",
        help="draws per function, shared by its uses; in chunks, with a table at the end",
    )
    parser.add_argument(
        "--chunk", type=_positive, default=100, help="with --per-function: draws of one process"
    )
    parser.add_argument(
        "--limit",
        type=_positive,
        default=600,
        metavar="SECONDS",
        help="with --per-function: time after which a process is ended, which is a violation",
    )
    parser.add_argument("--seed", type=int, default=0, help="number of the first draw")
    parser.add_argument(
        "--function",
        action="append",
        metavar="NAME",
        help="a function in all its uses (age_clock), one use (age_clock:applied), 'tools' or "
        "'readers'; may be repeated; all tools by default. " + ", ".join(SUBJECTS),
    )
    parser.add_argument("--verbose", action="store_true", help="tell every draw")
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)  # of a chunk, for its parent
    given = parser.parse_args(arguments)
    names = _names(given.function or ["tools"])
    unknown = [name for name in given.function or [] if not _names([name])]
    if unknown:
        parser.error(f"unknown function {', '.join(unknown)}")
    if given.per_function is not None:
        functions = functions_of(names)
        options = {"first": given.seed, "size": given.chunk, "limit": given.limit}
        return int(in_chunks(functions, given.per_function, **options) > 0)
    mpl.use("Agg")
    reports = []
    with _quiet():
        for name in names:
            start = time.monotonic()
            reports.append(fuzz(SUBJECTS[name], given.n, given.seed, verbose=given.verbose))
            _tell(reports[-1], time.monotonic() - start)
    if given.report is not None:
        write_report(reports[-1], given.report)
    n_failures = sum(len(report.failures) for report in reports)
    print(f"{sum(report.n_draws for report in reports)} draws, {n_failures} failures")
    return int(n_failures > 0)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, found {number}")
    return number


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep warnings, notices and progress bars out of the report."""
    shown, settings.progress_bar = settings.progress_bar, False
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
        settings.progress_bar = shown


def _names(asked: Sequence[str]) -> list[str]:
    groups = {"tools": TOOLS, "readers": READERS}
    found: list[str] = []
    for name in asked:
        if name in groups:
            found += [subject.name for subject in groups[name]]
        else:
            found += [one for one in SUBJECTS if name in (one, one.partition(":")[0])]
    return list(dict.fromkeys(found))


def _tell(report: Report, seconds: float) -> None:
    errors = ", ".join(f"{kind} {n}" for kind, n in report.errors.most_common())
    print(
        f"{report.name:<26} {report.n_draws:>5} draws {report.n_returned:>5} returned   "
        f"{errors or 'no errors'}   {len(report.failures)} failures   {seconds:.0f} s"
    )
    for failure in report.failures:
        print(f"    --function {report.name} --seed {failure.seed} --n 1   {failure.what}")
        for problem in failure.problems:
            print(f"        {problem}")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
