"""Hostile servers: what they send is bounded, read with doubt, and goes nowhere but into the segment's folder."""

from __future__ import annotations

import gzip
import json
from contextlib import suppress

import pytest

from http_server import Fault, serving
from volumen.errors import SourceError
from volumen.settings import Download, Listing
from volumen.sources.arrays.npy_volume import open_npy
from volumen.sources.arrays.ome import MOST_LEVELS
from volumen.sources.arrays.zarr_volume import open_zarr
from volumen.sources.location import Location
from volumen.sources.open import open_segment
from volumen.sources.remote import gzipped
from volumen.sources.remote.catalogue import read_catalogue
from volumen.sources.remote.download import download
from volumen.sources.remote.gzipped import unpack
from volumen.sources.remote.index_page import names_on
from volumen.sources.remote.listing import list_segments
from volumen.sources.remote.remote_file import BLOCK
from volumen.sources.remote.retry import retry_after
from volumen.sources.remote.zarr_files import chunk_files

HOST = "http://data.invalid"


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:-9], lambda raw: raw[:12] + b"\xff" * 9 + raw[21:], lambda raw: raw[:3]]
)
def test_gzip_that_is_damaged(damage):
    with pytest.raises(ValueError, match="no whole gzip"):
        unpack(damage(gzip.compress(bytes(range(256)) * 9)))


def test_gzip_that_unpacks_to_any_size(monkeypatch):
    bomb = gzip.compress(bytes(10**7))
    with pytest.raises(ValueError, match="more than"):
        unpack(bomb, most=10**6)
    with pytest.raises(ValueError, match="more than"):
        unpack(gzip.compress(bytes(600)) * 2, most=1000)  # of several members
    assert unpack(gzip.compress(bytes(600)) * 2, most=1200) == bytes(1200)


def test_gzip_of_very_many_empty_members():
    assert unpack(gzip.compress(b"") * 200_000 + gzip.compress(b"ink") + bytes(9)) == b"ink"


@pytest.mark.parametrize("host", ["a" * 64 + ".invalid", "data..invalid"])
def test_names_of_servers_that_cannot_be_looked_for(host):
    with pytest.raises(SourceError, match="no URL of a server"):
        open_segment(f"http://{host}/segment")


@pytest.mark.parametrize("host", ["a" * 64 + ".invalid", "data..invalid"])
def test_servers_that_lead_to_one_that_cannot_be_looked_for(tmp_path, host):
    with serving(tmp_path) as server:
        server.storm(seed=0, share=1.0, faults=[Fault(status=302, location=f"http://{host}/x")], in_a_row=99)
        place = Location(f"{server.url}/x.png")
        there = Listing(layout="volpkg", host=server.url)
        for call in (place.read, place.exists, place.listing, place.open, lambda: list(list_segments(there))):
            with pytest.raises(SourceError, match="leads to a server that cannot be looked for"):
                call()


@pytest.mark.parametrize(
    "raw", [b"\x1f\x8b", gzip.compress(b"{}", mtime=0)[:-4], b"[" * 5000, gzip.compress(b"[" * 5000, mtime=0)]
)
def test_a_catalogue_that_is_damaged(raw):
    with pytest.raises(SourceError, match="damaged"):
        read_catalogue(raw, "there")


def test_a_catalogue_of_more_volumes_than_a_segment_has():
    volumes = {f"{20230000 + number}-1.0um-1keV": {} for number in range(2000)}
    segments = {str(number): {"original_volume_id": "20231999-1.0um-1keV"} for number in range(2000)}
    raw = json.dumps({"samples": {"s": {"volumes": volumes, "segments": segments}}}).encode()
    for entry in read_catalogue(raw, "there"):
        assert len(entry.volumes) < 100
        assert entry.volumes[0] == f"s/segments/{entry.identity}/surface-volumes/1um-1keV-volume-20231999.zarr"


