"""Sameness: when two outputs are identical: byte for byte, but for what tells the time."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_TIMES = {"seconds", "crops_per_second", "epoch_seconds", "megabytes_per_second", "finished_at", "pixels_per_second"}
"""Fields of JSON that say how long something took, or when it was."""


def assert_same(found: Path, expected: Path, *, but: frozenset[str] = frozenset()) -> None:
    """Compare two files, or two folders with all that is in them; what is left over is a difference too.

    Files named in ``but`` are left out, wherever they lie.
    """
    ours, theirs = (
        {name: path for name, path in files(each).items() if path.name not in but} for each in (found, expected)
    )
    assert sorted(ours) == sorted(theirs), f"{found}: left over or missing: {sorted(ours.keys() ^ theirs.keys())}"
    for name, path in ours.items():
        assert plain(path) == plain(theirs[name]), f"{path} differs"


def files(path: Path) -> dict[str, Path]:
    """Return the files below a folder by their names in it, and empty folders too; a file by no name."""
    if path.is_file():
        return {"": path}
    inside = (each for each in path.rglob("*") if each.is_file() or not any(each.iterdir()))
    return {each.relative_to(path).as_posix(): each for each in inside}


def plain(path: Path) -> Any:
    """Return what a file says without times."""
    if path.is_dir():
        return None
    known = _KINDS.get(path.name) or _KINDS.get(path.suffix)
    return path.read_bytes() if known is None else known(path)


def _lines(path: Path) -> list[Any]:
    return [timeless(json.loads(line)) for line in path.read_text().splitlines()]


def _curves(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if not _TIMES & set(line.split(","))]


def _in_any_order(path: Path) -> list[str]:
    return sorted(json.dumps(each, sort_keys=True) for each in _lines(path))


def _page(path: Path) -> str:
    """Return a page without its numbers, some of which are durations: all scores are in tables beside it."""
    return re.sub(r"(?<![\w+/=.])\d+(\.\d+)?(?![\w+/=])", "NUMBER", path.read_text())


def _state(path: Path) -> list[tuple[str, Any]]:
    """Return a run's state, flat, but for where in the story of events it was taken."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    del state["events_position"]
    return list(_flat(timeless(state)))


def _weights(path: Path) -> tuple[Any, bytes]:
    """Return a checkpoint's header without times, and its weights as they are."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header["__metadata__"] = {name: timeless(json.loads(text)) for name, text in header["__metadata__"].items()}
    return header, data[start:]


def _flat(state: Any, name: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(state, dict | list | tuple):
        pairs = state.items() if isinstance(state, dict) else enumerate(state)
        for key, value in pairs:
            yield from _flat(value, f"{name}.{key}")
    else:
        yield name, state.numpy().tobytes() if isinstance(state, torch.Tensor) else state


def timeless(value: Any) -> Any:
    """Leave out what tells the time, at any depth."""
    if isinstance(value, dict):
        return {name: timeless(each) for name, each in value.items() if name not in _TIMES}
    return [timeless(each) for each in value] if isinstance(value, list | tuple) else value


_KINDS: dict[str, Callable[[Path], Any]] = {
    "events.jsonl": _lines,
    "download.jsonl": _in_any_order,
    "curves.csv": _curves,
    ".html": _page,
    "table.md": _page,
    ".safetensors": _weights,
    "state.pt": _state,
    "provenance.json": lambda path: json.loads(path.read_text()) | {"finished": None},
    "comparison.json": lambda path: timeless(json.loads(path.read_text())),
    "costs.json": lambda path: timeless(json.loads(path.read_text())),
}
