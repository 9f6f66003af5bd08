"""What the user guide shows of the command line is what it prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from sctools._cli import main

from ._cli import invoke

PAGE = "docs/user_guide/command_line.md"


def blocks(root: Path) -> list[str]:
    text = (root / PAGE).read_text(encoding="utf-8")
    return re.findall(r"^```console\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """Arguments of each ``$ sctools …``, lines that go on joined."""
    joined = text.replace("\\\n", " ")
    return [shlex.split(line)[1:] for line in re.findall(r"^\s*\$ (sctools .*)$", joined, re.M)]


def test_output(root: Path) -> None:
    shown = {}
    for block in blocks(root):
        line, _, output = block.partition("\n")
        if output and "$ sctools" not in output and not line.endswith("\\"):
            shown[line.removeprefix("$ sctools ")] = output
    assert set(shown) == {
        "--help",
        "clocks",
        "age-clock --help",
        "srsa-vae --help",
        "prior-transformer --help",
    }
    for line, output in shown.items():
        assert output == invoke(*line.split()).stdout, f"$ sctools {line}"


def epilogs() -> str:
    texts = [main.epilog, *(command.epilog for command in main.commands.values())]
    return "\n".join(texts).replace("  sctools ", "$ sctools ")


def test_examples_can_be_parsed(root: Path, folder: Path) -> None:
    """Those of the page and of all help texts: no option is misspelled or missing."""
    found = [arguments for block in blocks(root) for arguments in commands(block)]
    found += commands(epilogs())
    assert len(found) > 20
    for name, *arguments in found:
        if name not in main.commands or "--help" in arguments:
            continue
        for path in map(Path, arguments[:1]):  # what is read has to be there
            path.mkdir(exist_ok=True) if path.suffix == ".zarr" else path.touch()
        if "--model" in arguments:
            Path(arguments[arguments.index("--model") + 1]).mkdir(exist_ok=True)
        main.commands[name].make_context(name, arguments)
