"""Index: an encoder and segments in, a folder of vectors out, that grows with every segment."""

from __future__ import annotations

import shutil
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from volumen.cluster import open_cluster
from volumen.drafts import clear_drafts, draft_of
from volumen.errors import OutputExistsError, SettingsError, SourceError, SourceNotFoundError
from volumen.events import Finished, Saved, Started, relay
from volumen.prediction.embed import embed_windows
from volumen.prediction.embed_cluster import embed_on_cluster
from volumen.recipes.finding.embedding import begin_index, check_same, corners_of, layers_of
from volumen.recipes.finding.windows_work import WindowsWork, open_embedder, ready
from volumen.recipes.opening import open_all
from volumen.settings.command import absolute
from volumen.sources.index.window_index import WindowIndex
from volumen.training.devices import pick_device
from volumen.writer import sole_output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from volumen.cluster import Cluster
    from volumen.events import Event
    from volumen.prediction.forward import Forward
    from volumen.settings import Index as Chosen
    from volumen.sources.segment import Segment
    from volumen.windows import Range


def index(settings: Chosen) -> Iterator[Event]:
    """Embed the windows of segments that lie on papyrus, and add them to an index.

    A window is a square of ``window`` px; its vector is the mean over it of one of the encoder's maps, (channels,). The
    same settings go on where the work was stopped; what is in the index already is not computed again.

    Parameters
    ----------
    settings
        Segments, encoder, side and distance of the windows in px, and the folder of the index.

    Yields
    ------
    Event
        The last is `Finished` with ``path``, ``segments`` (number of windows by name), ``windows`` (number in the whole
        index), ``added`` (number computed now) and ``seconds``.

    Raises
    ------
    CheckpointError
        The encoder cannot be used, or does not say what it needs.
    SettingsError
        The index was begun with other settings, or a segment has no window on papyrus, too few layers, or changed.
    OutputExistsError
        Something else is at the output path.

    Examples
    --------
    >>> from volumen import settings
    >>> chosen = settings.Index(segments=("20230827161847.zarr",), encoder="runs/spark", out="index")
    >>> result(index(chosen))["windows"]  # doctest: +SKIP
    """
    gpus = torch.cuda.device_count()
    with open_cluster(settings.scheduler, settings.workers, gpus=gpus, needs=[__name__]) as cluster:
        yield from _index(absolute(settings), cluster)


def _index(settings: Chosen, cluster: Cluster | None) -> Iterator[Event]:
    began = time.monotonic()
    if cluster is None:
        device = here = pick_device(settings.device)
    else:
        yield from cluster.arrive()
        device, here = cluster.ask(pick_device, settings.device), "cpu"
    settings = settings.model_copy(update={"device": device})
    segments = open_all(settings.segments, settings)
    names = [segment.name for segment in segments]
    if len(set(names)) < len(names):
        raise SettingsError(f"Segments are told apart by their names, which must differ; got {', '.join(names)}.")
    path = Path(settings.out)
    with sole_output(path):
        found = _opened(path, settings.model_copy(update={"device": here}), segments[0])
        forward: Forward | None = None
        windows, added, run = {}, 0, uuid.uuid4().hex
        for place, segment in enumerate(segments):
            layers = layers_of(dict(found.embedding), segment, settings.layers)
            corners = corners_of(settings, segment, layers)
            part = WindowIndex.open(path).part(_job(settings, segment, layers), corners)
            if cluster is None:
                forward = forward or open_embedder(settings)
                events = embed_windows(ready(forward, segment, settings, layers), part)
            else:
                work = WindowsWork(settings=settings, place=place, layers=layers, run=run)
                events = embed_on_cluster(cluster, work, part)
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
        clear_drafts(path)
        found = WindowIndex.open(path)
        check_same(found, settings)
        return found
    _check_ours(path)
    draft = draft_of(path)  # a kill leaves one folder, whatever was being made or replaced
    begin_index(draft / "fresh", settings, segment)
    path.replace(draft / "replaced")
    (draft / "fresh").replace(path)
    shutil.rmtree(draft)
    return WindowIndex.open(path)


def _check_ours(path: Path) -> None:
    """Refuse to remove what is no index."""
    try:
        WindowIndex.open(path)
    except (SourceError, SourceNotFoundError) as error:
        raise OutputExistsError(
            f"{path} is no index that volumen wrote, so it is not replaced; give another path, or remove it first."
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
