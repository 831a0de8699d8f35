"""Transfer: one remote file to disk: resumed at the byte, guarded against change, verified, and there whole or not."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from aiohttp import ClientError, ClientPayloadError, ClientResponseError

from volumen.errors import SourceError, SourceNotFoundError
from volumen.plain_json import parse_object
from volumen.sources.numerals import whole
from volumen.sources.remote.checksums import ASKED, checksums_of, differing
from volumen.sources.remote.client import GONE, Client, is_absent, said, unreachable
from volumen.sources.remote.intact import flaw
from volumen.sources.remote.retry import passing
from volumen.whole_files import out_of_space

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aiohttp import ClientResponse

_BLOCK = 1 << 18
_MUCH = 1 << 20  # bytes; so large a file outlives the process when it is half there, too


@dataclass(kw_only=True)
class Tally:
    """What transfers have brought so far, read by whoever tells of progress."""

    files: int = 0
    bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What is known of a file that was brought: size in bytes, and what the server said it is."""

    size: int
    etag: str = ""
    changed: str = ""
    checksums: Mapping[str, str] = field(default_factory=dict)


async def fetch(
    client: Client, url: str, target: Path, tally: Tally, *, size: int | None = None, witness: str | None = None
) -> Fetched | None:
    """Bring a file, of ``size`` bytes where that is known, or return None where there is none.

    With a ``witness``, a file of the same store that is there for certain, a missing one is believed only while that is
    still given out: a store that was deleted is not a store of zeros. A refusal (403) is how object stores that may not
    be listed say "missing", but also how a server turns somebody away; the file is then asked for once more.

    It grows as ``<name>.part``, with ``<name>.part.json`` that says which version of the file it is part of, so that a
    killed transfer goes on at the byte, and begins anew where the file has changed since.

    Raises
    ------
    SourceError
        When the server does not give it, or never what it promised; or the witness is gone.
    OutOfSpaceError
        When the disk is full.
    """
    half, doubted = _Half.read(target), witness is not None
    while True:
        before = half.have
        try:
            await client.patience.persist(lambda: half.ask_rest(client, url, tally, size))
            break
        except (ClientError, OSError, TimeoutError) as error:
            if is_absent(error):
                half.discard()
                if witness is not None and doubted:
                    await _check_there(client, witness)
                    if error.status not in GONE:
                        doubted = False
                        continue
                return None
            # much that came is worth as many tries again: a long file may outlive many connections
            if not passing(error) or half.have < before + _MUCH:
                raise unreachable(url, error) from error
    with out_of_space(target):
        half.part.replace(target)
    half.note.unlink(missing_ok=True)
    return half.told


async def _check_there(client: Client, witness: str) -> None:
    """Raise a `SourceNotFoundError` where the witness is not given out, so that what lacks beside it is no answer."""
    if not await client.exists(witness):
        raise SourceNotFoundError(
            f"{witness} was deleted, moved or refused while its store was fetched; what lacks is not taken for empty. "
            "Try again later; what is complete is kept."
        )


class _Half:
    """A file on its way: what is on disk of it, and of which version."""

    def __init__(self, target: Path, told: Fetched | None) -> None:
        self.name = target.name
        self.part = target.with_name(f"{target.name}.part")
        self.note = target.with_name(f"{target.name}.part.json")
        self.told = told
        self.have = self.part.stat().st_size if told is not None else 0

    @classmethod
    def read(cls, target: Path) -> _Half:
        """Take up what an earlier process left; what cannot be told to be part of the file is not used."""
        found = cls(target, None)
        try:
            told = Fetched(**parse_object(found.note.read_bytes()))
            return cls(target, told)
        except (OSError, ValueError, TypeError):
            return found

    def discard(self) -> None:
        """Begin anew."""
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
        self.told, self.have = None, 0

    async def ask_rest(self, client: Client, url: str, tally: Tally, size: int | None) -> None:
        """Ask once for what is not there yet, and verify the whole.

        Raises
        ------
        ClientError, OSError, TimeoutError
            When it did not come, or is not what was promised; worth another try where `passing` says so.
        """
        guard = _guard(self.told)
        if self.told is None or self.told.size < 0 or not guard:
            self.discard()
        if self.told is None or self.have < self.told.size:
            rest = {"Range": f"bytes={self.have}-", "If-Range": guard} if self.told is not None else {}
            try:
                async with client.ask(url, headers={**ASKED, **rest}) as response:
                    await self._take(response, tally)
            except ClientResponseError as error:
                if error.status == 416:
                    self._refuse("the file is shorter than it was")
                raise
        await self._verify(size)

    async def _take(self, response: ClientResponse, tally: Tally) -> None:
        """Write what comes after what is there, or over it where another version begins."""
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise SourceError(f"{response.url} comes compressed as a whole, which is not understood.")
        if response.status == 206:
            if self.told is None or not _continues(response.headers, self.have, self.told):
                self._refuse("the file changed on the server")
        else:
            self.discard()
            self.told = _told(response.headers)
            with out_of_space(self.part):
                self.part.parent.mkdir(parents=True, exist_ok=True)
                self.part.write_bytes(b"")
                if self.told.size >= _MUCH:
                    self.note.write_text(json.dumps(asdict(self.told)))
        with out_of_space(self.part), open(self.part, "r+b") as file:
            file.seek(self.have)
            async for block in response.content.iter_chunked(_BLOCK):
                file.write(block)
                file.flush()  # a raw write may take a part; what counts is on the disk
                self.have += len(block)
                tally.bytes += len(block)

    async def _verify(self, size: int | None) -> None:
        """Compare what came with everything that is known of it."""
        if self.told is None:
            raise ClientPayloadError("nothing came")
        if self.told.size < 0:  # not said; that all came is known by the protocol
            self.told = replace(self.told, size=self.have)
        if self.have < self.told.size:
            raise ClientPayloadError(f"{self.have} of {self.told.size} bytes came")
        if self.have > self.told.size or size not in (None, self.have):
            self._refuse(f"{self.have} bytes came instead of {self.told.size if size is None else size}")
        methods = await asyncio.to_thread(differing, self.part, self.told.checksums)
        if methods:
            self._refuse(f"its {methods[0]} checksum is not the one that the server tells")
        fault = await asyncio.to_thread(flaw, self.part, self.name)
        if fault:
            self._refuse(fault)

    def _refuse(self, why: str) -> None:
        self.discard()
        raise ClientPayloadError(why)


def _guard(told: Fetched | None) -> str:
    """Return what makes a server refuse to go on with another version: a strong ETag, or the date of change."""
    if told is None:
        return ""
    return told.changed if told.etag.startswith("W/") else told.etag or told.changed


def _told(headers: Mapping[str, str]) -> Fetched:
    size = whole(headers.get("Content-Length", ""))
    return Fetched(
        size=-1 if size is None else size,
        etag=said(headers, "ETag"),
        changed=said(headers, "Last-Modified"),
        checksums=checksums_of(headers),
    )


def _continues(headers: Mapping[str, str], have: int, told: Fetched) -> bool:
    """Say whether an answer in part begins where we are, in the file that we have begun."""
    span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""), re.ASCII)
    if span is None or whole(span[1]) != have or said(headers, "ETag") not in ("", told.etag):
        return False
    return span[2] in ("*", str(told.size))
