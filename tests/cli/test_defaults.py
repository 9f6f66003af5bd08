"""Options have the names, defaults and choices of the arguments in ``sctools.tl``."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, Literal, get_args

import click
import pytest

from sctools import tl
from sctools._cli import main

from ._cli import FakeTool, invoke

OF_FILES = {"source", "output", "force", "save_model", "quiet", "debug"}
OF_TABLES = {"age_clock": {"donors"}, "prior_transformer": {"edges"}, "srsa_vae": set()}
NOT_OFFERED = {"adata", "copy", "progress_bar", "return_model"}
"""A command reads and writes files, and has ``--quiet`` and ``--save-model``."""

TOOLS = sorted(OF_TABLES)
TRAIN = {"prior_transformer": ["--labels-key", "batch", "--net", "prior"]}
"""What has to be given."""


def command(tool: str) -> click.Command:
    return main.commands[tool.replace("_", "-")]


def arguments(tool: str) -> dict[str, inspect.Parameter]:
    found = inspect.signature(getattr(tl, tool)).parameters
    return {name: parameter for name, parameter in found.items() if name not in NOT_OFFERED}


@pytest.mark.parametrize("tool", TOOLS)
def test_names(tool: str) -> None:
    offered = {parameter.name for parameter in command(tool).params}
    assert offered == set(arguments(tool)) | OF_FILES | OF_TABLES[tool]
    for parameter in command(tool).params:
        if isinstance(parameter, click.Option):
            assert f"--{parameter.name}".replace("_", "-") in parameter.opts


@pytest.mark.parametrize("tool", TOOLS)
def test_defaults(tool: str, cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTool()
    expected = {name: parameter.default for name, parameter in arguments(tool).items()}
    given = TRAIN.get(tool, [])
    monkeypatch.setattr(tl, tool, fake)
    done = invoke(tool.replace("_", "-"), cells, "-o", "out.h5ad", *given)
    assert done.exit_code == 0, done.output
    for option, value in zip(given[::2], given[1::2], strict=True):
        expected[option.lstrip("-").replace("-", "_")] = value
    assert fake.options == {**expected, "return_model": False}


@pytest.mark.parametrize("tool", TOOLS)
def test_every_default_can_be_written_out(
    tool: str, cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever help shows as a default can be given, and ``''`` where the default is None."""
    fake = FakeTool()
    expected = {name: parameter.default for name, parameter in arguments(tool).items()}
    monkeypatch.setattr(tl, tool, fake)
    given = list(TRAIN.get(tool, []))
    by_name = {parameter.name: parameter for parameter in command(tool).params}
    for name, default in expected.items():
        option = by_name[name]
        if option.opts[-1] in given or (default is None and option.type.name != "name"):
            continue
        if option.is_flag:
            given.append(option.opts[-1] if default else option.secondary_opts[-1])
        elif not option.multiple:
            given += [option.opts[-1], "" if default is None else default]
    done = invoke(tool.replace("_", "-"), cells, "-o", "out.h5ad", *given)
    assert done.exit_code == 0, done.output
    for name in TRAIN.get(tool, [])[::2]:
        expected.pop(name.lstrip("-").replace("-", "_"))
    assert {name: fake.options[name] for name in expected} == expected


def literals(tool: str) -> list[Any]:
    found = []
    for name, parameter in arguments(tool).items():
        if str(parameter.annotation).startswith("Literal["):
            choices = get_args(eval(parameter.annotation, {"Literal": Literal}))
            found.append(pytest.param(tool, name, choices, id=f"{tool}-{name}"))
    return found


@pytest.mark.parametrize(
    ("tool", "name", "choices"), [*literals("srsa_vae"), *literals("prior_transformer")]
)
def test_choices(tool: str, name: str, choices: tuple[str, ...]) -> None:
    (option,) = (p for p in command(tool).params if p.name == name)
    assert tuple(option.type.choices) == choices


def test_methods() -> None:
    pytest.importorskip("torch")
    from sctools.model._clock_methods import METHODS

    (option,) = (p for p in command("age_clock").params if p.name == "method")
    assert sorted(option.type.choices) == sorted(METHODS)


def all_options() -> list[Any]:
    return [
        pytest.param(option, id=f"{name}{option.opts[-1]}")
        for name, found in main.commands.items()
        for option in found.params
        if isinstance(option, click.Option)
    ]


@pytest.mark.parametrize("option", all_options())
def test_help_texts(option: click.Option) -> None:
    assert option.help
    assert option.help[0].isupper() or option.help.startswith("hard ")
    assert option.help.endswith(".")


@pytest.mark.parametrize("name", ["", *main.commands])
def test_help_ends_with_examples(name: str) -> None:
    done = invoke(*filter(None, [name]), "--help")
    assert done.exit_code == 0
    assert done.stderr == ""
    examples = done.stdout.partition("Examples:\n")[2].splitlines()
    assert sum(line.strip().startswith("sctools ") for line in examples) >= 2
    assert max(map(len, done.stdout.splitlines())) <= 100
