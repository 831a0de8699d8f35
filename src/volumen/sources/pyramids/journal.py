"""Journal: which units of a long job are done, kept on disk so that a killed job goes on where it stopped."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from volumen.errors import SourceError
from volumen.plain_json import parse_object
from volumen.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Journal:
    """A folder with what the job is (``job.json``) and a byte a unit (``done``): 1 after its write returned.

    Parameters
    ----------
    folder
        Where the two files are.
    job
        What was asked for, in plain values: a job that differs must not go on from here.
    total
        Number of units.
    """

    folder: Path
    job: Mapping[str, Any]
    total: int

    @classmethod
    def start(cls, folder: Path, job: Mapping[str, Any], total: int) -> Journal:
        """Write a journal with nothing done; it is there once this returns, complete."""
        (folder / "done").write_bytes(bytes(total))
        write_whole(folder / "job.json", json.dumps({"job": dict(job), "total": total}, indent=2))
        return cls(folder, dict(job), total)

    @classmethod
    def read(cls, folder: Path) -> Journal | None:
        """Read a journal, or return None where the job had not begun.

        Raises
        ------
        SourceError
            When its files are damaged.
        """
        try:
            found = parse_object((folder / "job.json").read_bytes())
            journal = cls(folder, dict(found["job"]), int(found["total"]))
            length = (folder / "done").stat().st_size
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise SourceError(f"{folder / 'job.json'} is damaged ({error}); start again with --overwrite.") from error
        if length != journal.total:
            raise SourceError(
                f"{folder / 'done'} should be {journal.total} bytes long; got {length}. Start again with --overwrite."
            )
        return journal

    def text(self) -> str:
        """Return what the job is, as one line: journals of the same job have the same."""
        return json.dumps({"job": self.job, "total": self.total}, sort_keys=True)

    def done(self) -> list[bool]:
        """Return whether each unit is done."""
        return [flag == 1 for flag in (self.folder / "done").read_bytes()]

    def mark(self, unit: int) -> None:
        """Record that a unit is done."""
        with open(self.folder / "done", "r+b", buffering=0) as file:
            os.lseek(file.fileno(), unit, os.SEEK_SET)
            file.write(b"\1")
