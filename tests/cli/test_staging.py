from __future__ import annotations

from pathlib import Path

import pytest

from sctools._cli._staging import Staging


def directory(path: Path, text: str) -> Path:
    path.mkdir(exist_ok=True)
    (path / text).write_text(text)
    return path


def test_drafts_appear_together(tmp_path: Path) -> None:
    file, store = tmp_path / "a.csv", tmp_path / "b.zarr"
    with Staging() as staging:
        staging.draft(file).write_text("new")
        directory(staging.draft(store), "new")
        assert not file.exists()
        assert not store.exists()
    assert file.read_text() == "new"
    assert (store / "new").read_text() == "new"
    assert sorted(tmp_path.iterdir()) == [file, store]


def test_what_is_there_is_replaced(tmp_path: Path) -> None:
    file, store = tmp_path / "a.csv", directory(tmp_path / "b.zarr", "old")
    file.write_text("old")
    with Staging() as staging:
        staging.draft(file).write_text("new")
        directory(staging.draft(store), "new")
    assert file.read_text() == "new"
    assert [path.name for path in store.iterdir()] == ["new"]
    assert sorted(tmp_path.iterdir()) == [file, store]


@pytest.mark.parametrize("stop", [OSError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_everything(tmp_path: Path, stop: type[BaseException]) -> None:
    file, store = tmp_path / "a.csv", directory(tmp_path / "b.zarr", "old")
    file.write_text("old")
    with pytest.raises(stop), Staging() as staging:  # noqa: PT012 - it has to go wrong midway
        staging.draft(file).write_text("new")
        directory(staging.draft(store), "new")
        raise stop
    assert file.read_text() == "old"
    assert [path.name for path in store.iterdir()] == ["old"]
    assert sorted(tmp_path.iterdir()) == [file, store]


def test_a_move_that_fails_puts_the_old_directory_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = directory(tmp_path / "b.zarr", "old")
    rename = Path.rename

    def stubborn(self: Path, target: Path) -> Path:
        if (self / "new").exists():
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", stubborn)
    with pytest.raises(OSError, match="no"), Staging() as staging:
        directory(staging.draft(store), "new")
    assert [path.name for path in store.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [store]


def test_files_have_ordinary_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with Staging() as staging:
        staging.draft(tmp_path / "a.csv").write_text("new")
        directory(staging.draft(tmp_path / "b.zarr"), "new")
    (tmp_path / "folder").mkdir()
    assert (tmp_path / "a.csv").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "b.zarr").stat().st_mode == (tmp_path / "folder").stat().st_mode
