from __future__ import annotations

import io
import json

import pandas as pd

from sctools.model import clocks

from ._cli import invoke


def test_table() -> None:
    done = invoke("clocks")
    assert (done.exit_code, done.stderr) == (0, "")
    head, *lines = done.stdout.splitlines()
    assert head.split()[:3] == ["name", "species", "tissue"]
    assert [line.split()[0] for line in lines] == list(clocks().index)
    assert all(line.startswith(name) for line, name in zip(lines, clocks().index, strict=True))
    assert "2634" in lines[1]


def test_csv_has_everything() -> None:
    done = invoke("clocks", "--format", "csv")
    assert (done.exit_code, done.stderr) == (0, "")
    found = pd.read_csv(io.StringIO(done.stdout), index_col="name", keep_default_na=False)
    pd.testing.assert_frame_equal(found, clocks(), check_dtype=False)


def test_json_has_everything() -> None:
    done = invoke("clocks", "--format", "json")
    found = json.loads(done.stdout)
    assert [clock["name"] for clock in found] == list(clocks().index)
    assert set(found[0]) == {"name", *clocks().columns}
    assert found[1]["n_genes"] == clocks().loc["scimmuaging", "n_genes"]


def test_species() -> None:
    assert len(invoke("clocks", "--species", "human").stdout.splitlines()) == 1 + len(clocks())
    assert len(invoke("clocks", "--species", "axolotl").stdout.splitlines()) == 1
    assert json.loads(invoke("clocks", "--species", "axolotl", "--format", "json").stdout) == []
