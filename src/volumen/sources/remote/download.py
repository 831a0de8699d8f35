"""download: segments from a server to a folder that opens as it is; verified, resumable, and there whole or not."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volumen.drafts import draft_of
from volumen.errors import OutputExistsError, SettingsError, SourceNotFoundError
from volumen.events import Event, Finished, Saved, Started, Stepped, Warned
from volumen.plain_json import parse_object
from volumen.sources.location import Location
from volumen.sources.remote import licence
from volumen.sources.remote.client import Client
from volumen.sources.remote.hosts import LAYOUTS
from volumen.sources.remote.ledger import NAME, Ledger
from volumen.sources.remote.lookup import Home, check_id, find_segment
from volumen.sources.remote.plan import Plan, make_plan
from volumen.sources.remote.pulled import pulled
from volumen.sources.remote.transfer import Tally, fetch
from volumen.whole_files import out_of_space, write_whole
from volumen.writer import sole_output

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from volumen.settings.download import Download
    from volumen.sources.remote.zarr_files import File

PROVENANCE = "provenance.json"


def download(settings: Download) -> Iterator[Event]:
    """Bring segments: the volume, and the labels and masks that the server has, each into ``<to>/<id>``.

    Layers come into ``<id>/layers``, a zarr is ``<id>/<id>.zarr``, rasters are called ``<id>_inklabels.png`` and so
    on: what `open_segment` finds. Beside them lie the terms of the data (``LICENCE.txt``) and where each file came
    from (``provenance.json``; by file, with sizes and checksums, ``download.jsonl``).

    Until all is there the folder is called ``<id>.partial``, since a stack or zarr that lacks files reads as a
    smaller or emptier one. Killed at any moment, the same call goes on at the byte; with other layers or another
    region, what is there is kept and the rest added.

    Parameters
    ----------
    settings
        What to bring, and from where.

    Yields
    ------
    Event
        For each segment `Started`, `Stepped` (files, with ``megabytes`` and ``megabytes_per_second``), `Warned` of the
        terms and of what the server lacks, `Saved`; at last `Finished` with ``paths`` (of what opens), ``missing``
        (by segment, the labels and masks that the server does not have), ``files``, ``megabytes`` and ``seconds``.

    Raises
    ------
    SourceNotFoundError
        No server that was asked has the segment.
    SourceError
        A server does not give what it should, or gives damaged data.
    OutputExistsError
        Something else is in the place of the segment.
    OutOfSpaceError
        The disk is full; what was finished is kept.

    Examples
    --------
    >>> from volumen.events import result
    >>> from volumen.settings import Download
    >>> chosen = Download(segments=("20230827161847",), to="scrolls", layout="dev-zarr", layers="22:42")
    >>> result(download(chosen))["paths"]  # doctest: +SKIP
    ['scrolls/20230827161847/20230827161847.zarr']
    """
    begun, tally = time.monotonic(), Tally()
    done: list[_Done] = []
    for segment in settings.segments:
        done.append((yield from _bring(segment, settings, tally)))
    yield Finished(
        result={
            "paths": [each.path for each in done],
            "missing": {each.segment: list(each.missing) for each in done if each.missing},
            "files": tally.files,
            "megabytes": tally.bytes / 1e6,
            "seconds": time.monotonic() - begun,
        }
    )


@dataclass(frozen=True, kw_only=True)
class _Done:
    """A segment that is there: what opens, and which rasters the server does not have."""

    segment: str
    path: str
    missing: tuple[str, ...]


def _bring(segment: str, settings: Download, tally: Tally) -> Generator[Event, None, _Done]:
    asked = {"segment": segment, **settings.model_dump(mode="json", exclude={"segments", "to", "at_once"})}
    known = _known(settings, check_id(segment), asked)
    if known is not None:
        return known
    yield Started(work="look up", total=1, unit="segments", detail={"segment": segment})
    home = yield from pulled(_found(segment, settings), lambda: Stepped(done=0, total=1))
    with sole_output(_root(settings) / home.segment):
        target, partial = _folders(settings, home)
        if licence.record(partial, text := licence.terms(home, LAYOUTS[home.layout].terms)):
            yield Warned(message=text)
        plan = yield from pulled(_planned(home, partial, settings), lambda: Stepped(done=0, total=1))
        yield Stepped(done=1, total=1)
        for remark in plan.remarks:
            yield Warned(message=remark)
        for raster in plan.missing:
            yield Warned(message=f"The server has no {raster} for {home.segment}; none is made up.")
        yield from _transfer(plan, partial, settings, tally)
        _write_provenance(partial, _story(partial, plan, asked))
        with out_of_space(target):
            partial.replace(target)
    path = str(target / plan.volume)
    yield Saved(path=path, what="segment")
    return _Done(segment=home.segment, path=path, missing=plan.missing)


def _root(settings: Download) -> Path:
    location = Location.of(settings.to)
    if not location.local:
        raise SettingsError(f"--to must be a folder on this machine; got {location}.")
    return Path(location.path)


def _known(settings: Download, segment: str, asked: dict[str, Any]) -> _Done | None:
    """Return a segment that is complete as it is asked for, so that nothing is fetched; None where it is not."""
    found = _provenance(_root(settings) / segment)
    if found is None or found.get("asked") != asked:
        return None
    path = str(_root(settings) / segment / found["opens"])
    return _Done(segment=segment, path=path, missing=tuple(found["missing"]))


def _provenance(folder: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        return parse_object((folder / PROVENANCE).read_bytes())
    return None


def _folders(settings: Download, home: Home) -> tuple[Path, Path]:
    """Return where the segment will be, and where it grows; one to which more is added grows again."""
    target = _root(settings) / home.segment
    partial = target.with_name(f"{target.name}.partial")
    if target.exists() and partial.exists():
        raise OutputExistsError(f"{target} is there, and an unfinished {partial.name} beside it; remove one of them.")
    there = target if target.exists() else partial
    if there.exists():
        found = _provenance(there) or {}
        if {name: found.get(name) for name in asdict(home)} != asdict(home):
            raise OutputExistsError(
                f"{there} is already there, not from {home.volume}; choose another --to, or move it away."
            )
        there.replace(partial)
    else:
        draft = draft_of(partial)  # a folder that does not say what it is would be refused ever after
        _write_provenance(draft, asdict(home))
        draft.replace(partial)
    return target, partial


async def _found(segment: str, settings: Download) -> Home:
    async with Client(at_once=settings.at_once) as client:
        return await find_segment(client, segment, settings)


async def _planned(home: Home, folder: Path, settings: Download) -> Plan:
    async with Client(at_once=settings.at_once) as client:
        return await make_plan(client, home, folder, settings)


def _transfer(plan: Plan, folder: Path, settings: Download, tally: Tally) -> Iterator[Event]:
    """Bring what is not there yet."""
    ledger = Ledger.open(folder)
    left = [file for file in plan.files if not ledger.has(file.path)]
    total, before = len(plan.files), Tally(files=tally.files, bytes=tally.bytes)
    detail = {"segment": plan.home.segment, "layout": plan.home.layout, "url": plan.home.volume}
    yield Started(work="download", total=total, unit="files", detail=detail)
    begun, there = time.monotonic(), total - len(left)

    def step() -> Stepped:
        megabytes = (tally.bytes - before.bytes) / 1e6
        rate = megabytes / max(1e-6, time.monotonic() - begun)
        done = there + tally.files - before.files
        return Stepped(done=done, total=total, values={"megabytes": megabytes, "megabytes_per_second": rate})

    yield from pulled(_fetch_all(left, folder, ledger, settings, tally), step)
    yield step()


async def _fetch_all(left: list[File], folder: Path, ledger: Ledger, settings: Download, tally: Tally) -> None:
    """Bring files, so many at once; the first that cannot be had ends it, and what is complete stays."""
    waiting = iter(left)

    async def work(client: Client) -> None:
        for file in waiting:
            told = await fetch(client, file.url, folder / file.path, tally, size=file.size, witness=file.witness)
            if told is None and file.witness is None:
                raise SourceNotFoundError(f"There is no {file.url}, though it belongs to the segment; try again later.")
            ledger.add(file.path, file.url, told)
            tally.files += 1

    async with Client(at_once=settings.at_once) as client:
        workers = [asyncio.create_task(work(client)) for _ in range(min(settings.at_once, len(left)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)


def _story(folder: Path, plan: Plan, asked: dict[str, Any]) -> dict[str, Any]:
    """Tell where everything came from; chunks, which are many, in numbers."""
    known = Ledger.open(folder).known
    brought = [told for told in known.values() if told is not None]
    named = {file.path: file.url for file in plan.files if file.witness is None}
    return {
        **asdict(plan.home),
        "asked": asked,
        "opens": plan.volume,
        "missing": list(plan.missing),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "volumen": version("volumen"),
        "files": len(brought),
        "bytes": sum(told.size for told in brought),
        "absent_chunks": len(known) - len(brought),
        "each_file": NAME,
        "named": [{"path": path, "url": url, **asdict(told)} for path, url in named.items() if (told := known[path])],
    }


def _write_provenance(folder: Path, story: dict[str, Any]) -> None:
    write_whole(folder / PROVENANCE, json.dumps(story, indent=1))
