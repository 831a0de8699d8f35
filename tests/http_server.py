"""A local HTTP/1.1 server for tests: serves a folder as the layouts' hosts do, fails on demand, and counts."""

from __future__ import annotations

import base64
import hashlib
import html
import random
import re
import socket
import ssl
import struct
import threading
import time
import zlib
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong with one answer; without ``status`` the file is sent, but not as it should be.

    Parameters
    ----------
    status, retry_after
        Answer so, with that ``Retry-After``.
    location
        Where an answer in the three hundreds leads to.
    slow
        Seconds before anything is sent.
    after
        Bytes of the body that are sent before the connection ends; by a reset where ``reset`` is set.
    then
        What happens on the server before the connection ends, such as a new file in the old one's place.
    length
        Added to the ``Content-Length`` that is said, and to what is sent where it is less.
    flip
        Turn the first byte over.
    """

    status: int = 0
    retry_after: str = ""
    location: str = ""
    slow: float = 0.0
    after: int | None = None
    reset: bool = False
    then: Callable[[], object] | None = None
    length: int = 0
    flip: bool = False


BUSY = Fault(status=429, retry_after="0")
BROKEN = Fault(status=500)
AWAY = Fault(status=503)
SLOW = Fault(slow=0.05)
CUT = Fault(after=3)
RESET = Fault(after=3, reset=True)
STORM = (BUSY, BROKEN, AWAY, SLOW, CUT, RESET)
"""What passes: every download must come through these."""


@dataclass(kw_only=True)
class Served:
    """A running server: what it does wrong, and what was asked of it.

    Parameters
    ----------
    folder
        What is served.
    listing
        Answer a folder with an index page; else with ``missing``, as object stores do.
    missing
        Status of what is not there.
    etag
        ``md5`` as object stores, ``parts`` as those after an upload in parts, ``opaque`` as file servers, ``latin`` as
        no server should (with a byte beyond UTF-8), or ``none``.
    checksums
        Of ``Content-MD5``, ``x-amz-checksum-sha256``, ``x-amz-checksum-crc32``, those to send with whole files; the
        latter two only to who asks for them, as object stores do.
    encoded
        Paths of files that are gzip-compressed on disk and said to be so (``Content-Encoding``).
    ranges
        Heed ``Range``.
    login
        ``user:password`` that must be given (Basic).
    certificate
        PEM file with a key and a certificate, to serve encrypted.
    """

    folder: Path
    listing: bool = False
    missing: int = 404
    etag: str = "md5"
    checksums: Sequence[str] = ()
    encoded: Sequence[str] = ()
    ranges: bool = True
    login: str = ""
    certificate: Path | None = None

    url: str = ""
    requests: Counter[str] = field(default_factory=Counter)
    """How often each path was asked for."""
    log: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, path and headers of every request."""
    times: list[float] = field(default_factory=list)
    """When each came, in seconds of a clock."""
    most_at_once: int = 0

    _now: int = 0
    _faults: dict[str, list[Fault]] = field(default_factory=dict)
    _storm: tuple[int, float, Sequence[Fault], int] = (0, 0.0, (), 0)
    _unlucky: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, path: str, fault: Fault, times: int = 1) -> None:
        """Let the next answers for a path go wrong."""
        self._faults.setdefault(path, []).extend([fault] * times)

    def storm(self, seed: int, share: float, faults: Sequence[Fault] = STORM, in_a_row: int = 2) -> None:
        """Let a share of all answers go wrong, never more than so many in a row for one path."""
        self._storm = (seed, share, faults, in_a_row)

    def forget(self) -> None:
        """Count from zero, and fail no more."""
        self.requests.clear()
        self.log.clear()
        self.times.clear()
        self._faults.clear()
        self._storm, self.most_at_once = (0, 0.0, (), 0), 0

    def _come(self, method: str, path: str, headers: dict[str, str]) -> Fault | None:
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            self.requests[path] += 1
            self.log.append((method, path, headers))
            self.times.append(time.monotonic())
            if self._faults.get(path):
                return self._faults[path].pop(0)
            seed, share, faults, in_a_row = self._storm
            draw = random.Random(f"{seed} {path} {self.requests[path]}")  # the same whoever comes first
            if draw.random() < share and self._unlucky[path] < in_a_row:
                self._unlucky[path] += 1
                return draw.choice(list(faults))
            self._unlucky[path] = 0
            return None

    def _go(self) -> None:
        with self._lock:
            self._now -= 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: Served

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        fault = self.served._come(self.command, path, dict(self.headers)) or Fault()
        try:
            time.sleep(fault.slow)
            if fault.status:
                said = {"Retry-After": fault.retry_after, "Location": fault.location}
                self._refuse(fault.status, {name: value for name, value in said.items() if value})
            elif self.served.login and not self._knows_login():
                self._refuse(401, {"WWW-Authenticate": 'Basic realm="data"'})
            else:
                self._answer(path, fault)
        except ConnectionError:  # the client has enough
            self.close_connection = True
        finally:
            self.served._go()

    def _knows_login(self) -> bool:
        wanted = base64.b64encode(self.served.login.encode()).decode()
        return self.headers.get("Authorization") == f"Basic {wanted}"

    def _refuse(self, status: int, headers: dict[str, str]) -> None:
        self._send(status, headers, f"status {status}\n".encode(), Fault())

    def _answer(self, path: str, fault: Fault) -> None:
        file = self.served.folder / path.strip("/")
        if file.is_dir() and self.served.listing:
            names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in file.iterdir())
            rows = "".join(f'<a href="{html.escape(name)}">{html.escape(name)}</a>\n' for name in names)
            page = f'<html><h1>Index of {path}</h1><pre><a href="../">../</a>\n{rows}</pre></html>'
            self._send(200, {"Content-Type": "text/html"}, page.encode(), fault)
            return
        if not file.is_file():
            self._refuse(self.served.missing, {})
            return
        data, changed = file.read_bytes(), formatdate(file.stat().st_mtime, usegmt=True)
        headers = {"Content-Type": "application/octet-stream", "Last-Modified": changed, **self._identity(file, data)}
        if self.served.ranges:
            headers["Accept-Ranges"] = "bytes"
        if path in self.served.encoded:
            headers["Content-Encoding"] = "gzip"
        span = self._span(len(data), headers.get("ETag", ""), changed)
        if span is None:
            self._send(200, headers | self._checksums(data), data, fault)
        elif span[0] >= len(data):
            self._refuse(416, {"Content-Range": f"bytes */{len(data)}"})
        else:
            start, stop = span
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
            self._send(206, headers, data[start:stop], fault)

    def _identity(self, file: Path, data: bytes) -> dict[str, str]:
        marks = {
            "md5": hashlib.md5(data).hexdigest(),
            "parts": f"{hashlib.md5(data[::-1]).hexdigest()}-2",
            "opaque": f"{file.stat().st_mtime_ns:x}-{len(data):x}",
            "latin": f"\xe9{file.stat().st_mtime_ns:x}",
        }
        if self.served.etag not in marks:
            return {}
        store = {"x-amz-request-id": "0"} if self.served.etag in ("md5", "parts") else {}
        return {"ETag": f'"{marks[self.served.etag]}"', **store}

    def _checksums(self, data: bytes) -> dict[str, str]:
        sums = {
            "Content-MD5": hashlib.md5(data).digest(),
            "x-amz-checksum-sha256": hashlib.sha256(data).digest(),
            "x-amz-checksum-crc32": struct.pack(">I", zlib.crc32(data)),
        }
        asked = self.headers.get("x-amz-checksum-mode", "").lower() == "enabled"
        told = [name for name in self.served.checksums if asked or not name.startswith("x-amz")]
        return {name: base64.b64encode(sums[name]).decode() for name in told}

    def _span(self, size: int, etag: str, changed: str) -> tuple[int, int] | None:
        """Return which bytes are wanted; None for all of them."""
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if match is None or not self.served.ranges or match[0] == "bytes=-":
            return None
        guard = self.headers.get("If-Range")
        if guard is not None and guard != etag and not (guard[:1] not in ('"', "W") and _same_time(guard, changed)):
            return None
        if not match[1]:
            return (max(0, size - int(match[2])), size)
        return (int(match[1]), min(size, int(match[2]) + 1) if match[2] else size)

    def _send(self, status: int, headers: dict[str, str], body: bytes, fault: Fault) -> None:
        if fault.flip and body:
            body = bytes([body[0] ^ 255]) + body[1:]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(max(0, len(body) + fault.length)))
        self.end_headers()
        if self.command == "HEAD":
            return
        told = len(body) + min(0, fault.length)
        self.wfile.write(body[: told if fault.after is None else min(told, fault.after)])
        if fault.then is not None:
            fault.then()
        if fault.after is not None or fault.length > 0:
            self.close_connection = True
            if fault.reset:
                self.wfile.flush()
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()


def _same_time(guard: str, changed: str) -> bool:
    return parsedate_to_datetime(guard) == parsedate_to_datetime(changed)


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep quiet: clients go away in the middle of an answer, and are meant to."""


@contextmanager
def serving(folder: Path, **how: object) -> Iterator[Served]:
    """Serve a folder on a free port of this machine; the options are those of `Served`."""
    served = Served(folder=folder, **how)  # type: ignore[arg-type]
    with _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"served": served})) as server:
        server.daemon_threads = True
        server.block_on_close = False
        if served.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(served.certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        served.url = f"http{'s' if served.certificate else ''}://127.0.0.1:{server.server_port}"
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
