"""Events for people: a bar with rate and time left for each part of the work, and what matters in words."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from volumen.events import Finished, Saved, Scored, Started, Stepped, Transcribed, Warned
from volumen.one_line import in_one_line
from volumen.pace import Pace, in_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from volumen.events import Event

_PLAIN_SECONDS = 10.0
"""Where the output is no terminal, a line this often says how far the work is."""


_LONG = 8  # items of a list that are still read at a glance
_ENDS = ("_low", "_high")  # of a number's 95 % interval, beside it in a result


def show(events: Iterable[Event]) -> dict[str, Any]:
    """Show every event on the terminal and return the result of the last.

    Bars and words go to standard error, the result to standard output. Where lines are read, their texts are what is
    put out, a line each, ``name<TAB>text<TAB>confidence``, and the numbers go with the words.
    """
    console = Console(stderr=True, highlight=False)
    result: dict[str, Any] = {}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[values]}"),
    )
    # a bar moves aside for what is printed; what goes into a file or another program must not pass through it
    aside = sys.stdout.isatty()
    with Progress(*columns, console=console, disable=not console.is_terminal, redirect_stdout=aside) as bars:
        board = _Board(bars, console)
        for event in events:
            board.show(event)
            if isinstance(event, Finished):
                result = dict(event.result)
    numbers = console if board.texts else Console(highlight=False)
    for name, value in _flat(result):
        numbers.print(f"{name}: {value}", markup=False, soft_wrap=True)
    return result


class _Board:
    """The bar of the part that runs now, as a bar or, without a terminal, as a line now and then."""

    def __init__(self, bars: Progress, console: Console) -> None:
        self.bars = bars
        self.console = console
        self.task: TaskID | None = None
        self.part = Started(work="", total=0, unit="")
        self.spoken = time.monotonic()
        self.pace = Pace.begin(self.spoken)
        self.texts = 0

    def show(self, event: Event) -> None:
        match event:
            case Started():
                self._begin(event)
            case Stepped():
                self._advance(event.done, event.total, event.values)
            case Scored():
                star = " (best so far)" if event.best else ""
                when = f"after {event.step}: " if event.step else ""
                self._say(f"  {when}{_numbers(event.scores)}{star}")
            case Transcribed():
                self.texts += 1
                _put_out(f"{in_one_line(event.name)}\t{in_one_line(event.text)}\t{event.confidence:.4g}")
                self._advance(event.done, event.total, {})
            case Saved():
                self._say(f"  {event.what}: {event.path}")
            case Warned():
                self._say(f"  Note: {event.message}")
            case Finished():
                pass

    def _begin(self, event: Started) -> None:
        where = f" on {event.device}" if event.device else ""
        self._say(f"{event.work}: {event.total} {event.unit}{where}")
        if self.task is not None:
            self.bars.update(self.task, visible=False)
        self.task = self.bars.add_task(event.work, total=event.total, unit=event.unit, rate="", values="")
        self.part, self.spoken = event, time.monotonic()
        self.pace = Pace.begin(self.spoken)

    def _advance(self, done: int, total: int, values: Mapping[str, float]) -> None:
        if self.task is None:
            return
        now = time.monotonic()
        pace = self.pace = self.pace.advance(done, total, now=now)
        rate = pace.rate_in_words(self.part.unit)
        self.bars.update(self.task, completed=done, total=total, rate=rate, values=_numbers(values))
        if not self.console.is_terminal and (now - self.spoken >= _PLAIN_SECONDS or done == total):
            self.spoken = now
            left = f"{in_words(pace.seconds_left)} left" if pace.seconds_left else ""
            told = ", ".join(filter(None, (f"{done}/{total} {self.part.unit}", rate, left)))
            self._say(f"  {told} {_numbers(values)}".rstrip())

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)


def _put_out(text: str) -> None:
    """Print a line for other programs, at once; what the output's encoding lacks is escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    sys.stdout.flush()


def _numbers(values: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())


def _digits(value: float) -> str:
    """Write a number to four digits, but a whole one, such as a count of pixels, in full."""
    return f"{value:.0f}" if value.is_integer() else f"{value:.4g}"


def _flat(result: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Lay nested results out as lines, numbers to four digits, each with its interval where there is one."""
    lines: list[tuple[str, str]] = []
    known = {name for name in result if all(isinstance(result.get(name + end), float) for end in _ENDS)}
    ends = {name + end for name in known for end in _ENDS}
    for name, value in result.items():
        if name in ends:
            continue
        if isinstance(value, dict):
            lines += _flat(value, f"{prefix}{name}.")
        elif isinstance(value, float):
            low, high = (result.get(name + end) for end in _ENDS)
            interval = f" (95 %: {low:.4g} to {high:.4g})" if name in known else ""
            lines.append((prefix + name, f"{_digits(value)}{interval}"))
        elif isinstance(value, list) and (len(value) > _LONG or any(isinstance(item, dict) for item in value)):
            lines.append((prefix + name, f"{len(value)} of them, see --json"))
        else:
            lines.append((prefix + name, str(value)))
    return lines
