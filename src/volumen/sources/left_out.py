"""Drops: what of a list of lines or photographs cannot be used, counted by reason, each with its first names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MISSING_IMAGE = "missing image"
UNREADABLE_IMAGE = "unreadable image"

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
    said
        What was wrong with the very first, in a sentence; empty where the reason says it all.
    """

    count: int
    first: tuple[str, ...]
    said: str = ""

    def __str__(self) -> str:
        named = f"{', '.join(self.first)}{' …' if self.count > len(self.first) else ''}"
        said = f", the first: {self.said.removesuffix('.')}" if self.said else ""
        return f"{self.count} ({named}){said}"


class Drops:
    """Counts what is left out while a source is read."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}
        self._said: dict[str, str] = {}

    def add(self, reason: str, name: str, said: str = "") -> None:
        """Count one line or photograph, by its name, or one file that should have held some.

        Parameters
        ----------
        reason
            In words, the same for all that are counted together.
        name
            Which it is.
        said
            What exactly is wrong with it, and what to do, where there is more to say; the first's is kept.
        """
        self._names.setdefault(reason, []).append(name)
        self._said.setdefault(reason, said)

    @property
    def reasons(self) -> set[str]:
        """Why something was left out so far."""
        return {*self._names}

    def counted(self) -> Mapping[str, Dropped]:
        """Return the counts, most frequent reason first."""
        ranked = sorted(self._names.items(), key=lambda item: -len(item[1]))
        return {
            reason: Dropped(count=len(names), first=tuple(names[:_FIRST]), said=self._said[reason])
            for reason, names in ranked
        }


def told(dropped: Mapping[str, Dropped]) -> str:
    """Say what was left out and why, in one clause."""
    return "; ".join(f"{reason}: {count}" for reason, count in dropped.items())
