"""ChunkCache: what came from servers, kept on disk as it came; bounded, for any number of processes at once."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from filelock import FileLock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MAGIC = b"vlm1"
_HEAD = struct.Struct("<4sIIQ")  # magic, CRC-32 of all that follows, length of the notes, length of the data
_BLOCK = 4096  # bytes that the smallest file takes on disk
_FRESH = 60  # seconds for which an entry counts as just used: spares a write with every read
_ROOM = 0.1  # share of the bound that is freed at once, so that it is not searched with every chunk
_LONGEST_WAIT = 10  # seconds for the lock; who waits longer goes on without keeping


@dataclass(frozen=True)
class Entry:
    """Something kept: its bytes, and plain values to say what they are."""

    data: bytes
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ChunkCache:
    """A folder of entries by key; those used longest ago go first when it is full.

    Reading takes no lock: an entry appears whole, by a rename, and a reader finds it or does not. Writing takes one
    lock on the folder, under which the new total is written down before the entry is, so that the bound holds at
    every moment and a process killed anywhere leaves too high a total at worst, which the next search puts right. An
    entry that is damaged counts as missing. A disk that is full, or a folder that cannot be written to, only means
    that nothing is kept.

    Parameters
    ----------
    folder
        Where; made when first written to.
    limit
        Most bytes on disk, each file counted in whole blocks.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cache = ChunkCache(Path(folder), 10_000)
    ...     cache.put("a", Entry(b"voxels"))
    ...     cache.get("a").data, cache.get("b"), cache.nbytes()
    (b'voxels', None, 4096)
    """

    folder: Path
    limit: int

    def get(self, key: str) -> Entry | None:
        """Return what is kept under a key; None where nothing is, or it is damaged."""
        path = self._path(key)
        try:
            with open(path, "rb") as file:
                raw, used = file.read(), os.fstat(file.fileno()).st_mtime
        except OSError:  # never there, or gone again
            return None
        entry = _unpacked(raw)
        with suppress(OSError):
            if entry is None:
                path.unlink()
            elif abs(time.time() - used) > _FRESH:
                os.utime(path)
        return entry

    def put(self, key: str, entry: Entry) -> None:
        """Keep an entry, in the place of what was there; nothing happens where it cannot be kept."""
        raw = _packed(entry)
        size = _on_disk(len(raw))
        if size > self.limit:
            return
        path = self._path(key)
        with suppress(OSError, NotImplementedError):  # a full disk, a folder of somebody else's, one without locks
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / "lock", timeout=_LONGEST_WAIT, poll_interval=0.01):
                self._reserve(size)
                draft = self.folder / "draft"  # one name, since only the holder of the lock writes
                draft.write_bytes(raw)
                draft.replace(path)

    def drop(self, key: str) -> None:
        """Keep nothing under a key any more."""
        with suppress(OSError):
            self._path(key).unlink(missing_ok=True)

    def nbytes(self) -> int:
        """Count the bytes on disk, entry by entry."""
        return sum(size for _, size, _ in self._entries())

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()
        return self.folder / "entries" / name[:2] / name[2:]

    def _entries(self) -> list[tuple[int, int, str]]:
        """Return (time of last use, size on disk, path) of every entry."""
        found = []
        for folder, _, names in os.walk(self.folder / "entries"):
            for name in names:
                path = os.path.join(folder, name)
                with suppress(FileNotFoundError):
                    told = os.stat(path)
                    found.append((told.st_mtime_ns, _on_disk(told.st_size), path))
        return found

    def _reserve(self, size: int) -> None:
        """Make room and write the new total down; the lock is held."""
        ledger = self.folder / "total"
        try:
            total = int(ledger.read_text())
        except (FileNotFoundError, ValueError):
            total = self.limit + 1  # unknown: count
        if total + size > self.limit:
            total = self._evict(size)
        if total + size > self.limit:
            raise OSError("what is kept cannot be deleted")
        ledger.write_text(str(total + size))

    def _evict(self, size: int) -> int:
        """Delete what was used longest ago until ``size`` fits with room to spare; return what is left."""
        entries = sorted(self._entries())
        total = sum(entry[1] for entry in entries)
        if total + size <= self.limit:
            return total
        wanted = max(0, int(self.limit * (1 - _ROOM)) - size)
        for _, length, path in entries:
            if total <= wanted:
                break
            with suppress(OSError):
                os.unlink(path)
                total -= length
        return total


def _packed(entry: Entry) -> bytes:
    notes = json.dumps(dict(entry.notes)).encode() if entry.notes else b""
    check = zlib.crc32(entry.data, zlib.crc32(notes))
    return _HEAD.pack(_MAGIC, check, len(notes), len(entry.data)) + notes + entry.data


def _unpacked(raw: bytes) -> Entry | None:
    """Return an entry, or None where a bit or the end of it was lost."""
    if len(raw) < _HEAD.size:
        return None
    magic, check, noted, length = _HEAD.unpack_from(raw)
    body = memoryview(raw)[_HEAD.size :]
    if magic != _MAGIC or len(body) != noted + length or zlib.crc32(body) != check:
        return None
    return Entry(bytes(body[noted:]), json.loads(bytes(body[:noted])) if noted else {})


def _on_disk(length: int) -> int:
    return -(-length // _BLOCK) * _BLOCK
