"""Checkpoints of interrupted work: files that are whole, and known by the run they belong to."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from .._ranks import is_first_rank

MAGIC = b"sctools checkpoint 1\n"
"""First line of the file; then the digest of what follows, on a line of its own."""

CHECKPOINT = "training.ckpt"
"""Name of the file for a training of a single model."""

MEND = "delete it to start anew, or name another directory"


class Checkpoint:
    """A file that holds the state of a run, and the fingerprint of that run.

    Parameters
    ----------
    path
        The file; its directory is made when it is first written.
    fingerprint
        What the run depends on, by names for messages; see
        :func:`sctools.model._fingerprint.fingerprint`.
    """

    def __init__(self, path: Path, fingerprint: Mapping[str, str]) -> None:
        self.path = path
        self.fingerprint = dict(fingerprint)
        self._readable = False

    def read(self) -> dict[str, Any] | None:
        """Return the state, ``None`` where there is no file.

        Raises
        ------
        ValueError
            The file is damaged, or belongs to a run with other arguments, data or versions.
        """
        try:
            found = self.path.read_bytes()
        except FileNotFoundError:
            return None
        content = _content(found, self.path)
        self._check(content["fingerprint"])
        return content["state"]

    def write(self, state: Mapping[str, Any]) -> None:
        """Replace the file, in one step: whatever stops it leaves the old one whole.

        Raises
        ------
        OSError
            It cannot be written, for example because the disk is full.
        TypeError
            The state holds what could not be read again.
        """
        if not is_first_rank():
            return
        buffer = io.BytesIO()
        torch.save({"fingerprint": self.fingerprint, "state": dict(state)}, buffer)
        if not self._readable:
            _check_readable(buffer)
            self._readable = True
        payload = buffer.getbuffer()
        draft = self.path.with_name(f".{self.path.name}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as file:
                file.write(MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n")
                file.write(payload)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
        except OSError as error:
            raise OSError(
                error.errno,
                f"The checkpoint {str(self.path)!r} could not be written ({error.strerror}). Make "
                "room or name another `checkpoint_dir`, and run again: an earlier checkpoint is as "
                "it was.",
            ) from error
        finally:
            draft.unlink(missing_ok=True)

    def _check(self, found: Mapping[str, str]) -> None:
        names = dict.fromkeys([*self.fingerprint, *found])
        differing = [name for name in names if found.get(name) != self.fingerprint.get(name)]
        if differing:
            told = (_difference(n, found.get(n), self.fingerprint.get(n)) for n in differing[:6])
            more = f"; and {len(differing) - 6} more" if len(differing) > 6 else ""
            raise ValueError(
                f"`checkpoint_dir` holds the checkpoint of another run, {str(self.path)!r}: "
                f"{'; '.join(told)}{more}. Run with the arguments, data and versions of then to go "
                f"on with it; {MEND}."
            )


def _check_readable(buffer: io.BytesIO) -> None:
    """Raise ``TypeError`` at the first checkpoint, not when the run is to go on."""
    buffer.seek(0)
    try:
        torch.load(buffer, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise TypeError(
            "With `checkpoint_dir` the states of callbacks and arguments must be plain values and "
            f"tensors, which are read without executing anything: {error}"
        ) from error


def _content(found: bytes, path: Path) -> dict[str, Any]:
    digest_end = len(MAGIC) + 64
    payload = found[digest_end + 1 :]
    damaged = ValueError(
        f"The checkpoint {str(path)!r} is damaged, cut short or no checkpoint: {MEND}."
    )
    if not found.startswith(MAGIC):
        raise damaged
    if hashlib.sha256(payload).hexdigest().encode() != found[len(MAGIC) : digest_end]:
        raise damaged
    content: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    return content


def _difference(name: str, was: str | None, now: str | None) -> str:
    if was is None or now is None:
        return f"{name} {'is new' if was is None else 'is gone'}"
    if was.startswith("#"):  # a digest tells a reader nothing
        return f"{name} differs"
    return f"{name} was {was}, is {now}"
