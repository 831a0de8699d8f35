"""Guard: what a reader must never do, noticed while it reads: write elsewhere, run code, call the network, take long.

An audit hook sees every file that is opened or changed and every program, connection and pickled name; it notes what is
out of bounds and refuses it. Memory is bounded for the whole process, time is measured.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 5.0
"""Of processor time for one input; files are small."""

MEMORY = 2**30
"""Bytes beyond what the process had when it began."""

_CHANGES = frozenset(
    f"os.{verb}"
    for verb in ("remove", "rename", "rmdir", "mkdir", "link", "symlink", "truncate", "chmod", "chown", "mkfifo")
)
_NEVER = frozenset(
    (
        *(
            "subprocess.Popen",
            "os.system",
            "os.exec",
            "os.fork",
            "os.forkpty",
            "os.posix_spawn",
            "os.spawn",
            "pty.spawn",
        ),
        *("socket.connect", "socket.bind", "socket.gethostbyname", "urllib.Request"),
        *("pickle.find_class", "webbrowser.open", "ftplib.connect"),
    )
)
_LOOKS_FOR = "socket.getaddrinfo"
_SYSTEM = (
    "/proc/",
    "/sys/",
    "/dev/null",
    "/dev/urandom",
    "/etc/localtime",
    "/usr/share/",
    "/usr/lib/",
    "/etc/mime.types",
)


class TooLong(Exception):
    """An input took more than `SECONDS`."""


class OutOfBounds(Exception):
    """A reader did what none must do."""


class Guard:
    """Watches what happens inside ``with guard:``.

    Parameters
    ----------
    folder
        Where may be written.
    anywhere
        Whether files elsewhere may be read, and servers by their names looked for.
    """

    def __init__(self, folder: Path, *, anywhere: bool) -> None:
        self._folder = os.path.realpath(folder)
        self._anywhere = anywhere
        self._readable = (
            *_SYSTEM,
            *map(os.path.realpath, (sys.prefix, sys.base_prefix)),
            *map(os.path.realpath, sys.path),
        )
        self._on, self._seen, self._begun = False, "", 0.0
        sys.addaudithook(self._look)

    def __enter__(self) -> None:
        self._seen, self._begun, self._on = "", time.process_time(), True

    def __exit__(self, *error: object) -> None:
        self._on = False
        if self._seen:
            raise OutOfBounds(self._seen)
        spent = time.process_time() - self._begun
        if spent > SECONDS:
            raise TooLong(f"{spent:.1f} s of processor time")

    def _look(self, event: str, given: tuple[Any, ...]) -> None:
        if not self._on:
            return
        if event == "open":
            path, mode, flags = given
            writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) if isinstance(flags, int) else False
            if not self._may(path, writes=writes or any(letter in (mode or "") for letter in "wax+")):
                self._refuse(f"opens {path!r} ({mode or flags})")
        elif event in _CHANGES:
            paths = given[:2] if event in ("os.rename", "os.link", "os.symlink") else given[:1]
            if not all(self._may(path, writes=True) for path in paths):
                self._refuse(f"{event} {paths!r}")
        elif event == "ctypes.dlopen":
            if os.sep in str(given[0]):  # drivers are asked for by name
                self._refuse(f"loads {given[0]!r}")
        elif event in _NEVER or (event == _LOOKS_FOR and not self._anywhere):
            self._refuse(f"{event} {given!r:.200}")
        elif event == "exec" and given[0].co_filename.startswith("<") and not _imports():
            self._refuse(f"runs code from {given[0].co_filename}")

    def _may(self, path: Any, *, writes: bool) -> bool:
        if isinstance(path, int):
            return True
        try:
            real = os.path.realpath(os.fsdecode(path))
        except (TypeError, ValueError):
            return True  # no path at all: the call fails by itself
        if real == self._folder or real.startswith(self._folder + os.sep):
            return True
        return not writes and (self._anywhere or real.startswith(self._readable))

    def _refuse(self, what: str) -> None:
        self._seen = self._seen or what
        raise PermissionError(f"the guard refuses: {what}")


@contextmanager
def bounded_memory() -> Iterator[None]:
    """Let this process have no more than `MEMORY` beyond what it has now."""
    status = Path("/proc/self/status").read_text()
    now = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData"))
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (now + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _imports() -> bool:
    """Say whether Python is importing a module: that runs code, and is meant to."""
    frame: Any = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False
