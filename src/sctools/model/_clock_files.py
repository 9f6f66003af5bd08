"""Files of ready-made clocks: found where the user says, in the cache, or downloaded."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .._extras import import_extra
from .._validate import listing
from ._registered_clocks import ClockFile, RegisteredClock

logger = logging.getLogger("sctools")

CACHE_VARIABLE = "SCTOOLS_CACHE_DIR"
"""Environment variable that names the folder for downloads."""

Files = Mapping[str, str | os.PathLike[str]] | str | os.PathLike[str]


def find_files(
    name: str, clock: RegisteredClock, files: Files | None, *, progress_bar: bool
) -> dict[str, Path]:
    """Path of every file of a clock, by its key; optional ones may be left out.

    Parameters
    ----------
    name
        Name of the clock.
    clock
        The clock.
    files
        Paths by key, or a folder with files of the published names. What is not there is taken from
        the cache or downloaded, but for optional files.
    progress_bar
        Show a progress bar for downloads.

    Raises
    ------
    FileNotFoundError
        A given file does not exist, or one that has to be given is not there.
    ImportError
        Something must be downloaded and pooch is missing.
    OSError
        A download failed.
    ValueError
        ``files`` names unknown files, or a file is not the published one.
    """
    found = _given(name, clock, files)
    for key, path in found.items():
        _check(name, key, clock.files[key], path)
    wanted = {
        key: file
        for key, file in clock.files.items()
        if key not in found and (file.required or files is None)
    }
    if wanted:
        found |= _fetch(name, clock, wanted, progress_bar=progress_bar)
    return {key: found[key] for key in clock.files if key in found}


def _fetch(
    name: str, clock: RegisteredClock, wanted: Mapping[str, ClockFile], *, progress_bar: bool
) -> dict[str, Path]:
    """Path of every wanted file in the cache, downloaded if it is not there."""
    folder = cache_folder() / name
    found = {
        key: folder / file.name
        for key, file in wanted.items()
        if (folder / file.name).is_file()
        and (file.sha256 is None or sha256(folder / file.name) == file.sha256)
    }
    by_hand = [key for key, file in wanted.items() if file.sha256 is None and key not in found]
    if by_hand:
        raise FileNotFoundError(_ask_for(name, clock, by_hand, folder))
    for key, file in wanted.items():
        if key in found:
            continue
        try:
            found[key] = _download(name, key, file, folder, progress_bar=progress_bar)
        except (OSError, ValueError) as error:
            if file.required:
                raise
            logger.warning("The clock %r goes without %r: %s", name, key, error)
    return found


def cache_folder() -> Path:
    """Folder for files of clocks: ``$SCTOOLS_CACHE_DIR/clocks``, or in the user's cache."""
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE]).expanduser() / "clocks"
    return Path(_pooch().os_cache("sctools")) / "clocks"


def sha256(path: Path) -> str:
    """Checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _given(name: str, clock: RegisteredClock, files: Files | None) -> dict[str, Path]:
    if files is None:
        return {}
    if not isinstance(files, Mapping):
        folder = Path(files)
        if not folder.is_dir():
            raise FileNotFoundError(
                f"`files={str(files)!r}` is not a folder. Expected a folder with "
                f"{listing(f.name for f in clock.files.values())}, or a mapping from "
                f"{listing(clock.files)} to paths."
            )
        paths = {key: folder / file.name for key, file in clock.files.items()}
        return {key: path for key, path in paths.items() if path.is_file()}
    unknown = [key for key in files if key not in clock.files]
    if unknown:
        raise ValueError(
            f"`files` names {listing(unknown)}, which the clock {name!r} does not have. Expected "
            f"{listing(clock.files)}."
        )
    found = {key: Path(path) for key, path in files.items()}
    for key, path in found.items():
        if not path.is_file():
            raise FileNotFoundError(f"`files[{key!r}]`: there is no file {str(path)!r}.")
    return found


def _check(name: str, key: str, file: ClockFile, path: Path) -> None:
    if file.sha256 is not None and (actual := sha256(path)) != file.sha256:
        raise ValueError(
            f"{str(path)!r} is not the file {file.name!r} of the clock {name!r} ({key!r}): "
            f"expected the sha256 {file.sha256}{_bytes(file.size)}, found {actual}"
            f"{_bytes(path.stat().st_size)}. Download it again from {file.url}"
        )


def _ask_for(name: str, clock: RegisteredClock, keys: list[str], folder: Path) -> str:
    sources = "; ".join(f"{key!r} is {clock.files[key].url}" for key in keys)
    example = ", ".join(f"{key!r}: {clock.files[key].name!r}" for key in keys)
    return (
        f"The clock {name!r} needs local files: no checksum of {listing(keys)} is known to us, so "
        f"they are not downloaded for you. Get them yourself ({sources}) and name them: "
        f"`sctools.model.load_clock({name!r}, files={{{example}}})`, or put them into "
        f"{str(folder)!r}."
    )


def _download(name: str, key: str, file: ClockFile, folder: Path, *, progress_bar: bool) -> Path:
    pooch = _pooch()
    path = folder / file.name
    logger.info("Downloading %s%s to %s", file.url, _bytes(file.size), folder)
    by_hand = (
        f"Get it elsewhere and put it at {str(path)!r}, or name it: "
        f"`sctools.model.load_clock({name!r}, files={{{key!r}: 'path/to/{file.name}'}})`."
    )
    try:
        with _quiet(pooch):
            fetched = pooch.retrieve(
                file.url,
                known_hash=f"sha256:{file.sha256}",
                fname=file.name,
                path=folder,
                downloader=pooch.HTTPDownloader(progressbar=progress_bar),
            )
    except ValueError as error:  # pooch has removed the download already
        raise ValueError(
            f"What was downloaded from {file.url} is not the file {file.name!r} of the clock "
            f"{name!r}: its sha256 is not {file.sha256}. It was not kept. The download was cut "
            f"short or changed on the way, or the file was replaced at its source; try again. "
            f"{by_hand}"
        ) from error
    except OSError as error:
        raise OSError(
            f"{file.url} could not be downloaded ({type(error).__name__}: {error}). Without a "
            f"network: {by_hand} Its sha256 is {file.sha256}{_bytes(file.size)}."
        ) from error
    return Path(fetched)


def _bytes(size: int | None) -> str:
    return "" if size is None else f" ({size:,} bytes)"


def _pooch() -> Any:
    return import_extra("pooch", extra="clocks", purpose="Downloading a ready-made clock")


@contextlib.contextmanager
def _quiet(pooch: Any) -> Iterator[None]:
    """Leave it to us to say what is downloaded."""
    log = pooch.get_logger()
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)
