from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import pytest

mpl.use("Agg")
# The tests' networks are tiny: on a busy machine, threads would mostly wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
if "numba" not in sys.modules:  # or it has its threads, and fails where their number is changed
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")

if TYPE_CHECKING:
    from anndata import AnnData

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--at-least", type=int, default=0, metavar="N", help="fail unless N tests have passed"
    )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A selection in which all is skipped, or most is gone, must not look like a success."""
    least = session.config.getoption("--at-least")
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not least or reporter is None:
        return
    n_passed = len(reporter.stats.get("passed", []))
    print(f"\n{n_passed} tests have passed, at least {least} have to")
    if n_passed < least and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data; the test is skipped where there is none."""
    folder = Path(os.environ.get("SCTOOLS_TEST_DATA", ROOT / ".." / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real data: set SCTOOLS_TEST_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def cohort() -> AnnData:
    """A small simulated cohort, shared by all tests: copy it before changing it."""
    from sctools.datasets import aging_cohort

    return aging_cohort(n_donors=16, n_genes=200, cells_per_donor=12, n_age_genes=40, rng=0)


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    from matplotlib import pyplot as plt

    plt.close("all")


@pytest.fixture(autouse=True)
def _keep_settings() -> Iterator[None]:
    """Give back the settings as they were, and keep progress bars out of the output."""
    from sctools import settings

    verbosity, progress_bar = settings.verbosity, settings.progress_bar
    settings.progress_bar = False
    yield
    settings.verbosity, settings.progress_bar = verbosity, progress_bar
