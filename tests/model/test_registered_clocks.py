"""Ready-made clocks: the table, and files from a server of our own, the cache or the user."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import logging
import re
import sys
import threading
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import sctools
from sctools.model import LinearClock, clocks, load_clock
from sctools.model._clock_files import CACHE_VARIABLE, cache_folder, sha256
from sctools.model._load_clock import READERS
from sctools.model._registered_clocks import REGISTERED_CLOCKS, ClockFile

X = "ENSG00000000001"
MODEL = json.dumps({"B": {X: 2.0, "Y": -1.0}}).encode()
NAMES = f"gene_id\tgene_name\n{X}\tSYMBOL_X\n".encode()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Server:
    """Serves bytes by path on localhost and counts what was asked for."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                content = outer.content.get(self.path)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def server():
    found = Server()
    found.content = {"/model.json": MODEL, "/names.tsv": NAMES}
    yield found
    with contextlib.suppress(OSError):
        found.stop()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of its own; the folder is made by what writes there."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache" / "clocks"


@pytest.fixture
def toy(server, cache, monkeypatch):
    """A registered clock with a required and an optional file; its files can be exchanged."""
    pytest.importorskip("pooch")
    files = {
        "model": ClockFile("model.json", f"{server.url}/model.json", len(MODEL), digest(MODEL)),
        "gene_ids": ClockFile(
            "names.tsv", f"{server.url}/names.tsv", len(NAMES), digest(NAMES), required=False
        ),
    }
    entry = REGISTERED_CLOCKS["scimmuaging"]._replace(files=files, reader="toy")
    monkeypatch.setitem(REGISTERED_CLOCKS, "toy", entry)

    def read(found: dict[str, Path]) -> LinearClock:
        symbols = {}
        if "gene_ids" in found:
            table = pd.read_csv(found["gene_ids"], sep="\t")
            symbols = dict(zip(table["gene_id"], table["gene_name"], strict=True))
        coefficients = json.loads(found["model"].read_text())
        return LinearClock(coefficients, {"B": 10.0}, symbols=symbols, name="toy")

    monkeypatch.setitem(READERS, "toy", read)
    return entry


