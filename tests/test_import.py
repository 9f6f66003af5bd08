"""What importing does, each seen from a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

MODELS = ["lightning", "scvi", "torch"]
HEAVY = ["anndata", "matplotlib", "numpy", "pandas", "scanpy", "scipy", "seaborn", *MODELS]


def python(code: str, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, *options, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded(code: str, names: list[str]) -> list[str]:
    return json.loads(
        python(
            f"{code}\nimport json, sys\nprint(json.dumps([n for n in {names} if n in sys.modules]))"
        )
    )


def test_import_loads_no_dependency() -> None:
    assert loaded("import sctools", HEAVY) == []


def test_settings_load_no_dependency() -> None:
    assert loaded("import sctools; sctools.settings.verbosity = 1", HEAVY) == []


def test_command_line_is_loaded_by_itself_only() -> None:
    assert loaded("import sctools", ["click", "sctools._cli"]) == []
    assert loaded("import sctools._cli", HEAVY) == []


def test_table_of_clocks_loads_no_model_library() -> None:
    assert loaded("import sctools; sctools.model.clocks()", MODELS) == []


def test_unknown_model() -> None:
    import sctools

    with pytest.raises(AttributeError, match="no attribute 'Clock'"):
        sctools.model.Clock  # noqa: B018
    assert {"AgeClock", "clocks", "load_clock"} <= set(dir(sctools.model))


def test_import_emits_no_warning() -> None:
    python("import sctools", "-W", "error")


@pytest.mark.parametrize("namespace", ["datasets", "get", "model", "pl", "pp", "tl"])
def test_namespace_loads_no_model_library(namespace: str) -> None:
    assert loaded(f"import sctools.{namespace}", MODELS) == []


@pytest.mark.parametrize("namespace", ["datasets", "get", "model", "pl", "pp", "tl"])
def test_namespace_is_reached_as_attribute(namespace: str) -> None:
    python(f"import sctools; assert sctools.{namespace}.__all__")


def test_unknown_attribute() -> None:
    import sctools

    with pytest.raises(AttributeError, match="no attribute 'cluster'"):
        sctools.cluster  # noqa: B018
    assert {"pl", "settings", "tl", "__version__"} <= set(dir(sctools))


def test_import_loads_only_the_standard_library() -> None:
    """It takes no time, then; counted in packages, not in seconds of a busy machine."""
    code = "import sys; known = set(sys.modules); import sctools; print(*set(sys.modules) - known)"
    found = {name.partition(".")[0] for name in python(code).split()}
    assert found - set(sys.stdlib_module_names) == {"sctools"}


STATE = """
import json, logging, sys, warnings
{before}
def state():
    return [
        repr(warnings.filters),
        repr(logging.getLogger().handlers),
        logging.getLogger().level,
        repr(dict(matplotlib.rcParams)),
        repr(numpy.random.get_state()),
    ]
first = state()
import {modules}
print(json.dumps([a == b for a, b in zip(first, state())]))
"""


def test_import_leaves_global_state_alone() -> None:
    # Our dependencies are loaded before: what they change is not ours to answer for.
    before = "import anndata, matplotlib, matplotlib.pyplot, numpy, pandas, scanpy, scipy, seaborn"
    modules = "sctools.datasets, sctools.get, sctools.pl, sctools.pp, sctools.tl"
    assert json.loads(python(STATE.format(before=before, modules=modules))) == [True] * 5


@pytest.mark.parametrize(
    "entry", ["sctools-0.1.5.dist-info", "sctools-0.1.5-py3.7.egg-info", "sctools.egg-info"]
)
def test_namesake_is_warned_of(tmp_path: Path, entry: str) -> None:
    (tmp_path / entry).mkdir()
    assert "another project" in namesake_warnings(tmp_path)


@pytest.mark.parametrize(
    "entry", ["sctools_ml-0.1.0.dist-info", "sctools2-1.0.dist-info", "sctools"]
)
def test_other_names_are_not_warned_of(tmp_path: Path, entry: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / entry).mkdir()
    assert namesake_warnings(tmp_path / "elsewhere") == ""


def namesake_warnings(folder: Path) -> str:
    return python(
        "import sys, warnings\n"
        f"sys.path.append({str(folder)!r})\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    import sctools\n"
        "    import sctools\n"
        "assert len(caught) <= 1\n"
        "print(*[w.message for w in caught], end='')\n"
    )
