"""Last words: what a job's process left behind when it failed, told so that a person knows what to do."""

from __future__ import annotations

import os
import shutil
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PREFIX = "volumen run: "  # how the command line begins an error that it can explain
_FULL = 64 * 2**20
_MOST = 20_000  # bytes


def last_words(folder: Path, *, code: int | None, cure: str) -> str:
    """Say what went wrong, from what was written to ``errors.txt``, the exit code and the room on the disk.

    Parameters
    ----------
    folder
        The job's folder.
    code
        Exit code of the process, negative for a signal; None where nobody was there to see it end.
    cure
        How to go on.
    """
    if not folder.is_dir():
        return f"The job's folder {folder} was deleted while it ran. {cure}"
    said = _read(folder / "errors.txt")
    if _PREFIX in said:
        return said.rpartition(_PREFIX)[2].strip()
    if "Traceback (most recent call last)" in said:
        return (
            f"The job broke off unexpectedly: {_last_line(said)}. The whole story, for a bug report, is in "
            f"{folder / 'errors.txt'}. {cure}"
        )
    if shutil.disk_usage(folder).free < _FULL:
        return f"The job's process ended, and the disk of {folder} is full. Make room first. {cure}"
    return f"The job's process ended without a word ({_manner(code)}). {cure}"


def _read(path: Path) -> str:
    """Return the end of a file: a process may have warned millions of times before."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _MOST))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1].rstrip(".")


def _manner(code: int | None) -> str:
    """Guess from the exit code how a silent process ended."""
    if code is None:
        return "killed, or the machine was restarted"
    if code == -9:
        return "killed, perhaps because the machine ran out of memory"
    if code < 0:
        try:
            return f"ended by the signal {signal.Signals(-code).name}"
        except ValueError:
            return f"ended by signal {-code}"
    return f"exit code {code}"
