"""One call, watched: how it ended, and what it changed."""

from __future__ import annotations

import contextlib
import copy
import dis
import io
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import anndata as ad
import numpy as np
from anndata import AnnData
from matplotlib import pyplot as plt
from mudata import MuData

import sctools

from .._compare import assert_same, snapshot
from .._documented import documented_errors
from .._global_state import global_state
from ._case import Case

SOURCE = str(Path(sctools.__file__).parent)
SECONDS = 60.0
"""After so many a call counts as hanging."""


class Hang(BaseException):
    """Raised from the alarm; no ``except Exception`` on the way holds it up."""


class Outcome(NamedTuple):
    """How a call ended.

    Attributes
    ----------
    error
        Name of the exception, ``""`` where the call returned.
    problems
        What is wrong with that; empty where nothing is.
    """

    error: str
    problems: list[str]


def attempt(case: Case, *, seconds: float = SECONDS, source: str = SOURCE) -> Outcome:
    """Call the function and say what broke its contract.

    Parameters
    ----------
    case
        The call.
    seconds
        Time after which it is interrupted.
    source
        Folder of the code whose messages count as documented.
    """
    subject = case.subject
    before, kwargs, state = _snapshots(case), _own_copy(case.kwargs), global_state()
    found = call(subject.function, case.data, case.kwargs, seconds=seconds, source=source)
    problems = list(found.problems)
    if not _is_same(global_state(), state):
        problems.append("the global state was changed")
    if not _is_same(_own_copy(case.kwargs), kwargs):
        problems.append("the arguments were changed")
    written = () if found.error or case.kwargs.get("copy") else _written(case)
    problems += [f"changed: {what}" for what in _changes(case, before, written)]
    if not found.error:
        target = _target(case, found.value)
        problems += _unstorable(case, target)
        for reader in subject.then:
            key = {"key": case.key_added}
            after = call(reader, target, key, seconds=seconds, source=source)
            problems += [f"then {reader.__name__}: {problem}" for problem in after.problems]
    plt.close("all")
    return Outcome(found.error, problems)


class Called(NamedTuple):
    """How a single call ended: see :class:`Outcome`; ``value`` is what it returned."""

    error: str
    problems: list[str]
    value: Any


def call(
    function: Callable[..., Any],
    data: AnnData | MuData,
    kwargs: dict[str, Any],
    *,
    seconds: float = SECONDS,
    source: str = SOURCE,
) -> Called:
    """Call a function under an alarm, and judge the exception it raises."""
    try:
        with _quietly(), _alarm(seconds):
            return Called("", [], function(data, **kwargs))
    except Hang:
        return Called("Hang", [f"no answer within {seconds:g} s"], None)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        kind, problems = type(error).__name__, []
        if not isinstance(error, documented_errors(function)):
            problems.append(f"{kind} is not documented{_place(error)}: {_first_line(error)}")
        elif not _is_own(error, source):
            problems.append(f"{kind} is not of our own{_place(error)}: {_first_line(error)}")
        return Called(kind, problems, None)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(*_: Any) -> None:
        raise Hang

    earlier = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)


def _is_own(error: BaseException, source: str) -> bool:
    """Whether a ``raise`` statement in our code made it, not Python or a library on the way."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    if step is None:
        return False
    code = step.tb_frame.f_code
    raised = dis.opname[code.co_code[step.tb_lasti]] == "RAISE_VARARGS"
    return raised and code.co_filename.startswith(source)


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    last = frames[-1]
    text = f" ({'/'.join(Path(last.filename).parts[-2:])}:{last.lineno}"
    ours = [frame for frame in frames if frame.filename.startswith(SOURCE)]
    if ours and ours[-1] is not last:
        place = Path(ours[-1].filename).relative_to(SOURCE)
        text += f", from {place}:{ours[-1].lineno}"
    return text + ")"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:160]


# ------------------------------------------------------------------------- what was changed


def _snapshots(case: Case) -> list[dict[str, Any]]:
    return [_snapshot(data) for data in (case.data, *case.parents)]


def _snapshot(data: AnnData | MuData) -> dict[str, Any]:
    return snapshot(data.to_memory() if _in_file(data) else data)


def _in_file(data: AnnData | MuData) -> bool:
    return isinstance(data, AnnData) and data.isbacked


def _own_copy(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Copy what can be copied; models and generators are compared as objects."""
    plain = (dict, list, np.ndarray)
    return {
        name: copy.deepcopy(value) if isinstance(value, plain) or hasattr(value, "columns") else 0
        for name, value in kwargs.items()
    }


def _is_same(found: Any, expected: Any) -> bool:
    try:
        assert_same(found, expected)
    except AssertionError:
        return False
    return True


def _written(case: Case) -> tuple[str, ...]:
    return tuple(dict.fromkeys(case.subject.writes(case.key_added, case.kwargs)))


def _changes(case: Case, before: list[dict[str, Any]], written: tuple[str, ...]) -> list[str]:
    """Say what differs from before, leaving out what may be written."""
    found = []
    for i, (now, then) in enumerate(zip(_snapshots(case), before, strict=True)):
        now, then = (_without(parts, written if i == 0 else ()) for parts in (now, then))
        where = "" if i == 0 else "the parent's "
        for name, value in then.items():
            try:
                assert_same(now[name], value, name)
            except AssertionError as error:
                found.append(f"{where}{name} ({_first_line(error)})")
    return found


def _without(parts: dict[str, Any], written: tuple[str, ...]) -> dict[str, Any]:
    parts = dict(parts)
    for slot in ("obs", "var"):
        table = parts[slot]
        kept = table.loc[:, [column not in written for column in table.columns]]
        # Labels that are numbers are of another dtype beside the name of a new column.
        kept.columns = kept.columns.infer_objects()
        parts[slot] = kept
    for slot in ("obsm", "uns"):
        parts[slot] = {name: value for name, value in parts[slot].items() if name not in written}
    if "mod" in parts:
        parts["mod"] = {name: _without(part, written) for name, part in parts["mod"].items()}
    if written and parts.pop("is_view") and "mod" in parts:
        del parts["obs"], parts["var"]  # MuData makes them anew where a view is written to
    return parts


# ------------------------------------------------------------------------- the result


def _target(case: Case, value: Any) -> Any:
    """What the result was written to."""
    if not case.kwargs.get("copy"):
        return case.data
    return value[0] if isinstance(value, tuple) else value


def _unstorable(case: Case, target: Any) -> list[str]:
    """Write what the call wrote to a file, if it wrote anything."""
    names = _written(case)
    if not names or not isinstance(target, AnnData | MuData):
        return []
    adata = target.mod["rna"] if isinstance(target, MuData) else target
    new = AnnData(obs=adata.obs[[name for name in names if name in adata.obs.columns]].copy())
    new.obs_names = [str(i) for i in range(new.n_obs)]
    for name in names:
        if name in adata.obsm:
            value = adata.obsm[name]
            new.obsm[name] = value.set_axis(new.obs_names) if hasattr(value, "iloc") else value
        if name in adata.uns:
            new.uns[name] = adata.uns[name]
    path = case.folder / "result.h5ad"
    try:
        with _quietly():
            new.write_h5ad(path)
            back = ad.read_h5ad(path)
        assert set(back.uns) == set(new.uns)
    except Exception as error:
        return [f"the result cannot be stored{_place(error)}: {_first_line(error)}"]
    return []
