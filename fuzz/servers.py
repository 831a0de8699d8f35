"""Servers: catalogues, index pages, whatever HTTP can say, and zarrs that are fetched piece by piece."""

from __future__ import annotations

import gzip
import json
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from canned import answering, ok
from harness import Harness, each_way
from volumen.settings import Download, Listing
from volumen.sources.location import Location
from volumen.sources.remote.client import Client
from volumen.sources.remote.download import download
from volumen.sources.remote.listing import list_segments
from volumen.sources.remote.network import wait_for
from volumen.sources.remote.transfer import Tally, fetch
from volumes import ZARR_2, ZARR_3, zarrs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness import Parts

_HOST = "http://data.invalid"
_ID = "20230827161847"
_ANSWERS = ("0", "1", "2")
_MOST = 200  # requests for one input: a shape may ask for very many chunks, which takes long, as it should


def _catalogue(folder: Path) -> None:
    def answer(name: str, method: str, path: str) -> bytes:
        file = folder / name
        return ok(file.read_bytes() if file.exists() and path.endswith("metadata.json") else None)

    for name in ("plain.json", "packed.json"):
        with answering(partial(answer, name)):
            each_way(
                lambda: list(list_segments(Listing(layout="open-data", host=_HOST))),
                lambda: list(download(_wanted(folder, "open-data"))),
            )


def _wanted(folder: Path, layout: str) -> Download:
    return Download(segments=(_ID,), to=str(folder / "to"), layout=layout, host=_HOST)


def _pages(folder: Path) -> None:
    page = (folder / "index.html").read_bytes() if (folder / "index.html").exists() else b""
    with answering(lambda method, path: ok(page if path.endswith("/") else None)):
        each_way(
            lambda: list(list_segments(Listing(layout="volpkg", host=_HOST))),
            lambda: Location(f"{_HOST}/a").listing(),
            lambda: list(download(_wanted(folder, "volpkg"))),
        )


def _http(folder: Path) -> None:
    """Ask in every way, each time with the same answers in the same order, the last one for ever."""
    answers = [(folder / name).read_bytes() for name in _ANSWERS if (folder / name).exists()] or [b""]

    async def asked(target: Path) -> None:
        async with Client(at_once=2) as client:
            await fetch(client, f"{_HOST}/a/{target.name}", target, Tally())

    async def read(*, whole: bool) -> None:
        async with Client(at_once=2) as client:
            await (client.read if whole else client.exists)(f"{_HOST}/a/b.json")

    place = Location(f"{_HOST}/a/b.bin")
    ways = (
        lambda: wait_for(read(whole=True)),
        lambda: wait_for(read(whole=False)),
        lambda: wait_for(asked(folder / "layers.json")),
        lambda: wait_for(asked(folder / "00.tif")),
        place.read,
        place.exists,
        place.listing,
        lambda: place.open().read(9),
    )
    each_way(*(partial(_answered, answers, way) for way in ways))


def _answered(answers: list[bytes], way: partial[object]) -> None:
    left = list(answers)
    with answering(lambda method, path: left.pop(0) if len(left) > 1 else left[0]):
        way()


def _remote(folder: Path) -> None:
    server = folder / "server"

    asked = count()

    def answer(method: str, path: str) -> bytes:
        if next(asked) >= _MOST:
            return b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
        file = server / path.partition(f"{_ID}.zarr/")[2]
        return ok(file.read_bytes() if file.is_file() and ".." not in path else None)

    with answering(answer):
        each_way(
            lambda: list(download(_wanted(folder, "dev-zarr"))),
            lambda: list(download(_wanted(folder, "dev-zarr").model_copy(update={"region": (0, 4, 0, 4)}))),
        )


def _catalogues() -> Iterator[Parts]:
    volumes = {"20241024131838": {"long_id": "20241024131838-7.910um-53keV-masked", "properties": {"shape": None}}}
    origins = [{"path": f"PHerc0172/segments/{_ID}-w064/surface-volumes/x.zarr", "access_roots": None}]
    segment = {"original_volume_id": "20241024131838", "width": 7, "height": 9, "data": [{"origins": origins}, None]}
    told = {"metadata": {"samples": {"PHerc0172": {"volumes": volumes, "segments": {_ID: segment}}, "x": None}}}
    raw = json.dumps(told).encode()
    yield raw, gzip.compress(raw, mtime=0)
    yield b'{"samples": {}}', gzip.compress(bytes(2**22), mtime=0)


def _listings() -> Iterator[Parts]:
    names = (
        f"{_ID}/",
        "00.tif",
        "01.tif",
        "../",
        "?C=N;O=D",
        "mailto:a@b.c",
        "/a/02.tif",
        "https://x.invalid/a/03.tif",
    )
    yield ("".join(f'<a href="{name}">{name}</a>\n' for name in names).encode(),)
    yield (b"<a href='%2e%2e/x'>x</a><a href=a%00b>b</a><A HREF=http://[::1>c</A>",)


def _all_answers() -> Iterator[Parts]:
    body = b'{"a": 1}'
    plain = ok(body, 'ETag: "abc"', "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT")
    later = b"HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n"
    yield later, plain, b""
    yield later.replace(b"120", b"Wed, 21 Oct 2099 07:28:00 GMT"), plain, b""
    part = b"HTTP/1.1 206 Part\r\nContent-Range: bytes 0-7/8\r\nContent-Length: 8\r\n\r\n" + body
    yield part, part, b""
    packed = gzip.compress(body, mtime=0)
    yield ok(packed, "Content-Encoding: gzip"), b"", b""
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n" + body + b"\r\n0\r\n\r\n", b"", b""
    yield b"HTTP/1.1 302 Found\r\nLocation: /a/c.json\r\nContent-Length: 0\r\n\r\n", plain, b""
    yield ok(body, "Content-MD5: 1B2M2Y8AsgTpgAmY7PhCfg==", "x-amz-checksum-crc32: AAAAAA=="), plain, b""
    yield ok(b'<a href="00.tif">x</a>', "Content-Type: text/html"), b"", b""


_HEADERS = (
    *("HTTP/1.1 206 Part", "HTTP/1.1 401 No", "HTTP/1.1 429 Busy", "HTTP/1.1 416 Range", "Retry-After: ", "Location: "),
    *("Content-Range: bytes ", "Content-Length: ", "Content-Encoding: gzip", "ETag: W/", "Transfer-Encoding: chunked"),
)

HARNESSES = {
    each.name: each
    for each in (
        Harness(
            name="catalogue",
            files=("plain.json", "packed.json"),
            door=_catalogue,
            seeds=_catalogues,
        ),
        Harness(
            name="http answers",
            files=_ANSWERS,
            door=_http,
            seeds=_all_answers,
            words=_HEADERS,
        ),
        Harness(
            name="index pages",
            files=("index.html",),
            door=_pages,
            seeds=_listings,
            words=("<a href=", "%2e%2e", "%2F", "&#x2e;", "//", "http://"),
        ),
        Harness(
            name="remote zarr",
            files=tuple(f"server/{name}" for name in (*ZARR_2, *ZARR_3)),
            door=_remote,
            seeds=lambda: (
                *((*parts, *[b""] * len(ZARR_3)) for parts in zarrs(2)),
                *((*[b""] * len(ZARR_2), *parts) for parts in zarrs(3)),
            ),
        ),
    )
}
