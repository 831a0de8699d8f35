"""One file over a bad network: byte-identical in the end or a clear error, resumed at the byte, never a storm."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import random
import shutil
import subprocess
from contextlib import contextmanager

import numpy as np
import pytest
import tifffile
from PIL import Image
from yarl import URL

from http_server import AWAY, BROKEN, BUSY, CUT, RESET, SLOW, Fault, serving
from volumen.errors import SettingsError, SourceError
from volumen.sources.remote.client import Client
from volumen.sources.remote.ledger import Ledger
from volumen.sources.remote.login import find_login
from volumen.sources.remote.retry import Patience
from volumen.sources.remote.transfer import Fetched, Tally, fetch

QUICK = Patience(tries=6, first_s=0.01, longest_s=0.02, total_s=5.0)
TRUTH = random.Random(0).randbytes(3_000_000)
HALF = len(TRUTH) // 2


@pytest.fixture
def folder(tmp_path):
    home = tmp_path / "served"
    home.mkdir()
    (home / "data.bin").write_bytes(TRUTH)
    return home


def bring(url, target, at_once=4, silence_s=60.0, patience=QUICK):
    """Fetch one file and return what is told of it and the bytes that came."""

    async def run():
        tally = Tally()
        async with Client(at_once=at_once, patience=patience, silence_s=silence_s) as client:
            return await fetch(client, url, target, tally), tally.bytes

    return asyncio.run(run())


FAULTS = {
    "429": BUSY,
    "500": BROKEN,
    "503": AWAY,
    "slow": SLOW,
    "cut": CUT,
    "cut late": Fault(after=HALF),
    "reset": RESET,
    "reset late": Fault(after=HALF, reset=True),
    "too long said": Fault(length=7),
    "too short said": Fault(length=-7),
    "flipped": Fault(flip=True),
}


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_passes_is_survived(folder, tmp_path, fault, times):
    with serving(folder) as server:
        server.fail("/data.bin", fault, times)
        told, _ = bring(f"{server.url}/data.bin", tmp_path / "data.bin")
        assert (tmp_path / "data.bin").read_bytes() == TRUTH
        assert told.size == len(TRUTH)
        assert server.requests["/data.bin"] <= times + 2
    assert sorted(os.listdir(tmp_path)) == ["data.bin", "served"]


@pytest.mark.parametrize("name", [name for name in FAULTS if name not in ("slow", "cut late", "reset late")])
def test_what_does_not_pass_is_an_error_after_few_requests(folder, tmp_path, name):
    with serving(folder) as server:
        server.fail("/data.bin", FAULTS[name], 1000)
        with pytest.raises(SourceError, match=r"data\.bin cannot be fetched"):
            bring(f"{server.url}/data.bin", tmp_path / "data.bin")
        assert server.requests["/data.bin"] <= 2 * QUICK.tries
    assert not (tmp_path / "data.bin").exists()


def test_a_long_file_outlives_more_connections_than_tries(folder, tmp_path):
    with serving(folder) as server:
        server.fail("/data.bin", Fault(after=1_100_000), 2)
        once = Patience(tries=1)
        bring(f"{server.url}/data.bin", tmp_path / "data.bin", patience=once)
        assert (tmp_path / "data.bin").read_bytes() == TRUTH
        assert server.requests["/data.bin"] == 3


def test_a_cut_transfer_goes_on_at_the_byte(folder, tmp_path):
    with serving(folder) as server:
        server.fail("/data.bin", Fault(after=HALF))
        assert bring(f"{server.url}/data.bin", tmp_path / "data.bin")[1] == len(TRUTH)
        assert server.log[1][2]["Range"] == f"bytes={HALF}-"
        assert server.log[1][2]["If-Range"].startswith('"')


def leave_half(folder, tmp_path, **how):
    """Stop as a killed process does: with what is on disk."""
    with serving(folder, **how) as server:
        server.fail("/data.bin", Fault(after=HALF))
        server.fail("/data.bin", BROKEN, 100)
        with pytest.raises(SourceError):
            bring(f"{server.url}/data.bin", tmp_path / "data.bin")
    assert (tmp_path / "data.bin.part").stat().st_size == HALF


@pytest.mark.parametrize("etag", ["md5", "parts", "opaque", "none"])
def test_another_process_goes_on_at_the_byte(folder, tmp_path, etag):
    leave_half(folder, tmp_path, etag=etag)
    with serving(folder, etag=etag) as server:
        _, came = bring(f"{server.url}/data.bin", tmp_path / "data.bin")
    assert came == len(TRUTH) - HALF
    assert (tmp_path / "data.bin").read_bytes() == TRUTH


@pytest.mark.parametrize("etag", ["md5", "opaque", "latin", "none"])
@pytest.mark.parametrize("longer", [-1_600_000, 0, 500])
def test_a_file_that_changed_meanwhile_is_fetched_anew(folder, tmp_path, etag, longer):
    leave_half(folder, tmp_path, etag=etag)
    other = bytes(len(TRUTH) + longer)
    (folder / "data.bin").write_bytes(other)
    os.utime(folder / "data.bin", (1, 1))
    with serving(folder, etag=etag) as server:
        bring(f"{server.url}/data.bin", tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == other


@pytest.mark.parametrize("etag", ["md5", "opaque"])
def test_a_file_that_changes_mid_download_is_never_a_mixture(folder, tmp_path, etag):
    other = bytes(len(TRUTH))
    with serving(folder, etag=etag) as server:
        server.fail("/data.bin", Fault(after=HALF, then=lambda: (folder / "data.bin").write_bytes(other)))
        bring(f"{server.url}/data.bin", tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == other


def test_a_server_without_ranges_begins_anew(folder, tmp_path):
    with serving(folder, ranges=False) as server:
        server.fail("/data.bin", Fault(after=HALF))
        assert bring(f"{server.url}/data.bin", tmp_path / "data.bin")[1] == HALF + len(TRUTH)
    assert (tmp_path / "data.bin").read_bytes() == TRUTH


def test_a_damaged_half_is_found_by_the_checksum(folder, tmp_path):
    leave_half(folder, tmp_path)
    with open(tmp_path / "data.bin.part", "r+b") as file:
        file.write(b"\0\0\0\0")
    with serving(folder) as server:
        bring(f"{server.url}/data.bin", tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == TRUTH


def test_what_the_disk_takes_a_part_of_does_not_count_as_there(folder, tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with serving(folder, etag="opaque") as server:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(TRUTH) - 1, limits[1]))
            with pytest.raises(SourceError, match="too large"):
                bring(f"{server.url}/data.bin", tmp_path / "got.bin")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert not (tmp_path / "got.bin").exists()
        bring(f"{server.url}/data.bin", tmp_path / "got.bin")
    assert (tmp_path / "got.bin").read_bytes() == TRUTH


@pytest.mark.parametrize("checksum", ["Content-MD5", "x-amz-checksum-sha256", "x-amz-checksum-crc32"])
def test_every_checksum_is_verified(folder, tmp_path, checksum):
    with serving(folder, etag="opaque", checksums=(checksum,)) as server:
        server.fail("/data.bin", Fault(flip=True))
        told, _ = bring(f"{server.url}/data.bin", tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == TRUTH
    assert set(told.checksums) == {checksum.lower().removeprefix("content-").removeprefix("x-amz-checksum-")}


def image_bytes(ending):
    pixels, out = np.arange(90_000, dtype=np.uint8).reshape(300, 300), io.BytesIO()
    if ending == "tif":
        tifffile.imwrite(out, pixels)
    elif ending == "json":
        return json.dumps({"a": list(range(1000))}).encode()
    else:
        Image.fromarray(pixels).save(out, {"png": "PNG", "jpg": "JPEG"}[ending])
    return out.getvalue()


@pytest.mark.parametrize("ending", ["tif", "png", "jpg", "json"])
def test_a_size_that_is_said_too_small_is_found_by_the_form(folder, tmp_path, ending):
    name, truth = f"a.{ending}", image_bytes(ending)
    (folder / name).write_bytes(truth)
    with serving(folder, etag="opaque") as server:
        server.fail(f"/{name}", Fault(length=-100))
        bring(f"{server.url}/{name}", tmp_path / name)
        assert (tmp_path / name).read_bytes() == truth
        server.fail(f"/{name}", Fault(length=-100), 100)
        with pytest.raises(SourceError, match="no whole"):
            bring(f"{server.url}/{name}", tmp_path / name)


@pytest.mark.parametrize("missing", [403, 404])
def test_what_is_not_there_is_asked_for_once(folder, tmp_path, missing):
    with serving(folder, missing=missing) as server:
        assert bring(f"{server.url}/nothing", tmp_path / "nothing") == (None, 0)
        assert server.requests["/nothing"] == 1
    assert not list(tmp_path.glob("nothing*"))


def test_a_server_that_wants_peace_for_long_is_left_alone(folder, tmp_path):
    with serving(folder) as server:
        server.fail("/data.bin", Fault(status=429, retry_after="3600"), 100)
        with pytest.raises(SourceError, match="3600 s"):
            bring(f"{server.url}/data.bin", tmp_path / "data.bin")
        assert server.requests["/data.bin"] == 1


def test_a_pause_holds_for_all_requests_to_a_host(folder):
    async def run(url):
        async with Client(at_once=1, patience=QUICK) as client:
            await asyncio.gather(*(client.read(f"{url}/data.bin") for _ in range(3)))

    with serving(folder) as server:
        server.fail("/data.bin", Fault(status=429, retry_after="1"))
        asyncio.run(run(server.url))
        assert server.requests["/data.bin"] == 4
        first, second = server.times[:2]
        assert second - first >= 0.9


def test_silence_counts_as_lost(folder, tmp_path):
    with serving(folder) as server:
        server.fail("/data.bin", Fault(slow=1.5))
        bring(f"{server.url}/data.bin", tmp_path / "data.bin", silence_s=0.3)
        assert server.requests["/data.bin"] == 2
    assert (tmp_path / "data.bin").read_bytes() == TRUTH


@contextmanager
def room_for(size):
    """Let no file grow beyond a size: what is written there is cut short without an error, as on a full disk."""
    resource = pytest.importorskip("resource")
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


def test_a_file_that_is_written_short_is_not_there(folder, tmp_path):
    with serving(folder, etag="none") as server, room_for(len(TRUTH) - 9), pytest.raises(SourceError, match="fetched"):
        bring(f"{server.url}/data.bin", tmp_path / "data.bin")
    assert not (tmp_path / "data.bin").exists()


def test_a_line_that_is_written_short_is_not_known(tmp_path):
    ledger = Ledger.open(tmp_path)
    with room_for(9), pytest.raises(OSError, match="large"):
        ledger.add("a", "http://host/a", None)
    assert not ledger.known
    assert not Ledger.open(tmp_path).known


def test_never_more_at_once_than_told(folder, tmp_path):
    async def run(url):
        async with Client(at_once=3, patience=QUICK) as client:
            targets = [tmp_path / f"{number}" for number in range(20)]
            await asyncio.gather(*(fetch(client, f"{url}/data.bin", target, Tally()) for target in targets))

    with serving(folder) as server:
        server.fail("/data.bin", Fault(slow=0.2), 3)
        asyncio.run(run(server.url))
        assert server.most_at_once == 3


@pytest.mark.parametrize("how", ["environment", "netrc"])
def test_a_login_is_given_where_it_is_demanded_and_nowhere_kept(folder, tmp_path, monkeypatch, caplog, how):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    if how == "netrc":
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login reader password s3cr3t-word\n")
    else:
        monkeypatch.setenv("VOLUMEN_HTTP_USER", "reader")
        monkeypatch.setenv("VOLUMEN_HTTP_PASSWORD", "s3cr3t-word")
    with serving(folder, login="reader:s3cr3t-word") as server:
        told, _ = bring(f"{server.url}/data.bin", tmp_path / "data.bin")
        assert "Authorization" not in server.log[0][2]
    assert "s3cr3t" not in repr(told) + caplog.text


def test_requests_that_begin_together_all_get_the_login(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("VOLUMEN_HTTP_USER", "reader")
    monkeypatch.setenv("VOLUMEN_HTTP_PASSWORD", "s3cr3t-word")

    async def run(url):
        async with Client(at_once=4, patience=QUICK) as client:
            await asyncio.gather(*(fetch(client, url, tmp_path / f"{number}", Tally()) for number in range(8)))

    with serving(folder, login="reader:s3cr3t-word") as server:
        server.fail("/data.bin", Fault(slow=0.2), 4)
        asyncio.run(run(f"{server.url}/data.bin"))
        assert server.requests["/data.bin"] <= 4 + 8
    assert all((tmp_path / f"{number}").read_bytes() == TRUTH for number in range(8))


@pytest.mark.parametrize("password", ["", "wrong-w0rd"])
def test_a_login_that_is_missing_or_wrong_is_said_without_it(folder, tmp_path, monkeypatch, password):
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("VOLUMEN_HTTP_USER", "reader" if password else "")
    monkeypatch.setenv("VOLUMEN_HTTP_PASSWORD", password)
    with serving(folder, login="reader:s3cr3t-word") as server:
        with pytest.raises(SourceError, match="VOLUMEN_HTTP_USER") as error:
            bring(f"{server.url}/data.bin", tmp_path / "data.bin")
        assert server.requests["/data.bin"] <= 2
    assert "w0rd" not in str(error.value)


def test_a_broken_netrc_is_said_without_its_text(folder, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login reader passwort s3cr3t-word\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with serving(folder, login="a:b") as server, pytest.raises(SettingsError, match="netrc") as error:
        bring(f"{server.url}/data.bin", tmp_path / "data.bin")
    assert "s3cr3t" not in str(error.value)


def test_no_login_goes_unencrypted_to_other_machines(monkeypatch, tmp_path):

    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("VOLUMEN_HTTP_USER", "reader")
    assert find_login(URL("http://example.org/a")) is None
    assert find_login(URL("https://example.org/a")) == "Basic cmVhZGVyOg=="


def test_a_server_that_is_not_there_is_said(tmp_path):
    with serving(tmp_path) as server:
        url = server.url
    with pytest.raises(SourceError, match="cannot be fetched"):
        bring(f"{url}/data.bin", tmp_path / "data.bin")


def test_what_is_told_survives_being_noted():
    told = Fetched(size=3, etag='"a"', changed="now", checksums={"md5": "00"})
    assert Fetched(**json.loads(json.dumps(vars(told)))) == told


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(folder, tmp_path):
    pem = tmp_path / "own.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    subprocess.run([*made, "-keyout", pem, "-out", tmp_path / "cert.pem"], check=True, capture_output=True)
    pem.write_bytes(pem.read_bytes() + (tmp_path / "cert.pem").read_bytes())
    with serving(folder, certificate=pem) as server:
        with pytest.raises(SourceError, match="certificate"):
            bring(f"{server.url}/data.bin", tmp_path / "data.bin")
        assert not server.requests
