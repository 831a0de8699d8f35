from __future__ import annotations

import multiprocessing
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from volumen.errors import SettingsError
from volumen.settings.cache import Cache
from volumen.sources.remote.chunk_cache import ChunkCache, Entry

BLOCK = 4096


def stored(cache: ChunkCache) -> list[Path]:
    return sorted(path for path in (cache.folder / "entries").rglob("*") if path.is_file())


def on_disk(folder: Path) -> int:
    """Count every byte below a folder, in whole blocks."""
    files = [os.path.join(place, name) for place, _, names in os.walk(folder) for name in names]
    return sum(-(-os.stat(file).st_size // BLOCK) * BLOCK for file in files)


def age(cache: ChunkCache, key: str, seconds: float) -> None:
    path = cache._path(key)
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - seconds))


def test_what_is_put_is_got(tmp_path: Path) -> None:
    cache = ChunkCache(tmp_path / "c", 10**6)
    assert cache.get("a") is None
    cache.put("a", Entry(b"one", {"absent": False, "mark": '"é"'}))
    cache.put("b", Entry(b""))
    assert cache.get("a") == Entry(b"one", {"absent": False, "mark": '"é"'})
    assert cache.get("b") == Entry(b"")
    cache.put("a", Entry(b"two"))
    assert cache.get("a") == Entry(b"two")
    cache.drop("a")
    assert cache.get("a") is None
    assert ChunkCache(tmp_path / "c", 10**6).get("b") == Entry(b"")  # any process finds it


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    cache = ChunkCache(tmp_path, 10 * BLOCK)
    for name in "abcdefghij":
        cache.put(name, Entry(name.encode()))
        age(cache, name, 1000 - ord(name))
    assert cache.get("a") is not None  # so that b is the oldest
    cache.put("k", Entry(b"k"))
    assert [name for name in "abcdefghijk" if cache.get(name) is None] == ["b", "c"]  # a tenth is freed at once
    assert cache.nbytes() == 9 * BLOCK


def test_what_is_larger_than_the_bound_is_not_kept(tmp_path: Path) -> None:
    cache = ChunkCache(tmp_path, 4 * BLOCK)
    cache.put("small", Entry(b"1"))
    cache.put("large", Entry(bytes(4 * BLOCK)))
    assert cache.get("large") is None
    assert cache.get("small") is not None
    cache.put("fits", Entry(bytes(4 * BLOCK - 64)))
    assert cache.get("fits") is not None
    assert cache.nbytes() == 4 * BLOCK


def test_random_puts_and_gets_never_pass_the_bound_or_lie(tmp_path: Path) -> None:
    cache, draw = ChunkCache(tmp_path, 40 * BLOCK), random.Random(0)
    put: dict[str, bytes] = {}
    for _ in range(300):
        key = f"{draw.randrange(60)}"
        if draw.random() < 0.5:
            put[key] = draw.randbytes(draw.randrange(3 * BLOCK))
            cache.put(key, Entry(put[key]))
        else:
            found = cache.get(key)
            assert found is None or found.data == put[key]
        assert cache.nbytes() <= cache.limit
    assert cache.nbytes() > cache.limit // 2


@pytest.mark.parametrize("length", [0, 3, 19, 20, 30, -1])
def test_a_truncated_entry_is_missing_and_removed(tmp_path: Path, length: int) -> None:
    cache = ChunkCache(tmp_path, 10**6)
    cache.put("a", Entry(b"voxels" * 10, {"mark": "x"}))
    (path,) = stored(cache)
    os.truncate(path, length if length >= 0 else path.stat().st_size - 1)
    assert cache.get("a") is None
    assert not path.exists()


def test_any_flipped_bit_makes_an_entry_missing(tmp_path: Path) -> None:
    cache = ChunkCache(tmp_path, 10**6)
    cache.put("a", Entry(b"voxels", {"mark": "x"}))
    (path,) = stored(cache)
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        assert cache.get("a") is None, bit


