"""RemoteFile: a remote file that is read like a local one, by blocks that come through the cache."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from aiohttp import ClientError

from volumen.errors import SourceError
from volumen.sources.damage import described
from volumen.sources.remote.mirror import mirror
from volumen.sources.remote.network import wait_for
from volumen.sources.remote.pieces import Piece

if TYPE_CHECKING:
    from collections.abc import Iterator

    from volumen.sources.remote.origin import Facts

BLOCK = 256 * 2**10  # bytes
_RUN = 64  # blocks that are fetched with one request


class RemoteFile(io.RawIOBase):
    """The bytes of a file as it was when it was opened; a change in between is an error.

    Parameters
    ----------
    url
        File.
    facts
        Its size and mark.
    """

    def __init__(self, url: str, facts: Facts) -> None:
        super().__init__()
        self._url, self._facts = url, facts
        self._identity = facts.mark or f"{facts.size} bytes"
        self._mirror = mirror(url)
        self._at = 0
        self._last: tuple[int, bytes] = (-1, b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place in the file."""
        self._at = max(0, offset + (0, self._at, self._facts.size)[whence])
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read as much as fits, and return how much that was."""
        view = memoryview(buffer).cast("B")
        found = self._read(len(view))
        view[: len(found)] = found
        return len(found)

    def readall(self) -> bytes:
        """Read to the end."""
        return self._read(self._facts.size)

    def _read(self, length: int) -> bytes:
        start, stop = self._at, min(self._at + length, self._facts.size)
        if start >= stop:
            return b""
        first = start // BLOCK
        blocks = b"".join(self._blocks(first, -(-stop // BLOCK)))
        self._at = stop
        return blocks[start - first * BLOCK : stop - first * BLOCK]

    def _blocks(self, first: int, end: int) -> Iterator[bytes]:
        """Yield blocks; of those that are not kept, neighbours come with one request."""
        missing: list[int] = []
        for index in range(first, end):
            block = self._held(index)
            if block is None:
                missing.append(index)
            if missing and (block is not None or len(missing) == _RUN):
                yield from self._fetch(missing[0], missing[-1] + 1)
                missing.clear()
            if block is not None:
                yield block
        if missing:
            yield from self._fetch(missing[0], missing[-1] + 1)

    def _held(self, index: int) -> bytes | None:
        if self._last[0] != index:
            entry = self._mirror.held(self._piece(index, index + 1))
            if entry is None:
                return None
            self._last = (index, entry.data)
        return self._last[1]

    def _fetch(self, first: int, end: int) -> Iterator[bytes]:
        run = self._piece(first, end)
        try:
            data = wait_for(self._mirror.fetch(run, mark=self._facts.mark, keep=False))
        except (OSError, ClientError) as error:
            raise SourceError(f"{self._url} cannot be read on: {described(error)}.") from error
        start, stop = run.span or (0, 0)
        if data is None or len(data) != (stop or 0) - start:
            raise SourceError(
                f"{self._url} should have {self._facts.size} bytes but ends before that. Open it again, and if it "
                "still does, tell those who keep it."
            )
        for index in range(first, end):
            block = data[(index - first) * BLOCK : (index - first + 1) * BLOCK]
            self._mirror.keep(self._piece(index, index + 1), block)
            self._last = (index, block)
            yield block

    def _piece(self, first: int, end: int) -> Piece:
        return Piece(self._url, self._identity, (first * BLOCK, min(end * BLOCK, self._facts.size)))


def open_remote(url: str) -> io.BufferedReader | None:
    """Open a remote file to read it, or return None where there is none."""
    facts = wait_for(mirror(url).facts(url))
    return None if facts is None else io.BufferedReader(RemoteFile(url, facts))