def test_a_catalogue_of_voxel_sizes_without_end():
    volumes = {f"20230827-1.{'0' * 200_000}.1um-1keV": {}}
    raw = json.dumps({"samples": {"s": {"volumes": volumes, "segments": {"1": {}}}}}).encode()
    (entry,) = read_catalogue(raw, "there")
    assert entry.volumes[0].endswith("0.1um-1keV-volume-20230827.zarr")


@pytest.mark.parametrize(
    "said", ["²", "9" * 400, "Mon, 01 Jan 0001 00:00:00 +2359", "Mon, 32 Jan 2020 99:99:99 GMT", "-5", "nan"]
)
def test_a_server_asks_to_wait_in_no_words_of_ours(said):
    assert retry_after({"Retry-After": said}) == 0.0


def test_links_that_are_no_names():
    page = b"""<a href="mailto:a@b.c">m</a><a href="javascript:x()">j</a><a href="00.tif">0</a><a href="%2e%2e">u</a>
    <a href="a%00b.tif">n</a><a href="a%0ab.tif">l</a><a href="http://[::1">h</a><a href="data:,x">d</a>
    <a href="..%5c..%5cx.tif">w</a><a href="%2e/">h</a>"""
    assert names_on(page, f"{HOST}/a") == ["00.tif"]


def test_links_that_are_never_closed():
    assert names_on(b"<a " * 300_000 + b'<img href="00.tif"><a href="01.tif">', f"{HOST}/a") == ["01.tif"]


def answered(answer, call):
    from canned import answering

    with answering(answer):
        return call()


def test_a_body_without_end_is_not_kept_in_memory(monkeypatch):
    from canned import ok
    from volumen.sources.remote import client

    monkeypatch.setattr(client, "MOST", 1000)
    monkeypatch.setattr(client, "unpack", lambda packed: gzipped.unpack(packed, most=10**5))
    for raw in (ok(bytes(2000)), ok(gzip.compress(bytes(10**5 + 1)), "Content-Encoding: gzip")):
        with pytest.raises(SourceError, match=r"MB|more than"):
            answered(lambda method, path, raw=raw: raw, Location(f"{HOST}/a.json").read)


@pytest.mark.parametrize(
    "headers", [("Retry-After: \xb2",), ("Content-Range: bytes \xb2-\xb3/4",), ("Content-Encoding: gzip",)]
)
@pytest.mark.parametrize("status", [200, 206, 429, 503])
def test_answers_out_of_shape_are_refused_if_at_all_in_our_words(headers, status):
    body = b"\x1f\x8bxxxxxxxx"
    lines = (f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *headers, "", "")
    raw = "\r\n".join(lines).encode() + body
    place = Location(f"{HOST}/odd.bin")
    for call in (place.read, place.exists, place.listing, lambda: place.open().read()):
        with suppress(SourceError):
            answered(lambda method, path: raw, call)


def zarr_of(**said):
    plain = {"zarr_format": 2, "shape": [4, 9, 11], "chunks": [4, 9, 11], "dtype": "|u1", "compressor": None}
    return json.dumps(plain | {"fill_value": 0, "order": "C", "filters": None} | said).encode()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({".zattrs": b'{"multiscales": [{"datasets": [{"path": "../../../escaped"}]}]}'}, "outside of itself"),
        ({".zattrs": b'{"multiscales": [{"datasets": [{"path": "/escaped"}]}]}'}, "outside of itself"),
        ({".zattrs": b'{"multiscales": [{"datasets": [{"path": "C:escaped"}]}]}'}, "outside of itself"),
        ({".zattrs": b'{"multiscales": [{"datasets": [{"path": "a\\u0000b"}]}]}'}, "no folder"),
        ({".zattrs": b'{"multiscales": [{"datasets": [{"path": "%s"}]}]}' % (b"a" * 300)}, "no folder"),
        ({".zattrs": b'{"multiscales": [{"datasets": [{"path": "%s"}]}]}' % (b"a/" * 3000 + b"a")}, "no folder"),
        ({".zattrs": b'{"multiscales": [{"datasets": [{"path": "0/Zarr.json"}]}]}'}, "no folder"),
        ({".zattrs": b'{"multiscales": [{"datasets": [{"path": "0/c"}, {"path": "0"}]}]}'}, "inside of another"),
        ({".zattrs": b'{"multiscales": [{"datasets": 7}]}'}, "not understood"),
        ({".zarray": zarr_of(shape=[4, 10**7, 10**7], chunks=[1, 1, 1])}, "chunks"),
        ({".zarray": zarr_of(shape=[0, 9, 11])}, "shape"),
        ({".zarray": zarr_of(chunks=[4, 0, 11])}, "chunks of"),
        ({".zarray": zarr_of(shape=[7], chunks=[7])}, "shape"),
        ({".zarray": b"[" * 5000}, "damaged"),
        ({"zarr.json": b'{"node_type": "group", "attributes": [1]}'}, "not understood"),
    ],
)
def test_a_zarr_on_a_server_asks_for_what_it_must_not(tmp_path, files, words):
    from canned import ok

    chosen = Download(segments=("20230827161847",), to=str(tmp_path / "to"), layout="dev-zarr", host=HOST)
    with pytest.raises(SourceError, match=words):
        answered(lambda method, path: ok(files.get(path.partition(".zarr/")[2])), lambda: list(download(chosen)))
    assert {path.name for path in tmp_path.iterdir()} == {"to"}
    assert {path.name for path in (tmp_path / "to").iterdir()} == {"20230827161847.partial"}


