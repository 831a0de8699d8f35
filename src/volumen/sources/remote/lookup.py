"""Lookup: where on the servers a segment of an id is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from volumen.errors import SettingsError, SourceNotFoundError
from volumen.sources.remote.catalogue import Entry, read_catalogue
from volumen.sources.remote.hosts import LAYOUTS
from volumen.sources.remote.index_page import list_folder
from volumen.sources.remote.layer_files import find_layer_files
from volumen.sources.remote.zarr_files import is_zarr

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from volumen.settings.download import Download
    from volumen.sources.remote.client import Client

_SUPERSEDED = "_superseded"
_ID = re.compile(r"[A-Za-z0-9][\w.+-]*")


@dataclass(frozen=True, kw_only=True)
class Home:
    """Where a segment was found.

    Parameters
    ----------
    segment
        Its id, without ``_superseded``.
    layout, scroll
        Names of the layout and of the scroll.
    base, home, volume
        URLs of the server, of the segment's folder, and of its volume.
    """

    segment: str
    layout: str
    scroll: str
    base: str
    home: str
    volume: str


def check_id(segment: str) -> str:
    """Return an id as it names files, without ``_superseded``.

    Raises
    ------
    SettingsError
        When it is none.
    """
    if not _ID.fullmatch(segment):
        raise SettingsError(f"A segment's id is a name such as 20230827161847; got {segment!r}.")
    return segment.removesuffix(_SUPERSEDED)


async def find_segment(client: Client, segment: str, settings: Download) -> Home:
    """Look a segment up in one layout, or in one after the other; where a region is wanted, only in those with zarrs.

    Raises
    ------
    SourceNotFoundError
        When no server that was asked has it.
    SourceError
        When a server does not answer.
    """
    fit = [name for name, layout in LAYOUTS.items() if layout.zarr or settings.region is None]
    names = fit if settings.layout == "auto" else [settings.layout]
    for name in names:
        base = (settings.host or LAYOUTS[name].base).rstrip("/")
        async for home in _candidates(client, segment, name, base, settings.scroll):
            if await _holds_volume(client, home):
                return home
    where = settings.host or "the known servers"
    raise SourceNotFoundError(
        f"There is no segment {segment} in the layout{'s' if len(names) > 1 else ''} {', '.join(names)} at {where}. "
        "See `volumen list`; give another --layout, --scroll or --host."
    )


async def _candidates(client: Client, segment: str, name: str, base: str, scroll: str | None) -> AsyncIterator[Home]:
    """Yield where a layout may keep a segment, as far as its catalogue or index pages do not rule that out."""
    layout, bare = LAYOUTS[name], check_id(segment)
    if layout.catalogue:
        raw = await client.read(f"{base}/{layout.catalogue}")
        entries = read_catalogue(raw, f"{base}/{layout.catalogue}") if raw is not None else []
        for entry in _matching(entries, bare, scroll):
            place = f"{base}/{entry.scroll}/segments/{entry.identity}"
            for path in entry.volumes:
                yield Home(
                    segment=entry.identity,
                    layout=name,
                    scroll=entry.scroll,
                    base=base,
                    home=place,
                    volume=f"{base}/{path}",
                )
        return
    for where, folder in layout.folders.items():
        if scroll not in (None, where):
            continue
        names = await list_folder(client, f"{base}/{folder}")
        for pattern in layout.homes:
            below = pattern.format(folder=folder, id=bare)
            volume = layout.volume.format(home=below, id=bare)
            first = (below if below != folder else volume).removeprefix(f"{folder}/")
            if names is None or first in names:
                place, there = f"{base}/{below}", f"{base}/{volume}"
                yield Home(segment=bare, layout=name, scroll=where, base=base, home=place, volume=there)


def _matching(entries: list[Entry], segment: str, scroll: str | None) -> list[Entry]:
    """Return the entries of an id: with that name, else with one that begins with it and a dash."""
    # what a server names must be a name here, too
    there = [entry for entry in entries if scroll in (None, entry.scroll) and _ID.fullmatch(entry.identity)]
    same = [entry for entry in there if entry.identity == segment]
    return same or [entry for entry in there if entry.identity.startswith(f"{segment}-")]


async def _holds_volume(client: Client, home: Home) -> bool:
    if LAYOUTS[home.layout].zarr:
        return await is_zarr(client, home.volume)
    return bool(await find_layer_files(client, home.volume, (0, 1)))
