"""Catalogue: the open data's list of segments, read with doubt: what it says of shapes is often missing or wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from volumen.errors import SourceError
from volumen.plain_json import parse
from volumen.sources.remote.gzipped import unpack

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_GZIP = b"\x1f\x8b"
_VOLUME_NAME = re.compile(r"(?P<id>\d{8,14})-(?P<scan>[\d.]+um(?:-[\d.]+m)?-[\d.]+keV)")
_MOST_VOLUMES = 64  # where a segment's volume is looked for: a sample was scanned a dozen times at most


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A segment as a catalogue has it.

    Parameters
    ----------
    scroll, identity
        Folder names of the sample and of the segment.
    size
        (H, W) in pixels as the catalogue has it, where it says anything; never to be relied on.
    told
        Where the catalogue has its surface volumes, below the base.
    original
        Key of the volume that it was traced in.
    names
        What a surface volume cut from each volume of the sample would be called, by the volume's key.
    """

    scroll: str
    identity: str
    size: tuple[int, int] | None
    told: tuple[str, ...]
    original: str
    names: Mapping[str, tuple[str, ...]]

    @property
    def volumes(self) -> tuple[str, ...]:
        """Where its surface volume may be below the base, the likeliest first; made when it is asked for."""
        home = f"{self.scroll}/segments/{self.identity}/surface-volumes"
        guessed = chain(self.names.get(self.original, ()), chain.from_iterable(self.names.values()))
        paths = chain(self.told, (f"{home}/{name}.zarr" for name in guessed))
        return tuple(dict.fromkeys(islice(paths, _MOST_VOLUMES)))


def read_catalogue(raw: bytes, source: str) -> list[Entry]:
    """Read the segments of a catalogue, gzip-compressed or not; what is out of shape in it is passed over.

    Raises
    ------
    SourceError
        When it is damaged, or holds no samples.
    """
    try:
        found = parse(unpack(raw) if raw.startswith(_GZIP) else raw)
    except ValueError as error:
        raise SourceError(f"{source} is damaged: it should be JSON, plain or by gzip ({error}).") from error
    samples = _table(_table(_table(found).get("metadata") or found).get("samples"))
    if not samples:
        raise SourceError(f"{source} lists no samples; its form may have changed. Choose another --layout.")
    return [entry for scroll, sample in sorted(samples.items()) for entry in _entries(scroll, _table(sample))]


def _entries(scroll: str, sample: dict[str, Any]) -> Iterator[Entry]:
    names = dict(_names(_table(sample.get("volumes"))))
    for key, segment in sorted(_table(sample.get("segments")).items()):
        about = _table(segment)
        paths = list(_paths(about))
        folder = f"{scroll}/segments/"
        named = [path.removeprefix(folder).split("/")[0] for path in paths if path.startswith(folder)]
        identity = named[0] if named else _text(about.get("long_id")).removeprefix(f"{scroll}-") or key
        kept = [path for path in paths if "/surface-volumes/" in path and path.endswith(".zarr")]
        original = _text(about.get("original_volume_id"))
        yield Entry(
            scroll=scroll, identity=identity, size=_size(about), told=tuple(kept), original=original, names=names
        )


def _paths(segment: dict[str, Any]) -> Iterator[str]:
    """Yield the paths below the base of everything that the catalogue knows of a segment."""
    for part in _list(segment.get("data")):
        for origin in _list(_table(part).get("origins")):
            path = _text(_table(origin).get("path")).strip("/")
            if path:
                yield path


def _names(volumes: dict[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each volume's key, and what a surface volume cut from it would be called."""
    for key, volume in sorted(volumes.items()):
        match = _VOLUME_NAME.match(_text(_table(volume).get("long_id")) or key)
        if match:
            yield key, tuple(f"{scan}-volume-{match['id']}" for scan in (_plain(match["scan"]), match["scan"]))


def _plain(scan: str) -> str:
    """Return a scan's name without the zeros that end its voxel size: 8.64um of 8.640um, 7um of 7.0um."""
    size, unit, rest = scan.partition("um")
    bare = size.rstrip("0").removesuffix(".") if "." in size else size
    return f"{bare}{unit}{rest}"


def _size(segment: dict[str, Any]) -> tuple[int, int] | None:
    """Return height and width, where both are said as sizes can be."""
    properties = _table(segment.get("properties"))
    shape = properties.get("shape") or segment.get("shape")
    told = _list(shape)[-2:] if shape else [segment.get("height"), segment.get("width")]
    sides = [side for side in told if isinstance(side, int) and not isinstance(side, bool) and side > 0]
    return (sides[0], sides[1]) if len(sides) == 2 else None


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