def test_a_damaged_or_lost_total_is_counted_again(tmp_path: Path) -> None:
    cache = ChunkCache(tmp_path, 10 * BLOCK)
    for said in (None, "", "12 34", "-"):
        total = tmp_path / "total"
        if said is None:
            total.unlink(missing_ok=True)
        else:
            total.write_text(said)
        for name in range(15):
            cache.put(f"{said}{name}", Entry(b"1"))
        assert 0 < cache.nbytes() <= cache.limit
        assert int(total.read_text()) == cache.nbytes()


def test_a_folder_that_cannot_be_written_to_only_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    cache = ChunkCache(tmp_path / "file", 10**6)
    cache.put("a", Entry(b"1"))
    assert cache.get("a") is None


_KILLED = """
import os, sys
from pathlib import Path
from volumen.sources.remote.chunk_cache import ChunkCache, Entry
cache = ChunkCache(Path(sys.argv[1]), 10**6)
cache.put("before", Entry(b"whole"))
write, replace = Path.write_bytes, Path.replace
def half(path, data):
    write(path, data[: len(data) // 2])
    os._exit(9)
def never(path, target):
    os._exit(9)
if sys.argv[2] == "half": Path.write_bytes = half
else: Path.replace = never
cache.put("after", Entry(bytes(10 * 4096)))
"""


@pytest.mark.parametrize("moment", ["half", "before the rename"])
def test_a_process_killed_while_it_writes_leaves_nothing_half(tmp_path: Path, moment: str) -> None:
    done = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path), moment], check=False)
    assert done.returncode == 9
    cache = ChunkCache(tmp_path, 10**6)
    assert cache.get("before") == Entry(b"whole")
    assert cache.get("after") is None
    cache.put("after", Entry(b"again"))  # no lock is left behind
    assert cache.get("after") == Entry(b"again")
    assert not (tmp_path / "draft").exists()


def hammer(folder: str, limit: int, seed: int, wrong: multiprocessing.Queue[str]) -> None:
    """Put and get at random; whatever is got must be what its key says."""
    cache, draw = ChunkCache(Path(folder), limit), random.Random(seed)
    for _ in range(150):
        number = draw.randrange(120)
        found = cache.get(f"{number}")
        if found is None:
            cache.put(f"{number}", Entry(random.Random(number).randbytes(1000 + 97 * number)))
        elif found.data != random.Random(number).randbytes(1000 + 97 * number):
            wrong.put(f"{number}")


def test_four_processes_at_once_stay_under_the_bound(tmp_path: Path) -> None:
    limit = 60 * BLOCK
    context = multiprocessing.get_context("spawn")
    wrong = context.Queue()
    workers = [context.Process(target=hammer, args=(str(tmp_path), limit, seed, wrong)) for seed in range(4)]
    for worker in workers:
        worker.start()
    most = 0
    while any(worker.is_alive() for worker in workers):
        with FileLock(tmp_path / "lock"):  # so that nothing comes or goes while it is counted
            most = max(most, on_disk(tmp_path / "entries"))
        time.sleep(0.02)
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert wrong.empty()
    assert limit // 2 < most <= limit
    assert ChunkCache(tmp_path, limit).nbytes() <= limit


def test_the_environment_sets_folder_and_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOLUMEN_CACHE", str(tmp_path))
    assert Cache.from_environment() == Cache(folder=tmp_path, gigabytes=20)
    monkeypatch.setenv("VOLUMEN_CACHE_GB", "0.5")
    monkeypatch.delenv("VOLUMEN_CACHE")
    assert Cache.from_environment() == Cache(folder=None, gigabytes=0.5)
    for wrong in ("much", "-1", "nan"):
        monkeypatch.setenv("VOLUMEN_CACHE_GB", wrong)
        with pytest.raises(SettingsError, match="VOLUMEN_CACHE_GB must be"):
            Cache.from_environment()