@pytest.mark.parametrize("shape", [(5 * 10**6, 1, 1), (1, 10**15, 1), (60_000, 10_000, 2**20)])
def test_a_npy_of_layers_without_end(shape):
    raw = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    head = (b"\x93NUMPY\x01\x00" + len(raw).to_bytes(2, "little") + raw).ljust(BLOCK, b"\0")

    def answer(method, path):
        length = 10**17 if method == "HEAD" else len(head)
        return f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode() + head

    with pytest.raises(SourceError, match="taken for damage"):
        answered(answer, lambda: open_npy(Location(f"{HOST}/{shape[0]}.npy")))


def test_levels_of_other_axes_than_the_first_are_passed_over(tmp_path):
    group = tmp_path / "g.zarr"
    group.mkdir()
    (group / ".zattrs").write_text('{"multiscales": [{"datasets": [{"path": "0"}, {"path": "1"}]}]}')
    for name, shape in (("0", [9, 9]), ("1", [5])):
        (group / name).mkdir()
        (group / name / ".zarray").write_bytes(zarr_of(shape=shape, chunks=shape))
    found = chunk_files(f"{HOST}/g.zarr", tmp_path, "g.zarr", layers=None, region=None, flat=True)
    assert [file.path for file in found] == ["g.zarr/0/0.0"]


@pytest.mark.parametrize("said", [{}, {"multiscales": [{"datasets": [{"path": str(n)} for n in range(99)]}]}])
def test_a_zarr_of_levels_without_end(said):
    from canned import ok

    def answer(method, path):
        inner = path.partition(".zarr/")[2]
        found = {".zgroup": b'{"zarr_format": 2}', ".zattrs": json.dumps(said).encode()}.get(inner)
        return ok(zarr_of() if inner.endswith("/.zarray") else found)

    image = answered(answer, lambda: open_zarr(Location(f"{HOST}/levels-{len(said)}.zarr")))
    assert len(image.levels) == MOST_LEVELS


@pytest.mark.parametrize("url", ["http://[", "http://", "https:///a", "http://host:port/a", "http://[::1/a.zarr"])
def test_an_address_that_is_none(url):
    for call in (Location(url).read, Location(url).exists, Location(url).open):
        with pytest.raises(SourceError, match="no URL"):
            call()


def test_a_listing_of_strange_links(tmp_path):
    from canned import ok

    page = b'<a href="mailto:a@b.c">m</a><a href="20230827161847/">s</a>'
    events = answered(
        lambda method, path: ok(page if path.endswith("/paths/") else None),
        lambda: list(list_segments(Listing(layout="volpkg", host=HOST))),
    )
    assert list(events[-1].result["segments"]["volpkg"]) == ["20230827161847"]
