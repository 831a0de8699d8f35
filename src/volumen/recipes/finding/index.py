"""Index: an encoder and segments in, a folder of vectors out, that grows with every segment."""

from __future__ import annotations

import shutil
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volumen.errors import OutputExistsError, SettingsError, SourceError, SourceNotFoundError
from volumen.events import Finished, Saved, Started, relay
from volumen.prediction.cells import cell_side
from volumen.prediction.embed import embed_windows
from volumen.recipes.finding.embedding import begin_index, check_same, corners_of, layers_of, load_embedder
from volumen.recipes.opening import chunk_of, open_all
from volumen.settings.command import absolute
from volumen.sources.window_index import WindowIndex
from volumen.training.devices import limit_memory, pick_device

if TYPE_CHECKING:
    from collections.abc import Iterator

    from volumen.events import Event
    from volumen.settings import Index as Chosen
    from volumen.sources.segment import Segment
    from volumen.windows import Range


def index(settings: Chosen) -> Iterator[Event]:
    """Embed the windows of segments that lie on papyrus, and add them to an index.

    The same command goes on where it was stopped; what is in the index already is not computed again.

    Yields
    ------
    Event
        The last is `Finished` with ``path``, ``segments`` (windows by name), ``windows`` (all), ``added``, ``seconds``.

    Raises
    ------
    CheckpointError
        The encoder cannot be used, or does not say what it needs.
    SettingsError
        The index was begun with other settings, or a segment has no window on papyrus, too few layers, or changed.
    OutputExistsError
        Something else is at the output path.
    """
    began = time.monotonic()
    settings = absolute(settings)
    limit_memory(pick_device(settings.device), settings.memory_fraction)
    segments = open_all(settings.segments, settings)
    names = [segment.name for segment in segments]
    if len(set(names)) < len(names):
        raise SettingsError(f"Segments are told apart by their names, which must differ; got {', '.join(names)}.")
    path = Path(settings.out)
    found = _opened(path, settings, segments[0])
    forward = load_embedder(found, device=settings.device, precision=settings.precision)
    windows, added = {}, 0
    for segment in segments:
        layers = layers_of(dict(found.embedding), segment, settings.layers)
        corners = corners_of(settings, segment, layers)
        part = WindowIndex.open(path).part(_job(settings, segment, layers), corners)
        events = embed_windows(
            forward.plain,
            segment.read,
            volume=segment.shape,
            layers=layers,
            side=settings.window,
            part=part,
            cell=cell_side(chunk_of(segment)),
        )
        device = pick_device(settings.device)
        done = yield from relay(replace(e, device=device) if isinstance(e, Started) else e for e in events)
        windows[segment.name] = done["windows"]
        added += done["added"]
    yield Saved(path=str(path), what="index")
    whole = WindowIndex.open(path).vectors.shape[0]
    seconds = time.monotonic() - began
    yield Finished(
        result={"path": str(path), "segments": windows, "windows": whole, "added": added, "seconds": seconds}
    )


def _opened(path: Path, settings: Chosen, segment: Segment) -> WindowIndex:
    """Open the index that is there, or begin one."""
    if not path.exists():
        return begin_index(path, settings, segment)
    if not settings.overwrite:
        found = WindowIndex.open(path)
        check_same(found, settings)
        return found
    _check_ours(path)
    fresh, aside = (path.with_name(f".{path.name}.{uuid.uuid4().hex}") for _ in range(2))
    begin_index(fresh, settings, segment)
    path.replace(aside)
    fresh.replace(path)
    shutil.rmtree(aside)
    return WindowIndex.open(path)


def _check_ours(path: Path) -> None:
    """Refuse to remove what is no index."""
    try:
        WindowIndex.open(path)
    except (SourceError, SourceNotFoundError) as error:
        raise OutputExistsError(
            f"{path} is no index that volumen wrote, so it is not overwritten; remove it by hand, or give another path."
        ) from error


def _job(settings: Chosen, segment: Segment, layers: Range) -> dict[str, Any]:
    return {
        "segment": {"name": segment.name, "shape": list(segment.shape), "dtype": str(segment.dtype)},
        "source": segment.source,
        "layers": list(layers),
        "reverse": segment.reverse,
        "mask": segment.mask.digest() if segment.mask is not None else None,
        "papyrus": settings.min_papyrus,
        "region": None if settings.region is None else list(settings.region),
        "batch": settings.batch,
    }
