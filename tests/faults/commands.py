"""Commands: the `volumen` command again and again without its start-up, killed or hindered where it is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LONGEST = 600.0  # seconds of a command that nobody kills
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended.

    Parameters
    ----------
    code
        Its exit code; -9 where it was killed.
    seconds
        How long it lived.
    changes
        How often it made, opened for writing, renamed or removed a file or folder.
    out, errors
        What it printed.
    """

    code: int
    seconds: float
    changes: int
    out: str
    errors: str

    @property
    def killed(self) -> bool:
        return self.code == -9

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it told, without a last line that was cut off."""
        return [json.loads(line) for line in self.out.splitlines(keepends=True) if line.endswith("\n")]

    def killed_or_well(self) -> bool:
        """Return whether it was killed; where it was not, its work must be done."""
        return self.killed or self.well().killed

    def well(self) -> Self:
        """Return itself, which must be the end of work that is done."""
        assert self.code == 0, self.errors
        return self


class Commands:
    """A fork server (see `fork_server`) in a folder of its own, which ends with the ``with``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("fork_server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | _ONE_THREAD | {"VOLUMEN_CACHE": str(self._folder / "cache")},
        )
        self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def run(
        self,
        arguments: Sequence[str],
        home: Path,
        *,
        kill_after: float | None = None,
        kill_at: int | None = None,
        full_at: int | None = None,
        jumps: bool = False,
        most_samples: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Ended:
        """Run ``volumen ARGUMENTS --json`` in a folder to its end, or to that which is made for it.

        Parameters
        ----------
        kill_after, kill_at
            Kill its whole session after so many seconds, or just before its so-many-th change of a file.
        full_at
            From that change on the disk is full: nothing can be made or opened for writing.
        jumps
            The clock of the day jumps by days, back and forth, whenever it is looked at.
        most_samples
            A convolution of more samples runs out of memory.
        """
        order = {
            "arguments": [*arguments, "--json"],
            "home": str(home),
            "out": str(self._folder / "out"),
            "errors": str(self._folder / "errors"),
            "longest": _LONGEST,
            "kill_after": kill_after,
            "kill_at": kill_at,
            "full_at": full_at,
            "jumps": jumps,
            "most_samples": most_samples,
            "environment": dict(environment or {}),
        }
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        told = {name: (self._folder / name) for name in ("out", "errors")}
        return Ended(**self._answer(), **{name: path.read_text(errors="replace") for name, path in told.items()})

    def _answer(self) -> dict[str, Any]:
        line = self._server.stdout.readline()
        assert line, "the fork server died; what it said is above"
        return json.loads(line)
