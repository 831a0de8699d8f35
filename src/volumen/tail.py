"""Tail: the events of a JSON-lines file that another process writes, those that are there and those that come."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from volumen.events import Warned, from_json

if TYPE_CHECKING:
    from volumen.events import Event

_MOST = 2**20  # bytes of one reading, so that a long story does not take long at once
_MARK = 64
_SHOWN = 200


class Tail:
    r"""Read what was added since the last reading; only whole lines count.

    A file that was cut back and written anew, as the events of a resumed run are, is read from its start again.

    Parameters
    ----------
    path
        The file; it may come later, and may go.

    Attributes
    ----------
    restarts
        How often the file was read from its start again: what was gathered before is then void.

    Examples
    --------
    >>> import tempfile
    >>> from volumen.events import Stepped, to_json
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tail = Tail(Path(folder) / "events.jsonl")
    ...     before = tail.read()
    ...     line = to_json(Stepped(done=1, total=2)) + "\n"
    ...     _ = tail.path.write_text(line + line[:9])
    ...     before, [event.done for event in tail.read()], tail.read()
    ([], [1], [])
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.restarts = 0
        self._position = 0
        self._mark = b""  # the last bytes that were read: they differ after a cut, even of a file that grew past it

    def read(self) -> list[Event]:
        """Return the events that came, oldest first, at most about a megabyte of them; [] where there are none."""
        try:
            if os.stat(self.path).st_size == self._position:
                return []
            data = self._fresh()
        except OSError:
            return []
        end = data.rfind(b"\n") + 1
        self._position += end
        self._mark = (self._mark + data[:end])[-_MARK:]
        return [_event(line) for line in data[:end].splitlines()]

    @property
    def behind(self) -> bool:
        """Whether the file holds more than was read."""
        try:
            return os.stat(self.path).st_size > self._position
        except OSError:
            return False

    def _fresh(self) -> bytes:
        with open(self.path, "rb") as file:
            file.seek(self._position - len(self._mark))
            if file.read(len(self._mark)) != self._mark:
                self.restarts, self._position, self._mark = self.restarts + 1, 0, b""
                file.seek(0)
            data = file.read(_MOST)
            if len(data) == _MOST and b"\n" not in data:
                data += file.readline()
            return data


def _event(line: bytes) -> Event:
    """Read a line; what is no event, such as a library's banner, is told in its own words."""
    text = line.decode("utf-8", errors="replace")
    try:
        return from_json(text)
    except ValueError:
        return Warned(message=f"The process also said: {text[:_SHOWN]}")
