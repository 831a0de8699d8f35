"""Pace: how fast a part of the work goes, and how long the rest will take."""

from __future__ import annotations

from dataclasses import dataclass, replace

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_SPANS = {"s": 1, "min": _MINUTE, "h": _HOUR}


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The rate of a part of the work, counted from what was done since it began, or was gone on with.

    Parameters
    ----------
    begun
        When it began, in seconds of any clock.
    first, done, total
        Units done at ``begun`` (None until the first are told), done now, and in all.
    now
        When ``done`` was told.

    Examples
    --------
    >>> pace = Pace.begin(10.0).advance(1, 100, now=12.0).advance(5, 100, now=20.0)
    >>> pace.rate, pace.seconds_left
    (0.5, 190.0)
    """

    begun: float
    first: int | None = None
    done: int = 0
    total: int = 0
    now: float

    @classmethod
    def begin(cls, now: float) -> Pace:
        """Begin at a time."""
        return cls(begun=now, now=now)

    def advance(self, done: int, total: int, *, now: float) -> Pace:
        """Return the pace once ``done`` of ``total`` units are told at a time."""
        if self.first is not None:
            return replace(self, done=done, total=total, now=now)
        # a part that is gone on with starts beyond zero, and then nothing is known yet of the time that its first took
        return replace(
            self, first=done if done > 1 else 0, begun=now if done > 1 else self.begun, done=done, total=total, now=now
        )

    @property
    def rate(self) -> float:
        """Units a second; 0 where nothing is known yet."""
        seconds = self.now - self.begun
        return (self.done - (self.first or 0)) / seconds if seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at this rate; None where nothing is known yet."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None

    def rate_in_words(self, unit: str) -> str:
        """Say the rate as ``3.2 steps/s`` or, of slow work, by the minute or hour; empty where nothing is known yet."""
        if not self.rate:
            return ""
        per = next((span for span in _SPANS if self.rate * _SPANS[span] >= 1), "h")
        return f"{self.rate * _SPANS[per]:.3g} {unit}/{per}"


def in_words(seconds: float) -> str:
    """Say a time span as a person would: two units at most.

    Examples
    --------
    >>> [in_words(seconds) for seconds in (0.4, 50, 200, 7500, 200000)]
    ['1 s', '50 s', '3 min', '2 h 5 min', '2 d 7 h']
    """
    if seconds < 2 * _MINUTE:
        return f"{max(1, round(seconds))} s"
    if seconds < _HOUR:
        return f"{round(seconds / _MINUTE)} min"
    if seconds < _DAY:
        return f"{int(seconds // _HOUR)} h {int(seconds % _HOUR // _MINUTE)} min"
    return f"{int(seconds // _DAY)} d {int(seconds % _DAY // _HOUR)} h"
