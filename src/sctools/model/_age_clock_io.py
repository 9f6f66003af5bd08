"""Saved age clocks: tensors and JSON, read without unpickling."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

FORMAT = "sctools-age-clock"
FORMAT_VERSION = 1
DESCRIPTION = "clock.json"
TENSORS = "clock.safetensors"


def write_clock(
    folder: Path, description: Mapping[str, Any], tensors: Mapping[str, Tensor], *, overwrite: bool
) -> None:
    """Write a clock to ``folder``; raise ``FileExistsError`` rather than replace one unasked."""
    for name in (DESCRIPTION, TENSORS):
        if (folder / name).exists() and not overwrite:
            raise FileExistsError(
                f"{folder / name} exists. Choose another directory or pass `overwrite=True`."
            )
    head = {"format": FORMAT, "format_version": FORMAT_VERSION}
    text = json.dumps({**head, **description}, indent=1)
    folder.mkdir(parents=True, exist_ok=True)
    # Written whole beside the old files and then moved, so that a failure leaves these as they are.
    drafts = {name: folder / f".{name}.part" for name in (TENSORS, DESCRIPTION)}
    try:
        save_file({k: v.contiguous().cpu() for k, v in tensors.items()}, drafts[TENSORS])
        drafts[DESCRIPTION].write_text(text + "\n", encoding="utf-8")
        for name, draft in drafts.items():
            draft.replace(folder / name)
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)


def read_clock(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read description and tensors; raise ``ValueError`` on anything but a whole saved clock."""
    expected = (
        f"Expected a directory written by `sctools.model.AgeClock.save`, with {DESCRIPTION} and "
        f"{TENSORS}"
    )
    if not folder.is_dir():
        raise ValueError(f"{expected}; {str(folder)!r} is not a directory.")
    missing = [name for name in (DESCRIPTION, TENSORS) if not (folder / name).is_file()]
    if missing:
        found = sorted(path.name for path in folder.iterdir())
        raise ValueError(f"{expected}; {str(folder)!r} lacks {missing} (found: {found[:10]}).")
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        tensors = load_file(folder / TENSORS)
    except (json.JSONDecodeError, UnicodeDecodeError, SafetensorError) as error:
        raise ValueError(
            f"{expected}; {str(folder)!r} is damaged or cut short ({error}). Save or copy it again."
        ) from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise ValueError(f"{expected}; {str(folder / DESCRIPTION)!r} describes something else.")
    version = description.get("format_version")
    if not isinstance(version, int):
        raise ValueError(f"{expected}; {str(folder / DESCRIPTION)!r} describes something else.")
    if version > FORMAT_VERSION:
        raise ValueError(
            f"{str(folder)!r} was saved by a newer sctools (format {version}, this one "
            f"reads up to {FORMAT_VERSION}). Upgrade sctools-ml."
        )
    return description, tensors
