"""Licence: the terms of the data, said before anything is fetched and kept beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumen.whole_files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from volumen.sources.remote.lookup import Home

NAME = "LICENCE.txt"


def terms(home: Home, said: str) -> str:
    """Say under what terms a segment is given."""
    return f"The data of segment {home.segment} at {home.base} are given under these terms:\n{said}"


def record(folder: Path, text: str) -> bool:
    """Write the terms beside the data; return whether they were not there before, so that they are to be shown."""
    path = folder / NAME
    if path.exists() and path.read_text(encoding="utf-8") == f"{text}\n":
        return False
    write_whole(path, f"{text}\n")
    return True
