from __future__ import annotations

import asyncio
import io
import os
import pickle
import random
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from http_server import AWAY, BROKEN, BUSY, CUT, RESET, Fault, Served, serving
from volumen.errors import MissingExtraError, SourceError, SourceNotFoundError
from volumen.sources.location import Location
from volumen.sources.open import open_segment
from volumen.sources.remote import mirror as mirroring
from volumen.sources.remote import network as networking
from volumen.sources.remote.chunk_cache import ChunkCache
from volumen.sources.remote.mirror import mirror
from volumen.sources.remote.network import wait_for
from volumen.sources.remote.pieces import Piece
from volumen.sources.remote.remote_file import BLOCK, open_remote
from volumen.sources.remote.retry import Patience

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHAPE = (6, 96, 128)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networking, "PATIENCE", Patience(tries=5, first_s=0.001, longest_s=0.01))
    monkeypatch.setattr(mirroring, "TRUST", 1e9)  # however slow the machine is


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    folder = tmp_path / "served"
    folder.mkdir()
    with serving(folder) as served:
        yield served


def noise(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 255, shape, dtype=np.uint8)


def write(folder: Path, volume: np.ndarray, **how: object) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    zarr.create_array(folder, data=volume, chunks=(3, 32, 32), **how)  # type: ignore[arg-type]


def read(url: str) -> np.ndarray:
    segment = open_segment(url)
    return segment.read(segment.window)


