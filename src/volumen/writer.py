"""only_writer, sole_output: one process at a time writes something; another is refused, and told which it is."""

from __future__ import annotations

import json
import os
import platform
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from volumen.errors import InUseError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOCK, _NOTE = "lock", "writer.json"


@contextmanager
def only_writer(folder: Path, what: Path) -> Iterator[None]:
    """Be the only process that writes ``what``, until the ``with`` ends or the process dies, however it dies.

    Parameters
    ----------
    folder
        Where the lock is kept, and who has it: ``lock`` and ``writer.json``. Made where it is missing.
    what
        What is written, for the error.

    Raises
    ------
    InUseError
        Another process is writing it.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder, only_writer(Path(folder), Path("run")):
    ...     sorted(os.listdir(folder))
    ['lock', 'writer.json']
    """
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / _NOTE
    # the system frees the lock of a process that was killed; who wrote the note then says nothing any more
    lock = FileLock(folder / _LOCK, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InUseError(f"{what} is being written by {_who(note)}. Wait for it to end, or stop it.") from error
    try:
        note.write_text(json.dumps({"pid": os.getpid(), "host": platform.node()}), encoding="utf-8")
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


@contextmanager
def sole_output(path: Path) -> Iterator[None]:
    """Be the only process that makes an output, see `only_writer`; what says so lies beside it, and goes at the end.

    Raises
    ------
    InUseError
        Another process is making it.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with sole_output(Path(folder, "ink.zarr")):
    ...         os.listdir(folder)
    ...     os.listdir(folder)
    ['.ink.zarr.writing']
    []
    """
    folder = path.with_name(f".{path.name}.writing")
    with only_writer(folder, path):
        try:
            yield
        finally:
            with suppress(OSError):
                for name in (_NOTE, _LOCK):  # while it is held: nobody else's is removed
                    (folder / name).unlink(missing_ok=True)
                folder.rmdir()


def _who(note: Path) -> str:
    try:
        told = json.loads(note.read_text(encoding="utf-8"))
        return f"process {told['pid']} on {told['host']}"
    except (OSError, ValueError, KeyError, TypeError):  # it has only just come, or is about to go
        return "another process"
