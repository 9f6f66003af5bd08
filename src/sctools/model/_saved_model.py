"""Saved models: tensors and JSON, read without unpickling."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .._ranks import is_first_rank


class SavedFormat(NamedTuple):
    """How a kind of model is saved.

    Attributes
    ----------
    name
        Name of the format, written into the files.
    version
        Its version; files of newer versions are refused.
    stem
        Name of the files before the suffix.
    model
        Class of the models, for messages.
    """

    name: str
    version: int
    stem: str
    model: str

    @property
    def files(self) -> tuple[str, str]:
        """Names of the description and of the tensors."""
        return f"{self.stem}.json", f"{self.stem}.safetensors"


AGE_CLOCK = SavedFormat("sctools-age-clock", 1, "clock", "AgeClock")
LINEAR_CLOCK = SavedFormat("sctools-linear-clock", 1, "linear_clock", "LinearClock")
PUBLISHED_CLOCK = SavedFormat("sctools-published-clock", 1, "published_clock", "PublishedClock")
PRIOR_TRANSFORMER = SavedFormat("sctools-prior-transformer", 1, "transformer", "PriorTransformer")


def write_model(
    saved: SavedFormat,
    folder: Path,
    description: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    *,
    overwrite: bool,
) -> None:
    """Write a model to ``folder``; raise ``FileExistsError`` rather than replace one unasked.

    On several devices the first process writes, and the others do nothing.
    """
    if not is_first_rank():
        return
    json_name, tensor_name = saved.files
    for name in saved.files:
        if (folder / name).exists() and not overwrite:
            raise FileExistsError(
                f"{folder / name} exists. Choose another directory or pass `overwrite=True`."
            )
    head = {"format": saved.name, "format_version": saved.version}
    text = json.dumps({**head, **description}, indent=1)
    folder.mkdir(parents=True, exist_ok=True)
    # Written whole beside the old files and then moved, so that a failure leaves these as they are.
    drafts = {name: folder / f".{name}.part" for name in (tensor_name, json_name)}
    try:
        save_file({k: v.contiguous().cpu() for k, v in tensors.items()}, drafts[tensor_name])
        drafts[json_name].write_text(text + "\n", encoding="utf-8")
        # safetensors lets nobody else read its file, whatever the user's umask says.
        drafts[tensor_name].chmod(drafts[json_name].stat().st_mode)
        for name, draft in drafts.items():
            draft.replace(folder / name)
    except SafetensorError as error:
        raise OSError(f"The model could not be saved to {str(folder)!r}: {error}") from error
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)


def read_model(saved: SavedFormat, folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read description and tensors; raise ``ValueError`` on anything but a whole saved model."""
    json_name, tensor_name = saved.files
    expected = (
        f"Expected a directory written by `sctools.model.{saved.model}.save`, with {json_name} and "
        f"{tensor_name}"
    )
    if not folder.is_dir():
        raise ValueError(f"{expected}; {str(folder)!r} is not a directory.")
    missing = [name for name in saved.files if not (folder / name).is_file()]
    if missing:
        found = sorted(path.name for path in folder.iterdir())
        raise ValueError(f"{expected}; {str(folder)!r} lacks {missing} (found: {found[:10]}).")
    try:
        description = json.loads((folder / json_name).read_text(encoding="utf-8"))
        tensors = load_file(folder / tensor_name)
    except (json.JSONDecodeError, UnicodeDecodeError, SafetensorError) as error:
        raise ValueError(
            f"{expected}; {str(folder)!r} is damaged or cut short ({error}). Save or copy it again."
        ) from error
    if not isinstance(description, dict) or description.get("format") != saved.name:
        raise ValueError(f"{expected}; {str(folder / json_name)!r} describes something else.")
    version = description.get("format_version")
    if not isinstance(version, int):
        raise ValueError(f"{expected}; {str(folder / json_name)!r} describes something else.")
    if version > saved.version:
        raise ValueError(
            f"{str(folder)!r} was saved by a newer sctools (format {version}, this one "
            f"reads up to {saved.version}). Upgrade sctools-ml."
        )
    return description, tensors


@contextmanager
def fitting_files(folder: Path) -> Iterator[None]:
    """Raise ``ValueError`` where what :func:`read_model` gave does not make a model."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{str(folder)!r} is not a whole saved model: its files do not fit together ({error}). "
            "Save or copy it again."
        ) from error
