"""Ledger: what is known of each file of a download, a line a file, so that nothing is asked for twice."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from volumen.errors import SourceError
from volumen.plain_json import parse_object
from volumen.sources.remote.transfer import Fetched
from volumen.whole_files import out_of_space

if TYPE_CHECKING:
    from pathlib import Path

NAME = "download.jsonl"


@dataclass(kw_only=True)
class Ledger:
    """The ledger of a segment's folder; unlike a job's journal it may grow with what is asked for later.

    Parameters
    ----------
    path
        The file.
    known
        What was brought, by path below the folder; None for a chunk that the server does not have.
    """

    path: Path
    known: dict[str, Fetched | None] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> Ledger:
        """Read what is there; a line that a kill cut short is forgotten, and its file brought again.

        Raises
        ------
        SourceError
            When another line is damaged.
        """
        ledger = cls(path=folder / NAME)
        raw = ledger.path.read_bytes() if ledger.path.exists() else b""
        whole = raw[: raw.rfind(b"\n") + 1]
        try:
            for line in whole.splitlines():
                entry = parse_object(line)
                told = entry["told"]
                ledger.known[entry["path"]] = None if told is None else Fetched(**told)
        except (ValueError, KeyError, TypeError) as error:
            raise SourceError(f"{ledger.path} is damaged ({error}); remove it, and all is fetched anew.") from error
        with out_of_space(ledger.path), open(ledger.path, "ab") as file:
            file.truncate(len(whole))
        return ledger

    def add(self, path: str, url: str, told: Fetched | None) -> None:
        """Record that a file is there, or that there is none."""
        line = json.dumps({"path": path, "url": url, "told": None if told is None else asdict(told)})
        with out_of_space(self.path), open(self.path, "ab") as file:
            file.write(line.encode() + b"\n")
        self.known[path] = told

    def has(self, path: str) -> bool:
        """Say whether a file needs no request: it is there in the size that it had, or it is known not to exist."""
        if path not in self.known:
            return False
        told = self.known[path]
        if told is None:
            return True
        try:
            return (self.path.parent / path).stat().st_size == told.size
        except FileNotFoundError:
            return False
