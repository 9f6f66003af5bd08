from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from sctools import settings

LOGGER = logging.getLogger("sctools")


@pytest.mark.parametrize(
    ("value", "name", "level"),
    [
        ("error", "error", logging.ERROR),
        ("WARNING", "warning", logging.WARNING),
        (2, "info", logging.INFO),
        (3, "hint", 15),
        ("debug", "debug", logging.DEBUG),
    ],
)
def test_verbosity(value: int | str, name: str, level: int) -> None:
    settings.verbosity = value
    assert settings.verbosity.name == name
    assert LOGGER.level == level


@pytest.mark.parametrize("value", [5, -1, "loud"])
def test_unknown_verbosity(value: int | str) -> None:
    before = settings.verbosity
    with pytest.raises(ValueError, match=r"unknown. Known: 'error' \(0\)"):
        settings.verbosity = value
    assert settings.verbosity is before


@pytest.mark.parametrize("value", [True, 1.5, None])
def test_verbosity_of_wrong_type(value: object) -> None:
    with pytest.raises(TypeError, match="a name or a number"):
        settings.verbosity = value


def test_progress_bar() -> None:
    settings.progress_bar = True
    assert settings.progress_bar is True
    with pytest.raises(TypeError, match="True or False, found 'yes'"):
        settings.progress_bar = "yes"


def test_repr() -> None:
    settings.verbosity = "hint"
    assert repr(settings) == "Settings(verbosity='hint', progress_bar=False)"


def stderr(before: str) -> list[str]:
    code = (
        f"import logging; {before}\n"
        "from sctools import settings\n"
        "logger = logging.getLogger('sctools.tl')\n"
        "logger.info('one'); logger.debug('two')\n"
        "settings.verbosity = 'warning'\n"
        "logger.info('three'); logger.warning('four')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_info_is_shown_by_default() -> None:
    assert stderr("") == ["one", "four"]


def test_application_formats_messages_once() -> None:
    set_up = "logging.basicConfig(format='app: %(message)s', level='ERROR')"
    assert stderr(set_up) == ["app: one", "app: four"]


def test_own_handler_replaces_ours() -> None:
    set_up = "logging.getLogger('sctools').addHandler(logging.StreamHandler())"
    assert stderr(set_up) == ["one", "four"]


def test_level_chosen_before_is_kept() -> None:
    assert stderr("logging.getLogger('sctools').setLevel('ERROR')") == ["four"]
