"""The benchmark of the import: what is reported of given times, and that it can fail."""

from __future__ import annotations

import importlib

import pytest


@pytest.fixture
def script(benchmarks):
    return importlib.import_module("import_time")


@pytest.mark.parametrize(
    ("sctools", "anndata", "good"),
    [
        ([30, 34, 50], [1020, 1520, 1320], True),
        ([30, 34, 50], [120, 150, 130], False),  # too long beside anndata
        ([80, 80, 80], [5020, 5520, 5320], False),  # too long in itself
    ],
)
def test_medians_above_the_empty_program(script, sctools, anndata, good):
    times = {"nothing": [20, 22, 20], "sctools": sctools, "anndata": anndata}
    text, as_asked = script.report(times)
    assert as_asked is good
    if good:
        assert "14.0 ms above nothing" in text
        assert "0.011, in single rounds 0.008 to 0.023" in text


def test_programs_are_run_in_turn(script, monkeypatch):
    ran = []
    monkeypatch.setattr(script, "run", lambda code: ran.append(code) or float(len(ran)))
    times = script.measure(2)
    assert ran == ["pass", "import sctools", "import anndata"] * 3
    assert times == {"nothing": [4, 7], "sctools": [5, 8], "anndata": [6, 9]}


def test_a_program_that_fails_is_no_time(script):
    assert script.run("pass") > 0
    with pytest.raises(Exception, match="exit status 1"):
        script.run("raise SystemExit(1)")