def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let so much time pass that the server is asked whether things have changed."""
    monkeypatch.setattr(mirroring, "TRUST", 0.0)


def hang_up() -> None:
    """Leave the connections that are open: a server of the tests answers on those even after it was stopped."""
    networking._networks.clear()


FORMS = {
    "zstd": {},
    "plain": {"compressors": None},
    "v2": {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}},
    "blosc": {"compressors": [zarr.codecs.BloscCodec(cname="lz4")]},
    "sharded": {"shards": (6, 64, 64)},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("missing", [404, 403])
def test_what_was_read_once_is_never_asked_for_again(server: Served, form: str, missing: int) -> None:
    server.missing = missing
    volume = noise()
    volume[:, :32, 64:] = 0  # chunks that are not written
    write(server.folder / "a.zarr", volume, **FORMS[form])
    np.testing.assert_array_equal(read(f"{server.url}/a.zarr"), volume)
    if form != "sharded":
        absent = 2 if missing == 403 else 1  # a refusal is asked about again, lest a server's mood be taken for zeros
        assert server.requests["/a.zarr/c/0/0/2" if form != "v2" else "/a.zarr/0/0/2"] == absent
        for path, count in server.requests.items():
            assert "/c/" not in path or count == (1 if (server.folder / path[1:]).exists() else absent)
    server.forget()
    np.testing.assert_array_equal(read(f"{server.url}/a.zarr"), volume)
    assert not server.log


def test_without_a_cache_everything_is_asked_for_again(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOLUMEN_CACHE_GB", "0")
    write(server.folder / "a.zarr", noise())
    for _ in range(2):
        np.testing.assert_array_equal(read(f"{server.url}/a.zarr"), noise())
    assert server.requests["/a.zarr/c/0/0/0"] == 2


@pytest.mark.parametrize("seed", range(3))
def test_a_storm_of_failures_ends_with_the_right_voxels(server: Served, seed: int) -> None:
    write(server.folder / "a.zarr", noise(seed))
    Image.fromarray(noise(9, SHAPE[1:])).save(server.folder / "a_inklabels.png")
    server.storm(seed, 0.4)
    segment = open_segment(f"{server.url}/a.zarr")
    np.testing.assert_array_equal(segment.read(segment.window), noise(seed))
    np.testing.assert_allclose(segment.raster("ink").read(segment.window), noise(9, SHAPE[1:]) / 255, atol=1e-6)
    assert server.most_at_once <= networking.AT_ONCE
    assert max(server.requests.values()) <= 5


@pytest.mark.parametrize("fault", [BUSY, BROKEN, AWAY, CUT, RESET], ids=repr)
def test_a_chunk_that_never_comes_is_an_error_after_a_bounded_number_of_tries(server: Served, fault: Fault) -> None:
    write(server.folder / "a.zarr", noise())
    segment = open_segment(f"{server.url}/a.zarr")
    server.fail("/a.zarr/c/1/2/3", fault, 99)
    with pytest.raises(SourceError, match=r"a\.zarr cannot be read"):
        segment.read(segment.window)
    assert server.requests["/a.zarr/c/1/2/3"] == 5
    server.forget()
    np.testing.assert_array_equal(segment.read(segment.window), noise())
    assert server.requests.pop("/a.zarr/c/1/2/3") == 1
    assert all(count == 1 for count in server.requests.values())
    assert len(server.requests) < networking.AT_ONCE, "no more than was under way when the error ended it"


@pytest.mark.parametrize("fault", [Fault(length=-20), Fault(flip=True)], ids=repr)
@pytest.mark.parametrize("form", ["zstd", "plain", "blosc"])
def test_a_chunk_that_cannot_be_decoded_is_fetched_again(server: Served, form: str, fault: Fault) -> None:
    write(server.folder / "a.zarr", noise(), **FORMS[form])
    server.fail("/a.zarr/c/0/1/1", fault)
    for _ in range(2):
        np.testing.assert_array_equal(read(f"{server.url}/a.zarr"), noise())
    assert server.requests["/a.zarr/c/0/1/1"] == 2


def test_a_damaged_entry_is_fetched_again(server: Served) -> None:
    write(server.folder / "a.zarr", noise())
    read(f"{server.url}/a.zarr")
    cache = mirror(server.url).cache
    assert cache is not None
    entries = [path for path in (cache.folder / "entries").rglob("*") if path.is_file()]
    for path in entries[::2]:
        os.truncate(path, path.stat().st_size // 2)
    server.forget()
    np.testing.assert_array_equal(read(f"{server.url}/a.zarr"), noise())
    assert sum(server.requests.values()) == len(entries[::2])


@pytest.mark.parametrize("etag", ["opaque", "latin"])
def test_a_store_that_changed_gives_its_own_voxels(server: Served, etag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    later(monkeypatch)
    server.etag = etag  # the description is the same to the byte
    for seed in range(3):
        write(server.folder / "a.zarr", noise(seed))
        for _ in range(2):
            np.testing.assert_array_equal(read(f"{server.url}/a.zarr"), noise(seed))
    assert server.requests["/a.zarr/c/0/0/0"] == 3


def test_a_label_that_comes_later_is_found(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    later(monkeypatch)
    write(server.folder / "a.zarr", noise())
    assert open_segment(f"{server.url}/a.zarr").ink is None
    for grey in (255, 51):
        Image.fromarray(np.full(SHAPE[1:], grey, np.uint8)).save(server.folder / "a_inklabels.png")
        segment = open_segment(f"{server.url}/a.zarr")
        np.testing.assert_allclose(segment.raster("ink").read(segment.window), grey / 255, atol=1e-6)


def test_it_goes_on_without_a_network(server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(server.folder / "a.zarr", noise())
    Image.fromarray(noise(9, SHAPE[1:])).save(server.folder / "a_inklabels.png")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    with serving(folder) as gone:
        write(folder / "a.zarr", noise(1))
        Image.fromarray(noise(9, SHAPE[1:])).save(folder / "a_inklabels.png")
        segment = open_segment(f"{gone.url}/a.zarr")
        segment.read(segment.window), segment.raster("ink").read(segment.window)
    later(monkeypatch)
    hang_up()
    segment = open_segment(f"{gone.url}/a.zarr")
    np.testing.assert_array_equal(segment.read(segment.window), noise(1))
    np.testing.assert_allclose(segment.raster("ink").read(segment.window), noise(9, SHAPE[1:]) / 255, atol=1e-6)


def test_a_store_deleted_while_it_is_read_is_an_error_never_zeros(server: Served) -> None:
    for missing in (404, 403):
        server.missing = missing
        write(server.folder / f"{missing}.zarr", noise())
        segment = open_segment(f"{server.url}/{missing}.zarr")
        shutil.rmtree(server.folder / f"{missing}.zarr")
        with pytest.raises((SourceError, SourceNotFoundError), match=r"deleted or moved|refuses"):
            segment.read(segment.window)
        store = segment.levels[0].array.store  # type: ignore[attr-defined]
        chunks = [f"{store.url}/c/{z}/{y}/{x}" for z in range(2) for y in range(3) for x in range(4)]
        assert not any(mirror(store.url).held(Piece(url, store.identity)) for url in chunks)


def test_a_missing_chunk_is_asked_for_again_after_a_day_and_offline_never(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = noise()
    volume[3:, :32, :32] = 0
    write(tmp_path / "whole.zarr", noise())
    write(server.folder / "a.zarr", volume)
    with serving(server.folder) as gone:
        np.testing.assert_array_equal(read(f"{server.url}/a.zarr"), volume)
        np.testing.assert_array_equal(read(f"{gone.url}/a.zarr"), volume)
    shutil.copy(tmp_path / "whole.zarr/c/1/0/0", server.folder / "a.zarr/c/1/0/0")  # the upload is complete now
    np.testing.assert_array_equal(read(f"{server.url}/a.zarr"), volume)
    monkeypatch.setattr(mirroring, "ABSENCE", 0.0)
    hang_up()
    np.testing.assert_array_equal(read(f"{server.url}/a.zarr"), noise())
    np.testing.assert_array_equal(read(f"{gone.url}/a.zarr"), volume)


def test_a_server_that_turns_us_away_is_an_error_never_zeros(server: Served) -> None:
    write(server.folder / "a.zarr", noise())
    segment = open_segment(f"{server.url}/a.zarr")
    for path in (
        "/a.zarr/zarr.json",
        *(f"/a.zarr/c/{z}/{y}/{x}" for z in range(2) for y in range(3) for x in range(4)),
    ):
        server.fail(path, Fault(status=403), 99)
    with pytest.raises(SourceError, match="refuses"):
        segment.read(segment.window)
    hang_up()  # requests that are still under way are turned away too, and would be shared
    server.forget()
    np.testing.assert_array_equal(segment.read(segment.window), noise())


def test_a_server_that_turns_us_away_for_a_moment_holds_no_zeros(server: Served) -> None:
    write(server.folder / "a.zarr", noise())
    segment = open_segment(f"{server.url}/a.zarr")
    server.fail("/a.zarr/c/0/1/1", Fault(status=403), 1)  # its witness is given out already
    np.testing.assert_array_equal(segment.read(segment.window), noise())


def test_two_who_want_the_same_ask_once(server: Served) -> None:
    (server.folder / "a").write_bytes(b"voxels")
    server.fail("/a", Fault(slow=0.2))

    async def both() -> list[bytes | None]:
        source = mirror(server.url)
        return await asyncio.gather(*(source.fetch(Piece(f"{server.url}/a", "now")) for _ in range(5)))

    assert wait_for(both()) == [b"voxels"] * 5
    assert server.requests["/a"] == 1


def test_a_host_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        url = served.url
    with pytest.raises(SourceError, match=r"cannot be reached.*Check the address"):
        open_segment(f"{url}/a.zarr")


# ---- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("kept", ["1", "0"])
def test_a_remote_file_reads_like_a_local_one(
    server: Served, ranges: bool, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOLUMEN_CACHE_GB", kept)
    server.ranges = ranges
    whole = random.Random(0).randbytes(3 * BLOCK + 1234)
    (server.folder / "f").write_bytes(whole)
    local, remote, draw = io.BytesIO(whole), open_remote(f"{server.url}/f"), random.Random(1)
    assert remote is not None
    for _ in range(60):
        where, whence = draw.choice([(draw.randrange(4 * BLOCK), 0), (-draw.randrange(3 * BLOCK), 2), (0, 1)])
        assert remote.seek(where, whence) == local.seek(where, whence)
        length = draw.choice([0, 1, 10, 5000, 2 * BLOCK, -1])
        assert remote.read(length) == local.read(length)
    if kept == "1":
        assert len([path for _, path, headers in server.log if "Range" in headers]) <= 4


def test_neighbouring_blocks_come_with_one_request(server: Served) -> None:
    whole = random.Random(0).randbytes(10 * BLOCK)
    (server.folder / "f").write_bytes(whole)
    with Location(f"{server.url}/f").open() as file:
        file.seek(4 * BLOCK + 5)
        assert file.read(10) == whole[4 * BLOCK + 5 : 4 * BLOCK + 15]
    server.forget()
    with Location(f"{server.url}/f").open() as file:
        assert file.read() == whole
    assert [headers["Range"] for _, _, headers in server.log] == [
        f"bytes=0-{4 * BLOCK - 1}",
        f"bytes={5 * BLOCK}-{10 * BLOCK - 1}",
    ]
    server.forget()
    with Location(f"{server.url}/f").open() as file:
        assert file.read() == whole
    assert not server.log


@pytest.mark.parametrize("etag", ["md5", "opaque", "parts", "latin", "none"])
def test_a_file_that_changes_while_it_is_read_is_an_error(
    server: Served, etag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.etag = etag
    file = server.folder / "f"
    file.write_bytes(bytes(3 * BLOCK))
    with Location(f"{server.url}/f").open() as reading:
        reading.read(10)
        file.write_bytes(b"1" * 3 * BLOCK)
        os.utime(file, (0, 0))
        reading.seek(2 * BLOCK)
        with pytest.raises(SourceError, match="has changed since it was opened"):
            reading.read(10)
    with Location(f"{server.url}/f").open() as reading:
        assert reading.read() == b"1" * 3 * BLOCK


def test_layers_behind_an_index_page(server: Served) -> None:
    server.listing = True
    folder = server.folder / "77" / "layers"
    folder.mkdir(parents=True)
    for index, layer in enumerate(noise()):
        tifffile.imwrite(folder / f"{index:02}.tif", layer, compression="lzw", rowsperstrip=16)
    np.testing.assert_array_equal(read(f"{server.url}/77"), noise())
    server.forget()
    np.testing.assert_array_equal(read(f"{server.url}/77"), noise())
    assert not server.log


def test_segments_go_to_other_processes(server: Served) -> None:
    write(server.folder / "a.zarr", noise())
    segment = open_segment(f"{server.url}/a.zarr")
    segment.read(segment.window)
    code = "import sys, pickle; s = pickle.load(sys.stdin.buffer); sys.stdout.buffer.write(s.read(s.window).tobytes())"
    server.forget()
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(segment), capture_output=True, check=True)
    assert done.stdout == noise().tobytes()
    assert not server.log
    assert not done.stderr  # no session is left open


def test_a_full_cache_drops_and_fetches_again(server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOLUMEN_CACHE_GB", str(10 * 4096 / 1e9))  # of 24 chunks
    write(server.folder / "a.zarr", noise())
    for _ in range(3):
        np.testing.assert_array_equal(read(f"{server.url}/a.zarr"), noise())
        cache = mirror(server.url).cache
        assert isinstance(cache, ChunkCache)
        assert 0 < cache.nbytes() <= 10 * 4096


# ---- s3 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [404, 403])
def test_a_public_bucket_is_read_without_a_login(
    server: Served, missing: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    s3fs = pytest.importorskip("s3fs")
    server.missing = missing
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    s3fs.S3FileSystem.clear_instance_cache()
    hang_up()
    volume = noise()
    volume[:3, :32, :32] = 0
    write(server.folder / "bucket" / "a.zarr", volume)
    Image.fromarray(noise(9, SHAPE[1:])).save(server.folder / "bucket" / "a_inklabels.png")
    for requests in (True, False):
        segment = open_segment("s3://bucket/a.zarr")
        np.testing.assert_array_equal(segment.read(segment.window), volume)
        np.testing.assert_allclose(segment.raster("ink").read(segment.window), noise(9, SHAPE[1:]) / 255, atol=1e-6)
        assert bool(server.log) == requests
        assert not any("Authorization" in headers for _, _, headers in server.log)
        server.forget()


def test_a_missing_driver_is_told_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    hang_up()

    def filesystem(protocol: str, **_: object) -> None:
        raise ImportError("Install s3fs to access S3") if protocol == "s3" else ValueError("no such protocol")

    monkeypatch.setattr(networking.fsspec, "filesystem", filesystem)
    with pytest.raises(MissingExtraError, match=r"pip install 'volumen\[s3\]'"):
        open_segment("s3://bucket/a.zarr")
    with pytest.raises(SourceError, match="https and s3 are known"):
        open_segment("gopher://host/a.zarr")
