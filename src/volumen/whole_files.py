"""Whole files: each is written whole or not at all, and only where it may; a full disk is told with its cure."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from volumen.errors import OutOfSpaceError, OutputExistsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


def draft_name(name: str) -> str:
    """Return what a file is called while it is written; a kill leaves it, and whoever writes the file next takes it."""
    return f".{name}.tmp"


@contextmanager
def whole_file(path: Path, *, synced: bool = False) -> Iterator[Path]:
    """Lend a name to write to; the file takes its place at the end, and after an error is what it was before.

    Parameters
    ----------
    path
        The file; its folder is made where there is none. One process at a time may write it.
    synced
        Wait until the disk has it, for what must outlast a power cut.

    Raises
    ------
    OutOfSpaceError
        The disk is full.
    """
    draft = path.with_name(draft_name(path.name))
    with out_of_space(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield draft
            if synced:
                with draft.open("rb+") as file:
                    os.fsync(file.fileno())
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes, *, synced: bool = False) -> None:
    """Write a file, text as UTF-8; see `whole_file`."""
    with whole_file(path, synced=synced) as draft:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)


def write_all(folder: Path, contents: Mapping[str, str | bytes]) -> None:
    """Write files below a folder, each whole, in order: what refers to the others comes last; see `whole_file`."""
    for name, content in contents.items():
        write_whole(folder / name, content)


def refuse_existing(path: Path, *, overwrite: bool = False) -> None:
    """Raise an `OutputExistsError` where something is that nobody said to replace."""
    if path.exists() and not overwrite:
        raise OutputExistsError(f"{path} is already there; give another path, or replace it with --overwrite.")


@contextmanager
def out_of_space(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn the system's full-disk error into one that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OutOfSpaceError(
            f"The disk is full while writing {os.fspath(path)}; what was finished is kept. "
            "Free some space and run the same command again, with --resume where it has that."
        ) from error
