"""``sctools age-clock`` does what ``tl.age_clock`` does."""

from __future__ import annotations

import json
from pathlib import Path

import anndata as ad
import pandas as pd
import pytest
from anndata import AnnData

from sctools import get, model, tl

from .._clocks import QUICK, small_cohort
from ._cli import FakeTool, invoke

FEW = [
    "--n-folds", QUICK["n_folds"],
    "--model-kwargs", json.dumps(QUICK["model_kwargs"]),
    "--train-kwargs", json.dumps(QUICK["train_kwargs"]),
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cohort, the same with ages, the table of donors and the clock."""
    folder = tmp_path_factory.mktemp("cohort")
    small_cohort().write_h5ad(folder / "in.h5ad")
    also = ["--donors", folder / "donors.csv", "--save-model", folder / "clock"]
    done = invoke("age-clock", folder / "in.h5ad", "-o", folder / "out.h5ad", *also, *FEW)
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def expected() -> AnnData:
    adata = small_cohort()
    tl.age_clock(adata, **QUICK, progress_bar=False)
    return adata


def test_cross_fit(trained: Path, expected: AnnData) -> None:
    found = ad.read_h5ad(trained / "out.h5ad")
    pd.testing.assert_frame_equal(found.obs, expected.obs)
    assert set(found.uns["age_clock"]) == set(expected.uns["age_clock"])
    metrics = expected.uns["age_clock"]["metrics"]
    assert found.uns["age_clock"]["metrics"]["donor"] == metrics["donor"]


def test_table_of_donors(trained: Path, expected: AnnData) -> None:
    table = pd.read_csv(trained / "donors.csv", dtype={"fold": str})
    donors = get.donor_age_df(expected).reset_index(drop=True)
    pd.testing.assert_frame_equal(table, donors, check_categorical=False, check_dtype=False)


def test_apply(trained: Path, folder: Path) -> None:
    expected = small_cohort()
    tl.age_clock(expected, model=model.load_clock(trained / "clock"))
    for target in ("out.h5ad", "out.zarr"):
        done = invoke("age-clock", trained / "in.h5ad", "-o", target, "--model", trained / "clock")
        assert done.exit_code == 0, done.output
        found = ad.read_h5ad(target) if target.endswith("h5ad") else ad.read_zarr(target)
        pd.testing.assert_frame_equal(found.obs, expected.obs)


def test_apply_to_columns_of_other_names(trained: Path, folder: Path) -> None:
    adata = small_cohort()
    adata.obs = adata.obs.rename(columns={"donor_id": "subject", "cell_type": "kind"})
    adata.write_zarr("in.zarr")
    arguments = ["in.zarr", "-o", "out.zarr", "--model", trained / "clock", "--age-key", ""]
    done = invoke("age-clock", *arguments, "--donor-key", "subject", "--cell-type-key", "kind")
    assert done.exit_code == 0, done.output
    found = ad.read_zarr("out.zarr")
    assert found.obs["age_clock"].notna().all()
    assert "metrics" not in found.uns["age_clock"]


def test_data_that_cannot_be_used(trained: Path, folder: Path) -> None:
    wrong = ["age-clock", trained / "in.h5ad", "-o", "out.h5ad", *FEW]
    done = invoke(*wrong, "--age-key", "years")
    assert done.exit_code == 1
    assert "`--age-key='years'`" in done.stderr
    assert "Available: 'donor_id', 'age'" in done.stderr
    done = invoke(*wrong[:4], "--model", trained)
    assert done.exit_code == 1, done.output
    assert "Expected a directory written by `sctools.model.AgeClock.save`" in done.stderr
    assert list(folder.iterdir()) == []


def test_a_network_that_is_stopped(
    trained: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle of training, which Lightning catches first."""
    from sctools.model._runner import EpochCounter

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(EpochCounter, "on_train_epoch_end", stop)
    done = invoke("age-clock", trained / "in.h5ad", "-o", "out.h5ad", *FEW)
    assert done.exit_code == 130
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--method", "ridge", "--save-model", "m"], "has no clock that could be saved"),
        (["--donor-key", "", "--donors", "d.csv"], "none without --donor-key"),
    ],
)
def test_options_that_do_not_go_together(
    cells: Path, tool: FakeTool, arguments: list[str], said: str
) -> None:
    done = invoke("age-clock", cells, "-o", "out.h5ad", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr
    assert tool.in_blocks is None


def test_a_ready_made_clock_goes_by_name(cells: Path, tool: FakeTool) -> None:
    Path("scimmuaging").mkdir()  # the name wins, as in Python
    done = invoke("age-clock", cells, "-o", "out.h5ad", "--model", "scimmuaging")
    assert done.exit_code == 0
    assert tool.options["model"] == "scimmuaging"
