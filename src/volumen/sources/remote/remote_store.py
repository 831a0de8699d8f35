"""RemoteStore: a zarr store behind a URL, read through the cache; never listed, never written to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest

from volumen.sources.arrays.zarr_names import METADATA
from volumen.sources.remote.mirror import mirror
from volumen.sources.remote.network import elsewhere, wait_for
from volumen.sources.remote.pieces import Piece

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

    from volumen.sources.remote.origin import Span


class RemoteStore(Store):
    """One state of a zarr array on a server.

    Parameters
    ----------
    url
        The array's folder.
    metadata
        Name of the file in it that describes the array.
    identity
        What tells this state of the array from any other: chunks of another are never taken for its own.
    reuse
        Whether chunks that are kept will do; else they are fetched again.
    """

    supports_writes = False
    supports_deletes = False
    supports_listing = False

    def __init__(self, url: str, metadata: str, identity: str, *, reuse: bool = True) -> None:
        super().__init__(read_only=True)
        self.url, self.metadata, self.identity, self.reuse = url, metadata, identity, reuse
        self._mirror = mirror(url)

    def __eq__(self, other: object) -> bool:
        mine = (self.url, self.metadata, self.identity, self.reuse)
        return isinstance(other, RemoteStore) and mine == (other.url, other.metadata, other.identity, other.reuse)

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return self.url

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return what is stored under a key, None where nothing is."""
        url = f"{self.url}/{key}"
        if key.endswith(METADATA):
            document = await elsewhere(self._mirror.document(url))
            return None if document is None else prototype.buffer.from_bytes(document.data)
        piece = Piece(url, self.identity, _span(byte_range))
        kept = await asyncio.to_thread(self._mirror.held, piece) if self.reuse else None
        if kept is None:
            data = await elsewhere(self._mirror.fetch(piece, witness=f"{self.url}/{self.metadata}"))
        else:
            data = None if kept.notes.get("absent") else kept.data
        return None if data is None else prototype.buffer.from_bytes(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return parts of what is stored."""
        return list(await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges)))

    async def exists(self, key: str) -> bool:
        """Say whether there is something under a key."""
        url = f"{self.url}/{key}"
        return await elsewhere(self._mirror.facts(url)) is not None

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse."""
        self._check_writable()

    async def delete(self, key: str) -> None:
        """Refuse."""
        self._check_writable()

    def list(self) -> AsyncIterator[str]:
        """Refuse: what is on a server need not be listed to be read."""
        raise NotImplementedError("remote stores are not listed")

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Refuse."""
        return self.list()

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Refuse."""
        return self.list()


def remote_identity(metadata: str) -> str:
    """Return what tells this state of an array from any other, by the URL of the file that describes it.

    Raises
    ------
    FileNotFoundError
        When there is none.
    """
    document = wait_for(mirror(metadata).document(metadata))
    if document is None:
        raise FileNotFoundError(metadata)
    return document.identity


def _span(part: ByteRequest | None) -> Span | None:
    match part:
        case None:
            return None
        case RangeByteRequest(start, end):
            return (start, end)
        case OffsetByteRequest(offset):
            return (offset, None)
        case SuffixByteRequest(suffix):
            return (-suffix, None)
    raise ValueError(f"{part} is no span of bytes")
