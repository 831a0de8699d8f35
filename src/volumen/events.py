"""What long work says while it runs: frozen events, to and from JSON lines.

Long work is a generator of these. Stopping is not pulling any more.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from volumen.errors import VolumenError
from volumen.plain_json import LARGEST, parse_object


@dataclass(frozen=True, kw_only=True)
class Started:
    """Work begins: ``total`` units of it, on ``device`` where one is used."""

    work: str
    total: int
    unit: str
    device: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Stepped:
    """``done`` of ``total`` units are finished; ``values`` are what was measured on the way (loss, rates)."""

    done: int
    total: int
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A model was scored after ``step`` of its own units (epochs, for training); 0 where nothing is counted."""

    step: int
    scores: Mapping[str, float]
    best: bool = False


@dataclass(frozen=True, kw_only=True)
class TileWritten:
    """An output tile is on disk at every level; ``box`` is (y0, y1, x0, x1) at level 0, in pixels."""

    done: int
    total: int
    box: tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Transcribed:
    """A line was read: ``text``, to which the reader gives the probability ``confidence``, in [0, 1].

    ``done`` of ``total`` lines are behind; those between this one and the one before could not be read.
    """

    done: int
    total: int
    name: str
    text: str
    confidence: float


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A file or folder that people or later work can use is complete."""

    path: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Warned:
    """Something that the person should know, in words; the work goes on."""

    message: str


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The work is done; ``result`` holds its numbers and paths."""

    result: Mapping[str, Any] = field(default_factory=dict)


Event = Started | Stepped | Scored | TileWritten | Transcribed | Saved | Warned | Finished

_KINDS: dict[str, type[Any]] = {
    "started": Started,
    "stepped": Stepped,
    "scored": Scored,
    "tile_written": TileWritten,
    "transcribed": Transcribed,
    "saved": Saved,
    "warned": Warned,
    "finished": Finished,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def _is_number(value: Any) -> bool:
    if isinstance(value, int):
        return abs(value) <= sys.float_info.max
    return value is None or isinstance(value, float)  # NaN and infinity were written as null


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and abs(value) <= LARGEST


_FORMS: dict[str, Callable[[Any], bool]] = {
    "int": _is_whole,
    "float": _is_number,
    "str": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "Mapping[str, Any]": lambda value: isinstance(value, dict),
    "Mapping[str, float]": lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
    "tuple[int, int, int, int]": lambda value: (
        isinstance(value, list) and len(value) == 4 and all(map(_is_whole, value))
    ),
}
"""By the type of a field, as it is written above: whether a value of JSON can be one."""


def to_json(event: Event) -> str:
    """Write an event as one line of JSON, its kind under ``event``; NaN and infinity become null."""
    return json.dumps({"event": _NAMES[type(event)], **plain(asdict(event))}, ensure_ascii=False)


def from_json(line: str) -> Event:
    """Read an event from one line of JSON, as `to_json` wrote it.

    Raises
    ------
    ValueError
        When it is none: another kind, or a field that is missing, unknown or of another type.
    """
    said = parse_object(line)
    name = said.pop("event", None)
    if not isinstance(name, str) or name not in _KINDS:
        raise ValueError(f"there is no event {name!r:.99}")
    kind = _KINDS[name]
    for each in fields(kind):
        if each.name in said and not _FORMS[str(each.type)](said[each.name]):
            raise ValueError(f"{name} needs a {each.type} as {each.name}; got {said[each.name]!r:.99}")
    if name == "tile_written" and "box" in said:
        said["box"] = tuple(said["box"])
    try:
        event: Event = kind(**said)
    except TypeError as error:  # a field too many, or too few
        raise ValueError(str(error)) from None
    return event


def result(events: Iterable[Event]) -> Mapping[str, Any]:
    """Pull every event and return the result of the last, which must be `Finished`.

    Parameters
    ----------
    events
        What a verb yields, such as ``volumen.check(settings)``.

    Returns
    -------
    Mapping
        Numbers and paths by name; the verb says which.

    Raises
    ------
    VolumenError
        The work ended without saying that it is finished, or raised one of its own errors.

    Examples
    --------
    >>> dict(result(iter([Finished(result={"auc": 0.97})])))
    {'auc': 0.97}
    """
    last: Event | None = None
    for event in events:
        last = event
    if not isinstance(last, Finished):
        raise VolumenError(f"The work ended without finishing: its last event was {last!r}.")
    return last.result


def relay(events: Iterable[Event]) -> Generator[Event, None, Mapping[str, Any]]:
    """Pass on the events of a part of some larger work, and return the part's result instead of its `Finished`.

    Examples
    --------
    >>> def whole():
    ...     part = yield from relay([Warned(message="dim"), Finished(result={"auc": 0.9})])
    ...     yield Finished(result={"half": part["auc"] / 2})
    >>> [type(event).__name__ for event in whole()]
    ['Warned', 'Finished']
    """
    for event in events:
        if isinstance(event, Finished):
            return event.result
        yield event
    raise VolumenError("A part of the work ended without finishing.")


def plain(value: Any) -> Any:
    """Turn numpy scalars, paths, tuples and non-finite numbers into what JSON can hold."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    if hasattr(value, "item"):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