def stored(folder: Path) -> list[str]:
    """Names of all files below a folder, temporary ones included."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


# -------------------------------------------------------------------- the table


def test_table():
    table = clocks()
    assert table.index.name == "name"
    assert {"scageclock", "scimmuaging"} <= set(table.index)
    assert table.notna().all(axis=None)
    texts = [name for name in table if name not in ("n_genes", "target_sum", "size_mb")]
    for name in set(texts) - {"local_files"}:
        assert table[name].str.len().gt(0).all(), name
    assert table["n_genes"].dtype == "int64"
    assert (table[["target_sum", "size_mb"]] > 0).all(axis=None)
    assert table["doi"].str.fullmatch(r"10\.\d{4,}/\S+").all()
    assert table.loc["scimmuaging", ["licence", "age_unit"]].tolist() == ["Apache-2.0", "years"]
    assert table.loc["scimmuaging", "local_files"] == ""
    assert table.loc["scageclock", "local_files"] == "weights, genes"
    assert table.loc["scimmuaging", "files"] == "model, (gene_ids)"
    assert table.loc["scageclock", "size_mb"] > 42.3


def test_table_of_a_species():
    pd.testing.assert_frame_equal(clocks(species="human"), clocks())
    none = clocks(species="axolotl")
    assert none.shape == (0, clocks().shape[1])


@pytest.mark.parametrize("name", REGISTERED_CLOCKS)
def test_entries_are_whole(name):
    entry = REGISTERED_CLOCKS[name]
    assert entry.reader in READERS
    assert len({file.name for file in entry.files.values()}) == len(entry.files)
    for file in entry.files.values():
        # A fixed version, by commit; never a branch.
        assert re.match(r"https://github.com/[^/]+/[^/]+/raw/[0-9a-f]{7,40}/", file.url)
        assert file.url.endswith(f"/{file.name}")
        assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256)


# -------------------------------------------------------------------- downloads


def test_downloaded_once_and_kept(toy, server, cache, caplog):
    with caplog.at_level(logging.INFO, "sctools"):
        clock = load_clock("toy")
    assert isinstance(clock, LinearClock)
    assert clock.coefficients["B"].to_dict() == {X: 2.0, "Y": -1.0}
    assert clock.symbols == {X: "SYMBOL_X"}
    assert sorted(server.asked) == ["/model.json", "/names.tsv"]
    assert stored(cache) == ["model.json", "names.tsv"]
    assert (cache / "toy" / "model.json").read_bytes() == MODEL
    assert caplog.text.count("Downloading") == 2
    server.stop()
    assert load_clock("toy").symbols == clock.symbols
    assert len(server.asked) == 2


@pytest.mark.parametrize("content", [MODEL + b" ", MODEL[:-3], b""])
def test_what_is_not_the_file_is_not_kept(toy, server, cache, content):
    server.content["/model.json"] = content
    message = rf"not the file 'model.json' of the clock 'toy'.*{digest(MODEL)}.*not kept"
    with pytest.raises(ValueError, match=message) as error:
        load_clock("toy")
    assert "files={'model': 'path/to/model.json'}" in str(error.value)
    assert stored(cache) == []
    server.content["/model.json"] = MODEL
    assert load_clock("toy").cell_types == ["B"]


def test_damaged_files_in_the_cache_are_downloaded_again(toy, server, cache):
    load_clock("toy")
    (cache / "toy" / "model.json").write_bytes(MODEL[:5])
    load_clock("toy")
    assert server.asked.count("/model.json") == 2
    assert server.asked.count("/names.tsv") == 1
    assert (cache / "toy" / "model.json").read_bytes() == MODEL


def test_offline_says_where_to_put_the_file(toy, server, cache):
    server.stop()
    with pytest.raises(OSError, match="could not be downloaded") as error:
        load_clock("toy")
    path = cache / "toy" / "model.json"
    for part in (server.url, repr(str(path)), "files={'model'", digest(MODEL)):
        assert part in str(error.value)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(MODEL)
    assert load_clock("toy").cell_types == ["B"]


def test_a_file_that_is_gone(toy, server, cache):
    del server.content["/model.json"]
    with pytest.raises(OSError, match=r"could not be downloaded \(HTTPError: 404"):
        load_clock("toy")
    assert stored(cache) == []


@pytest.mark.parametrize("trouble", ["gone", "changed"])
def test_optional_files_may_be_lacking(toy, server, cache, caplog, trouble):
    if trouble == "gone":
        del server.content["/names.tsv"]
    else:
        server.content["/names.tsv"] = b"other"
    with caplog.at_level(logging.WARNING, "sctools"):
        clock = load_clock("toy")
    assert clock.symbols == {}
    assert "The clock 'toy' goes without 'gene_ids'" in caplog.text
    assert stored(cache) == ["model.json"]


@pytest.mark.parametrize(("setting", "argument", "shown"), [
    (True, None, True), (False, None, False), (False, True, True), (True, False, False),
])  # fmt: skip
def test_progress_bar(toy, monkeypatch, setting, argument, shown):
    import pooch

    bars = []
    original = pooch.HTTPDownloader
    monkeypatch.setattr(
        pooch, "HTTPDownloader", lambda progressbar: bars.append(progressbar) or original()
    )
    sctools.settings.progress_bar = setting
    load_clock("toy", progress_bar=argument)
    assert bars == [shown, shown]


def test_pooch_is_quiet_and_its_level_restored(toy, capsys):
    import pooch

    level = pooch.get_logger().level
    load_clock("toy")
    assert "SHA256" not in capsys.readouterr().err
    assert pooch.get_logger().level == level


def test_where_the_cache_is(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert cache_folder() == tmp_path / "clocks"
    monkeypatch.delenv(CACHE_VARIABLE)
    pooch = pytest.importorskip("pooch")
    assert cache_folder() == Path(pooch.os_cache("sctools")) / "clocks"


def test_missing_pooch_names_the_extra(toy, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r"ready-made clock.*sctools-ml\[clocks\]"):
        load_clock("toy")
    (tmp_path / "model.json").write_bytes(MODEL)  # local files need no pooch
    monkeypatch.delenv(CACHE_VARIABLE)
    assert load_clock("toy", files={"model": tmp_path / "model.json"}).cell_types == ["B"]


# -------------------------------------------------------------------- local files


def test_local_files(toy, server, cache, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "model.json").write_bytes(MODEL)
    assert load_clock("toy", files={"model": str(folder / "model.json")}).symbols == {}
    assert load_clock("toy", files=folder).symbols == {}
    (folder / "names.tsv").write_bytes(NAMES)
    assert load_clock("toy", files=str(folder)).symbols == {X: "SYMBOL_X"}
    assert server.asked == []
    assert not cache.exists()
    # What is lacking is downloaded.
    clock = load_clock("toy", files={"gene_ids": folder / "names.tsv"})
    assert clock.symbols == {X: "SYMBOL_X"}
    assert server.asked == ["/model.json"]


def test_local_files_must_be_the_published_ones(toy, server, tmp_path):
    path = tmp_path / "model.json"
    path.write_bytes(MODEL[:-1])
    sums = f"expected the sha256 {digest(MODEL)}.*found {digest(MODEL[:-1])}"
    message = rf"is not the file 'model.json'.*{sums}"
    with pytest.raises(ValueError, match=message):
        load_clock("toy", files={"model": path})
    assert path.exists()
    assert server.asked == []


def test_files_that_do_not_exist(toy, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"files\['model'\]`: there is no file"):
        load_clock("toy", files={"model": tmp_path / "nothing"})
    with pytest.raises(FileNotFoundError, match=r"is not a folder.*'model.json', 'names.tsv'"):
        load_clock("toy", files=tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"names 'weights'.*Expected 'model', 'gene_ids'"):
        load_clock("toy", files={"weights": tmp_path})


def test_without_a_checksum_nothing_is_downloaded(toy, server, cache, tmp_path, monkeypatch):
    unknown = toy.files["model"]._replace(sha256=None)
    entry = toy._replace(files={**toy.files, "model": unknown})
    monkeypatch.setitem(REGISTERED_CLOCKS, "toy", entry)
    with pytest.raises(FileNotFoundError, match=r"needs local files: no checksum of 'model'") as e:
        load_clock("toy")
    for part in (f"{server.url}/model.json", "files={'model': 'model.json'}", str(cache / "toy")):
        assert part in str(e.value)
    assert server.asked == []
    (tmp_path / "own.json").write_bytes(MODEL)
    assert load_clock("toy", files={"model": tmp_path / "own.json"}).cell_types == ["B"]
    (cache / "toy").mkdir(parents=True)
    (cache / "toy" / "model.json").write_bytes(MODEL)
    assert load_clock("toy").symbols == {X: "SYMBOL_X"}


def test_scageclock_asks_for_its_weights(cache):
    with pytest.raises(FileNotFoundError, match=r"no checksum of 'weights', 'genes'.*\.pth"):
        load_clock("scageclock")
    assert not cache.exists()


# -------------------------------------------------------------------- names and directories


def test_a_name_wins_over_a_directory(toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    LinearClock({"NK": {"Z": 1.0}}, {"NK": 1.0}).save("toy")
    assert load_clock("toy").cell_types == ["B"]
    for directory in (Path("toy"), "./toy", str(tmp_path / "toy")):
        assert load_clock(directory).cell_types == ["NK"]


def test_unknown_names(tmp_path):
    with pytest.raises(ValueError, match=r"not a directory.*go by name: 'scageclock', 'scimmuag"):
        load_clock("scimuaging")
    with pytest.raises(ValueError, match=r"`files` are for ready-made clocks"):
        load_clock(str(tmp_path), files={"model": tmp_path})


def test_tl_age_clock_takes_a_name(toy):
    rng = np.random.default_rng(0)
    obs = pd.DataFrame({"donor_id": np.repeat(["a", "b"], 10), "cell_type": "B"})
    obs.index = obs.index.map(str)
    counts = rng.poisson(2.0, (20, 3)).astype("float32")
    adata = ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=["SYMBOL_X", "Y", "W"]))
    with pytest.warns(UserWarning, match="relative to all genes"):
        clock = sctools.tl.age_clock(adata, model="toy", return_model=True)
    assert clock.name == "toy"
    assert adata.obs["age_clock"].notna().all()
    assert adata.uns["age_clock"]["params"]["method"] == "linear"


def test_checksum_of_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256(tmp_path / "file") == digest(b"abc")
