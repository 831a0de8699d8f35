"""LineList: lines that can be read, and a count of those that cannot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from volumen.errors import SourceError
from volumen.sources.left_out import told

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from volumen.sources.left_out import Dropped, Drops
    from volumen.sources.lines.line import Line


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
        return any(line.text.strip() for line in self.lines)


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
