"""A few draws of the fuzzer for every function; `python -m tests.fuzz` makes as many as wanted."""

from __future__ import annotations

import numpy as np
import pytest

from ..fuzz import __main__ as command
from ..fuzz._case import Case
from ..fuzz._draws import draw, fuzz
from ..fuzz._mutations import MUTATIONS, apply
from ..fuzz._subjects import READERS, SUBJECTS, TOOLS

N_TOOL_DRAWS, N_READER_DRAWS = 10, 4


def failures(subject, n):
    report = fuzz(subject, n)
    assert report.n_draws == n
    assert report.n_returned + report.errors.total() + len(report.failures) == n
    return [f"{one.seed}: {one.what}: {'; '.join(one.problems)}" for one in report.failures]


@pytest.mark.parametrize("subject", TOOLS, ids=lambda subject: subject.name)
def test_tools_keep_their_contract(subject):
    assert failures(subject, N_TOOL_DRAWS) == []


@pytest.mark.parametrize("subject", READERS, ids=lambda subject: subject.name)
def test_readers_keep_their_contract(subject):
    assert failures(subject, N_READER_DRAWS) == []


def test_every_public_function_is_tried():
    from sctools import get, pl, pp, tl

    public = {
        f"{space.__name__.rpartition('.')[2]}.{name}"
        for space in (get, pl, pp, tl)
        for name in space.__all__
    }
    tried = {
        f"{subject.function.__module__.split('.')[1]}.{subject.function.__name__}"
        for subject in SUBJECTS.values()
    }
    assert public - tried == {"pp.GeneMatch"}  # a result, and nothing to call


def test_a_draw_is_made_from_its_number(tmp_path):
    subject = SUBJECTS["match_genes"]
    first = [draw(subject, seed, tmp_path).what for seed in range(30)]
    assert [draw(subject, seed, tmp_path).what for seed in range(30)] == first
    assert len(set(first)) > 20
    assert "unchanged" in {draw(subject, seed, tmp_path).what for seed in range(200)}


@pytest.mark.parametrize("one", MUTATIONS, ids=lambda one: one.name)
def test_every_mutation_has_something_to_change(one, tmp_path):
    """A mutation that never applies would test nothing, and nobody would notice."""
    subjects = [subject for subject in SUBJECTS.values() if one.family in subject.families]
    assert subjects
    for number in range(40):
        subject = subjects[number % len(subjects)]
        folder = tmp_path / str(number)
        folder.mkdir()
        case = Case(subject, subject.base(), subject.kwargs(), folder)
        if apply([one], case, np.random.default_rng(number)):
            return
    pytest.fail("it never applied")


def test_command(capsys):
    assert command.main(["--n", "3", "--function", "match_genes", "--seed", "5"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("match_genes")
    assert "3 draws" in printed
    assert printed.rstrip().endswith("3 draws, 0 failures")


def test_command_tells_failures(capsys, monkeypatch):
    def broken(adata, **kwargs):
        raise OSError("nothing works")

    subject = SUBJECTS["match_genes"]._replace(function=broken)
    monkeypatch.setitem(SUBJECTS, "match_genes", subject)
    assert command.main(["--n", "2", "--function", "match_genes", "--seed", "7", "--verbose"]) == 1
    printed = capsys.readouterr().out
    assert "--function match_genes --seed 7 --n 1" in printed
    assert "--function match_genes --seed 8 --n 1" in printed
    assert "OSError is not documented" in printed
    assert "match_genes 7: " in printed
    assert printed.rstrip().endswith("2 draws, 2 failures")


def test_names_of_functions(capsys):
    assert command._names(["age_clock"]) == [
        "age_clock", "age_clock:applied", "age_clock:linear", "age_clock:published",
    ]  # fmt: skip
    assert command._names(["age_clock:applied", "age_clock:applied"]) == ["age_clock:applied"]
    assert command._names(["tools", "readers"]) == list(SUBJECTS)
    with pytest.raises(SystemExit):
        command.main(["--function", "nothing"])
    assert "unknown function nothing" in capsys.readouterr().err
