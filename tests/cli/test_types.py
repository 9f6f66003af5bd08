from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ._cli import FakeTool, invoke


def options(cells: Path, tool: FakeTool, *arguments: str) -> dict[str, Any]:
    done = invoke("age-clock", cells, "-o", "out.h5ad", *arguments)
    assert done.exit_code == 0, done.output
    return tool.options


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["--rng", "7"], "rng", 7),
        (["--rng", "random"], "rng", None),
        (["--age-key", ""], "age_key", None),
        (["--layer", "counts"], "layer", "counts"),
        (["--covariate-keys", "sex"], "covariate_keys", ["sex"]),
        (["--covariate-keys", "sex", "--covariate-keys", "a=b"], "covariate_keys", ["sex", "a=b"]),
        (["--covariate-keys", "sex=gender"], "covariate_keys", {"sex": "gender"}),
        (["--model-kwargs", '{"head": [8]}'], "model_kwargs", {"head": [8]}),
        (["--log-normalized"], "log_normalized", True),
        (["--level", "0.5"], "level", 0.5),
    ],
)
def test_values(
    cells: Path, tool: FakeTool, arguments: list[str], name: str, value: object
) -> None:
    assert options(cells, tool, *arguments)[name] == value


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rng", "-1"], "neither a whole number from 0 nor 'random'"),
        (["--rng", "x"], "neither a whole number from 0 nor 'random'"),
        (["--model-kwargs", "{a: 1}"], "no JSON"),
        (["--model-kwargs", "[1]"], "no JSON object"),
        (["--level", "1"], "not in the range 0<x<1"),
        (["--n-folds", "1"], "not in the range x>=2"),
        (["--method", "forest"], "'forest' is not one of 'gma'"),
        (["--epochs", "1"], "No such option"),
    ],
)
def test_wrong_values(cells: Path, tool: FakeTool, arguments: list[str], said: str) -> None:
    done = invoke("age-clock", cells, "-o", "out.h5ad", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stdout == ""
    assert tool.in_blocks is None, "it was run"


def test_modalities(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTool()
    monkeypatch.setattr("sctools.tl.srsa_vae", fake)
    pairs = ["--modalities", "rna_layer=gex", "--modalities", "protein_layer=adt"]
    assert invoke("srsa-vae", cells, "-o", "out.h5ad", *pairs).exit_code == 0
    assert fake.options["modalities"] == {"rna_layer": "gex", "protein_layer": "adt"}
    done = invoke("srsa-vae", cells, "-o", "b.h5ad", "--modalities", "gex")
    assert done.exit_code == 2
    assert "Expected NAME=VALUE" in done.stderr
