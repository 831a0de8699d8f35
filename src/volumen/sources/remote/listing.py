"""list_segments: what servers have, from their catalogue or their index pages."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from volumen.events import Event, Finished, Started, Stepped, Warned
from volumen.sources.remote.catalogue import read_catalogue
from volumen.sources.remote.client import Client
from volumen.sources.remote.hosts import LAYOUTS, Layout
from volumen.sources.remote.index_page import list_folder
from volumen.sources.remote.pulled import pulled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from volumen.settings.listing import Listing


def list_segments(settings: Listing) -> Iterator[Event]:
    """List segments by layout and scroll; the sizes of a catalogue are its own claim, a volume's metadata decide.

    Yields
    ------
    Event
        `Started`, a `Stepped` for each layout, `Warned` of what cannot be listed, and `Finished` with ``segments``
        (by layout, then by id, what is known of it), ``count`` and ``seconds``.

    Raises
    ------
    SourceError
        A server does not answer, or its catalogue is damaged.
    """
    begun = time.monotonic()
    names = [settings.layout] if settings.layout != "auto" else list(LAYOUTS)
    yield Started(work="list", total=len(names), unit="layouts")
    found: dict[str, dict[str, str]] = {}
    for done, name in enumerate(names):
        base = (settings.host or LAYOUTS[name].base).rstrip("/")
        said = Stepped(done=done, total=len(names))
        segments, unlisted = yield from pulled(_list(LAYOUTS[name], base, settings), lambda said=said: said)  # type: ignore[misc]
        if segments:
            found[name] = segments
        for url in unlisted:
            yield Warned(message=f"{url} cannot be listed; what is there can be fetched by its id.")
        yield Stepped(done=done + 1, total=len(names))
    count = sum(map(len, found.values()))
    yield Finished(result={"segments": found, "count": count, "seconds": time.monotonic() - begun})


async def _list(layout: Layout, base: str, settings: Listing) -> tuple[dict[str, str], list[str]]:
    """Return what is known of each segment, and the URLs that cannot be listed."""
    async with Client(at_once=settings.at_once) as client:
        if layout.catalogue:
            return await _in_catalogue(client, f"{base}/{layout.catalogue}", settings.scroll)
        found: dict[str, str] = {}
        unlisted = []
        for scroll, folder in layout.folders.items():
            if settings.scroll not in (None, scroll):
                continue
            names = await list_folder(client, f"{base}/{folder}")
            if names is None:
                unlisted.append(f"{base}/{folder}")
            ending = ".zarr" if layout.homes == ("{folder}",) else ""
            for name in names or []:
                if name[:1].isdigit() and name.endswith(ending):
                    found[name.removesuffix(ending)] = scroll
        return found, unlisted


async def _in_catalogue(client: Client, url: str, scroll: str | None) -> tuple[dict[str, str], list[str]]:
    raw = await client.read(url)
    if raw is None:
        return {}, [url]
    found: dict[str, Any] = {}
    for entry in read_catalogue(raw, url):
        if scroll in (None, entry.scroll):
            size = " x ".join(map(str, entry.size)) + " px, says the catalogue" if entry.size else "size not said"
            found[entry.identity] = f"{entry.scroll}, {size}"
    return found, []
