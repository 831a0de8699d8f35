"""The server of the tests does what it is told: ranges, guards, listings, faults and counts."""

from __future__ import annotations

import hashlib
import threading
import urllib.error
import urllib.request
from http.client import IncompleteRead

import pytest

from http_server import BROKEN, CUT, RESET, STORM, Fault, serving


def get(url, **headers):
    """Return status, headers and body, whatever the status."""
    request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.bin").write_bytes(bytes(range(100)))
    return tmp_path


def test_ranges_are_guarded_by_the_etag(folder):
    with serving(folder) as server:
        status, headers, body = get(f"{server.url}/a/b.bin")
        assert (status, body, headers["Content-Length"]) == (200, bytes(range(100)), "100")
        etag = headers["ETag"]
        assert etag == f'"{hashlib.md5(body).hexdigest()}"'
        status, headers, body = get(f"{server.url}/a/b.bin", Range="bytes=90-", If_Range=etag)
        assert (status, body, headers["Content-Range"]) == (206, bytes(range(90, 100)), "bytes 90-99/100")
        assert get(f"{server.url}/a/b.bin", Range="bytes=90-", If_Range='"other"')[0] == 200
        assert get(f"{server.url}/a/b.bin", Range="bytes=-4")[2] == bytes(range(96, 100))
        assert get(f"{server.url}/a/b.bin", Range="bytes=100-")[0] == 416


def test_folders_are_listed_or_not(folder):
    with serving(folder, listing=True) as server:
        assert b'href="b.bin"' in get(f"{server.url}/a/")[2]
    with serving(folder, missing=403) as server:
        assert get(f"{server.url}/a/")[0] == 403
        assert get(f"{server.url}/nothing")[0] == 403


def test_a_login_is_asked_for(folder):
    with serving(folder, login="user:word") as server:
        assert get(f"{server.url}/a/b.bin")[0] == 401
        assert get(f"{server.url}/a/b.bin", Authorization="Basic dXNlcjp3b3Jk")[0] == 200


def test_faults_come_as_often_as_told(folder):
    with serving(folder) as server:
        url = f"{server.url}/a/b.bin"
        server.fail("/a/b.bin", Fault(status=429, retry_after="7"))
        server.fail("/a/b.bin", BROKEN)
        status, headers, _ = get(url)
        assert (status, headers["Retry-After"]) == (429, "7")
        assert get(url)[0] == 500
        for fault in (CUT, Fault(length=5)):
            server.fail("/a/b.bin", fault)
            with pytest.raises(IncompleteRead):
                get(url)
        server.fail("/a/b.bin", RESET)
        with pytest.raises((ConnectionResetError, IncompleteRead)):
            get(url)
        server.fail("/a/b.bin", Fault(length=-5))
        assert len(get(url)[2]) == 95
        assert get(url)[2] == bytes(range(100))
        assert server.requests["/a/b.bin"] == 7


def test_a_storm_is_seeded_and_ends_for_each_path(folder):
    def weather(seed):
        with serving(folder) as server:
            server.storm(seed, 0.9, [fault for fault in STORM if fault.status])
            return [get(f"{server.url}/a/b.bin")[0] for _ in range(12)]

    assert weather(1) == weather(1) != weather(2)
    assert all(200 in weather(1)[start : start + 3] for start in range(10))


def test_the_largest_number_at_once_is_known(folder):
    with serving(folder) as server:
        server.fail("/a/b.bin", Fault(slow=0.3), times=3)
        threads = [threading.Thread(target=get, args=(f"{server.url}/a/b.bin",)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.most_at_once == 3
