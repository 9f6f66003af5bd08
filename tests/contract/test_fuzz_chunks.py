"""The table of many draws: shares, processes that give no report, and what is told."""

from __future__ import annotations

from collections import Counter

import pytest

from ..fuzz import __main__ as command
from ..fuzz import _chunks
from ..fuzz._chunks import Chunk, chunks_of
from ..fuzz._draws import Failure, Report


def drawn(report_of):
    """In place of processes."""
    return lambda chunk, limit: report_of(chunk)


def fine(chunk):
    return Report(chunk.use, chunk.n, chunk.n - 1, Counter({"ValueError": 1}), [])


def test_draws_are_shared_by_the_uses():
    chunks = list(chunks_of(["f", "f:a", "f:b"], 100, first=7, size=20))
    assert chunks[:2] == [Chunk("f", 7, 20), Chunk("f", 27, 14)]
    for use, n in {"f": 34, "f:a": 33, "f:b": 33}.items():
        numbers = [c.seed + k for c in chunks if c.use == use for k in range(c.n)]
        assert numbers == list(range(7, 7 + n))
    assert list(chunks_of(["f", "f:a"], 1, first=0, size=20)) == [Chunk("f", 0, 1)]


def test_table(capsys, monkeypatch):
    monkeypatch.setattr(_chunks, "run", drawn(fine))
    functions = ["--function", "age_clock", "--function", "match_genes"]
    assert command.main(["--per-function", "10", "--chunk", "2", *functions]) == 0
    head, clock, genes, last = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["function", "uses", "draws"]
    # Four uses of 3, 3, 2 and 2 draws, at most 2 at a time: six processes, an error in each.
    assert clock.split() == ["age_clock", "4", "10", "6", "4", "0", "ValueError", "6"]
    assert genes.split() == ["match_genes", "1", "10", "5", "5", "0", "ValueError", "5"]
    assert last == "20 draws, 0 violations"


def test_violations_are_told_with_what_makes_them_again(capsys, monkeypatch):
    def broken(chunk):
        if chunk.use == "age_clock:linear":
            return "not done within 5 s"
        failures = [Failure(chunk.seed, "X is text", ["OSError is not documented"])]
        return Report(chunk.use, chunk.n, chunk.n - 1, Counter(), failures)

    monkeypatch.setattr(_chunks, "run", drawn(broken))
    arguments = ["--per-function", "8", "--function", "age_clock", "--seed", "30"]
    assert command.main(arguments) == 1
    printed = capsys.readouterr().out
    assert "--function age_clock:applied --seed 30 --n 1   X is text" in printed
    assert "        OSError is not documented" in printed
    assert "--function age_clock:linear --seed 30 --n 2   not done within 5 s" in printed
    assert printed.rstrip().endswith("6 draws, 4 violations")


def test_reports_of_processes(tmp_path):
    failures = [Failure(3, "X is text", ["one", "two"])]
    report = Report("f", 5, 2, Counter({"KeyError": 2}), failures)
    _chunks.write_report(report, tmp_path / "report.json")
    assert _chunks.read_report(tmp_path / "report.json") == report


@pytest.mark.slow
def test_draws_in_a_process():
    report = _chunks.run(Chunk("match_genes", 5, 3), limit=300)
    assert isinstance(report, Report), report
    assert (report.name, report.n_draws, report.failures) == ("match_genes", 3, [])
    assert report.n_returned + report.errors.total() == 3


def test_a_process_without_a_report():
    assert _chunks.run(Chunk("match_genes", 0, 1), limit=0.01) == "not done within 0.01 s"


def test_a_process_that_dies(monkeypatch, tmp_path):
    monkeypatch.setattr(_chunks, "ROOT", tmp_path)  # where there are no tests
    monkeypatch.delenv("PYTHONPATH", raising=False)
    told = _chunks.run(Chunk("f", 0, 1), limit=300)
    assert told.startswith("ended with 1: ")
    assert "No module named" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--per-function", "0"], "expected at least 1, found 0"),
        (["--per-function", "5", "--chunk", "-1"], "expected at least 1, found -1"),
        (["--per-function", "5", "--n", "5"], "not allowed with"),
    ],
)
def test_wrong_usage(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
