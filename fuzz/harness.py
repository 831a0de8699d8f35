"""Harness: one parser, the door through which a user's files reach it, and inputs to begin from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import ValidationError

from volumen.errors import VolumenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

Parts = tuple[bytes, ...]

FINE = (VolumenError, ValidationError)
"""What a reader may raise, whatever it is given; anything else is a crash."""

_BETWEEN = b"\xf5\xf6\xf7\xf5"  # in no UTF-8 text, and rare elsewhere


@dataclass(frozen=True, kw_only=True)
class Harness:
    """How bytes become files, and files are read as a user's are.

    Parameters
    ----------
    name
        As the catalogue calls it.
    files
        Where the parts of an input go, below an empty folder; a part that is empty makes no file.
    door
        Opens the folder's files and reads a little of all that they hold.
    seeds
        Inputs that are as they should be, part by part, made when asked for.
    given
        Files that are always there, whole.
    words
        What the format is written with, for the fuzzer to put in.
    points_elsewhere
        Whether such a file may rightly name files anywhere, also on servers, to be read.
    """

    name: str
    files: tuple[str, ...]
    door: Callable[[Path], object]
    seeds: Callable[[], Iterable[Parts]]
    given: Callable[[], Mapping[str, bytes]] = dict
    words: tuple[str, ...] = ()
    points_elsewhere: bool = False

    @cached_property
    def _always(self) -> Mapping[str, bytes]:
        return self.given()

    def lay(self, folder: Path, parts: Sequence[bytes]) -> None:
        """Write an input's files, and those that are always there, into an empty folder."""
        found = {**self._always, **{name: part for name, part in zip(self.files, parts, strict=False) if part}}
        for name, content in found.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def read(self, folder: Path) -> bool:
        """Go through the door; return whether something was read, rather than refused in words of ours."""
        try:
            self.door(folder)
        except FINE:
            return False
        return True


def each_way(*ways: Callable[[], object]) -> None:
    """Go every way, whatever becomes of the others; raise what a reader may, where none of them led anywhere."""
    refused: list[Exception] = []
    try:
        for way in ways:
            try:
                way()
            except FINE as error:
                refused.append(error)
        if len(refused) == len(ways):
            raise refused[-1]
    finally:
        refused.clear()  # an error holds this frame, and by it what readers had in their hands: whole pictures


def join(parts: Sequence[bytes]) -> bytes:
    """Put the parts of an input into one string of bytes, as the fuzzer handles it."""
    return _BETWEEN.join(parts)


def split(data: bytes) -> list[bytes]:
    """Take an input apart; `join` put it together."""
    return data.split(_BETWEEN)
