"""Plan: which files of a segment to bring where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from volumen.errors import SettingsError
from volumen.sources.remote.hosts import LAYOUTS, Layout
from volumen.sources.remote.layer_files import find_layer_files
from volumen.sources.remote.zarr_files import File, chunk_files, fetch_metadata, is_zarr

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from volumen.settings.download import Download
    from volumen.sources.remote.client import Client
    from volumen.sources.remote.lookup import Home

_MOST_VERSIONS = 99


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to bring.

    Parameters
    ----------
    home
        Where from.
    files
        Rasters first, then the volume.
    missing
        Rasters that the server does not have.
    remarks
        What people should know of the result, in sentences.
    """

    home: Home
    files: tuple[File, ...]
    missing: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def volume(self) -> str:
        """Path of what opens as a volume, below the segment's folder; empty for the folder itself."""
        return f"{self.home.segment}.zarr" if LAYOUTS[self.home.layout].zarr else ""


async def make_plan(client: Client, home: Home, folder: Path, settings: Download) -> Plan:
    """Find out which files to bring into a folder; a zarr's metadata are there afterwards.

    Raises
    ------
    SettingsError
        When a part is asked for that the volume does not have, or a region of TIFF layers.
    SourceError
        When the server does not answer, or its data are damaged.
    """
    layout = LAYOUTS[home.layout]
    rasters, missing = await _raster_files(client, home, layout, folder, settings)
    if layout.zarr:
        volume = await _zarr_files(client, home.volume, folder, f"{home.segment}.zarr", settings)
        remarks = _zarr_remarks(settings)
    else:
        if settings.region is not None:
            raise SettingsError(
                f"The layers of {home.segment} are whole images at {home.volume}; a region can be cut from a zarr "
                "only. Leave --region away, or choose a --layout with zarr."
            )
        found = await find_layer_files(client, home.volume, settings.layers)
        volume = [File(url=f"{home.volume}/{name}", path=f"layers/{name}") for name in found]
        remarks = _layer_remarks(settings)
        if await client.exists(f"{home.home}/meta.json"):
            rasters.append(File(url=f"{home.home}/meta.json", path="meta.json"))
    files = tuple(sorted(rasters, key=lambda file: file.path) + volume)
    return Plan(home=home, files=files, missing=tuple(missing), remarks=remarks)


async def _zarr_files(client: Client, url: str, folder: Path, path: str, settings: Download) -> list[File]:
    await fetch_metadata(client, url, folder / path)
    return list(chunk_files(url, folder, path, layers=settings.layers, region=settings.region, flat=False))


async def _raster_files(
    client: Client, home: Home, layout: Layout, folder: Path, settings: Download
) -> tuple[list[File], list[str]]:
    files: list[File] = []
    missing = []
    for raster, places in layout.rasters.items():
        for url, name in _raster_names(home, layout, places):
            found = await _highest(client, url, name, layout.versions)
            if found is None:
                continue
            url, name = found
            if name.endswith(".zarr"):
                await fetch_metadata(client, url, folder / name)
                files += chunk_files(url, folder, name, layers=None, region=settings.region, flat=True)
            else:
                files.append(File(url=url, path=name))
            break
        else:
            missing.append(raster)
    return files, missing


def _raster_names(home: Home, layout: Layout, places: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield the URL that a raster may have, and its name here."""
    below = home.home.removeprefix(f"{home.base}/")
    for place in places:
        stem = place.format(home=below, id=home.segment)
        for ending in layout.endings:
            yield f"{home.base}/{stem}{ending}", f"{stem.rpartition('/')[2]}{ending}"


async def _highest(client: Client, url: str, name: str, versions: bool) -> tuple[str, str] | None:
    """Return URL and name of a raster's highest version, numbered from 2 on without a gap; None where there is none."""
    best = None
    for number in range(1, _MOST_VERSIONS if versions else 2):
        mark = f"_v{number}" if number > 1 else ""
        there, here = (_marked(text, mark) for text in (url, name))
        if not await (is_zarr(client, there) if there.endswith(".zarr") else client.exists(there)):
            break
        best = (there, here)
    return best


def _marked(path: str, mark: str) -> str:
    stem, _, ending = path.rpartition(".")
    return f"{stem}{mark}.{ending}"


def _zarr_remarks(settings: Download) -> tuple[str, ...]:
    given = {"layers": settings.layers, "region": settings.region}
    if not any(given.values()):
        return ()
    said = " and ".join(f"--{name}" for name, value in given.items() if value)
    return (f"Only a part is fetched; all else in the volume reads as empty. Give the same {said} to what uses it.",)


def _layer_remarks(settings: Download) -> tuple[str, ...]:
    if settings.layers is None:
        return ()
    first, last = settings.layers
    return (
        f"Only layers {first}:{last} are fetched, which count from 0 afterwards; the writing surface is taken to be "
        f"the middle one, {first + (last - first) // 2} of the whole.",
    )
