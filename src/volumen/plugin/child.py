"""Child: a process that works on its own, outlives the window that started it, and is known again later."""

from __future__ import annotations

import platform
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

PATIENCE = 1.5
"""Seconds that an interrupted child has to put its work in order."""

_NICENESS = 5
_LOOK_SECONDS = 0.02
_CLOCKS = 2.0  # seconds by which two readings of a start time may differ


@dataclass(frozen=True, kw_only=True)
class Child:
    """A process by its number and the time of its start, since numbers are given again.

    Parameters
    ----------
    pid
        Its number.
    started
        When it started, in seconds since 1970.
    host
        The machine it runs on; a runs folder may be shared between several.
    """

    pid: int
    started: float
    host: str

    @classmethod
    def start(cls, arguments: Sequence[str], *, stdout: Path, stderr: Path, ended: Callable[[int], None]) -> Child:
        """Start a process in a session of its own, its output to files; ``ended`` gets its exit code, in a thread."""
        with open(stdout, "wb") as said, open(stderr, "wb") as errors:
            process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=said, stderr=errors, **_apart())
        child = cls(pid=process.pid, started=_started(process.pid), host=platform.node())
        _step_back(process.pid)
        # waiting for it also takes its entry out of the process table, where a dead child would look alive
        threading.Thread(target=lambda: ended(process.wait()), name=f"wait for {process.pid}", daemon=True).start()
        return child

    @property
    def here(self) -> bool:
        """Whether it was started on this machine."""
        return self.host == platform.node()

    @property
    def alive(self) -> bool:
        """Whether it still runs on this machine."""
        return self._process() is not None

    def stop(self) -> None:
        """Interrupt it, and kill what has not ended `PATIENCE` later, its children too; return at once."""
        process = self._process()
        if process is None:
            return
        with suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGINT))
        # no daemon: if the window closes meanwhile, Python waits for this second and a half
        threading.Thread(target=_finish_off, args=(process,), name=f"stop {self.pid}").start()

    def _process(self) -> psutil.Process | None:
        if not self.here:
            return None
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.started) < _CLOCKS and _lives(process):
                return process
        return None


def _apart() -> dict[str, Any]:
    """Return what keeps an interrupt or the end of this process from reaching the child."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _finish_off(process: psutil.Process) -> None:
    family = [process]
    with suppress(psutil.NoSuchProcess):
        family += process.children(recursive=True)
    deadline = time.monotonic() + PATIENCE
    # looked at, not waited for: waiting would take the exit code from the thread that notes it
    while any(map(_lives, family)) and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    for member in filter(_lives, family):
        with suppress(psutil.NoSuchProcess):
            member.kill()


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _started(pid: int) -> float:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:  # ended already, and waited for by nobody yet: cannot be another
        return 0.0


def _step_back(pid: int) -> None:
    """Give the window the first turn at the processor."""
    with suppress(psutil.Error):
        below = getattr(psutil, "BELOW_NORMAL_PRIORITY_CLASS", _NICENESS)
        psutil.Process(pid).nice(below)
