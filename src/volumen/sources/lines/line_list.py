"""LineList: lines that can be read, and a count of those that cannot, each reason with its first names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from volumen.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from volumen.sources.lines.line import Line

_FIRST = 3  # names that are kept for each reason


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """How much was left out for one reason.

    Parameters
    ----------
    count
        Number of lines or photographs, or of files that should have held some.
    first
        Names of the first of them.
    """

    count: int
    first: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.count} ({', '.join(self.first)}{' …' if self.count > len(self.first) else ''})"


@dataclass(frozen=True, kw_only=True)
class LineList:
    """What `read_lines` found.

    Parameters
    ----------
    source
        The path that was read.
    lines
        Lines whose images are there, in the order of the source; no two have one name.
    dropped
        Reason in words -> what was left out for it.
    """

    source: str
    lines: tuple[Line, ...]
    dropped: Mapping[str, Dropped] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.source}: {len(self.lines)} lines" + (f"; left out {told(self.dropped)}" if self.dropped else "")

    @property
    def transcribed(self) -> bool:
        """Whether any line says what is written in it."""
        return any(line.text for line in self.lines)


class Drops:
    """Counts what is left out while a source is read."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def add(self, reason: str, name: str) -> None:
        """Count one line or photograph, by its name, or one file that should have held some."""
        self._names.setdefault(reason, []).append(name)

    @property
    def reasons(self) -> set[str]:
        """Why something was left out so far."""
        return {*self._names}

    def counted(self) -> Mapping[str, Dropped]:
        """Return the counts, most frequent reason first."""
        ranked = sorted(self._names.items(), key=lambda item: -len(item[1]))
        return {reason: Dropped(count=len(names), first=tuple(names[:_FIRST])) for reason, names in ranked}


def told(dropped: Mapping[str, Dropped]) -> str:
    """Say what was left out and why, in one clause."""
    return "; ".join(f"{reason}: {count}" for reason, count in dropped.items())


def listed(source: str, lines: Sequence[Line], drops: Drops) -> LineList:
    """Return lines as a list.

    Raises
    ------
    SourceError
        When none is left.
    """
    dropped = drops.counted()
    if not lines:
        found = f"left out {told(dropped)}" if dropped else "there are none"
        raise SourceError(f"Expected lines of text in {source} whose images can be read; {found}.")
    return LineList(source=source, lines=tuple(lines), dropped=dropped)
